//! `tapstack password`: the Argon2id hash of a password, for an `[[account]]`.

use crate::daemon::failure::Failure;
use crate::session::accounts;
use std::io::{self, BufRead, IsTerminal};

/// Asks on a terminal, or takes the first line of standard input.
pub(super) fn run() -> Result<(), Failure> {
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
    let hash = accounts::hash(password.as_bytes())
        .map_err(|error| Failure::running(format!("the password can't be hashed: {error}")))?;
    super::print(&(hash + "\n"));
    Ok(())
}
