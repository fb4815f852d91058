//! Addresses of mail: the paths of MAIL and RCPT (RFC 5321 §4.1.2, RFC 6531 §3.3).
//!
//! ```text
//!   <@relay.example:alice.liddell@example.org>
//!    a source route   local part  domain, or an address in brackets
//! ```
//!
//! A source route is taken and ignored (RFC 5321 §4.1.1.3). Letters beyond ASCII are taken as UTF-8; whether they were
//! announced is for the conversation to see.

use std::fmt;

/// The longest local part and the longest domain (RFC 5321 §4.5.3.1).
const LOCAL_LENGTH: usize = 64;
const DOMAIN_LENGTH: usize = 255;
/// The longest path, its brackets included.
const PATH_LENGTH: usize = 256;

/// Who or where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// The local part, without quotes.
    pub local: String,
    /// The domain as it was written; empty for the bare `postmaster` (RFC 5321 §4.1.1.3).
    pub domain: String,
}

impl Address {
    /// Reads a path off the front of `text`: what is left behind it, and the address or `None` for `<>`.
    pub fn parse_path(text: &str) -> Option<(Option<Address>, &str)> {
        let rest = text.strip_prefix('<')?;
        let end = end_of_path(rest)?;
        let (inside, behind) = (rest.get(..end)?, rest.get(end + 1..)?);
        if inside.is_empty() {
            return Some((None, behind));
        }
        if inside.len() + 2 > PATH_LENGTH {
            return None;
        }
        let mailbox = match inside.strip_prefix('@') {
            None => inside,
            Some(route) => {
                let (route, mailbox) = route.split_once(':')?;
                let is_route = |(index, hop): (usize, &str)| {
                    let domain = if index == 0 { Some(hop) } else { hop.strip_prefix('@') };
                    domain.is_some_and(is_domain)
                };
                route.split(',').enumerate().all(is_route).then_some(mailbox)?
            }
        };
        Address::parse(mailbox).map(|address| (Some(address), behind))
    }

    /// Reads `local@domain`, or `postmaster`.
    pub fn parse(text: &str) -> Option<Address> {
        if text.eq_ignore_ascii_case("postmaster") {
            return Some(Address { local: text.into(), domain: String::new() });
        }
        // A quoted local part may have an @ in it, a domain has none.
        let (local, domain) = text.rsplit_once('@')?;
        let local = match local.strip_prefix('"') {
            Some(quoted) => unquoted(quoted.strip_suffix('"')?)?,
            None => is_dot_string(local).then(|| local.to_owned())?,
        };
        let fits = !local.is_empty() && local.len() <= LOCAL_LENGTH && domain.len() <= DOMAIN_LENGTH;
        (fits && (is_domain(domain) || is_literal(domain))).then(|| Address { local, domain: domain.into() })
    }

    /// True if it has letters beyond ASCII.
    pub fn is_international(&self) -> bool {
        !self.local.is_ascii() || !self.domain.is_ascii()
    }

    /// True for the one who is responsible, on whichever of our domains.
    pub fn is_postmaster(&self) -> bool {
        self.local.eq_ignore_ascii_case("postmaster")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            f.write_str(&self.local)?;
        } else {
            let quoted = self.local.replace('\\', "\\\\").replace('"', "\\\"");
            write!(f, "\"{quoted}\"")?;
        }
        if self.domain.is_empty() { Ok(()) } else { write!(f, "@{}", self.domain) }
    }
}

/// Where the `>` is that ends a path: not one within quotes.
fn end_of_path(text: &str) -> Option<usize> {
    let (mut in_quotes, mut escaped) = (false, false);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if in_quotes => escaped = true,
            b'"' => in_quotes = !in_quotes,
            b'>' if !in_quotes => return Some(at),
            _ => {}
        }
    }
    None
}

/// What stands between quotes, if it may.
fn unquoted(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let meant = match letter {
            '"' => return None,
            '\\' => letters.next()?,
            other => other,
        };
        if meant.is_control() {
            return None;
        }
        plain.push(meant);
    }
    Some(plain)
}

/// Atoms with dots between them.
fn is_dot_string(text: &str) -> bool {
    let is_atext = |letter: char| {
        letter.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~".contains(letter)
            || (!letter.is_ascii() && !letter.is_control())
    };
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// Labels with dots between them. Labels beyond ASCII are those of RFC 5890.
pub fn is_domain(text: &str) -> bool {
    let is_letter = |letter: char| {
        letter.is_ascii_alphanumeric()
            || ['-', '_'].contains(&letter)
            || (!letter.is_ascii() && letter.is_alphanumeric())
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(is_letter)
    };
    text.len() <= DOMAIN_LENGTH && text.split('.').all(is_label)
}

/// `[192.0.2.1]`, `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3).
pub fn is_literal(text: &str) -> bool {
    let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return false };
    match inside.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => {
            inside.get(5..).is_some_and(|rest| rest.parse::<std::net::Ipv6Addr>().is_ok())
        }
        _ => inside.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> Option<(String, String)> {
        let (address, behind) = Address::parse_path(text)?;
        Some((address.map_or(String::new(), |address| address.to_string()), behind.into()))
    }

    #[test]
    fn paths_are_read_and_written_back() {
        for (text, address, behind) in [
            ("<>", "", ""),
            ("<alice@example.org>", "alice@example.org", ""),
            ("<a.b+c@example.org> SIZE=3", "a.b+c@example.org", " SIZE=3"),
            ("<@one.example,@two.example:a@b.example>", "a@b.example", ""),
            ("<Postmaster>", "Postmaster", ""),
            ("<\"a b>c\\\"d@e\"@example.org>x", "\"a b>c\\\"d@e\"@example.org", "x"),
            ("<\"plain\"@example.org>", "plain@example.org", ""),
            ("<a@[192.0.2.1]>", "a@[192.0.2.1]", ""),
            ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", ""),
            ("<älice@bücher.example>", "älice@bücher.example", ""),
        ] {
            assert_eq!(path(text), Some((address.into(), behind.into())), "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_told() {
        let long = format!("<{}@example.org>", "x".repeat(65));
        for text in [
            "",
            "alice@example.org",
            "<alice@example.org",
            "<alice>",
            "<@example.org>",
            "<a@>",
            "<a..b@example.org>",
            "<.a@example.org>",
            "<a b@example.org>",
            "<a@b@example.org>",
            "<a@-b.example>",
            "<a@b..example>",
            "<a@[300.0.0.1]>",
            "<a@[192.0.2.1>",
            "<@one.example a@b.example>",
            "<\"a@example.org>",
            "<\"\"@example.org>",
            "<a\0@example.org>",
            &long,
        ] {
            assert_eq!(path(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_again_the_same(text in "[<>@a-c.\"\\\\ \\[\\]:,1é]{0,24}") {
            if let Some((Some(address), _)) = Address::parse_path(&text) {
                prop_assert_eq!(Address::parse(&address.to_string()), Some(address));
            }
        }
    }
}
