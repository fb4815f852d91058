//! The table of neighbours in virtual time.

use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

const LAN: InterfaceId = InterfaceId(0);
const WAN: InterfaceId = InterfaceId(1);
const A: Mac = Mac([2, 0, 0, 0, 0, 0xa]);
const B: Mac = Mac([2, 0, 0, 0, 0, 0xb]);
const ANSWER: Learn = Learn::Reply { solicited: true };

fn ip(n: u32) -> IpAddr {
    Ipv4Addr::from(0xc000_0200 + n).into()
}

fn table() -> Neighbours<u32> {
    Neighbours::new(&mut Random::from_seed(1))
}

fn secs(secs: u64) -> Instant {
    Instant::from_secs(1000 + secs)
}

fn state(table: &Neighbours<u32>, address: IpAddr) -> Option<State> {
    table.entries().find(|entry| entry.address == address).map(|entry| entry.state)
}

fn actions(table: &mut Neighbours<u32>) -> Vec<Action<u32>> {
    std::iter::from_fn(|| table.poll_action()).collect()
}

fn ask(unicast_to: Option<Mac>) -> Action<u32> {
    Action::Solicit { interface: LAN, address: ip(1), unicast_to }
}

/// Lets time pass until `until`, and says what was to be done when, in seconds.
fn run(table: &mut Neighbours<u32>, until: Instant) -> Vec<(u64, Action<u32>)> {
    let mut done = Vec::new();
    while let Some(at) = table.deadline().filter(|at| *at <= until) {
        table.handle_timeout(at);
        done.extend(actions(table).into_iter().map(|action| (at.as_millis() / 1000 - 1000, action)));
    }
    done
}

/// A table whose one neighbour, at `A`, is in the given state at second 0.
fn in_state(wanted: State) -> Neighbours<u32> {
    let ago = |ago: u64| Instant::from_secs(1000 - ago);
    let mut table = table();
    match wanted {
        State::Incomplete => {
            table.resolve(LAN, ip(1), 1, 1, secs(0));
        }
        State::Failed => {
            table.resolve(LAN, ip(1), 1, 1, ago(7));
            for due in [6, 4, 0] {
                table.handle_timeout(ago(due));
            }
        }
        State::Static => {
            table.insert_static(LAN, ip(1), A);
        }
        State::Reachable => {
            table.resolve(LAN, ip(1), 1, 1, ago(5));
            table.learn(LAN, ip(1), A, ANSWER, ago(5));
        }
        State::Stale => {
            table.learn(LAN, ip(1), A, Learn::RequestToUs, ago(100));
        }
        State::Delay => {
            table.learn(LAN, ip(1), A, Learn::RequestToUs, ago(100));
            table.resolve(LAN, ip(1), 1, 1, secs(0));
        }
        State::Probe => {
            table.learn(LAN, ip(1), A, Learn::RequestToUs, ago(100));
            table.resolve(LAN, ip(1), 1, 1, ago(5));
            table.handle_timeout(secs(0));
        }
    }
    actions(&mut table);
    assert_eq!(state(&table, ip(1)), Some(wanted));
    table
}

#[test]
fn the_first_packet_waits_and_everyone_is_asked_once() {
    // RFC 1122 §2.3.2.2: the packet SHOULD be saved; §2.3.2.1: requests MUST NOT flood.
    let mut table = table();
    for packet in 1..=3 {
        assert_eq!(table.resolve(LAN, ip(1), packet, 10, secs(0)), Resolve::Waiting { dropped: vec![] });
    }
    assert_eq!(actions(&mut table), [ask(None)]);
    assert_eq!(table.waiting_bytes(), 30);
    assert_eq!(table.learn(LAN, ip(1), A, ANSWER, secs(0)), [(A, 1), (A, 2), (A, 3)]);
    assert_eq!(table.waiting_bytes(), 0);
    assert_eq!(table.resolve(LAN, ip(1), 4, 10, secs(1)), Resolve::Known(A, 4));
    assert_eq!(state(&table, ip(1)), Some(State::Reachable));
}

#[test]
fn three_requests_with_growing_waits_and_then_it_gives_up() {
    let mut table = table();
    table.resolve(LAN, ip(1), 7, 10, secs(0));
    actions(&mut table);
    let gave_up = Action::GaveUp { interface: LAN, address: ip(1), packets: vec![7] };
    assert_eq!(run(&mut table, secs(7)), [(1, ask(None)), (3, ask(None)), (7, gave_up)]);
    assert_eq!(table.resolve(LAN, ip(1), 8, 10, secs(8)), Resolve::Failed(8), "not asked again yet");
    run(&mut table, secs(9));
    assert_eq!(table.resolve(LAN, ip(1), 9, 10, secs(9)), Resolve::Waiting { dropped: vec![] });
    assert_eq!(actions(&mut table), [ask(None)]);
}

#[test]
fn an_unused_neighbour_goes_stale_and_is_forgotten_in_silence() {
    // RFC 1122 §2.3.2.1: out-of-date entries MUST be flushed.
    let mut table = in_state(State::Reachable);
    assert_eq!(run(&mut table, secs(45)), []);
    assert_eq!(state(&table, ip(1)), Some(State::Stale));
    assert_eq!(run(&mut table, secs(1300)), []);
    assert_eq!(table.entries().count(), 0);
    assert_eq!(table.deadline(), None);
}

#[test]
fn a_stale_neighbour_is_used_at_once_and_probed_when_nobody_confirms_it() {
    // RFC 4861 §7.3.3, RFC 1122 §2.3.2.1 "Unicast Poll".
    let mut table = in_state(State::Stale);
    assert_eq!(table.resolve(LAN, ip(1), 1, 10, secs(0)), Resolve::Known(A, 1));
    assert_eq!(state(&table, ip(1)), Some(State::Delay));
    let gave_up = Action::GaveUp { interface: LAN, address: ip(1), packets: vec![] };
    let expected = [(5, ask(Some(A))), (6, ask(Some(A))), (8, ask(Some(A))), (12, gave_up)];
    assert_eq!(run(&mut table, secs(60)), expected);
    assert_eq!(table.entries().count(), 0, "the next packet asks everyone");
}

#[test]
fn a_probed_neighbour_that_answers_is_reachable() {
    let mut table = in_state(State::Probe);
    assert_eq!(table.learn(LAN, ip(1), A, ANSWER, secs(1)), []);
    assert_eq!(state(&table, ip(1)), Some(State::Reachable));
}

#[test]
fn progress_in_an_upper_layer_keeps_a_neighbour_reachable_without_probes() {
    // RFC 4861 §7.3.1.
    let mut table = in_state(State::Delay);
    for second in 1..500 {
        table.confirm(LAN, ip(1), secs(second));
        assert_eq!(run(&mut table, secs(second)), []);
        assert_eq!(table.resolve(LAN, ip(1), 1, 10, secs(second)), Resolve::Known(A, 1));
        assert_eq!(state(&table, ip(1)), Some(State::Reachable));
    }
}

#[test]
fn confirmation_revives_only_what_is_known() {
    for (before, after) in [
        (State::Incomplete, State::Incomplete),
        (State::Failed, State::Failed),
        (State::Static, State::Static),
        (State::Stale, State::Reachable),
        (State::Delay, State::Reachable),
        (State::Probe, State::Reachable),
    ] {
        let mut table = in_state(before);
        table.confirm(LAN, ip(1), secs(0));
        assert_eq!(state(&table, ip(1)), Some(after), "{before:?}");
    }
}

#[test]
fn what_is_learnt_moves_each_state_as_rfc_4861_says() {
    // RFC 4861 §7.2.5 and appendix C, with ARP's unicast reply as the solicited advertisement.
    use State::*;
    let unsolicited = Learn::Reply { solicited: false };
    let rows = [
        // state, what, from the same MAC, from another MAC
        (Incomplete, ANSWER, Reachable, Reachable),
        (Incomplete, unsolicited, Delay, Delay), // The packet that waited went out: that is a use.
        (Incomplete, Learn::RequestToUs, Delay, Delay),
        (Incomplete, Learn::Announcement, Delay, Delay),
        (Reachable, ANSWER, Reachable, Stale), // Nobody asked.
        (Reachable, unsolicited, Reachable, Stale),
        (Reachable, Learn::RequestToUs, Reachable, Stale),
        (Reachable, Learn::Announcement, Reachable, Stale),
        (Stale, ANSWER, Stale, Stale),
        (Stale, Learn::RequestToUs, Stale, Stale),
        (Delay, Learn::Announcement, Delay, Stale),
        (Probe, ANSWER, Reachable, Reachable),
        (Probe, Learn::Announcement, Probe, Stale),
        (Failed, ANSWER, Stale, Stale),
        (Failed, Learn::RequestToUs, Stale, Stale),
        (Static, ANSWER, Static, Static),
        (Static, Learn::RequestToUs, Static, Static),
    ];
    for (before, kind, same, other) in rows {
        for (mac, after) in [(A, same), (B, other)] {
            let mut table = in_state(before);
            table.learn(LAN, ip(1), mac, kind, secs(0));
            assert_eq!(state(&table, ip(1)), Some(after), "{before:?} {kind:?} {mac}");
            let expected = if before == Static { A } else { mac };
            assert_eq!(table.lookup(LAN, ip(1)), Some(expected), "{before:?} {kind:?}");
        }
    }
}

#[test]
fn strangers_make_no_entries_unless_they_ask_for_us() {
    let mut table = table();
    for kind in [ANSWER, Learn::Reply { solicited: false }, Learn::Announcement] {
        assert_eq!(table.learn(LAN, ip(1), A, kind, secs(0)), []);
        assert_eq!(table.entries().count(), 0, "{kind:?}");
    }
    table.learn(LAN, ip(1), A, Learn::RequestToUs, secs(0));
    assert_eq!(state(&table, ip(1)), Some(State::Stale));
    assert_eq!(table.resolve(LAN, ip(1), 1, 10, secs(0)), Resolve::Known(A, 1));
    assert_eq!(actions(&mut table), []);
}

#[test]
fn an_address_that_changes_twice_within_a_second_is_taken_for_flapping() {
    let mut table = in_state(State::Reachable);
    table.learn(LAN, ip(1), B, Learn::Announcement, secs(0));
    table.learn(LAN, ip(1), A, Learn::Announcement, secs(0) + Duration::from_millis(900));
    assert_eq!(table.lookup(LAN, ip(1)), Some(B));
    table.learn(LAN, ip(1), A, Learn::Announcement, secs(1));
    assert_eq!(table.lookup(LAN, ip(1)), Some(A));
}

#[test]
fn the_number_of_neighbours_is_bounded() {
    // A scan of a large network must not fill our memory.
    let mut table = table();
    for n in 0..limits::NEIGHBOURS as u32 + 100 {
        table.resolve(LAN, ip(n), n, 100, secs(0));
    }
    assert_eq!(table.entries().count(), limits::NEIGHBOURS);
    assert_eq!(table.waiting_bytes(), limits::NEIGHBOURS * 100);
}

#[test]
fn a_full_queue_drops_its_oldest_packet() {
    // RFC 1122 §2.3.2.2: the latest packet is the one to be saved.
    let mut table = table();
    let room = limits::NEIGHBOUR_QUEUE_PACKETS as u32;
    for packet in 0..room {
        table.resolve(LAN, ip(1), packet, 1, secs(0));
    }
    assert_eq!(table.resolve(LAN, ip(1), 999, 1, secs(0)), Resolve::Waiting { dropped: vec![0] });
    let big = limits::NEIGHBOUR_QUEUE_BYTES - 2;
    let Resolve::Waiting { dropped } = table.resolve(LAN, ip(1), 1000, big, secs(0)) else { panic!() };
    assert_eq!(dropped.len(), room as usize - 2);
    let sent: Vec<u32> = table.learn(LAN, ip(1), A, ANSWER, secs(0)).into_iter().map(|(_, packet)| packet).collect();
    assert_eq!(sent, [room - 1, 999, 1000]);
    let too_big = limits::NEIGHBOUR_QUEUE_BYTES + 1;
    assert_eq!(table.resolve(LAN, ip(2), 5, too_big, secs(0)), Resolve::Waiting { dropped: vec![5] });
    assert_eq!(table.waiting_bytes(), 0);
}

#[test]
fn all_queues_together_are_bounded() {
    let mut table = table();
    let each = limits::NEIGHBOUR_QUEUE_BYTES;
    for n in 0..limits::NEIGHBOUR_TOTAL_BYTES / each {
        assert_eq!(table.resolve(LAN, ip(n as u32), 1, each, secs(0)), Resolve::Waiting { dropped: vec![] });
    }
    assert_eq!(table.resolve(LAN, ip(5000), 77, 1, secs(0)), Resolve::Waiting { dropped: vec![77] });
    assert_eq!(table.waiting_bytes(), limits::NEIGHBOUR_TOTAL_BYTES);
}

#[test]
fn a_static_neighbour_is_known_and_never_probed() {
    let mut table = table();
    table.resolve(LAN, ip(1), 3, 10, secs(0));
    actions(&mut table);
    assert_eq!(table.insert_static(LAN, ip(1), A), [(A, 3)]);
    assert_eq!(run(&mut table, secs(5000)), []);
    assert_eq!(table.resolve(LAN, ip(1), 4, 10, secs(5000)), Resolve::Known(A, 4));
    assert_eq!(table.flush(LAN), [] as [u32; 0]);
    assert_eq!(table.lookup(LAN, ip(1)), Some(A));
    assert!(table.remove_static(LAN, ip(1)));
    assert_eq!(table.lookup(LAN, ip(1)), None);
}

#[test]
fn a_flood_of_strangers_does_not_push_out_who_is_in_use() {
    let mut table: Neighbours<u32> = Neighbours::with_capacity(4, &mut Random::from_seed(1));
    for n in 1..=3 {
        table.resolve(LAN, ip(n), 1, 10, secs(0));
        table.learn(LAN, ip(n), A, ANSWER, secs(0));
    }
    for n in 100..1000 {
        table.learn(LAN, ip(n), B, Learn::RequestToUs, secs(0));
    }
    assert_eq!(table.entries().count(), 4);
    for n in 1..=3 {
        assert_eq!(table.lookup(LAN, ip(n)), Some(A), "neighbour {n}");
    }
}

#[test]
fn what_waits_for_a_neighbour_that_must_go_is_given_back() {
    let mut table: Neighbours<u32> = Neighbours::with_capacity(2, &mut Random::from_seed(1));
    for n in 1..=3 {
        table.resolve(LAN, ip(n), n, 10, secs(0));
    }
    let gave_up = Action::GaveUp { interface: LAN, address: ip(1), packets: vec![1] };
    assert!(actions(&mut table).contains(&gave_up));
    assert_eq!(table.waiting_bytes(), 20);
}

#[test]
fn an_interface_that_goes_down_takes_its_neighbours_along_and_no_others() {
    let mut table = table();
    table.resolve(LAN, ip(1), 1, 10, secs(0));
    table.resolve(WAN, ip(1), 2, 10, secs(0));
    actions(&mut table);
    assert_eq!(table.flush(LAN), [1]);
    assert_eq!(table.entries().map(|entry| entry.interface).collect::<Vec<_>>(), [WAN]);
    assert_eq!(table.waiting_bytes(), 10);
    assert_eq!(run(&mut table, secs(100)).iter().filter(|(_, action)| *action == ask(None)).count(), 0);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Resolve(u32, usize),
    Learn(u32, u8, u8),
    Confirm(u32),
    Wait(u64),
    Flush(bool),
    Static(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u32..12, 1usize..100_000).prop_map(|(n, bytes)| Step::Resolve(n, bytes)),
        3 => (0u32..12, 0u8..3, 0u8..4).prop_map(|(n, mac, kind)| Step::Learn(n, mac, kind)),
        1 => (0u32..12).prop_map(Step::Confirm),
        3 => (0u64..8_000).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Flush),
        1 => (0u32..12).prop_map(Step::Static),
    ]
}

proptest! {
    #[test]
    fn every_packet_comes_out_exactly_once_and_nothing_leaks(steps in proptest::collection::vec(step(), 0..150)) {
        let mut table: Neighbours<u32> = Neighbours::with_capacity(6, &mut Random::from_seed(1));
        let mut now = Instant::from_secs(1);
        let (mut put_in, mut out) = (0, Vec::new());
        for step in steps {
            let interface = |n: u32| InterfaceId((n % 2) as u16);
            match step {
                Step::Resolve(n, bytes) => {
                    put_in += 1;
                    match table.resolve(interface(n), ip(n), put_in, bytes, now) {
                        Resolve::Known(_, packet) | Resolve::Failed(packet) => out.push(packet),
                        Resolve::Waiting { dropped } => out.extend(dropped),
                    }
                }
                Step::Learn(n, mac, kind) => {
                    let kind = match kind {
                        0 => ANSWER,
                        1 => Learn::Reply { solicited: false },
                        2 => Learn::RequestToUs,
                        _ => Learn::Announcement,
                    };
                    let released = table.learn(interface(n), ip(n), Mac([2, 0, 0, 0, 0, mac]), kind, now);
                    out.extend(released.into_iter().map(|(_, packet)| packet));
                }
                Step::Confirm(n) => table.confirm(interface(n), ip(n), now),
                Step::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    table.handle_timeout(now);
                }
                Step::Flush(lan) => out.extend(table.flush(if lan { LAN } else { WAN })),
                Step::Static(n) => {
                    let released = table.insert_static(interface(n), ip(n), A);
                    out.extend(released.into_iter().map(|(_, packet)| packet));
                    table.remove_static(interface(n), ip(n));
                }
            }
            for action in actions(&mut table) {
                if let Action::GaveUp { packets, .. } = action {
                    out.extend(packets);
                }
            }
            let waiting: usize = table.entries().map(|entry| entry.waiting).sum();
            prop_assert_eq!(out.len() + waiting, put_in as usize);
            prop_assert!(table.entries().count() <= 6);
            prop_assert_eq!(table.timers.len(), table.table.len());
            let recount: usize = table.table.iter().map(|(_, entry)| entry.waiting_bytes).sum();
            prop_assert_eq!(table.waiting_bytes(), recount);
            prop_assert!(table.deadline().is_none_or(|at| at > now || matches!(step, Step::Resolve(..) | Step::Learn(..))));
        }
        out.extend(table.flush(LAN));
        out.extend(table.flush(WAN));
        out.sort_unstable();
        prop_assert_eq!(out, (1..=put_in).collect::<Vec<_>>());
        prop_assert_eq!((table.waiting_bytes(), table.deadline()), (0, None));
    }
}
