//! A station with an address: it answers ARP and leaves everything else to the test.

use crate::sim::wire::{self, ETHERNET};
use crate::sim::{Plug, StationId, World};
use bytes::Bytes;
use std::net::Ipv4Addr;
use tapstack::base::time::Duration;
use tapstack::datalink::Mac;
use tapstack::physical::cable::Faults;

/// A station that answers ARP for its address.
pub struct Robot {
    pub station: StationId,
    pub mac: Mac,
    pub ip: Ipv4Addr,
    /// Everything that arrived and was no question for our address.
    pub heard: Vec<Bytes>,
}

impl Robot {
    /// A robot with perfect cables to `peers`.
    pub fn new(world: &mut World, ip: Ipv4Addr, peers: &[Plug]) -> Self {
        let station = world.add_station();
        for peer in peers {
            world.connect(Plug::Station(station), *peer, &Faults::default(), 0);
        }
        let [_, _, net, last] = ip.octets();
        Robot { station, mac: Mac([2, 0xbb, 0, 0, net, last]), ip, heard: Vec::new() }
    }

    /// Sends an IP packet to a station.
    pub fn send(&self, world: &mut World, to: Mac, packet: &[u8]) {
        world.send(self.station, &wire::ethernet(to, self.mac, 0x0800, packet));
    }

    /// Sends an ARP packet to a station.
    pub fn send_arp(&self, world: &mut World, to: Mac, packet: &[u8]) {
        world.send(self.station, &wire::ethernet(to, self.mac, 0x0806, packet));
    }

    /// Lets time pass, answers ARP and hears the rest.
    pub fn listen(&mut self, world: &mut World, duration: Duration) {
        let end = world.now() + duration;
        while world.now() < end {
            let station = self.station;
            let left = end.since(world.now());
            let mut frames = Vec::new();
            world.run_until(left, |world| {
                frames.extend(world.receive(station));
                !frames.is_empty()
            });
            if frames.is_empty() {
                world.run_for(end.since(world.now()));
            }
            while let Some(frame) = world.receive(station) {
                frames.push(frame);
            }
            for frame in frames {
                self.hear(world, frame);
            }
        }
    }

    fn hear(&mut self, world: &mut World, frame: Bytes) {
        let is_question = frame[12..14] == [8, 6] && frame[20..22] == [0, 1] && frame[38..42] == self.ip.octets();
        if !is_question {
            self.heard.push(frame);
            return;
        }
        let asker = Mac(frame[22..28].try_into().unwrap());
        let asker_ip = Ipv4Addr::from(<[u8; 4]>::try_from(&frame[28..32]).unwrap());
        let answer = wire::arp(2, (self.mac, self.ip), (asker, asker_ip));
        self.send_arp(world, asker, &answer);
    }

    /// The payloads of what was heard of a protocol, with the sender's address, and forgets all.
    pub fn take(&mut self, protocol: u8) -> Vec<(Ipv4Addr, Vec<u8>)> {
        let heard = std::mem::take(&mut self.heard);
        let wanted = heard.iter().filter_map(|frame| wire::parse(frame)).filter(|found| found.2 == protocol);
        wanted.map(|(from, _, _, payload)| (from, payload.to_vec())).collect()
    }

    /// As [`Robot::take`], for fragments too: joins those of one sender, protocol and identification.
    pub fn take_joined(&mut self, protocol: u8) -> Vec<Vec<u8>> {
        let mut joined: Vec<(u16, Vec<u8>, bool)> = Vec::new();
        for frame in std::mem::take(&mut self.heard) {
            let Some((_, _, found, payload)) = wire::parse(&frame) else { continue };
            if found != protocol {
                continue;
            }
            let header = &frame[ETHERNET..];
            let (id, bits) = (wire::u16_at(header, 4), wire::u16_at(header, 6));
            let offset = usize::from(bits & 0x1fff) * 8;
            let at = joined.iter().position(|whole| whole.0 == id && !whole.2);
            let at = at.unwrap_or_else(|| {
                joined.push((id, Vec::new(), false));
                joined.len() - 1
            });
            let whole = &mut joined[at];
            // In order on a perfect cable.
            assert_eq!(whole.1.len(), offset, "a fragment is missing");
            whole.1.extend_from_slice(payload);
            whole.2 = bits & 0x2000 == 0;
        }
        joined.into_iter().filter(|whole| whole.2).map(|whole| whole.1).collect()
    }
}
