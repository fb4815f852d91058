//! The IPv4 header: checked when it comes in, written when it goes out.
//!
//! Implements RFC 791 §3.1 with the checks of RFC 1122 §3.2.1 and RFC 1812 §5.2.2: version, header length,
//! total length against the frame, checksum. Addresses are judged in [`super::address`], options in
//! [`super::options`], fragments in [`super::reassembly`]. The header of a datagram that is sent is written
//! once; nothing is copied but its 20 to 60 bytes.

use crate::base::checksum::Sum;
use crate::base::drops::DropReason;
use crate::network::packet::Datagram;
use crate::physical::frame::Head;
use bytes::Bytes;
use etherparse::err::ipv4::{HeaderError, HeaderSliceError};
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, Ipv4HeaderSlice, Ipv4Options};
use std::net::{IpAddr, Ipv4Addr};

/// The bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// The bytes of a header with all options that fit.
pub const MAX_HEADER_LEN: usize = 60;
/// The bytes of the longest datagram.
pub const MAX_DATAGRAM_LEN: usize = 65_535;
/// The MTU that every link has at least (RFC 791 §3.2).
pub const MIN_MTU: u16 = 68;

/// A received datagram whose header is sound.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ipv4 {
    /// The sender, as the header says.
    pub source: Ipv4Addr,
    /// The receiver.
    pub destination: Ipv4Addr,
    /// The protocol of the payload.
    pub protocol: u8,
    /// Hops left.
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Which datagram a fragment belongs to.
    pub identification: u16,
    /// May not be fragmented.
    pub dont_fragment: bool,
    /// More fragments follow.
    pub more_fragments: bool,
    /// Where the payload stands in the whole, in bytes; a multiple of 8.
    pub fragment_offset: usize,
    /// The bytes of the header, options included.
    pub header_len: usize,
    /// The bytes of the datagram, or fragment, header included.
    pub total_len: usize,
    /// The datagram from its first to its last byte, without the frame's padding.
    pub bytes: Bytes,
}

impl Ipv4 {
    /// What follows the header.
    pub fn payload(&self) -> Bytes {
        // The header was found inside the datagram when this was made.
        self.bytes.slice(self.header_len.min(self.bytes.len())..)
    }

    /// The options, padding included.
    pub fn options(&self) -> &[u8] {
        self.bytes.get(HEADER_LEN..self.header_len).unwrap_or(&[])
    }

    /// True if this is not the whole datagram.
    pub fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }
}

/// Reads the header of the datagram that `bytes` begin with. Nothing is copied.
///
/// # Errors
/// [`DropReason::IpVersion`], [`DropReason::IpMalformed`] if lengths disagree (RFC 1812 §5.2.2 (1), (4), (5)),
/// [`DropReason::IpChecksum`] (RFC 1122 §3.2.1.2).
pub fn parse(bytes: &Bytes) -> Result<Ipv4, DropReason> {
    let header = Ipv4HeaderSlice::from_slice(bytes).map_err(|error| match error {
        HeaderSliceError::Content(HeaderError::UnexpectedVersion { .. }) => DropReason::IpVersion,
        _ => DropReason::IpMalformed,
    })?;
    let header_len = header.slice().len();
    let total_len = usize::from(header.total_len());
    if total_len < header_len || total_len > bytes.len() {
        return Err(DropReason::IpMalformed);
    }
    if !Sum::ZERO.add_bytes(header.slice()).is_valid() {
        return Err(DropReason::IpChecksum);
    }
    Ok(Ipv4 {
        source: header.source_addr(),
        destination: header.destination_addr(),
        protocol: header.protocol().0,
        ttl: header.ttl(),
        tos: header.dcp().value() << 2 | header.ecn().value(),
        identification: header.identification(),
        dont_fragment: header.dont_fragment(),
        more_fragments: header.more_fragments(),
        fragment_offset: usize::from(header.fragments_offset().value()) * 8,
        header_len,
        total_len,
        bytes: bytes.slice(..total_len),
    })
}

/// Which part of a datagram a header stands before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Part {
    /// Where the payload stands in the whole, in bytes; a multiple of 8.
    pub offset: usize,
    /// More fragments follow.
    pub more: bool,
}

impl Part {
    /// All of it.
    pub const WHOLE: Part = Part { offset: 0, more: false };
}

/// Why a header can't be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CannotEmit {
    /// One of the addresses is not IPv4.
    NotIpv4,
    /// The datagram would be longer than 65,535 bytes and is no super-segment.
    TooLong,
    /// The options are longer than 40 bytes or not padded to four.
    BadOptions,
}

/// Writes the header for `payload_len` bytes of the datagram, checksum included, behind what `head` holds. A
/// super-segment that is longer than the field can tell has zero in it, as the kernel's have.
///
/// # Errors
/// [`CannotEmit`]; `head` is left as it was.
pub fn emit(
    head: &mut Head,
    datagram: &Datagram,
    identification: u16,
    payload_len: usize,
    part: Part,
) -> Result<(), CannotEmit> {
    emit_with_options(head, datagram, &datagram.options, identification, payload_len, part)
}

/// As [`emit`], with other options than the datagram's: those of a later fragment.
pub(crate) fn emit_with_options(
    head: &mut Head,
    datagram: &Datagram,
    options: &[u8],
    identification: u16,
    payload_len: usize,
    part: Part,
) -> Result<(), CannotEmit> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (datagram.source, datagram.destination) else {
        return Err(CannotEmit::NotIpv4);
    };
    let total_len = HEADER_LEN + options.len() + payload_len;
    let mut header = Ipv4Header {
        dscp: (datagram.traffic_class >> 2).try_into().unwrap_or_default(),
        ecn: (datagram.traffic_class & 3).try_into().unwrap_or_default(),
        total_len: match u16::try_from(total_len) {
            Ok(total_len) => total_len,
            // Whoever cuts it writes the lengths of its segments.
            Err(_) if datagram.segment_size.is_some() => 0,
            Err(_) => return Err(CannotEmit::TooLong),
        },
        identification,
        dont_fragment: datagram.dont_fragment,
        more_fragments: part.more,
        fragment_offset: u16::try_from(part.offset / 8)
            .ok()
            .and_then(|units| IpFragOffset::try_new(units).ok())
            .ok_or(CannotEmit::TooLong)?,
        time_to_live: datagram.hop_limit,
        protocol: IpNumber(datagram.protocol),
        header_checksum: 0,
        source: source.octets(),
        destination: destination.octets(),
        options: Ipv4Options::try_from(options).map_err(|_| CannotEmit::BadOptions)?,
    };
    header.header_checksum = header.calc_header_checksum();
    head.extend_from_slice(&header.to_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physical::frame::Body;
    use proptest::prelude::*;

    fn datagram() -> Datagram {
        Datagram::new(
            Ipv4Addr::new(192, 0, 2, 1).into(),
            Ipv4Addr::new(203, 0, 113, 9).into(),
            17,
            smallvec::SmallVec::new(),
            Body::new(),
        )
    }

    fn bytes_of(datagram: &Datagram, payload: &[u8], part: Part) -> Vec<u8> {
        let mut head = Head::new();
        emit(&mut head, datagram, 0x1234, payload.len(), part).unwrap();
        head.extend_from_slice(payload);
        head.to_vec()
    }

    fn with_checksum(mut bytes: Vec<u8>) -> Bytes {
        let header_len = usize::from(bytes[0] & 15) * 4;
        bytes[10..12].fill(0);
        let checksum = Sum::ZERO.add_bytes(&bytes[..header_len.min(20)]).checksum();
        bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
        bytes.into()
    }

    #[test]
    fn the_frames_padding_is_cut_off() {
        let mut bytes = bytes_of(&datagram(), b"hello", Part::WHOLE);
        bytes.extend([0; 21]);
        let parsed = parse(&bytes.into()).unwrap();
        assert_eq!(parsed.total_len, 25);
        assert_eq!(parsed.payload(), &b"hello"[..]);
        assert_eq!(parsed.bytes.len(), 25);
    }

    #[test]
    fn every_flipped_bit_of_the_header_is_noticed() {
        // RFC 1122 §3.2.1.2: a host MUST verify the header checksum and silently discard.
        let good = bytes_of(&datagram(), b"hello", Part::WHOLE);
        for bit in 0..20 * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&bad.into()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_version_is_not_ipv4() {
        // RFC 1122 §3.2.1.1: a datagram whose version is not 4 MUST be silently discarded.
        let mut bytes = bytes_of(&datagram(), b"hello", Part::WHOLE);
        bytes[0] = 0x65;
        assert_eq!(parse(&bytes.into()), Err(DropReason::IpVersion));
    }

    #[test]
    fn lengths_that_disagree_are_malformed() {
        // RFC 1812 §5.2.2: IHL of at least 5, total length of at least the header, frame long enough.
        let good = bytes_of(&datagram(), b"hello", Part::WHOLE);
        for len in 0..good.len() {
            assert_eq!(parse(&good[..len].to_vec().into()), Err(DropReason::IpMalformed), "{len} bytes");
        }
        for (place, value) in [(0, 0x44), (0, 0x47), (3, 19), (3, 26), (2, 1)] {
            let mut bad = good.clone();
            bad[place] = value;
            assert_eq!(parse(&with_checksum(bad)), Err(DropReason::IpMalformed), "byte {place} = {value}");
        }
    }

    #[test]
    fn what_does_not_fit_an_ipv4_header_is_refused() {
        let mut head = Head::new();
        assert_eq!(emit(&mut head, &datagram(), 0, 65_516, Part::WHOLE), Err(CannotEmit::TooLong));
        assert!(emit(&mut head, &datagram(), 0, 65_515, Part::WHOLE).is_ok());
        head.clear();
        let super_segment = Datagram { segment_size: Some(1448), ..datagram() };
        assert_eq!(emit(&mut head, &super_segment, 0, 65_516, Part::WHOLE), Ok(()));
        assert_eq!(head[2..4], [0, 0]);
        head.clear();
        let six = Datagram { source: std::net::Ipv6Addr::LOCALHOST.into(), ..datagram() };
        assert_eq!(emit(&mut head, &six, 0, 0, Part::WHOLE), Err(CannotEmit::NotIpv4));
        let options = Datagram { options: smallvec::smallvec![1; 3], ..datagram() };
        assert_eq!(emit(&mut head, &options, 0, 0, Part::WHOLE), Err(CannotEmit::BadOptions));
        assert!(head.is_empty());
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_to_the_same(
            source: [u8; 4], destination: [u8; 4], protocol: u8, hop_limit: u8, traffic_class: u8, identification: u16,
            dont_fragment: bool, more: bool, units in 0usize..8192, options in 0usize..=10,
            payload in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let datagram = Datagram {
                source: Ipv4Addr::from(source).into(), destination: Ipv4Addr::from(destination).into(), protocol,
                hop_limit, traffic_class, dont_fragment, options: smallvec::smallvec![1; options * 4], ..datagram()
            };
            let mut head = Head::new();
            emit(&mut head, &datagram, identification, payload.len(), Part { offset: units * 8, more }).unwrap();
            head.extend_from_slice(&payload);
            let bytes = Bytes::from(head.to_vec());
            let parsed = parse(&bytes).unwrap();
            prop_assert_eq!(&parsed, &Ipv4 {
                source: source.into(), destination: destination.into(), protocol, ttl: hop_limit, tos: traffic_class,
                identification, dont_fragment, more_fragments: more, fragment_offset: units * 8,
                header_len: 20 + options * 4, total_len: bytes.len(), bytes: bytes.clone(),
            });
            prop_assert_eq!(parsed.payload(), Bytes::from(payload));
            prop_assert_eq!(parsed.options(), &datagram.options[..]);
        }

        #[test]
        fn random_bytes_never_panic(mut bytes: Vec<u8>, sound: bool) {
            if sound && bytes.len() > 20 {
                bytes[0] = 0x40 | bytes[0] & 0x0f;
                bytes[2] = 0;
                bytes = with_checksum(bytes).to_vec();
            }
            if let Ok(parsed) = parse(&bytes.into()) {
                let _ = (parsed.payload(), parsed.options());
            }
        }
    }
}
