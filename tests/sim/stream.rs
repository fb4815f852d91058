//! Streams of bytes that need not be kept to be compared: each byte follows from a key and its place.

use bytes::Bytes;

/// Eight bytes of the stream (the mixing function of splitmix64).
fn word(key: u64, place: u64) -> [u8; 8] {
    let mut z = key.wrapping_add(place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_le_bytes()
}

/// `len` bytes from `offset` on.
pub fn bytes(key: u64, offset: u64, len: usize) -> Bytes {
    let skip = (offset % 8) as usize;
    let mut made = Vec::with_capacity(skip + len + 8);
    let mut place = offset / 8;
    while made.len() < skip + len {
        made.extend_from_slice(&word(key, place));
        place += 1;
    }
    Bytes::from(made).slice(skip..skip + len)
}

/// Panics unless `found` is what the stream has at `offset`.
pub fn check(key: u64, offset: u64, found: &[u8]) {
    let expected = bytes(key, offset, found.len());
    if let Some(at) = expected.iter().zip(found).position(|(expected, found)| expected != found) {
        panic!("byte {} of the stream differs: {} in place of {}", offset + at as u64, found[at], expected[at]);
    }
}
