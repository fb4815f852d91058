//! Loss recovery: which octets are lost and to be sent again, and how fast that happens.
//!
//! | file | question | RFC |
//! |---|---|---|
//! | `rack` | what is lost, where SACK tells what arrived? | 8985 §6, with the pipe of 6675 |
//! | `reno` | and where it does not? | 6582, 3042 |
//! | `tail_probe` | what if nothing is heard of the end? | 8985 §7 |
//! | `prr` | how much goes out meanwhile? | 9937 |
//! | `f_rto` | was the timeout a mistake? | 5682 |
//! | `undo`, `dsack` | was the recovery a mistake? | 3522, 4015, 2883, 3708 |
//!
//! ```text
//!       a hole lost, or 3 duplicate ACKs               timer
//!   Open ------------------------------------> Fast ------------> Timeout
//!     ^  <------------------------------------  |                  ^   |
//!     |    ACK of `recover`, or a mistake       +------------------+   |
//!     +----------------------------------------------------------------+
//! ```
//!
//! DEVIATION(RFC 6675 §4): NextSeg (3) and (4), which send on suspicion and rescue the end, are left to RACK's times and
//! to the tail loss probe: on a line that reorders, suspicion sends again what is only late.
//!
//! DEVIATION(RFC 5681 §4.3): the loss of a retransmission lowers the window a second time only if it takes a timeout to
//! notice. RACK finds it within the recovery, whose PRR goes on; Linux does the same.

mod dsack;
mod f_rto;
mod prr;
mod rack;
mod reno;
mod tail_probe;
mod undo;

use super::congestion::Phase;
use super::flight::{AckTime, Delivery, Flight};
use crate::base::ranges::Range;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
pub(super) use dsack::duplicate;
use f_rto::{FRto, Suspicion};
pub(super) use prr::Progress;
use prr::Prr;
pub(super) use rack::Path;
use rack::RackRoom;
use tail_probe::ProbeAck;
pub(super) use tail_probe::pto;
use undo::Undo;

/// Duplicate ACKs that say a segment is lost (RFC 5681 §3.2).
const DUP_THRESH: u8 = 3;

/// The congestion state in the words that Linux made known (`tcpi_ca_state`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CaState {
    /// Nothing unusual.
    Open,
    /// Something arrived out of order; nothing is known to be lost.
    Disorder,
    /// The window shrinks although nothing is lost.
    Cwr,
    /// Fast recovery.
    Recovery,
    /// Recovery after a timeout.
    Loss,
}

/// What recovery is told of an ACK.
#[derive(Clone, Copy, Debug)]
pub(super) struct AckFacts {
    pub(super) time: AckTime,
    /// SND.UNA after it.
    pub(super) una: Seq,
    /// SND.NXT.
    pub(super) nxt: Seq,
    /// Octets by which it moved SND.UNA on.
    pub(super) acked: u32,
    /// What it newly told of.
    pub(super) delivery: Delivery,
    /// What it says came twice.
    pub(super) dsack: Option<Range>,
    /// It is a duplicate by RFC 5681 §2.
    pub(super) is_duplicate: bool,
    /// It has neither data nor SACK blocks.
    pub(super) is_bare: bool,
    /// SACK is in use.
    pub(super) sack: bool,
    /// There is new data, and the peer's window has room for it.
    pub(super) may_send_new: bool,
    pub(super) path: Path,
}

/// What recovery is told when the retransmission timer expires.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeoutFacts {
    pub(super) now: Instant,
    pub(super) una: Seq,
    pub(super) nxt: Seq,
    /// It expired for the same octets as last time.
    pub(super) again: bool,
    pub(super) sack: bool,
    pub(super) path: Path,
}

/// A reaction that was a mistake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Spurious {
    /// Something was taken for lost by other ACKs.
    Loss,
    /// The retransmission timer expired too early.
    Timeout,
}

/// What an ACK, or the reordering timer, meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Verdict {
    /// Fast recovery began: congestion control must react.
    pub(super) entered: bool,
    /// Fast recovery is over.
    pub(super) recovered: bool,
    /// The last reaction was a mistake: congestion control must take it back.
    pub(super) spurious: Option<Spurious>,
    /// A tail loss probe repaired what was lost: congestion control must react, and nothing else is to be done.
    pub(super) probe_repaired: bool,
    /// Octets newly found lost.
    pub(super) lost: u32,
    /// DeliveredData (RFC 9937 §5).
    pub(super) delivered: u32,
    /// When to look for losses again: RACK's reordering timer.
    pub(super) look_again: Option<Instant>,
}

/// What only a recovery needs, and what is needed to take it back for a while after it.
#[derive(Clone, Debug)]
struct Episode {
    prr: Prr,
    undo: Undo,
    f_rto: Option<FRto>,
    /// SND.NXT when the recovery was over: witnesses may come until what is sent then is acknowledged.
    until: Seq,
}

/// The state of recovery.
#[derive(Clone, Debug, Default)]
pub(super) struct Recovery {
    phase: Phase,
    /// `recover` (RFC 6582 §3.2), `RecoveryPoint` (RFC 6675 §5): SND.NXT when recovery began. It outlives the
    /// recovery until something beyond it is acknowledged.
    recover: Option<Seq>,
    dup_acks: u8,
    /// Octets that duplicate ACKs say have left the network, where there is no SACK to say which.
    departed: u32,
    /// The next retransmission does not wait for the window (RFC 6582 §3.2 step 3, RFC 5681 §3.1).
    is_urgent: bool,
    /// The timer of loss detection, if it runs, is RACK's reordering timer.
    waits_for_order: bool,
    rack: RackRoom,
    episode: Option<Box<Episode>>,
}

impl Recovery {
    /// Nothing is out.
    pub(super) fn settle(&mut self) {
        self.rack.settle();
    }

    /// What it is doing.
    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// What it is doing, in Linux's words.
    pub(super) fn ca_state(&self, flight: &Flight) -> CaState {
        match self.phase {
            Phase::Fast => CaState::Recovery,
            Phase::Timeout => CaState::Loss,
            Phase::Open if flight.sacked() > 0 || self.dup_acks > 0 => CaState::Disorder,
            Phase::Open => CaState::Open,
        }
    }

    /// Segments came out of the order they were sent in.
    pub(super) fn reordering_seen(&self) -> bool {
        self.rack.reordering_seen()
    }

    /// The next retransmission does not wait for the window.
    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// New data is to be sent before what is taken for lost (RFC 5682 §2 step 2b).
    pub(super) fn wants_new_first(&self) -> bool {
        self.episode.as_ref().and_then(|episode| episode.f_rto.as_ref()).is_some_and(FRto::wants_new)
    }

    /// During fast recovery: PRR's window.
    pub(super) fn window(&self) -> Option<u32> {
        self.episode.as_ref().filter(|_| self.phase == Phase::Fast).map(|episode| episode.prr.cwnd())
    }

    /// Octets in the network: pipe (RFC 6675 §4 SetPipe).
    pub(super) fn pipe(&self, flight: &Flight) -> u32 {
        flight.in_network().saturating_sub(self.departed)
    }

    /// An ACK arrived; `flight` has taken it in already.
    pub(super) fn on_ack(&mut self, facts: &AckFacts, flight: &mut Flight) -> Verdict {
        let mut verdict = Verdict { delivered: facts.delivery.octets, ..Verdict::default() };
        self.rack.on_delivery(&facts.delivery, &facts.path, facts.time.now);
        self.rack.on_ack(facts.una, facts.nxt, facts.dsack.is_some());
        verdict.probe_repaired = self.rack.tail_probe.on_ack(&ProbeAck {
            una: facts.una,
            dsack_end: facts.dsack.map(|range| range.end),
            is_bare_duplicate: facts.is_bare && facts.acked == 0,
        }) && self.phase == Phase::Open;
        self.look_for_mistakes(facts, flight, &mut verdict);
        self.leave_if_recovered(facts, &mut verdict);
        if facts.sack {
            self.detect_loss(facts, flight, &mut verdict);
        } else {
            self.count_duplicates(facts, flight, &mut verdict);
        }
        verdict
    }

    /// RACK's reordering timer expired (RFC 8985 §6.3).
    pub(super) fn on_reordering_timeout(&mut self, facts: &AckFacts, flight: &mut Flight) -> Verdict {
        let mut verdict = Verdict::default();
        self.detect_loss(facts, flight, &mut verdict);
        verdict
    }

    fn detect_loss(&mut self, facts: &AckFacts, flight: &mut Flight, verdict: &mut Verdict) {
        let is_recovering = self.phase != Phase::Open;
        (verdict.lost, verdict.look_again) = self.rack.detect_loss(flight, &facts.path, is_recovering, facts.time.now);
        self.waits_for_order = verdict.look_again.is_some();
        if self.phase == Phase::Open && (verdict.lost > 0 || verdict.recovered && flight.lost() > 0) {
            self.enter(facts, flight, verdict);
        }
    }

    /// RFC 3522, RFC 3708, RFC 5682: what says that the last reaction was a mistake?
    fn look_for_mistakes(&mut self, facts: &AckFacts, flight: &mut Flight, verdict: &mut Verdict) {
        let Some(episode) = &mut self.episode else { return };
        if let Some(range) = facts.dsack {
            episode.undo.on_dsack(range);
        }
        let is_all_acknowledged = self.recover.is_none_or(|recover| facts.una.at_or_after(recover));
        let is_late = facts.acked > 0 && episode.undo.is_answer_to_original(&facts.time);
        let is_mistake = match self.phase {
            // Of several holes one was only late: the others may be lost, and are waited for.
            Phase::Fast => is_late && (is_all_acknowledged || flight.resent() == 0),
            Phase::Timeout => is_late,
            Phase::Open => false,
        };
        let is_explained =
            episode.undo.is_all_explained() && (self.phase != Phase::Fast || is_all_acknowledged || flight.lost() == 0);
        let suspicion = match &mut episode.f_rto {
            Some(f_rto) if self.phase == Phase::Timeout => f_rto.on_ack(facts),
            _ => Suspicion::Open,
        };
        if suspicion != Suspicion::Open {
            episode.f_rto = None;
        }
        if is_mistake || is_explained || suspicion == Suspicion::Spurious {
            episode.undo.settle();
            episode.f_rto = None;
            let was_timeout = self.phase == Phase::Timeout;
            verdict.spurious = Some(if was_timeout { Spurious::Timeout } else { Spurious::Loss });
            flight.unmark_lost();
            if !was_timeout {
                // It was sent again and came all the same; when it was sent at first the echo says.
                let age = facts.time.echo.filter(|_| is_late).map(Instant::from_millis);
                let age = age.map_or(Duration::ZERO, |sent_at| facts.time.now.since(sent_at));
                self.rack.on_late_arrival(age, &facts.path);
            }
            self.stop();
        } else if self.phase == Phase::Open && facts.una.after(episode.until) {
            // A round trip went by since: no witness is left.
            self.episode = None;
        }
    }

    /// Everything that was out when recovery began is acknowledged.
    fn leave_if_recovered(&mut self, facts: &AckFacts, verdict: &mut Verdict) {
        let Some(recover) = self.recover else { return };
        if facts.una.at_or_after(recover) && self.phase != Phase::Open {
            verdict.recovered = self.phase == Phase::Fast;
            self.stop();
            self.rack.on_recovered();
            if let Some(episode) = &mut self.episode {
                episode.until = facts.nxt;
            }
        }
        if facts.una.after(recover) {
            self.recover = None;
        }
    }

    /// Back to Open.
    fn stop(&mut self) {
        self.phase = Phase::Open;
        self.dup_acks = 0;
        self.departed = 0;
        self.is_urgent = false;
    }

    /// Fast recovery begins: something is marked lost.
    fn enter(&mut self, facts: &AckFacts, flight: &Flight, verdict: &mut Verdict) {
        self.phase = Phase::Fast;
        self.recover = Some(facts.nxt);
        self.is_urgent = true;
        self.rack.tail_probe.clear();
        // RFC 9937 §6: FlightSize before this ACK, less what was known to be at the receiver.
        let known =
            if facts.sack { flight.sacked() - facts.delivery.sacked.min(flight.sacked()) } else { self.departed };
        let recover_fs = (facts.nxt - facts.una + facts.acked).saturating_sub(known);
        let undo = Undo::new(facts.una);
        self.episode = Some(Box::new(Episode { prr: Prr::new(recover_fs), undo, f_rto: None, until: facts.nxt }));
        verdict.entered = true;
    }

    /// PRR, once congestion control has said where to go (RFC 9937 §6).
    pub(super) fn pace_repair(&mut self, progress: &Progress) {
        if let Some(episode) = self.episode.as_mut().filter(|_| self.phase == Phase::Fast) {
            episode.prr.on_ack(progress);
        }
    }

    /// The retransmission timer expired (RFC 5681 §3.1, RFC 6675 §5.1, RFC 8985 §6.3, RFC 5682).
    ///
    /// DEVIATION(RFC 2018 §8): what the receiver said it has is forgotten only where it took that back, or at the
    /// second timeout in a row, not at each.
    pub(super) fn on_timeout(&mut self, facts: &TimeoutFacts, flight: &mut Flight) {
        let is_trusted = facts.sack && !facts.again && !flight.has_reneged();
        if is_trusted {
            let patience = self.rack.patience(flight, &facts.path, self.phase != Phase::Open);
            flight.mark_lost_on_timeout(facts.path.mss, patience, facts.now);
        } else {
            flight.mark_all_lost();
        }
        // RFC 5682 §2 step 1: not while recovering from an earlier timeout.
        let f_rto = (self.phase != Phase::Timeout && !flight.has_reneged()).then(|| FRto::new(facts.nxt));
        match &mut self.episode {
            Some(episode) if self.phase != Phase::Open => episode.f_rto = f_rto,
            episode => {
                *episode = Some(Box::new(Episode {
                    prr: Prr::default(),
                    undo: Undo::new(facts.una),
                    f_rto,
                    until: facts.nxt,
                }));
            }
        }
        self.stop();
        self.phase = Phase::Timeout;
        self.recover = Some(facts.nxt);
        self.is_urgent = true;
        self.waits_for_order = false;
        self.rack.tail_probe.clear();
    }

    /// Something new was sent.
    pub(super) fn on_sent(&mut self, octets: u32) {
        if let Some(episode) = self.episode.as_mut().filter(|_| self.phase == Phase::Fast) {
            episode.prr.on_sent(octets);
        }
    }

    /// Something that is lost was sent again.
    pub(super) fn on_resent(&mut self, octets: u32, now: Instant) {
        self.is_urgent = false;
        self.on_sent(octets);
        if let Some(episode) = self.episode.as_mut().filter(|_| self.phase != Phase::Open) {
            episode.undo.on_resent(octets, now);
        }
    }

    /// What to send again before anything new (RFC 6675 §4 NextSeg (1)).
    pub(super) fn next(&self, flight: &Flight) -> Option<Range> {
        flight.first_lost()
    }

    /// True if a tail loss probe may be scheduled (RFC 8985 §7.2): nothing is wrong, as far as we know, and none is
    /// out.
    pub(super) fn may_probe(&self, flight: &Flight) -> bool {
        self.phase == Phase::Open
            && !flight.is_empty()
            && flight.sacked() == 0
            && flight.lost() == 0
            && !self.rack.tail_probe.is_out()
            && !self.waits_for_order
    }

    /// A tail loss probe was sent, and what became of it is not known.
    pub(super) fn has_probe_out(&self) -> bool {
        self.rack.tail_probe.is_out()
    }

    /// The timer of loss detection is RACK's: something may only be late.
    pub(super) fn waits_for_order(&self) -> bool {
        self.waits_for_order
    }

    /// A tail loss probe was sent; SND.NXT is `nxt` after it.
    pub(super) fn on_probe_sent(&mut self, nxt: Seq, is_retrans: bool) {
        self.rack.tail_probe.on_sent(nxt, is_retrans);
    }
}
