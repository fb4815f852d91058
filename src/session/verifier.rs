//! Where passwords are checked: on a thread of its own ([`super::errands`]), because a check takes tens of
//! milliseconds by design and the event loop may not stand still that long.
//!
//! One check at a time bounds processor and memory, and what waits is bounded; an attempt that finds too many
//! waiting is told so at once.

use crate::session::accounts::{self, Accounts, HashError};
use crate::session::errands::{Errand, Errands};
use crate::session::sasl::scram::Entry;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// Checks that wait while one is done.
const QUEUE: usize = 64;

/// What came of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Name and password belong together.
    Accepted,
    /// They don't.
    Refused,
    /// Too many checks are waiting, or the worker is gone.
    Busy,
}

/// Checks passwords. Clones share the accounts and the worker, also those on other threads.
#[derive(Clone, Debug)]
pub struct Verifier {
    accounts: Arc<Mutex<Arc<Accounts>>>,
    /// Held by whoever makes other accounts of these, so that no change is lost.
    change: Arc<Mutex<()>>,
    errands: Errands,
}

impl Verifier {
    /// Checks in place, on the caller's thread: for simulations and tests.
    pub fn inline(accounts: Accounts) -> Self {
        let accounts = Arc::new(Mutex::new(Arc::new(accounts)));
        Verifier { accounts, change: Arc::default(), errands: Errands::inline() }
    }

    /// Checks on a thread that ends with the last clone. `wake` is called after each verdict, to get the
    /// event loop out of its wait; the task's own waker is called before it.
    ///
    /// # Errors
    /// The thread can't be had.
    pub fn spawn(accounts: Accounts, wake: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        Ok(Verifier { errands: Errands::spawn("passwords", 1, QUEUE, wake)?, ..Verifier::inline(accounts) })
    }

    /// The same accounts and worker for the event loop of another thread, which `wake` gets out of its wait.
    #[must_use]
    pub fn waking(&self, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Verifier { errands: self.errands.waking(wake), ..self.clone() }
    }

    /// Puts other accounts in place, for checks that begin after this.
    pub fn replace(&self, accounts: Accounts) {
        *lock(&self.accounts) = Arc::new(accounts);
    }

    /// Puts in place what `make` makes of the accounts as they are, one change after the other. What it reads or writes
    /// meanwhile nobody else does who changes them here.
    ///
    /// # Errors
    /// Those of `make`; then they stay as they are.
    pub fn change<E>(&self, make: impl FnOnce(&Accounts) -> Result<Accounts, E>) -> Result<(), E> {
        let _turn = lock(&self.change);
        self.replace(make(&self.accounts())?);
        Ok(())
    }

    /// What is kept of a new password: the PHC string, and what SCRAM needs of it if it takes such a password. Worked out
    /// where passwords are checked.
    pub fn prepare(&self, password: &[u8], salt: [u8; 16]) -> Errand<Result<(String, Option<String>), HashError>> {
        let password = password.to_owned();
        self.errands.send(move || {
            let scram = Entry::of(&password, &salt).map(|entry| entry.to_string());
            Ok((accounts::hash(&password)?, scram))
        })
    }

    /// The accounts as they are.
    pub fn accounts(&self) -> Arc<Accounts> {
        Arc::clone(&lock(&self.accounts))
    }

    /// Checks a name and a password.
    pub fn verify(&self, name: &str, password: &[u8]) -> Check {
        let (accounts, name, password) = (self.accounts(), name.to_owned(), password.to_owned());
        Check(self.errands.send(move || accounts.verify(&name, &password)))
    }
}

/// A check under way; completes with its verdict.
#[derive(Debug)]
pub struct Check(Errand<bool>);

impl Future for Check {
    type Output = Verdict;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict> {
        Pin::new(&mut self.0).poll(cx).map(|answer| match answer {
            Ok(true) => Verdict::Accepted,
            Ok(false) => Verdict::Refused,
            Err(_) => Verdict::Busy,
        })
    }
}

/// What is behind the lock is set at once, so a panic elsewhere leaves nothing half done in it.
fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::accounts::tests::cheap;
    use futures_executor::block_on;

    #[test]
    fn the_worker_answers() {
        let verifier = Verifier::spawn(cheap(&[("alice", "secret")]), || {}).unwrap();
        assert_eq!(block_on(verifier.verify("alice", b"secret")), Verdict::Accepted);
        assert_eq!(block_on(verifier.verify("alice", b"Secret")), Verdict::Refused);
        assert_eq!(block_on(verifier.verify("bob", b"secret")), Verdict::Refused);
    }

    #[test]
    fn new_accounts_hold_from_the_next_check_on() {
        let verifier = Verifier::inline(cheap(&[("alice", "old")]));
        assert_eq!(block_on(verifier.verify("alice", b"old")), Verdict::Accepted);
        verifier.clone().replace(cheap(&[("alice", "new")]));
        assert_eq!(block_on(verifier.verify("alice", b"old")), Verdict::Refused);
        assert_eq!(block_on(verifier.verify("alice", b"new")), Verdict::Accepted);
    }

    #[test]
    fn a_change_is_made_of_the_accounts_as_they_are_or_not_at_all() {
        let verifier = Verifier::inline(cheap(&[("alice", "old")]));
        let (hash, scram) = block_on(verifier.prepare(b"new word", [1; 16])).unwrap().unwrap();
        verifier.change(|now| now.clone().with_password("alice", &hash, scram.as_deref())).unwrap();
        assert_eq!(block_on(verifier.verify("alice", b"new word")), Verdict::Accepted);
        assert!(verifier.accounts().all_have_scram());
        assert!(verifier.change(|now| now.clone().with_password("bob", &hash, None)).is_err());
        assert_eq!(block_on(verifier.verify("alice", b"new word")), Verdict::Accepted);
        assert_eq!(block_on(verifier.prepare("grün".as_bytes(), [1; 16])).unwrap().unwrap().1, None);
    }
}
