//! One POP3 conversation: its three states (RFC 1939 §4 to §6).
//!
//! Each state is a function, and the [`Maildrop`] is what only the second has and the third uses up, so
//! that no command can reach mail without a login, and nothing is deleted but at the end of a
//! conversation that said QUIT. A connection that is lost, silent for too long or told to make way drops
//! the maildrop as it is.
//!
//! Answers are collected while further commands of the client are here already (RFC 2449 §6.6), and go
//! out before it is waited for.

use super::Service;
use super::command::{Command, LINE_LENGTH, Mistake};
use super::maildrop::{Maildrop, OpenError, PIECE};
use crate::application::server::{Connection, Shutdown};
use crate::presentation::dot_stuffing::{Stuffer, Top};
use crate::presentation::lines::{Line, LineReader};
use crate::session::clock::within;
use crate::session::verifier::Verdict;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::AsyncWriteExt;
use futures_util::future::{Either, select};
use std::fmt::Display;
use std::io::{self, Read};
use std::net::IpAddr;
use std::pin::pin;

/// Answers are sent when there is so much of them, commands waiting or not.
const ANSWERS: usize = 32 << 10;

/// Holds a conversation until it ends.
pub async fn converse<S>(service: &Service, stream: S, shutdown: &Shutdown) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Connection + Unpin,
{
    let mut conversation = Conversation {
        service,
        peer: stream.peer().ip(),
        stream,
        shutdown,
        lines: LineReader::new(LINE_LENGTH),
        answers: Vec::new(),
        failures: 0,
        mistakes: 0,
    };
    conversation.ok("tapstack POP3 ready");
    if let Some(maildrop) = conversation.authorization().await? {
        conversation.transaction(maildrop).await?;
    }
    conversation.flush().await?;
    conversation.stream.close().await
}

struct Conversation<'a, S> {
    service: &'a Service,
    stream: S,
    peer: IpAddr,
    shutdown: &'a Shutdown,
    lines: LineReader,
    answers: Vec<u8>,
    failures: u32,
    mistakes: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<'_, S> {
    /// The AUTHORIZATION state (RFC 1939 §4): ends with someone's maildrop, or without.
    async fn authorization(&mut self) -> io::Result<Option<Maildrop>> {
        let mut named = None;
        while let Some(command) = self.command().await? {
            // PASS comes "immediately after a successful USER command" (RFC 1939 §7); to look at the
            // capabilities in between is harmless.
            let user = if matches!(command, Command::Capa) { None } else { named.take() };
            match command {
                Command::Capa => self.capabilities(),
                Command::User(name) => {
                    self.ok("now the password");
                    named = Some(name);
                }
                Command::Pass(password) => match user {
                    None => self.mistake("say USER first"),
                    Some(user) => {
                        if let Some(maildrop) = self.log_in(&user, &password).await? {
                            return Ok(Some(maildrop));
                        }
                        if self.failures >= self.service.config.failures {
                            return Ok(None);
                        }
                    }
                },
                Command::Auth(None) => {
                    // An empty list: there is no SASL mechanism. Thunderbird asks this before anything else.
                    self.ok("USER and PASS are the way in");
                    self.line(".");
                }
                Command::Auth(Some(_)) => self.mistake("no SASL mechanism is supported; use USER and PASS"),
                Command::Quit => {
                    self.ok("bye");
                    return Ok(None);
                }
                other => self.mistake(&format!("{} comes after the login", other.keyword())),
            }
        }
        Ok(None)
    }

    /// Checks a password and opens the maildrop; `None` if that was refused, which was then said.
    async fn log_in(&mut self, user: &str, password: &[u8]) -> io::Result<Option<Maildrop>> {
        let service = self.service;
        let place = service.throttle.lock().admit(self.peer, service.clock.now());
        let Some(place) = place else {
            self.failures += 1;
            self.err("[SYS/TEMP] too many failed logins from your address; come back later");
            return Ok(None);
        };
        service.clock.sleep_until(place).await;
        match service.verifier.verify(user, password).await {
            Verdict::Accepted => {}
            Verdict::Refused => {
                self.failures += 1;
                service.throttle.lock().on_failure(self.peer, service.clock.now());
                log::debug!(target: "tapstack::pop3", "{}: login as {user:?} refused", self.peer);
                self.err("[AUTH] name or password is wrong");
                return Ok(None);
            }
            Verdict::Busy => {
                self.err("[SYS/TEMP] too many logins at once; try again");
                return Ok(None);
            }
        }
        service.throttle.lock().on_success(self.peer);
        let Some(root) = service.config.maildir_of(user) else {
            self.err("[SYS/PERM] this name has no maildrop");
            return Ok(None);
        };
        match Maildrop::open(root, &service.sizes).await {
            Ok(maildrop) => {
                let (count, octets) = maildrop.stat();
                log::debug!(target: "tapstack::pop3", "{}: {user:?} logged in: {count} messages", self.peer);
                self.ok(format_args!("{count} messages ({octets} octets)"));
                Ok(Some(maildrop))
            }
            Err(error) => {
                match error {
                    OpenError::InUse => self.err("[IN-USE] another session has this maildrop"),
                    OpenError::Temporary(error) => {
                        log::warn!(target: "tapstack::pop3", "maildrop of {user:?}: {error}");
                        self.err("[SYS/TEMP] the maildrop can't be read now");
                    }
                    OpenError::Permanent(error) => {
                        log::warn!(target: "tapstack::pop3", "maildrop of {user:?}: {error}");
                        self.err("[SYS/PERM] the maildrop can't be read");
                    }
                }
                Ok(None)
            }
        }
    }

    /// The TRANSACTION state (RFC 1939 §5).
    async fn transaction(&mut self, mut maildrop: Maildrop) -> io::Result<()> {
        while let Some(command) = self.command().await? {
            match command {
                Command::Capa => self.capabilities(),
                Command::Noop => self.ok("nothing done"),
                Command::Stat => {
                    let (count, octets) = maildrop.stat();
                    self.ok(format_args!("{count} {octets}"));
                }
                Command::List(None) => {
                    let (count, octets) = maildrop.stat();
                    self.ok(format_args!("{count} messages ({octets} octets)"));
                    for (number, message) in maildrop.messages() {
                        self.line(format_args!("{number} {}", message.octets));
                        self.flush_some().await?;
                    }
                    self.line(".");
                }
                Command::List(Some(number)) => match maildrop.message(number) {
                    Some(message) => self.ok(format_args!("{number} {}", message.octets)),
                    None => self.no_message(),
                },
                Command::Uidl(None) => {
                    self.ok("unique identifiers follow");
                    for (number, message) in maildrop.messages() {
                        self.line(format_args!("{number} {}", message.uid));
                        self.flush_some().await?;
                    }
                    self.line(".");
                }
                Command::Uidl(Some(number)) => match maildrop.message(number) {
                    Some(message) => self.ok(format_args!("{number} {}", message.uid)),
                    None => self.no_message(),
                },
                Command::Retr(number) => self.send(&maildrop, number, None).await?,
                Command::Top(number, lines) => self.send(&maildrop, number, Some(Top::new(lines))).await?,
                Command::Dele(number) => {
                    if maildrop.delete(number) {
                        self.ok("marked for deletion");
                    } else {
                        self.no_message();
                    }
                }
                Command::Rset => {
                    maildrop.reset();
                    let (count, octets) = maildrop.stat();
                    self.ok(format_args!("{count} messages ({octets} octets)"));
                }
                Command::Quit => {
                    self.update(maildrop);
                    return Ok(());
                }
                other => self.mistake(&format!("{} comes before the login", other.keyword())),
            }
        }
        Ok(())
    }

    /// The UPDATE state (RFC 1939 §6).
    fn update(&mut self, maildrop: Maildrop) {
        match maildrop.update() {
            (left, 0) => self.ok(format_args!("bye ({left} messages left)")),
            (_, stuck) => self.err(&format!("[SYS/TEMP] {stuck} deleted messages not removed")),
        }
    }

    /// Sends a message, or its top.
    async fn send(&mut self, maildrop: &Maildrop, number: u64, mut top: Option<Top>) -> io::Result<()> {
        let Some(octets) = maildrop.message(number).map(|message| message.octets) else {
            self.no_message();
            return Ok(());
        };
        let mut file = match maildrop.open_message(number) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.err("the message is gone: another program removed it");
                return Ok(());
            }
            Err(error) => {
                log::warn!(target: "tapstack::pop3", "message {number}: {error}");
                self.err("[SYS/TEMP] the message can't be read now");
                return Ok(());
            }
        };
        match top {
            None => self.ok(format_args!("{octets} octets")),
            Some(_) => self.ok("top of message follows"),
        }
        let mut stuffer = Stuffer::default();
        let mut piece = vec![0; PIECE];
        loop {
            // When reading fails here the client has been promised a message: the only honest sign left
            // is to close the connection.
            let n = file.read(&mut piece)?;
            let read = piece.get(..n).unwrap_or_default();
            let wanted = top.as_mut().map_or(read, |top| top.pass(read));
            stuffer.stuff(wanted, &mut self.answers);
            if n == 0 || top.as_ref().is_some_and(Top::is_done) {
                break;
            }
            self.flush_some().await?;
        }
        stuffer.finish(&mut self.answers);
        if top.is_some_and(|top| top.in_header()) {
            // A message of headers alone: TOP still has the blank line that separates them from the body.
            self.line("");
        }
        self.line(".");
        Ok(())
    }

    /// The next command; `None` when the conversation is over without one. Lines that are no command are
    /// answered here.
    async fn command(&mut self) -> io::Result<Option<Command>> {
        loop {
            if self.mistakes >= self.service.config.mistakes {
                self.err("too many mistakes");
                return Ok(None);
            }
            if !self.lines.has_line() {
                self.flush().await?;
            }
            self.flush_some().await?;
            let clock = &*self.service.clock;
            let line = within(clock, self.service.config.idle, self.lines.next(&mut self.stream));
            let line = match select(pin!(line), self.shutdown.requested()).await {
                Either::Left((Ok(line), _)) => line?,
                // Silence, or an end that the client did not ask for: no answer (RFC 1939 §3).
                Either::Left((Err(_), _)) | Either::Right(_) => return Ok(None),
            };
            let command = match line {
                Line::End => return Ok(None),
                Line::TooLong => Err(Mistake::TooLong),
                Line::Text(line) => Command::parse(&line),
            };
            match command {
                Ok(command) => return Ok(Some(command)),
                Err(mistake) => self.mistake(&mistake.to_string()),
            }
        }
    }

    /// The capabilities (RFC 2449 §5), the same in both states.
    fn capabilities(&mut self) {
        self.ok("capabilities follow");
        for capability in [
            "TOP",
            "UIDL",
            "USER",
            "PIPELINING",
            "RESP-CODES",
            "AUTH-RESP-CODE",
            "EXPIRE NEVER",
            concat!("IMPLEMENTATION tapstack-", env!("CARGO_PKG_VERSION")),
            ".",
        ] {
            self.line(capability);
        }
    }

    fn ok(&mut self, text: impl Display) {
        self.line(format_args!("+OK {text}"));
    }

    fn err(&mut self, text: &str) {
        self.line(format_args!("-ERR {text}"));
    }

    fn no_message(&mut self) {
        self.err("no such message");
    }

    /// Answers what is no command, or is out of place.
    fn mistake(&mut self, text: &str) {
        self.mistakes += 1;
        self.err(text);
    }

    fn line(&mut self, text: impl Display) {
        self.answers.extend_from_slice(text.to_string().as_bytes());
        self.answers.extend_from_slice(b"\r\n");
    }

    async fn flush_some(&mut self) -> io::Result<()> {
        if self.answers.len() < ANSWERS { Ok(()) } else { self.flush().await }
    }

    /// Sends the answers so far. A client that does not take them for as long as it may be silent is gone.
    async fn flush(&mut self) -> io::Result<()> {
        let write = async {
            self.stream.write_all(&self.answers).await?;
            self.stream.flush().await
        };
        match within(&*self.service.clock, self.service.config.idle, write).await {
            Ok(result) => result?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        self.answers.clear();
        Ok(())
    }
}
