//! What is told of a connection: the fields of [`Info`], computed when somebody asks.

use super::traffic::{More, Traffic};
use super::{CaState, Connection, Timer};
use crate::base::time::{Duration, Instant};
use crate::transport::tcp::info::{Info, Measured, TimerInfo};
use crate::transport::tcp::mss::mtu_for;
use crate::transport::tcp::segment::Segment;
use crate::transport::tcp::trace::Point;

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Connection {
    /// A snapshot for `show sockets`, with how long ago things happened.
    pub fn info_at(&self, now: Instant) -> Info {
        let traffic = self.traffic();
        let ago = |at| micros(now.since(at));
        Info {
            last_data_sent_ago_us: (traffic.data_segments_sent > 0).then(|| ago(self.liveness.sent_at)),
            last_data_received_ago_us: (traffic.data_segments_received > 0).then(|| ago(traffic.data_received_at)),
            last_ack_received_ago_us: Some(micros(now.since(self.liveness.heard_at))),
            ..self.info()
        }
    }

    /// A snapshot for `show sockets`, but for what depends on the time.
    pub fn info(&self) -> Info {
        let (window, totals, traffic) = (self.congestion.window(), &self.totals, self.traffic());
        let census = self.flight.census(self.mss());
        Info {
            state: self.state.to_string(),
            local: self.local(),
            remote: self.remote(),
            recovery: self.recovery_name(),
            congestion: self.congestion.name(),
            cwnd_bytes: window.cwnd,
            ssthresh_bytes: (window.ssthresh != u32::MAX).then_some(window.ssthresh),
            mss_bytes: self.mss(),
            receive_mss_bytes: self.rcv.full_segment,
            advertised_mss_bytes: u32::from(self.rcv.announced_mss),
            path_mtu_bytes: mtu_for(self.remote().ip(), self.snd.path_mss),
            in_flight_bytes: self.recovery.pipe(&self.flight),
            lost_bytes: self.flight.lost(),
            sacked_bytes: self.flight.sacked(),
            unacked_segments: census.unacked,
            sacked_segments: census.sacked,
            lost_segments: census.lost,
            resent_segments: census.resent,
            srtt_us: self.rtt.srtt().map(micros),
            rttvar_us: self.rtt.srtt().map(|_| micros(self.rtt.rttvar())),
            min_rtt_us: self.rtt.min().map(micros),
            rto_us: micros(self.rtt.rto(&self.config)),
            backoff: self.rtt.backoff,
            probes: u32::from(self.liveness.probes.max(self.liveness.keepalives)),
            ato_us: self.config.delayed_ack.filter(|_| self.rcv.quick_acks == 0).map(micros),
            send_queue_bytes: self.output.len() as u64,
            not_sent_bytes: u64::from(self.output.end().past(self.snd.nxt)),
            receive_queue_bytes: self.input.ready_len() as u64,
            out_of_order_bytes: self.input.held_len() as u64,
            receive_buffer_bytes: self.receive_size.octets(),
            send_window_bytes: self.snd.wnd,
            receive_window_bytes: self.rcv.wnd(),
            send_window_scale: self.agreed.window_scale.map(|scale| scale.theirs),
            receive_window_scale: self.agreed.window_scale.map(|scale| scale.ours),
            timestamps: self.agreed.timestamps.is_some(),
            sack: self.agreed.sack,
            pacing_rate_bytes: self.pacing_rate(),
            ecn: self.ecn.mode().name(),
            ecn_seen: self.ecn.was_seen(),
            bytes_sent: totals.bytes_sent,
            bytes_acked: totals.bytes_acked,
            bytes_received: totals.bytes_received,
            bytes_retransmitted: traffic.bytes_retransmitted,
            retransmissions: u64::from(traffic.retransmissions),
            segments_sent: u64::from(traffic.segments_sent),
            segments_received: u64::from(traffic.segments_received),
            data_segments_sent: u64::from(traffic.data_segments_sent),
            data_segments_received: u64::from(traffic.data_segments_received),
            out_of_order_segments: u64::from(traffic.out_of_order_segments),
            delivered_segments: u64::from(traffic.delivered_segments) + u64::from(self.snd.una.after(self.snd.iss)),
            last_data_sent_ago_us: None,
            last_data_received_ago_us: None,
            last_ack_received_ago_us: None,
            measured: self.measured(),
            timeouts: u64::from(traffic.timeouts),
            timers: Timer::ALL
                .into_iter()
                .filter_map(|timer| {
                    Some(TimerInfo { name: timer.label(), due_us: self.timers.due(timer)?.as_micros() })
                })
                .collect(),
        }
    }

    /// How it is, for those who look at every step of it.
    pub(in crate::transport::tcp) fn trace_point(&self, now: Instant) -> Option<Point> {
        if !self.config.trace {
            return None;
        }
        let window = self.congestion.window();
        Some(Point {
            at_us: now.as_micros(),
            local: self.local(),
            remote: self.remote(),
            state: self.state.name().into(),
            recovery: self.recovery_name().into(),
            congestion: self.congestion.name().into(),
            cwnd_bytes: window.cwnd,
            ssthresh_bytes: (window.ssthresh != u32::MAX).then_some(window.ssthresh),
            in_flight_bytes: self.recovery.pipe(&self.flight),
            srtt_us: self.rtt.srtt().map(micros),
            pacing_rate_bytes: self.pacing_rate(),
            acked_bytes: self.totals.bytes_acked,
            retransmitted_bytes: self.traffic().bytes_retransmitted,
        })
    }

    /// What loss recovery and congestion control measure beyond their windows.
    fn measured(&self) -> Measured {
        let traffic = self.traffic();
        Measured {
            reorderings_seen: Some(traffic.reorderings),
            dsack_duplicates: Some(traffic.dsacks),
            delivered_ce_segments: self.accurate().map(|accurate| accurate.marked().0),
            received_ce_segments: self.accurate().map(|accurate| accurate.marked().1),
            ..Measured::default()
        }
    }

    /// Linux's word for what recovery is doing: in disorder something came out of order, and nothing is known to be
    /// lost.
    fn recovery_name(&self) -> &'static str {
        match self.ca_state() {
            CaState::Open => "open",
            CaState::Disorder => "disorder",
            CaState::Cwr => "cwr",
            CaState::Recovery => "recovery",
            CaState::Loss => "loss",
        }
    }

    /// What was counted of segments.
    pub(super) fn traffic(&self) -> Traffic {
        self.totals.traffic.all()
    }

    /// Counts a segment that goes out, super-segments as those they are cut into.
    pub(super) fn count_sent(&mut self, octets: usize, each: u32, now: Instant) {
        if octets > 0 || self.totals.traffic.has_begun() {
            let segments = (octets as u32).div_ceil(each.max(1));
            self.totals.traffic.add(More { sent: segments.max(1), data_sent: segments, ..More::default() }, now);
        }
    }

    /// Counts a segment that came in.
    pub(super) fn count_received(&mut self, seg: &Segment, now: Instant) {
        let octets = seg.payload.len() as u32;
        if octets == 0 && !self.totals.traffic.has_begun() {
            return;
        }
        let segments = octets.div_ceil(seg.segment_size.map_or(octets, u32::from).max(1));
        let is_beyond_gap = octets > 0 && seg.seq.after(self.rcv.nxt) && self.state.is_synchronized();
        let more = More { received: segments.max(1), data_received: segments, ..More::default() };
        self.totals.traffic.add(more, now);
        if is_beyond_gap {
            let traffic = self.totals.traffic.record();
            traffic.out_of_order_segments = traffic.out_of_order_segments.wrapping_add(segments);
        }
    }

    /// Counts what the peer is newly known to have.
    pub(super) fn count_delivered(&mut self, octets: u32, now: Instant) {
        let delivered = octets.div_ceil(self.mss());
        if self.totals.traffic.has_begun() {
            self.totals.traffic.add(More { delivered, ..More::default() }, now);
        }
    }

    /// Counts what was sent again.
    pub(super) fn count_resent(&mut self, octets: u32) {
        let segments = octets.div_ceil(self.mss());
        let traffic = self.totals.traffic.record();
        traffic.retransmissions = traffic.retransmissions.wrapping_add(segments);
    }
}
