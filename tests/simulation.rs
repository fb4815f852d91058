//! The whole stack in virtual time: hosts, routers and bad cables, thousands of seeds.
//!
//! - `conversations`: what a seed makes of everything at once (topology, faults, knobs, applications), with
//!   the stack's invariants checked after each step.
//! - `congestion`: what a bottleneck sees of a sender.
//! - `accurate_ecn`: marks that are counted, and boxes in the middle that wipe them.
//! - `recovery`: bursts and tails that are lost, and what it takes to repair them.
//! - `fairness`, `goodput`: how flows share a bottleneck and what bad lines carry, as tables in `tests/snapshots`.
//! - `lines`: what happens to a connection when the line or the peer goes away.
//! - `internet`: UDP, ICMP and path MTU through a router.
//! - `link`: ARP, address conflicts and multicast membership as they look on the wire.
//! - `attacks`: strangers who guess and forge.
//!
//! `TAPSTACK_SEEDS=n` runs n seeds, `TAPSTACK_SEED=n` that one.

#![allow(unreachable_pub, missing_docs, reason = "a test is no library")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first thing that is wrong")]
#![expect(clippy::indexing_slicing, reason = "a test stops at the first thing that is wrong")]

mod sim;

#[path = "simulation/accurate_ecn.rs"]
mod accurate_ecn;
#[path = "simulation/attacks.rs"]
mod attacks;
#[path = "simulation/congestion.rs"]
mod congestion;
#[path = "simulation/conversation.rs"]
mod conversation;
#[path = "simulation/conversations.rs"]
mod conversations;
#[path = "simulation/fairness.rs"]
mod fairness;
#[path = "simulation/goodput.rs"]
mod goodput;
#[path = "simulation/internet.rs"]
mod internet;
#[path = "simulation/lines.rs"]
mod lines;
#[path = "simulation/link.rs"]
mod link;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/recovery.rs"]
mod recovery;
#[path = "simulation/snapshots.rs"]
mod snapshots;
