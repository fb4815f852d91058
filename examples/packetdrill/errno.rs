//! The errors of system calls, and what the stack's own errors are called there.

use std::io::{self, ErrorKind};
use tapstack::transport::tcp::connection::Error as TcpError;
use tapstack::transport::tcp::table::ConnectError;
use tapstack::transport::udp::Error as UdpError;

/// A value of `errno`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Errno(pub(crate) i32);

impl From<TcpError> for Errno {
    fn from(error: TcpError) -> Self {
        Errno(match error {
            TcpError::Reset => libc::ECONNRESET,
            TcpError::Refused => libc::ECONNREFUSED,
            TcpError::TimedOut => libc::ETIMEDOUT,
            TcpError::Unreachable => libc::EHOSTUNREACH,
            TcpError::Aborted => libc::ECONNABORTED,
            TcpError::NotConnected => libc::ENOTCONN,
            TcpError::Closed => libc::EPIPE,
        })
    }
}

impl From<ConnectError> for Errno {
    fn from(error: ConnectError) -> Self {
        Errno(match error {
            ConnectError::BadDestination => libc::ENETUNREACH,
            ConnectError::AddrNotAvailable | ConnectError::NoneLeft => libc::EADDRNOTAVAIL,
            ConnectError::AddrInUse => libc::EADDRINUSE,
            ConnectError::NoRoute => libc::ENETUNREACH,
        })
    }
}

impl From<UdpError> for Errno {
    fn from(error: UdpError) -> Self {
        Errno(match error {
            UdpError::Closed => libc::EBADF,
            UdpError::WouldBlock => libc::EAGAIN,
            UdpError::MessageTooBig => libc::EMSGSIZE,
            UdpError::NoRoute => libc::ENETUNREACH,
            UdpError::BroadcastNotAllowed | UdpError::Prohibited => libc::EACCES,
            UdpError::BadDestination => libc::EINVAL,
            UdpError::NotConnected => libc::EDESTADDRREQ,
            UdpError::TooManyGroups => libc::ENOBUFS,
            UdpError::Refused => libc::ECONNREFUSED,
            _ => libc::EHOSTUNREACH,
        })
    }
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        Errno(match error.kind() {
            ErrorKind::AddrInUse => libc::EADDRINUSE,
            ErrorKind::AddrNotAvailable => libc::EADDRNOTAVAIL,
            ErrorKind::PermissionDenied => libc::EACCES,
            _ => libc::EINVAL,
        })
    }
}
