//! What the sender makes of what a receiver tells, against what that receiver saw: over lines that lose ACKs, with
//! options, without, and with what no honest receiver sends.

use super::super::negotiation::Codepoint;
use super::super::receiver::Receiver;
use super::*;
use proptest::prelude::*;

const MSS: u32 = 1000;

/// A receiver, and a sender that hears of it by the ACKs that arrive.
struct Flow {
    receiver: Receiver,
    sender: Sender,
    /// Packets that arrived marked.
    marked: u32,
    nxt: u32,
    una: u32,
    with_options: bool,
}

impl Flow {
    fn new(with_options: bool) -> Self {
        let mut sender = Sender::new(None);
        if with_options {
            sender.on_first_option(Receiver::default().test_choices().first());
        }
        Flow { receiver: Receiver::default(), sender, marked: 0, nxt: 0, una: 0, with_options }
    }

    /// A full segment arrives; true if an ACK is due for its mark.
    fn data(&mut self, is_marked: bool) -> bool {
        self.nxt += 1;
        self.marked += u32::from(is_marked);
        self.receiver.on_packet(if is_marked { Codepoint::Ce } else { Codepoint::Ect0 }, 1, MSS, true)
    }

    /// The receiver acknowledges all it has: what the sender then takes for newly marked, if the ACK arrives.
    fn ack(&mut self, arrives: bool) -> Option<u32> {
        let option = self.receiver.choices().first().copied().filter(|_| self.with_options);
        self.receiver.on_ack_sent();
        if option.is_some() {
            self.receiver.on_option_sent();
        }
        let octets = (self.nxt - self.una) * MSS;
        let feedback = Feedback {
            ace: self.receiver.ace(),
            option,
            octets,
            timestamp: None,
            una: Seq(self.nxt * MSS),
            nxt: Seq(self.nxt * MSS + 10 * MSS),
            mss: MSS,
        };
        arrives.then(|| {
            self.una = self.nxt;
            self.sender.on_feedback(&feedback)
        })
    }
}

/// Segments, each marked or not, and whether an ACK sent for it arrives.
fn line() -> impl Strategy<Value = Vec<(bool, bool)>> {
    (0.0..1.0f64, 0.0..1.0f64).prop_flat_map(|(marks, losses)| {
        proptest::collection::vec((proptest::bool::weighted(marks), proptest::bool::weighted(1.0 - losses)), 1..400)
    })
}

proptest! {
    #[test]
    fn with_options_every_ack_that_arrives_tells_the_exact_count(line in line(), each in 1u32..4) {
        // RFC 9768 §3.2.3.1, §3.2.3.2.5: however many ACKs were lost before it.
        let mut flow = Flow::new(true);
        for (n, (is_marked, arrives)) in (1u32..).zip(line) {
            let is_due = flow.data(is_marked);
            if (is_due || n % each == 0) && flow.ack(arrives).is_some() {
                prop_assert_eq!(flow.sender.delivered_ce(), flow.marked);
            }
        }
    }

    #[test]
    fn without_options_no_mark_is_missed_unless_acks_are_thinned(line in line(), each in 1u32..4) {
        // RFC 9768 §3.2.2.5.2, §A.2.1: the worst that can have been. And always the same modulo eight.
        let mut flow = Flow::new(false);
        let mut is_thinned = false;
        for (n, (is_marked, arrives)) in (1u32..).zip(line) {
            let is_due = flow.data(is_marked);
            is_thinned |= flow.sender.average >> AVERAGE_SHIFT >= THINNED;
            if (is_due || n % each == 0) && flow.ack(arrives).is_some() {
                let told = flow.sender.delivered_ce();
                prop_assert!(is_thinned || told >= flow.marked, "{told} of {}", flow.marked);
                prop_assert_eq!(told % DIV_ACE, flow.marked % DIV_ACE);
            }
        }
    }

    #[test]
    fn options_that_come_no_more_are_waited_for_by_four_marks_and_then_as_if_there_had_been_none(
        line in line(), each in 1u32..4
    ) {
        let mut flow = Flow::new(true);
        flow.data(false);
        flow.ack(true);
        flow.with_options = false;
        let (mut is_thinned, mut told_of) = (false, 0);
        for (n, (is_marked, arrives)) in (1u32..).zip(line) {
            let is_due = flow.data(is_marked);
            is_thinned |= flow.sender.average >> AVERAGE_SHIFT >= THINNED;
            if (is_due || n % each == 0) && let Some(marked) = flow.ack(arrives) {
                told_of += u32::from(marked > 0);
                let told = flow.sender.delivered_ce();
                let is_whole = told_of >= u32::from(UNTOLD_ACKS);
                prop_assert!(is_thinned || !is_whole || told >= flow.marked, "{told} of {}", flow.marked);
                prop_assert_eq!(told % DIV_ACE, flow.marked % DIV_ACE);
            }
        }
    }

    #[test]
    fn while_no_ack_is_lost_the_field_alone_is_exact(line in line(), each in 1u32..8) {
        // RFC 9768 §3.2.2.2.
        let mut flow = Flow::new(false);
        for (n, (is_marked, _)) in (1u32..).zip(line) {
            let is_due = flow.data(is_marked);
            if is_due || n % each == 0 {
                flow.ack(true);
                prop_assert_eq!(flow.sender.delivered_ce(), flow.marked);
            }
        }
    }

    #[test]
    fn nothing_that_a_peer_tells_breaks_anything(
        acks in proptest::collection::vec((0u8..8, any::<[u32; 3]>(), 0u8..8, any::<u32>(), any::<u32>(), any::<u32>()), 1..50),
    ) {
        let mut sender = Sender::new(None);
        for (ace, counts, fields, octets, una, mss) in acks {
            let option = AccurateEcn::new(&counts, fields);
            sender.on_feedback(&Feedback { ace, option, octets, timestamp: None, una: Seq(una), nxt: Seq(una), mss });
        }
    }
}

#[test]
fn the_worst_case_is_that_of_the_rfc() {
    // RFC 9768 §A.2.1: 9 segments and ACE + 2 make 2, 10 segments and ACE + 2 make 10.
    for (segments, marked) in [(9, 2), (10, 10)] {
        let mut flow = Flow::new(false);
        (0..segments).for_each(|n| _ = flow.data(n < 2));
        assert_eq!(flow.ack(true), Some(marked));
    }
}

#[test]
fn a_peer_that_acknowledges_much_at_once_is_not_taken_for_marked() {
    // RFC 9768 §A.2.1: stretched ACKs as a rule.
    let mut flow = Flow::new(false);
    for _ in 0..20 {
        (0..6).for_each(|_| _ = flow.data(false));
        flow.ack(true);
    }
    (0..40).for_each(|_| _ = flow.data(false));
    assert_eq!(flow.ack(true), Some(0));
}

#[test]
fn an_ack_that_was_overtaken_says_nothing() {
    // RFC 9768 §3.2.2.2: it acknowledges nothing new, nor has it a newer timestamp.
    let mut sender = Sender::new(Some(7));
    let ack = |octets, timestamp| Feedback { ace: 6, octets, timestamp, mss: MSS, ..Feedback::default() };
    assert_eq!(sender.on_feedback(&ack(0, Some(7))), 0);
    assert_eq!(sender.on_feedback(&ack(0, None)), 0);
    assert_eq!(sender.on_feedback(&ack(0, Some(8))), 1);
    assert_eq!(sender.on_feedback(&ack(MSS, None)), 0, "the same count again");
}

#[test]
fn a_field_of_zero_on_the_first_ack_shows_that_flags_are_wiped() {
    // RFC 9768 §3.2.2.4.
    let first = |octets, ace| {
        let mut sender = Sender::new(None);
        let marked = sender.on_feedback(&Feedback { ace, octets, mss: MSS, ..Feedback::default() });
        (marked, sender.mangled())
    };
    assert_eq!(first(MSS, 0), (0, Some(Mangled::Feedback)));
    assert_eq!(first(MSS, 5), (0, None));
    // Three marks among three segments count up to eight.
    assert_eq!(first(3 * MSS, 0), (3, None));
}

#[test]
fn wiped_options_are_not_read() {
    // RFC 9768 §3.2.3.2.4.
    let wiped = AccurateEcn::new(&[0, 0, 0], 0b111);
    let mut sender = Sender::new(None);
    sender.on_first_option(wiped.as_ref());
    let ack = Feedback {
        ace: 6,
        option: AccurateEcn::new(&[1, 9 * MSS, 1], 0b111),
        octets: MSS,
        mss: MSS,
        ..Feedback::default()
    };
    assert_eq!(sender.on_feedback(&ack), 1);
}

#[test]
fn marked_octets_without_a_marked_packet_show_that_something_is_mangled() {
    // RFC 9768 §3.2.3.2.5.
    let mut sender = Sender::new(None);
    let ack = Feedback {
        ace: 5,
        option: AccurateEcn::new(&[1, MSS, 1], 0b011),
        octets: MSS,
        mss: MSS,
        ..Feedback::default()
    };
    assert_eq!((sender.on_feedback(&ack), sender.mangled()), (0, Some(Mangled::Field)));
}

#[test]
fn marks_on_everything_for_four_rounds_are_no_congestion() {
    // RFC 9768 §3.2.2.3. One that is not marked in the first rounds, and it is never doubted again.
    let rounds = |unmarked: usize| {
        let mut flow = Flow::new(true);
        (0..80).find(|n| {
            flow.data(*n != unmarked);
            flow.ack(true);
            flow.sender.mangled().is_some()
        })
    };
    assert!(rounds(usize::MAX).is_some_and(|n| (30..50).contains(&n)));
    assert_eq!(rounds(5), None);
}
