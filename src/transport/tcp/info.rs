//! A connection as a person wants to see it: the snapshot behind `show sockets`.

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
    /// The congestion control.
    pub congestion: &'static str,
    /// Congestion window.
    pub cwnd_bytes: u32,
    /// Where slow start ends; `None` before the first loss.
    pub ssthresh_bytes: Option<u32>,
    /// Payload of a full segment.
    pub mss_bytes: u32,
    /// In the network.
    pub in_flight_bytes: u32,
    /// Lost and not yet sent again.
    pub lost_bytes: u32,
    /// At the receiver beyond a gap.
    pub sacked_bytes: u32,
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
    /// Unacknowledged and unsent.
    pub send_queue_bytes: u64,
    /// Unread.
    pub receive_queue_bytes: u64,
    /// Received beyond a gap.
    pub out_of_order_bytes: u64,
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
    /// ECN is in use.
    pub ecn: bool,
    /// Timestamps are in use.
    pub timestamps: bool,
    /// SACK is in use.
    pub sack: bool,
    /// Sent for the first time.
    pub bytes_sent: u64,
    /// Acknowledged by the peer.
    pub bytes_acked: u64,
    /// Received in order.
    pub bytes_received: u64,
    /// Sent again.
    pub bytes_retransmitted: u64,
    /// Segments, super-segments counted once, sent again.
    pub retransmissions: u64,
    /// Times the retransmission timer expired.
    pub timeouts: u64,
    /// The timers that run.
    pub timers: Vec<TimerInfo>,
}

/// A timer that runs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TimerInfo {
    /// Its name.
    pub name: &'static str,
    /// When it is due, in microseconds of the stack's time.
    pub due_us: u64,
}
