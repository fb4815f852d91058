//! ARP packets for IPv4 over Ethernet: the codec.
//!
//! Implements the packet of RFC 826 and the probes and announcements of RFC 5227 §1.1. What is learnt from
//! a packet is decided in [`super::neighbours`], what it means for our own addresses in [`super::conflict`].
//! Not here: other hardware, other protocols, reverse ARP.

use crate::base::drops::DropReason;
use crate::datalink::Mac;
use etherparse::{ArpEthIpv4Packet, ArpOperation, ArpPacketSlice};
use std::net::Ipv4Addr;

/// The bytes of a packet for Ethernet and IPv4.
pub const LEN: usize = 28;

/// Request or reply.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has the sender address.
    Reply,
}

/// An ARP packet for Ethernet and IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Arp {
    /// Request or reply.
    pub operation: Operation,
    /// The sender's Ethernet address.
    pub sender_mac: Mac,
    /// The sender's IP address; unspecified in a probe.
    pub sender_ip: Ipv4Addr,
    /// The target's Ethernet address; ignored in a request.
    pub target_mac: Mac,
    /// The target's IP address.
    pub target_ip: Ipv4Addr,
}

impl Arp {
    /// Asks for the Ethernet address of `target_ip`.
    pub fn request(sender_mac: Mac, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Self {
        Arp { operation: Operation::Request, sender_mac, sender_ip, target_mac: Mac::default(), target_ip }
    }

    /// Tells `target` that `sender_ip` is at `sender_mac`.
    pub fn reply(sender_mac: Mac, sender_ip: Ipv4Addr, target_mac: Mac, target_ip: Ipv4Addr) -> Self {
        Arp { operation: Operation::Reply, sender_mac, sender_ip, target_mac, target_ip }
    }

    /// Asks whether anyone uses `address`, without claiming it (RFC 5227 §1.1 "ARP Probe").
    pub fn probe(sender_mac: Mac, address: Ipv4Addr) -> Self {
        Arp::request(sender_mac, Ipv4Addr::UNSPECIFIED, address)
    }

    /// Tells everyone that `address` is at `sender_mac` (RFC 5227 §1.1 "ARP Announcement").
    pub fn announcement(sender_mac: Mac, address: Ipv4Addr) -> Self {
        Arp::request(sender_mac, address, address)
    }

    /// True if the sender asks whether the target address is free.
    pub fn is_probe(&self) -> bool {
        self.operation == Operation::Request && self.sender_ip.is_unspecified()
    }

    /// True if the sender only tells its own address, by request or by reply ("gratuitous ARP").
    pub fn is_announcement(&self) -> bool {
        self.sender_ip == self.target_ip
    }

    /// Reads a packet; bytes after it are padding.
    ///
    /// # Errors
    /// [`DropReason::ArpMalformed`] if it is truncated or not for Ethernet and IPv4 (RFC 826 "Packet
    /// Reception"), [`DropReason::ArpBadSender`] if no honest host can have sent it.
    pub fn parse(bytes: &[u8]) -> Result<Self, DropReason> {
        let packet = ArpPacketSlice::from_slice(bytes).map_err(|_| DropReason::ArpMalformed)?.to_packet();
        let packet = ArpEthIpv4Packet::try_from(packet).map_err(|_| DropReason::ArpMalformed)?;
        let operation = match packet.operation {
            ArpOperation::REQUEST => Operation::Request,
            ArpOperation::REPLY => Operation::Reply,
            _ => return Err(DropReason::ArpMalformed),
        };
        let arp = Arp {
            operation,
            sender_mac: Mac(packet.sender_mac),
            sender_ip: packet.sender_ipv4_addr(),
            target_mac: Mac(packet.target_mac),
            target_ip: packet.target_ipv4_addr(),
        };
        if arp.has_honest_sender() { Ok(arp) } else { Err(DropReason::ArpBadSender) }
    }

    /// A group as hardware address would turn unicast into multicast (the same check as RFC 1812 §3.3.2
    /// asks for); a sender address must be a host's, and only a probe may leave it open.
    fn has_honest_sender(&self) -> bool {
        let host = match self.operation {
            Operation::Request if self.sender_ip.is_unspecified() => true,
            _ => !matches!(self.sender_ip.octets(), [0 | 127 | 224..=255, ..]),
        };
        host && !self.sender_mac.is_group() && self.sender_mac != Mac::default()
    }

    /// The packet's bytes.
    pub fn emit(&self) -> [u8; LEN] {
        let operation = match self.operation {
            Operation::Request => ArpOperation::REQUEST,
            Operation::Reply => ArpOperation::REPLY,
        };
        ArpEthIpv4Packet {
            operation,
            sender_mac: self.sender_mac.0,
            sender_ipv4: self.sender_ip.octets(),
            target_mac: self.target_mac.0,
            target_ipv4: self.target_ip.octets(),
        }
        .to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const B: Mac = Mac([2, 0, 0, 0, 0, 2]);
    const IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    #[test]
    fn a_request_has_the_bytes_of_rfc_826() {
        let bytes = Arp::request(A, IP, OTHER).emit();
        assert_eq!(bytes[..8], [0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(bytes[8..18], [2, 0, 0, 0, 0, 1, 192, 0, 2, 1]);
        assert_eq!(bytes[18..], [0, 0, 0, 0, 0, 0, 192, 0, 2, 2]);
    }

    #[test]
    fn padding_is_fine_and_truncation_is_not() {
        let mut bytes = Arp::reply(A, IP, B, OTHER).emit().to_vec();
        for len in 0..bytes.len() {
            assert_eq!(Arp::parse(&bytes[..len]), Err(DropReason::ArpMalformed), "{len} bytes");
        }
        bytes.extend([0xaa; 18]);
        assert_eq!(Arp::parse(&bytes), Ok(Arp::reply(A, IP, B, OTHER)));
    }

    #[test]
    fn other_hardware_protocols_lengths_and_operations_are_malformed() {
        for (place, value) in [(1, 6), (2, 0x86), (4, 8), (5, 16), (7, 3), (7, 0)] {
            let mut bytes = Arp::request(A, IP, OTHER).emit();
            bytes[place] = value;
            assert_eq!(Arp::parse(&bytes), Err(DropReason::ArpMalformed), "byte {place} = {value}");
        }
    }

    #[test]
    fn no_honest_host_sends_from_a_group_or_from_nowhere() {
        let refused = |arp: Arp| assert_eq!(Arp::parse(&arp.emit()), Err(DropReason::ArpBadSender), "{arp:?}");
        refused(Arp::request(Mac::BROADCAST, IP, OTHER));
        refused(Arp::request(Mac::default(), IP, OTHER));
        refused(Arp::request(A, Ipv4Addr::BROADCAST, OTHER));
        refused(Arp::request(A, Ipv4Addr::new(224, 0, 0, 1), OTHER));
        refused(Arp::request(A, Ipv4Addr::LOCALHOST, OTHER));
        refused(Arp::reply(A, Ipv4Addr::UNSPECIFIED, B, OTHER));
        assert!(Arp::parse(&Arp::probe(A, IP).emit()).is_ok_and(|arp| arp.is_probe()));
        assert!(Arp::parse(&Arp::announcement(A, IP).emit()).is_ok_and(|arp| arp.is_announcement()));
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_to_the_same(mac in 1u8.., host in 1u8..=223, target: [u8; 4], target_mac: [u8; 6], ask: bool) {
            prop_assume!(host != 127);
            let operation = if ask { Operation::Request } else { Operation::Reply };
            let arp = Arp {
                operation, sender_mac: Mac([2, 0, 0, 0, 0, mac]), sender_ip: Ipv4Addr::new(host, 1, 2, 3),
                target_mac: Mac(target_mac), target_ip: target.into(),
            };
            prop_assert_eq!(Arp::parse(&arp.emit()), Ok(arp));
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Arp::parse(&bytes);
        }

        #[test]
        fn a_packet_with_some_bytes_changed_never_panics(changes: Vec<(usize, u8)>) {
            let mut bytes = Arp::request(A, IP, OTHER).emit().to_vec();
            bytes.extend([0; 18]);
            for (place, value) in changes {
                let len = bytes.len();
                bytes[place % len] = value;
            }
            let _ = Arp::parse(&bytes);
        }
    }
}
