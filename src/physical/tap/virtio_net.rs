//! The virtio-net header that stands before each frame on a TAP opened with `IFF_VNET_HDR`: what the other side may
//! leave undone, checksum and segmentation.
//!
//! Implements `struct virtio_net_hdr` of the Virtual I/O Device specification 1.2 §5.1.6, in the byte order of the
//! machine, as the kernel's TAP has it unless told otherwise.
//!
//! ```text
//!   0      1         2        4         6           8            10
//!   | flags| GSO type| hdr_len| gso_size| csum_start| csum_offset|
//! ```
//!
//! A checksum that is left undone covers the bytes from `csum_start` to the end, and its field holds the sum of
//! the pseudo-header with the length of the whole super-segment.
//!
//! The header can't say that all segments keep CWR, as a bit of the field of accurate ECN (RFC 9768 §3.3.4): with `GSO_ECN`
//! and without, Linux takes it from all but the first. Such a super-segment is cut before, while the bit is set. What
//! arrives joined has CWR from a sender of RFC 3168: Linux does not hand a super-segment whose segments all have it to a
//! TAP, and until Linux 6.14 did not join what has it with what came before.
//!
//! Not here: fragmentation of UDP (`GSO_UDP`), which
//! is never asked for.

use crate::physical::frame::{OutFrame, PartialChecksum, ReceivedChecksum};

/// The length of the header.
pub(super) const LEN: usize = 10;

/// The checksum is still to be completed.
const NEEDS_CSUM: u8 = 1;
/// The checksum was verified.
const DATA_VALID: u8 = 2;

/// How a super-segment is to be cut.
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// Added for TCP with CWR set, which belongs to the first segment only (RFC 3168 §6.1.2).
const GSO_ECN: u8 = 0x80;

/// Where the flags stand in a TCP header, and CWR among them.
const TCP_FLAGS: usize = 13;
const CWR: u8 = 0x80;
/// Where the checksum stands in a TCP and in a UDP header: it tells them apart.
const TCP_CHECKSUM: u16 = 16;
const UDP_CHECKSUM: u16 = 6;

/// The header of one frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct VirtioNet {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

impl VirtioNet {
    /// Reads the header at the front of what the kernel gave.
    pub(super) fn parse(bytes: &[u8]) -> Option<VirtioNet> {
        let [flags, gso_type, a, b, c, d, e, f, g, h] = *bytes.first_chunk::<LEN>()?;
        Some(VirtioNet {
            flags,
            gso_type,
            hdr_len: u16::from_ne_bytes([a, b]),
            gso_size: u16::from_ne_bytes([c, d]),
            csum_start: u16::from_ne_bytes([e, f]),
            csum_offset: u16::from_ne_bytes([g, h]),
        })
    }

    /// As it stands before the frame.
    pub(super) fn to_bytes(self) -> [u8; LEN] {
        let [a, b] = self.hdr_len.to_ne_bytes();
        let [c, d] = self.gso_size.to_ne_bytes();
        let [e, f] = self.csum_start.to_ne_bytes();
        let [g, h] = self.csum_offset.to_ne_bytes();
        [self.flags, self.gso_type, a, b, c, d, e, f, g, h]
    }

    /// What the kernel says of the transport checksum: frames that never left the machine have only the
    /// pseudo-header's sum in it, others were verified by a card. Of all others it says nothing.
    pub(super) fn checksum(self) -> ReceivedChecksum {
        if self.flags & (NEEDS_CSUM | DATA_VALID) != 0 {
            ReceivedChecksum::Vouched
        } else {
            ReceivedChecksum::Unverified
        }
    }

    /// For a super-segment, the payload bytes of each segment.
    pub(super) fn segment_size(self) -> Option<u16> {
        (self.gso_type != GSO_NONE && self.gso_size > 0).then_some(self.gso_size)
    }

    /// The header with which `frame` is left to the kernel whole, or `None` if it has to be cut before: a super-segment
    /// of something that the kernel does not cut, or (`cuts_udp` is false) not this one, or not as it should be.
    pub(super) fn of(frame: &OutFrame, cuts_udp: bool) -> Option<VirtioNet> {
        let mut header = VirtioNet::default();
        if let Some(PartialChecksum { start, offset }) = frame.checksum {
            header.flags = NEEDS_CSUM;
            (header.csum_start, header.csum_offset) = (start, offset);
        }
        let Some(size) = frame.segment_size else { return Some(header) };
        if frame.len() - frame.head.len() <= usize::from(size) {
            // One segment after all.
            return Some(header);
        }
        let partial = frame.checksum?;
        header.gso_type = gso_type(&frame.head, partial, cuts_udp, frame.keeps_cwr)?;
        header.gso_size = size;
        header.hdr_len = u16::try_from(frame.head.len()).ok()?;
        Some(header)
    }
}

/// How the kernel is to cut a frame whose transport header starts where its checksum does.
fn gso_type(head: &[u8], partial: PartialChecksum, cuts_udp: bool, keeps_cwr: bool) -> Option<u8> {
    match partial.offset {
        TCP_CHECKSUM => {
            let of_version = match version(head)? {
                4 => GSO_TCPV4,
                6 => GSO_TCPV6,
                _ => return None,
            };
            let flags = head.get(usize::from(partial.start) + TCP_FLAGS)?;
            if flags & CWR != 0 && keeps_cwr {
                return None;
            }
            Some(of_version | if flags & CWR != 0 { GSO_ECN } else { 0 })
        }
        UDP_CHECKSUM if cuts_udp => Some(GSO_UDP_L4),
        _ => None,
    }
}

/// The IP version, behind up to two VLAN tags.
fn version(head: &[u8]) -> Option<u8> {
    let mut at = 12;
    for _ in 0..3 {
        match head.get(at..)?.first_chunk::<2>()? {
            [0x81, 0x00] | [0x88, 0xa8] => at += 4,
            _ => return Some(head.get(at + 2)? >> 4),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physical::frame::{Body, Head};
    use bytes::Bytes;

    /// A frame with `tags` VLAN tags, IPv4 and a transport header whose checksum is at `offset`.
    fn frame(tags: usize, offset: u16, payload: usize, segment_size: Option<u16>) -> OutFrame {
        let mut head = Head::from_slice(&[2; 12]);
        for _ in 0..tags {
            head.extend_from_slice(&[0x81, 0, 0, 7]);
        }
        head.extend_from_slice(&[8, 0, 0x45]);
        head.extend_from_slice(&[0; 19]);
        let start = head.len() as u16;
        head.extend_from_slice(&[0; 20]);
        OutFrame {
            head,
            body: Body::from_iter([Bytes::from(vec![0; payload])]),
            checksum: Some(PartialChecksum { start, offset }),
            segment_size,
            keeps_cwr: false,
        }
    }

    #[test]
    fn a_header_survives_the_wire_form() {
        let header = VirtioNet { flags: 1, gso_type: 2, hdr_len: 3, gso_size: 4, csum_start: 5, csum_offset: 6 };
        assert_eq!(VirtioNet::parse(&header.to_bytes()), Some(header));
        assert_eq!(VirtioNet::parse(&[0; LEN - 1]), None);
    }

    #[test]
    fn only_what_the_kernel_vouches_for_is_believed() {
        let of = |flags| VirtioNet { flags, ..VirtioNet::default() }.checksum();
        assert_eq!(of(0), ReceivedChecksum::Unverified);
        assert_eq!(of(NEEDS_CSUM), ReceivedChecksum::Vouched);
        assert_eq!(of(DATA_VALID), ReceivedChecksum::Vouched);
        // RSC_INFO says nothing of checksums.
        assert_eq!(of(4), ReceivedChecksum::Unverified);
    }

    #[test]
    fn a_super_segment_is_left_to_the_kernel_with_its_size_and_the_length_of_its_head() {
        for tags in 0..3 {
            let frame = frame(tags, TCP_CHECKSUM, 60_000, Some(1448));
            let header = VirtioNet::of(&frame, true).unwrap();
            assert_eq!((header.flags, header.gso_type, header.gso_size), (NEEDS_CSUM, GSO_TCPV4, 1448));
            assert_eq!(usize::from(header.hdr_len), frame.head.len());
            assert_eq!(usize::from(header.csum_start), 34 + 4 * tags);
        }
    }

    #[test]
    fn one_segment_is_no_super_segment() {
        let header = VirtioNet::of(&frame(0, TCP_CHECKSUM, 1448, Some(1448)), true).unwrap();
        assert_eq!((header.flags, header.gso_type, header.gso_size), (NEEDS_CSUM, GSO_NONE, 0));
        assert_eq!(header.segment_size(), None);
    }

    #[test]
    fn cwr_is_told_so_that_only_the_first_segment_has_it() {
        let mut frame = frame(0, TCP_CHECKSUM, 3000, Some(1448));
        frame.head[34 + TCP_FLAGS] |= CWR;
        assert_eq!(VirtioNet::of(&frame, true).unwrap().gso_type, GSO_TCPV4 | GSO_ECN);
    }

    #[test]
    fn a_super_segment_whose_segments_all_keep_cwr_is_not_left_to_the_kernel_while_it_is_set() {
        // RFC 9768 §3.3.4.
        let mut frame = OutFrame { keeps_cwr: true, ..frame(0, TCP_CHECKSUM, 3000, Some(1448)) };
        assert_eq!(VirtioNet::of(&frame, true).unwrap().gso_type, GSO_TCPV4);
        frame.head[34 + TCP_FLAGS] |= CWR;
        assert_eq!(VirtioNet::of(&frame, true), None);
        frame.segment_size = None;
        assert_eq!(VirtioNet::of(&frame, true).unwrap().gso_type, GSO_NONE);
    }

    #[test]
    fn a_train_is_left_to_a_kernel_that_cuts_udp_and_to_no_other() {
        let frame = frame(0, UDP_CHECKSUM, 3000, Some(1000));
        assert_eq!(VirtioNet::of(&frame, true).unwrap().gso_type, GSO_UDP_L4);
        assert_eq!(VirtioNet::of(&frame, false), None);
    }

    #[test]
    fn a_super_segment_whose_checksum_is_done_is_not_left_to_the_kernel() {
        let mut frame = frame(0, TCP_CHECKSUM, 3000, Some(1448));
        frame.checksum = None;
        assert_eq!(VirtioNet::of(&frame, true), None);
    }
}
