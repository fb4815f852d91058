//! How a command fails: with which exit status, and with a message that says what failed, on what, and what to do.

use crate::daemon::config::Mistake;
use crate::physical::tap::TapError;
use std::fmt;

/// A command that did not do what it was asked to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Wrong arguments or configuration: exit status 2.
    Usage(String),
    /// It failed while running: exit status 1.
    Running(String),
}

impl Failure {
    /// A failure while running.
    pub fn running(message: impl fmt::Display) -> Self {
        Failure::Running(message.to_string())
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        match self {
            Failure::Running(_) => 1,
            Failure::Usage(_) => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(message) | Failure::Running(message) => f.write_str(&without_numbers(message)),
        }
    }
}

/// A message without the "(os error 2)" that the standard library puts behind the words for it: the number helps
/// nobody who has read them.
fn without_numbers(message: &str) -> String {
    let mut parts = message.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once(')').map_or("", |(_, rest)| rest));
    }
    plain
}

impl std::error::Error for Failure {}

impl From<Mistake> for Failure {
    fn from(mistake: Mistake) -> Self {
        Failure::Usage(mistake.to_string())
    }
}

impl From<TapError> for Failure {
    fn from(error: TapError) -> Self {
        Failure::Running(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_it_in_words() {
        let failure = Failure::running("the file: x: No such file (os error 2): is it there?");
        assert_eq!(failure.to_string(), "the file: x: No such file: is it there?");
        assert_eq!(Failure::running("a (b) c").to_string(), "a (b) c");
    }
}
