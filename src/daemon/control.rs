//! The control socket: a Unix socket that takes one JSON object a line and answers each with one.
//!
//! ```text
//!   -> {"show":"neighbours"}
//!   <- {"ok":[{"address":"192.0.2.1", ...}]}      or      {"error":"..."}
//! ```
//!
//! Only its owner and group may open it. A client that sends too much, or does not take its answer in time,
//! is let go: nothing it does holds up the loop.

use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::daemon::failure::Failure;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How long a client may take to ask and to take its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The folder of the sockets of which no other place was asked for.
const FOLDER: &str = "/run/tapstack";

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// A part of the stack's state.
    Show(String),
    /// To read the configuration, the accounts and the certificates again, as at SIGHUP.
    Reload,
}

/// The answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Response {
    /// What was asked for.
    Ok(serde_json::Value),
    /// Why it can't be answered.
    Error(String),
}

/// Whose answer it is: a client, and which of its requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    client: usize,
    number: u64,
}

#[cfg(test)]
impl Ticket {
    /// Some ticket.
    pub(crate) fn for_test(number: u64) -> Self {
        Ticket { client: 0, number }
    }
}

/// The listening socket and its clients.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
    first_token: usize,
    clients: Vec<Option<Client>>,
    /// The number of the last ticket.
    tickets: u64,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    request: Vec<u8>,
    /// What is left of the answers.
    answer: Vec<u8>,
    sent: usize,
    /// The request whose answer is still to come.
    awaited: Option<Ticket>,
    give_up: Instant,
}

impl ControlSocket {
    /// Makes the socket at `path` and reports it as `token` and its clients as the tokens after it. The socket of
    /// a daemon that is no more is replaced.
    ///
    /// # Errors
    /// Another daemon listens there, or the place can't be written.
    pub fn bind(path: &Path, registry: &Registry, token: Token) -> Result<Self, Failure> {
        let listener = bind(path)?;
        let mut socket = ControlSocket {
            path: path.to_owned(),
            listener,
            first_token: token.0 + 1,
            clients: (0..limits::CONTROL_CLIENTS).map(|_| None).collect(),
            tickets: 0,
        };
        registry
            .register(&mut socket.listener, token, Interest::READABLE)
            .map_err(|error| failure(path, &error.to_string(), "choose another place with --control"))?;
        Ok(socket)
    }

    /// Takes new clients.
    pub fn accept(&mut self, registry: &Registry, now: Instant) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let Some((index, slot)) = self.clients.iter_mut().enumerate().find(|(_, slot)| slot.is_none()) else {
                log::debug!("control: too many clients");
                continue;
            };
            let token = Token(self.first_token + index);
            if registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).is_ok() {
                let give_up = now + PATIENCE;
                *slot =
                    Some(Client { stream, request: Vec::new(), answer: Vec::new(), sent: 0, awaited: None, give_up });
            }
        }
    }

    /// True if `token` is a client's.
    pub fn owns(&self, token: Token) -> bool {
        (self.first_token..self.first_token + self.clients.len()).contains(&token.0)
    }

    /// Goes on with the client of `token`. A request for which `answer` has none yet gets it by
    /// [`ControlSocket::answer`].
    pub fn serve(&mut self, token: Token, now: Instant, answer: impl FnMut(Ticket, Request) -> Option<Response>) {
        if let Some(index) = token.0.checked_sub(self.first_token) {
            self.go_on(index, now, answer);
        }
    }

    /// Answers a request that had to wait. `more` is asked about what the client has asked since.
    pub fn answer(
        &mut self,
        ticket: Ticket,
        response: &Response,
        now: Instant,
        more: impl FnMut(Ticket, Request) -> Option<Response>,
    ) {
        if let Some(Some(client)) = self.clients.get_mut(ticket.client)
            && client.awaited == Some(ticket)
        {
            client.awaited = None;
            client.set_answer(response, now);
            self.go_on(ticket.client, now, more);
        }
    }

    /// True while somebody waits for the answer.
    pub fn awaits(&self, ticket: Ticket) -> bool {
        matches!(self.clients.get(ticket.client), Some(Some(client)) if client.awaited == Some(ticket))
    }

    fn go_on(&mut self, index: usize, now: Instant, mut answer: impl FnMut(Ticket, Request) -> Option<Response>) {
        let Some(slot) = self.clients.get_mut(index) else { return };
        let tickets = &mut self.tickets;
        let mut with_ticket = |request| {
            *tickets += 1;
            let ticket = Ticket { client: index, number: *tickets };
            answer(ticket, request).ok_or(ticket)
        };
        if let Some(client) = slot
            && !client.serve(now, &mut with_ticket)
        {
            // Closing a descriptor takes it out of the poll.
            *slot = None;
        }
    }

    /// Lets clients go that took too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        for slot in &mut self.clients {
            if slot.as_ref().is_some_and(|client| client.give_up <= now) {
                *slot = None;
            }
        }
    }

    /// When [`ControlSocket::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.clients.iter().flatten().map(|client| client.give_up).min()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Client {
    /// False when it is done with.
    fn serve(&mut self, now: Instant, answer: &mut impl FnMut(Request) -> Result<Response, Ticket>) -> bool {
        let is_open = self.read();
        if !self.write() {
            return false;
        }
        while self.answer.is_empty()
            && self.awaited.is_none()
            && let Some(end) = self.request.iter().position(|byte| *byte == b'\n')
        {
            let rest = self.request.split_off(end + 1);
            let line = std::mem::replace(&mut self.request, rest);
            let response = match serde_json::from_slice(&line) {
                Ok(request) => answer(request),
                Err(error) => Ok(Response::Error(format!("the request is not understood: {error}"))),
            };
            match response {
                Ok(response) => self.set_answer(&response, now),
                Err(ticket) => self.awaited = Some(ticket),
            }
            if !self.write() {
                return false;
            }
        }
        is_open || !self.answer.is_empty() || self.awaited.is_some()
    }

    fn set_answer(&mut self, response: &Response, now: Instant) {
        self.answer = serde_json::to_vec(response).unwrap_or_default();
        self.answer.push(b'\n');
        self.give_up = now + PATIENCE;
    }

    fn read(&mut self) -> bool {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(len) => self.request.extend_from_slice(buffer.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
            if self.request.len() > limits::CONTROL_REQUEST {
                return false;
            }
        }
    }

    fn write(&mut self) -> bool {
        while let Some(rest) = self.answer.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return false,
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.answer.clear();
        self.sent = 0;
        true
    }
}

fn failure(path: &Path, error: &str, advice: &str) -> Failure {
    Failure::running(format!("the control socket can't be made: {}: {error}: {advice}", path.display()))
}

fn bind(path: &Path) -> Result<UnixListener, Failure> {
    let elsewhere = "choose another place with --control";
    if path.starts_with(FOLDER)
        && let Err(error) = fs::DirBuilder::new().mode(0o755).recursive(true).create(FOLDER)
    {
        return Err(failure(path, &error.to_string(), elsewhere));
    }
    let mut bound = UnixListener::bind(path);
    if matches!(&bound, Err(error) if error.kind() == ErrorKind::AddrInUse) {
        make_room(path)?;
        bound = UnixListener::bind(path);
    }
    let listener = bound.map_err(|error| failure(path, &error.to_string(), elsewhere))?;
    // Owner and group. Until here the umask held, which does not let others write, and that is what connecting takes.
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))
        .map_err(|error| failure(path, &error.to_string(), elsewhere))?;
    Ok(listener)
}

/// Removes the socket that is in the way, if nobody listens on it any more.
fn make_room(path: &Path) -> Result<(), Failure> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        return Err(failure(path, "there is a file that is no socket", "move it away, or use --control"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| failure(path, &error.to_string(), "remove it, or choose another place with --control")),
        Err(error) => Err(failure(path, &error.to_string(), "choose another place with --control")),
        Ok(_) => Err(failure(
            path,
            "another tapstack listens there",
            "stop it first, or give this one another --tap or --control",
        )),
    }
}

/// Asks the daemon at `path`.
///
/// # Errors
/// No daemon listens there, this user may not ask, or it does not answer.
pub fn ask(path: &Path, request: &Request) -> Result<serde_json::Value, Failure> {
    let failed = |error: io::Error| {
        let advice = match error.kind() {
            ErrorKind::PermissionDenied => "ask as its owner or a member of its group, for example with sudo",
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                "is it running? Name its TAP with --tap or its socket with --control"
            }
            _ => "is it overloaded?",
        };
        Failure::running(format!("the daemon can't be asked: {}: {error}: {advice}", path.display()))
    };
    let mut stream = std::os::unix::net::UnixStream::connect(path).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    let mut line = serde_json::to_vec(request).unwrap_or_default();
    line.push(b'\n');
    stream.write_all(&line).map_err(failed)?;
    stream.shutdown(std::net::Shutdown::Write).map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    match serde_json::from_slice(&answer) {
        Ok(Response::Ok(value)) => Ok(value),
        Ok(Response::Error(error)) => Err(Failure::running(format!("the daemon can't answer: {error}"))),
        Err(_) => Err(failed(io::Error::new(ErrorKind::InvalidData, "its answer is cut off"))),
    }
}

#[cfg(test)]
mod tests;
