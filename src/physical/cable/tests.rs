//! The statistics of each fault, and that a seed decides everything.

use super::*;

const FRAMES: u64 = 20_000;

/// Sends numbered frames, one each `gap`, and returns what arrived with its time.
fn run(faults: Faults, seed: u64, gap: Duration) -> (Vec<(Instant, Bytes)>, CableCounts) {
    let mut cable = Cable::new(faults, seed);
    let mut arrived = Vec::new();
    let mut take = |cable: &mut Cable, until: Instant| {
        while let Some(at) = cable.deadline().filter(|at| *at <= until) {
            let frame = cable.receive(at).expect("a frame is there at the deadline");
            arrived.push((at, frame));
        }
    };
    for number in 0..FRAMES {
        let now = Instant::ZERO + gap * number as u32;
        take(&mut cable, now);
        cable.send(frame(number), now);
    }
    take(&mut cable, Instant::FAR_FUTURE);
    assert!(cable.is_empty());
    assert!(arrived.is_sorted_by_key(|(at, _)| *at));
    (arrived, cable.counts())
}

fn frame(number: u64) -> Bytes {
    let mut bytes = vec![0; 100];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes.into()
}

fn number(frame: &Bytes) -> u64 {
    u64::from_be_bytes(frame[..8].try_into().unwrap())
}

fn assert_about(count: u64, probability: f64) {
    let share = count as f64 / FRAMES as f64;
    assert!((share - probability).abs() < 0.01, "{share} should be about {probability}");
}

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn a_perfect_cable_delivers_everything_at_once_and_in_order() {
    let (arrived, counts) = run(Faults::default(), 1, MILLISECOND);
    assert_eq!(counts.delivered, FRAMES);
    assert_eq!(counts.delivered_bytes, counts.sent_bytes);
    for (expected, (at, frame)) in (0..).zip(&arrived) {
        assert_eq!(number(frame), expected);
        assert_eq!(*at, Instant::from_millis(expected));
    }
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let faults = Faults {
        loss: 0.1,
        duplicate: 0.1,
        corrupt: 0.1,
        reorder: 0.1,
        delay: 5 * MILLISECOND,
        jitter: 5 * MILLISECOND,
        ..Faults::default()
    };
    assert_eq!(run(faults.clone(), 7, MILLISECOND), run(faults.clone(), 7, MILLISECOND));
    assert_ne!(run(faults.clone(), 7, MILLISECOND).0, run(faults, 8, MILLISECOND).0);
}

#[test]
fn loss_takes_its_share() {
    let (arrived, counts) = run(Faults { loss: 0.03, ..Faults::default() }, 2, MILLISECOND);
    assert_about(counts.lost, 0.03);
    assert_eq!(arrived.len() as u64 + counts.lost, FRAMES);
}

#[test]
fn duplicates_are_extra_copies() {
    let (arrived, counts) = run(Faults { duplicate: 0.05, ..Faults::default() }, 3, MILLISECOND);
    assert_about(counts.duplicated, 0.05);
    assert_eq!(arrived.len() as u64, FRAMES + counts.duplicated);
}

#[test]
fn corruption_flips_exactly_one_bit() {
    let (arrived, counts) = run(Faults { corrupt: 0.05, ..Faults::default() }, 4, MILLISECOND);
    assert_about(counts.corrupted, 0.05);
    let mut damaged = 0;
    for (sent, (_, received)) in (0..).zip(&arrived) {
        let bits: u32 = frame(sent).iter().zip(received).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert!(bits <= 1);
        damaged += u64::from(bits);
    }
    assert_eq!(damaged, counts.corrupted);
}

#[test]
fn a_frame_that_is_held_back_is_passed_by_one_to_three_others() {
    let (arrived, counts) = run(Faults { reorder: 0.02, ..Faults::default() }, 5, MILLISECOND);
    assert_about(counts.reordered, 0.02);
    assert_eq!(arrived.len() as u64, FRAMES, "nothing is lost by it");
    let mut highest = 0;
    let mut late = 0;
    for (_, frame) in &arrived {
        let number = number(frame);
        late += u64::from(number < highest);
        // Two that are held back one after the other let the frames between them pass both.
        assert!(highest.saturating_sub(number) <= 2 * PASSED_BY_AT_MOST + 2);
        highest = highest.max(number);
    }
    assert!(late > counts.reordered * 9 / 10, "{late} of {}", counts.reordered);
}

#[test]
fn a_frame_that_nobody_passes_comes_at_last() {
    let mut cable = Cable::new(Faults { reorder: 1.0, ..Faults::default() }, 1);
    cable.send(frame(1), Instant::ZERO);
    assert_eq!(cable.receive(Instant::from_millis(19)), None);
    assert_eq!(cable.deadline(), Some(Instant::ZERO + HELD_BACK_AT_MOST));
    assert!(cable.receive(Instant::from_millis(20)).is_some());
}

#[test]
fn delay_and_jitter_spread_evenly_and_may_reorder() {
    let faults = Faults { delay: 5 * MILLISECOND, jitter: 5 * MILLISECOND, ..Faults::default() };
    let (arrived, _) = run(faults, 6, MILLISECOND);
    let delays: Vec<Duration> =
        arrived.iter().map(|(at, frame)| at.since(Instant::from_millis(number(frame)))).collect();
    assert!(delays.iter().all(|delay| *delay <= 10 * MILLISECOND));
    let mean = delays.iter().sum::<Duration>() / delays.len() as u32;
    assert!(mean > Duration::from_micros(4_900) && mean < Duration::from_micros(5_100), "{mean:?}");
    assert!(!arrived.iter().map(|(_, frame)| number(frame)).is_sorted());
}

#[test]
fn jitter_keeps_the_order_if_asked_to() {
    let faults = Faults { delay: 5 * MILLISECOND, jitter: 5 * MILLISECOND, keep_order: true, ..Faults::default() };
    let (arrived, _) = run(faults, 6, MILLISECOND);
    assert!(arrived.iter().map(|(_, frame)| number(frame)).is_sorted());
}

#[test]
fn the_rate_spaces_frames_and_a_full_queue_drops_at_the_tail() {
    // 100 bytes at 80 kbit/s take 10 ms; one comes each millisecond, so nine of ten are too many.
    let faults = Faults { rate: Some(80_000), queue: 1_000, ..Faults::default() };
    let (arrived, counts) = run(faults, 9, MILLISECOND);
    assert_about(counts.queue_drops, 0.9);
    assert_eq!(arrived.len() as u64 + counts.queue_drops, FRAMES);
    for pair in arrived.windows(2) {
        assert_eq!(pair[1].0 - pair[0].0, 10 * MILLISECOND);
    }
    let wait = arrived.last().unwrap().0.since(Instant::from_millis(number(&arrived.last().unwrap().1)));
    assert!(wait <= 101 * MILLISECOND, "ten frames wait at most, {wait:?}");
}

#[test]
fn a_frame_larger_than_the_queue_still_passes_an_idle_line() {
    let mut cable = Cable::new(Faults { rate: Some(8_000), queue: 10, ..Faults::default() }, 1);
    cable.send(frame(1), Instant::ZERO);
    cable.send(frame(2), Instant::ZERO);
    assert_eq!(cable.deadline(), Some(Instant::from_millis(100)));
    assert_eq!(cable.counts().queue_drops, 1);
}

#[test]
fn what_is_on_its_way_is_bounded() {
    let mut cable = Cable::new(Faults { delay: Duration::from_secs(3600), ..Faults::default() }, 1);
    for n in 0..CABLE_FRAMES as u64 + 10 {
        cable.send(frame(n), Instant::ZERO);
    }
    assert_eq!(cable.counts().queue_drops, 10);
}

#[test]
fn a_line_has_different_luck_in_each_direction() {
    let mut line = Line::new(&Faults { loss: 0.5, ..Faults::default() }, 1);
    let mut luck = |pick: fn(&mut Line) -> &mut Cable| -> Vec<u64> {
        (0..64).for_each(|n| pick(&mut line).send(frame(n), Instant::ZERO));
        std::iter::from_fn(|| pick(&mut line).receive(Instant::ZERO)).map(|frame| number(&frame)).collect()
    };
    assert_ne!(luck(|line| &mut line.forth), luck(|line| &mut line.back));
    assert!(line.is_empty());
}

#[test]
fn what_waits_behind_many_is_marked_if_it_can_be() {
    // RFC 3168 §5, RFC 1624.
    let packet = |ecn: u8| {
        let mut frame = vec![0u8; 100];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[14..34].copy_from_slice(&[0x45, ecn, 0, 86, 0, 1, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        let checksum = Sum::ZERO.add_bytes(&frame[14..34]).checksum();
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        frame
    };
    let faults = Faults { rate: Some(8_000), mark: Some(100), queue: 1000, ..Faults::default() };
    let mut cable = Cable::new(faults, 1);
    for ecn in [2, 2, 1, 0, 3] {
        cable.send(packet(ecn), Instant::ZERO);
    }
    let arrived: Vec<Bytes> = std::iter::from_fn(|| cable.receive(Instant::FAR_FUTURE)).collect();
    assert_eq!(arrived.iter().map(|frame| frame[15]).collect::<Vec<_>>(), [2, 3, 3, 0, 3]);
    assert!(arrived.iter().all(|frame| Sum::ZERO.add_bytes(&frame[14..34]).is_valid()));
    assert_eq!(cable.counts().marked, 2);
}
