//! One POP3 conversation: its three states (RFC 1939 §4 to §6).
//!
//! Each state is a function, and the [`Maildrop`] is what only the second has and the third uses up, so
//! that no command can reach mail without a login, and nothing is deleted but at the end of a
//! conversation that said QUIT. A connection that is lost, silent for too long or told to make way drops
//! the maildrop as it is.

use super::Service;
use super::command::{Command, LINE_LENGTH, Mistake};
use super::maildrop::{Maildrop, OpenError};
use crate::application::dialogue::{Dialogue, Heard};
use crate::application::mailbox::PIECE;
use crate::application::sasl::{self, Outcome, authenticate};
use crate::application::server::{Connection, Shutdown};
use crate::presentation::dot_stuffing::{Stuffer, Top};
use crate::presentation::lines::LineReader;
use crate::presentation::tls::TlsStream;
use crate::session::sasl::Mechanism;
use std::fmt::Display;
use std::io::{self, Read};

/// Holds a conversation until it ends.
pub async fn converse<S>(service: &Service, stream: TlsStream<S>, shutdown: &Shutdown) -> io::Result<()>
where
    S: Connection + Unpin,
{
    // A response of SASL may be longer than any command.
    let lines = LineReader::new(sasl::LINE_LENGTH);
    let mut dialogue = Dialogue::new(stream, lines, &*service.clock, shutdown, service.config.idle);
    dialogue.set_line_time(service.config.command);
    let mut conversation = Conversation { service, dialogue, failures: 0, mistakes: 0 };
    conversation.ok("tapstack POP3 ready");
    if let Some(maildrop) = conversation.authorization().await? {
        conversation.dialogue.set_line_length(LINE_LENGTH);
        conversation.transaction(maildrop).await?;
    }
    conversation.dialogue.close().await
}

struct Conversation<'a, S> {
    service: &'a Service,
    dialogue: Dialogue<'a, TlsStream<S>>,
    failures: u32,
    mistakes: u32,
}

impl<S: Connection + Unpin> Conversation<'_, S> {
    /// The AUTHORIZATION state (RFC 1939 §4): ends with someone's maildrop, or without.
    async fn authorization(&mut self) -> io::Result<Option<Maildrop>> {
        let mut named = None;
        while let Some(command) = self.command().await? {
            // PASS comes "immediately after a successful USER command" (RFC 1939 §7); to look at the
            // capabilities in between is harmless.
            let user = if matches!(command, Command::Capa) { None } else { named.take() };
            let admitted = match command {
                Command::Capa => {
                    self.capabilities(true);
                    continue;
                }
                Command::Stls => {
                    self.start_tls().await?;
                    continue;
                }
                Command::User(_) | Command::Pass(_) | Command::Auth(Some(_), _) if !self.may_log_in() => {
                    self.mistake("[AUTH] nobody logs in here without encryption");
                    continue;
                }
                Command::User(name) => {
                    self.ok("now the password");
                    named = Some(name);
                    continue;
                }
                Command::Pass(password) => match user {
                    None => {
                        self.mistake("say USER first");
                        continue;
                    }
                    Some(user) => self.by_password(user, &password).await,
                },
                Command::Auth(None, _) => {
                    // Thunderbird asks this before anything else.
                    self.ok("mechanisms follow");
                    let may_log_in = self.may_log_in();
                    for mechanism in self.service.mechanisms().filter(|_| may_log_in) {
                        self.line(mechanism.name());
                    }
                    self.line(".");
                    continue;
                }
                Command::Auth(Some(name), initial) => {
                    match self.service.mechanisms().find(|known| Some(*known) == Mechanism::of(&name)) {
                        None => {
                            self.mistake("there is no such mechanism; AUTH alone lists them");
                            continue;
                        }
                        Some(mechanism) => match self.by_sasl(mechanism, initial.as_deref()).await? {
                            Outcome::Over(_) => return Ok(None),
                            outcome => self.admitted(outcome),
                        },
                    }
                }
                // What is not ASCII is taken and sent as it is in any case (RFC 6856 §2.1).
                Command::Utf8 => {
                    self.ok("UTF-8 enabled");
                    continue;
                }
                Command::Lang(language) => {
                    self.language(language.as_deref());
                    continue;
                }
                Command::Quit => {
                    self.ok("bye");
                    return Ok(None);
                }
                other => {
                    self.mistake(&format!("{} comes after the login", other.keyword()));
                    continue;
                }
            };
            if let Some(user) = admitted
                && let Some(maildrop) = self.open(&user).await
            {
                return Ok(Some(maildrop));
            }
            if self.failures >= self.service.config.failures {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// True if a password may come now.
    fn may_log_in(&self) -> bool {
        self.service.config.allow_plaintext_auth || self.dialogue.is_encrypted()
    }

    /// STLS (RFC 2595 §4).
    async fn start_tls(&mut self) -> io::Result<()> {
        match &self.service.acceptor {
            _ if self.dialogue.is_encrypted() => self.mistake("this is encrypted already"),
            None => self.mistake("this is not done here"),
            Some(acceptor) => {
                self.ok("go ahead with TLS");
                self.dialogue.start_tls(acceptor).await?;
            }
        }
        Ok(())
    }

    async fn by_password(&mut self, user: String, password: &[u8]) -> Option<String> {
        let entry = self.service.entrance.by_password(self.dialogue.peer(), &user, password).await;
        let outcome = Outcome::of(entry, user);
        self.admitted(outcome)
    }

    async fn by_sasl(&mut self, mechanism: Mechanism, initial: Option<&[u8]>) -> io::Result<Outcome> {
        authenticate(&mut self.dialogue, &self.service.entrance, "+", mechanism, initial).await
    }

    /// Who is admitted, if that is what came of it; the rest is answered here.
    fn admitted(&mut self, outcome: Outcome) -> Option<String> {
        match outcome {
            Outcome::Admitted(user) => return Some(user),
            Outcome::Refused => {
                self.failures += 1;
                log::debug!(target: "tapstack::pop3", "{}: login refused", self.dialogue.peer());
                self.err("[AUTH] name or password is wrong");
            }
            Outcome::Throttled => {
                self.failures += 1;
                self.err("[SYS/TEMP] too many failed logins from your address; come back later");
            }
            Outcome::Busy => self.err("[SYS/TEMP] too many logins at once; try again"),
            Outcome::Cancelled => self.err("as you wish"),
            Outcome::Malformed => self.mistake("that is not what the mechanism says"),
            Outcome::Over(_) => {}
        }
        None
    }

    /// Opens the maildrop of who was admitted; `None` if that was refused, which was then said.
    async fn open(&mut self, user: &str) -> Option<Maildrop> {
        let service = self.service;
        let Some(root) = service.mailboxes.of(user) else {
            self.err("[SYS/PERM] this name has no maildrop");
            return None;
        };
        if !service.delays.admit(user, service.clock.now(), service.config.login_delay) {
            self.err("[LOGIN-DELAY] the last login was a moment ago; come back later");
            return None;
        }
        let opened = match service.errands.send(move || Maildrop::open(root)).await {
            Ok(opened) => opened,
            Err(_) => {
                self.err("[SYS/TEMP] too many logins at once; try again");
                return None;
            }
        };
        match opened {
            Ok(maildrop) => {
                let (count, octets) = maildrop.stat();
                log::debug!(target: "tapstack::pop3", "{}: {user:?} logged in: {count} messages", self.dialogue.peer());
                self.ok(format_args!("{count} messages ({octets} octets)"));
                return Some(maildrop);
            }
            Err(OpenError::InUse) => self.err("[IN-USE] another session has this maildrop"),
            Err(OpenError::Temporary(error)) => {
                log::warn!(target: "tapstack::pop3", "maildrop of {user:?}: {error}");
                self.err("[SYS/TEMP] the maildrop can't be read now");
            }
            Err(OpenError::Permanent(error)) => {
                log::warn!(target: "tapstack::pop3", "maildrop of {user:?}: {error}");
                self.err("[SYS/PERM] the maildrop can't be read");
            }
        }
        None
    }

    /// The TRANSACTION state (RFC 1939 §5).
    async fn transaction(&mut self, mut maildrop: Maildrop) -> io::Result<()> {
        while let Some(command) = self.command().await? {
            match command {
                Command::Capa => self.capabilities(false),
                Command::Lang(language) => self.language(language.as_deref()),
                Command::Noop => self.ok("nothing done"),
                Command::Stat => {
                    let (count, octets) = maildrop.stat();
                    self.ok(format_args!("{count} {octets}"));
                }
                Command::List(None) => {
                    let (count, octets) = maildrop.stat();
                    self.ok(format_args!("{count} messages ({octets} octets)"));
                    for (number, octets) in maildrop.octets() {
                        self.line(format_args!("{number} {octets}"));
                        self.dialogue.flush_some().await?;
                    }
                    self.line(".");
                }
                Command::List(Some(number)) => match maildrop.octets_of(number) {
                    Some(octets) => self.ok(format_args!("{number} {octets}")),
                    None => self.no_message(),
                },
                Command::Uidl(None) => {
                    self.ok("unique identifiers follow");
                    for (number, uid) in maildrop.uids() {
                        self.line(format_args!("{number} {uid}"));
                        self.dialogue.flush_some().await?;
                    }
                    self.line(".");
                }
                Command::Uidl(Some(number)) => match maildrop.uid_of(number) {
                    Some(uid) => self.ok(format_args!("{number} {uid}")),
                    None => self.no_message(),
                },
                Command::Retr(number) => maildrop = self.send(maildrop, number, None).await?,
                Command::Top(number, lines) => maildrop = self.send(maildrop, number, Some(Top::new(lines))).await?,
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
                    self.update(maildrop).await;
                    return Ok(());
                }
                other => self.mistake(&format!("{} comes before the login", other.keyword())),
            }
        }
        Ok(())
    }

    /// The UPDATE state (RFC 1939 §6).
    async fn update(&mut self, maildrop: Maildrop) {
        match self.service.errands.send(move || maildrop.update()).await {
            Ok((left, 0)) => self.ok(format_args!("bye ({left} messages left)")),
            Ok((_, stuck)) => self.err(&format!("[SYS/TEMP] {stuck} deleted messages not removed")),
            Err(_) => self.err("[SYS/TEMP] too much to do at once; the deleted messages are not removed"),
        }
    }

    /// Sends a message, or its top.
    async fn send(&mut self, mut maildrop: Maildrop, number: u64, mut top: Option<Top>) -> io::Result<Maildrop> {
        let Some(octets) = maildrop.octets_of(number) else {
            self.no_message();
            return Ok(maildrop);
        };
        let mut opened = maildrop.open_message(number);
        if matches!(&opened, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            // It was moved, or removed. To find out takes looking through the Maildir.
            let search = move || (maildrop.find_message(number), maildrop);
            let Ok((found, same)) = self.service.errands.send(search).await else { return Err(lost()) };
            (opened, maildrop) = (found, same);
        }
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.err("the message is gone: another program removed it");
                return Ok(maildrop);
            }
            Err(error) => {
                log::warn!(target: "tapstack::pop3", "message {number}: {error}");
                self.err("[SYS/TEMP] the message can't be read now");
                return Ok(maildrop);
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
            stuffer.stuff(wanted, self.dialogue.answers());
            if n == 0 || top.as_ref().is_some_and(Top::is_done) {
                break;
            }
            self.dialogue.flush_some().await?;
        }
        stuffer.finish(self.dialogue.answers());
        if top.is_some_and(|top| top.in_header()) {
            // A message of headers alone: TOP still has the blank line that separates them from the body.
            self.line("");
        }
        self.line(".");
        Ok(maildrop)
    }

    /// The next command; `None` when the conversation is over without one. Lines that are no command are
    /// answered here.
    async fn command(&mut self) -> io::Result<Option<Command>> {
        loop {
            if self.mistakes >= self.service.config.mistakes {
                self.err("too many mistakes");
                return Ok(None);
            }
            let command = match self.dialogue.hear().await? {
                Heard::Line(line) => Command::parse(&line),
                Heard::TooLong | Heard::Bare => Err(Mistake::TooLong),
                // Silence, or an end that the client did not ask for: no answer (RFC 1939 §3).
                Heard::End | Heard::Silence | Heard::Stop => return Ok(None),
            };
            match command {
                Ok(command) => return Ok(Some(command)),
                Err(mistake) => self.mistake(&mistake.to_string()),
            }
        }
    }

    /// The capabilities (RFC 2449 §5, RFC 6856 §2), the same in both states but for STLS (RFC 2595 §4).
    fn capabilities(&mut self, is_before_login: bool) {
        self.ok("capabilities follow");
        let fixed = ["TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "UTF8 USER", "LANG", "EXPIRE NEVER"];
        fixed.into_iter().for_each(|capability| self.line(capability));
        if self.may_log_in() {
            let mut sasl = "SASL".to_owned();
            for mechanism in self.service.mechanisms() {
                sasl.extend([" ", mechanism.name()]);
            }
            self.line("USER");
            self.line(sasl);
        }
        if is_before_login && self.service.acceptor.is_some() && !self.dialogue.is_encrypted() {
            self.line("STLS");
        }
        let delay = self.service.config.login_delay;
        if !delay.is_zero() {
            self.line(format_args!("LOGIN-DELAY {}", delay.as_secs()));
        }
        self.line(concat!("IMPLEMENTATION tapstack-", env!("CARGO_PKG_VERSION")));
        self.line(".");
    }

    /// The language of our answers (RFC 6856 §3), of which there is one.
    fn language(&mut self, wanted: Option<&str>) {
        match wanted {
            None => {
                self.ok("languages follow");
                self.line("en English");
                self.line(".");
            }
            Some(tag)
                if tag == "*" || tag.eq_ignore_ascii_case("en") || tag.to_ascii_lowercase().starts_with("en-") =>
            {
                self.ok("en answers are in English");
            }
            Some(_) => self.err("this language is not spoken here; LANG alone lists them"),
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
        self.dialogue.say(text);
    }
}

/// The maildrop went with an errand that was not done.
fn lost() -> io::Error {
    io::Error::other("too much to do at once")
}
