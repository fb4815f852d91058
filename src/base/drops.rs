//! Why a packet was dropped, and what became of the others.
//!
//! Every frame that enters the stack ends as exactly one [`Outcome`], and every outcome is counted: the
//! counts of a [`Ledger`] add up to the frames that came in.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident => $label:literal,)+) => {
        /// The named reasons for dropping a packet.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum DropReason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl DropReason {
            /// All reasons, in the order of the floors.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)+];

            /// The reason's name in output and counters.
            pub fn label(self) -> &'static str {
                match self { $(DropReason::$name => $label,)+ }
            }

            /// What the reason means, for a person.
            pub fn describe(self) -> &'static str {
                match self { $(DropReason::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    // Datalink
    /// The frame is shorter than its Ethernet header.
    FrameTooShort => "frame-too-short",
    /// The Ethernet destination is another station's.
    NotOurMac => "not-our-mac",
    /// The Ethernet source is a group address, or our own.
    BadSourceMac => "bad-source-mac",
    /// The frame carries a VLAN tag that no interface is configured for.
    UnknownVlan => "unknown-vlan",
    /// The EtherType is not one the stack speaks.
    UnknownEtherType => "unknown-ethertype",
    /// The interface is administratively down.
    InterfaceDown => "interface-down",
    /// The ARP packet is malformed or not for Ethernet and IPv4.
    ArpMalformed => "arp-malformed",
    /// The ARP request asks for an address that is not ours.
    ArpNotOurs => "arp-not-ours",
    /// The ARP packet carries a sender address that no honest host can have.
    ArpBadSender => "arp-bad-sender",
    /// The ARP reply answers nothing that was asked and updates nothing that is known.
    ArpUnsolicited => "arp-unsolicited",
    /// The next hop did not answer address resolution.
    NeighbourUnreachable => "neighbour-unreachable",
    /// The queue of packets waiting for address resolution was full.
    NeighbourQueueFull => "neighbour-queue-full",
    // Network
    /// The IP header is truncated or its lengths disagree with the frame.
    IpMalformed => "ip-malformed",
    /// The IP version field disagrees with the EtherType.
    IpVersion => "ip-version",
    /// The IPv4 header checksum is wrong.
    IpChecksum => "ip-checksum",
    /// The source address is one that no packet may come from.
    MartianSource => "martian-source",
    /// The destination address is one that no packet may go to.
    MartianDestination => "martian-destination",
    /// An IP option is malformed.
    IpOptionMalformed => "ip-option-malformed",
    /// The packet carries a source route, which is refused.
    SourceRoute => "source-route",
    /// The packet is not for us and forwarding is off.
    NotForUs => "not-for-us",
    /// The packet came to a group or broadcast address nobody here listens to.
    NotAMember => "not-a-member",
    /// The datagram came in a link broadcast although its destination is unicast (RFC 1122 §3.3.6).
    LinkBroadcast => "link-broadcast",
    /// The time to live ran out.
    TtlExpired => "ttl-expired",
    /// No route leads to the destination.
    NoRoute => "no-route",
    /// The packet is too big for the way out and must not be fragmented.
    FragmentationNeeded => "fragmentation-needed",
    /// The fragment overlaps another of its datagram.
    FragmentOverlap => "fragment-overlap",
    /// The fragment is malformed: wrong length, past the end, or too many of them.
    FragmentMalformed => "fragment-malformed",
    /// The memory for reassembly is used up.
    FragmentMemory => "fragment-memory",
    /// No transport speaks the protocol number.
    UnknownProtocol => "unknown-protocol",
    /// The ICMP message is malformed.
    IcmpMalformed => "icmp-malformed",
    /// The ICMP checksum is wrong.
    IcmpChecksum => "icmp-checksum",
    /// The ICMP type is unknown or not for a host.
    IcmpUnknown => "icmp-unknown",
    /// The ICMP error quotes a packet that is not in flight (RFC 5927).
    IcmpNotInFlight => "icmp-not-in-flight",
    /// The IGMP message is malformed or came with a wrong checksum.
    IgmpMalformed => "igmp-malformed",
    // Transport
    /// The UDP header is truncated or its length disagrees with the datagram.
    UdpMalformed => "udp-malformed",
    /// The UDP checksum is wrong.
    UdpChecksum => "udp-checksum",
    /// Nobody listens on the UDP port.
    UdpNoPort => "udp-no-port",
    /// The UDP socket's receive queue is full.
    UdpQueueFull => "udp-queue-full",
    /// The TCP header is truncated or an option overruns it.
    TcpMalformed => "tcp-malformed",
    /// The TCP checksum is wrong.
    TcpChecksum => "tcp-checksum",
    /// The TCP segment came to or from a broadcast or multicast address.
    TcpNotUnicast => "tcp-not-unicast",
    /// The peer must sign its segments, and this has no signature (RFC 5925).
    TcpUnsigned => "tcp-unsigned",
    /// The signature is wrong, or of a key or connection that is not known (RFC 5925).
    TcpBadSignature => "tcp-bad-signature",
    /// No connection and no listener: answered by a reset unless it was one itself.
    TcpNoConnection => "tcp-no-connection",
    /// The segment is outside the receive window (RFC 9293 §3.10.7.4 first).
    TcpOutOfWindow => "tcp-out-of-window",
    /// The timestamp is older than the last one (RFC 7323 §5.3).
    TcpPaws => "tcp-paws",
    /// The acknowledgment is for something never sent, or far too old (RFC 5961 §5).
    TcpBadAck => "tcp-bad-ack",
    /// The segment has no ACK where one is needed.
    TcpNoAck => "tcp-no-ack",
    /// A reset that does not match exactly, answered by a challenge (RFC 5961 §3).
    TcpBadReset => "tcp-bad-reset",
    /// A SYN inside a connection, answered by a challenge (RFC 5961 §4).
    TcpBadSyn => "tcp-bad-syn",
    /// Out-of-order data beyond the memory that may be kept.
    TcpReassemblyFull => "tcp-reassembly-full",
    /// The listener's queues are full.
    TcpBacklogFull => "tcp-backlog-full",
    /// A SYN of a flood, whose sender has to send it again.
    TcpFlood => "tcp-flood",
    /// A SYN cookie that does not check.
    TcpBadCookie => "tcp-bad-cookie",
    /// The table of connections is full.
    TcpTableFull => "tcp-table-full",
    /// Data for a connection whose reader is gone.
    TcpDataAfterClose => "tcp-data-after-close",
    // The lift
    /// The stack of another queue has too much to take in already.
    SiblingBusy => "sibling-busy",
    /// The queue to the device is full.
    TransmitQueueFull => "transmit-queue-full",
    /// The device refused the frame.
    DeviceError => "device-error",
}

/// What became of one frame or packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// Its payload reached a socket.
    Delivered,
    /// The stack answered it itself (an echo reply, an ARP reply, a reset, an ICMP error).
    Answered,
    /// It did its work inside the stack (an ACK, an ARP reply, a fragment that waits for others).
    Consumed,
    /// It went on to another interface.
    Forwarded,
    /// It went on to the stack of another queue, which counts it again.
    Passed,
    /// It was dropped.
    Dropped(DropReason),
}

/// Outcomes, counted.
#[derive(Clone, Debug)]
pub struct Ledger {
    kept: [u64; 5],
    drops: Vec<u64>,
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger { kept: [0; 5], drops: vec![0; DropReason::ALL.len()] }
    }
}

impl Ledger {
    /// Counts one outcome.
    pub fn count(&mut self, outcome: Outcome) {
        let slot = match outcome {
            Outcome::Delivered => self.kept.get_mut(0),
            Outcome::Answered => self.kept.get_mut(1),
            Outcome::Consumed => self.kept.get_mut(2),
            Outcome::Forwarded => self.kept.get_mut(3),
            Outcome::Passed => self.kept.get_mut(4),
            Outcome::Dropped(reason) => self.drops.get_mut(reason as usize),
        };
        if let Some(slot) = slot {
            *slot += 1;
        }
    }

    /// How often this outcome was counted.
    pub fn of(&self, outcome: Outcome) -> u64 {
        let slot = match outcome {
            Outcome::Delivered => self.kept.first(),
            Outcome::Answered => self.kept.get(1),
            Outcome::Consumed => self.kept.get(2),
            Outcome::Forwarded => self.kept.get(3),
            Outcome::Passed => self.kept.get(4),
            Outcome::Dropped(reason) => self.drops.get(reason as usize),
        };
        slot.copied().unwrap_or(0)
    }

    /// The reasons that occurred, with their counts, in the order of the floors.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|reason| (*reason, self.of(Outcome::Dropped(*reason)))).filter(|(_, n)| *n > 0)
    }

    /// All outcomes together: the number of things that were counted.
    pub fn total(&self) -> u64 {
        self.kept.iter().sum::<u64>() + self.drops.iter().sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_adds_up_to_what_was_counted() {
        let mut ledger = Ledger::default();
        for reason in DropReason::ALL {
            ledger.count(Outcome::Dropped(*reason));
        }
        ledger.count(Outcome::Delivered);
        ledger.count(Outcome::Delivered);
        assert_eq!(ledger.total(), DropReason::ALL.len() as u64 + 2);
        assert_eq!(ledger.of(Outcome::Delivered), 2);
        assert_eq!(ledger.drops().count(), DropReason::ALL.len());
    }
}
