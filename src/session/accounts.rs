//! The people who have something here: names and Argon2id hashes of their passwords (RFC 9106), as PHC
//! strings from the configuration.
//!
//! A name is also part of paths (`mail/{user}`), so the names are few characters and can't climb out of a
//! folder. To check a password costs the same whether the name exists or not: unknown names are checked
//! against the hash of an account that does, and refused whatever comes out.
//!
//! Not here: where the work is done ([`crate::session::verifier`]) and what failures cost
//! ([`crate::session::throttle`]).

use crate::session::rights::{Rights, Service};
use crate::session::sasl::scram::Entry;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The longest account name.
pub const NAME_LENGTH: usize = 64;
/// The longest password that is looked at: a longer one is refused. Hashing is linear in it.
pub const PASSWORD_LENGTH: usize = 1_024;

/// A hash of nothing anybody knows, with the parameters of [`hash`]: the work for names when there is no
/// account at all.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGtub3dzIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why an account can't be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccountError {
    /// The name is empty, too long, or has a character that may not be in a name.
    Name(String),
    /// The name is there twice.
    Duplicate(String),
    /// The password is not an Argon2 hash as a PHC string.
    Hash(String),
    /// The SCRAM entry is none, or of no account.
    Scram(String),
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccountError::Name(name) => write!(
                f,
                "account name {name:?}: use 1 to {NAME_LENGTH} of a-z A-Z 0-9 . _ - + @, not beginning with a dot"
            ),
            AccountError::Duplicate(name) => write!(f, "account {name:?} is there twice"),
            AccountError::Hash(name) => {
                write!(f, "the password of account {name:?} is not an Argon2 hash; make one with `tapstack password`")
            }
            AccountError::Scram(name) => {
                write!(
                    f,
                    "the scram of account {name:?} is not a SCRAM-SHA-256 entry; make one with `tapstack password`"
                )
            }
        }
    }
}

impl std::error::Error for AccountError {}

/// All accounts.
#[derive(Clone)]
pub struct Accounts {
    by_name: BTreeMap<String, PasswordHash>,
    scram: BTreeMap<String, Entry>,
    /// Of those that have other rights than all have.
    rights: BTreeMap<String, Rights>,
    /// Those whose owners can change their password.
    of_book: BTreeSet<String>,
    decoy: Option<PasswordHash>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

impl Accounts {
    /// The accounts of pairs of name and PHC string.
    pub fn new<N, H>(pairs: impl IntoIterator<Item = (N, H)>) -> Result<Self, AccountError>
    where
        N: Into<String>,
        H: AsRef<str>,
    {
        let mut by_name = BTreeMap::new();
        for (name, hash) in pairs {
            let name = name.into();
            if !is_name(&name) {
                return Err(AccountError::Name(name));
            }
            let Some(hash) = parse(hash.as_ref()) else {
                return Err(AccountError::Hash(name));
            };
            if by_name.insert(name.clone(), hash).is_some() {
                return Err(AccountError::Duplicate(name));
            }
        }
        let decoy = by_name.values().next().cloned().or_else(|| parse(DECOY));
        Ok(Accounts { by_name, scram: BTreeMap::new(), rights: BTreeMap::new(), of_book: BTreeSet::new(), decoy })
    }

    /// The same with the rights of one.
    #[must_use]
    pub fn with_rights(mut self, name: &str, rights: Rights) -> Self {
        self.rights.insert(name.into(), rights);
        self
    }

    /// The same with one that is in the book, so that its owner can change its password.
    #[must_use]
    pub fn with_book(mut self, name: &str) -> Self {
        self.of_book.insert(name.into());
        self
    }

    /// The same with another password of one.
    ///
    /// # Errors
    /// There is no such account, or these are not what is kept of a password.
    pub fn with_password(mut self, name: &str, hash: &str, scram: Option<&str>) -> Result<Self, AccountError> {
        let parsed = parse(hash).filter(|_| self.by_name.contains_key(name));
        self.by_name.insert(name.into(), parsed.ok_or_else(|| AccountError::Hash(name.into()))?);
        self.scram.remove(name);
        match scram {
            Some(entry) => self.with_scram(name, entry),
            None => Ok(self),
        }
    }

    /// True if there is such an account, for this service.
    pub fn admits(&self, name: &str, service: Service) -> bool {
        self.by_name.contains_key(name) && self.rights.get(name).is_none_or(|rights| rights.allow(service))
    }

    /// True if there is such an account with one of these roles.
    pub fn has_one_of(&self, name: &str, roles: &[String]) -> bool {
        self.by_name.contains_key(name) && self.rights.get(name).is_some_and(|rights| rights.have_one_of(roles))
    }

    /// True if its owner can change its password: what the configuration says of an account is the configuration's.
    pub fn is_of_book(&self, name: &str) -> bool {
        self.of_book.contains(name)
    }

    /// What is different once the account has another password, and tells nothing of either.
    pub fn mark(&self, name: &str) -> Option<[u8; 32]> {
        Some(Sha256::digest(self.by_name.get(name)?.to_string()).into())
    }

    /// The same, with what SCRAM needs of an account's password.
    ///
    /// # Errors
    /// It is no such thing, or there is no such account.
    pub fn with_scram(mut self, name: &str, entry: &str) -> Result<Self, AccountError> {
        let entry = Entry::parse(entry).filter(|_| self.by_name.contains_key(name));
        self.scram.insert(name.into(), entry.ok_or_else(|| AccountError::Scram(name.into()))?);
        Ok(self)
    }

    /// What SCRAM needs of an account's password, where it is there.
    pub fn scram(&self, name: &str) -> Option<&Entry> {
        self.scram.get(name)
    }

    /// True if SCRAM can be offered: a client that chooses it must not fail for an account that has no entry.
    pub fn all_have_scram(&self) -> bool {
        !self.by_name.is_empty() && self.scram.len() == self.by_name.len()
    }

    /// A secret that is the same as long as the entries are.
    pub(crate) fn decoy_secret(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        self.scram.values().for_each(|entry| digest.update(entry.to_string()));
        digest.finalize().into()
    }

    /// The account of a name that may be written in other cases, if only one can be meant.
    pub fn find(&self, name: &str) -> Option<&str> {
        if let Some((name, _)) = self.by_name.get_key_value(name) {
            return Some(name);
        }
        let mut alike = self.names().filter(|known| known.eq_ignore_ascii_case(name));
        alike.next().filter(|_| alike.next().is_none())
    }

    /// True if there is no account.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// True if there is such an account and this is its password. Takes tens of milliseconds and
    /// mebibytes of memory on purpose; see [`crate::session::verifier`].
    pub fn verify(&self, name: &str, password: &[u8]) -> bool {
        if password.len() > PASSWORD_LENGTH {
            return false;
        }
        let known = self.by_name.get(name);
        let Some(hash) = known.or(self.decoy.as_ref()) else {
            return false;
        };
        let matches = Argon2::default().verify_password(password, hash).is_ok();
        matches && known.is_some()
    }
}

/// True for what may be the name of an account, and so a part of a path.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_LENGTH).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"._-+@".contains(&octet))
}

/// A PHC string that [`Accounts::verify`] can work with.
fn parse(text: &str) -> Option<PasswordHash> {
    let hash = PasswordHash::new(text).ok()?;
    let complete = hash.algorithm.as_str().starts_with("argon2") && hash.salt.is_some() && hash.hash.is_some();
    let usable =
        argon2::Algorithm::try_from(hash.algorithm.as_str()).is_ok() && argon2::Params::try_from(&hash).is_ok();
    (complete && usable).then_some(hash)
}

/// A password could not be hashed: the system's randomness or memory failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HashError(argon2::password_hash::Error);

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the password could not be hashed: {}", self.0)
    }
}

impl std::error::Error for HashError {}

/// The PHC string of a password with a salt of its own: Argon2id, 19 MiB, two passes (the second of the
/// equivalent choices that OWASP gives for servers).
pub fn hash(password: &[u8]) -> Result<String, HashError> {
    Argon2::default().hash_password(password).map(|hash| hash.to_string()).map_err(HashError)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Hashes that cost next to nothing, for tests of everything but the hash.
    pub(crate) fn cheap(pairs: &[(&str, &str)]) -> Accounts {
        Accounts::new(pairs.iter().map(|(name, password)| (*name, cheap_hash(password)))).unwrap()
    }

    /// One such hash.
    pub(crate) fn cheap_hash(password: &str) -> String {
        let params = argon2::Params::new(8, 1, 1, None).unwrap();
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let hash: PasswordHash = argon2.hash_password_with_salt(password.as_bytes(), b"saltsalt").unwrap();
        hash.to_string()
    }

    #[test]
    fn the_right_password_of_the_right_name_is_accepted_and_nothing_else() {
        let accounts = cheap(&[("alice", "wonder land"), ("bob", "")]);
        assert!(accounts.verify("alice", b"wonder land"));
        assert!(accounts.verify("bob", b""));
        assert!(!accounts.verify("alice", b"wonderland"));
        assert!(!accounts.verify("alice", b""));
        assert!(!accounts.verify("Alice", b"wonder land"));
        assert!(!accounts.verify("bob", b"wonder land"));
    }

    #[test]
    fn rights_are_those_of_one_account_and_nobody_has_what_was_not_given() {
        let rights = Rights { roles: vec!["admin".into()], services: Some(vec![Service::Web]) };
        let accounts = cheap(&[("alice", "a"), ("bob", "b")]).with_rights("alice", rights).with_book("bob");
        assert!(accounts.admits("alice", Service::Web) && !accounts.admits("alice", Service::Pop3));
        assert!(accounts.admits("bob", Service::Pop3) && !accounts.admits("eve", Service::Web));
        let (admin, staff) = (["admin".to_owned()], ["staff".to_owned()]);
        assert!(accounts.has_one_of("alice", &admin) && !accounts.has_one_of("alice", &staff));
        assert!(!accounts.has_one_of("bob", &admin) && !accounts.has_one_of("eve", &admin));
        assert!(accounts.is_of_book("bob") && !accounts.is_of_book("alice"));
    }

    #[test]
    fn another_password_is_another_mark() {
        let (one, other) = (cheap(&[("alice", "a")]), cheap(&[("alice", "b")]));
        assert_eq!(one.mark("alice"), one.clone().mark("alice"));
        assert_ne!(one.mark("alice"), other.mark("alice"));
        assert_eq!(one.mark("bob"), None);
        let hash = other.by_name["alice"].to_string();
        let changed = one.clone().with_password("alice", &hash, None).unwrap();
        assert!(changed.verify("alice", b"b") && !changed.verify("alice", b"a"));
        assert_eq!(changed.mark("alice"), other.mark("alice"));
        assert!(one.clone().with_password("bob", &hash, None).is_err());
        assert!(one.with_password("alice", "b", None).is_err());
    }

    #[test]
    fn an_unknown_name_is_refused_even_with_the_password_it_is_checked_against() {
        let accounts = cheap(&[("alice", "secret")]);
        assert!(!accounts.verify("nobody", b"secret"));
    }

    #[test]
    fn without_any_account_the_work_is_still_done_and_everyone_is_refused() {
        let nobody = Accounts::new::<String, String>([]).unwrap();
        assert!(nobody.decoy.is_some());
        assert!(!nobody.verify("alice", b"secret"));
    }

    #[test]
    fn a_hash_made_here_is_salted_and_verifies() {
        let (one, two) = (hash(b"secret").unwrap(), hash(b"secret").unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        let accounts = Accounts::new([("alice", one)]).unwrap();
        assert!(accounts.verify("alice", b"secret"));
        assert!(!accounts.verify("alice", b"Secret"));
    }

    #[test]
    fn names_that_could_leave_a_folder_are_refused() {
        let hash = cheap(&[("a", "b")]).by_name["a"].to_string();
        for name in ["", ".", "..", ".hidden", "a/b", "../a", "a\0", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert_eq!(
                Accounts::new([(name, hash.as_str())]).unwrap_err(),
                AccountError::Name(name.into()),
                "{name:?}"
            );
        }
        for name in ["a", "alice", "alice@example.org", "a.b-c_d+e", &"x".repeat(64)] {
            assert!(Accounts::new([(name, hash.as_str())]).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn what_is_not_an_argon2_hash_is_refused_at_the_start() {
        for hash in [
            "",
            "secret",
            "$5$abc",
            "$argon2id$",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ",
            "$scrypt$ln=1$c2FsdHNhbHQ$c2FsdHNhbHQ",
        ] {
            assert_eq!(Accounts::new([("a", hash)]).unwrap_err(), AccountError::Hash("a".into()), "{hash}");
        }
        let good = cheap(&[("a", "b")]).by_name["a"].to_string();
        assert_eq!(
            Accounts::new([("a", good.as_str()), ("a", good.as_str())]).unwrap_err(),
            AccountError::Duplicate("a".into())
        );
    }
}
