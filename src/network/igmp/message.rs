//! IGMP messages: queries and reports of all three versions, read and written.
//!
//! Implements RFC 3376 §4 and the eight-byte messages of RFC 2236 §2 and RFC 1112. A host reads queries and the older
//! versions' reports, and writes reports; source lists are skipped, because this host joins whatever the source.

use crate::base::checksum::Sum;
use crate::base::drops::DropReason;
use crate::base::time::Duration;
use std::net::Ipv4Addr;

/// Membership Query, of any version.
pub const QUERY: u8 = 0x11;
/// IGMPv1 Membership Report.
pub const V1_REPORT: u8 = 0x12;
/// IGMPv2 Membership Report.
pub const V2_REPORT: u8 = 0x16;
/// IGMPv2 Leave Group.
pub const V2_LEAVE: u8 = 0x17;
/// IGMPv3 Membership Report.
pub const V3_REPORT: u8 = 0x22;
/// The shortest IGMPv3 query: shorter ones are of the older versions (RFC 3376 §7.1).
const V3_QUERY_LEN: usize = 12;

/// A question which groups have members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Query {
    /// The group asked for; unspecified in a general query.
    pub group: Ipv4Addr,
    /// The time to answer in; zero in IGMPv1.
    pub max_response: Duration,
    v3: bool,
}

impl Query {
    /// A query of IGMPv3.
    pub fn is_v3(&self) -> bool {
        self.v3
    }

    /// A query of IGMPv1 (RFC 3376 §7.1: eight bytes and a zero response time).
    pub fn is_v1(&self) -> bool {
        !self.v3 && self.max_response.is_zero()
    }
}

/// What a host has to know of a received message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// A query.
    Query(Query),
    /// An older report of a group.
    Report(Ipv4Addr),
    /// Anything else, which RFC 3376 §4 asks to ignore.
    Other,
}

/// Reads a message.
///
/// # Errors
/// [`DropReason::IgmpMalformed`] for a wrong checksum or length.
pub fn parse(bytes: &[u8]) -> Result<Received, DropReason> {
    let (head, rest) = bytes.split_first_chunk::<8>().ok_or(DropReason::IgmpMalformed)?;
    if !Sum::ZERO.add_bytes(bytes).is_valid() {
        return Err(DropReason::IgmpMalformed);
    }
    let [kind, code, _, _, a, b, c, d] = *head;
    let group = Ipv4Addr::new(a, b, c, d);
    match kind {
        QUERY => {
            let v3 = bytes.len() >= V3_QUERY_LEN;
            // RFC 3376 §7.1: lengths between are no query of any version.
            let honest = (v3 || rest.is_empty()) && (group.is_unspecified() || group.is_multicast());
            let tenths = if v3 { floating(code) } else { u64::from(code) };
            let max_response = Duration::from_millis(tenths * 100);
            honest.then_some(Received::Query(Query { group, max_response, v3 })).ok_or(DropReason::IgmpMalformed)
        }
        V1_REPORT | V2_REPORT => Ok(Received::Report(group)),
        _ => Ok(Received::Other),
    }
}

/// RFC 3376 §4.1.1: from 128 on, a code is a floating-point number.
fn floating(code: u8) -> u64 {
    if code < 128 {
        return u64::from(code);
    }
    let (exponent, mantissa) = (code >> 4 & 7, code & 15);
    u64::from(mantissa | 16) << (exponent + 3)
}

/// A group record's type (RFC 3376 §4.2.12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RecordType {
    /// Joined, whatever the source: with an empty source list.
    IsExclude = 2,
    /// Left: include from no source.
    ChangeToInclude = 3,
    /// Joined just now.
    ChangeToExclude = 4,
}

/// What a report says of one group. The source list is always empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// What happened.
    pub kind: RecordType,
    /// To which group.
    pub group: Ipv4Addr,
}

/// An IGMPv3 report (RFC 3376 §4.2).
pub fn emit_report(records: &[Record]) -> Vec<u8> {
    let count = u16::try_from(records.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![V3_REPORT, 0, 0, 0, 0, 0];
    bytes.extend(count.to_be_bytes());
    for record in records.iter().take(usize::from(count)) {
        bytes.extend([record.kind as u8, 0, 0, 0]);
        bytes.extend(record.group.octets());
    }
    fill_checksum(&mut bytes);
    bytes
}

/// An eight-byte message of an older version.
pub fn emit_old(kind: u8, group: Ipv4Addr) -> [u8; 8] {
    let [a, b, c, d] = group.octets();
    let mut bytes = [kind, 0, 0, 0, a, b, c, d];
    fill_checksum(&mut bytes);
    bytes
}

fn fill_checksum(bytes: &mut [u8]) {
    let checksum = Sum::ZERO.add_bytes(bytes).checksum();
    if let Some(field) = bytes.get_mut(2..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        *field = checksum.to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn response_times_beyond_128_are_floating() {
        // RFC 3376 §4.1.1.
        assert_eq!([127, 128, 0x8f, 0xff].map(floating), [127, 128, 248, 31_744]);
    }

    #[test]
    fn a_querys_version_shows_in_its_length_and_response_time() {
        // RFC 3376 §7.1.
        let mut bytes = emit_old(QUERY, Ipv4Addr::UNSPECIFIED).to_vec();
        assert!(matches!(parse(&bytes), Ok(Received::Query(query)) if query.is_v1()));
        bytes[1] = 100;
        bytes[2..4].fill(0);
        fill_checksum(&mut bytes);
        assert!(matches!(parse(&bytes), Ok(Received::Query(query))
            if !query.is_v1() && !query.is_v3() && query.max_response == Duration::from_secs(10)));
        bytes.extend([0; 2]);
        assert_eq!(parse(&bytes), Err(DropReason::IgmpMalformed), "ten bytes are of no version");
        bytes.extend([0; 2]);
        assert!(matches!(parse(&bytes), Ok(Received::Query(query)) if query.is_v3()));
    }

    #[test]
    fn a_report_has_the_bytes_of_rfc_3376() {
        let group = Ipv4Addr::new(239, 1, 2, 3);
        let bytes = emit_report(&[Record { kind: RecordType::ChangeToExclude, group }]);
        assert_eq!(bytes, [0x22, 0, 0xe8, 0xf9, 0, 0, 0, 1, 4, 0, 0, 0, 239, 1, 2, 3]);
        assert!(Sum::ZERO.add_bytes(&bytes).is_valid());
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(mut bytes: Vec<u8>, sound: bool) {
            if sound && bytes.len() >= 8 {
                bytes[2..4].fill(0);
                fill_checksum(&mut bytes);
            }
            let _ = parse(&bytes);
        }
    }
}
