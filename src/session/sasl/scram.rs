//! SCRAM-SHA-256 (RFC 5802, RFC 7677): the client proves that it knows the password without telling it, and we prove
//! that we know what was derived from it.
//!
//! ```text
//!   client-first  n,,n=alice,r=CNONCE
//!   server-first  r=CNONCE+SNONCE,s=SALT,i=ITERATIONS
//!   client-final  c=biws,r=CNONCE+SNONCE,p=PROOF
//!   server-final  v=SIGNATURE
//! ```
//!
//! What is kept of a password is its [`Entry`], from which neither the password nor a proof can be made. A name without
//! one is given a salt of its own all the same, so that the exchange does not tell which names exist.
//!
//! Not here: channel binding (the -PLUS variant), and the preparation of names and passwords that are not ASCII.

use super::Step;
use crate::session::accounts::Accounts;
use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

type Hash = [u8; 32];

/// Rounds of the derivation of a new entry (RFC 7677 §4 asks for at least 4,096).
pub const ITERATIONS: u32 = 10_000;
/// The most that a client is asked for.
const MOST_ITERATIONS: u32 = 10_000_000;
/// How an entry begins.
const MARK: &str = "SCRAM-SHA-256$";

/// What is kept of a password (RFC 5803 §2): `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Hash,
    server_key: Hash,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").finish_non_exhaustive()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Base64::encode_string;
        let (salt, stored, server) = (text(&self.salt), text(&self.stored_key), text(&self.server_key));
        write!(f, "{MARK}{}:{salt}${stored}:{server}", self.iterations)
    }
}

impl Entry {
    /// The entry of a password (RFC 5802 §3).
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Entry {
        let salted = hi(password, salt, iterations);
        let stored_key = Sha256::digest(hmac(&salted, &[b"Client Key"])).into();
        Entry { iterations, salt: salt.to_vec(), stored_key, server_key: hmac(&salted, &[b"Server Key"]) }
    }

    /// The entry of a password that somebody chose; `None` if it is not of printable ASCII, as others would have to be
    /// prepared first (RFC 4013).
    pub fn of(password: &[u8], salt: &[u8; 16]) -> Option<Entry> {
        let is_plain = password.iter().all(|octet| octet.is_ascii_graphic() || *octet == b' ');
        is_plain.then(|| Entry::derive(password, salt, ITERATIONS))
    }

    /// Reads one; `None` if it is none.
    pub fn parse(text: &str) -> Option<Entry> {
        let (head, keys) = text.strip_prefix(MARK)?.split_once('$')?;
        let ((iterations, salt), (stored, server)) = (head.split_once(':')?, keys.split_once(':')?);
        let iterations = iterations.parse().ok().filter(|rounds| (1..=MOST_ITERATIONS).contains(rounds))?;
        let key = |text| Base64::decode_vec(text).ok()?.try_into().ok();
        let salt = Base64::decode_vec(salt).ok().filter(|salt| !salt.is_empty())?;
        Some(Entry { iterations, salt, stored_key: key(stored)?, server_key: key(server)? })
    }

    /// An entry that nobody can prove to know the password of, the same for a name each time. `secret` is what makes
    /// its salt unknown.
    fn decoy(name: &str, secret: &[u8], iterations: u32) -> Entry {
        let salt = hmac(secret, &[name.as_bytes()]).iter().copied().take(16).collect();
        Entry { iterations, salt, stored_key: hmac(secret, &[b"stored", name.as_bytes()]), server_key: [0; 32] }
    }
}

/// RFC 5802 §2.2, which is PBKDF2 with one block.
fn hi(password: &[u8], salt: &[u8], iterations: u32) -> Hash {
    let mut round = hmac(password, &[salt, &1u32.to_be_bytes()]);
    let mut result = round;
    for _ in 1..iterations {
        round = hmac(password, &[&round]);
        result.iter_mut().zip(round).for_each(|(sum, octet)| *sum ^= octet);
    }
    result
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    // A key of any length will do: it never fails.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
    parts.iter().for_each(|part| mac.update(part));
    mac
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Hash {
    keyed(key, parts).finalize().into_bytes().into()
}

/// The server's side of an exchange.
pub struct Scram {
    accounts: Arc<Accounts>,
    nonce: String,
    state: State,
}

enum State {
    First,
    Final { name: String, gs2: String, so_far: String, nonce: String, entry: Entry },
    Acknowledge(String),
    Over,
}

impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scram").finish_non_exhaustive()
    }
}

impl Scram {
    pub(super) fn new(accounts: Arc<Accounts>, nonce: [u8; 18]) -> Scram {
        Scram { accounts, nonce: Base64::encode_string(&nonce), state: State::First }
    }

    pub(super) fn step(&mut self, message: &[u8]) -> Step {
        let Ok(message) = std::str::from_utf8(message) else { return Step::Malformed };
        match std::mem::replace(&mut self.state, State::Over) {
            State::First => self.first(message).unwrap_or(Step::Malformed),
            State::Final { name, gs2, so_far, nonce, entry } => {
                let step = check(message, &gs2, &so_far, &nonce, &entry);
                if matches!(step, Some(Step::Challenge(_))) {
                    self.state = State::Acknowledge(name);
                }
                step.unwrap_or(Step::Malformed)
            }
            // The client's last word says nothing.
            State::Acknowledge(name) if message.is_empty() => Step::Proven(name),
            State::Acknowledge(_) | State::Over => Step::Malformed,
        }
    }

    /// The client's first message (RFC 5802 §7); `None` if it is none.
    fn first(&mut self, message: &str) -> Option<Step> {
        let (binding, rest) = message.split_once(',')?;
        let (authzid, bare) = rest.split_once(',')?;
        // `y`: the client could bind the channel and thinks that we can't, which is so.
        if binding != "n" && binding != "y" {
            return None;
        }
        let mut attributes = bare.split(',');
        let name = attributes.next()?.strip_prefix("n=")?.replace("=2C", ",").replace("=3D", "=");
        let client_nonce = attributes.next()?.strip_prefix("r=").filter(|nonce| !nonce.is_empty())?;
        if !authzid.is_empty() && authzid.strip_prefix("a=") != Some(&name) {
            return Some(Step::Refused);
        }
        let entry = self.accounts.scram(&name).cloned();
        let entry = entry.unwrap_or_else(|| Entry::decoy(&name, &self.accounts.decoy_secret(), ITERATIONS));
        let nonce = format!("{client_nonce}{}", self.nonce);
        let answer = format!("r={nonce},s={},i={}", Base64::encode_string(&entry.salt), entry.iterations);
        let so_far = format!("{bare},{answer}");
        self.state = State::Final { name, gs2: format!("{binding},{authzid},"), so_far, nonce, entry };
        Some(Step::Challenge(answer.into_bytes()))
    }
}

/// The client's final message (RFC 5802 §7); `None` if it is none.
fn check(message: &str, gs2: &str, so_far: &str, nonce: &str, entry: &Entry) -> Option<Step> {
    let (without_proof, proof) = message.rsplit_once(",p=")?;
    let mut attributes = without_proof.split(',');
    let binding = Base64::decode_vec(attributes.next()?.strip_prefix("c=")?).ok()?;
    if binding != gs2.as_bytes() || attributes.next()?.strip_prefix("r=")? != nonce {
        return Some(Step::Refused);
    }
    let proof: Hash = Base64::decode_vec(proof).ok()?.try_into().ok()?;
    let auth_message = format!("{so_far},{without_proof}");
    let mut client_key = hmac(&entry.stored_key, &[auth_message.as_bytes()]);
    client_key.iter_mut().zip(proof).for_each(|(key, octet)| *key ^= octet);
    // Compared as codes of the keys, which takes as long wherever they differ.
    let claimed: Hash = Sha256::digest(client_key).into();
    if keyed(nonce.as_bytes(), &[&claimed]).verify_slice(&hmac(nonce.as_bytes(), &[&entry.stored_key])).is_err() {
        return Some(Step::Refused);
    }
    let signature = hmac(&entry.server_key, &[auth_message.as_bytes()]);
    Some(Step::Challenge(format!("v={}", Base64::encode_string(&signature)).into_bytes()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::session::accounts::tests::cheap;

    /// What a client says last (RFC 5802 §3) after `first`, without its GS2 header, and our `challenge`.
    pub(crate) fn client_final(password: &str, salt: &[u8], iterations: u32, first: &str, challenge: &str) -> String {
        let nonce = challenge.split(',').next().unwrap();
        let without_proof = format!("c=biws,{nonce}");
        let mut client_key = hmac(&hi(password.as_bytes(), salt, iterations), &[b"Client Key"]);
        let stored_key: Hash = Sha256::digest(client_key).into();
        let signature = hmac(&stored_key, &[format!("{first},{challenge},{without_proof}").as_bytes()]);
        client_key.iter_mut().zip(signature).for_each(|(key, octet)| *key ^= octet);
        format!("{without_proof},p={}", Base64::encode_string(&client_key))
    }

    /// The exchange of RFC 7677 §3, whose server nonce is put in the place of ours.
    fn rfc_7677(password: &str) -> Scram {
        let salt = Base64::decode_vec("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let entry = Entry::derive(password.as_bytes(), &salt, 4_096).to_string();
        let accounts = cheap(&[("user", password)]).with_scram("user", &entry).unwrap();
        let mut scram = Scram::new(Arc::new(accounts), [0; 18]);
        scram.nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into();
        scram
    }

    const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &[u8] = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const FINAL: &[u8] =
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    #[test]
    fn the_exchange_of_rfc_7677_is_proven() {
        let mut scram = rfc_7677("pencil");
        assert_eq!(scram.step(FIRST), Step::Challenge(CHALLENGE.to_vec()));
        let answer = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_vec();
        assert_eq!(scram.step(FINAL), Step::Challenge(answer));
        assert_eq!(scram.step(b""), Step::Proven("user".into()));
        assert_eq!(scram.step(b""), Step::Malformed);
    }

    #[test]
    fn another_password_a_bent_message_and_a_replay_are_refused() {
        let mut other = rfc_7677("pencils");
        assert_eq!(other.step(FIRST), Step::Challenge(CHALLENGE.to_vec()));
        assert_eq!(other.step(FINAL), Step::Refused);
        let mut replayed = rfc_7677("pencil");
        replayed.nonce = "another".into();
        replayed.step(FIRST);
        assert_eq!(replayed.step(FINAL), Step::Refused);
        let mut bound = rfc_7677("pencil");
        bound.step(b"y,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(bound.step(FINAL), Step::Refused, "the first message is not what the last one says it was");
        for first in ["", "n,,", "p=tls-unique,,n=user,r=a", "n,,n=user", "n,,n=user,r=", "n,n=user,r=a"] {
            assert_eq!(rfc_7677("pencil").step(first.as_bytes()), Step::Malformed, "{first}");
        }
        assert_eq!(rfc_7677("pencil").step(b"n,a=bob,n=user,r=a"), Step::Refused);
    }

    #[test]
    fn a_name_that_is_not_there_is_asked_as_any_other_and_always_the_same() {
        let ask = || {
            let mut scram = rfc_7677("pencil");
            let step = scram.step(b"n,,n=nobody,r=abc");
            (step, scram)
        };
        let (one, mut scram) = ask();
        assert!(matches!(&one, Step::Challenge(_)));
        assert_eq!(one, ask().0);
        let last = String::from_utf8(FINAL.to_vec()).unwrap().replace("rOprNGfwEbeRWgbNEkqO", "abc");
        assert_eq!(scram.step(last.as_bytes()), Step::Refused);
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let entry = Entry::derive(b"pencil", b"salt", 2);
        assert_eq!(Entry::parse(&entry.to_string()), Some(entry));
        for text in ["", "SCRAM-SHA-256$", "SCRAM-SHA-256$0:c2FsdA==$a:b", "SCRAM-SHA-256$1:c2FsdA==$YQ==:YQ=="] {
            assert_eq!(Entry::parse(text), None, "{text}");
        }
    }
}
