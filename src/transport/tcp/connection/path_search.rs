//! Packetization layer path MTU discovery: RFC 4821, with the states and the black hole of RFC 8899.
//!
//! RFC 1191 ([`super::path_error`]) needs routers that say what they drop. Where they do not, full segments vanish in
//! silence while the handshake, ACKs and small ones pass:
//!
//! ```text
//!            full segment lost, RTO after RTO                probe of `high` acknowledged
//!   no search ───────────────────────► low = BASE, high = path ─────────────────────────► no search
//!            (or from the start: "always")   │  ▲
//!                             probe: a segment │  │ acknowledged: low = size
//!                             of size with data ▼  │ lost: high = size - 1, no sign of congestion
//!                                   (low + high) / 2, until they meet; again after ten minutes
//! ```
//!
//! The first probe is of the ceiling: an outage of everything looks like a black hole, and is the more frequent of the
//! two. Sizes are of segments as an MSS counts them: options included, headers not.
//!
//! DEVIATION(RFC 4821 §7.7): after a black hole the size does not go below 512 octets. Whoever carries less is older than
//! the 576 octets of RFC 1122, and a long outage would leave nothing but the smallest segments.
//!
//! Not here: other connections to the same host learn nothing of it, as in Linux.

use super::Connection;
use super::congestion::Phase;
use super::recovery::Verdict;
use crate::base::counters::Counter;
use crate::base::ranges::Range;
use crate::base::time::{Duration, Instant};
use crate::transport::Context;
use crate::transport::tcp::config::MtuProbing;

/// Where a search begins (RFC 4821 §7.2).
const BASE: u16 = 1024;
/// Where it ends downwards.
const FLOOR: u16 = 512;
/// A search that could win less than this is over (Linux: tcp_probe_threshold).
const WORTHWHILE: u16 = 8;
/// How often a finished search looks for more (RFC 8899 §5.1.1, PMTU_RAISE_TIMER; Linux: tcp_probe_interval).
const RAISE_TIMER: Duration = Duration::from_secs(600);
/// So many timeouts in a row make a black hole of a loss, and twice as many one of a segment no larger than `BASE`.
const SUSPICIOUS: u32 = 2;
/// Segments of today's size that follow a probe, so that its loss is noticed without a timeout.
const COMPANY: u32 = 4;

/// A search.
#[derive(Clone, Debug)]
pub(super) struct PathSearch {
    /// What arrives: the size in use.
    low: u16,
    /// What may arrive.
    high: u16,
    /// The ceiling itself was tried.
    tried_ceiling: bool,
    /// The probe that is out, and its size.
    probe: Option<(Range, u16)>,
    /// The recovery that goes on is the repair of a probe and no sign of congestion.
    is_forgiven: bool,
    /// When to look for more.
    again_at: Instant,
}

impl PathSearch {
    fn new(low: u16, high: u16, now: Instant) -> Self {
        PathSearch { low, high, tried_ceiling: false, probe: None, is_forgiven: false, again_at: now + RAISE_TIMER }
    }

    /// What to try next.
    fn next_size(&self) -> Option<u16> {
        let size = if self.tried_ceiling { self.low + (self.high - self.low) / 2 } else { self.high };
        (self.probe.is_none() && self.high.saturating_sub(self.low) >= WORTHWHILE).then_some(size)
    }

    /// The probe was too large, or lost for another reason.
    fn fail(&mut self) {
        if let Some((_, size)) = self.probe.take()
            && size <= self.high
        {
            self.high = (size - 1).max(self.low);
            self.tried_ceiling = true;
        }
    }

    /// The path is known to take no more than this.
    pub(super) fn lower_ceiling(&mut self, ceiling: u16) {
        if ceiling < self.high {
            self.high = ceiling;
            self.low = self.low.min(ceiling);
            self.tried_ceiling = false;
        }
    }
}

impl Connection {
    fn path_search(&mut self) -> Option<&mut PathSearch> {
        self.extras.as_mut()?.path_search.as_mut()
    }

    /// The largest segment that the interface, ICMP and the peer leave room for.
    fn path_ceiling(&self, link_mss: u16) -> u16 {
        link_mss.min(self.snd.peer_mss)
    }

    /// Where "always" is configured, a connection begins with what is sure to arrive.
    pub(super) fn start_path_search(&mut self, now: Instant) {
        let ceiling = self.path_ceiling(self.snd.path_mss);
        if self.config.mtu_probing == MtuProbing::Always && ceiling > BASE {
            self.extras().path_search = Some(PathSearch::new(BASE, ceiling, now));
            self.snd.path_mss = BASE;
        }
    }

    /// The retransmission timer expired. Full segments that are lost again and again fall into a black hole.
    pub(super) fn suspect_black_hole(&mut self, now: Instant) {
        if let Some(search) = self.path_search() {
            search.fail();
            search.is_forgiven = false;
        }
        let mss = self.snd.path_mss.min(self.snd.peer_mss);
        let is_full = self.snd.outstanding() >= self.mss();
        let is_off = self.config.mtu_probing == MtuProbing::Off;
        let timeouts = if mss > BASE { SUSPICIOUS } else { 2 * SUSPICIOUS };
        if is_off || self.rtt.backoff < timeouts || !is_full || mss <= FLOOR {
            return;
        }
        let low = if mss > BASE { BASE } else { (mss / 2).max(FLOOR) };
        let high = self.path_search().map_or(mss, |search| search.high.max(mss));
        self.extras().path_search = Some(PathSearch::new(low, high, now));
        self.use_path_mss(low);
    }

    /// Segments are so large from now on.
    pub(super) fn use_path_mss(&mut self, mss: u16) {
        self.snd.path_mss = mss;
        let mss = self.mss();
        self.congestion.on_mss(mss);
    }

    /// What the interface and ICMP leave room for, less what a search has found.
    pub(super) fn searched_path_mss(&mut self, link_mss: u16) -> u16 {
        match self.path_search() {
            Some(search) => {
                search.lower_ceiling(link_mss);
                search.low
            }
            None => link_mss,
        }
    }

    /// The probe to send in place of other new data, if one is due: with enough data behind it, while nothing is lost.
    pub(super) fn plan_path_probe(&self, room: u32) -> Option<Range> {
        let size = self.extras.as_ref()?.path_search.as_ref()?.next_size()?;
        let len = u32::from(size).saturating_sub(self.options_len() as u32);
        let unsent = self.output.end().past(self.snd.nxt);
        let wanted = len + COMPANY * self.mss();
        let is_calm = self.recovery.phase() == Phase::Open && self.flight.lost() == 0 && self.flight.sacked() == 0;
        let has_company = unsent.min(self.snd.usable()).min(self.congestion.window().cwnd) >= wanted;
        (is_calm && has_company && room >= len && self.urgent().snd_up.is_none() && !self.flight.is_full())
            .then(|| Range::starting(self.snd.nxt, len))
    }

    /// The probe leaves.
    pub(super) fn on_path_probe_sent(&mut self, range: Range) {
        let size = (range.len() + self.options_len() as u32) as u16;
        if let Some(search) = self.path_search() {
            search.probe = Some((range, size));
        }
    }

    /// True for the segment that must go out in one piece.
    pub(super) fn is_path_probe(&self, range: Range) -> bool {
        let search = self.extras.as_ref().and_then(|extras| extras.path_search.as_ref());
        search.and_then(|search| search.probe).is_some_and(|(probe, _)| probe == range)
    }

    /// SND.UNA moved on: a probe that is acknowledged has found the path to be larger. What was once sent again is no
    /// proof: its repair went in smaller pieces, and by then the probe has failed.
    pub(super) fn settle_path_probe(&mut self, cx: &mut Context) {
        let una = self.snd.una;
        let Some(search) = self.path_search() else { return };
        if let Some((_, size)) = search.probe.filter(|(range, _)| range.end.at_or_before(una)) {
            search.probe = None;
            search.low = size;
            cx.counters.count(Counter::TcpMTUPSuccess);
            let found_all = !search.tried_ceiling;
            self.use_path_mss(size);
            if found_all {
                self.extras().path_search = None;
                self.shed_extras();
            }
        } else if search.probe.is_none() && cx.now >= search.again_at {
            let ceiling = self.path_ceiling(self.link_mss(cx));
            if let Some(search) = self.path_search() {
                *search = PathSearch::new(search.low, ceiling.max(search.low), cx.now);
            }
        }
    }

    /// Recovery has found something lost. True if that is the probe alone, which is no sign of congestion (RFC 4821
    /// §7.6.1): then congestion control hears neither of this recovery's beginning nor of its end.
    pub(super) fn forgives(&mut self, verdict: &Verdict, cx: &mut Context) -> bool {
        let (una, lost) = (self.snd.una, self.flight.lost());
        let Some(search) = self.path_search() else { return false };
        if verdict.entered
            && let Some((range, _)) = search.probe.filter(|(range, _)| range.contains(una))
        {
            search.fail();
            search.is_forgiven = lost <= range.len();
            cx.counters.count(Counter::TcpMTUPFail);
        } else if verdict.entered || verdict.lost > 0 && !verdict.recovered {
            // Something else is lost as well, or again.
            search.is_forgiven = false;
        }
        let is_forgiven = search.is_forgiven;
        if verdict.recovered {
            search.is_forgiven = false;
        }
        is_forgiven
    }
}
