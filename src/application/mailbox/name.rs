//! The names of messages: unique for ever, in the order of delivery, and with the size in them.
//!
//! ```text
//!   1795348800.M123456P4321Q7.mail.example.org,S=1234,W=1267
//!   seconds    micros  process, its count, host  octets stored, on the wire
//! ```
//!
//! The size on the wire is what POP3 has to state, and takes reading all of a message to know; so who knows it writes it
//! down, with the same two letters that Dovecot and Courier use.

use crate::base::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};

/// Characters of the host's name that become part of a name.
const HOST_LENGTH: usize = 20;

/// A name that no other message of this host has, without the sizes. `since_1970` is the time.
pub fn unique(since_1970: Duration, host: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || ['.', '-'].contains(letter);
    let host: String = host.chars().filter(is_plain).take(HOST_LENGTH).collect();
    let (secs, micros, process) = (since_1970.as_secs(), since_1970.subsec_micros(), std::process::id());
    format!("{secs}.M{micros:06}P{process}Q{count}.{host}")
}

/// The name with the sizes.
pub fn with_sizes(unique: &str, stored: u64, wire: u64) -> String {
    format!("{unique},S={stored},W={wire}")
}

/// The part of a file's name that stays when the message is moved or flagged.
pub fn base(name: &[u8]) -> &[u8] {
    name.split(|octet| *octet == b':').next().unwrap_or_default()
}

/// The size on the wire, where the base of the name tells it.
pub fn wire_size(base: &[u8]) -> Option<u64> {
    field(base, b"W=")
}

/// The size of the file, where the base of the name tells it.
pub fn stored_size(base: &[u8]) -> Option<u64> {
    field(base, b"S=")
}

fn field(base: &[u8], mark: &[u8]) -> Option<u64> {
    let digits = base.split(|octet| *octet == b',').skip(1).find_map(|field| field.strip_prefix(mark))?;
    std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?.parse().ok()
}

/// The order of messages: the seconds of delivery that a name begins with, then the name.
pub fn order(base: &[u8]) -> (u64, &[u8]) {
    let digits = base.iter().take_while(|octet| octet.is_ascii_digit());
    (digits.fold(0u64, |secs, digit| secs.saturating_mul(10).saturating_add(u64::from(digit - b'0'))), base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_ordered_and_tell_the_size() {
        let (one, two) = (unique(Duration::from_micros(1_000_001), "a/b:c"), unique(Duration::from_secs(1), "h"));
        assert_ne!(one, two);
        assert!(one.starts_with("1.M000001P") && one.ends_with(".abc"), "{one}");
        let name = with_sizes(&one, 10, 12);
        assert_eq!(wire_size(base(format!("{name}:2,S").as_bytes())), Some(12));
    }

    #[test]
    fn a_size_is_only_taken_from_what_is_one() {
        for (name, size) in [
            ("1.a,S=5,W=6", Some(6)),
            ("1.a,W=6,S=5", Some(6)),
            ("1.a", None),
            ("W=6", None),
            ("1.a,W=", None),
            ("1.a,W=+6", None),
            ("1.a,W=99999999999999999999999", None),
        ] {
            assert_eq!(wire_size(name.as_bytes()), size, "{name}");
        }
    }
}
