//! Putting fragments together again.
//!
//! Implements RFC 791 §3.2 and RFC 815's aim by another way: as fragments that overlap are never accepted, the
//! pieces of a datagram are complete when their lengths add up to its end. RFC 1122 §3.3.2, RFC 3168 §5.3 (ECN of
//! fragments).
//!
//! - Any overlap but an exact duplicate discards the whole datagram, as RFC 5722 has it for IPv6: nobody
//!   honest sends one, and different receivers would read it differently. The datagram's remaining fragments
//!   are discarded with it until its time is up.
//! - Memory, datagrams and fragments are bounded ([`limits`]); the oldest datagram makes room.
//! - Pieces are copied out of the receive buffers, so that a small fragment never pins a large one.
//!
//! `DEVIATION(RFC 1122 §3.3.2)`: the timeout is 30 s, not 60 to 120, as RFC 791's own 15 s and Linux's 30 s.

use crate::base::drops::DropReason;
use crate::base::hash::HashKey;
use crate::base::limits;
use crate::base::lru::LruMap;
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::datalink::InterfaceId;
use crate::network::ipv4::{HEADER_LEN, Ipv4, MAX_DATAGRAM_LEN};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

#[cfg(test)]
mod tests;

/// What a piece or a datagram costs besides its bytes, about.
const OVERHEAD: usize = 128;

/// A datagram whose fragments have all arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reassembled {
    /// The first fragment as it arrived, for its options and for quoting in an ICMP error. Its ECN is that
    /// of the whole.
    pub first: Ipv4,
    /// The payload of the whole.
    pub payload: Bytes,
}

/// A datagram whose fragments did not all arrive in time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expired {
    /// Where its fragments came in.
    pub interface: InterfaceId,
    /// Its first fragment, if that is among what arrived: only then Time Exceeded is sent (RFC 792, RFC 1122
    /// §3.3.2).
    pub first_fragment: Option<Bytes>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Key {
    interface: InterfaceId,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    identification: u16,
}

#[derive(Clone, Debug)]
struct Partial {
    deadline: Instant,
    /// By offset; no two overlap.
    pieces: BTreeMap<usize, Bytes>,
    /// The bytes of all pieces.
    received: usize,
    /// Where the payload ends, once the last fragment is here.
    end: Option<usize>,
    first: Option<Ipv4>,
    ecn: Ecn,
    /// What it counts for in `Reassembly::bytes`.
    charge: usize,
    /// Fragments contradicted each other: nothing more is kept.
    discarded: bool,
}

/// The ECN marks of the fragments so far (RFC 3168 §5.3).
#[derive(Clone, Copy, Debug, Default)]
struct Ecn {
    not_capable: bool,
    congested: bool,
}

/// The datagrams that wait for more fragments.
#[derive(Clone, Debug)]
pub struct Reassembly {
    partial: LruMap<Key, Partial>,
    bytes: usize,
}

impl Reassembly {
    /// Nothing waits.
    pub fn new(random: &mut Random) -> Self {
        Reassembly { partial: LruMap::new(limits::REASSEMBLY_DATAGRAMS, HashKey::random(random)), bytes: 0 }
    }

    /// Takes in a fragment. `Ok(Some(_))` when it was the last one missing.
    ///
    /// # Errors
    /// [`DropReason::FragmentMalformed`], [`DropReason::FragmentOverlap`], [`DropReason::FragmentMemory`].
    pub fn receive(
        &mut self,
        interface: InterfaceId,
        fragment: &Ipv4,
        now: Instant,
    ) -> Result<Option<Reassembled>, DropReason> {
        if !fragment.is_fragment() {
            return Ok(Some(Reassembled { first: fragment.clone(), payload: fragment.payload() }));
        }
        check_lengths(fragment)?;
        let key = Key {
            interface,
            source: fragment.source,
            destination: fragment.destination,
            protocol: fragment.protocol,
            identification: fragment.identification,
        };
        if self.partial.get(&key).is_none() {
            let gone = self.partial.insert(key, Partial::new(now + limits::REASSEMBLY_TIMEOUT));
            self.bytes += OVERHEAD;
            self.bytes -= gone.map_or(0, |(_, partial)| partial.charge);
        }
        let Some(partial) = self.partial.get_mut(&key) else { return Err(DropReason::FragmentMemory) };
        self.bytes -= partial.charge;
        let verdict = partial.receive(fragment);
        self.bytes += partial.charge;
        if verdict? {
            let Some(partial) = self.partial.remove(&key) else { return Ok(None) };
            self.bytes -= partial.charge;
            return partial.join().map(Some);
        }
        self.make_room();
        if self.partial.get(&key).is_some() { Ok(None) } else { Err(DropReason::FragmentMemory) }
    }

    /// Forgets what waited too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Expired> {
        let mut expired = Vec::new();
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            let Some((key, partial)) = self.partial.pop_oldest() else { break };
            self.bytes -= partial.charge;
            let first_fragment = partial.first.map(|first| first.bytes);
            expired.push(Expired { interface: key.interface, first_fragment });
        }
        expired
    }

    /// When [`Reassembly::handle_timeout`] is due. All datagrams wait equally long, so it is the oldest's.
    pub fn deadline(&self) -> Option<Instant> {
        self.partial.oldest().map(|(_, partial)| partial.deadline)
    }

    /// The memory in use, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The datagrams that wait.
    pub fn len(&self) -> usize {
        self.partial.len()
    }

    /// True if none waits.
    pub fn is_empty(&self) -> bool {
        self.partial.is_empty()
    }

    fn make_room(&mut self) {
        while self.bytes > limits::REASSEMBLY_BYTES {
            let Some((_, partial)) = self.partial.pop_oldest() else { return };
            self.bytes -= partial.charge;
        }
    }
}

/// RFC 791 §3.2: all but the last are multiples of eight bytes; RFC 791 §3.1: nothing reaches beyond 65,535
/// ("ping of death"); none is empty.
fn check_lengths(fragment: &Ipv4) -> Result<(), DropReason> {
    let len = fragment.total_len - fragment.header_len;
    let ragged = fragment.more_fragments && !len.is_multiple_of(8);
    let too_long = fragment.fragment_offset + len + HEADER_LEN.max(fragment.header_len) > MAX_DATAGRAM_LEN;
    if len == 0 || ragged || too_long { Err(DropReason::FragmentMalformed) } else { Ok(()) }
}

impl Partial {
    fn new(deadline: Instant) -> Self {
        Partial {
            deadline,
            pieces: BTreeMap::new(),
            received: 0,
            end: None,
            first: None,
            ecn: Ecn::default(),
            charge: OVERHEAD,
            discarded: false,
        }
    }

    /// Takes in a fragment; true if it completes the datagram.
    fn receive(&mut self, fragment: &Ipv4) -> Result<bool, DropReason> {
        if self.discarded {
            return Err(DropReason::FragmentOverlap);
        }
        let start = fragment.fragment_offset;
        let payload = fragment.payload();
        let end = start + payload.len();
        if self.pieces.get(&start) == Some(&payload) && fragment.more_fragments == (self.end != Some(end)) {
            return Ok(false); // An exact duplicate.
        }
        if self.contradicts(start, end, !fragment.more_fragments) {
            self.discard();
            return Err(DropReason::FragmentOverlap);
        }
        if self.pieces.len() >= limits::REASSEMBLY_FRAGMENTS {
            self.discard();
            return Err(DropReason::FragmentMalformed);
        }
        let piece = if start == 0 {
            let bytes = Bytes::copy_from_slice(&fragment.bytes);
            self.charge += fragment.header_len;
            self.first = Some(Ipv4 { bytes: bytes.clone(), ..fragment.clone() });
            bytes.slice(fragment.header_len.min(bytes.len())..)
        } else {
            Bytes::copy_from_slice(&payload)
        };
        self.received += piece.len();
        self.charge += piece.len() + OVERHEAD;
        self.pieces.insert(start, piece);
        self.ecn.see(fragment.tos);
        if !fragment.more_fragments {
            self.end = Some(end);
        }
        Ok(self.end == Some(self.received))
    }

    /// True if the bytes from `start` to `end` overlap a piece, or can't be if the datagram ends where it was
    /// said to.
    fn contradicts(&self, start: usize, end: usize, is_last: bool) -> bool {
        let before = self.pieces.range(..start).next_back().is_some_and(|(place, piece)| place + piece.len() > start);
        let after = self.pieces.range(start..).next().is_some_and(|(place, _)| is_last || *place < end);
        let beyond = self.end.is_some_and(|known| is_last || end > known);
        before || after || beyond
    }

    fn discard(&mut self) {
        *self = Partial { discarded: true, ..Partial::new(self.deadline) };
    }

    fn join(self) -> Result<Reassembled, DropReason> {
        let mut first = self.first.ok_or(DropReason::FragmentMalformed)?;
        if first.header_len + self.received > MAX_DATAGRAM_LEN {
            return Err(DropReason::FragmentMalformed);
        }
        first.tos = self.ecn.of_the_whole(first.tos).ok_or(DropReason::FragmentMalformed)?;
        let mut payload = BytesMut::with_capacity(self.received);
        for piece in self.pieces.values() {
            payload.extend_from_slice(piece);
        }
        Ok(Reassembled { first, payload: payload.freeze() })
    }
}

impl Ecn {
    fn see(&mut self, tos: u8) {
        match tos & 3 {
            0 => self.not_capable = true,
            3 => self.congested = true,
            _ => {}
        }
    }

    /// RFC 3168 §5.3: one congested fragment marks the whole, unless another claims that the sender knows no ECN;
    /// then the datagram is dropped.
    fn of_the_whole(self, tos: u8) -> Option<u8> {
        match (self.congested, self.not_capable) {
            (true, true) => None,
            (true, false) => Some(tos | 3),
            (false, _) => Some(tos),
        }
    }
}
