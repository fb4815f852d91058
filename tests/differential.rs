//! The same conversations with tapstack and smoltcp in each role, and the outcomes compared.
//!
//! Four pairings of every conversation run over the same kind of line: tapstack with tapstack, tapstack
//! as client of smoltcp, smoltcp as client of tapstack, smoltcp with smoltcp. What the applications see (the bytes, the
//! ends and resets) and where the connections end (TIME-WAIT on which side, CLOSED) must not depend on
//! who plays which role, but for the departures in the table of `departures`.
//!
//! `TAPSTACK_SEEDS=n` runs n conversations, `TAPSTACK_SEED=n` that one.

#![allow(unreachable_pub, missing_docs, reason = "a test is no library")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first thing that is wrong")]
#![expect(clippy::indexing_slicing, reason = "a test stops at the first thing that is wrong")]

mod sim;

#[path = "differential/departures.rs"]
mod departures;
#[path = "differential/endpoint.rs"]
mod endpoint;
#[path = "differential/player.rs"]
mod player;
#[path = "differential/script.rs"]
mod script;
#[path = "differential/smol.rs"]
mod smol;
#[path = "differential/tap.rs"]
mod tap;

use crate::endpoint::Endpoint;
use crate::player::Report;
use crate::script::Script;
use crate::sim::film::Film;
use crate::sim::seeds::for_all_seeds;
use crate::smol::SmolEndpoint;
use crate::tap::TapEndpoint;
use std::path::Path;

/// Who plays a role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stack {
    Tapstack,
    Smoltcp,
}

/// Client and server.
pub type Pairing = (Stack, Stack);

const PAIRINGS: [Pairing; 4] = [
    (Stack::Tapstack, Stack::Tapstack),
    (Stack::Tapstack, Stack::Smoltcp),
    (Stack::Smoltcp, Stack::Tapstack),
    (Stack::Smoltcp, Stack::Smoltcp),
];

fn endpoint(stack: Stack, last: u8, knobs: &script::Knobs, seed: u64) -> Box<dyn Endpoint> {
    match stack {
        Stack::Tapstack => Box::new(TapEndpoint::new(last, knobs, seed)),
        Stack::Smoltcp => Box::new(SmolEndpoint::new(last, knobs, seed)),
    }
}

/// Plays a script; each pairing has a capture file of its own.
fn run(script: &Script, pairing: Pairing, capture: Option<&Path>) -> [Report; 2] {
    let (client, server) = pairing;
    let path = capture.map(|path| path.with_extension(format!("{client:?}-{server:?}.pcapng").to_lowercase()));
    let knobs = script.knobs.clone().map(|knobs| departures::knobs_for(pairing, knobs));
    let client = endpoint(client, 1, &knobs[0], script.seed);
    let server = endpoint(server, 2, &knobs[1], !script.seed);
    player::play(script, [client, server], Film::to(path))
}

#[test]
fn both_stacks_make_the_same_of_every_conversation() {
    for_all_seeds("differential", "both_stacks", 10_000, |seed, capture| {
        let script = Script::draw(seed);
        let reference = run(&script, PAIRINGS[0], capture.as_deref());
        script.check(&reference);
        for pairing in &PAIRINGS[1..] {
            let other = run(&script, *pairing, capture.as_deref());
            let same = departures::same(&script, *pairing, &reference, &other);
            assert!(same, "{pairing:?}: {other:#?}\ntapstack alone: {reference:#?}\n{script:#?}");
        }
    });
}
