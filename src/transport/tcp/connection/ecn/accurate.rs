//! Accurate ECN in a connection: RFC 9768 §3.2, where its handshake, its segments and its ACKs meet the two counters.
//!
//! Only new data is sent ECN-capable, as RFC 3168 §6.1.4 to §6.1.6 has it; what arrives marked is counted whatever it is,
//! since peers may do otherwise.
//!
//! A super-segment has one ACE field for all its segments; it says so (`keeps_cwr`), since whoever cuts one takes the CWR
//! bit for that of RFC 3168 otherwise and leaves it on the first only.

use super::Facts;
use super::negotiation::{Agreement, Codepoint, Mode};
use super::receiver::{Choices, Receiver};
use super::sender::{Feedback, Mangled, Sender};
use crate::base::counters::Counter;
use crate::base::seq::Seq;
use crate::transport::Context;
use crate::transport::tcp::connection::output::AckDue;
use crate::transport::tcp::connection::{Connection, State};
use crate::transport::tcp::options::Options;
use crate::transport::tcp::segment::{Flags, Segment};

/// What a connection keeps for it.
#[derive(Clone, Debug)]
pub(in super::super) struct Accurate {
    agreement: Agreement,
    receiver: Receiver,
    sender: Sender,
    /// How the last SYN-ACK came, while the peer has not been told (RFC 9768 §3.2.2.1).
    syn_ack: Option<Codepoint>,
    /// Our SYN-ACK is not acknowledged: what acknowledges it has the handshake encoding.
    awaits_handshake: bool,
    /// Options are sent: none was lost that speaks against it.
    sends_options: bool,
    /// The first segment with data is to have one (RFC 9768 §3.2.3.2.1).
    tests_with_data: bool,
    /// It had, and ends here; it is not acknowledged.
    test_end: Option<Seq>,
}

impl Accurate {
    fn new(agreement: Agreement, timestamp: Option<u32>) -> Self {
        Accurate {
            agreement,
            receiver: Receiver::default(),
            sender: Sender::new(timestamp),
            syn_ack: None,
            awaits_handshake: false,
            sends_options: true,
            tests_with_data: false,
            test_end: None,
        }
    }

    /// Something speaks against sending what could be marked.
    pub(super) fn is_mangled(&self) -> bool {
        self.sender.mangled().is_some()
    }

    /// What was agreed on.
    pub(super) fn agreement(&self) -> Agreement {
        self.agreement
    }

    /// The ACE field of a segment that leaves.
    pub(in super::super) fn ace(&self) -> u8 {
        self.receiver.ace()
    }

    /// Packets of ours that arrived with CE, and packets that came with CE.
    pub(in super::super) fn marked(&self) -> (u32, u32) {
        (self.sender.delivered_ce(), self.receiver.marked_packets())
    }
}

impl Connection {
    /// The record, if accurate ECN was agreed on.
    pub(in super::super) fn accurate(&self) -> Option<&Accurate> {
        self.extras.as_ref().filter(|_| self.ecn.mode == Mode::Accurate)?.accurate.as_deref()
    }

    fn accurate_mut(&mut self) -> Option<&mut Accurate> {
        self.extras.as_mut().filter(|_| self.ecn.mode == Mode::Accurate)?.accurate.as_deref_mut()
    }

    fn begin_accurate(&mut self, agreement: Agreement) -> &mut Accurate {
        let timestamp = self.agreed.timestamps.map(|clock| clock.recent);
        self.extras().accurate.insert(Box::new(Accurate::new(agreement, timestamp)))
    }

    /// What was agreed on, after another SYN or SYN-ACK.
    pub(super) fn keep_agreement(&mut self, agreement: Agreement) {
        if let Some(accurate) = self.accurate_mut() {
            accurate.agreement = agreement;
        }
    }

    /// Our SYN is answered, and `arrived` is how it came: without ECT, if nobody changed that (RFC 9768 §3.2.2.3).
    pub(super) fn begin_accurate_as_initiator(&mut self, arrived: Codepoint, syn_ack: &Segment) {
        let accurate = self.begin_accurate(Agreement::on(Mode::Accurate));
        if arrived != Codepoint::NotEct {
            accurate.sender.on_mangled(Mangled::Field);
        }
        accurate.sender.on_first_option(syn_ack.options.accurate_ecn.as_ref());
        accurate.tests_with_data = true;
        accurate.take_syn_ack(syn_ack);
    }

    /// A SYN that asks for it is to be answered, or was.
    pub(super) fn begin_accurate_as_responder(&mut self, agreement: Agreement) {
        self.begin_accurate(agreement).awaits_handshake = true;
    }

    /// The SYN-ACK again: our ACK was lost, and the next is to say how this one came (RFC 9768 §3.2.2.1).
    pub(in super::super) fn note_syn_ack_again(&mut self, seg: &Segment) {
        let is_answer = seg.flags.has(Flags::SYN | Flags::ACK) && Codepoint::of_ace(seg.flags.ace()).is_some();
        if is_answer
            && seg.seq + 1 == self.rcv.nxt
            && let Some(accurate) = self.accurate_mut()
        {
            accurate.take_syn_ack(&Segment { payload: bytes::Bytes::new(), ..seg.clone() });
        }
    }

    /// Our SYN-ACK is acknowledged: by a pure ACK that says how it came, as a rule (RFC 9768 tables 3 and 4).
    pub(in super::super) fn note_handshake_feedback(&mut self, seg: &Segment, cx: &mut Context) {
        let (ace, una, nxt, mss) = (seg.flags.ace(), self.snd.una, self.snd.nxt, self.mss());
        let Some(accurate) = self.accurate_mut().filter(|accurate| accurate.awaits_handshake) else { return };
        accurate.awaits_handshake = false;
        let sender = &mut accurate.sender;
        sender.on_first_option(seg.options.accurate_ecn.as_ref());
        if !seg.is_empty() || !seg.options.sack.is_empty() {
            // RFC 9768 §3.2.2.1: only a pure ACK has the handshake encoding.
            let timestamp = seg.options.timestamps.map(|timestamps| timestamps.value);
            let marked = sender.on_feedback(&Feedback { ace, option: None, octets: 1, timestamp, una, nxt, mss });
            return self.on_marked(marked, cx);
        }
        let codepoint = Codepoint::of_ace(ace);
        match codepoint {
            _ if ace == 0 => sender.on_mangled(Mangled::Feedback),
            None | Some(Codepoint::NotEct) => {}
            Some(_) => sender.on_mangled(Mangled::Field),
        }
        if codepoint == Some(Codepoint::Ce) {
            sender.on_marked_syn_ack();
            self.on_marked(1, cx);
        }
    }

    /// An ACK told of `octets` for the first time.
    pub(in super::super) fn note_feedback(&mut self, seg: &Segment, octets: u32, cx: &mut Context) {
        let (una, nxt, mss) = (self.snd.una, self.snd.nxt, self.mss());
        // RFC 9768 §3.2.2: the field means nothing on a SYN, and something else on the ACK of one.
        let Some(accurate) = self.accurate_mut().filter(|accurate| !accurate.awaits_handshake && !seg.flags.syn())
        else {
            return;
        };
        if seg.ack.before(una) {
            return;
        }
        accurate.test_end.take_if(|end| end.at_or_before(una));
        let timestamp = seg.options.timestamps.map(|timestamps| timestamps.value);
        let option = seg.options.accurate_ecn;
        let marked =
            accurate.sender.on_feedback(&Feedback { ace: seg.flags.ace(), option, octets, timestamp, una, nxt, mss });
        self.on_marked(marked, cx);
    }

    fn on_marked(&mut self, packets: u32, cx: &mut Context) {
        if packets > 0 {
            cx.counters.add(Counter::TcpDeliveredCE, u64::from(packets));
            self.reduce_for_mark(cx.now);
        }
    }

    /// An acceptable segment arrived with so many octets.
    pub(in super::super) fn note_codepoint(&mut self, seg: &Segment, octets: u32) {
        if self.ecn.mode == Mode::Off {
            return;
        }
        let codepoint = Codepoint::of(seg.traffic_class);
        if codepoint != Codepoint::NotEct {
            self.ecn.facts.set(Facts::SEEN, true);
        }
        let is_data_unacknowledged = self.rcv.nxt != self.rcv.last_ack;
        let Some(accurate) = self.accurate_mut() else { return };
        let packets = octets.div_ceil(seg.segment_size.map_or(octets, u32::from).max(1)).max(1);
        let is_due = accurate.receiver.on_packet(codepoint, packets, octets, is_data_unacknowledged);
        if is_due && self.state != State::TimeWait {
            self.pending.ack = AckDue::Now;
        }
    }

    /// True if the next segment is to be the pure ACK that says how the SYN-ACK came, also where there is data to send
    /// (RFC 9768 §3.2.2.1).
    pub(in super::super) fn owes_handshake_ack(&self) -> bool {
        self.pending.ack == AckDue::Now && self.accurate().is_some_and(|accurate| accurate.syn_ack.is_some())
    }

    /// The flags of a segment that leaves, with the ACE field of accurate ECN; `is_pure` if it has neither data nor SACK
    /// blocks.
    pub(super) fn ace_flags(&mut self, flags: Flags, is_pure: bool) -> Flags {
        let Some(accurate) = self.accurate_mut() else { return flags };
        accurate.receiver.on_ack_sent();
        let handshake = accurate.syn_ack.take().filter(|_| is_pure);
        flags.with_ace(handshake.map_or(accurate.receiver.ace(), Codepoint::ace))
    }

    /// The record, if options are sent.
    fn accurate_with_options(&self) -> Option<&Accurate> {
        self.accurate().filter(|accurate| accurate.sends_options && !accurate.agreement.is_without_option)
    }

    /// The option of our SYN-ACK, to see whether it arrives (RFC 9768 §3.2.3.2.1).
    pub(in super::super) fn add_accurate_option_to_syn_ack(&self, options: &mut Options) {
        if let Some(accurate) = self.accurate_with_options().filter(|_| !self.is_authenticated()) {
            options.add_accurate_ecn(&accurate.receiver.test_choices());
        }
    }

    /// Adds the option to a segment that leaves for the first time with so many octets, if there is something to tell, and
    /// room for it. Before [`ace_flags`](Self::ace_flags).
    pub(in super::super) fn add_accurate_option(&mut self, options: &mut Options, seq: Seq, octets: u32) {
        let Some(accurate) = self.accurate_with_options() else { return };
        let is_test = accurate.syn_ack.is_some() || accurate.tests_with_data && octets > 0;
        let choices: Choices = if is_test { accurate.receiver.test_choices() } else { accurate.receiver.choices() };
        let may_cost_a_segment = (is_test || accurate.receiver.is_urgent()) && !self.is_authenticated();
        let before = self.pieces(octets, options);
        if choices.is_empty() || !options.add_accurate_ecn(&choices) {
            return;
        }
        if self.pieces(octets, options) > before && !may_cost_a_segment {
            options.accurate_ecn = None;
            return;
        }
        let Some(accurate) = self.accurate_mut() else { return };
        accurate.receiver.on_option_sent();
        if octets > 0 && std::mem::take(&mut accurate.tests_with_data) {
            accurate.test_end = Some(seq + octets);
        }
    }

    /// How many segments so many octets make beside `options`.
    fn pieces(&self, octets: u32, options: &Options) -> u32 {
        octets.div_ceil(self.snd.effective_mss(options.emit().len() + usize::from(options.reserved)).max(1))
    }

    /// What begins at `seq` is lost. If it was the first with an option, no more are sent (RFC 9768 §3.2.3.2.2).
    pub(in super::super) fn note_lost_option(&mut self, seq: Seq) {
        if let Some(accurate) = self.accurate_mut()
            && accurate.test_end.take_if(|end| seq.before(*end)).is_some()
        {
            accurate.sends_options = false;
        }
    }
}

impl Accurate {
    fn take_syn_ack(&mut self, syn_ack: &Segment) {
        let codepoint = Codepoint::of(syn_ack.traffic_class);
        self.syn_ack = Some(codepoint);
        self.receiver.on_syn_ack(codepoint, syn_ack.payload.len() as u32);
    }
}
