//! What the first thread alone does: signals, the control socket, and the other threads.

use crate::base::time::Instant;
use crate::daemon::control::{ControlSocket, Request, Response, Ticket};
use crate::daemon::crew::Crew;
use crate::daemon::event_loop::Guest;
use crate::daemon::failure::Failure;
use crate::daemon::show;
use crate::daemon::signals::{self, Signals};
use crate::stack::snapshot::Snapshot;
use mio::{Registry, Token};
use std::path::Path;

/// The desk.
pub struct Desk {
    signals: Signals,
    control: ControlSocket,
    /// The other threads; nobody if there is one queue.
    pub crew: Crew,
    first_token: usize,
    told: Told,
}

/// What signals and clients asked for since the last turn.
#[derive(Clone, Copy, Default, Debug)]
pub struct Told {
    /// To stop, so often.
    pub stops: usize,
    /// To read the configuration again.
    pub reloads: usize,
    /// To open log files anew.
    pub reopens: usize,
}

impl Desk {
    /// Makes the control socket at `path`. The desk is told of what happens by tokens from `first` on, which is that
    /// of `signals`.
    ///
    /// # Errors
    /// The socket can't be had.
    pub fn open(signals: Signals, path: &Path, registry: &Registry, first: Token) -> Result<Self, Failure> {
        let control = ControlSocket::bind(path, registry, Token(first.0 + 1))?;
        Ok(Desk { signals, control, crew: Crew::default(), first_token: first.0, told: Told::default() })
    }

    /// Something happened.
    pub fn on_event(&mut self, token: Token, registry: &Registry, now: Instant, guest: &impl Guest) {
        match token.0.checked_sub(self.first_token) {
            Some(0) => {
                for request in self.signals.requests() {
                    match request {
                        signals::Request::Stop => self.told.stops += 1,
                        signals::Request::Reload => self.told.reloads += 1,
                        signals::Request::Reopen => self.told.reopens += 1,
                    }
                }
            }
            Some(1) => self.control.accept(registry, now),
            _ => {
                let (crew, told) = (&mut self.crew, &mut self.told);
                self.control.serve(token, now, |ticket, request| answer(crew, told, guest, ticket, request));
            }
        }
    }

    /// Takes in what the other threads told, and returns what signals did.
    ///
    /// # Errors
    /// Another thread has failed.
    pub fn take_in(&mut self, now: Instant, guest: &impl Guest) -> Result<Told, Failure> {
        for gathered in self.crew.take_in()? {
            let response = response(&gathered.what, Some(Snapshot::merge(gathered.parts)));
            let (crew, told) = (&mut self.crew, &mut self.told);
            let more = |ticket, request| answer(crew, told, guest, ticket, request);
            self.control.answer(gathered.ticket, &response, now, more);
        }
        self.control.handle_timeout(now);
        let control = &self.control;
        self.crew.retain(|ticket| control.awaits(ticket));
        Ok(std::mem::take(&mut self.told))
    }

    /// When [`Desk::take_in`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.control.deadline()
    }
}

/// The answer to a request, or none yet if other threads have to be asked.
fn answer(crew: &mut Crew, told: &mut Told, guest: &impl Guest, ticket: Ticket, request: Request) -> Option<Response> {
    let what = match request {
        Request::Show(what) => what,
        Request::Reload => {
            told.reloads += 1;
            return Some(Response::Ok(serde_json::Value::Null));
        }
    };
    match guest.show(&what) {
        Some(own) if !crew.is_empty() => {
            crew.ask(ticket, &what, own);
            None
        }
        shown => Some(response(&what, shown)),
    }
}

fn response(what: &str, shown: Option<Snapshot>) -> Response {
    match shown.and_then(|snapshot| show::value(what, snapshot)) {
        Some(value) => Response::Ok(value),
        None => Response::Error(format!("there is no `{what}` to show")),
    }
}
