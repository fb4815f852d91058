//! Claims in virtual time, packet by packet.

use super::*;

const IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const OTHER_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);
const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 2]);
const LATE: Duration = Duration::from_secs(3600);

fn start() -> Instant {
    Instant::from_secs(100)
}

fn claim(seed: u64) -> Claim {
    Claim::new(IP, OURS, start(), &mut Random::from_seed(seed))
}

/// What happened, and when after `start()`.
type Timed<T> = Vec<(Duration, T)>;

/// Runs the claim until `until` and says what it sent when, after `start()`, and what happened.
fn run(claim: &mut Claim, until: Duration) -> (Timed<Arp>, Timed<ClaimEvent>) {
    let (mut sent, mut events) = (Vec::new(), Vec::new());
    while let Some(at) = claim.deadline().filter(|at| at.since(start()) <= until) {
        let event = claim.handle_timeout(at);
        let after = at.since(start());
        if event != ClaimEvent::Nothing {
            events.push((after, event));
        }
        sent.extend(claim.poll_transmit().map(|arp| (after, arp)));
    }
    (sent, events)
}

fn owned() -> Claim {
    let mut claim = claim(1);
    run(&mut claim, LATE);
    assert!(claim.is_usable());
    claim
}

#[test]
fn an_address_is_probed_three_times_and_announced_twice() {
    // RFC 5227 §2.1.1 and §2.3, with the times of §1.1.
    for seed in 0..200 {
        let mut claim = claim(seed);
        let (sent, events) = run(&mut claim, LATE);
        let packets: Vec<Arp> = sent.iter().map(|(_, arp)| *arp).collect();
        let (probe, announcement) = (Arp::probe(OURS, IP), Arp::announcement(OURS, IP));
        assert_eq!(packets, [probe, probe, probe, announcement, announcement]);
        let at: Vec<Duration> = sent.iter().map(|(at, _)| *at).collect();
        assert!(at[0] <= PROBE_WAIT, "seed {seed}");
        for pair in at[..3].windows(2) {
            assert!((PROBE_MIN..=PROBE_MAX).contains(&(pair[1] - pair[0])), "seed {seed}");
        }
        assert_eq!(at[3] - at[2], ANNOUNCE_WAIT);
        assert_eq!(at[4] - at[3], ANNOUNCE_INTERVAL);
        assert_eq!(events, [(at[3], ClaimEvent::Won)]);
    }
}

#[test]
fn the_waits_differ_from_host_to_host() {
    // RFC 5227 §2.1.1: so that hosts that start together don't probe together.
    let first = |seed| run(&mut claim(seed), LATE).0[0].0;
    assert!((1..20).any(|seed| first(seed) != first(0)));
}

#[test]
fn an_address_is_not_usable_before_it_is_won() {
    let mut claim = claim(1);
    while claim.deadline().is_some() && !claim.is_usable() {
        let at = claim.deadline().unwrap();
        let event = claim.handle_timeout(at);
        assert_eq!(claim.is_usable(), event == ClaimEvent::Won);
    }
    assert!(claim.is_usable());
}

#[test]
fn an_address_in_use_is_lost_whatever_packet_shows_it() {
    // RFC 5227 §2.1.1: any packet whose sender IP address is the address probed for.
    for arp in [
        Arp::reply(THEIRS, IP, OURS, Ipv4Addr::UNSPECIFIED),
        Arp::request(THEIRS, IP, OTHER_IP),
        Arp::announcement(THEIRS, IP),
    ] {
        let mut claim = claim(1);
        run(&mut claim, Duration::from_secs(1));
        assert_eq!(claim.handle_arp(&arp, start() + PROBE_WAIT), ClaimEvent::Lost { by: THEIRS });
        assert!(!claim.is_usable());
        assert_eq!(claim.poll_transmit(), None);
    }
}

#[test]
fn two_hosts_that_probe_at_once_both_stay_away() {
    // RFC 5227 §2.1.1: a probe for the address from another hardware address is a conflict.
    let mut claim = claim(1);
    assert_eq!(claim.handle_arp(&Arp::probe(THEIRS, IP), start()), ClaimEvent::Lost { by: THEIRS });
}

#[test]
fn our_own_packets_and_other_addresses_are_no_conflict() {
    for mut claim in [claim(1), owned()] {
        for arp in [
            Arp::probe(OURS, IP),
            Arp::announcement(OURS, IP),
            Arp::request(THEIRS, OTHER_IP, IP),
            Arp::announcement(THEIRS, OTHER_IP),
            Arp::probe(THEIRS, OTHER_IP),
        ] {
            assert_eq!(claim.handle_arp(&arp, start()), ClaimEvent::Nothing, "{arp:?}");
        }
    }
    // A probe for an address that is ours is answered as any request, not a conflict (RFC 5227 §2.4).
    assert_eq!(owned().handle_arp(&Arp::probe(THEIRS, IP), start()), ClaimEvent::Nothing);
}

#[test]
fn a_lost_address_is_probed_again_after_a_minute() {
    let mut claim = claim(1);
    claim.handle_arp(&Arp::announcement(THEIRS, IP), start());
    let (sent, events) = run(&mut claim, LATE);
    assert!(sent[0].0 >= RATE_LIMIT_INTERVAL, "RFC 5227 §2.1.1: no faster than one attempt a minute");
    assert_eq!(sent.len(), 5);
    assert_eq!(events.len(), 1);
    assert!(claim.is_usable());
}

#[test]
fn a_conflict_is_answered_at_most_once_in_ten_seconds() {
    // RFC 5227 §2.4 (c).
    let mut claim = owned();
    let now = start() + LATE;
    let arp = Arp::announcement(THEIRS, IP);
    assert_eq!(claim.handle_arp(&arp, now), ClaimEvent::Defended { by: THEIRS });
    assert_eq!(claim.poll_transmit(), Some(Arp::announcement(OURS, IP)));
    let later = now + DEFEND_INTERVAL - Duration::from_nanos(1);
    assert_eq!(claim.handle_arp(&arp, later), ClaimEvent::Tolerated { by: THEIRS });
    assert_eq!(claim.poll_transmit(), None);
    assert_eq!(claim.handle_arp(&arp, now + DEFEND_INTERVAL), ClaimEvent::Defended { by: THEIRS });
    assert!(claim.is_usable());
}

#[test]
fn a_host_that_gives_up_does_so_at_the_second_conflict_in_ten_seconds() {
    // RFC 5227 §2.4 (b).
    let arp = Arp::announcement(THEIRS, IP);
    let now = start() + LATE;
    let mut claim = owned().with_defence(Defence::GiveUp);
    assert_eq!(claim.handle_arp(&arp, now), ClaimEvent::Defended { by: THEIRS });
    assert_eq!(claim.handle_arp(&arp, now + DEFEND_INTERVAL), ClaimEvent::Defended { by: THEIRS });
    let again = now + DEFEND_INTERVAL + Duration::from_secs(9);
    assert_eq!(claim.handle_arp(&arp, again), ClaimEvent::Lost { by: THEIRS });
    assert!(!claim.is_usable());
}

#[test]
fn a_quick_claim_is_usable_at_once_and_defended_all_the_same() {
    let mut claim = Claim::quick(IP, OURS, start(), &mut Random::from_seed(1));
    assert!(claim.is_usable());
    let (sent, _) = run(&mut claim, LATE);
    let announcement = Arp::announcement(OURS, IP);
    assert_eq!(sent, [(Duration::ZERO, announcement), (ANNOUNCE_INTERVAL, announcement)]);
    let event = claim.handle_arp(&Arp::request(THEIRS, IP, OTHER_IP), start() + LATE);
    assert_eq!(event, ClaimEvent::Defended { by: THEIRS });
}

#[test]
fn nothing_happens_before_its_time() {
    let mut claim = claim(3);
    let deadline = claim.deadline().unwrap();
    assert_eq!(claim.handle_timeout(deadline - Duration::from_nanos(1)), ClaimEvent::Nothing);
    assert_eq!(claim.poll_transmit(), None);
    claim.handle_timeout(deadline);
    assert!(claim.poll_transmit().is_some());
}
