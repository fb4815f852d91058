//! Threads with guests that drain, show, fail and panic as they are told.

use super::*;
use crate::base::time::Instant;
use crate::daemon::clock::Clock;
use crate::physical::frame::{DeviceId, Frame, OutFrame};
use crate::stack::siblings::{Message, To};
use crate::stack::snapshot::Count;

/// What a guest is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Character {
    Patient,
    Stubborn,
    Broken,
}

struct Actor {
    character: Character,
    is_stopping: bool,
}

impl Guest for Actor {
    fn receive_all(&mut self, _: Instant, _: DeviceId, _: impl Iterator<Item = Frame>) {}
    fn receive_message(&mut self, _: Instant, _: Message) {}
    fn poll_message(&mut self) -> Option<(To, Message)> {
        None
    }
    fn on_message_lost(&mut self) {}
    fn run(&mut self, _: Instant) {
        assert!(self.character != Character::Broken, "as it was told to");
    }
    fn poll_transmit(&mut self, _: Instant) -> Option<(DeviceId, OutFrame)> {
        None
    }
    fn on_device_error(&mut self) {}
    fn deadline(&self) -> Option<Instant> {
        None
    }
    fn show(&self, _: &str) -> Option<Snapshot> {
        let counters = vec![Count { name: "seen", count: 1, meaning: "" }];
        Some(Snapshot { counters, ..Snapshot::default() })
    }
    fn put_up(&mut self, _: Instant) {}
    fn reload(&mut self) {}
    fn stop(&mut self) {
        self.is_stopping = true;
    }
    fn is_stopped(&self) -> bool {
        self.is_stopping && self.character == Character::Patient
    }
    fn abort(&mut self, _: Instant) {}
}

fn crew(others: usize, character: Character) -> Result<Crew, Failure> {
    let mut loops: Vec<EventLoop> = (0..=others).map(|_| EventLoop::idle(Clock::start()).unwrap()).collect();
    let first = loops.remove(0);
    Crew::start(loops, &first.waker(), move |_| Ok(Actor { character, is_stopping: false }))
}

/// Takes in news until `is_done` says so.
fn take_in(crew: &mut Crew, is_done: impl Fn(&Crew, &[Gathered]) -> bool) -> Result<Vec<Gathered>, Failure> {
    let mut all = Vec::new();
    while !is_done(crew, &all) {
        all.extend(crew.take_in()?);
        thread::yield_now();
    }
    Ok(all)
}

fn have_ended(crew: &Crew) -> bool {
    crew.hands.iter().all(|hand| hand.has_ended && hand.thread.is_none())
}

#[test]
fn all_drain_before_any_ends() {
    let mut crew = crew(3, Character::Patient).unwrap();
    assert!(!crew.has_drained());
    crew.order(&Order::Stop);
    take_in(&mut crew, |crew, _| crew.has_drained()).unwrap();
    assert!(crew.hands.iter().all(|hand| !hand.has_ended), "a queue that closes would move the flows of the others");
    crew.dismiss(&Order::End);
    assert!(have_ended(&crew));
}

#[test]
fn who_does_not_drain_is_ended_all_the_same() {
    let mut crew = crew(2, Character::Stubborn).unwrap();
    crew.order(&Order::Stop);
    crew.dismiss(&Order::Abort);
    assert!(!crew.hands.iter().any(|hand| hand.has_drained));
    assert!(have_ended(&crew));
}

#[test]
fn what_is_to_be_shown_is_gathered_from_all_in_their_order() {
    let mut crew = crew(3, Character::Patient).unwrap();
    let ticket = Ticket::for_test(7);
    crew.ask(ticket, "counters", Snapshot::default());
    let gathered = take_in(&mut crew, |_, gathered| !gathered.is_empty()).unwrap();
    assert_eq!((gathered[0].ticket, gathered[0].what.as_str()), (ticket, "counters"));
    let parts: Vec<usize> = gathered[0].parts.iter().map(|part| part.counters.len()).collect();
    assert_eq!(parts, [0, 1, 1, 1]);
    crew.ask(ticket, "counters", Snapshot::default());
    crew.retain(|_| false);
    crew.dismiss(&Order::End);
    assert!(crew.inquiries.is_empty(), "nobody waits for it");
}

#[test]
fn a_thread_that_panics_is_a_failure_that_names_its_queue() {
    let mut crew = crew(1, Character::Broken).unwrap();
    crew.order(&Order::Show(Ticket::for_test(1), "routes".to_owned()));
    let failure = take_in(&mut crew, |_, _| false).unwrap_err();
    assert_eq!(failure.status(), 1);
    assert!(failure.to_string().contains("the thread of queue 1 panicked"), "{failure}");
    crew.dismiss(&Order::Abort);
    assert!(have_ended(&crew));
}

#[test]
fn a_guest_that_can_not_start_ends_the_others_and_its_reason_is_told() {
    let mut loops: Vec<EventLoop> = (0..3).map(|_| EventLoop::idle(Clock::start()).unwrap()).collect();
    let first = loops.remove(0);
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let result = Crew::start(loops, &first.waker(), move |_| {
        if next.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
            Ok(Actor { character: Character::Patient, is_stopping: false })
        } else {
            Err(Failure::running("no port is free"))
        }
    });
    assert_eq!(result.unwrap_err(), Failure::running("no port is free"));
}
