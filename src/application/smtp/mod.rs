//! SMTP: mail comes in, into the Maildirs of accounts (RFC 5321, RFC 2033, RFC 3207, RFC 6409).
//!
//! ```text
//!   connect -> greeting --EHLO--> ready --MAIL, RCPT ...--> DATA or BDAT --> delivered, on the disk --250--> ready
//!                 ^----STARTTLS-----|  ^______________________________RSET________________________|
//!                                   `--QUIT, silence, too many mistakes--> close
//! ```
//!
//! Three roles with one conversation: mail from anywhere for our own domains (port 25), mail that a neighbouring server
//! hands over (LMTP, where each recipient has a reply of its own), and mail that our own people send (submission, which
//! begins with AUTH). Nothing is relayed: there is no queue.
//!
//! [`command`] reads a line, [`address`] what stands in its brackets, [`reply`] is what can be answered, [`conversation`]
//! says what is possible when, [`incoming`] is a message on its way in, [`trace`] the fields it gets from us, [`visitors`]
//! what one client may have. Extensions: PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8
//! (RFC 6531), CHUNKING (RFC 3030), ENHANCEDSTATUSCODES (RFC 2034), STARTTLS (RFC 3207), AUTH (RFC 4954).
//!
//! Not here: BINARYMIME, DSN, and any judgement of what mail says.

pub mod address;
pub mod command;
mod conversation;
mod incoming;
pub mod reply;
mod trace;
mod transaction;
mod visitors;

pub use conversation::converse;
pub use visitors::Visitors;

use self::address::Address;
use self::reply::Reply;
use crate::application::mailbox::Mailboxes;
use crate::application::server::{self, Accept, Bounds, Connection, Shutdown};
use crate::base::time::Duration;
use crate::presentation::tls::{Acceptor, TlsStream};
use crate::session::clock::Clock;
use crate::session::entrance::Entrance;
use crate::session::errands::Errands;
use std::rc::Rc;

/// Whose mail it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Anybody's, for our domains.
    Receive,
    /// A neighbouring server's (RFC 2033).
    Lmtp,
    /// Our own people's (RFC 6409).
    Submission,
}

/// What the service is told by its configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who we are.
    pub host: String,
    /// What stands behind the @ of our people's addresses.
    pub domains: Vec<String>,
    /// The account that gets what is for `postmaster`; by default one of that name, or the first there is.
    pub postmaster: Option<String>,
    /// The largest message.
    pub message_size: u64,
    /// People one message may be for.
    pub recipients: usize,
    /// Mistakes on one connection.
    pub mistakes: u32,
    /// Connections of one client at once.
    pub client_connections: u32,
    /// Messages a second from one client; 0: as many as it likes.
    pub client_rate: u32,
    /// Passwords are taken without encryption.
    pub allow_plaintext_auth: bool,
    /// How long a client may be silent before a command (RFC 5321 §4.5.3.2.7: at least 5 minutes).
    pub idle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            host: "localhost".into(),
            domains: vec!["localhost".into()],
            postmaster: None,
            message_size: 25 << 20,
            recipients: 100,
            mistakes: 20,
            client_connections: 50,
            client_rate: 20,
            allow_plaintext_auth: false,
            idle: Duration::from_secs(300),
        }
    }
}

/// What all conversations of the service share.
pub struct Service {
    /// What it is told.
    pub config: Config,
    /// The time.
    pub clock: Rc<dyn Clock>,
    /// Who may come in, and who is here at all.
    pub entrance: Entrance,
    /// Where the mail goes.
    pub mailboxes: Mailboxes,
    /// Where the work on the disk is done.
    pub errands: Errands,
    /// Shared by the services of all threads.
    pub visitors: Visitors,
    /// What STARTTLS is done with; without it there is no STARTTLS.
    pub acceptor: Option<Acceptor>,
}

impl Service {
    /// The account that gets the mail of an address of ours.
    fn account_of(&self, address: &Address) -> Result<String, Reply> {
        let is_ours = |domain: &String| domain.eq_ignore_ascii_case(&address.domain);
        if !address.domain.is_empty() && !self.config.domains.iter().any(is_ours) {
            return Err(reply::NO_RELAY);
        }
        let accounts = self.entrance.verifier().accounts();
        let whole = address.to_string();
        let (local, _detail) = address.local.split_once('+').unwrap_or((&address.local, ""));
        let found = [whole.as_str(), &address.local, local].into_iter().find_map(|name| accounts.find(name));
        let postmaster = || {
            let chosen = self.config.postmaster.as_deref().and_then(|name| accounts.find(name));
            chosen.or_else(|| accounts.names().next()).filter(|_| address.is_postmaster())
        };
        found.or_else(postmaster).map(str::to_owned).ok_or(reply::NO_SUCH_USER)
    }
}

/// Serves connections until `shutdown` is asked for.
pub async fn serve<L, S>(listener: L, service: Rc<Service>, role: Role, bounds: Bounds, shutdown: Shutdown)
where
    L: Accept<Stream = TlsStream<S>>,
    S: Connection + Unpin,
{
    let name = match role {
        Role::Receive => "smtp",
        Role::Lmtp => "lmtp",
        Role::Submission => "submission",
    };
    let converse = |stream| converse(&service, role, stream, &shutdown);
    server::serve(name, listener, &*service.clock, bounds, &shutdown, converse).await;
}

#[cfg(test)]
mod tests;
