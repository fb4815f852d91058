//! POP3: people fetch their mail from Maildirs (RFC 1939, RFC 2449, RFC 2595, RFC 3206, RFC 5034,
//! RFC 6856).
//!
//! ```text
//!   connect -> AUTHORIZATION --USER, PASS--> TRANSACTION --QUIT--> UPDATE -> close
//!                  |  ^___STLS                    |
//!                  `--QUIT, 3 failures-> close    `--loss, 10 minutes of silence-> close, nothing deleted
//! ```
//!
//! [`command`] reads a line as a command, [`conversation`] holds the three states, [`maildrop`] is the mail.
//! Capabilities: TOP, UIDL, USER, SASL, STLS, PIPELINING, RESP-CODES, AUTH-RESP-CODE, EXPIRE NEVER, LOGIN-DELAY, UTF8, LANG
//! (RFC 6856), IMPLEMENTATION. Not here: APOP (it needs passwords in clear text at rest).

pub mod command;
mod conversation;
pub mod maildrop;

pub use conversation::converse;

use crate::application::mailbox::Mailboxes;
use crate::application::server::{self, Accept, Bounds, Connection, Shutdown};
use crate::base::time::{Duration, Instant};
use crate::presentation::tls::{Acceptor, TlsStream};
use crate::session::clock::Clock;
use crate::session::entrance::Entrance;
use crate::session::errands::Errands;
use crate::session::sasl::Mechanism;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

/// What the service is told by its configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a client may be silent (RFC 1939 §3: at least 10 minutes).
    pub idle: Duration,
    /// How long a command that has begun may take to come to its end.
    pub command: Duration,
    /// Failed logins on one connection.
    pub failures: u32,
    /// Commands that are none, or out of place, on one connection.
    pub mistakes: u32,
    /// The least time between two logins of one account (RFC 2449 §6.5); zero: any.
    pub login_delay: Duration,
    /// Logins are taken without encryption.
    pub allow_plaintext_auth: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            idle: Duration::from_secs(600),
            command: Duration::from_secs(60),
            failures: 3,
            mistakes: 10,
            login_delay: Duration::ZERO,
            allow_plaintext_auth: true,
        }
    }
}

/// When each account logged in last, for all threads together: as many as there are accounts.
#[derive(Clone, Debug, Default)]
pub struct LoginDelays(Arc<Mutex<BTreeMap<String, Instant>>>);

impl LoginDelays {
    /// True if `user`, who has shown who it is, may log in `now`, which is then written down.
    fn admit(&self, user: &str, now: Instant, delay: Duration) -> bool {
        if delay.is_zero() {
            return true;
        }
        // No change is ever half done, so a panic elsewhere does no harm.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(user).is_some_and(|last| now.since(*last) < delay) {
            return false;
        }
        last.insert(user.to_owned(), now);
        true
    }
}

/// What all conversations of the service share.
pub struct Service {
    /// What it is told.
    pub config: Config,
    /// The time.
    pub clock: Rc<dyn Clock>,
    /// Who may come in.
    pub entrance: Entrance,
    /// Where the mail is.
    pub mailboxes: Mailboxes,
    /// Where the work on the disk is done.
    pub errands: Errands,
    /// Shared by the services of all threads.
    pub delays: LoginDelays,
    /// What STLS is done with; without it there is no STLS.
    pub acceptor: Option<Acceptor>,
}

impl Service {
    /// The mechanisms that are offered: LOGIN is not among those that POP3 clients ask for.
    fn mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        self.entrance.mechanisms().filter(|mechanism| *mechanism != Mechanism::Login)
    }
}

/// Serves connections until `shutdown` is asked for.
pub async fn serve<L, S>(listener: L, service: Rc<Service>, bounds: Bounds, shutdown: Shutdown)
where
    L: Accept<Stream = TlsStream<S>>,
    S: Connection + Unpin,
{
    let converse = |stream| converse(&service, stream, &shutdown);
    server::serve("pop3", listener, &*service.clock, bounds, &shutdown, converse).await;
}

#[cfg(test)]
mod tests;
