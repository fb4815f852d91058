//! One host on one link, in virtual time: IP packets go in, IP packets come out with the time they left.
//!
//! The link is Ethernet inside and nothing outside: a header is put before what comes in and taken off what goes
//! out. All ways lead through one gateway whose station address is configured, so that there is no ARP to be seen.

use crate::errno::Errno;
use crate::flags::Flags;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use tapstack::base::random::Random;
use tapstack::base::time::{Duration, Instant};
use tapstack::datalink::{InterfaceId, Mac};
use tapstack::physical::frame::{DeviceId, Frame, OutFrame};
use tapstack::physical::segmentation::Segments;
use tapstack::stack::Stack;
use tapstack::stack::config::{Config, InterfaceConfig, RouteConfig};
use tapstack::transport::tcp::Tcp;
use tapstack::transport::udp::Udp;
use tapstack::transport::{Context, ports};

const DEVICE: DeviceId = DeviceId(0);
const LINK: InterfaceId = InterfaceId(0);
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The gateway that packetdrill names by default. Nothing but the station address is ever used of it.
const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 0, 2));
const ETHERNET_HEADER: usize = 14;

/// Where the virtual clock begins. Not at zero: some scripts subtract.
const START: Instant = Instant::from_secs(1_000);
/// Turns of the stack at one moment after which the clock is moved on, so that a stack that is always due does
/// not hold up time.
const TURNS_AT_ONCE: u32 = 1_000;

/// A packet that left.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) packet: Vec<u8>,
}

/// The host.
pub(crate) struct World {
    pub(crate) flags: Flags,
    pub(crate) now: Instant,
    stack: Stack,
    addresses: Vec<IpAddr>,
    /// Sockets or packets know the stack: it can't be made anew with another address.
    is_used: bool,
    sent: VecDeque<Sent>,
    /// When blocked calls give up, by who they are.
    pub(crate) alarms: BTreeMap<u64, Instant>,
}

impl World {
    pub(crate) fn new(flags: Flags) -> Self {
        let addresses = vec![flags.local];
        let stack = stack(&flags, &addresses);
        World { flags, now: START, stack, addresses, is_used: false, sent: VecDeque::new(), alarms: BTreeMap::new() }
    }

    /// TCP at this moment.
    pub(crate) fn tcp<R>(&mut self, f: impl FnOnce(&mut Tcp, &mut Context<'_>) -> R) -> R {
        self.is_used = true;
        self.stack.with_tcp(self.now, f)
    }

    /// UDP at this moment.
    pub(crate) fn udp<R>(&mut self, f: impl FnOnce(&mut Udp, &mut Context<'_>) -> R) -> R {
        self.is_used = true;
        self.stack.with_udp(self.now, f)
    }

    /// The stack, for calls that need all of it.
    pub(crate) fn stack(&mut self) -> &mut Stack {
        self.is_used = true;
        &mut self.stack
    }

    /// Makes `address` ours as long as nothing depends on which are: a script's first packet or bind says who we are.
    pub(crate) fn claim(&mut self, address: IpAddr) -> Result<(), Errno> {
        if address.is_unspecified() || self.addresses.contains(&address) {
            return Ok(());
        }
        let is_host = address.is_ipv4() && !address.is_multicast() && address != IpAddr::V4(Ipv4Addr::BROADCAST);
        if self.is_used || !is_host || address.is_loopback() {
            return Err(Errno(libc::EADDRNOTAVAIL));
        }
        self.addresses = vec![address];
        self.stack = stack(&self.flags, &self.addresses);
        Ok(())
    }

    /// An IP packet arrives.
    pub(crate) fn inject(&mut self, packet: &[u8]) -> Result<(), Errno> {
        let Some([a, b, c, d]) = packet.get(16..20).and_then(|octets| octets.first_chunk()).copied() else {
            return Err(Errno(libc::EINVAL));
        };
        // Who is not ours by now may still be a stranger on purpose.
        let _ = self.claim(IpAddr::from([a, b, c, d]));
        self.is_used = true;
        let mut frame = Vec::with_capacity(ETHERNET_HEADER + packet.len());
        frame.extend_from_slice(&OURS);
        frame.extend_from_slice(&THEIRS);
        frame.extend_from_slice(&[0x08, 0x00]);
        frame.extend_from_slice(packet);
        self.stack.receive(self.now, DEVICE, Frame::plain(Bytes::from(frame)));
        self.drain();
        Ok(())
    }

    /// What follows every call: the stack's events are of no interest, since everybody asks for levels, and what
    /// it has to send leaves.
    pub(crate) fn drain(&mut self) {
        while self.stack.poll_event().is_some() {}
        while let Some((_, mut frame)) = self.stack.poll_transmit(self.now) {
            if self.flags.tso && frame.segment_size.take().is_some() {
                push(&mut frame);
            }
            let segments = Segments::of(&frame).unwrap_or_else(|malformed| crate::stop(&malformed.to_string()));
            for segment in segments {
                let mut bytes = Vec::with_capacity(segment.len());
                segment.write_into(&mut bytes);
                // Only IPv4 leaves: nothing but a gateway's address is ever resolved.
                if bytes.get(12..ETHERNET_HEADER) == Some(&[0x08, 0x00]) {
                    self.sent.push_back(Sent { at: self.now, packet: bytes.split_off(ETHERNET_HEADER) });
                }
            }
        }
        while self.stack.poll_event().is_some() {}
    }

    /// The next packet that left.
    pub(crate) fn next_sent(&mut self) -> Option<Sent> {
        self.sent.pop_front()
    }

    /// When the next turn is due: the stack's, or that of a call whose time is up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let alarm = self.alarms.values().copied().filter(|at| *at > self.now).min();
        self.stack.deadline().into_iter().chain(alarm).min()
    }

    /// One turn of the stack: at its deadline if that is before `limit`, else at `limit`. True if there may be
    /// another before `limit`.
    pub(crate) fn turn(&mut self, limit: Instant) -> bool {
        let next = self.deadline().filter(|next| *next <= limit);
        self.now = self.now.max(next.unwrap_or(limit));
        if next.is_some() {
            self.stack.handle_timeout(self.now);
            if self.stack.deadline().is_some_and(|again| again <= self.now) {
                self.settle_moment();
            }
        }
        self.drain();
        next.is_some()
    }

    /// The stack is due again at the same moment: until it is not, and then the clock goes on.
    fn settle_moment(&mut self) {
        for _ in 0..TURNS_AT_ONCE {
            self.drain();
            self.stack.handle_timeout(self.now);
            if self.stack.deadline().is_none_or(|next| next > self.now) {
                return;
            }
        }
        self.now += Duration::from_micros(1);
    }
}

/// Sets PSH in a TCP segment, as Linux does in every one that is to be cut.
fn push(frame: &mut OutFrame) {
    const PROTOCOL: usize = ETHERNET_HEADER + 9;
    const FLAGS: usize = 13;
    const PSH: u8 = 0x08;
    if frame.head.get(PROTOCOL) == Some(&(libc::IPPROTO_TCP as u8))
        && let Some(header) = frame.checksum.map(|checksum| usize::from(checksum.start))
        && let Some(flags) = frame.head.get_mut(header + FLAGS)
    {
        *flags |= PSH;
    }
}

fn stack(flags: &Flags, addresses: &[IpAddr]) -> Stack {
    let mut policy = ports::Policy::new();
    for port in 1..1024 {
        policy.allow(ports::Protocol::Tcp, port);
        policy.allow(ports::Protocol::Udp, port);
    }
    // No network of our own: even neighbours are reached through the gateway.
    let host = |address: &IpAddr| ipnet::IpNet::from(*address);
    let interface = InterfaceConfig {
        name: "tun0".to_owned(),
        device: DEVICE,
        vlan: None,
        mac: Mac(OURS),
        addresses: addresses.iter().map(host).collect(),
        mtu: flags.mtu,
        probe: false,
    };
    let all = ipnet::IpNet::V4(ipnet::Ipv4Net::default());
    let config = Config {
        interfaces: vec![interface],
        routes: vec![
            RouteConfig { to: host(&GATEWAY), via: None, interface: LINK, metric: 0 },
            RouteConfig { to: all, via: Some(GATEWAY), interface: LINK, metric: 0 },
        ],
        neighbours: vec![(LINK, GATEWAY, Mac(THEIRS))],
        tcp: flags.tcp.clone(),
        ports: policy,
        ..Config::default()
    };
    Stack::new(config, Random::from_seed(flags.seed))
}
