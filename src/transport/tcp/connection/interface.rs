//! What passes between a connection and its user (RFC 9293 §3.9.1).

use crate::base::seq::Seq;
use crate::base::time::Instant;
use crate::transport::tcp::connection::handshake::TimestampClock;
use bytes::Bytes;
use std::fmt;
use std::net::SocketAddr;

/// What a read gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    /// Some of the stream, as it lies in memory.
    Data(Bytes),
    /// Nothing at the moment; [`Readiness::READABLE`] will tell.
    WouldBlock,
    /// The peer has sent everything (its FIN).
    End,
}

/// Why a connection is of no more use, or a call cannot be done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Error {
    /// The peer reset the connection.
    Reset,
    /// The peer refused the connection.
    Refused,
    /// The peer did not answer in time.
    TimedOut,
    /// The network said that the peer cannot be reached, and it did not answer in time.
    Unreachable,
    /// The application aborted the connection.
    Aborted,
    /// There is no such connection.
    NotConnected,
    /// The application has closed its side for writing.
    Closed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Reset => "the peer reset the connection",
            Error::Refused => "the peer refused the connection",
            Error::TimedOut => "the peer did not answer in time",
            Error::Unreachable => "the peer cannot be reached",
            Error::Aborted => "the connection was aborted",
            Error::NotConnected => "there is no such connection",
            Error::Closed => "the connection is closed for writing",
        })
    }
}

impl std::error::Error for Error {}

/// What became possible since it was last asked: edges, not levels.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Readiness = Readiness(0);
    /// There is something to read: data, the end, or an error.
    pub const READABLE: Readiness = Readiness(1);
    /// There is room to write again, or an error.
    pub const WRITABLE: Readiness = Readiness(2);
    /// The connection reached ESTABLISHED.
    pub const CONNECTED: Readiness = Readiness(4);
    /// The connection reached CLOSED or TIME-WAIT.
    pub const CLOSED: Readiness = Readiness(8);
    /// The connection failed: [`super::Connection::error`] says why.
    pub const ERROR: Readiness = Readiness(16);
    /// Urgent data was announced (RFC 9293 MUST-32).
    pub const URGENT: Readiness = Readiness(32);

    /// True if every bit of `other` is set.
    pub const fn has(self, other: Readiness) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if no bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These bits and those of `other`.
    #[must_use]
    pub const fn with(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }

    pub(super) fn add(&mut self, other: Readiness) {
        *self = self.with(other);
    }
}

impl std::ops::BitOr for Readiness {
    type Output = Readiness;
    fn bitor(self, rhs: Readiness) -> Readiness {
        self.with(rhs)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Readiness, &str); 6] = [
            (Readiness::READABLE, "READABLE"),
            (Readiness::WRITABLE, "WRITABLE"),
            (Readiness::CONNECTED, "CONNECTED"),
            (Readiness::CLOSED, "CLOSED"),
            (Readiness::ERROR, "ERROR"),
            (Readiness::URGENT, "URGENT"),
        ];
        f.debug_set().entries(NAMES.iter().filter(|(bit, _)| self.has(*bit)).map(|(_, name)| name)).finish()
    }
}

/// What a small record needs to answer for a connection in TIME-WAIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeWaitFacts {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// SND.NXT: the sequence number of our ACKs.
    pub snd_nxt: Seq,
    /// RCV.NXT: what they acknowledge.
    pub rcv_nxt: Seq,
    /// RCV.WND in octets.
    pub rcv_wnd: u32,
    /// The window field of our ACKs, scaled already.
    pub window: u16,
    /// Their ACE field: zero without accurate ECN.
    pub ace: u8,
    /// Our timestamp clock and the peer's last value, if timestamps are in use.
    pub timestamps: Option<TimestampClock>,
    /// When TIME-WAIT ends.
    pub deadline: Instant,
    /// How long it lasts when a retransmitted FIN restarts it.
    pub duration: crate::base::time::Duration,
}
