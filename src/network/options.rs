//! IPv4 options: read without trusting them, filled in on the way, copied into fragments.
//!
//! Implements RFC 791 §3.1 "Options", RFC 1122 §3.2.1.8 and §3.2.2.6 (a host), RFC 1812 §4.2.2.1 and §5.3.13 (a
//! router), RFC 2113 (Router Alert).
//!
//! - Source routes are refused, in what is for us as in what is to be forwarded (RFC 7126 §4.3, §4.4: they serve
//!   attacks and nothing else).
//! - Record Route and Timestamp are filled in when a packet is forwarded and when its echo is answered.
//!   The stack has no wall clock: its timestamps carry the bit that says so (RFC 791 "Internet Timestamp").
//! - Router Alert is noticed. Everything else is carried along unread.

use smallvec::SmallVec;
use std::net::Ipv4Addr;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;
const ROUTER_ALERT: u8 = 148;
/// The bit of an option's type that asks for its copy in every fragment.
const COPIED: u8 = 0x80;
/// Where the options begin in the header: ICMP pointers count from the header's start.
const OPTIONS_START: usize = 20;

/// The option that asks routers to look at a packet (RFC 2113).
pub const ROUTER_ALERT_OPTION: [u8; 4] = [ROUTER_ALERT, 4, 0, 0];

/// Options as they stand in a header, padded to four bytes.
pub type OptionBytes = SmallVec<[u8; 8]>;

/// Bytes to put at places among the options.
type Writes = SmallVec<[(usize, SmallVec<[u8; 8]>); 4]>;

/// What a header's options are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// Router Alert is among them.
    pub router_alert: bool,
    /// Record Route is among them.
    pub record_route: bool,
    /// Timestamp is among them.
    pub timestamp: bool,
}

/// Why a packet is not taken for its options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// An option is malformed: a Parameter Problem that points at this byte of the header.
    Malformed {
        /// Counted from the header's first byte.
        pointer: u8,
    },
    /// A source route: answered by Destination Unreachable code 5 (RFC 1812 §5.2.4.1).
    SourceRoute,
}

/// Reads all options of a header.
///
/// # Errors
/// The first [`Problem`].
pub fn check(options: &[u8]) -> Result<Seen, Problem> {
    let mut seen = Seen::default();
    for option in Options::new(options) {
        let option = option?;
        match option.kind {
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return Err(Problem::SourceRoute),
            RECORD_ROUTE => {
                // RFC 791: the smallest legal pointer is 4. Each slot has four bytes.
                Slots::of_record_route(option)?;
                seen.record_route = true;
            }
            TIMESTAMP => {
                Slots::of_timestamp(option)?;
                seen.timestamp = true;
            }
            ROUTER_ALERT if option.data.len() != 2 => return Err(malformed(option.start + 1)),
            ROUTER_ALERT => seen.router_alert = true,
            _ => {}
        }
    }
    Ok(seen)
}

/// Fills in our part of Record Route and Timestamp: `own` is our address on the way out, `millis` any time
/// in milliseconds. Returns true if something was written. Malformed options are left alone.
pub fn fill(options: &mut [u8], own: Ipv4Addr, millis: u32) -> bool {
    let mut writes = Writes::new();
    for option in Options::new(options).map_while(Result::ok) {
        match option.kind {
            RECORD_ROUTE => {
                let Ok(slots) = Slots::of_record_route(option) else { continue };
                if let Some(place) = slots.free(4) {
                    writes.push((place, SmallVec::from_slice(&own.octets())));
                    writes.push((option.start + 2, SmallVec::from_slice(&[slots.pointer + 4])));
                }
            }
            TIMESTAMP => stamp(option, own, millis | NOT_STANDARD_TIME, &mut writes),
            _ => {}
        }
    }
    for (place, bytes) in &writes {
        if let Some(target) = options.get_mut(*place..place + bytes.len()) {
            target.copy_from_slice(bytes);
        }
    }
    !writes.is_empty()
}

/// What goes into the reply to an echo request that came with `options`: Record Route and Timestamp, with
/// our part filled in (RFC 1122 §3.2.2.6), padded.
pub fn for_echo_reply(options: &[u8], own: Ipv4Addr, millis: u32) -> OptionBytes {
    let mut reply =
        collect(Options::new(options).map_while(Result::ok).filter(|o| matches!(o.kind, RECORD_ROUTE | TIMESTAMP)));
    fill(&mut reply, own, millis);
    reply
}

/// The options that every fragment but the first carries (RFC 791 "Copied Flag"), padded.
pub fn for_later_fragments(options: &[u8]) -> OptionBytes {
    collect(Options::new(options).map_while(Result::ok).filter(|option| option.kind & COPIED != 0))
}

fn collect<'a>(options: impl Iterator<Item = RawOption<'a>>) -> OptionBytes {
    let mut bytes = OptionBytes::new();
    for option in options {
        bytes.extend_from_slice(option.bytes);
    }
    bytes.resize(bytes.len().next_multiple_of(4), END);
    bytes
}

/// RFC 791 "Internet Timestamp": the high bit says that the time is not milliseconds since midnight UT.
const NOT_STANDARD_TIME: u32 = 1 << 31;

fn stamp(option: RawOption<'_>, own: Ipv4Addr, time: u32, writes: &mut Writes) {
    let Ok(slots) = Slots::of_timestamp(option) else { return };
    let with_address = slots.width == 8;
    let Some(place) = slots.free(slots.width) else {
        // RFC 791: no room left is counted in the overflow field, up to 15.
        let overflow = slots.flags >> 4;
        if overflow < 15 {
            writes.push((option.start + 3, SmallVec::from_slice(&[(overflow + 1) << 4 | slots.flags & 15])));
        }
        return;
    };
    let mut entry: SmallVec<[u8; 8]> = SmallVec::new();
    if with_address {
        let prespecified = option.bytes.get(place - option.start..).and_then(|rest| rest.first_chunk::<4>());
        if slots.flags & 15 == 3 && prespecified != Some(&own.octets()) {
            return; // The next stamp is somebody else's to give.
        }
        entry.extend_from_slice(&own.octets());
    }
    entry.extend_from_slice(&time.to_be_bytes());
    writes.push((place, entry));
    writes.push((option.start + 2, SmallVec::from_slice(&[slots.pointer + slots.width])));
}

fn malformed(place: usize) -> Problem {
    Problem::Malformed { pointer: u8::try_from(OPTIONS_START + place).unwrap_or(u8::MAX) }
}

#[derive(Clone, Copy)]
struct RawOption<'a> {
    kind: u8,
    /// Where it begins, counted from the first option.
    start: usize,
    /// Type, length and data.
    bytes: &'a [u8],
    /// The data alone.
    data: &'a [u8],
}

/// The options of more than one byte, one after the other, until the end or the first that is malformed.
struct Options<'a> {
    options: &'a [u8],
    place: usize,
}

impl<'a> Options<'a> {
    fn new(options: &'a [u8]) -> Self {
        Options { options, place: 0 }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<RawOption<'a>, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let start = self.place;
            let rest = self.options.get(start..)?;
            let kind = *rest.first()?;
            match kind {
                END => return None,
                NO_OPERATION => self.place += 1,
                _ => {
                    let option = rest.get(1).and_then(|len| rest.get(..usize::from(*len))).and_then(|bytes| {
                        // The data begins behind type and length; a length below two has no data to give.
                        bytes.get(2..).map(|data| RawOption { kind, start, bytes, data })
                    });
                    let Some(option) = option else {
                        self.place = self.options.len();
                        return Some(Err(malformed(start + 1)));
                    };
                    self.place += option.bytes.len();
                    return Some(Ok(option));
                }
            }
        }
    }
}

/// The list inside Record Route or Timestamp, and the pointer to its first free slot.
struct Slots {
    /// Where the option begins among the options.
    start: usize,
    /// The bytes of the option.
    len: usize,
    /// Counted from 1 at the option's type.
    pointer: u8,
    /// The bytes of one slot.
    width: u8,
    /// Timestamp's overflow count and flags.
    flags: u8,
}

impl Slots {
    fn of_record_route(option: RawOption<'_>) -> Result<Self, Problem> {
        let pointer = *option.data.first().ok_or(malformed(option.start + 1))?;
        let len = option.bytes.len();
        if pointer < 4 {
            return Err(malformed(option.start + 2));
        }
        Ok(Slots { start: option.start, len, pointer, width: 4, flags: 0 })
    }

    fn of_timestamp(option: RawOption<'_>) -> Result<Self, Problem> {
        let Some([pointer, flags]) = option.data.first_chunk::<2>().copied() else {
            return Err(malformed(option.start + 1));
        };
        if pointer < 5 {
            return Err(malformed(option.start + 2));
        }
        let width = match flags & 15 {
            0 => 4,
            1 | 3 => 8,
            _ => return Err(malformed(option.start + 3)),
        };
        Ok(Slots { start: option.start, len: option.bytes.len(), pointer, width, flags })
    }

    /// Where the next slot of `width` bytes stands among the options, if there is room for it.
    fn free(&self, width: u8) -> Option<usize> {
        let place = usize::from(self.pointer).checked_sub(1)?;
        (place + usize::from(width) <= self.len).then_some(self.start + place)
    }
}

#[cfg(test)]
mod tests;
