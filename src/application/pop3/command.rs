//! A line read as a POP3 command (RFC 1939 §3, §5 to §7; RFC 2449 §5; RFC 2595 §4; RFC 5034; RFC 6856).
//!
//! Keywords are case-insensitive and their arguments are separated by one space. The argument of PASS is
//! the rest of the line, spaces included (RFC 1939 §7).

use std::fmt;

/// The longest line a client may send, its end included. RFC 2449 §4 asks for 255; passwords of people
/// are longer than one thinks.
pub const LINE_LENGTH: usize = 512;

/// The number of a message as the client counts, from 1. Numbers that are too long to be any message's
/// are the largest one.
pub type Number = u64;

/// What the client asks for.
#[derive(Clone, PartialEq, Eq)]
pub enum Command {
    /// The capabilities.
    Capa,
    /// Encryption.
    Stls,
    /// The end.
    Quit,
    /// The name of the account.
    User(String),
    /// The password.
    Pass(Vec<u8>),
    /// SASL with a mechanism and perhaps its first response; without either the list of mechanisms is asked for.
    Auth(Option<String>, Option<Vec<u8>>),
    /// Names and mail may be UTF-8.
    Utf8,
    /// The language of answers; without one the list of them is asked for.
    Lang(Option<String>),
    /// How many messages, how many octets.
    Stat,
    /// Sizes, of all messages or of one.
    List(Option<Number>),
    /// Unique identifiers, of all messages or of one.
    Uidl(Option<Number>),
    /// A message.
    Retr(Number),
    /// The header of a message and so many lines of its body.
    Top(Number, u64),
    /// Marks a message for deletion.
    Dele(Number),
    /// Unmarks all.
    Rset,
    /// Nothing.
    Noop,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.keyword())
    }
}

/// Why a line is no command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mistake {
    /// There is no such command.
    Unknown,
    /// An argument is missing.
    Missing,
    /// There are more arguments than the command has.
    TooMany,
    /// An argument is not a number.
    NotANumber,
    /// The line is too long.
    TooLong,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mistake::Unknown => "unknown command",
            Mistake::Missing => "an argument is missing",
            Mistake::TooMany => "too many arguments",
            Mistake::NotANumber => "the argument is not a number",
            Mistake::TooLong => "the line is too long",
        })
    }
}

impl Command {
    /// The command's keyword.
    pub fn keyword(&self) -> &'static str {
        match self {
            Command::Capa => "CAPA",
            Command::Stls => "STLS",
            Command::Quit => "QUIT",
            Command::User(_) => "USER",
            Command::Pass(_) => "PASS",
            Command::Auth(..) => "AUTH",
            Command::Utf8 => "UTF8",
            Command::Lang(_) => "LANG",
            Command::Stat => "STAT",
            Command::List(_) => "LIST",
            Command::Uidl(_) => "UIDL",
            Command::Retr(_) => "RETR",
            Command::Top(..) => "TOP",
            Command::Dele(_) => "DELE",
            Command::Rset => "RSET",
            Command::Noop => "NOOP",
        }
    }

    /// Reads a line, its end not included.
    pub fn parse(line: &[u8]) -> Result<Command, Mistake> {
        let at = line.iter().position(|octet| *octet == b' ').unwrap_or(line.len());
        let (keyword, rest) = line.split_at_checked(at).unwrap_or((line, b""));
        let rest = rest.strip_prefix(b" ");
        let keyword = keyword.to_ascii_uppercase();
        if keyword == b"PASS" {
            return rest.map(|password| Command::Pass(password.to_vec())).ok_or(Mistake::Missing);
        }
        let mut arguments = Arguments::new(rest);
        let command = match keyword.as_slice() {
            b"CAPA" => Command::Capa,
            b"STLS" => Command::Stls,
            b"QUIT" => Command::Quit,
            b"USER" => Command::User(arguments.text()?),
            b"AUTH" => Command::Auth(arguments.next().map(text), arguments.next().map(<[u8]>::to_vec)),
            b"UTF8" => Command::Utf8,
            b"LANG" => Command::Lang(arguments.next().map(text)),
            b"STAT" => Command::Stat,
            b"LIST" => Command::List(arguments.optional_number()?),
            b"UIDL" => Command::Uidl(arguments.optional_number()?),
            b"RETR" => Command::Retr(arguments.number()?),
            b"TOP" => Command::Top(arguments.number()?, arguments.number()?),
            b"DELE" => Command::Dele(arguments.number()?),
            b"RSET" => Command::Rset,
            b"NOOP" => Command::Noop,
            _ => return Err(Mistake::Unknown),
        };
        match arguments.next() {
            None => Ok(command),
            Some(_) => Err(Mistake::TooMany),
        }
    }
}

/// What follows the keyword, cut at spaces. Spaces at the end of a line are forgiven.
struct Arguments<'a>(std::slice::Split<'a, u8, fn(&u8) -> bool>);

impl<'a> Arguments<'a> {
    fn new(rest: Option<&'a [u8]>) -> Self {
        let is_space: fn(&u8) -> bool = |octet| *octet == b' ';
        Arguments(rest.unwrap_or_default().split(is_space))
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.find(|argument| !argument.is_empty())
    }

    fn text(&mut self) -> Result<String, Mistake> {
        self.next().map(text).ok_or(Mistake::Missing)
    }

    fn number(&mut self) -> Result<u64, Mistake> {
        self.optional_number()?.ok_or(Mistake::Missing)
    }

    fn optional_number(&mut self) -> Result<Option<u64>, Mistake> {
        let Some(digits) = self.next() else {
            return Ok(None);
        };
        digits
            .iter()
            .try_fold(0u64, |number, digit| match digit {
                b'0'..=b'9' => Ok(number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
                _ => Err(Mistake::NotANumber),
            })
            .map(Some)
    }
}

fn text(argument: &[u8]) -> String {
    String::from_utf8_lossy(argument).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keywords_are_case_insensitive_and_arguments_are_read() {
        for (line, command) in [
            ("quit", Command::Quit),
            ("Capa", Command::Capa),
            ("stls", Command::Stls),
            ("USER alice", Command::User("alice".into())),
            ("pass  two spaces ", Command::Pass(b" two spaces ".to_vec())),
            ("PASS ", Command::Pass(b"".to_vec())),
            ("AUTH", Command::Auth(None, None)),
            ("AUTH PLAIN AGEAYg==", Command::Auth(Some("PLAIN".into()), Some(b"AGEAYg==".to_vec()))),
            ("utf8", Command::Utf8),
            ("LANG", Command::Lang(None)),
            ("LANG de", Command::Lang(Some("de".into()))),
            ("STAT", Command::Stat),
            ("LIST", Command::List(None)),
            ("LIST 3", Command::List(Some(3))),
            ("UIDL ", Command::Uidl(None)),
            ("UIDL 00012", Command::Uidl(Some(12))),
            ("RETR 1", Command::Retr(1)),
            ("TOP 1 0", Command::Top(1, 0)),
            ("TOP 1 99999999999999999999999", Command::Top(1, u64::MAX)),
            ("DELE 99999999999999999999999", Command::Dele(u64::MAX)),
            ("RSET", Command::Rset),
            ("NOOP", Command::Noop),
        ] {
            assert!(Command::parse(line.as_bytes()) == Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_no_command_is_told_apart() {
        for (line, mistake) in [
            ("", Mistake::Unknown),
            (" ", Mistake::Unknown),
            ("GET / HTTP/1.1", Mistake::Unknown),
            ("QUITE", Mistake::Unknown),
            ("USER", Mistake::Missing),
            ("USER ", Mistake::Missing),
            ("USER a b", Mistake::TooMany),
            ("PASS", Mistake::Missing),
            ("RETR", Mistake::Missing),
            ("RETR one", Mistake::NotANumber),
            ("RETR -1", Mistake::NotANumber),
            ("RETR +1", Mistake::NotANumber),
            ("TOP 1", Mistake::Missing),
            ("TOP 1 2 3", Mistake::TooMany),
            ("STAT 1", Mistake::TooMany),
            ("STLS 1", Mistake::TooMany),
            ("LIST 1 2", Mistake::TooMany),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Err(mistake), "{line}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(format!("{:?}", Command::Pass(b"secret".to_vec())), "PASS");
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic(line: Vec<u8>) {
            let _ = Command::parse(&line);
        }
    }
}
