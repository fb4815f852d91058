//! The compression of fields (RFC 7541): what breaks it, and what does not. That the error is not
//! COMPRESSION_ERROR is a deviation.

use super::frames::*;
use super::vectors::Heard::{GoAway, Status};
use super::vectors::{PROTOCOL_ERROR, check};

/// A request in which `octets` stand before or behind its fields.
fn around(before: &[u8], behind: &[u8]) -> Vec<u8> {
    let fields = block(&request("GET", "/a.txt"));
    frame(HEADERS, END_HEADERS | END_STREAM, 1, [before, &fields, behind].concat())
}

/// A value in Huffman's code, of a field `x`.
fn coded(value: &[u8]) -> Vec<u8> {
    around(&[], &[&[0, 1, b'x', 0x80 | value.len() as u8][..], value].concat())
}

#[test]
fn compression_rfc_7541() {
    check(&[
        ("§2.3.3 an index beyond the tables", &[around(&[], &[0xbe])], GoAway(PROTOCOL_ERROR)),
        ("§2.3.3 a name beyond them", &[around(&[], &[0x7e, 1, b'y'])], GoAway(PROTOCOL_ERROR)),
        ("§4.2 a size at the end", &[around(&[], &[0x20])], GoAway(PROTOCOL_ERROR)),
        ("§4.2 a size at the beginning", &[around(&[0x20], &[])], Status(200)),
        ("§5.2 a value in Huffman's code", &[coded(&[0xf3])], Status(200)),
        ("§5.2 padding of more than 7 bits", &[coded(&[0xf3, 0xff])], GoAway(PROTOCOL_ERROR)),
        ("§5.2 padding of zeros: a deviation", &[coded(&[0x1c, 0x60])], Status(200)),
        ("§5.2 the end of string", &[coded(&[0xff, 0xff, 0xff, 0xff])], GoAway(PROTOCOL_ERROR)),
        ("§6.1 index 0", &[around(&[], &[0x80])], GoAway(PROTOCOL_ERROR)),
        ("§6.3 a size above the limit", &[around(&[0x3f, 0xe2, 0x1f], &[])], GoAway(PROTOCOL_ERROR)),
        ("§6.3 the limit", &[around(&[0x3f, 0xe1, 0x1f], &[])], Status(200)),
        ("§5.1 an integer without end", &[around(&[], &[0xff; 20])], GoAway(PROTOCOL_ERROR)),
        ("§5.2 a string longer than the fields", &[around(&[], &[0, 1, b'x', 100, b'y'])], GoAway(PROTOCOL_ERROR)),
    ]);
}
