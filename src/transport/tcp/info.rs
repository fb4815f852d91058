//! A connection as a person wants to see it: the snapshot behind `show sockets`, with what Linux tells in `tcp_info`.
//!
//! | `tcp_info` | here |
//! |---|---|
//! | `state`, `ca_state`, `options` | `state`, `recovery`, `timestamps`, `sack`, `ecn`, `ecn_seen` |
//! | `snd_cwnd`, `snd_ssthresh`, `unacked`, `sacked`, `lost`, `retrans`, `delivered` | segments there; octets here, and segments beside them |
//! | `rto`, `ato`, `rtt`, `rttvar`, `min_rtt` | `_us` |
//! | `last_data_sent`, `last_data_recv`, `last_ack_recv` | `_ago_us` |
//! | what loss recovery and congestion control measure | [`Measured`] |
//!
//! Not here: `fackets` and `rcv_rtt`, since nothing is decided by them; `busy_time`, `rwnd_limited` and
//! `sndbuf_limited`, which would cost every connection three clocks.

use serde::Serialize;
use std::net::SocketAddr;

/// A snapshot of one connection. Durations are microseconds, sizes octets.
#[derive(Clone, Debug, Serialize)]
pub struct Info {
    /// The state in the words of RFC 9293.
    pub state: String,
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// What loss recovery is doing, in Linux's words: `open`, `disorder`, `recovery` or `loss`.
    pub recovery: &'static str,
    /// The congestion control.
    pub congestion: &'static str,
    /// Congestion window.
    pub cwnd_bytes: u32,
    /// Where slow start ends; `None` before the first loss.
    pub ssthresh_bytes: Option<u32>,
    /// Payload of a full segment.
    pub mss_bytes: u32,
    /// Payload of the largest segment the peer sent.
    pub receive_mss_bytes: u32,
    /// The MSS that we announced.
    pub advertised_mss_bytes: u32,
    /// The largest packet that the path takes, as far as known.
    pub path_mtu_bytes: u32,
    /// In the network.
    pub in_flight_bytes: u32,
    /// Lost and not yet sent again.
    pub lost_bytes: u32,
    /// At the receiver beyond a gap.
    pub sacked_bytes: u32,
    /// Segments sent and not acknowledged, sacked and lost ones among them.
    pub unacked_segments: u32,
    /// Of those, at the receiver beyond a gap.
    pub sacked_segments: u32,
    /// Of those, lost and not yet sent again.
    pub lost_segments: u32,
    /// Of those, sent again and on the way.
    pub resent_segments: u32,
    /// Smoothed round-trip time.
    pub srtt_us: Option<u64>,
    /// Its variation.
    pub rttvar_us: Option<u64>,
    /// The least round-trip time seen.
    pub min_rtt_us: Option<u64>,
    /// Retransmission timeout, backoff included.
    pub rto_us: u64,
    /// How often it was doubled.
    pub backoff: u32,
    /// Probes of a closed window and keepalives since the peer last answered.
    pub probes: u32,
    /// How long an ACK waits for company; `None` while ACKs don't wait.
    pub ato_us: Option<u64>,
    /// Unacknowledged and unsent.
    pub send_queue_bytes: u64,
    /// Unsent.
    pub not_sent_bytes: u64,
    /// Unread.
    pub receive_queue_bytes: u64,
    /// Received beyond a gap.
    pub out_of_order_bytes: u64,
    /// Octets that may be kept for the application at the moment.
    pub receive_buffer_bytes: u32,
    /// SND.WND.
    pub send_window_bytes: u32,
    /// RCV.WND.
    pub receive_window_bytes: u32,
    /// The peer's shift.
    pub send_window_scale: Option<u8>,
    /// Our shift.
    pub receive_window_scale: Option<u8>,
    /// Octets a second at which data goes out, if it is paced.
    pub pacing_rate_bytes: Option<u64>,
    /// Timestamps are in use.
    pub timestamps: bool,
    /// SACK is in use.
    pub sack: bool,
    /// How marks are told of: `off`, `classic` (RFC 3168) or `accurate` (RFC 9768).
    pub ecn: &'static str,
    /// Something arrived that could be marked, or was.
    pub ecn_seen: bool,
    /// Sent for the first time.
    pub bytes_sent: u64,
    /// Acknowledged by the peer.
    pub bytes_acked: u64,
    /// Received in order.
    pub bytes_received: u64,
    /// Sent again.
    pub bytes_retransmitted: u64,
    /// Segments sent again.
    pub retransmissions: u64,
    /// Segments sent, those without data and those sent again among them; counted from the first data on.
    pub segments_sent: u64,
    /// Segments received, from then on.
    pub segments_received: u64,
    /// Segments with data sent.
    pub data_segments_sent: u64,
    /// Segments with data received.
    pub data_segments_received: u64,
    /// Of those, segments that came beyond a gap.
    pub out_of_order_segments: u64,
    /// Segments that the peer is known to have, our SYN among them.
    pub delivered_segments: u64,
    /// How long ago data was last sent.
    pub last_data_sent_ago_us: Option<u64>,
    /// How long ago data last arrived.
    pub last_data_received_ago_us: Option<u64>,
    /// How long ago anything acceptable last arrived.
    pub last_ack_received_ago_us: Option<u64>,
    /// What loss recovery and congestion control measure.
    #[serde(flatten)]
    pub measured: Measured,
    /// Times the retransmission timer expired.
    pub timeouts: u64,
    /// The timers that run.
    pub timers: Vec<TimerInfo>,
}

/// What loss recovery and congestion control measure, each as far as the one in use does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Measured {
    /// Octets a second that arrive.
    pub delivery_rate_bytes: Option<u64>,
    /// The delivery rate says more about the application than about the path.
    pub delivery_rate_app_limited: Option<bool>,
    /// Segments that may overtake each other before one counts as lost.
    pub reordering_segments: Option<u32>,
    /// Times that reordering was seen.
    pub reorderings_seen: Option<u32>,
    /// Segments that the peer said it has twice (RFC 2883).
    pub dsack_duplicates: Option<u32>,
    /// Segments delivered with a mark of congestion, as the peer tells it (RFC 9768).
    pub delivered_ce_segments: Option<u32>,
    /// Segments that arrived with a mark of congestion, where that is told (RFC 9768).
    pub received_ce_segments: Option<u32>,
}

/// A timer that runs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TimerInfo {
    /// Its name.
    pub name: &'static str,
    /// When it is due, in microseconds of the stack's time.
    pub due_us: u64,
}
