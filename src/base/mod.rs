//! The ground under the seven floors: time, randomness, checksums, sequence numbers, timers, drop
//! reasons and counters.
//!
//! Nothing here knows a protocol. Time and randomness are values that are handed in, so that every run
//! of everything above can be repeated from one seed.

pub mod bucket;
pub mod buffers;
pub mod checksum;
pub mod counters;
pub mod drops;
pub mod hash;
pub mod limits;
pub mod lru;
pub mod prefetch;
pub mod random;
pub mod ranges;
pub mod seq;
pub mod time;
pub mod timers;
