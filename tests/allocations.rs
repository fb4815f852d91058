//! How often a host allocates on its bulk paths, counted: at most once for each data segment, whether that is a plain
//! one or a super-segment.
//!
//! Everything that the host does is counted, from the frame that the device gives to the frame that it takes: the stack,
//! the executor and the service. The device's own buffers are not, and the peer exists only as frames.

#![allow(missing_docs, unreachable_pub, reason = "a test is no library")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first thing that is wrong")]

#[path = "../benches/common/counting.rs"]
mod counting;
#[path = "../benches/common/crowd.rs"]
mod crowd;

use crowd::Crowd;
use std::time::Duration;
use tapstack::application::small::Small;
use tapstack::physical::frame::OutFrame;

const MSS: u16 = 1460;
/// Payload of a super-segment.
const SUPER: usize = 44 * MSS as usize;
/// Turns before counting: windows open, tables and queues find their size.
const WARM_UP: usize = 300;
const TURNS: usize = 300;

fn connected(service: Small) -> Crowd {
    let mut crowd = Crowd::new(service, 1);
    crowd.grow(1);
    crowd
}

/// A turn of the host in which `frames` arrive: what it sends, and how often it allocated.
fn turn(crowd: &mut Crowd, frames: Vec<tapstack::physical::frame::Frame>) -> (Vec<OutFrame>, u64) {
    crowd.now += Duration::from_micros(200);
    // Room for what is sent is the test's.
    let mut sent = Vec::with_capacity(4096);
    let before = counting::allocations();
    crowd.receive_all(frames);
    crowd.turn_into(&mut sent);
    (sent, counting::allocations() - before)
}

/// Allocations for each segment of an upload to the discard service, of which `batch` arrive in a turn.
fn upload(batch: usize, payload: usize, size: Option<u16>) -> f64 {
    let mut crowd = connected(Small::Discard);
    let payload = vec![7; payload];
    let (mut allocations, mut missing) = (0, 0);
    for n in 0..WARM_UP + TURNS {
        let frames = crowd.stream(0, batch, &payload, size);
        let (sent, counted) = turn(&mut crowd, frames);
        sent.iter().for_each(|frame| crowd.take(frame));
        if n >= WARM_UP {
            allocations += counted;
        }
        if n % 2 == 1 {
            // Of an odd number of segments the last may wait for its acknowledgment.
            missing += u64::from(crowd.rewind(0));
        }
    }
    let octets = payload.len() * batch * TURNS;
    assert!(missing < octets as u64 / 10, "{missing} octets in {octets} were not taken");
    allocations as f64 / (batch * TURNS) as f64
}

/// Allocations for each segment of a download from the chargen service, and the mean payload of one.
fn download() -> (f64, usize) {
    let mut crowd = connected(Small::Chargen);
    let (mut allocations, mut segments, mut octets) = (0, 0, 0);
    for n in 0..WARM_UP + TURNS {
        let frames = crowd.acknowledgments(&[0]);
        let (sent, counted) = turn(&mut crowd, frames);
        sent.iter().for_each(|frame| crowd.take(frame));
        if n >= WARM_UP {
            allocations += counted;
            segments += sent.len();
            octets += sent.iter().flat_map(|frame| &frame.body).map(|part| part.len()).sum::<usize>();
        }
    }
    assert!(segments >= TURNS, "{segments} segments in {TURNS} turns");
    (allocations as f64 / segments as f64, octets / segments)
}

#[test]
fn an_upload_of_plain_segments_allocates_at_most_once_for_each() {
    for batch in [1, 2, 8, 40] {
        let each = upload(batch, MSS.into(), None);
        println!("upload, {batch} plain segments a turn: {each:.2} allocations for each");
        assert!(each <= 1.0, "{each} with {batch} in a turn");
    }
}

#[test]
fn an_upload_of_super_segments_allocates_at_most_once_for_each() {
    for batch in [1, 2, 8] {
        let each = upload(batch, SUPER, Some(MSS));
        println!("upload, {batch} super-segments a turn: {each:.2} allocations for each");
        assert!(each <= 1.0, "{each} with {batch} in a turn");
    }
}

#[test]
fn a_download_allocates_at_most_once_for_each_segment() {
    let (each, mean) = download();
    println!("download: {each:.2} allocations for each segment of {mean} octets on average");
    assert!(each <= 1.0 && mean > 30_000, "{each} for each segment of {mean} octets");
}
