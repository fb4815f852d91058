//! A connection against scripted peers and against another connection, in virtual time.
//!
//! `scene` has one connection and a peer written out by hand: one file a mechanism, one behaviour a test. `script`
//! writes such a scene as a table of moments, arrivals and expected segments.
//! `pair` connects two connections over a bad line and checks that what is read is what was written.

mod arriving;
mod autotuning;
mod closing;
mod detecting;
mod hostile;
mod marking;
mod marking_accurately;
mod mistakes;
mod opening;
mod pacing;
mod pair;
mod path_searching;
mod patience;
mod patience_told;
mod probing;
mod receiving;
mod recovering;
mod scene;
mod script;
mod sending;
mod snapshot;
mod windows;
pub(in crate::transport::tcp) mod world;
