//! The receive sequence variables (RFC 9293 §3.3.1), the window we announce (§3.8.6.2.2) and which
//! out-of-order blocks, and which duplicate, we report first (RFC 2018 §4, RFC 2883 §4).

use crate::base::ranges::Range;
use crate::base::seq::Seq;
use crate::transport::tcp::segment::Segment;
use smallvec::SmallVec;

/// RCV.*: what we received and let come.
#[derive(Clone, Debug)]
pub(super) struct Rcv {
    /// Next sequence number expected.
    pub(super) nxt: Seq,
    /// The right edge of the window as it was announced; it never retreats (RFC 9293 SHLD-14).
    pub(super) edge: Seq,
    /// Last.ACK.sent (RFC 7323 §4.3).
    pub(super) last_ack: Seq,
    /// Where the peer's FIN stands, once it was seen.
    pub(super) fin: Option<Seq>,
    /// The largest segment the peer sent: what "full-sized" means for the ACK of every second one.
    pub(super) full_segment: u32,
    /// The MSS we announced: no segment counts as larger.
    pub(super) announced_mss: u16,
    /// Segments whose ACKs are not delayed: the first of a connection.
    pub(super) quick_acks: u8,
    /// What SACK blocks are made of, while there is something to tell.
    arrivals: Option<Box<Arrivals>>,
}

/// What arrived out of order, and twice.
#[derive(Clone, Debug, Default)]
struct Arrivals {
    /// Where out-of-order segments arrived last, the most recent first.
    recent: SmallVec<[Seq; 4]>,
    /// What came twice and was not told of yet (RFC 2883).
    duplicate: Option<Range>,
}

impl Rcv {
    pub(super) fn new(irs: Seq, window: u32, announced_mss: u16) -> Self {
        Rcv {
            nxt: irs + 1,
            edge: irs + 1 + window,
            last_ack: irs + 1,
            fin: None,
            full_segment: 0,
            announced_mss,
            quick_acks: 0,
            arrivals: None,
        }
    }

    /// RCV.WND: what was announced and not yet used.
    pub(super) fn wnd(&self) -> u32 {
        self.edge.past(self.nxt)
    }

    /// The four cases of RFC 9293 §3.10.7.4, first step (table 6).
    pub(super) fn is_acceptable(&self, segment: &Segment) -> bool {
        let wnd = self.wnd();
        match (segment.len(), wnd) {
            (0, 0) => segment.seq == self.nxt,
            (0, _) => segment.seq.in_window(self.nxt, wnd),
            (_, 0) => false,
            (len, _) => segment.seq.in_window(self.nxt, wnd) || (segment.seq + (len - 1)).in_window(self.nxt, wnd),
        }
    }

    /// True once the peer's FIN is received in order.
    pub(super) fn is_finished(&self) -> bool {
        self.fin.is_some_and(|fin| fin.before(self.nxt))
    }

    /// The window field to send, with `room` octets of buffer to be had, and the edge that it announces.
    ///
    /// The edge moves only by a worthwhile step (RFC 9293 MUST-39) and never back: a window that cannot be
    /// said exactly is rounded up where rounding down would retract it, and there is room for that. Where there is
    /// not, the field says less than `edge` still allows (RFC 7323 §2.4), or small segments would push the edge
    /// out of the buffer a little at a time.
    pub(super) fn announce(&self, room: u32, shift: u8, worthwhile: u32) -> (u16, Seq) {
        let wanted = (self.nxt + room).max(self.edge);
        let moves = wanted.past(self.edge) >= worthwhile.max(1);
        let window = if moves { wanted - self.nxt } else { self.wnd() };
        let unit = 1u32 << shift;
        let (down, up) = (window / unit, self.wnd().div_ceil(unit));
        let field = if down * unit >= self.wnd() || up * unit > room { down } else { up };
        let field = field.min(u32::from(u16::MAX));
        (field as u16, (self.nxt + (field << shift)).max(self.edge))
    }

    /// Remembers where an out-of-order segment arrived.
    pub(super) fn on_out_of_order(&mut self, seq: Seq) {
        let recent = &mut self.arrivals.get_or_insert_default().recent;
        recent.retain(|known| *known != seq);
        recent.truncate(3);
        recent.insert(0, seq);
    }

    /// Where out-of-order segments arrived, the most recent first.
    pub(super) fn recent(&self) -> &[Seq] {
        self.arrivals.as_ref().map(|arrivals| arrivals.recent.as_slice()).unwrap_or_default()
    }

    /// Forgets them: everything is in order.
    pub(super) fn clear_recent(&mut self) {
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.recent.clear();
        }
        self.forget_arrivals();
    }

    /// Remembers that `range` came twice, to be told once (RFC 2883 §4). Of several the last is told.
    pub(super) fn on_duplicate(&mut self, range: Range) {
        self.arrivals.get_or_insert_default().duplicate = Some(range);
    }

    /// What came twice, for the first block of the next ACK.
    pub(super) fn take_duplicate(&mut self) -> Option<Range> {
        let duplicate = self.arrivals.as_mut()?.duplicate.take();
        self.forget_arrivals();
        duplicate
    }

    fn forget_arrivals(&mut self) {
        self.arrivals.take_if(|arrivals| arrivals.recent.is_empty() && arrivals.duplicate.is_none());
    }

    /// Learns the size of the peer's segments.
    pub(super) fn on_segment_size(&mut self, octets: u32) {
        self.full_segment = self.full_segment.max(octets.min(u32::from(self.announced_mss)));
    }
}
