//! Two hosts on one perfect cable in this process, driven by the real clock: what the examples share.

#![expect(clippy::expect_used, reason = "an example ends where it cannot go on")]
#![expect(clippy::disallowed_methods, reason = "the program that drives a host holds the clock")]

use bytes::Bytes;
use std::time::{Duration, Instant as Clock};
use tapstack::base::random::Random;
use tapstack::base::time::Instant;
use tapstack::datalink::Mac;
use tapstack::physical::frame::{DeviceId, Frame};
use tapstack::physical::segmentation::Segments;
use tapstack::session::host::Host;
use tapstack::stack::Stack;
use tapstack::stack::config::{Config, InterfaceConfig};

/// Two hosts.
pub(crate) struct Cable {
    pub(crate) here: Host,
    pub(crate) there: Host,
}

fn host(address: &str, last: u8) -> Host {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the operating system has randomness");
    let interface = InterfaceConfig {
        name: "eth0".to_owned(),
        device: DeviceId(0),
        vlan: None,
        mac: Mac([2, 0, 0, 0, 0, last]),
        addresses: vec![address.parse().expect("an address with its prefix length")],
        mtu: 1500,
        probe: false,
    };
    let config = Config { interfaces: vec![interface], ..Config::default() };
    Host::new(Stack::new(config, Random::from_key(seed)), Duration::ZERO)
}

/// Carries what `from` has to send to `to`; true if there was anything.
fn carry(from: &mut Host, to: &mut Host, now: Instant) -> bool {
    let mut moved = false;
    while let Some((_, frame)) = from.poll_transmit(now) {
        for segment in Segments::of(&frame).expect("our own frames are well-formed") {
            let mut bytes = Vec::with_capacity(segment.len());
            segment.write_into(&mut bytes);
            to.receive(now, DeviceId(0), Frame::plain(Bytes::from(bytes)));
        }
        moved = true;
    }
    moved
}

impl Cable {
    /// Two hosts with these addresses.
    pub(crate) fn between(here: &str, there: &str) -> Self {
        Cable { here: host(here, 1), there: host(there, 2) }
    }

    /// Runs both hosts until `done`.
    pub(crate) fn run_until(&mut self, done: impl Fn() -> bool) {
        let start = Clock::now();
        while !done() {
            let now = Instant::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
            self.here.run(now);
            self.there.run(now);
            let moved = carry(&mut self.here, &mut self.there, now) | carry(&mut self.there, &mut self.here, now);
            if !moved {
                let next = [self.here.deadline(), self.there.deadline()].into_iter().flatten().min();
                std::thread::sleep(next.map_or(Duration::from_millis(10), |next| next.since(now)));
            }
        }
    }
}
