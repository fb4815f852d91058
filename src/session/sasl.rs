//! SASL (RFC 4422): an exchange of challenges and responses at whose end it is known who speaks, whatever protocol
//! carries it. Each mechanism is a state machine without any I/O.
//!
//! ```text
//!   response --> step() --> Challenge: send it, and step again with what comes back
//!                       --> Password: see whether name and password belong together
//!                       --> Proven: it is that person
//!                       --> Refused | Malformed: it is over
//! ```
//!
//! PLAIN (RFC 4616) and LOGIN (of draft-murchison-sasl-login, which old mail programs know and nothing else) tell the
//! password, SCRAM-SHA-256 ([`scram`], RFC 5802, RFC 7677) proves that it is known.
//!
//! Nobody may act for another here: an authorization identity must be the name of who logs in.

pub mod scram;

use self::scram::Scram;
use crate::session::accounts::Accounts;
use std::sync::Arc;

/// The mechanisms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// Name and password, each asked for.
    Login,
    /// RFC 7677.
    ScramSha256,
}

impl Mechanism {
    /// All of them, the best first.
    pub const ALL: [Mechanism; 3] = [Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// The mechanism of a name, which may be written in any case.
    pub fn of(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }
}

/// What is next in an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Send this; the answer is the next step.
    Challenge(Vec<u8>),
    /// Whoever speaks says to be this person, and this to be the password.
    Password(String, Vec<u8>),
    /// It is this person.
    Proven(String),
    /// It is not who it says.
    Refused,
    /// This is not the mechanism.
    Malformed,
}

/// An exchange under way.
#[derive(Debug)]
pub enum Exchange {
    /// Waits for the one message.
    Plain,
    /// Waits for the name, or with it for the password.
    Login(Option<String>),
    /// See there.
    Scram(Box<Scram>),
}

impl Exchange {
    /// Begins. `nonce` is this exchange's own randomness.
    pub fn new(mechanism: Mechanism, accounts: Arc<Accounts>, nonce: [u8; 18]) -> Exchange {
        match mechanism {
            Mechanism::Plain => Exchange::Plain,
            Mechanism::Login => Exchange::Login(None),
            Mechanism::ScramSha256 => Exchange::Scram(Box::new(Scram::new(accounts, nonce))),
        }
    }

    /// The first challenge: what is asked of a client that sent no response with its wish to begin. All our mechanisms
    /// but LOGIN begin with the client.
    pub fn opening(&self) -> &'static [u8] {
        if matches!(self, Exchange::Login(_)) { b"Username:" } else { b"" }
    }

    /// Takes a response.
    pub fn step(&mut self, response: &[u8]) -> Step {
        match self {
            Exchange::Plain => plain(response).unwrap_or(Step::Malformed),
            Exchange::Login(name) => match (name.take(), text(response)) {
                (Some(name), _) => Step::Password(name, response.to_vec()),
                (None, Some(said)) => {
                    *name = Some(said);
                    Step::Challenge(b"Password:".to_vec())
                }
                (None, None) => Step::Malformed,
            },
            Exchange::Scram(scram) => scram.step(response),
        }
    }
}

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`.
fn plain(message: &[u8]) -> Option<Step> {
    let mut parts = message.split(|octet| *octet == 0);
    let (authzid, authcid, password) = (text(parts.next()?)?, text(parts.next()?)?, parts.next()?);
    if parts.next().is_some() || authcid.is_empty() {
        return None;
    }
    if !authzid.is_empty() && authzid != authcid {
        return Some(Step::Refused);
    }
    Some(Step::Password(authcid, password.to_vec()))
}

fn text(octets: &[u8]) -> Option<String> {
    String::from_utf8(octets.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::accounts::tests::cheap;

    fn begin(mechanism: Mechanism) -> Exchange {
        Exchange::new(mechanism, Arc::new(cheap(&[])), [0; 18])
    }

    #[test]
    fn plain_tells_name_and_password_and_nobody_acts_for_another() {
        for (message, step) in [
            (&b"\0alice\0wonder\xc3\xa4"[..], Step::Password("alice".into(), b"wonder\xc3\xa4".to_vec())),
            (b"alice\0alice\0w", Step::Password("alice".into(), b"w".to_vec())),
            (b"bob\0alice\0w", Step::Refused),
            (b"\0alice", Step::Malformed),
            (b"\0\0w", Step::Malformed),
            (b"\0a\0b\0c", Step::Malformed),
            (b"\0\xff\0b", Step::Malformed),
            (b"", Step::Malformed),
        ] {
            assert_eq!(begin(Mechanism::Plain).step(message), step, "{message:?}");
        }
    }

    #[test]
    fn login_asks_for_name_and_password() {
        let mut exchange = begin(Mechanism::Login);
        assert_eq!(exchange.opening(), b"Username:");
        assert_eq!(exchange.step(b"alice"), Step::Challenge(b"Password:".to_vec()));
        assert_eq!(exchange.step(b"w"), Step::Password("alice".into(), b"w".to_vec()));
    }

    #[test]
    fn mechanisms_are_known_by_their_names() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::of(&mechanism.name().to_ascii_lowercase()), Some(mechanism));
        }
        assert_eq!(Mechanism::of("CRAM-MD5"), None);
    }
}
