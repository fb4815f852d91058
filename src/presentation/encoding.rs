//! Content codings: what a body is packed into on its way, and which of them a client takes (RFC 9110 §8.4, §12.5.3).
//!
//! | coding | specification | made with | files beside the plain one |
//! |---|---|---|---|
//! | `zstd` | RFC 8878, RFC 9659 (no window above 8 MiB) | level 3 | `.zst` |
//! | `br` | RFC 7932 | quality 5 | `.br` |
//! | `gzip` | RFC 1952 | level 6 | `.gz` |
//!
//! Not here: `deflate`, which clients read in two ways, and `compress`, which nobody sends; taking bodies of requests
//! apart.

mod accept;
mod encoder;

pub use accept::{Accepted, Weight};
pub use encoder::Encoder;
#[cfg(test)]
pub(crate) use encoder::tests::decoded;

/// A content coding that we make.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// All of them; of those that a client likes as well, the first is made.
    pub const ALL: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

    /// Its name in the registry (RFC 9110 §18.6).
    pub fn name(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    /// The coding of a name, upper or lower case (RFC 9110 §8.4.1); `x-gzip` is gzip (§8.4.1.3).
    pub fn of_name(name: &[u8]) -> Option<Coding> {
        if name.eq_ignore_ascii_case(b"x-gzip") {
            return Some(Coding::Gzip);
        }
        Coding::ALL.into_iter().find(|coding| name.eq_ignore_ascii_case(coding.name().as_bytes()))
    }

    /// What the name of a file packed so ends with.
    pub fn suffix(self) -> &'static [u8] {
        match self {
            Coding::Zstd => b".zst",
            Coding::Brotli => b".br",
            Coding::Gzip => b".gz",
        }
    }

    /// Its place in a table of all of them.
    pub fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_registry_in_any_case() {
        for coding in Coding::ALL {
            assert_eq!(Coding::of_name(coding.name().to_uppercase().as_bytes()), Some(coding));
            assert_eq!(Coding::ALL[coding.index()], coding);
        }
        assert_eq!(Coding::of_name(b"X-GZip"), Some(Coding::Gzip));
        for other in ["identity", "*", "deflate", "compress", "", "gzip "] {
            assert_eq!(Coding::of_name(other.as_bytes()), None, "{other}");
        }
    }
}
