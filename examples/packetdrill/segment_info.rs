//! `struct tcp_info` as Linux lays it out (`linux/tcp.h`), from the snapshot of a connection. Fields follow one
//! another without gaps, so that writing them in order is the layout.

use tapstack::transport::tcp::info::Info;
use tapstack::transport::tcp::state::State;

/// What `snd_ssthresh` says before the first loss.
const NO_SSTHRESH: u32 = 0x7fff_ffff;

#[derive(Default)]
struct Layout(Vec<u8>);

impl Layout {
    fn octets(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    fn words(&mut self, words: &[u64]) {
        for word in words {
            self.octets(&u32::try_from(*word).unwrap_or(u32::MAX).to_ne_bytes());
        }
    }

    fn longs(&mut self, longs: &[u64]) {
        for long in longs {
            self.octets(&long.to_ne_bytes());
        }
    }
}

/// Linux's number of a state.
fn number(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}

/// The octets of `struct tcp_info`.
pub(crate) fn layout(state: State, info: Option<&Info>) -> Vec<u8> {
    let mut out = Layout::default();
    let Some(info) = info else {
        out.octets(&[number(state)]);
        out.0.resize(248, 0);
        return out.0;
    };
    let measured = &info.measured;
    let small = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    let ca_state = match info.recovery {
        "disorder" => 1,
        "recovery" => 3,
        "loss" => 4,
        _ => 0,
    };
    let scales = info.send_window_scale.zip(info.receive_window_scale);
    let options = u8::from(info.timestamps)
        | u8::from(info.sack) << 1
        | u8::from(scales.is_some()) << 2
        | u8::from(info.ecn != "off") << 3
        | u8::from(info.ecn_seen) << 4;
    let (theirs, ours) = scales.unwrap_or_default();
    out.octets(&[number(state), ca_state, small(info.backoff), small(info.probes), small(info.backoff), options]);
    out.octets(&[theirs | ours << 4, u8::from(measured.delivery_rate_app_limited == Some(true))]);
    let mss = u64::from(info.mss_bytes.max(1));
    out.words(&[info.rto_us, info.ato_us.unwrap_or(0), mss, u64::from(info.receive_mss_bytes)]);
    out.words(&[info.unacked_segments, info.sacked_segments, info.lost_segments, info.resent_segments].map(u64::from));
    let millis = |micros: Option<u64>| micros.unwrap_or(0) / 1000;
    // Neither `fackets` nor when an ACK was last sent is kept, here as there.
    out.words(&[0, millis(info.last_data_sent_ago_us), 0]);
    out.words(&[millis(info.last_data_received_ago_us), millis(info.last_ack_received_ago_us)]);
    out.words(&[u64::from(info.path_mtu_bytes), u64::from(info.receive_buffer_bytes)]);
    out.words(&[info.srtt_us.unwrap_or(0), info.rttvar_us.unwrap_or(0)]);
    let ssthresh = info.ssthresh_bytes.map_or(u64::from(NO_SSTHRESH), |octets| u64::from(octets) / mss);
    out.words(&[ssthresh, u64::from(info.cwnd_bytes) / mss, u64::from(info.advertised_mss_bytes)]);
    out.words(&[u64::from(measured.reordering_segments.unwrap_or(3)), 0, u64::from(info.receive_buffer_bytes)]);
    out.words(&[info.retransmissions]);
    let unlimited = u64::MAX;
    out.longs(&[info.pacing_rate_bytes.unwrap_or(unlimited), unlimited, info.bytes_acked, info.bytes_received]);
    out.words(&[info.segments_sent, info.segments_received, info.not_sent_bytes]);
    out.words(&[info.min_rtt_us.unwrap_or(u64::from(u32::MAX))]);
    out.words(&[info.data_segments_received, info.data_segments_sent]);
    out.longs(&[measured.delivery_rate_bytes.unwrap_or(0), 0, 0, 0]);
    out.words(&[info.delivered_segments, u64::from(measured.delivered_ce_segments.unwrap_or(0))]);
    out.longs(&[info.bytes_sent + info.bytes_retransmitted, info.bytes_retransmitted]);
    out.words(&[measured.dsack_duplicates.unwrap_or(0), measured.reorderings_seen.unwrap_or(0)].map(u64::from));
    out.words(&[info.out_of_order_segments, u64::from(info.send_window_bytes)]);
    out.words(&[u64::from(info.receive_window_bytes), 0]);
    out.octets(&u16::try_from(info.timeouts).unwrap_or(u16::MAX).to_ne_bytes());
    out.octets(&[0; 6]);
    out.0
}
