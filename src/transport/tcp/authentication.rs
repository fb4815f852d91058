//! The arithmetic of the TCP Authentication Option: traffic keys (RFC 5926 §3.1), the message that is signed and its code
//! (RFC 5925 §5.1, RFC 5926 §3.2), and the sequence number extension (RFC 5925 §6.2).
//!
//! ```text
//!   traffic key = KDF(master key, 1 | "TCP-AO" | context | length)
//!   context     = source and destination address, ports, initial sequence numbers, as the sender of a segment sees them
//!   MAC         = first 96 bits of MAC(traffic key, SNE | pseudo-header | header | data)
//! ```
//!
//! In the header that is signed the checksum and the MAC are zero; where the key does not cover options, all but the
//! option itself are left out.
//!
//! Not here: which key a segment is signed with, and what becomes of one that is not.

use crate::base::seq::Seq;
use aes::Aes128;
use cmac::Cmac;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use smallvec::SmallVec;
use std::net::{IpAddr, SocketAddr};

/// The kind of the option (IANA TCP parameters).
const KIND: u8 = 29;
/// Octets of a code.
const MAC_LEN: usize = 12;
/// Octets of the option with either algorithm: kind, length, KeyID, RNextKeyID, code.
pub(super) const OPTION_LEN: usize = 4 + MAC_LEN;
/// Where the checksum stands in a header.
const CHECKSUM: std::ops::Range<usize> = 16..18;

/// How traffic keys and codes are computed (RFC 5926 §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Algorithm {
    /// KDF_HMAC_SHA1 and HMAC-SHA-1-96.
    HmacSha1,
    /// KDF_AES_128_CMAC and AES-128-CMAC-96.
    Aes128Cmac,
}

/// A traffic key.
pub(super) type TrafficKey = SmallVec<[u8; 20]>;

/// The first 96 bits of a code.
type Code = [u8; MAC_LEN];

fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> TrafficKey {
    // Any length is a key for HMAC.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key) else { return TrafficKey::new() };
    parts.iter().for_each(|part| mac.update(part));
    TrafficKey::from_slice(&mac.finalize().into_bytes())
}

fn aes_cmac(key: &[u8], parts: &[&[u8]]) -> TrafficKey {
    // Keys come from below and have 16 octets.
    let Ok(mut mac) = Cmac::<Aes128>::new_from_slice(key) else { return TrafficKey::new() };
    parts.iter().for_each(|part| mac.update(part));
    TrafficKey::from_slice(&mac.finalize().into_bytes())
}

/// One direction of a connection, as the sender of its segments sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Direction {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// The sender's initial sequence number.
    pub(super) source_isn: Seq,
    /// The receiver's; zero in a SYN without ACK, whose sender does not know it (RFC 5925 §5.2).
    pub(super) destination_isn: Seq,
}

fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
    }
}

impl Direction {
    /// The traffic key of this direction (RFC 5925 §5.2, RFC 5926 §3.1.1).
    pub(super) fn traffic_key(&self, algorithm: Algorithm, master: &[u8]) -> TrafficKey {
        let mut context = Vec::with_capacity(44);
        push_address(&mut context, self.source.ip());
        push_address(&mut context, self.destination.ip());
        context.extend_from_slice(&self.source.port().to_be_bytes());
        context.extend_from_slice(&self.destination.port().to_be_bytes());
        context.extend_from_slice(&self.source_isn.0.to_be_bytes());
        context.extend_from_slice(&self.destination_isn.0.to_be_bytes());
        match algorithm {
            Algorithm::HmacSha1 => hmac_sha1(master, &[b"\x01TCP-AO", &context, &160u16.to_be_bytes()]),
            Algorithm::Aes128Cmac => {
                // RFC 5926 §3.1.1.2: a master key of another length is brought to 128 bits first.
                let key =
                    if master.len() == 16 { TrafficKey::from_slice(master) } else { aes_cmac(&[0; 16], &[master]) };
                aes_cmac(&key, &[b"\x01TCP-AO", &context, &128u16.to_be_bytes()])
            }
        }
    }
}

/// The option as it stands in a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AuthenticationOption {
    pub(super) key_id: u8,
    pub(super) rnext_key_id: u8,
    pub(super) code: Code,
    /// Where in the header it begins.
    at: usize,
}

impl AuthenticationOption {
    /// Finds it in a header whose options are well-formed.
    pub(super) fn find(header: &[u8]) -> Option<Self> {
        let mut at = super::segment::HEADER_LEN;
        loop {
            match header.get(at..)? {
                [0, ..] | [] => return None,
                [1, ..] => at += 1,
                [KIND, 16, key_id, rnext_key_id, rest @ ..] => {
                    let code = *rest.first_chunk()?;
                    return Some(AuthenticationOption { key_id: *key_id, rnext_key_id: *rnext_key_id, code, at });
                }
                [_, len, ..] if *len >= 2 => at += usize::from(*len),
                _ => return None,
            }
        }
    }
}

/// What is signed with, of one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signer<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) traffic_key: &'a [u8],
    /// Options are covered by the code (RFC 5925 §3.1, "TCP option flag").
    pub(super) covers_options: bool,
    /// The sequence number extension.
    pub(super) sne: u32,
}

impl Signer<'_> {
    /// The code of a segment whose `header` has the option at `option.at`, whatever code stands there.
    pub(super) fn code(
        &self,
        addresses: (IpAddr, IpAddr),
        header: &[u8],
        body: &[&[u8]],
        option: &AuthenticationOption,
    ) -> Code {
        let octets: usize = header.len() + body.iter().map(|part| part.len()).sum::<usize>();
        let mut message = Vec::with_capacity(128);
        message.extend_from_slice(&self.sne.to_be_bytes());
        push_address(&mut message, addresses.0);
        push_address(&mut message, addresses.1);
        match addresses.0 {
            IpAddr::V4(_) => {
                message.extend_from_slice(&[0, 6]);
                message.extend_from_slice(&(octets as u16).to_be_bytes());
            }
            IpAddr::V6(_) => {
                message.extend_from_slice(&(octets as u32).to_be_bytes());
                message.extend_from_slice(&[0, 0, 0, 6]);
            }
        }
        let start = message.len();
        message.extend_from_slice(header);
        if let Some(checksum) = message.get_mut(start + CHECKSUM.start..start + CHECKSUM.end) {
            checksum.fill(0);
        }
        let at = start + option.at;
        if let Some(code) = message.get_mut(at + 4..at + OPTION_LEN) {
            code.fill(0);
        }
        if !self.covers_options {
            message.truncate(at + OPTION_LEN);
            message.drain(start + super::segment::HEADER_LEN..at);
        }
        let parts: Vec<&[u8]> = std::iter::once(&message[..]).chain(body.iter().copied()).collect();
        let whole = match self.algorithm {
            Algorithm::HmacSha1 => hmac_sha1(self.traffic_key, &parts),
            Algorithm::Aes128Cmac => aes_cmac(self.traffic_key, &parts),
        };
        whole.first_chunk().copied().unwrap_or_default()
    }
}

/// Sequence numbers of 64 bits, of which a segment tells the lower half: the upper is the extension (RFC 5925 §6.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extended(u64);

impl Extended {
    /// The initial number has the extension zero.
    pub(super) fn new(isn: Seq) -> Self {
        Extended(u64::from(isn.0))
    }

    /// The number nearest to the greatest so far whose lower half is `seq`: its extension.
    pub(super) fn sne(self, seq: Seq) -> u32 {
        (self.nearest(seq) >> 32) as u32
    }

    /// `seq` is known to be right.
    pub(super) fn note(&mut self, seq: Seq) {
        self.0 = self.0.max(self.nearest(seq));
    }

    fn nearest(self, seq: Seq) -> u64 {
        let distance = seq.0.wrapping_sub(self.0 as u32) as i32;
        self.0.checked_add_signed(i64::from(distance)).unwrap_or(u64::from(seq.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// The SYN of RFC 9235: an IP packet from 10.11.12.13 to 172.27.28.29 port 179, signed with "testvector".
    fn check(algorithm: Algorithm, packet: &str, traffic_key: &str, covers_options: bool) {
        let packet = octets(packet);
        let header = &packet[20..];
        let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let source = SocketAddr::from(([10, 11, 12, 13], port(0)));
        let destination = SocketAddr::from(([172, 27, 28, 29], port(2)));
        let seq = Seq(u32::from_be_bytes(*header[4..].first_chunk().unwrap()));
        let direction = Direction { source, destination, source_isn: seq, destination_isn: Seq(0) };
        let key = direction.traffic_key(algorithm, b"testvector");
        assert_eq!(&key[..], octets(traffic_key));
        let option = AuthenticationOption::find(header).unwrap();
        assert_eq!((option.key_id, option.rnext_key_id), (61, 84));
        let signer = Signer { algorithm, traffic_key: &key, covers_options, sne: 0 };
        assert_eq!(signer.code((source.ip(), destination.ip()), header, &[], &option), option.code);
        let other = Signer { sne: 1, ..signer };
        assert_ne!(other.code((source.ip(), destination.ip()), header, &[], &option), option.code);
    }

    #[test]
    fn the_first_syn_of_rfc_9235_has_its_key_and_code() {
        // RFC 9235 §4.1.1: HMAC-SHA-1-96, options covered.
        check(
            Algorithm::HmacSha1,
            "45e0004cdd0f4000ff06bf6b0a0b0c0dac1b1c1d e9d700b3fbfbab5a00000000e002ffffcac40000 020405b4010303080402080a00155ab700000000 1d103d542ee437c6f8ede6d7c4d602e7",
            "6d63ef1b02fe1509d4b14027 07fd7b0416abb74f",
            true,
        );
    }

    #[test]
    fn the_first_syn_with_aes_has_its_key_and_code() {
        // RFC 9235 §5.1.1: AES-128-CMAC-96, options covered; the master key has not 128 bits.
        check(
            Algorithm::Aes128Cmac,
            "45e0004c7b9f4000ff0620dc0a0b0c0dac1b1c1d c4fa00b3787a1ddf00000000e002ffff5a0f0000 020405b4010303080402080a00017ed000000000 1d103d54e477e99c8040765498e55091",
            "f5b8b3d5f34fdbb6eb8d4ab9660e60e3",
            true,
        );
    }

    #[test]
    fn what_is_not_covered_may_change() {
        // RFC 5925 §3.1: without the option flag a middlebox may rewrite the others.
        let header = |mss: u8| {
            let mut header = octets("e9d700b3fbfbab5a00000000a002ffffcac40000 020405b4");
            header[23] = mss;
            header.extend_from_slice(&octets("1d103d54000000000000000000000000"));
            header
        };
        let addresses = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let code = |covers_options, mss| {
            let signer = Signer { algorithm: Algorithm::HmacSha1, traffic_key: b"key", covers_options, sne: 0 };
            let header = header(mss);
            signer.code(addresses, &header, &[b"data"], &AuthenticationOption::find(&header).unwrap())
        };
        assert_eq!(code(false, 1), code(false, 2));
        assert_ne!(code(true, 1), code(true, 2));
        assert_ne!(code(false, 1), code(true, 1));
    }

    #[test]
    fn the_extension_counts_wraps_and_knows_old_numbers() {
        // RFC 5925 §6.2.
        let mut extended = Extended::new(Seq(u32::MAX - 10));
        assert_eq!((extended.sne(Seq(u32::MAX)), extended.sne(Seq(5))), (0, 1));
        extended.note(Seq(5));
        assert_eq!((extended.sne(Seq(u32::MAX)), extended.sne(Seq(6))), (0, 1));
        for _ in 0..4 {
            extended.note(Seq(1 << 30));
            extended.note(Seq(2 << 30));
            extended.note(Seq(3 << 30));
            extended.note(Seq(0));
        }
        assert_eq!(extended.sne(Seq(0)), 5);
    }
}
