//! What may be chosen for a listener or a connection, with the defaults.

use crate::base::limits;
use crate::base::time::Duration;
use crate::network::packet::DEFAULT_HOP_LIMIT;
use crate::transport::tcp::mss;
use crate::transport::tcp::options::MAX_WINDOW_SCALE;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

/// The most payload of a super-segment that any device takes: what a 16-bit IP length holds besides the longest headers.
pub const SUPER_SEGMENT: u32 = 65_535 - 120;

/// The ECN bits of a traffic class.
pub(super) const ECN_MASK: u8 = 0b11;

/// Keepalive, for connections whose application asked for it (RFC 9293 §3.8.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// How long nothing must arrive before the first probe.
    pub idle: Duration,
    /// From one probe to the next.
    pub interval: Duration,
    /// Probes without any answer after which the connection is given up (RFC 9293 MUST-29: more than one).
    pub count: u32,
}

impl Default for Keepalive {
    /// RFC 9293 MUST-28: two hours. Interval and count are those of Linux.
    fn default() -> Self {
        Keepalive { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), count: 9 }
    }
}

/// The congestion control of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// RFC 9438.
    #[default]
    Cubic,
    /// RFC 5681 with the recovery of RFC 6582.
    NewReno,
    /// BBR, version 3: draft-ietf-ccwg-bbr.
    Bbr,
    /// BBR, version 1, which Linux has: draft-cardwell-iccrg-bbr-congestion-control-00.
    Bbr1,
}

/// Explicit congestion notification (RFC 3168, RFC 9768).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ecn {
    /// Never.
    Off,
    /// Where the peer asks for it, as Linux does, and as accurately as it asks.
    #[default]
    Passive,
    /// We ask for that of RFC 3168 as well.
    On,
    /// We ask for that of RFC 9768 as well; who knows only that of RFC 3168 agrees to that.
    Accurate,
}

/// What a connection takes over from earlier ones to the same host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Recall {
    /// Nothing.
    Off,
    /// How long the round trip may be.
    #[default]
    Rtt,
    /// And where slow start ended.
    All,
}

/// Finding the path MTU without ICMP (RFC 4821).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MtuProbing {
    /// Never.
    Off,
    /// Once full segments are lost again and again.
    #[default]
    BlackHole,
    /// From the beginning.
    Always,
}

/// How segments are signed (RFC 5926).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
pub enum KeyAlgorithm {
    /// HMAC-SHA-1-96.
    #[default]
    #[serde(rename = "hmac-sha-1-96")]
    HmacSha1,
    /// AES-128-CMAC-96.
    #[serde(rename = "aes-128-cmac-96")]
    Aes128Cmac,
}

/// A master key tuple (RFC 5925 §3.1): with its peers nothing unsigned passes.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    /// The peers.
    pub peer: IpNet,
    /// The KeyID of what we sign with it.
    pub send_id: u8,
    /// The KeyID of what the peer signs with it.
    pub receive_id: u8,
    /// How.
    pub algorithm: KeyAlgorithm,
    /// The master key.
    pub secret: Vec<u8>,
    /// TCP options are signed as well.
    pub covers_options: bool,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("peer", &self.peer).field("send_id", &self.send_id).finish_non_exhaustive()
    }
}

/// What may be chosen for a connection. It does not change once the connection is open, but for what
/// [`crate::transport::tcp::connection::Connection`] has a setter for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Bytes kept for the application to read, at most.
    pub receive_buffer: usize,
    /// Bytes taken from the application before they are acknowledged, at most. With `auto_tuning` what the peer has beyond a
    /// gap (RFC 2018) is not counted, up to as much again.
    pub send_buffer: usize,
    /// Begin with small buffers and let them grow with what the path can use.
    pub auto_tuning: bool,
    /// The most payload of one super-segment.
    pub super_segment: u32,
    /// The largest segment to announce and to send, where the path would take more (`TCP_MAXSEG`).
    pub max_segment: Option<u16>,
    /// Hold small segments back while one is unacknowledged (RFC 9293 SHLD-7); an application may turn it off (MUST-17).
    pub nagle: bool,
    /// How long an ACK may wait for company; `None` sends each at once (RFC 9293 MUST-40: below 0.5 s).
    pub delayed_ack: Option<Duration>,
    /// Segments at the beginning whose ACKs don't wait (Linux: 16).
    pub quick_acks: u8,
    /// Keepalive; off by default (RFC 9293 MUST-25).
    pub keepalive: Option<Keepalive>,
    /// R2 for data: how long something may stay unacknowledged before the connection is given up (RFC 9293
    /// MUST-20, MUST-21). RFC 9293 §3.10.1 names five minutes. `None` waits for ever.
    pub user_timeout: Option<Duration>,
    /// Tell the peer how long we wait, and heed what it says (RFC 5482).
    pub user_timeout_option: bool,
    /// Finding the path MTU without ICMP.
    pub mtu_probing: MtuProbing,
    /// The most that is announced to the peer, besides what the receive buffer allows.
    pub window_clamp: Option<u32>,
    /// Octets that may wait to be sent for the first time before a connection is no longer writable.
    pub notsent_lowat: Option<u32>,
    /// Take data on SYNs that bring a cookie of ours, and give cookies to who asks (RFC 7413). A duplicate of such a SYN may
    /// open the connection twice (§6.1): for services whose requests may be repeated.
    pub fast_open: bool,
    /// Peers that must authenticate, with their keys (RFC 5925). Those of the stack's defaults count, for all sockets.
    pub keys: Rc<[MasterKey]>,
    /// How often a SYN is sent again before the open fails. With the initial RTO of one second, seven times
    /// give up after 247 s (RFC 9293 MUST-23: at least three minutes).
    pub syn_retries: u32,
    /// Ask for timestamps (RFC 7323).
    pub timestamps: bool,
    /// Ask for selective acknowledgments (RFC 2018).
    pub sack: bool,
    /// Ask for window scaling (RFC 7323).
    pub window_scale: bool,
    /// Send a tail loss probe when no ACK comes (RFC 8985 §7).
    pub tail_loss_probe: bool,
    /// The congestion control.
    pub congestion: Algorithm,
    /// A rise of the round-trip time ends the first slow start (RFC 9406), where the congestion control has one.
    pub hystart: bool,
    /// Spread what is sent over the round trip. BBR does so in any case.
    pub pacing: bool,
    /// Whether routers may mark what they would drop.
    pub ecn: Ecn,
    /// What is taken over from earlier connections to the same host.
    pub recall: Recall,
    /// Keep a point for each acknowledgment ([`super::trace`]).
    pub trace: bool,
    /// The initial window in segments (RFC 6928).
    pub initial_window: u32,
    /// The time in TIME-WAIT, twice the MSL (RFC 9293 MUST-13).
    ///
    /// DEVIATION(RFC 9293 §3.4.2): the RFC's MSL of two minutes would make it four; 60 s is what Linux
    /// keeps, and timestamps guard against old duplicates for longer.
    pub time_wait: Duration,
    /// How long FIN-WAIT-2 waits for the peer's FIN once the application let go of the connection.
    ///
    /// DEVIATION(RFC 9293 §3.6): the RFC waits for ever, which would let a silent peer keep our memory.
    pub fin_wait_2: Duration,
    /// The least RTO.
    ///
    /// DEVIATION(RFC 6298 (2.4)): 200 ms in place of one second, as Linux; the granularity of the clock is a
    /// millisecond or finer, which is what the one second made up for.
    pub min_rto: Duration,
    /// The greatest RTO (RFC 6298 (2.5): at least 60 s).
    pub max_rto: Duration,
    /// The hop limit of what is sent (RFC 9293 MUST-49).
    pub hop_limit: u8,
    /// DSCP of what is sent, in its place in the traffic class (RFC 9293 MUST-48).
    pub traffic_class: u8,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            receive_buffer: limits::TCP_RECEIVE_BUFFER,
            send_buffer: limits::TCP_SEND_BUFFER,
            auto_tuning: true,
            super_segment: SUPER_SEGMENT,
            max_segment: None,
            nagle: true,
            delayed_ack: Some(Duration::from_millis(40)),
            quick_acks: 16,
            keepalive: None,
            user_timeout: Some(Duration::from_secs(300)),
            user_timeout_option: false,
            mtu_probing: MtuProbing::default(),
            window_clamp: None,
            notsent_lowat: None,
            fast_open: false,
            keys: Rc::default(),
            syn_retries: 7,
            timestamps: true,
            sack: true,
            window_scale: true,
            tail_loss_probe: true,
            congestion: Algorithm::default(),
            hystart: true,
            pacing: true,
            ecn: Ecn::default(),
            recall: Recall::default(),
            trace: false,
            initial_window: 10,
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
            min_rto: Duration::from_millis(200),
            max_rto: Duration::from_secs(120),
            hop_limit: DEFAULT_HOP_LIMIT,
            traffic_class: 0,
        }
    }
}

impl Config {
    /// The shift to offer, so that the whole receive buffer can be announced (RFC 7323 §2.3).
    pub fn receive_window_scale(&self) -> u8 {
        (0..MAX_WINDOW_SCALE).find(|shift| 0xffff << shift >= self.receive_buffer).unwrap_or(MAX_WINDOW_SCALE)
    }

    /// The MSS for an `mtu` on the way to `peer` (RFC 9293 MUST-67), as far as it was not asked for less.
    pub fn mss_for(&self, peer: IpAddr, mtu: u16) -> u16 {
        let fits = mss::mss_for(peer, mtu);
        self.max_segment.map_or(fits, |most| fits.min(most.max(mss::MIN_MSS)))
    }

    /// The traffic class of a packet: DSCP is the user's, and so are the ECN bits where there is never ECN (RFC 9768
    /// §3.1.5 forbids ECT otherwise, unless it was agreed on).
    pub(super) fn class(&self, ecn: u8) -> u8 {
        if self.ecn == Ecn::Off { self.traffic_class } else { self.traffic_class & !ECN_MASK | ecn }
    }

    /// The window field of our SYN, which is never scaled (RFC 7323 §2.2).
    pub fn syn_window(&self) -> u16 {
        let most = self.receive_buffer.min(self.window_clamp.map_or(usize::MAX, |clamp| clamp as usize));
        u16::try_from(most).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_lets_the_whole_buffer_be_announced() {
        let scale = |receive_buffer| Config { receive_buffer, ..Config::default() }.receive_window_scale();
        assert_eq!(scale(1000), 0);
        assert_eq!(scale(0xffff), 0);
        assert_eq!(scale(0x1_0000), 1);
        assert_eq!(scale(1 << 20), 5);
        assert_eq!(scale(usize::MAX), 14);
    }

    #[test]
    fn no_more_than_was_asked_for_is_announced() {
        let peer = IpAddr::from([192, 0, 2, 1]);
        let mss = |max_segment, mtu| Config { max_segment, ..Config::default() }.mss_for(peer, mtu);
        assert_eq!(mss(None, 1500), 1460);
        assert_eq!(mss(Some(1000), 1500), 1000);
        assert_eq!(mss(Some(1000), 576), 536);
        assert_eq!(mss(Some(1), 1500), mss::MIN_MSS);
    }

    #[test]
    fn the_defaults_keep_the_bounds_of_the_rfc() {
        let config = Config::default();
        // RFC 9293 MUST-40, MUST-25, MUST-28, MUST-29.
        assert!(config.delayed_ack.unwrap() < Duration::from_millis(500));
        assert_eq!(config.keepalive, None);
        assert!(Keepalive::default().idle >= Duration::from_secs(7200));
        assert!(Keepalive::default().count > 1);
        // RFC 9293 SHLD-11 (R2 of at least 100 s) and MUST-23 (three minutes for a SYN).
        assert!(config.user_timeout.unwrap() >= Duration::from_secs(100));
        let syn_patience: u32 = (0..=config.syn_retries).map(|n| (1 << n).min(120)).sum();
        assert!(syn_patience >= 180);
        // RFC 6298 (2.5).
        assert!(config.max_rto >= Duration::from_secs(60));
    }
}
