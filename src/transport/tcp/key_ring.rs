//! Peers that must authenticate (RFC 5925): the keys of the configuration, what is known of each connection, what is signed
//! on the way out and checked on the way in.
//!
//! ```text
//!   Tcp::receive ── check ──► connection, half-open record, TIME-WAIT, listener
//!   device ◄── sign ◄── whatever any of these say
//! ```
//!
//! Between a peer of the configuration and us nothing passes that is not signed, in either direction, and nothing falls back: a
//! segment without a good code is dropped and counted, and one of ours that cannot be signed is not sent. That is so for
//! resets about connections that nobody knows (§7.7: their initial numbers are gone), and for ICMP errors, which nobody
//! can sign (§7.8).
//!
//! Keys change without a new connection (§3.3): each segment says which key it is signed with (KeyID) and which the sender
//! would like to see next (RNextKeyID).

use crate::base::checksum::Sum;
use crate::base::counters::{Counter, Counters};
use crate::base::drops::DropReason;
use crate::base::hash::HashKey;
use crate::base::limits;
use crate::base::lru::LruMap;
use crate::base::random::Random;
use crate::base::seq::Seq;
use crate::network::packet::{Datagram, Packet, protocol};
use crate::transport::tcp::authentication::{Algorithm, AuthenticationOption, Direction, Extended, OPTION_LEN, Signer};
use crate::transport::tcp::config::{KeyAlgorithm, MasterKey};
use crate::transport::tcp::ends::Ends;
use crate::transport::tcp::segment::Segment;
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// What is known of one connection.
#[derive(Clone, Copy, Debug)]
struct Association {
    local_isn: Seq,
    /// Unknown while our SYN is not answered.
    remote_isn: Option<Seq>,
    sent: Extended,
    received: Extended,
    /// The key that we sign with: its place in the ring.
    current: usize,
}

/// The keys, and the connections that use them.
#[derive(Debug)]
pub(super) struct KeyRing {
    keys: Rc<[MasterKey]>,
    /// The `receive_id` that peers are asked to use next, where that is not the first of theirs.
    preferred: Option<u8>,
    associations: LruMap<Ends, Association>,
}

fn algorithm(key: &MasterKey) -> Algorithm {
    match key.algorithm {
        KeyAlgorithm::HmacSha1 => Algorithm::HmacSha1,
        KeyAlgorithm::Aes128Cmac => Algorithm::Aes128Cmac,
    }
}

/// True if two codes are the same, in a time that does not tell where they differ.
fn is_same(ours: &[u8; 12], theirs: &[u8; 12]) -> bool {
    ours.iter().zip(theirs).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

impl KeyRing {
    pub(super) fn new(keys: Rc<[MasterKey]>, random: &mut Random) -> Self {
        // Without keys nothing is ever looked up.
        let mut unused = Random::from_seed(0);
        let hash_key = HashKey::random(if keys.is_empty() { &mut unused } else { random });
        let associations = LruMap::new(limits::TCP_AUTHENTICATED, hash_key);
        KeyRing { keys, preferred: None, associations }
    }

    /// True if nothing unsigned may pass between `peer` and us.
    pub(super) fn is_for(&self, peer: IpAddr) -> bool {
        self.keys.iter().any(|key| key.peer.contains(&peer))
    }

    /// Asks peers to sign with the key of this `receive_id` from now on, where they have it (§3.3, rnext_key).
    pub(super) fn prefer(&mut self, receive_id: u8) {
        self.preferred = Some(receive_id);
    }

    fn find(&self, peer: IpAddr, is_it: impl Fn(&MasterKey) -> bool) -> Option<usize> {
        self.keys.iter().position(|key| key.peer.contains(&peer) && is_it(key))
    }

    /// The KeyID that the peer is to use next.
    fn rnext(&self, peer: IpAddr) -> u8 {
        let preferred = self.preferred.and_then(|id| self.find(peer, |key| key.receive_id == id));
        preferred.or_else(|| self.find(peer, |_| true)).and_then(|at| self.keys.get(at)).map_or(0, |key| key.receive_id)
    }

    /// Checks a segment that arrived (§7.5). `is_open`: a connection between these ends is synchronized, which a SYN
    /// must not make forget its numbers.
    ///
    /// # Errors
    /// Why it must be dropped.
    pub(super) fn check(
        &mut self,
        packet: &Packet,
        (local, remote): (SocketAddr, SocketAddr),
        segment: &Segment,
        is_open: bool,
    ) -> Result<(), DropReason> {
        if !self.is_for(remote.ip()) {
            return Ok(());
        }
        let header_len = packet.payload.len() - segment.payload.len();
        let (header, body) = packet.payload.split_at_checked(header_len).ok_or(DropReason::TcpMalformed)?;
        let option = AuthenticationOption::find(header).ok_or(DropReason::TcpUnsigned)?;
        let at = self.find(remote.ip(), |key| key.receive_id == option.key_id).ok_or(DropReason::TcpBadSignature)?;
        let key = self.keys.get(at).ok_or(DropReason::TcpBadSignature)?;
        let ends = Ends::new(local, remote);
        let known = self.associations.get(&ends).copied();
        let is_syn = segment.flags.syn();
        let (source_isn, destination_isn) = match (is_syn, segment.flags.ack(), known) {
            (true, false, _) => (segment.seq, Seq(0)),
            (true, true, Some(known)) => (segment.seq, known.local_isn),
            (false, _, Some(Association { local_isn, remote_isn: Some(remote_isn), .. })) => (remote_isn, local_isn),
            _ => return Err(DropReason::TcpBadSignature),
        };
        let direction = Direction { source: remote, destination: local, source_isn, destination_isn };
        let traffic_key = direction.traffic_key(algorithm(key), &key.secret);
        let sne = known.filter(|_| !is_syn).map_or(0, |known| known.received.sne(segment.seq));
        let signer =
            Signer { algorithm: algorithm(key), traffic_key: &traffic_key, covers_options: key.covers_options, sne };
        let code = signer.code((remote.ip(), local.ip()), header, &[body], &option);
        if !is_same(&code, &option.code) {
            return Err(DropReason::TcpBadSignature);
        }
        let next = self.find(remote.ip(), |key| key.send_id == option.rnext_key_id);
        if is_syn && !is_open && known.is_none_or(|known| known.remote_isn != Some(segment.seq)) {
            let fresh = Extended::new(segment.seq);
            // Ours is not known before the SYN-ACK, unless the two SYNs crossed.
            let before = known.filter(|known| known.remote_isn.is_none());
            let local_isn = before.map_or(Seq(0), |before| before.local_isn);
            let sent = Extended::new(local_isn);
            let current = next.unwrap_or(at);
            let fresh = Association { local_isn, remote_isn: Some(segment.seq), sent, received: fresh, current };
            self.associations.insert(ends, fresh);
        } else if let Some(known) = self.associations.touch(&ends) {
            known.received.note(segment.seq);
            known.current = next.unwrap_or(known.current);
        }
        Ok(())
    }

    /// Signs a segment of ours (§7.4), if its destination is a peer of the configuration. False if it cannot be signed:
    /// then it must not be sent.
    pub(super) fn sign(&mut self, datagram: &mut Datagram, counters: &mut Counters) -> bool {
        let peer = datagram.destination;
        if !self.is_for(peer) {
            return true;
        }
        let is_signed = self.sign_for(datagram).is_some();
        if !is_signed {
            counters.count(Counter::TcpAOUnsignable);
        }
        is_signed
    }

    fn sign_for(&mut self, datagram: &mut Datagram) -> Option<()> {
        let [a, b, c, d, e, f, g, h, _, _, _, _, offset, flags, ..] = *datagram.header.first_chunk::<20>()?;
        let local = SocketAddr::new(datagram.source, u16::from_be_bytes([a, b]));
        let remote = SocketAddr::new(datagram.destination, u16::from_be_bytes([c, d]));
        let seq = Seq(u32::from_be_bytes([e, f, g, h]));
        let (is_syn, is_ack) = (flags & 0x02 != 0, flags & 0x10 != 0);
        let ends = Ends::new(local, remote);
        let first = self.find(remote.ip(), |_| true)?;
        if is_syn && !is_ack && self.associations.get(&ends).is_none_or(|known| known.local_isn != seq) {
            let sent = Extended::new(seq);
            let fresh =
                Association { local_isn: seq, remote_isn: None, sent, received: Extended::new(Seq(0)), current: first };
            self.associations.insert(ends.clone(), fresh);
        }
        let rnext = self.rnext(remote.ip());
        let known = self.associations.touch(&ends)?;
        if is_syn && is_ack {
            known.local_isn = seq;
            known.sent = Extended::new(seq);
        }
        let (sne, current, source_isn) = (known.sent.sne(seq), known.current, known.local_isn);
        let destination_isn = if is_syn && !is_ack { Seq(0) } else { known.remote_isn? };
        known.sent.note(seq);
        let key = self.keys.get(current)?;
        let header = &mut datagram.header;
        let at = header.len();
        // The data offset has four bits.
        let words = (offset >> 4) + (OPTION_LEN / 4) as u8;
        *header.get_mut(12)? = words.checked_mul(16).filter(|_| words <= 15)? | offset & 0xf;
        header.extend_from_slice(&[29, OPTION_LEN as u8, key.send_id, rnext]);
        header.resize(at + OPTION_LEN, 0);
        let octets = datagram.payload_len();
        let sum = Sum::ZERO.add_pseudo_header(datagram.source, datagram.destination, protocol::TCP, octets).fold();
        datagram.header.get_mut(16..18)?.copy_from_slice(&sum.to_be_bytes());
        let direction = Direction { source: local, destination: remote, source_isn, destination_isn };
        let traffic_key = direction.traffic_key(algorithm(key), &key.secret);
        let sne = if is_syn { 0 } else { sne };
        let signer =
            Signer { algorithm: algorithm(key), traffic_key: &traffic_key, covers_options: key.covers_options, sne };
        let option = AuthenticationOption::find(&datagram.header)?;
        let body: Vec<&[u8]> = datagram.body.iter().map(Bytes::as_ref).collect();
        let code = signer.code((local.ip(), remote.ip()), &datagram.header, &body, &option);
        datagram.header.get_mut(at + 4..)?.copy_from_slice(&code);
        Some(())
    }
}
