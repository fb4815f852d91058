//! `[tcp]`: the connections of the host, unless a service says otherwise.

use super::{TcpKey, unwritten};
use crate::base::limits;
use crate::daemon::units::{ByteCount, Period};
use crate::transport::tcp::config::{Algorithm, Ecn, MtuProbing, Recall};
use serde::{Deserialize, Serialize};
use toml::Spanned;

/// `[tcp]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tcp {
    /// How long a connection may be silent before it is probed; 0: never.
    pub keepalive: Period,
    /// Between two probes.
    pub keepalive_interval: Period,
    /// Unanswered probes before the connection ends.
    pub keepalive_probes: u32,
    /// How long sent data may stay unacknowledged before the connection ends; 0: for ever.
    pub user_timeout: Period,
    /// How long TIME-WAIT lasts: two maximum segment lifetimes.
    pub time_wait: Period,
    /// Bytes a connection takes from its application before they are acknowledged.
    pub send_buffer: Spanned<ByteCount>,
    /// Bytes a connection keeps for its application to read.
    pub receive_buffer: Spanned<ByteCount>,
    /// Accepted connections that wait for the application.
    pub backlog: u32,
    /// The congestion control.
    pub congestion: Algorithm,
    /// A rise of the round-trip time ends the first slow start.
    pub hystart: bool,
    /// Spread what is sent over the round trip.
    pub pacing: bool,
    /// Explicit congestion notification.
    pub ecn: Ecn,
    /// Take data on SYNs that bring a cookie of ours (RFC 7413).
    pub fast_open: bool,
    /// Peers that must sign their segments, and the keys.
    #[serde(rename = "key", skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<TcpKey>,
    /// What a connection takes over from earlier ones to the same host.
    pub metrics: Recall,
    /// Keep what each acknowledgment does, for `tapstack show trace`.
    pub trace: bool,
    /// Finding the path MTU without ICMP.
    pub mtu_probing: MtuProbing,
    /// Tell the peer how long we wait, and heed what it says (RFC 5482).
    pub user_timeout_option: bool,
    /// The largest window that is announced; 0: what the receive buffer allows.
    pub window_clamp: Spanned<ByteCount>,
    /// Bytes that may wait to be sent for the first time before a connection takes no more; 0: what the stack thinks best.
    pub notsent_lowat: Spanned<ByteCount>,
}

impl Default for Tcp {
    fn default() -> Self {
        Tcp {
            keepalive: Period::default(),
            keepalive_interval: Period::from_secs(75),
            keepalive_probes: 9,
            user_timeout: Period::from_secs(300),
            time_wait: Period::from_secs(60),
            send_buffer: unwritten(ByteCount(limits::TCP_SEND_BUFFER as u64)),
            receive_buffer: unwritten(ByteCount(limits::TCP_RECEIVE_BUFFER as u64)),
            backlog: limits::TCP_BACKLOG as u32,
            congestion: Algorithm::default(),
            hystart: true,
            pacing: true,
            ecn: Ecn::default(),
            fast_open: false,
            keys: Vec::new(),
            metrics: Recall::default(),
            trace: false,
            mtu_probing: MtuProbing::default(),
            user_timeout_option: false,
            window_clamp: unwritten(ByteCount(0)),
            notsent_lowat: unwritten(ByteCount(0)),
        }
    }
}
