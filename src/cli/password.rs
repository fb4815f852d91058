//! `tapstack password`: the Argon2id hash of a password, or what SCRAM needs of it, for an `[[account]]`.

use crate::daemon::failure::Failure;
use crate::session::accounts;
use crate::session::sasl::scram::Entry;
use std::io::{self, BufRead, IsTerminal};

pub(super) fn run(is_scram: bool) -> Result<(), Failure> {
    let password = ask()?;
    if !is_scram {
        super::print(&(hash(&password)? + "\n"));
        return Ok(());
    }
    let Some(entry) = scram(&password)? else {
        let message = "a password for SCRAM is of printable ASCII: others would have to be prepared (RFC 4013)";
        return Err(Failure::Usage(message.to_owned()));
    };
    super::print(&(entry + "\n"));
    Ok(())
}

/// Asks on a terminal, or takes the first line of standard input.
pub(super) fn ask() -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::running(format!("the password can't be read: {error}"));
    let password = if io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ").map_err(failed)?;
        if rpassword::prompt_password("The same again: ").map_err(failed)? != password {
            return Err(Failure::Usage("the two passwords differ: try again".to_owned()));
        }
        password
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(failed)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    if password.is_empty() {
        return Err(Failure::Usage("the password is empty: type one, or pipe it in as one line".to_owned()));
    }
    Ok(password)
}

/// The PHC string of a password.
pub(super) fn hash(password: &str) -> Result<String, Failure> {
    accounts::hash(password.as_bytes())
        .map_err(|error| Failure::running(format!("the password can't be hashed: {error}")))
}

/// What SCRAM needs of a password; `None` if it takes no such password.
pub(super) fn scram(password: &str) -> Result<Option<String>, Failure> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| Failure::running(format!("no randomness can be had: {error}")))?;
    Ok(Entry::of(password.as_bytes(), &salt).map(|entry| entry.to_string()))
}
