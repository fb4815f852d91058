//! Floor 3, the network: getting a packet to the right host across many links.
//!
//! OSI meant addressing and routing. In this house: IPv4 with its options, fragmentation and reassembly,
//! ICMP, the routing table, path MTU, and multicast membership. In come the payloads of frames, out go
//! [`packet::Packet`]s for a transport or for another interface, and datagrams with a next hop. It never
//! knows a port or a connection; addresses above this floor are [`std::net::IpAddr`], whichever family.

pub mod address;
pub mod forward;
pub mod fragment;
pub mod icmp;
pub mod identification;
pub mod igmp;
pub mod ipv4;
pub mod options;
pub mod packet;
pub mod path_mtu;
pub mod reassembly;
pub mod route;
pub mod source;
