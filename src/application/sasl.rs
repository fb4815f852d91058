//! SASL in lines of base64, the profile that POP3 (RFC 5034) and SMTP (RFC 4954) have in common.
//!
//! ```text
//!   AUTH MECHANISM [initial-response]      `=` for an empty one
//!   < challenge                            with a prefix of the protocol's
//!   > response                             `*` gives up
//! ```

use crate::application::dialogue::{Dialogue, Heard};
use crate::application::server::Connection;
use crate::session::entrance::{Entrance, Entry};
use crate::session::sasl::{Mechanism, Step};
use base64ct::{Base64, Encoding};
use futures_io::{AsyncRead, AsyncWrite};
use std::io;

/// The longest line of an exchange, its end included (RFC 4954 §4, RFC 5034 §4).
pub const LINE_LENGTH: usize = 12_288;

/// How an exchange ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is this person.
    Admitted(String),
    /// It is not who it says.
    Refused,
    /// Not now: too many attempts at once.
    Busy,
    /// Too many failures from there.
    Throttled,
    /// The client gave up.
    Cancelled,
    /// That was no base64, or not the mechanism.
    Malformed,
    /// The conversation is over.
    Over(Heard),
}

impl Outcome {
    /// What came of an attempt to come in as `name`.
    pub fn of(entry: Entry, name: String) -> Outcome {
        match entry {
            Entry::Admitted => Outcome::Admitted(name),
            Entry::Refused => Outcome::Refused,
            Entry::Busy => Outcome::Busy,
            Entry::Throttled => Outcome::Throttled,
        }
    }
}

/// Holds an exchange. Challenges are sent behind `prefix`.
pub async fn authenticate<S>(
    dialogue: &mut Dialogue<'_, S>,
    entrance: &Entrance,
    prefix: &str,
    mechanism: Mechanism,
    initial: Option<&[u8]>,
) -> io::Result<Outcome>
where
    S: AsyncRead + AsyncWrite + Connection + Unpin,
{
    let peer = dialogue.peer();
    let mut exchange = entrance.exchange(mechanism);
    let mut response = match initial {
        Some(b"=") => Some(Vec::new()),
        Some(text) => match decode(text) {
            Some(response) => Some(response),
            None => return Ok(Outcome::Malformed),
        },
        None => None,
    };
    // The wait is before the exchange, so that what comes of it can be said at once.
    if !entrance.wait(peer).await {
        return Ok(Outcome::Throttled);
    }
    loop {
        let challenge = match response.take().map(|response| exchange.step(&response)) {
            None => exchange.opening().to_vec(),
            Some(Step::Challenge(challenge)) => challenge,
            Some(Step::Password(name, password)) => {
                return Ok(Outcome::of(entrance.check(peer, &name, &password).await, name));
            }
            Some(Step::Proven(name)) => return Ok(Outcome::of(entrance.on_proof(peer, &name), name)),
            Some(Step::Refused) => {
                entrance.on_failure(peer);
                return Ok(Outcome::Refused);
            }
            Some(Step::Malformed) => return Ok(Outcome::Malformed),
        };
        dialogue.say(format_args!("{prefix} {}", Base64::encode_string(&challenge)));
        match dialogue.hear().await? {
            Heard::Line(line) if line == b"*" => return Ok(Outcome::Cancelled),
            Heard::Line(line) => match decode(&line) {
                Some(octets) => response = Some(octets),
                None => return Ok(Outcome::Malformed),
            },
            Heard::TooLong | Heard::Bare => return Ok(Outcome::Malformed),
            over => return Ok(Outcome::Over(over)),
        }
    }
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    Base64::decode_vec(std::str::from_utf8(text).ok()?).ok()
}
