//! Signals, as events of the loop. SIGPIPE is ignored by Rust's runtime.
//!
//! | signal | effect |
//! |---|---|
//! | SIGTERM, SIGINT | stop in order, within the grace period; the second one at once |
//! | SIGHUP | read the configuration again, open log files anew |
//! | SIGUSR1 | open log files anew |

use crate::daemon::failure::Failure;
use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook_mio::v1_0::Signals as MioSignals;

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// Stop.
    Stop,
    /// Read the configuration again.
    Reload,
    /// Open log files anew.
    Reopen,
}

/// The signals of this process.
pub struct Signals(MioSignals);

impl Signals {
    /// Takes the signals over and reports them as `token`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn register(registry: &Registry, token: Token) -> Result<Self, Failure> {
        let failed = |error| Failure::running(format!("signals can't be received: {error}"));
        let mut signals = MioSignals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]).map_err(failed)?;
        registry.register(&mut signals, token, Interest::READABLE).map_err(failed)?;
        Ok(Signals(signals))
    }

    /// What was asked for since the last call.
    pub fn requests(&mut self) -> impl Iterator<Item = Request> + '_ {
        self.0.pending().map(|signal| match signal {
            SIGHUP => Request::Reload,
            SIGUSR1 => Request::Reopen,
            _ => Request::Stop,
        })
    }
}
