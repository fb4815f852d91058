//! What takes a login: paths, who may see them, and the proof of who asks (RFC 9110 §11, RFC 7617).
//!
//! The password comes with every request. It is checked on a thread of its own, and what failures cost is shared with
//! everything else that takes passwords; a proof that was found good is remembered for a minute, under a keyed digest,
//! as long as the accounts are the same.

use super::answer;
use super::body::Body;
use super::guard::Names;
use super::host::PathPrefix;
use crate::base::hash::HashKey;
use crate::base::limits::HTTP_PROOFS;
use crate::base::lru::LruMap;
use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
use crate::session::accounts::Accounts;
use crate::session::clock::Clock;
use crate::session::entrance::{Entrance, Entry};
use base64ct::{Base64, Encoding};
use http::header::{ACCEPT, AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// How long a proof is good without being checked again.
const MEMORY: Duration = Duration::from_secs(60);
/// The longest name and password together, encoded.
const LENGTH: usize = 1_024;

/// Paths that take a login.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Realm {
    /// Where it begins.
    pub path: PathPrefix,
    /// What people are told that they log in to.
    pub name: String,
    /// Who may.
    pub accounts: Vec<String>,
    /// Who has one of these roles may, too; with neither accounts nor roles everybody who has an account.
    pub roles: Vec<String>,
    /// People with a browser log in on a page of ours.
    pub by_form: bool,
}

impl Realm {
    /// The innermost of the realms that a path is in.
    pub(super) fn of<'a>(realms: &'a [Realm], names: &Names<'_>) -> Option<&'a Realm> {
        realms.iter().filter(|realm| realm.path.covers(names)).max_by_key(|realm| realm.path.depth())
    }

    /// True if this account may, of those there are.
    pub(super) fn admits(&self, account: &str, all: &Accounts) -> bool {
        (self.accounts.is_empty() && self.roles.is_empty())
            || self.accounts.iter().any(|name| name == account)
            || all.has_one_of(account, &self.roles)
    }

    /// True if who asks is to be led to the form.
    pub(super) fn shows_form(&self, head: &Parts) -> bool {
        let accepts = head.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let takes_pages = accepts.flat_map(|value| value.split(',')).any(|range| {
            let range = range.split(';').next().unwrap_or_default().trim();
            range.eq_ignore_ascii_case("text/html") || range.eq_ignore_ascii_case("application/xhtml+xml")
        });
        let is_look = matches!(head.method, Method::GET | Method::HEAD);
        self.by_form && is_look && takes_pages && !head.headers.contains_key(AUTHORIZATION)
    }

    /// Asks for a login (RFC 7617 §2).
    pub(super) fn challenge(&self) -> Response<Body> {
        let mut response = answer::status(StatusCode::UNAUTHORIZED);
        let name: String = self.name.chars().filter(|char| !matches!(char, '"' | '\\') && !char.is_control()).collect();
        let challenge = format!("Basic realm=\"{name}\", charset=\"UTF-8\"");
        answer::insert(response.headers_mut(), WWW_AUTHENTICATE, &challenge);
        response
    }
}

/// Why nobody was logged in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// Name and password don't belong together, or are none.
    Wrong,
    /// Too many failures from there.
    Throttled,
    /// Too many checks at once.
    Busy,
}

impl Refused {
    /// The answer, in the realm that was asked for.
    pub(super) fn answer(self, realm: Option<&Realm>) -> Response<Body> {
        let (status, seconds) = match self {
            Refused::Wrong => return realm.map_or_else(|| answer::status(StatusCode::UNAUTHORIZED), Realm::challenge),
            Refused::Throttled => (StatusCode::TOO_MANY_REQUESTS, "60"),
            Refused::Busy => (StatusCode::SERVICE_UNAVAILABLE, "1"),
        };
        let mut response = answer::status(status);
        answer::insert(response.headers_mut(), RETRY_AFTER, seconds);
        response
    }
}

/// A proof that was good.
struct Proof {
    until: Instant,
    accounts: Arc<Accounts>,
}

/// Who is who.
pub struct Login {
    clock: Rc<dyn Clock>,
    entrance: Entrance,
    secret: [u8; 32],
    proofs: RefCell<LruMap<[u8; 32], Proof>>,
}

impl Login {
    /// Logins by `entrance`.
    pub fn new(clock: Rc<dyn Clock>, entrance: Entrance, mut random: Random) -> Self {
        let mut secret = [0; 32];
        random.fill(&mut secret);
        let proofs = RefCell::new(LruMap::new(HTTP_PROOFS, HashKey::random(&mut random)));
        Login { clock, entrance, secret, proofs }
    }

    /// The way in.
    pub(super) fn entrance(&self) -> &Entrance {
        &self.entrance
    }

    /// The account that a request proves to come from.
    pub(super) async fn prove(&self, peer: IpAddr, headers: &HeaderMap) -> Result<String, Refused> {
        let (name, password) = credentials(headers).ok_or(Refused::Wrong)?;
        let digest = self.digest(&name, &password);
        if self.remembers(&digest) {
            return Ok(name);
        }
        // Taken before they are looked at: a proof by accounts that were replaced meanwhile is not remembered.
        let accounts = self.entrance.verifier().accounts();
        match self.entrance.by_password(peer, &name, &password).await {
            Entry::Admitted => {
                let until = self.clock.now() + MEMORY;
                self.proofs.borrow_mut().insert(digest, Proof { until, accounts });
                Ok(name)
            }
            Entry::Refused => {
                log::debug!(target: "tapstack::http", "{peer}: login as {name:?} refused");
                Err(Refused::Wrong)
            }
            Entry::Busy => Err(Refused::Busy),
            Entry::Throttled => Err(Refused::Throttled),
        }
    }

    fn digest(&self, name: &str, password: &[u8]) -> [u8; 32] {
        // A name has no NUL in it: the two can't be cut in another place.
        Sha256::new()
            .chain_update(self.secret)
            .chain_update(name)
            .chain_update([0])
            .chain_update(password)
            .finalize()
            .into()
    }

    fn remembers(&self, digest: &[u8; 32]) -> bool {
        let mut proofs = self.proofs.borrow_mut();
        let is_good = |proof: &&mut Proof| {
            proof.until > self.clock.now() && Arc::ptr_eq(&proof.accounts, &self.entrance.verifier().accounts())
        };
        proofs.touch(digest).as_ref().is_some_and(is_good)
    }
}

/// The name and password of a request (RFC 7617 §2), if there are any.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (field, None) = (fields.next()?.as_bytes(), fields.next()) else { return None };
    let (scheme, token) = field.split_at_checked(field.iter().position(|octet| *octet == b' ')?)?;
    if !scheme.eq_ignore_ascii_case(b"basic") || token.len() > LENGTH {
        return None;
    }
    let pair = Base64::decode_vec(std::str::from_utf8(token.trim_ascii()).ok()?).ok()?;
    let colon = pair.iter().position(|octet| *octet == b':')?;
    let name = std::str::from_utf8(pair.get(..colon)?).ok()?;
    (!name.contains('\0')).then(|| (name.to_owned(), pair.get(colon + 1..).unwrap_or_default().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn credentials_are_read_as_rfc_7617_has_them() {
        for (field, expected) in [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some(("Aladdin", "open sesame"))),
            ("bASIC  QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some(("Aladdin", "open sesame"))),
            ("Basic YTpiOmM=", Some(("a", "b:c"))),
            ("Basic Og==", Some(("", ""))),
            ("Basic YQ==", None),
            ("Basic", None),
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", None),
            ("Bearer YTpi", None),
            ("Basic YQA6Yg==", None),
        ] {
            let headers = [(AUTHORIZATION, HeaderValue::from_static(field))].into_iter().collect();
            let found = credentials(&headers);
            let found = found.as_ref().map(|(name, password)| (name.as_str(), std::str::from_utf8(password).unwrap()));
            assert_eq!(found, expected, "{field}");
        }
        let twice = [(); 2].map(|()| (AUTHORIZATION, HeaderValue::from_static("Basic Og==")));
        assert_eq!(credentials(&HeaderMap::from_iter(twice)), None);
    }
}
