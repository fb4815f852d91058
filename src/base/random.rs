//! The randomness that is handed to the stack: one ChaCha stream from one seed.
//!
//! ChaCha with 8 rounds is unpredictable to an attacker who sees its output (ports, IP identifications,
//! timestamps) as long as the seed is secret; the daemon takes the seed from the operating system, a
//! simulation takes it from its command line.

use crate::base::time::Duration;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A deterministic, unpredictable stream of numbers.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream of a short seed: for simulations and tests, whose runs are repeated from it.
    pub fn from_seed(seed: u64) -> Self {
        Random(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The stream of a full 256-bit key: for the daemon, whose seed must not be guessed.
    pub fn from_key(key: [u8; 32]) -> Self {
        Random(ChaCha8Rng::from_seed(key))
    }

    /// A stream of its own, so that one part's use of randomness does not shift another's.
    pub fn fork(&mut self) -> Self {
        let mut key = [0; 32];
        self.0.fill_bytes(&mut key);
        Random::from_key(key)
    }

    /// Any 16-bit number.
    pub fn next_u16(&mut self) -> u16 {
        (self.0.next_u32() >> 16) as u16
    }

    /// Any 32-bit number.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Any 64-bit number.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// A number in `0..bound`; 0 when `bound` is 0. The bias of the multiplication is below 2^-32 for
    /// bounds that fit 32 bits.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True with the probability `p` (0.0 never, 1.0 always).
    pub fn chance(&mut self, p: f64) -> bool {
        // 53 bits are what an f64 holds exactly.
        ((self.next_u64() >> 11) as f64) < p * (1u64 << 53) as f64
    }

    /// A duration from `low` to `high`, both included.
    pub fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        let span = u64::try_from(high.saturating_sub(low).as_nanos()).unwrap_or(u64::MAX - 1);
        low + Duration::from_nanos(self.below(span.saturating_add(1)))
    }
}
