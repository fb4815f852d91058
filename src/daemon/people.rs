//! Who has an account: those of the configuration, and those of the book that `tapstack account` writes.

use crate::daemon::config::{Account, Config};
use crate::daemon::failure::Failure;
use crate::session::account_book::{AccountBook, Entry};
use crate::session::accounts::Accounts;
use crate::session::database::Database;
use crate::session::rights::Rights;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the database is.
pub fn database_path(config: &Config) -> PathBuf {
    config.state_path().join("state.db")
}

/// Opens the database for a daemon that runs. Where nothing can be kept, sessions last as long as it does.
///
/// # Errors
/// It is there and can't be used: what is in it must not be lost sight of.
pub fn database(config: &Config) -> Result<Arc<Database>, Failure> {
    let (state, path) = (config.state_path(), database_path(config));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(state);
    let opened = match made {
        Err(error) if !path.exists() => {
            log::warn!("login sessions end with the daemon: {}: {error}", state.display());
            Database::in_memory()
        }
        _ => Database::open(&path),
    };
    opened
        .map(Arc::new)
        .map_err(|error| Failure::running(format!("the login sessions can't be kept: {}: {error}", path.display())))
}

/// Those who may come in. An account of the configuration is what the configuration says, whatever the book has under
/// its name; one that is locked is none.
///
/// # Errors
/// The configuration or the book has something that is no account, or the book can't be read.
pub fn accounts(config: &Config) -> Result<Accounts, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let mut all: Vec<Known> = config.accounts.iter().map(Known::of_file).collect();
    for entry in book(config)?.into_iter().filter(|entry| !entry.is_locked) {
        if all.iter().any(|known| known.name == entry.name) {
            log::warn!("account {:?} is what the configuration says, and not what the book says", entry.name);
        } else {
            let Entry { name, password, scram, rights, .. } = entry;
            all.push(Known { name, password, scram, rights, is_of_book: true });
        }
    }
    let mut accounts =
        Accounts::new(all.iter().map(|known| (&known.name, &known.password))).map_err(|error| failed(&error))?;
    for Known { name, scram, rights, is_of_book, .. } in all {
        if let Some(entry) = scram {
            accounts = accounts.with_scram(&name, &entry).map_err(|error| failed(&error))?;
        }
        if rights != Rights::default() {
            accounts = accounts.with_rights(&name, rights);
        }
        if is_of_book {
            accounts = accounts.with_book(&name);
        }
    }
    Ok(accounts)
}

/// An account, wherever it stands.
struct Known {
    name: String,
    password: String,
    scram: Option<String>,
    rights: Rights,
    is_of_book: bool,
}

impl Known {
    fn of_file(account: &Account) -> Known {
        let scram = account.scram.as_ref().map(|entry| entry.as_ref().clone());
        let (name, password) = (account.name.as_ref().clone(), account.password.as_ref().clone());
        Known { name, password, scram, rights: account.rights(), is_of_book: false }
    }
}

/// The entries of the book; none, if there is no book.
fn book(config: &Config) -> Result<Vec<Entry>, Failure> {
    let path = database_path(config);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let entries = Database::open(&path).and_then(|database| AccountBook(&database).entries());
    entries.map_err(|error| Failure::running(format!("the accounts can't be read: {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;
    use crate::daemon::config::unwritten;
    use crate::session::account_book::Change;

    // Argon2 at its cheapest.
    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn entry(name: &str) -> Entry {
        let made_at = Duration::from_secs(1);
        let rights = Rights { roles: vec!["staff".into()], services: None };
        Entry { name: name.into(), password: HASH.into(), scram: None, is_locked: false, made_at, rights }
    }

    #[test]
    fn accounts_are_those_of_the_file_and_those_of_the_book_that_are_not_locked() {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config::without_file();
        config.daemon.state = Some(state.path().into());
        let (name, password) = (unwritten("alice".into()), unwritten(HASH.into()));
        let roles = vec![unwritten("admin".into())];
        config.accounts = vec![Account { name, password, scram: None, roles, services: None }];
        let names = |config: &Config| accounts(config).unwrap().names().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(names(&config), ["alice"]);
        let database = Database::open(&database_path(&config)).unwrap();
        let book = AccountBook(&database);
        for name in ["bob", "carol", "alice"] {
            book.add(&entry(name)).unwrap();
        }
        assert_eq!(names(&config), ["alice", "bob", "carol"]);
        book.change("bob", &Change::Lock(true)).unwrap();
        // What the file says of an account holds.
        book.change("alice", &Change::Lock(true)).unwrap();
        assert_eq!(names(&config), ["alice", "carol"]);
        let known = accounts(&config).unwrap();
        let has = |name: &str, role: &str| known.has_one_of(name, &[role.to_owned()]);
        assert!(has("alice", "admin") && !has("alice", "staff") && has("carol", "staff"));
        assert!(known.is_of_book("carol") && !known.is_of_book("alice"));
    }
}
