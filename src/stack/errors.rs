//! The transports' errors as `std::io` names them, for the sockets' users.

use crate::transport::tcp::connection::Error as TcpError;
use crate::transport::tcp::table::{ConnectError, ListenError};
use crate::transport::udp::{BindError, Error as UdpError};
use std::io::{Error, ErrorKind};

impl From<TcpError> for Error {
    fn from(error: TcpError) -> Error {
        let kind = match error {
            TcpError::Reset => ErrorKind::ConnectionReset,
            TcpError::Refused => ErrorKind::ConnectionRefused,
            TcpError::TimedOut => ErrorKind::TimedOut,
            TcpError::Unreachable => ErrorKind::HostUnreachable,
            TcpError::Aborted => ErrorKind::ConnectionAborted,
            TcpError::NotConnected => ErrorKind::NotConnected,
            TcpError::Closed => ErrorKind::BrokenPipe,
        };
        Error::new(kind, error)
    }
}

impl From<ListenError> for Error {
    fn from(error: ListenError) -> Error {
        let kind = match error {
            ListenError::AddrInUse => ErrorKind::AddrInUse,
            ListenError::BadAddress => ErrorKind::InvalidInput,
            ListenError::NoneLeft => ErrorKind::AddrNotAvailable,
        };
        Error::new(kind, error)
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Error {
        let kind = match error {
            ConnectError::AddrInUse => ErrorKind::AddrInUse,
            ConnectError::NoRoute => ErrorKind::HostUnreachable,
            ConnectError::AddrNotAvailable | ConnectError::NoneLeft => ErrorKind::AddrNotAvailable,
            ConnectError::BadDestination => ErrorKind::InvalidInput,
        };
        Error::new(kind, error)
    }
}

impl From<BindError> for Error {
    fn from(error: BindError) -> Error {
        let kind = match error {
            BindError::AddrInUse => ErrorKind::AddrInUse,
            BindError::AddrNotAvailable | BindError::NoneLeft => ErrorKind::AddrNotAvailable,
        };
        Error::new(kind, error)
    }
}

impl From<UdpError> for Error {
    fn from(error: UdpError) -> Error {
        let kind = match error {
            UdpError::Closed | UdpError::NotConnected => ErrorKind::NotConnected,
            UdpError::WouldBlock => ErrorKind::WouldBlock,
            UdpError::NoRoute | UdpError::Unreachable => ErrorKind::HostUnreachable,
            UdpError::BroadcastNotAllowed | UdpError::Prohibited => ErrorKind::PermissionDenied,
            UdpError::MessageTooBig | UdpError::BadDestination => ErrorKind::InvalidInput,
            UdpError::TooManyGroups => ErrorKind::QuotaExceeded,
            UdpError::Refused => ErrorKind::ConnectionRefused,
        };
        Error::new(kind, error)
    }
}
