//! A conversation in lines, as POP3 and SMTP hold it: commands come as lines, answers are collected while further
//! commands are here already, and go out before it is waited for (RFC 2449 §6.6, RFC 2920 §3.1).
//!
//! ```text
//!   stream --> LineReader --> hear()          say() --> answers --> flush() --> stream
//!                     `--> read(): what is no line (the body of a mail)
//! ```
//!
//! A conversation that begins in the clear may go on encrypted ([`Dialogue::start_tls`]): that is what STLS and STARTTLS
//! do. What was sent in the clear must not be heard behind them, so octets that wait are thrown away.

use crate::application::server::{Connection, Shutdown};
use crate::base::time::Duration;
use crate::presentation::lines::{Line, LineReader};
use crate::presentation::tls::stream::Agreement;
use crate::presentation::tls::{Acceptor, TlsStream};
use crate::session::clock::{Clock, within};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::{Either, select};
use futures_util::{AsyncReadExt, AsyncWriteExt};
use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::pin::pin;

/// Answers are sent when there is so much of them, commands waiting or not.
const ANSWERS: usize = 32 << 10;
/// Octets that are read at a time when they are no lines.
pub const READ: usize = 16 << 10;
/// How long a client that was sent away may still send before its connection is reset.
const LINGER: Duration = Duration::from_secs(2);

/// What came of waiting for the next line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A line, without its end.
    Line(Vec<u8>),
    /// A line longer than the bound.
    TooLong,
    /// Octets that end a line, or do not, depending on who reads them.
    Bare,
    /// The client closed its side.
    End,
    /// Nothing came for as long as may be.
    Silence,
    /// The service is to stop.
    Stop,
}

/// One side of a conversation.
pub struct Dialogue<'a, S> {
    stream: S,
    peer: IpAddr,
    clock: &'a dyn Clock,
    shutdown: &'a Shutdown,
    lines: LineReader,
    answers: Vec<u8>,
    /// How long the client may be silent, or take nothing.
    idle: Duration,
    /// How long a line may take that has begun, if that is to be less.
    line_time: Duration,
}

impl<'a, S: AsyncRead + AsyncWrite + Connection + Unpin> Dialogue<'a, S> {
    /// A dialogue over `stream`, with lines as `lines` cuts them.
    pub fn new(stream: S, lines: LineReader, clock: &'a dyn Clock, shutdown: &'a Shutdown, idle: Duration) -> Self {
        Dialogue {
            peer: stream.peer().ip(),
            stream,
            clock,
            shutdown,
            lines,
            answers: Vec::new(),
            idle,
            line_time: Duration::MAX,
        }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Another patience from here on.
    pub fn set_idle(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// How long a line may take from its first octet on. Without it, what is waited for and what it takes together have the
    /// time that a client may be silent.
    pub fn set_line_time(&mut self, time: Duration) {
        self.line_time = time;
    }

    /// The longest line from here on, its end included.
    pub fn set_line_length(&mut self, length: usize) {
        self.lines.set_limit(length);
    }

    /// Answers with a line.
    pub fn say(&mut self, text: impl Display) {
        use std::io::Write;
        // A vector takes everything.
        let _ = write!(self.answers, "{text}\r\n");
    }

    /// The answers that are collected, to add to.
    pub fn answers(&mut self) -> &mut Vec<u8> {
        &mut self.answers
    }

    /// The next line. Waits for it with all answers sent.
    pub async fn hear(&mut self) -> io::Result<Heard> {
        if !self.lines.has_line() {
            self.flush().await?;
        }
        self.flush_some().await?;
        let line = async {
            if self.line_time < self.idle
                && let Err(error) = within(self.clock, self.idle, self.lines.begin(&mut self.stream)).await?
            {
                return Ok(Err(error));
            }
            within(self.clock, self.line_time.min(self.idle), self.lines.next(&mut self.stream)).await
        };
        Ok(match select(pin!(line), self.shutdown.requested()).await {
            Either::Left((Ok(line), _)) => match line? {
                Line::Text(line) => Heard::Line(line),
                Line::TooLong => Heard::TooLong,
                Line::Bare => Heard::Bare,
                Line::End => Heard::End,
            },
            Either::Left((Err(_), _)) => Heard::Silence,
            Either::Right(_) => Heard::Stop,
        })
    }

    /// Octets that are no lines, up to `most`: what is here already, or what comes next. Empty at the end of the
    /// stream. Waits with all answers sent.
    pub async fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut octets = self.lines.take(most);
        if !octets.is_empty() {
            return Ok(octets);
        }
        self.flush().await?;
        octets.resize(most.min(READ), 0);
        let n = within(self.clock, self.idle, self.stream.read(&mut octets)).await.map_err(|_| late())??;
        octets.truncate(n);
        Ok(octets)
    }

    /// Gives back what [`Dialogue::read`] gave too much of.
    pub fn unread(&mut self, octets: &[u8]) {
        self.lines.put_back(octets);
    }

    /// Sends the answers if there are many.
    pub async fn flush_some(&mut self) -> io::Result<()> {
        if self.answers.len() < ANSWERS { Ok(()) } else { self.flush().await }
    }

    /// Sends the answers so far. A client that does not take them for as long as it may be silent is gone.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.answers.is_empty() {
            return Ok(());
        }
        let write = async {
            self.stream.write_all(&self.answers).await?;
            self.stream.flush().await
        };
        within(self.clock, self.idle, write).await.map_err(|_| late())??;
        self.answers.clear();
        Ok(())
    }

    /// Sends the last answers and closes.
    pub async fn close(mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.close().await
    }

    /// The same for a client that may still be sending. What it sends is read for a moment: closing with unread data
    /// would send a reset, which can destroy the last answer on its way.
    pub async fn dismiss(mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.close().await?;
        let rest = async {
            let mut octets = vec![0; READ];
            while matches!(self.stream.read(&mut octets).await, Ok(1..)) {}
        };
        // A client that goes on for longer is reset by the stream's end.
        let _ = within(self.clock, LINGER, rest).await;
        Ok(())
    }
}

impl<S: Connection + Unpin> Dialogue<'_, TlsStream<S>> {
    /// Sends the answers so far, and goes on encrypted (RFC 2595 §4, RFC 3207 §4). What the client sent ahead in the clear
    /// is thrown away. The handshake takes place while the next line is waited for, which fails if it does.
    pub async fn start_tls(&mut self, acceptor: &Acceptor) -> io::Result<()> {
        self.flush().await?;
        self.lines.discard();
        self.stream.start_tls(acceptor)
    }

    /// True if nobody on the path hears what is said.
    pub fn is_encrypted(&self) -> bool {
        self.stream.is_encrypted()
    }

    /// What was agreed on encryption; `None` in the clear.
    pub fn agreement(&self) -> Option<Agreement> {
        self.stream.agreement()
    }
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::testing::{Bench, pipe};
    use crate::presentation::tls::tests::fixtures::{Client, ordinary};

    #[test]
    fn what_was_sent_ahead_of_a_layer_is_not_heard_behind_it() {
        let mut bench = Bench::default();
        let (acceptor, config) = ordinary(&bench);
        let (ours, theirs) = pipe(1 << 16);
        let (clock, shutdown) = (bench.clock(), Shutdown::new());
        ours.put("STLS\r\nDELE 1\r\nDELE");
        let heard = bench.spawn(async move {
            let (stream, idle) = (TlsStream::plain(theirs), Duration::from_secs(60));
            let mut dialogue = Dialogue::new(stream, LineReader::new(100), &*clock, &shutdown, idle);
            let first = dialogue.hear().await.unwrap();
            dialogue.say("+OK begin");
            dialogue.start_tls(&acceptor).await.unwrap();
            [first, dialogue.hear().await.unwrap()]
        });
        assert_eq!(ours.text(), "+OK begin\r\n");
        let mut client = Client::new(&config, "host.example", ours);
        client.say(&mut bench, b"STAT\r\n");
        assert_eq!(heard.take(), Some([Heard::Line(b"STLS".to_vec()), Heard::Line(b"STAT".to_vec())]));
    }

    #[test]
    fn octets_that_are_no_lines_are_read_between_lines() {
        let mut bench = Bench::default();
        let (ours, theirs) = pipe(1 << 10);
        let (clock, shutdown) = (bench.clock(), Shutdown::new());
        ours.put("BDAT 5\r\na\r\nbcNOOP\r\n");
        let heard = bench.spawn(async move {
            let mut dialogue = Dialogue::new(theirs, LineReader::new(100), &*clock, &shutdown, Duration::from_secs(60));
            let first = dialogue.hear().await.unwrap();
            let octets = dialogue.read(9).await.unwrap();
            dialogue.unread(&octets[5..]);
            (first, octets[..5].to_vec(), dialogue.hear().await.unwrap())
        });
        let expected = (Heard::Line(b"BDAT 5".to_vec()), b"a\r\nbc".to_vec(), Heard::Line(b"NOOP".to_vec()));
        assert_eq!(heard.take(), Some(expected));
    }
}
