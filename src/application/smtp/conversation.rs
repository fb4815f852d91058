//! One SMTP conversation: what is possible when (RFC 5321 §4.1.4), and what comes of it.
//!
//! Whatever is refused before a message ends costs nothing on the disk; a message is acknowledged when it is on the disk
//! in everybody's Maildir, and not before. After a CR or LF that stands alone, or a message without end, nothing that
//! follows is believed to be a command: the client is told why, and its connection closed.

use super::address::Address;
use super::command::{Command, Greeting, LINE_LENGTH, Mail};
use super::incoming::Incoming;
use super::reply::{self, Reply};
use super::trace::Trace;
use super::transaction::Transaction;
use super::visitors::Visit;
use super::{Role, Service};
use crate::application::dialogue::{Dialogue, Heard, READ};
use crate::application::sasl::{self, Outcome, authenticate};
use crate::application::server::{Connection, Shutdown};
use crate::base::time::Duration;
use crate::presentation::dot_unstuffing::Unstuffer;
use crate::presentation::lines::LineReader;
use crate::presentation::tls::TlsStream;
use crate::session::clock::within;
use crate::session::sasl::Mechanism;
use std::io;

/// How long a client may be silent in the middle of a message (RFC 5321 §4.5.3.2.5: 3 minutes).
const SILENCE_IN_MESSAGE: Duration = Duration::from_secs(180);
/// How long a message may take, however steadily it trickles.
const MESSAGE: Duration = Duration::from_secs(1_800);

/// Holds a conversation until it ends.
pub async fn converse<S>(service: &Service, role: Role, stream: TlsStream<S>, shutdown: &Shutdown) -> io::Result<()>
where
    S: Connection + Unpin,
{
    let length = if role == Role::Submission { sasl::LINE_LENGTH } else { LINE_LENGTH };
    let (clock, config) = (&*service.clock, &service.config);
    let mut dialogue = Dialogue::new(stream, LineReader::strict(length), clock, shutdown, config.idle);
    // A neighbouring server has its own bounds, and may bring the mail of thousands.
    let (most, rate) = if role == Role::Lmtp { (u32::MAX, 0) } else { (config.client_connections, config.client_rate) };
    let Some(visit) = service.visitors.enter(dialogue.peer(), most, rate) else {
        dialogue.say(reply::TOO_MANY_CONNECTIONS);
        return dialogue.dismiss().await;
    };
    dialogue.say(format_args!("220 {} {} tapstack", config.host, if role == Role::Lmtp { "LMTP" } else { "ESMTP" }));
    let mut conversation =
        Conversation { service, role, dialogue, visit, hello: None, user: None, mail: None, mistakes: 0 };
    match conversation.run().await? {
        Ended::InOrder => conversation.dialogue.close().await,
        Ended::Early => conversation.dialogue.dismiss().await,
    }
}

/// How a conversation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    /// The client wished it, or is gone.
    InOrder,
    /// We did; the client may still be sending.
    Early,
}

/// What follows an answer.
type Next = Result<(), Ended>;

struct Conversation<'a, S> {
    service: &'a Service,
    role: Role,
    dialogue: Dialogue<'a, TlsStream<S>>,
    visit: Visit,
    hello: Option<(Greeting, String)>,
    /// Who has shown to be someone.
    user: Option<String>,
    mail: Option<Transaction>,
    mistakes: u32,
}

impl<S: Connection + Unpin> Conversation<'_, S> {
    async fn run(&mut self) -> io::Result<Ended> {
        loop {
            if self.mistakes >= self.service.config.mistakes {
                self.dialogue.say(reply::TOO_MANY_MISTAKES);
                return Ok(Ended::Early);
            }
            let command = match self.dialogue.hear().await? {
                Heard::Line(line) => Command::parse(&line),
                Heard::TooLong => Err(reply::LINE_TOO_LONG),
                Heard::Bare => {
                    self.dialogue.say(reply::BARE_LINE_END);
                    return Ok(Ended::Early);
                }
                Heard::End => return Ok(Ended::InOrder),
                Heard::Silence => {
                    self.dialogue.say(reply::SILENCE);
                    return Ok(Ended::Early);
                }
                Heard::Stop => {
                    self.dialogue.say(reply::STOPPING);
                    return Ok(Ended::Early);
                }
            };
            let next = match command {
                Ok(command) => self.obey(command).await?,
                Err(reply) => self.answer(reply),
            };
            if let Err(ended) = next {
                return Ok(ended);
            }
        }
    }

    async fn obey(&mut self, command: Command) -> io::Result<Next> {
        let answer = match command {
            Command::Hello(greeting, client) => return Ok(self.hello(greeting, client)),
            Command::Mail(mail) => self.mail(mail).unwrap_or_else(|refusal| refusal),
            Command::Rcpt(address) => self.recipient(address).unwrap_or_else(|refusal| refusal),
            Command::Data => return self.data().await,
            Command::Bdat(size, is_last) => return self.chunk(size, is_last).await,
            Command::Auth(mechanism, initial) => return self.auth(&mechanism, initial.as_deref()).await,
            Command::Rset => {
                self.mail = None;
                reply::OK
            }
            Command::Noop => reply::OK,
            Command::Help => reply::HELP,
            Command::Vrfy => reply::CANNOT_VERIFY,
            Command::StartTls => return self.start_tls().await,
            Command::Expn => reply::NOT_HERE,
            Command::Quit => {
                self.dialogue.say(reply::BYE);
                return Ok(Err(Ended::InOrder));
            }
        };
        Ok(self.answer(answer))
    }

    fn answer(&mut self, reply: Reply) -> Next {
        // What is wrong for good is the client's mistake: guessed names among them.
        self.mistakes += u32::from(reply.code() >= 500);
        self.dialogue.say(reply);
        Ok(())
    }

    fn hello(&mut self, greeting: Greeting, client: String) -> Next {
        // RFC 2033 §4.1: LHLO is to LMTP what EHLO is to SMTP, and there is no other.
        if (greeting == Greeting::Lhlo) != (self.role == Role::Lmtp) {
            return self.answer(reply::UNKNOWN_COMMAND);
        }
        self.mail = None;
        let config = &self.service.config;
        let mut lines = vec![format!("{} greets {client}", config.host)];
        if greeting != Greeting::Helo {
            let fixed = ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING"];
            lines.extend(fixed.map(str::to_owned));
            lines.push(format!("SIZE {}", config.message_size));
            if self.service.acceptor.is_some() && !self.dialogue.is_encrypted() {
                lines.push("STARTTLS".into());
            }
            if self.may_authenticate() {
                let names: Vec<&str> = self.service.entrance.mechanisms().map(Mechanism::name).collect();
                lines.push(format!("AUTH {}", names.join(" ")));
            }
            lines.push("HELP".into());
        }
        let last = lines.len() - 1;
        for (index, line) in lines.into_iter().enumerate() {
            self.dialogue.say(format_args!("250{}{line}", if index == last { ' ' } else { '-' }));
        }
        self.hello = Some((greeting, client));
        Ok(())
    }

    fn may_authenticate(&self) -> bool {
        let is_private = self.dialogue.is_encrypted() || self.service.config.allow_plaintext_auth;
        self.role == Role::Submission && is_private
    }

    /// STARTTLS (RFC 3207 §4).
    async fn start_tls(&mut self) -> io::Result<Next> {
        match &self.service.acceptor {
            _ if self.dialogue.is_encrypted() => Ok(self.answer(reply::ENCRYPTED_ALREADY)),
            None => Ok(self.answer(reply::NOT_HERE)),
            Some(acceptor) => {
                self.dialogue.say(reply::READY_FOR_TLS);
                // RFC 3207 §4.2: what was said in the clear may have been said by somebody else.
                (self.hello, self.user, self.mail) = (None, None, None);
                self.dialogue.start_tls(acceptor).await?;
                Ok(Ok(()))
            }
        }
    }

    fn mail(&mut self, mail: Mail) -> Result<Reply, Reply> {
        let config = &self.service.config;
        if self.hello.is_none() {
            return Err(reply::HELLO_FIRST);
        }
        if self.mail.is_some() {
            return Err(reply::MAIL_ALREADY);
        }
        if self.role == Role::Submission {
            let missing = if self.may_authenticate() { reply::AUTH_REQUIRED } else { reply::ENCRYPTION_FIRST };
            let user = self.user.as_deref().ok_or(missing)?;
            let owner = mail.from.as_ref().and_then(|from| self.service.account_of(from).ok());
            if owner.as_deref() != Some(user) {
                return Err(reply::NOT_YOURS);
            }
        }
        if mail.from.as_ref().is_some_and(Address::is_international) && !mail.is_international {
            return Err(reply::NOT_INTERNATIONAL);
        }
        if mail.size.is_some_and(|size| size > config.message_size) {
            return Err(reply::TOO_LARGE);
        }
        if !self.visit.may_send(self.service.clock.now()) {
            return Err(reply::TOO_FAST);
        }
        self.mail = Some(Transaction::new(mail));
        Ok(reply::SENDER_OK)
    }

    fn recipient(&mut self, address: Address) -> Result<Reply, Reply> {
        let mail = self.mail.as_mut().ok_or(reply::MAIL_FIRST)?;
        if mail.chunks.is_some() {
            return Err(reply::IN_CHUNKS);
        }
        if mail.len() >= self.service.config.recipients {
            return Err(reply::TOO_MANY_RECIPIENTS);
        }
        if address.is_international() && !mail.mail.is_international {
            return Err(reply::NOT_INTERNATIONAL);
        }
        let account = self.service.account_of(&address).map_err(|refusal| match self.role {
            Role::Submission if refusal == reply::NO_RELAY => reply::NO_QUEUE,
            _ => refusal,
        })?;
        let maildir = self.service.mailboxes.of(&account).ok_or(reply::NO_SUCH_USER)?;
        mail.add(address, maildir);
        Ok(reply::RECIPIENT_OK)
    }

    /// The message that begins, read by `lines`.
    fn incoming(&self, mail: &Transaction, lines: Unstuffer) -> Incoming {
        let (service, since_1970) = (self.service, self.service.clock.unix_time());
        let draft = service.mailboxes.draft(mail.maildirs(), since_1970, &service.config.host);
        let (greeting, client) =
            self.hello.as_ref().map_or((Greeting::Helo, ""), |(greeting, client)| (*greeting, client));
        let agreement = self.dialogue.agreement();
        let trace = Trace {
            from: mail.mail.from.as_ref(),
            recipient: mail.only_recipient(),
            greeting,
            client,
            peer: self.dialogue.peer(),
            tls: agreement.as_ref(),
            is_authenticated: self.user.is_some(),
            is_international: mail.mail.is_international,
            host: &service.config.host,
            id: draft.name(),
            since_1970,
        };
        let trace = trace.fields();
        Incoming::new(lines, draft, trace, service.config.message_size)
    }

    /// DATA (RFC 5321 §4.1.1.4).
    async fn data(&mut self) -> io::Result<Next> {
        let mail = match self.mail.take() {
            None => return Ok(self.answer(reply::MAIL_FIRST)),
            Some(mail) if mail.chunks.is_some() => {
                self.mail = Some(mail);
                return Ok(self.answer(reply::IN_CHUNKS));
            }
            // RFC 2033 §4.2: with nobody to answer for, DATA is refused.
            Some(mail) if mail.len() == 0 => {
                self.mail = Some(mail);
                return Ok(self.answer(reply::NO_VALID_RECIPIENTS));
            }
            Some(mail) => mail,
        };
        self.dialogue.say(reply::GO_AHEAD);
        let message = self.incoming(&mail, Unstuffer::new());
        match self.until_end(message, None).await? {
            Ok(message) => {
                self.deliver(mail, message).await;
                Ok(Ok(()))
            }
            Err(ended) => Ok(Err(ended)),
        }
    }

    /// BDAT (RFC 3030 §2): the octets come whatever we think of them.
    async fn chunk(&mut self, size: u64, is_last: bool) -> io::Result<Next> {
        if size > self.service.config.message_size.saturating_mul(4) {
            self.dialogue.say(reply::TOO_LARGE);
            return Ok(Err(Ended::Early));
        }
        let mut mail = match self.mail.take() {
            Some(mail) if mail.len() > 0 => mail,
            other => {
                let refusal = if other.is_some() { reply::RCPT_FIRST } else { reply::MAIL_FIRST };
                self.mail = other;
                return Ok(match self.skip(size).await? {
                    Ok(()) => self.answer(refusal),
                    ended => ended,
                });
            }
        };
        let message = mail.chunks.take().unwrap_or_else(|| self.incoming(&mail, Unstuffer::of_chunks()));
        let mut message = match self.until_end(message, Some(size)).await? {
            Ok(message) => message,
            Err(ended) => return Ok(Err(ended)),
        };
        if is_last {
            message.finish();
            self.deliver(mail, message).await;
            return Ok(Ok(()));
        }
        mail.chunks = Some(message);
        self.mail = Some(mail);
        Ok(self.answer(Reply::new(250, "2.0.0", format!("{size} octets received"))))
    }

    /// Reads the message up to its own end, or so many octets of it.
    async fn until_end(&mut self, message: Incoming, size: Option<u64>) -> io::Result<Result<Incoming, Ended>> {
        let service = self.service;
        self.dialogue.set_idle(SILENCE_IN_MESSAGE);
        let reading = async {
            let mut message = message;
            let mut left = size.unwrap_or(u64::MAX);
            while left > 0 {
                let octets = self.dialogue.read(READ.min(usize::try_from(left).unwrap_or(READ))).await?;
                if octets.is_empty() {
                    return Ok(Err(Ended::InOrder));
                }
                left -= octets.len() as u64;
                match message.take(&octets) {
                    Ok(Some(end)) => {
                        self.dialogue.unread(octets.get(end..).unwrap_or_default());
                        break;
                    }
                    Ok(None) => message.spill(&service.errands).await,
                    Err(reply) => {
                        self.dialogue.say(reply);
                        return Ok(Err(Ended::Early));
                    }
                }
            }
            Ok::<_, io::Error>(Ok(message))
        };
        let read = within(&*service.clock, MESSAGE, reading).await;
        self.dialogue.set_idle(service.config.idle);
        match read {
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {}
            Ok(read) => return read,
            Err(_) => {}
        }
        self.dialogue.say(reply::SILENCE);
        Ok(Err(Ended::Early))
    }

    async fn skip(&mut self, mut left: u64) -> io::Result<Next> {
        while left > 0 {
            let octets = self.dialogue.read(READ.min(usize::try_from(left).unwrap_or(READ))).await?;
            if octets.is_empty() {
                return Ok(Err(Ended::InOrder));
            }
            left -= octets.len() as u64;
        }
        Ok(Ok(()))
    }

    async fn deliver(&mut self, mail: Transaction, message: Incoming) {
        let since_1970 = self.service.clock.unix_time();
        let each = self.role == Role::Lmtp;
        for reply in mail.deliver(message, &self.service.errands, since_1970, each).await {
            log::debug!(target: "tapstack::smtp", "{}: {reply}", self.dialogue.peer());
            self.dialogue.say(reply);
        }
    }

    /// AUTH (RFC 4954 §4).
    async fn auth(&mut self, name: &str, initial: Option<&[u8]>) -> io::Result<Next> {
        let refusal = if self.role != Role::Submission {
            Some(reply::NOT_HERE)
        } else if !self.may_authenticate() {
            Some(reply::ENCRYPTION_REQUIRED)
        } else if self.hello.is_none() {
            Some(reply::HELLO_FIRST)
        } else if self.user.is_some() || self.mail.is_some() {
            Some(reply::AUTH_ALREADY)
        } else {
            None
        };
        let mechanism = self.service.entrance.mechanisms().find(|known| Some(*known) == Mechanism::of(name));
        let mechanism = match (refusal, mechanism) {
            (Some(refusal), _) => return Ok(self.answer(refusal)),
            (None, None) => return Ok(self.answer(reply::UNKNOWN_MECHANISM)),
            (None, Some(mechanism)) => mechanism,
        };
        let outcome = authenticate(&mut self.dialogue, &self.service.entrance, "334", mechanism, initial).await?;
        let answer = match outcome {
            Outcome::Admitted(user) => {
                self.user = Some(user);
                reply::AUTHENTICATED
            }
            Outcome::Refused => {
                // Three of them and the connection is closed, as with POP3.
                self.mistakes += self.service.config.mistakes / 3;
                reply::AUTH_REFUSED
            }
            Outcome::Busy | Outcome::Throttled => reply::AUTH_BUSY,
            Outcome::Cancelled => reply::CANCELLED,
            Outcome::Malformed => reply::NOT_BASE64,
            Outcome::Over(_) => return Ok(Err(Ended::InOrder)),
        };
        Ok(self.answer(answer))
    }
}
