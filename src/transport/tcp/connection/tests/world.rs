//! Time, randomness and paths for tests, and segments as they look on the other side of the wire.

use crate::base::counters::Counters;
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::datalink::InterfaceId;
use crate::network::packet::{Cast, Datagram, Packet, Paths};
use crate::physical::frame::ReceivedChecksum;
use crate::transport::Context;
use crate::transport::tcp::segment::{Flags, Segment};
use bytes::Bytes;
use std::net::IpAddr;

/// Every destination is one hop away with the same MTU.
pub(in crate::transport::tcp) struct OnePath {
    pub(in crate::transport::tcp) mtu: u16,
}

impl Paths for OnePath {
    fn source_for(&self, _destination: IpAddr) -> Option<IpAddr> {
        Some([192, 0, 2, 1].into())
    }
    fn mtu_to(&self, _destination: IpAddr) -> u16 {
        self.mtu
    }
    fn is_local(&self, _address: IpAddr) -> bool {
        false
    }
}

pub(in crate::transport::tcp) struct World {
    pub(in crate::transport::tcp) now: Instant,
    pub(in crate::transport::tcp) random: Random,
    pub(in crate::transport::tcp) counters: Counters,
    pub(in crate::transport::tcp) paths: OnePath,
}

impl World {
    pub(in crate::transport::tcp) fn new(seed: u64) -> Self {
        World {
            // Late enough that nothing is at the origin by accident.
            now: Instant::from_secs(1000),
            random: Random::from_seed(seed),
            counters: Counters::default(),
            paths: OnePath { mtu: 1500 },
        }
    }

    pub(in crate::transport::tcp) fn cx(&mut self) -> Context<'_> {
        Context {
            now: self.now,
            random: &mut self.random,
            counters: &mut self.counters,
            paths: &self.paths,
            may_refuse: true,
        }
    }
}

/// What the other side receives if `datagram` arrives whole.
pub(in crate::transport::tcp) fn segment(datagram: &Datagram) -> Segment {
    let mut bytes = datagram.header.to_vec();
    datagram.body.iter().for_each(|part| bytes.extend_from_slice(part));
    let packet = Packet {
        source: datagram.source,
        destination: datagram.destination,
        protocol: datagram.protocol,
        hop_limit: datagram.hop_limit,
        traffic_class: datagram.traffic_class,
        cast: Cast::Unicast,
        payload: bytes.into(),
        datagram: Bytes::new(),
        checksum: ReceivedChecksum::Vouched,
        segment_size: datagram.segment_size,
        interface: InterfaceId(0),
    };
    Segment::parse(&packet).unwrap().2
}

/// What the other side receives if a device that cannot take super-segments sends `datagram`.
pub(in crate::transport::tcp) fn cut(datagram: &Datagram) -> Vec<Segment> {
    let whole = segment(datagram);
    let Some(size) = whole.segment_size else { return vec![whole] };
    let size = usize::from(size);
    let pieces = whole.payload.len().div_ceil(size);
    (0..pieces)
        .map(|n| {
            let (from, to) = (n * size, ((n + 1) * size).min(whole.payload.len()));
            let last = n + 1 == pieces;
            Segment {
                seq: whole.seq + from as u32,
                flags: if last { whole.flags } else { whole.flags.without(Flags::FIN | Flags::PSH) },
                payload: whole.payload.slice(from..to),
                segment_size: None,
                ..whole.clone()
            }
        })
        .collect()
}
