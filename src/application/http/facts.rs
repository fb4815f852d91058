//! What the log can tell of a connection beside what was said on it: a server on a stack of its own knows.

use crate::presentation::tls::{Agreement, TlsStream};
use crate::session::connection::Connection;
use crate::session::tcp::TcpStream;
use crate::transport::tcp::info::Info;
use serde::Serialize;

/// What a connection can tell of itself.
pub trait Facts {
    /// What TCP knows of it.
    fn tcp(&self) -> Option<TcpFacts>;

    /// What encrypts it.
    fn tls(&self) -> Option<TlsFacts> {
        None
    }

    /// The client chose HTTP/2 when the connection was encrypted (RFC 9113 §3.2).
    fn speaks_http2(&self) -> bool {
        false
    }

    /// Nobody on the way can read along.
    fn is_encrypted(&self) -> bool {
        false
    }
}

/// What TCP knows. Durations are microseconds, sizes octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct TcpFacts {
    /// The smoothed round-trip time.
    pub rtt_us: Option<u64>,
    /// The least round-trip time.
    pub min_rtt_us: Option<u64>,
    /// The congestion window.
    pub cwnd: u32,
    /// Segments sent again.
    pub retransmits: u64,
    /// Octets that the client has acknowledged, of all answers on the connection.
    pub bytes_acked: u64,
    /// Octets that came, of all requests on the connection.
    pub bytes_received: u64,
    /// Octets a second that arrive.
    pub delivery_rate: Option<u64>,
}

impl From<Info> for TcpFacts {
    fn from(info: Info) -> Self {
        TcpFacts {
            rtt_us: info.srtt_us,
            min_rtt_us: info.min_rtt_us,
            cwnd: info.cwnd_bytes,
            retransmits: info.retransmissions,
            bytes_acked: info.bytes_acked,
            bytes_received: info.bytes_received,
            delivery_rate: info.measured.delivery_rate_bytes,
        }
    }
}

/// What encrypts a connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TlsFacts {
    /// The version of the protocol.
    pub version: String,
    /// The cipher suite by its name in the registry of IANA.
    pub cipher: String,
    /// How keys were agreed on, by the group's name.
    pub key_exchange: Option<String>,
    /// The protocol that was agreed on above it.
    pub alpn: Option<String>,
    /// The name that the client asked for.
    pub server_name: Option<String>,
    /// An earlier session goes on.
    pub resumed: bool,
}

impl From<Agreement> for TlsFacts {
    fn from(agreement: Agreement) -> Self {
        TlsFacts {
            version: agreement.version,
            cipher: agreement.cipher_suite,
            key_exchange: agreement.key_exchange,
            alpn: agreement.protocol.map(|protocol| String::from_utf8_lossy(&protocol).into_owned()),
            server_name: agreement.server_name,
            resumed: agreement.is_resumed,
        }
    }
}

impl<S: Facts + Connection> Facts for TlsStream<S> {
    fn tcp(&self) -> Option<TcpFacts> {
        self.below().tcp()
    }

    fn tls(&self) -> Option<TlsFacts> {
        self.agreement().map(TlsFacts::from)
    }

    fn speaks_http2(&self) -> bool {
        self.protocol() == Some(b"h2")
    }

    fn is_encrypted(&self) -> bool {
        TlsStream::is_encrypted(self)
    }
}

impl Facts for TcpStream {
    fn tcp(&self) -> Option<TcpFacts> {
        self.info().map(TcpFacts::from)
    }
}
