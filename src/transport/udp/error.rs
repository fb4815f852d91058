//! What can go wrong with a UDP socket, in plain words.

use std::fmt;

/// Why a call on a socket failed, or what an ICMP error said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The socket is closed.
    Closed,
    /// There is no room in the transmit queue; an event tells when there is.
    WouldBlock,
    /// The datagram is too big for UDP, or for the way if it must not be fragmented.
    MessageTooBig,
    /// No route leads to the destination.
    NoRoute,
    /// The destination is a broadcast address and the socket may not broadcast.
    BroadcastNotAllowed,
    /// The destination is no address that a datagram can go to (port 0, unspecified).
    BadDestination,
    /// The socket has no peer to send to.
    NotConnected,
    /// The socket has joined too many groups.
    TooManyGroups,
    /// Nobody listens at the peer's port, or its host refused the datagram.
    Refused,
    /// A router says that the peer can't be reached: it may be a passing state.
    Unreachable,
    /// A filter on the way forbids it.
    Prohibited,
}

impl Error {
    /// True if it should fail the next call; a soft error only informs (RFC 1122 §4.1.3.3).
    pub(super) fn is_hard(self) -> bool {
        !matches!(self, Error::Unreachable)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Closed => "the socket is closed",
            Error::WouldBlock => "the transmit queue is full",
            Error::MessageTooBig => "the datagram is too big",
            Error::NoRoute => "no route leads to the destination",
            Error::BroadcastNotAllowed => "the socket may not broadcast",
            Error::BadDestination => "nothing can be sent to this destination",
            Error::NotConnected => "the socket has no peer",
            Error::TooManyGroups => "the socket has joined too many groups",
            Error::Refused => "nobody listens at the peer's port",
            Error::Unreachable => "the peer can't be reached",
            Error::Prohibited => "a filter on the way forbids it",
        })
    }
}

impl std::error::Error for Error {}

/// Why a socket could not be bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BindError {
    /// Another socket has the port.
    AddrInUse,
    /// The address is not one of ours.
    AddrNotAvailable,
    /// No ephemeral port is free, or there are too many sockets.
    NoneLeft,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BindError::AddrInUse => "the address is in use",
            BindError::AddrNotAvailable => "the address is not one of this host",
            BindError::NoneLeft => "no port or socket is left",
        })
    }
}

impl std::error::Error for BindError {}
