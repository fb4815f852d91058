//! What a socket was told before there is a connection to tell it to, and what only the object knows.

use crate::flags::Flags;
use tapstack::transport::tcp::config::{Config, Keepalive};

/// The settings of a socket; an accepted one inherits its listener's.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// TCP's knobs.
    pub(crate) tcp: Config,
    pub(crate) keepalive: bool,
    /// How, whether on or not.
    pub(crate) keep: Keepalive,
    pub(crate) reuse_address: bool,
    /// `SO_LINGER`, in seconds.
    pub(crate) linger: Option<i32>,
    pub(crate) cork: bool,
    pub(crate) quick_ack: bool,
    /// Unsent octets below which the socket is writable.
    pub(crate) not_sent_low_water: Option<u32>,
    /// `SO_RCVBUF` and `SO_SNDBUF` as they are read back.
    pub(crate) receive_buffer: i32,
    pub(crate) send_buffer: i32,
    /// `IP_MTU_DISCOVER`.
    pub(crate) mtu_discover: i32,
    pub(crate) broadcast: bool,
    pub(crate) priority: i32,
}

impl Settings {
    pub(crate) fn new(flags: &Flags) -> Self {
        let clip = |octets: usize| i32::try_from(octets).unwrap_or(i32::MAX);
        Settings {
            keepalive: flags.tcp.keepalive.is_some(),
            keep: flags.tcp.keepalive.unwrap_or_default(),
            reuse_address: false,
            linger: None,
            cork: false,
            quick_ack: true,
            not_sent_low_water: None,
            receive_buffer: clip(flags.tcp.receive_buffer),
            send_buffer: clip(flags.tcp.send_buffer),
            mtu_discover: libc::IP_PMTUDISC_WANT,
            broadcast: false,
            priority: 0,
            tcp: flags.tcp.clone(),
        }
    }
}
