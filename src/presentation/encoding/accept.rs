//! Which content codings a client takes: the Accept-Encoding field (RFC 9110 §12.5.3) with its quality values (§12.4.2).
//!
//! ```text
//!   Accept-Encoding = #( codings [ OWS ";" OWS "q=" qvalue ] )     codings = content-coding / "identity" / "*"
//! ```
//!
//! What is no element of that grammar says nothing.

use super::Coding;

/// How much something is wanted, in thousandths; nothing at 0.
pub type Weight = u16;

/// The weight of what is named without one.
const FULL: Weight = 1_000;

/// What a client takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    codings: [Weight; Coding::ALL.len()],
    /// `None` if nothing was said of it: it is taken, and everything that was named is liked better.
    identity: Option<Weight>,
}

impl Accepted {
    /// What a client takes that says nothing, or that it takes nothing: the content as it is. RFC 9110 would let a
    /// client that says nothing have any coding; those that can't decode are the ones that say nothing.
    pub const IDENTITY: Accepted = Accepted { codings: [0; Coding::ALL.len()], identity: None };

    /// Reads the values of all fields of that name. Of what is named twice the first counts.
    pub fn parse<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Accepted {
        let (mut named, mut identity, mut others) = ([None; Coding::ALL.len()], None, None);
        let elements = fields.into_iter().flat_map(|field| field.split(|octet| *octet == b','));
        for (name, weight) in elements.filter_map(element) {
            let place = match Coding::of_name(name) {
                Some(coding) => named.get_mut(coding.index()),
                None if name.eq_ignore_ascii_case(b"identity") => Some(&mut identity),
                None if name == b"*" => Some(&mut others),
                None => None,
            };
            if let Some(place) = place {
                place.get_or_insert(weight);
            }
        }
        Accepted { codings: named.map(|weight| weight.or(others).unwrap_or(0)), identity: identity.or(others) }
    }

    /// How much a coding is wanted.
    pub fn weight(&self, coding: Coding) -> Weight {
        self.codings.get(coding.index()).copied().unwrap_or(0)
    }

    /// How much the content as it is is wanted; what was named with any weight is liked better than what was not named.
    pub fn identity(&self) -> Weight {
        self.identity.unwrap_or(1)
    }

    /// True if nothing but the content as it is will do.
    pub fn is_identity_only(&self) -> bool {
        self.codings.iter().all(|weight| *weight == 0)
    }
}

/// The name and weight of an element of the list; `None` if it is none.
fn element(element: &[u8]) -> Option<(&[u8], Weight)> {
    let mut parts = element.split(|octet| *octet == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let weight = match parts.next() {
        None => FULL,
        Some([b'q' | b'Q', b'=', value @ ..]) => quality(value)?,
        Some(_) => return None,
    };
    parts.next().is_none().then_some((name, weight))
}

/// `( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )` in thousandths.
fn quality(text: &[u8]) -> Option<Weight> {
    let (whole, fraction) = text.split_first()?;
    let fraction = match fraction {
        [] => fraction,
        [b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return None,
    };
    let thousandths =
        (0..3).fold(0, |sum, place| sum * 10 + fraction.get(place).map_or(0, |digit| Weight::from(digit - b'0')));
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(FULL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepted(field: &str) -> ([Weight; 3], Weight) {
        let accepted = Accepted::parse([field.as_bytes()]);
        (Coding::ALL.map(|coding| accepted.weight(coding)), accepted.identity())
    }

    #[test]
    fn weights_are_read_as_rfc_9110_has_them() {
        // zstd, br, gzip; identity.
        for (field, weights) in [
            ("gzip", ([0, 0, 1000], 1)),
            ("gzip, br;q=0.5", ([0, 500, 1000], 1)),
            ("compress, gzip", ([0, 0, 1000], 1)),
            ("", ([0, 0, 0], 1)),
            (" , ,", ([0, 0, 0], 1)),
            ("*", ([1000, 1000, 1000], 1000)),
            ("*;q=0.3, br;q=0", ([300, 0, 300], 300)),
            ("compress;q=0.5, gzip;q=1.0", ([0, 0, 1000], 1)),
            ("gzip;q=1.0, identity; q=0.5, *;q=0", ([0, 0, 1000], 500)),
            ("identity;q=0", ([0, 0, 0], 0)),
            ("*;q=0", ([0, 0, 0], 0)),
            ("*;q=0, identity", ([0, 0, 0], 1000)),
            ("GZIP ; Q=0.001", ([0, 0, 1], 1)),
            ("x-gzip;q=0.25", ([0, 0, 250], 1)),
            ("gzip;q=0, gzip", ([0, 0, 0], 1)),
            ("gzip;q=1.000", ([0, 0, 1000], 1)),
            ("gzip;q=0.1234, br;q=2, zstd;q=", ([0, 0, 0], 1)),
            ("gzip;q=1.5, br;q=-1, zstd;q=.5", ([0, 0, 0], 1)),
            ("gzip;level=9, br;q=1;x, zstd;q =1", ([0, 0, 0], 1)),
        ] {
            assert_eq!(accepted(field), weights, "{field:?}");
        }
        let two = Accepted::parse([b"gzip;q=0.5".as_slice(), b"br"]);
        assert_eq!((two.weight(Coding::Gzip), two.weight(Coding::Brotli)), (500, 1000), "several fields are one list");
        assert!(Accepted::parse([b"identity".as_slice()]).is_identity_only());
        assert!(Accepted::IDENTITY.is_identity_only() && Accepted::IDENTITY.identity() > 0);
    }

    proptest! {
        #[test]
        fn anything_is_read_and_no_weight_is_above_one(field in "[a-z*;=,. 0-9q]{0,60}", octets: Vec<u8>) {
            let accepted = Accepted::parse([field.as_bytes(), &octets]);
            for coding in Coding::ALL {
                prop_assert!(accepted.weight(coding) <= FULL && accepted.identity() <= FULL);
            }
        }
    }
}
