//! Is there anything to say, and what? A segment is planned from the state as it is when it is pulled, so that
//! it carries the newest ACK and window.
//!
//! The plan decides without changing anything (and so can be asked for at any time); carrying it out builds the
//! segment and notes that it went. In the plan are Nagle's algorithm (RFC 9293 SHLD-7), the sender's
//! avoidance of silly windows (MUST-38) and the piggybacking of ACKs (MUST-58).
//!
//! DEVIATION(RFC 9293 SHLD-7): a small segment waits only while another *small* one is unacknowledged, not
//! while anything is. The end of a large write then goes out with the rest of it instead of meeting the
//! peer's delayed ACK; a stream of small writes is held together as before.

use super::{Connection, State};
use crate::base::counters::Counter;
use crate::base::ranges::Range;
use crate::base::seq::Seq;
use crate::base::time::Instant;
use crate::network::packet::Datagram;
use crate::physical::frame::Body;
use crate::transport::Context;
use crate::transport::tcp::authentication::OPTION_LEN;
use crate::transport::tcp::config::SUPER_SEGMENT;
use crate::transport::tcp::mss::MIN_MSS;
use crate::transport::tcp::options::{Options, SackBlocks};
use crate::transport::tcp::segment::{Flags, Header, emit};
use bytes::Bytes;

/// Duplicate ACKs that wait to be sent, each on its own.
const MAX_DUPLICATES: u8 = 16;

/// A SYN that is sent for the fifth time has no option but the MSS: after 15 seconds something on the way may dislike the
/// others. ECN and data go sooner, with the first retransmission or the second (RFC 3168 §6.1.1.1, RFC 9768 §3.1.4.1,
/// RFC 7413 §4.1.3).
///
/// Linux gives up ECN and data in the same way and keeps the other options for ever. A peer that does understand them
/// pays with its window scale for this connection, but only after an outage of that length at the very beginning.
const PLAIN_SYN: u32 = 4;

/// What waits to be said besides data.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    /// A reset, the last thing this connection says.
    pub(super) reset: Option<Reset>,
    /// SYN, or SYN-ACK in SYN-RECEIVED.
    pub(super) syn: bool,
    /// An ACK.
    pub(super) ack: AckDue,
    /// The ACK is a challenge.
    pub(super) challenge: bool,
    /// ACKs that must go out one by one.
    pub(super) duplicates: u8,
    /// A probe of the closed window.
    pub(super) probe: bool,
    /// A tail loss probe.
    pub(super) tail_probe: bool,
    /// A keepalive.
    pub(super) keepalive: bool,
    /// Send what there is, although it is small (RFC 9293 §3.8.6.2.1 (4)).
    pub(super) override_sws: bool,
}

/// Whether an ACK is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum AckDue {
    /// None.
    #[default]
    No,
    /// It waits for company.
    Delayed,
    /// At once.
    Now,
}

/// A reset to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reset {
    pub(super) seq: Seq,
    pub(super) with_ack: bool,
}

/// What the next segment is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plan {
    Reset(Reset),
    Syn,
    Resend(Range),
    New(Range),
    TailProbe(Range),
    PathProbe(Range),
    Probe,
    Keepalive,
    Ack,
}

impl Connection {
    /// True if [`poll_transmit`](Self::poll_transmit) would give something.
    pub fn has_output(&self, now: Instant) -> bool {
        self.plan(now).is_some()
    }

    /// The next segment, or super-segment, to send; `None` if there is nothing to say.
    pub fn poll_transmit(&mut self, cx: &mut Context) -> Option<Datagram> {
        let datagram = match self.plan(cx.now)? {
            Plan::Reset(reset) => self.send_reset(reset, cx),
            Plan::Syn => self.send_syn(cx),
            Plan::Resend(range) => self.send_again(range, cx),
            Plan::New(range) => self.send_new(range, cx),
            Plan::TailProbe(range) => self.send_tail_probe(range, cx),
            Plan::PathProbe(range) => {
                self.on_path_probe_sent(range);
                self.send_new(range, cx)
            }
            Plan::Probe => self.send_probe(cx),
            Plan::Keepalive => {
                self.pending.keepalive = false;
                cx.counters.count(Counter::TcpKeepAlive);
                // RFC 9293 §3.8.4: SND.NXT-1 and no data (SHLD-12), so that the peer must answer.
                self.send(self.snd.nxt - 1, Flags::ACK, Body::new(), false, cx)
            }
            Plan::Ack => self.send(self.snd.bare_seq(), Flags::ACK, Body::new(), false, cx),
        };
        self.arm_timers(cx.now);
        Some(datagram)
    }

    fn plan(&self, now: Instant) -> Option<Plan> {
        if let Some(reset) = self.pending.reset {
            return Some(Plan::Reset(reset));
        }
        match self.state {
            State::Closed | State::Listen => return None,
            State::SynSent => return self.pending.syn.then_some(Plan::Syn),
            State::SynReceived if self.pending.syn => return Some(Plan::Syn),
            _ => {}
        }
        if self.pending.duplicates > 1 || self.owes_handshake_ack() {
            return Some(Plan::Ack);
        }
        if self.may_transmit_data()
            && let Some(plan) = self.plan_data(now)
        {
            return Some(plan);
        }
        if self.pending.keepalive {
            return Some(Plan::Keepalive);
        }
        (self.pending.ack == AckDue::Now).then_some(Plan::Ack)
    }

    /// The states in which data or a FIN may be out.
    fn may_transmit_data(&self) -> bool {
        use State::{CloseWait, Closing, Established, FinWait1, LastAck};
        matches!(self.state, Established | CloseWait | FinWait1 | Closing | LastAck) || self.may_answer_fast()
    }

    /// First what recovery says is lost, then what is new (RFC 6675 §4 NextSeg); the other way round where new data is
    /// to tell whether anything is lost (RFC 5682). A tail loss probe waits for nothing.
    fn plan_data(&self, now: Instant) -> Option<Plan> {
        if self.is_window_closed() {
            return self.pending.probe.then_some(Plan::Probe);
        }
        if self.pending.tail_probe
            && let Some(range) = self.plan_tail_probe()
        {
            return Some(Plan::TailProbe(range));
        }
        if self.pacing.holds_back(now) && !self.recovery.is_urgent() {
            return None;
        }
        self.plan_released_data()
    }

    /// True if data would go but for pacing.
    pub(super) fn is_waiting_for_release(&self) -> bool {
        self.may_transmit_data() && !self.is_window_closed() && self.plan_released_data().is_some()
    }

    fn plan_released_data(&self) -> Option<Plan> {
        let room = self.room();
        if let Some(lost) = self.recovery.next(&self.flight) {
            let new = if self.recovery.wants_new_first() { self.plan_new(room) } else { None };
            return new.map(Plan::New).or_else(|| self.plan_resend(lost, room).map(Plan::Resend));
        }
        if let Some(range) = self.plan_path_probe(room) {
            return Some(Plan::PathProbe(range));
        }
        self.plan_new(room).map(Plan::New)
    }

    /// How much of what is lost goes out: whole segments as far as the window of congestion control has room, at
    /// least one if recovery says so, and nothing beyond the window of the peer.
    fn plan_resend(&self, lost: Range, room: u32) -> Option<Range> {
        let mss = self.mss();
        let allowed = if self.recovery.is_urgent() { room.max(mss) } else { room };
        let len = lost.len().min(self.snd.edge().past(lost.start));
        if len == 0 || allowed < len.min(mss) {
            return None;
        }
        let whole = (allowed.min(self.super_segment()).min(self.pacing_quantum()) / mss).max(1) * mss;
        Some(Range::starting(lost.start, len.min(whole).min(self.urgent_limit())))
    }

    /// How much of what is new goes out, FIN included.
    fn plan_new(&self, room: u32) -> Option<Range> {
        if !self.has_unsent() || self.flight.is_full() {
            return None;
        }
        let (from, mss) = (self.snd.nxt, self.mss());
        let unsent = self.output.end().past(from);
        let usable = self.snd.usable();
        let most = (self.super_segment() / mss * mss).min(self.pacing_quantum());
        let limit = usable.min(room).min(most).min(self.urgent_limit());
        if unsent <= limit {
            let is_last = self.snd.closing && usable > unsent && self.state.is_synchronized();
            let tail = unsent % mss;
            if is_last || (unsent > 0 && (tail == 0 || self.may_send_small())) {
                return Some(Range::starting(from, unsent + u32::from(is_last)));
            }
            return (unsent > tail).then(|| Range::starting(from, unsent - tail));
        }
        // More is there than may go: whole segments, or what RFC 9293 §3.8.6.2.1 (3) and (4) allow.
        let whole = limit / mss * mss;
        if whole > 0 {
            return Some(Range::starting(from, whole));
        }
        let is_window_the_limit = usable <= room && usable > 0;
        let is_worthwhile = usable >= self.snd.max_wnd.div_ceil(2) || self.pending.override_sws;
        (is_window_the_limit && is_worthwhile).then(|| Range::starting(from, limit))
    }

    /// The most payload of one super-segment: a router on the way would have to cut a longer one, all of it, where
    /// others it passes on as they are.
    fn super_segment(&self) -> u32 {
        let most = if self.is_authenticated() { self.mss() } else { self.config.super_segment };
        if self.snd.is_direct { most } else { most.min(SUPER_SEGMENT) }
    }

    /// RFC 9293 §3.7.4: the sender's avoidance of small segments.
    fn may_send_small(&self) -> bool {
        if self.pending.override_sws {
            return true;
        }
        let waits = self.config.nagle && self.snd.small_end.after(self.snd.una);
        !self.user.corked && !waits
    }

    /// While urgent data is out segments go one by one, since whoever cuts a super-segment does not know the urgent
    /// pointer.
    fn urgent_limit(&self) -> u32 {
        if self.urgent().snd_up.is_some() { self.mss() } else { u32::MAX }
    }

    /// True if data, or a FIN, was never sent.
    pub(super) fn has_unsent(&self) -> bool {
        let end = self.output.end();
        end.after(self.snd.nxt) || (self.snd.closing && self.snd.nxt.at_or_before(end))
    }

    /// True if something is to be sent and the peer's window is closed: time to probe it (RFC 9293 MUST-36).
    pub(super) fn is_window_closed(&self) -> bool {
        self.snd.wnd == 0 && self.may_transmit_data() && (self.has_unsent() || !self.flight.is_empty())
    }

    /// True if nothing is out whose ACK could let go what is queued.
    pub(super) fn is_waiting_for_window(&self) -> bool {
        self.snd.wnd > 0
            && self.flight.is_empty()
            && self.has_unsent()
            && self.may_transmit_data()
            && self.plan_new(self.congestion.window().cwnd).is_none()
    }

    /// The window field of the next segment and the right edge it announces.
    pub(super) fn announcement(&self) -> (u16, Seq) {
        let room = self.window_limit().saturating_sub(self.input.ready_len() as u32);
        self.rcv.announce(room, self.agreed.our_shift(), self.worthwhile_window())
    }

    /// RFC 9293 §3.8.6.2.2: the least step by which the window opens.
    fn worthwhile_window(&self) -> u32 {
        (self.window_limit() / 2).min(u32::from(self.rcv.announced_mss))
    }

    /// True if the user read so much that the peer should hear of it without waiting for its next segment: the window
    /// at least doubles, or opens by half the buffer.
    pub(super) fn is_window_update_due(&self) -> bool {
        let gain = self.announcement().1.past(self.rcv.edge);
        gain >= self.worthwhile_window() && (gain >= self.rcv.wnd() || gain >= self.window_limit() / 2)
    }

    fn send_reset(&mut self, reset: Reset, cx: &mut Context) -> Datagram {
        self.pending.reset = None;
        cx.counters.count(Counter::TcpOutRsts);
        if reset.with_ack {
            return self.send(reset.seq, Flags::RST | Flags::ACK, Body::new(), false, cx);
        }
        let header = Header { seq: reset.seq, ack: Seq(0), flags: Flags::RST, window: 0, ..self.header() };
        self.address(emit(&header, &Options::default(), Body::new(), None))
    }

    fn send_syn(&mut self, cx: &mut Context) -> Datagram {
        self.pending.syn = false;
        let is_answer = self.state == State::SynReceived;
        if is_answer && !self.is_answering_fast() || self.rtt.backoff > 0 {
            self.flight.on_resent(Range::starting(self.snd.iss, 1), cx.now);
        }
        if self.rtt.backoff > 0 {
            cx.counters.count(Counter::TcpRetransSegs);
        } else {
            cx.counters.count(Counter::TcpOutSegs);
        }
        let (flags, ack) = if is_answer { (Flags::SYN | Flags::ACK, self.rcv.nxt) } else { (Flags::SYN, Seq(0)) };
        let flags = flags | self.syn_ecn_flags(is_answer);
        let mut options = self.syn_options(is_answer, cx);
        // What was announced already does not move, also if data came with the peer's SYN.
        let window = if is_answer { self.rcv.wnd().min(0xffff) as u16 } else { self.config.syn_window() };
        let is_first = !is_answer && self.rtt.backoff == 0;
        let body = if is_first { self.add_fast_open(&mut options, cx) } else { Body::new() };
        if is_answer {
            self.add_accurate_option_to_syn_ack(&mut options);
        }
        let header = Header { seq: self.snd.iss, ack, flags, window, ..self.header() };
        if is_answer {
            self.pending.ack = AckDue::No;
            self.rcv.last_ack = self.rcv.nxt;
        }
        self.address(emit(&header, &options, body, None))
    }

    /// Octets of options that the signature takes (RFC 5925).
    pub(super) fn reserved_options(&self) -> u8 {
        if self.is_authenticated() { OPTION_LEN as u8 } else { 0 }
    }

    /// The options of our SYN: all that we can do. Of our SYN-ACK: what the peer asked for as well.
    fn syn_options(&self, is_answer: bool, cx: &Context) -> Options {
        // RFC 9293 MUST-14, MUST-67: the MSS says what we can take, whatever the peer takes.
        let mss = self.config.mss_for(self.remote().ip(), cx.paths.mtu_to(self.remote().ip()));
        let options = Options { mss: Some(mss), ..Options::default() };
        if !is_answer && self.rtt.backoff >= PLAIN_SYN {
            return options;
        }
        let (scale, sack) = if is_answer {
            (self.agreed.window_scale.map(|scale| scale.ours), self.agreed.sack)
        } else {
            (self.config.window_scale.then(|| self.config.receive_window_scale()), self.config.sack)
        };
        Options {
            window_scale: scale,
            sack_permitted: sack,
            timestamps: self.agreed.timestamps.map(|clock| clock.option(cx.now)),
            user_timeout: self.user_timeout_of_syn(),
            ..options
        }
    }

    fn send_new(&mut self, range: Range, cx: &mut Context) -> Datagram {
        self.pending.override_sws = false;
        self.snd.nxt = range.end;
        self.congestion.on_sent(cx.now, self.recovery.pipe(&self.flight));
        self.flight.on_sent(range, cx.now);
        self.recovery.on_sent(range.len());
        self.arm_tail_probe(cx.now);
        self.usage.on_sent(self.recovery.pipe(&self.flight), self.congestion.window().cwnd);
        let octets = range.intersection(Range::new(range.start, self.output.end())).len();
        if !octets.is_multiple_of(self.mss()) {
            self.snd.small_end = range.end;
        }
        self.totals.bytes_sent += u64::from(octets);
        self.note_app_limited();
        self.tell_of_room();
        cx.counters.add(Counter::TcpOutSegs, u64::from(octets.div_ceil(self.mss()).max(1)));
        let (flags, ecn) = self.mark_new_data(octets == 0);
        self.send_range(range, flags, ecn, false, cx)
    }

    fn send_again(&mut self, range: Range, cx: &mut Context) -> Datagram {
        self.note_lost_option(range.start);
        self.flight.on_resent(range, cx.now);
        self.recovery.on_resent(range.len(), cx.now);
        self.restart_timer_for_resent(range.start, cx.now);
        self.send_retransmission(range, cx)
    }

    /// A tail loss probe (RFC 8985 §7.3).
    fn send_tail_probe(&mut self, range: Range, cx: &mut Context) -> Datagram {
        self.pending.tail_probe = false;
        cx.counters.count(Counter::TcpLossProbes);
        let is_new = range.start == self.snd.nxt;
        self.recovery.on_probe_sent(range.end.max(self.snd.nxt), !is_new);
        if is_new {
            return self.send_new(range, cx);
        }
        self.flight.on_doubled(range, cx.now);
        self.send_retransmission(range, cx)
    }

    fn send_retransmission(&mut self, range: Range, cx: &mut Context) -> Datagram {
        self.usage.on_sent(self.recovery.pipe(&self.flight), self.congestion.window().cwnd);
        let octets = self.output.end().min(range.end).past(range.start).max(1);
        self.count_resent(octets);
        self.totals.traffic.record().bytes_retransmitted += u64::from(range.len());
        cx.counters.add(Counter::TcpRetransSegs, u64::from(octets.div_ceil(self.mss())));
        self.send_range(range, Flags::NONE, 0, true, cx)
    }

    /// One octet, new if nothing is out, sent into the closed window (RFC 9293 §3.8.6.1).
    fn send_probe(&mut self, cx: &mut Context) -> Datagram {
        self.pending.probe = false;
        cx.counters.count(Counter::TcpWinProbe);
        let range = Range::starting(self.snd.una, 1);
        if self.flight.is_empty() {
            self.snd.nxt = range.end;
            self.flight.on_sent(range, cx.now);
        }
        // Whether the peer takes it depends on its user; no sample may come from that.
        self.flight.on_probed();
        self.send_range(range, Flags::NONE, 0, true, cx)
    }

    /// The segment that occupies `range`: data, or the FIN after it, or both; with more flags, and the ECN bits.
    fn send_range(&mut self, range: Range, more: Flags, ecn: u8, again: bool, cx: &mut Context) -> Datagram {
        self.liveness.sent_at = cx.now;
        let end = self.output.end();
        let mut flags = Flags::ACK | more;
        if range.end.after(end) {
            flags = flags | Flags::FIN;
        }
        let body = self.output.slice(range);
        self.note_paced(range.len(), cx.now);
        // RFC 9293 MUST-61: the last octet that is queued is pushed.
        if !body.is_empty() && range.end.at_or_after(end) {
            flags = flags | Flags::PSH;
        }
        let mut datagram = self.send(range.start, flags, body, again, cx);
        datagram.traffic_class = self.config.class(ecn);
        datagram
    }

    /// Builds a segment of a synchronized state and notes what it tells the peer. `again`: it was sent before, or is no
    /// more than a probe.
    fn send(&mut self, seq: Seq, flags: Flags, body: Body, again: bool, cx: &mut Context) -> Datagram {
        let octets = body.iter().map(Bytes::len).sum::<usize>() as u32;
        let mut options = Options {
            timestamps: self.agreed.timestamps.map(|clock| clock.option(cx.now)),
            // Nobody could cut a signed segment that SACK blocks made too long.
            sack: if body.is_empty() || !self.is_authenticated() { self.sack_blocks(cx) } else { SackBlocks::new() },
            reserved: self.reserved_options(),
            user_timeout: if body.is_empty() { self.take_user_timeout_due() } else { None },
            ..Options::default()
        };
        let is_path_probe = self.is_path_probe(Range::starting(seq, octets));
        if !again && !is_path_probe && !flags.rst() {
            self.add_accurate_option(&mut options, seq, octets);
        }
        let (window, edge) = self.announcement();
        let is_pure = octets == 0 && !flags.fin() && options.sack.is_empty();
        let flags = self.echo_flags(flags, is_pure);
        let mut header = Header { seq, ack: self.rcv.nxt, flags, window, ..self.header() };
        if let Some(up) = self.urgent().snd_up.filter(|up| up.after(seq)) {
            header.flags = header.flags | Flags::URG;
            header.urgent = u16::try_from(up - seq).unwrap_or(u16::MAX);
        }
        self.rcv.edge = edge;
        self.rcv.last_ack = self.rcv.nxt;
        if body.is_empty() && !flags.fin() {
            cx.counters.count(Counter::TcpOutSegs);
        }
        self.note_ack_sent(body.is_empty());
        let each = self.snd.effective_mss(options.emit().len() + usize::from(options.reserved));
        let segment_size = (octets > each && !is_path_probe).then_some(each as u16);
        self.count_sent(octets as usize, each, cx.now);
        let mut datagram = self.address(emit(&header, &options, body, segment_size));
        datagram.keeps_cwr = self.accurate().is_some();
        datagram
    }

    /// Every segment carries the ACK that was due (RFC 9293 MUST-58). Duplicates are counted by the peer only where
    /// they carry no data.
    fn note_ack_sent(&mut self, is_bare: bool) {
        self.pending.challenge = false;
        self.pending.duplicates = self.pending.duplicates.min(MAX_DUPLICATES);
        if is_bare {
            self.pending.duplicates = self.pending.duplicates.saturating_sub(1);
        }
        if self.pending.duplicates == 0 || !is_bare {
            self.pending.duplicates = 0;
            self.pending.ack = AckDue::No;
        }
    }

    /// RFC 2018 §4: the block of the segment that arrived last, then those reported before, as many as there is room.
    /// What arrived twice is told first, once (RFC 2883 §4).
    fn sack_blocks(&mut self, cx: &mut Context) -> SackBlocks {
        let mut blocks = SackBlocks::new();
        if !self.agreed.sack {
            return blocks;
        }
        if let Some(twice) = self.rcv.take_duplicate() {
            cx.counters.count(Counter::TcpDSACKSent);
            blocks.push(twice);
        }
        if self.input.held_len() == 0 {
            return blocks;
        }
        let told = blocks.len();
        for seq in self.rcv.recent() {
            if let Some(range) = self.input.held_ranges().find(|range| range.contains(*seq))
                && !blocks.iter().skip(told).any(|block| *block == range)
            {
                blocks.push(range);
            }
        }
        for range in self.input.held_ranges() {
            if blocks.len() >= 4 {
                break;
            }
            if !blocks.iter().skip(told).any(|block| *block == range) {
                blocks.push(range);
            }
        }
        blocks
    }

    fn header(&self) -> Header {
        Header {
            local: self.local(),
            remote: self.remote(),
            seq: self.snd.nxt,
            ack: Seq(0),
            flags: Flags::NONE,
            window: 0,
            urgent: 0,
        }
    }

    /// What the user chose for the layer below (RFC 9293 MUST-48, MUST-49).
    fn address(&self, mut datagram: Datagram) -> Datagram {
        datagram.hop_limit = self.config.hop_limit;
        datagram.traffic_class = self.config.class(0);
        // Where not even the least MSS fits, the network below has to cut.
        datagram.dont_fragment = self.snd.path_mss > MIN_MSS;
        datagram
    }
}
