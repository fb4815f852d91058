//! A line read as an SMTP command (RFC 5321 §4.1.1, RFC 3030 §2, RFC 2033 §4.1, RFC 4954 §4).
//!
//! Verbs are written in any case. What may stand behind a verb is read by the letter: one more word than there may be
//! is a mistake, not something to pass over. The parser of `smtp-proto` passes over such words and over CRs inside of
//! words, and takes a bare LF for the end of a line, which is what smuggling lives on; so this one is our own.

use super::address::{Address, is_domain, is_literal};
use super::reply::{BAD_ARGUMENT, BAD_SYNTAX, Reply, UNKNOWN_COMMAND, UNKNOWN_PARAMETER};
use std::str::FromStr;

/// The longest line of a command, its end included: RFC 5321 §4.5.3.1.4 asks for 512 octets, to which the extensions
/// add (RFC 1870, RFC 6152, RFC 6531, RFC 4954 §4).
pub const LINE_LENGTH: usize = 2_048;

/// How a client greets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Greeting {
    /// The oldest, without extensions.
    Helo,
    /// With extensions.
    Ehlo,
    /// That of LMTP.
    Lhlo,
}

/// What MAIL says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Mail {
    /// Who sends, and hears of what goes wrong; `None` for `<>`.
    pub from: Option<Address>,
    /// The size that is announced (RFC 1870).
    pub size: Option<u64>,
    /// Addresses and headers may be UTF-8 (RFC 6531).
    pub is_international: bool,
}

/// What the client asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Who the client says it is.
    Hello(Greeting, String),
    /// A message begins.
    Mail(Mail),
    /// Someone it is for.
    Rcpt(Address),
    /// The message follows up to a line of one dot.
    Data,
    /// So many octets of the message follow; true if they are the last.
    Bdat(u64, bool),
    /// The message is given up.
    Rset,
    /// Nothing.
    Noop,
    /// Is there such an address?
    Vrfy,
    /// Who is on this list?
    Expn,
    /// What can be said here?
    Help,
    /// SASL with a mechanism and perhaps its first response.
    Auth(String, Option<Vec<u8>>),
    /// Encryption.
    StartTls,
    /// The end.
    Quit,
}

impl Command {
    /// Reads a line, its end not included; or how to answer what is none.
    pub fn parse(line: &[u8]) -> Result<Command, Reply> {
        let line = std::str::from_utf8(line).map_err(|_| BAD_SYNTAX)?;
        if line.contains(char::is_control) {
            return Err(BAD_SYNTAX);
        }
        // Spaces at the end are not meant (RFC 5321 §4.1.1: "SHOULD tolerate").
        let line = line.trim_end_matches(' ');
        let (verb, rest) = line.split_once(' ').map_or((line, None), |(verb, rest)| (verb, Some(rest)));
        let verb = verb.to_ascii_uppercase();
        let hello = |greeting| Ok(Command::Hello(greeting, host(rest)?));
        let alone = |command| if rest.is_none() { Ok(command) } else { Err(BAD_ARGUMENT) };
        match verb.as_str() {
            "HELO" => hello(Greeting::Helo),
            "EHLO" => hello(Greeting::Ehlo),
            "LHLO" => hello(Greeting::Lhlo),
            "MAIL" => mail(behind("FROM:", rest)?).map(Command::Mail),
            "RCPT" => rcpt(behind("TO:", rest)?).map(Command::Rcpt),
            "DATA" => alone(Command::Data),
            "BDAT" => bdat(rest),
            "RSET" => alone(Command::Rset),
            "QUIT" => alone(Command::Quit),
            "STARTTLS" => alone(Command::StartTls),
            "NOOP" => Ok(Command::Noop),
            "HELP" => Ok(Command::Help),
            "VRFY" => rest.map(|_| Command::Vrfy).ok_or(BAD_ARGUMENT),
            "EXPN" => rest.map(|_| Command::Expn).ok_or(BAD_ARGUMENT),
            "AUTH" => auth(rest),
            _ => Err(UNKNOWN_COMMAND),
        }
    }
}

/// What follows a word such as `FROM:`, behind which some clients put a space.
fn behind<'a>(word: &str, rest: Option<&'a str>) -> Result<&'a str, Reply> {
    let rest = rest.ok_or(BAD_ARGUMENT)?;
    match rest.get(..word.len()) {
        Some(start) if start.eq_ignore_ascii_case(word) => {
            Ok(rest.get(word.len()..).unwrap_or_default().trim_start_matches(' '))
        }
        _ => Err(BAD_ARGUMENT),
    }
}

/// Who the client says it is. It becomes part of a header, so it must be what it should: some clients have nothing better
/// than a name with an underscore.
fn host(rest: Option<&str>) -> Result<String, Reply> {
    let host = rest.unwrap_or_default().trim_matches(' ');
    if is_domain(host) || is_literal(host) { Ok(host.into()) } else { Err(BAD_ARGUMENT) }
}

/// Keywords with or without values, each once.
fn parameters(text: &str) -> Result<Vec<(String, Option<&str>)>, Reply> {
    let mut found: Vec<(String, Option<&str>)> = Vec::new();
    if text.is_empty() {
        return Ok(found);
    }
    let text = text.strip_prefix(' ').ok_or(BAD_ARGUMENT)?;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (keyword, value) = word.split_once('=').map_or((word, None), |(keyword, value)| (keyword, Some(value)));
        let keyword = keyword.to_ascii_uppercase();
        if found.iter().any(|(known, _)| *known == keyword) {
            return Err(BAD_ARGUMENT);
        }
        found.push((keyword, value));
    }
    Ok(found)
}

fn mail(text: &str) -> Result<Mail, Reply> {
    let (from, rest) = Address::parse_path(text).ok_or(BAD_ARGUMENT)?;
    let mut mail = Mail { from, ..Mail::default() };
    for (keyword, value) in parameters(rest)? {
        match (keyword.as_str(), value) {
            ("SIZE", Some(size)) => mail.size = Some(number(size).ok_or(BAD_ARGUMENT)?),
            ("BODY", Some(body)) if ["7BIT", "8BITMIME"].iter().any(|known| body.eq_ignore_ascii_case(known)) => {}
            ("SMTPUTF8", None) => mail.is_international = true,
            // Who sent it first, says somebody whom we need not trust (RFC 4954 §5).
            ("AUTH", Some(_)) => {}
            _ => return Err(UNKNOWN_PARAMETER),
        }
    }
    Ok(mail)
}

fn rcpt(text: &str) -> Result<Address, Reply> {
    match Address::parse_path(text) {
        Some((Some(address), "")) => Ok(address),
        Some((Some(_), rest)) => Err(if rest.starts_with(' ') { UNKNOWN_PARAMETER } else { BAD_ARGUMENT }),
        _ => Err(BAD_ARGUMENT),
    }
}

fn bdat(rest: Option<&str>) -> Result<Command, Reply> {
    let mut words = rest.unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    let size = words.next().and_then(number).ok_or(BAD_ARGUMENT)?;
    match (words.next(), words.next()) {
        (None, _) => Ok(Command::Bdat(size, false)),
        (Some(last), None) if last.eq_ignore_ascii_case("LAST") => Ok(Command::Bdat(size, true)),
        _ => Err(BAD_ARGUMENT),
    }
}

fn auth(rest: Option<&str>) -> Result<Command, Reply> {
    let mut words = rest.unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next()) {
        (Some(mechanism), initial, None) => {
            Ok(Command::Auth(mechanism.into(), initial.map(|text| text.as_bytes().to_vec())))
        }
        _ => Err(BAD_ARGUMENT),
    }
}

/// Digits alone: `parse` would take a sign as well.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| u64::from_str(text).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn commands_are_read_in_any_case() {
        let mail = |from: Option<&str>, size, is_international| {
            Command::Mail(Mail { from: from.map(address), size, is_international })
        };
        for (line, command) in [
            ("ehlo mail.example", Command::Hello(Greeting::Ehlo, "mail.example".into())),
            ("HELO [192.0.2.1]", Command::Hello(Greeting::Helo, "[192.0.2.1]".into())),
            ("LHLO x", Command::Hello(Greeting::Lhlo, "x".into())),
            ("MAIL FROM:<>", mail(None, None, false)),
            ("mail from: <a@b.example> size=12 BODY=8BITMIME", mail(Some("a@b.example"), Some(12), false)),
            ("MAIL FROM:<a@b.example> SMTPUTF8 AUTH=<>", mail(Some("a@b.example"), None, true)),
            ("RCPT TO:<a@b.example>", Command::Rcpt(address("a@b.example"))),
            ("RCPT TO:<postmaster> ", Command::Rcpt(address("postmaster"))),
            ("Data", Command::Data),
            ("BDAT 86 LAST", Command::Bdat(86, true)),
            ("BDAT 0", Command::Bdat(0, false)),
            ("NOOP and so on", Command::Noop),
            ("VRFY alice", Command::Vrfy),
            ("AUTH PLAIN", Command::Auth("PLAIN".into(), None)),
            ("AUTH plain =", Command::Auth("plain".into(), Some(b"=".to_vec()))),
            ("QUIT ", Command::Quit),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_no_command_is_answered_for_what_it_is() {
        for (line, code) in [
            ("", 500),
            ("FOO", 500),
            ("DATA now", 501),
            ("QUIT now", 501),
            ("EHLO", 501),
            ("EHLO a b", 501),
            ("EHLO (x)", 501),
            ("MAIL", 501),
            ("MAIL FROM", 501),
            ("MAIL FROM:a@b.example", 501),
            ("MAIL FROM:<a@b.example>SIZE=1", 501),
            ("MAIL FROM:<a@b.example> SIZE=+1", 501),
            ("MAIL FROM:<a@b.example> SIZE=1 SIZE=2", 501),
            ("MAIL FROM:<a@b.example> SIZE", 555),
            ("MAIL FROM:<a@b.example> BODY=BINARYMIME", 555),
            ("MAIL FROM:<a@b.example> RET=FULL", 555),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<a@b.example> NOTIFY=NEVER", 555),
            ("RCPT FROM:<a@b.example>", 501),
            ("BDAT", 501),
            ("BDAT -1", 501),
            ("BDAT 1 FIRST", 501),
            ("BDAT 99999999999999999999 LAST", 501),
            ("NOOP \u{1}", 500),
            ("VRFY", 501),
            ("AUTH", 501),
        ] {
            assert_eq!(Command::parse(line.as_bytes()).map_err(|reply| reply.code()), Err(code), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic(line: Vec<u8>) {
            let _ = Command::parse(&line);
        }
    }
}
