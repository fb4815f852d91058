//! One mail transaction: who sends, whom it is for, and how it ends (RFC 5321 §3.3, RFC 2033 §4.2).

use super::address::Address;
use super::command::Mail;
use super::incoming::Incoming;
use super::reply::{self, Reply};
use crate::base::time::Duration;
use crate::session::errands::Errands;
use std::io;
use std::path::PathBuf;

/// A message from MAIL to its end.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) mail: Mail,
    /// Each accepted address, with its place among the Maildirs: two addresses may be the same person.
    recipients: Vec<(Address, usize)>,
    maildirs: Vec<PathBuf>,
    /// What came in chunks so far.
    pub(super) chunks: Option<Incoming>,
}

impl Transaction {
    pub(super) fn new(mail: Mail) -> Self {
        Transaction { mail, recipients: Vec::new(), maildirs: Vec::new(), chunks: None }
    }

    pub(super) fn add(&mut self, address: Address, maildir: PathBuf) {
        let place = self.maildirs.iter().position(|known| *known == maildir).unwrap_or_else(|| {
            self.maildirs.push(maildir);
            self.maildirs.len() - 1
        });
        self.recipients.push((address, place));
    }

    /// How many recipients were accepted.
    pub(super) fn len(&self) -> usize {
        self.recipients.len()
    }

    /// The recipient, if there is only one.
    pub(super) fn only_recipient(&self) -> Option<&Address> {
        match &self.recipients[..] {
            [(address, _)] => Some(address),
            _ => None,
        }
    }

    /// The Maildirs of all of them.
    pub(super) fn maildirs(&self) -> Vec<PathBuf> {
        self.maildirs.clone()
    }

    /// Delivers the message. Gives the replies: one for all, or with `each` one for each recipient.
    pub(super) async fn deliver(
        self,
        message: Incoming,
        errands: &Errands,
        since_1970: Duration,
        each: bool,
    ) -> Vec<Reply> {
        let count = if each { self.recipients.len() } else { 1 };
        let (mut draft, rest) = match message.into_draft() {
            Ok(message) => message,
            Err(reply) => return vec![reply; count],
        };
        let taken = Reply::new(250, "2.0.0", format!("delivered as {}", draft.name()));
        let delivery = errands.send(move || {
            draft.append(&rest);
            draft.deliver(since_1970, !each)
        });
        let Ok(results) = delivery.await else { return vec![reply::BUSY; count] };
        let answer = |place: usize| match results.get(place) {
            Some(Ok(())) => taken.clone(),
            Some(Err(error)) => trouble(error),
            None => reply::DISK_TROUBLE,
        };
        if each { self.recipients.iter().map(|(_, place)| answer(*place)).collect() } else { vec![answer(0)] }
    }
}

/// How to tell of trouble with the disk: whatever it is, the client is to come back later, so that no mail is lost to
/// what a person can put right.
fn trouble(error: &io::Error) -> Reply {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    if error.kind() == QuotaExceeded {
        return reply::MAILBOX_FULL;
    }
    log::warn!(target: "tapstack::smtp", "a message can't be stored: {error}");
    match error.kind() {
        StorageFull | FileTooLarge => reply::DISK_FULL,
        _ => reply::DISK_TROUBLE,
    }
}
