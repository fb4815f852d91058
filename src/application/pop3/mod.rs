//! POP3: people fetch their mail from Maildirs (RFC 1939, RFC 2449, RFC 3206).
//!
//! ```text
//!   connect -> AUTHORIZATION --USER, PASS--> TRANSACTION --QUIT--> UPDATE -> close
//!                  |                              |
//!                  `--QUIT, 3 failures-> close    `--loss, 10 minutes of silence-> close, nothing deleted
//! ```
//!
//! [`command`] reads a line as a command, [`conversation`] holds the three states, [`maildrop`] is the mail.
//! Capabilities: TOP, UIDL, USER, PIPELINING, RESP-CODES, AUTH-RESP-CODE, EXPIRE NEVER, IMPLEMENTATION. Not
//! here: SASL mechanisms, APOP (it needs passwords in clear text at rest), STLS, UTF8 and LANG.

pub mod command;
mod conversation;
pub mod maildrop;

pub use conversation::converse;

use crate::application::pop3::maildrop::Sizes;
use crate::application::server::{self, Accept, Bounds, Connection, Shutdown};
use crate::base::time::Duration;
use crate::session::accounts::is_name;
use crate::session::clock::Clock;
use crate::session::throttle::SharedThrottle;
use crate::session::verifier::Verifier;
use futures_io::{AsyncRead, AsyncWrite};
use std::cell::RefCell;
use std::path::{Component, PathBuf};
use std::rc::Rc;

/// What the service is told by its configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the mail is: a path in which `{user}` stands for the name of the account.
    pub maildir: PathBuf,
    /// How long a client may be silent (RFC 1939 §3: at least 10 minutes).
    pub idle: Duration,
    /// Failed logins on one connection.
    pub failures: u32,
    /// Commands that are none, or out of place, on one connection.
    pub mistakes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { maildir: "mail/{user}".into(), idle: Duration::from_secs(600), failures: 3, mistakes: 10 }
    }
}

impl Config {
    /// The Maildir of an account; `None` for what can't be the name of one.
    fn maildir_of(&self, user: &str) -> Option<PathBuf> {
        // A name has no slash in it, so a part of the path stays one part.
        let part = |part: Component<'_>| match part.as_os_str().to_str() {
            Some(text) => PathBuf::from(text.replace("{user}", user)),
            None => part.as_os_str().into(),
        };
        is_name(user).then(|| self.maildir.components().map(part).collect())
    }
}

/// What all conversations of the service share.
pub struct Service {
    config: Config,
    clock: Rc<dyn Clock>,
    verifier: Verifier,
    throttle: SharedThrottle,
    sizes: RefCell<Sizes>,
}

impl Service {
    /// The service. `throttle` is shared by everything that takes passwords.
    pub fn new(config: Config, clock: Rc<dyn Clock>, verifier: Verifier, throttle: SharedThrottle) -> Self {
        Service { config, clock, verifier, throttle, sizes: RefCell::default() }
    }
}

/// Serves connections until `shutdown` is asked for.
pub async fn serve<L>(listener: L, service: Rc<Service>, bounds: Bounds, shutdown: Shutdown)
where
    L: Accept,
    L::Stream: AsyncRead + AsyncWrite + Connection + Unpin,
{
    let converse = |stream| converse(&service, stream, &shutdown);
    server::serve("pop3", listener, &*service.clock, bounds, &shutdown, converse).await;
}

#[cfg(test)]
mod tests;
