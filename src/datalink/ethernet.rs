//! Ethernet II frames, plain or with one 802.1Q tag: the header off, the header on.
//!
//! Implements RFC 894 (IP over Ethernet) and the tag of IEEE 802.1Q §9. Not here: IEEE 802.3 frames with a
//! length field (RFC 1042), stacked tags (802.1ad), and the frame check sequence, which the device keeps
//! to itself. Whether a frame is addressed to us is for the interface to say; this file only reads.

use crate::base::drops::DropReason;
use crate::datalink::Mac;
use crate::physical::frame::Head;
use bytes::Bytes;
use etherparse::{Ethernet2HeaderSlice, SingleVlanHeaderSlice};

/// The EtherType of IPv4 (RFC 894).
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// The EtherType of ARP (RFC 826).
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// The EtherType of an 802.1Q tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// The EtherType of IPv6 (RFC 2464 §3).
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// The EtherType of an 802.1ad service tag.
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
/// Below this the field is a length (IEEE 802.3 §3.2.6).
const LOWEST_ETHERTYPE: u16 = 0x0600;
/// The VLAN identifier that IEEE 802.1Q reserves.
const RESERVED_VLAN: u16 = 0xfff;

/// The bytes of an untagged header.
pub const HEADER_LEN: usize = 14;
/// The bytes a tag adds.
pub const TAG_LEN: usize = 4;

/// An 802.1Q tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Vlan {
    /// The VLAN, 1 to 4094; 0 in a tag that carries only a priority.
    pub id: u16,
    /// The priority code point, 0 to 7.
    pub priority: u8,
}

/// A frame taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EthernetFrame {
    /// The station it is for.
    pub destination: Mac,
    /// The station it is from.
    pub source: Mac,
    /// Its tag.
    pub vlan: Option<Vlan>,
    /// What the payload is.
    pub ether_type: u16,
    /// What follows the header: a slice of the frame, padding included.
    pub payload: Bytes,
}

impl EthernetFrame {
    /// The VLAN the frame belongs to. A priority tag (identifier 0) counts as none (IEEE 802.1Q §6.9).
    pub fn vlan_id(&self) -> Option<u16> {
        self.vlan.map(|vlan| vlan.id).filter(|id| *id != 0)
    }
}

/// Takes a frame apart without copying it.
///
/// # Errors
/// [`DropReason::FrameTooShort`], [`DropReason::BadSourceMac`] for a group address as source,
/// [`DropReason::UnknownVlan`] for stacked tags and the reserved identifier, [`DropReason::UnknownEtherType`]
/// for a length instead of a type.
pub fn parse(bytes: &Bytes) -> Result<EthernetFrame, DropReason> {
    let header = Ethernet2HeaderSlice::from_slice(bytes).map_err(|_| DropReason::FrameTooShort)?;
    let (destination, source) = (Mac(header.destination()), Mac(header.source()));
    if source.is_group() {
        return Err(DropReason::BadSourceMac);
    }
    let mut ether_type = header.ether_type().0;
    let mut payload = bytes.slice(HEADER_LEN..);
    let mut vlan = None;
    if ether_type == ETHERTYPE_VLAN {
        let tag = SingleVlanHeaderSlice::from_slice(&payload).map_err(|_| DropReason::FrameTooShort)?;
        let id = tag.vlan_identifier().value();
        vlan = Some(Vlan { id, priority: tag.priority_code_point().value() });
        ether_type = tag.ether_type().0;
        if id == RESERVED_VLAN || ether_type == ETHERTYPE_VLAN {
            return Err(DropReason::UnknownVlan);
        }
        payload = payload.slice(TAG_LEN..);
    }
    match ether_type {
        ETHERTYPE_SERVICE_VLAN => Err(DropReason::UnknownVlan),
        0..LOWEST_ETHERTYPE => Err(DropReason::UnknownEtherType),
        _ => Ok(EthernetFrame { destination, source, vlan, ether_type, payload }),
    }
}

/// Writes the header of a frame. The VLAN identifier counts modulo 4096, the priority modulo 8.
pub fn emit(head: &mut Head, destination: Mac, source: Mac, vlan: Option<Vlan>, ether_type: u16) {
    head.extend_from_slice(&destination.0);
    head.extend_from_slice(&source.0);
    if let Some(Vlan { id, priority }) = vlan {
        let control = u16::from(priority & 7) << 13 | (id & 0xfff);
        head.extend_from_slice(&ETHERTYPE_VLAN.to_be_bytes());
        head.extend_from_slice(&control.to_be_bytes());
    }
    head.extend_from_slice(&ether_type.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const B: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn frame(vlan: Option<Vlan>, ether_type: u16, payload: &[u8]) -> Bytes {
        let mut head = Head::new();
        emit(&mut head, A, B, vlan, ether_type);
        head.extend_from_slice(payload);
        Bytes::from(head.to_vec())
    }

    #[test]
    fn the_payload_is_a_slice_of_the_frame() {
        let bytes = frame(None, ETHERTYPE_IPV4, b"payload");
        let parsed = parse(&bytes).unwrap();
        assert_eq!(parsed.payload.as_ptr(), bytes[14..].as_ptr());
    }

    #[test]
    fn a_priority_tag_counts_as_untagged_and_keeps_its_priority() {
        let parsed = parse(&frame(Some(Vlan { id: 0, priority: 5 }), ETHERTYPE_ARP, b"x")).unwrap();
        assert_eq!(parsed.vlan_id(), None);
        assert_eq!(parsed.vlan, Some(Vlan { id: 0, priority: 5 }));
        assert_eq!(parsed.ether_type, ETHERTYPE_ARP);
    }

    #[test]
    fn stacked_tags_and_the_reserved_vlan_are_refused() {
        let vlan = |id| Some(Vlan { id, priority: 0 });
        assert_eq!(parse(&frame(vlan(5), ETHERTYPE_VLAN, &[0; 8])), Err(DropReason::UnknownVlan));
        assert_eq!(parse(&frame(vlan(5), 0x88a8, &[0; 8])), Err(DropReason::UnknownVlan));
        assert_eq!(parse(&frame(None, 0x88a8, &[0; 8])), Err(DropReason::UnknownVlan));
        assert_eq!(parse(&frame(vlan(0xfff), ETHERTYPE_IPV4, &[0; 8])), Err(DropReason::UnknownVlan));
    }

    #[test]
    fn a_frame_that_ends_in_its_header_is_too_short() {
        let bytes = frame(Some(Vlan { id: 7, priority: 0 }), ETHERTYPE_IPV4, b"");
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes.slice(..len)), Err(DropReason::FrameTooShort), "{len} bytes");
        }
        assert!(parse(&bytes).is_ok());
    }

    #[test]
    fn a_group_address_sends_nothing() {
        let mut bytes = frame(None, ETHERTYPE_IPV4, b"x").to_vec();
        bytes[6] |= 1;
        assert_eq!(parse(&bytes.into()), Err(DropReason::BadSourceMac));
    }

    #[test]
    fn a_length_instead_of_a_type_is_unknown() {
        assert_eq!(parse(&frame(None, 0x05ff, b"x")), Err(DropReason::UnknownEtherType));
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_to_the_same(
            destination: [u8; 6], source: [u8; 6], vlan in proptest::option::of((0u16..0xfff, 0u8..8)),
            ether_type in 0x0600u16.., payload: Vec<u8>,
        ) {
            prop_assume!(ether_type != ETHERTYPE_VLAN && ether_type != ETHERTYPE_SERVICE_VLAN && source[0] & 1 == 0);
            let vlan = vlan.map(|(id, priority)| Vlan { id, priority });
            let mut head = Head::new();
            emit(&mut head, Mac(destination), Mac(source), vlan, ether_type);
            head.extend_from_slice(&payload);
            let parsed = parse(&Bytes::from(head.to_vec())).unwrap();
            let payload = Bytes::from(payload);
            prop_assert_eq!(parsed, EthernetFrame { destination: Mac(destination), source: Mac(source), vlan, ether_type, payload });
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = parse(&Bytes::from(bytes));
        }
    }
}
