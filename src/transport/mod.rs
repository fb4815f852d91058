//! Floor 4, the transport: getting bytes to the right process, and all of them.
//!
//! OSI meant end-to-end delivery between processes. In this house: UDP ([`udp`]), TCP ([`tcp`]) and the
//! rules for ports ([`ports`]). In come [`crate::network::packet::Packet`]s, out go payloads by socket and
//! [`crate::network::packet::Datagram`]s. It never knows an interface, a neighbour or a route beyond what
//! [`crate::network::packet::Paths`] answers, and never what the bytes mean.

pub mod ports;
pub mod tcp;
pub mod udp;

use crate::base::counters::Counters;
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::network::packet::Paths;

/// What a transport needs of the moment it is called in.
pub struct Context<'a> {
    /// The time.
    pub now: Instant,
    /// The stack's randomness.
    pub random: &'a mut Random,
    /// What is counted.
    pub counters: &'a mut Counters,
    /// The network floor's answers.
    pub paths: &'a dyn Paths,
    /// What nobody here is for may be refused. False while another stack of this host may have somebody for it.
    pub may_refuse: bool,
}
