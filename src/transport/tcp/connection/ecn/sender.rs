//! The sending side of accurate ECN: what the peer tells of our packets, and whether that can be true (RFC 9768 §3.2.2.2 to
//! §3.2.3.2, appendix A).
//!
//! ACE is the low three bits of the peer's count of marked packets, so one ACK says it for up to seven new marks. Where
//! more segments were acknowledged at once the field may have gone round: the octets of the option then say how often,
//! and without any option the worst is assumed, unless the peer acknowledges so much at once as a rule.
//!
//! The example of RFC 9768 §A.2.2 weighs the octets of the option against segments half full; here it is the least number of
//! marked packets that can have carried them, since ours are full.
//!
//! Not here: what a mark costs (congestion control).

use crate::base::seq::Seq;
use crate::transport::tcp::options::AccurateEcn;

/// ACE counts modulo this: DIVACE.
const DIV_ACE: u32 = 8;
/// The fields of the option count modulo this: DIVOPT.
const DIV_OPT: u32 = 1 << 24;
/// Segments an ACK acknowledges as a rule, from which on that more than seven are at once says nothing: less than DIVACE,
/// as §A.2.1 has it, by half.
const THINNED: u32 = 4;
/// How much of the average one ACK is.
const AVERAGE_SHIFT: u32 = 3;
/// ACKs that tell of marks and have no option, one after the other, after which none is waited for.
const UNTOLD_ACKS: u8 = 4;
/// Rounds in which everything was marked, from the first on, that no router does (RFC 9768 §3.2.2.3).
const ALL_MARKED_ROUNDS: u8 = 4;

/// What is known of options of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Options {
    /// None arrived yet: perhaps they don't get through (RFC 9768 §3.2.3.2.3).
    #[default]
    Absent,
    /// They arrive.
    Present,
    /// They did, and come no more: the peer may give up sending them (RFC 9768 §3.2.3.2.2).
    Over,
    /// They are wiped on the way (RFC 9768 §3.2.3.2.4).
    Wiped,
}

/// Why nothing more is sent that could be marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Mangled {
    /// The ECN field of IP headers does not arrive as it left (RFC 9768 §3.2.2.3).
    Field,
    /// Nor do the counts of marks: they say nothing (RFC 9768 §3.2.2.4), or say that everything is marked (§3.2.2.3).
    Feedback,
}

/// One ACK, as far as it matters here.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Feedback {
    /// Its ACE field.
    pub(in super::super) ace: u8,
    /// Its option.
    pub(in super::super) option: Option<AccurateEcn>,
    /// Octets that it first told of.
    pub(in super::super) octets: u32,
    /// Its timestamp.
    pub(in super::super) timestamp: Option<u32>,
    /// SND.UNA after it.
    pub(in super::super) una: Seq,
    /// SND.NXT.
    pub(in super::super) nxt: Seq,
    /// Octets of a full segment.
    pub(in super::super) mss: u32,
}

/// s.*
#[derive(Clone, Debug)]
pub(in super::super) struct Sender {
    /// s.cep, as far as it is known for sure: congruent to the peer's modulo eight.
    cep: u32,
    /// s.ceb.
    ceb: u32,
    /// What came out of that: packets delivered with CE.
    delivered_ce: u32,
    options: Options,
    /// Marked packets, and segments acknowledged, since the last option that told of octets with CE.
    marked_untold: u32,
    acked_untold: u32,
    /// ACKs since the last option that told of marks, and marks that the field would not have told of if it went round.
    untold_acks: u8,
    unassumed: u32,
    /// Segments an ACK acknowledges, on average, in 2^-AVERAGE_SHIFT.
    average: u32,
    /// The newest timestamp, to tell an old ACK that acknowledges nothing from a new one.
    newest: Option<u32>,
    /// No ACE field but that of the handshake was seen yet.
    is_first: bool,
    round: Round,
    mangled: Option<Mangled>,
}

/// Whether everything is marked in the first rounds.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// It ends when this is acknowledged, once it has begun.
    end: Option<Seq>,
    acked: u32,
    marked: u32,
    /// Rounds in which everything was marked; `None` once there was one in which something was not.
    all_marked: Option<u8>,
}

impl Sender {
    /// From the peer's half of the handshake, with the timestamp of that (RFC 9768 §3.2.1).
    pub(in super::super) fn new(timestamp: Option<u32>) -> Self {
        Sender {
            cep: 5,
            ceb: 0,
            delivered_ce: 0,
            options: Options::Absent,
            marked_untold: 0,
            acked_untold: 0,
            untold_acks: 0,
            unassumed: 0,
            average: 0,
            newest: timestamp,
            is_first: true,
            round: Round { all_marked: Some(0), ..Round::default() },
            mangled: None,
        }
    }

    /// Packets delivered with CE.
    pub(in super::super) fn delivered_ce(&self) -> u32 {
        self.delivered_ce
    }

    /// Why nothing is sent that could be marked, if something speaks against it.
    pub(in super::super) fn mangled(&self) -> Option<Mangled> {
        self.mangled
    }

    /// Something speaks against sending what could be marked.
    pub(in super::super) fn on_mangled(&mut self, mangled: Mangled) {
        if self.mangled != Some(Mangled::Feedback) {
            self.mangled = Some(mangled);
        }
    }

    /// The first option that may have come: in it no field that begins with one can be zero (RFC 9768 §3.2.3.2.4).
    pub(in super::super) fn on_first_option(&mut self, option: Option<&AccurateEcn>) {
        let Some(option) = option else { return };
        let is_wiped = option.ect_0() == Some(0) || option.ect_1() == Some(0);
        self.options = if is_wiped { Options::Wiped } else { Options::Present };
    }

    /// The ACK of our SYN-ACK says that it came with CE (RFC 9768 table 4).
    pub(in super::super) fn on_marked_syn_ack(&mut self) {
        self.cep = self.cep.wrapping_add(1);
        self.delivered_ce = self.delivered_ce.saturating_add(1);
    }

    /// An ACK arrived: how many packets more were marked.
    pub(in super::super) fn on_feedback(&mut self, ack: &Feedback) -> u32 {
        if !self.is_news(ack) {
            return 0;
        }
        let acked = ack.octets.div_ceil(ack.mss.max(1));
        if std::mem::take(&mut self.is_first) && ack.ace == 0 && acked < DIV_ACE - 5 {
            // Too few to have counted up to eight (RFC 9768 §3.2.2.4).
            self.on_mangled(Mangled::Feedback);
        }
        let marked = self.decode(ack, acked);
        self.delivered_ce = self.delivered_ce.saturating_add(marked);
        self.average = (self.average + acked).saturating_sub(self.average >> AVERAGE_SHIFT);
        if self.round.is_all_marked(ack, acked, marked) {
            self.on_mangled(Mangled::Feedback);
        }
        if self.mangled == Some(Mangled::Feedback) { 0 } else { marked }
    }

    /// False if another ACK has overtaken this one (RFC 9768 §A.1): it acknowledges nothing, and is not newer by its
    /// timestamp.
    fn is_news(&mut self, ack: &Feedback) -> bool {
        let is_newer = match (ack.timestamp, self.newest) {
            (Some(this), Some(newest)) => Seq(this).after(Seq(newest)),
            (this, None) => this.is_some(),
            (None, Some(_)) => false,
        };
        if is_newer {
            self.newest = ack.timestamp;
        }
        is_newer || ack.octets > 0
    }

    fn decode(&mut self, ack: &Feedback, acked: u32) -> u32 {
        let least = u32::from(ack.ace).wrapping_sub(self.cep) % DIV_ACE;
        self.cep = self.cep.wrapping_add(least);
        self.acked_untold = self.acked_untold.saturating_add(acked);
        if self.options != Options::Wiped
            && let Some(option) = &ack.option
        {
            self.options = Options::Present;
            self.untold_acks = 0;
            if let Some(ceb) = option.ce() {
                return self.reconcile(ceb, least, ack.mss);
            }
        }
        // RFC 9768 §A.2.1: the most that is congruent and was acknowledged.
        let is_thinned = self.average >> AVERAGE_SHIFT >= THINNED;
        let rounds = if is_thinned { 0 } else { acked.saturating_sub(least) / DIV_ACE * DIV_ACE };
        let marked = least + self.assume(rounds, least > 0);
        self.marked_untold = self.marked_untold.saturating_add(marked);
        marked
    }

    /// How many of the marks to believe in that the field would not tell of, since it went round: all, but where there
    /// will be an option that tells. If that does not come, those from before as well.
    fn assume(&mut self, rounds: u32, is_marked: bool) -> u32 {
        if self.options != Options::Present {
            return rounds;
        }
        self.unassumed = self.unassumed.saturating_add(rounds);
        self.untold_acks += u8::from(is_marked);
        if self.untold_acks < UNTOLD_ACKS {
            return 0;
        }
        self.options = Options::Over;
        std::mem::take(&mut self.unassumed)
    }

    /// What ACE and the option say together (RFC 9768 §3.2.3.2.5), of all that was marked since the last option that
    /// arrived with this field: it is missing also where one that had it was lost.
    fn reconcile(&mut self, ceb: u32, least: u32, mss: u32) -> u32 {
        let octets = ceb.wrapping_sub(self.ceb) % DIV_OPT;
        self.ceb = self.ceb.wrapping_add(octets);
        let known = std::mem::take(&mut self.marked_untold).saturating_add(least);
        let acked = std::mem::take(&mut self.acked_untold);
        self.unassumed = 0;
        let wanted = octets.div_ceil(mss.max(1));
        if known == 0 && wanted > 0 && acked < DIV_ACE {
            // Octets were marked and no packet was, and the field can't have gone round.
            self.on_mangled(Mangled::Field);
            return 0;
        }
        least + wanted.saturating_sub(known).next_multiple_of(DIV_ACE)
    }
}

impl Round {
    /// Takes an ACK in; true if everything was marked for so long that it can't be congestion.
    fn is_all_marked(&mut self, ack: &Feedback, acked: u32, marked: u32) -> bool {
        let Some(rounds) = self.all_marked else { return false };
        self.acked = self.acked.saturating_add(acked);
        self.marked = self.marked.saturating_add(marked);
        if self.acked == 0 || ack.una.before(*self.end.get_or_insert(ack.nxt)) {
            return false;
        }
        let rounds = rounds + 1;
        let is_all = self.marked >= self.acked;
        let is_proved = is_all && rounds >= ALL_MARKED_ROUNDS;
        *self = Round { end: Some(ack.nxt), all_marked: (is_all && !is_proved).then_some(rounds), ..Round::default() };
        is_proved
    }
}

#[cfg(test)]
mod tests;
