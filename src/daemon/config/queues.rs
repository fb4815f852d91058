//! How many queues a TAP has, each with a thread and a stack.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use std::fmt;
use std::thread;

/// The most there may be. The kernel takes 256; a stack each is worth it as far as there are cores.
pub const MAX_QUEUES: u16 = 64;

/// `queues = 4` or `queues = "auto"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queues {
    /// So many.
    Count(u32),
    /// One for each core.
    Auto,
}

impl Queues {
    /// How many that are, on this machine.
    pub fn count(self) -> u16 {
        let wanted = match self {
            Queues::Count(count) => u16::try_from(count).unwrap_or(MAX_QUEUES),
            Queues::Auto => thread::available_parallelism().map_or(1, |cores| cores.get().min(1 << 10) as u16),
        };
        wanted.clamp(1, MAX_QUEUES)
    }

    /// True if there can be so many.
    pub fn is_possible(self) -> bool {
        match self {
            Queues::Count(count) => (1..=u32::from(MAX_QUEUES)).contains(&count),
            Queues::Auto => true,
        }
    }
}

impl fmt::Display for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Queues::Count(count) => write!(f, "{count}"),
            Queues::Auto => f.write_str("\"auto\""),
        }
    }
}

impl Serialize for Queues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Queues::Count(count) => serializer.serialize_u32(*count),
            Queues::Auto => serializer.serialize_str("auto"),
        }
    }
}

impl<'de> Deserialize<'de> for Queues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QueuesVisitor)
    }
}

struct QueuesVisitor;

impl Visitor<'_> for QueuesVisitor {
    type Value = Queues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number from 1 to {MAX_QUEUES}, or \"auto\" for one for each core")
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<Queues, E> {
        let queues = u32::try_from(count).map(Queues::Count).ok().filter(|queues| queues.is_possible());
        queues.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(count), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Queues, E> {
        if text == "auto" { Ok(Queues::Auto) } else { Err(E::invalid_value(de::Unexpected::Str(text), &self)) }
    }
}
