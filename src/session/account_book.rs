//! The accounts that are made while the daemon runs: a book in the [`Database`], beside those of the configuration.
//!
//! Whoever changes an entry (another password, a lock, its end) ends the account's login sessions with the same commit:
//! nobody stays in who could not come in any more.
//!
//! Not here: passwords themselves (the book has what [`super::accounts`] makes of them).

use crate::base::time::Duration;
use crate::session::accounts::is_name;
use crate::session::database::{Database, DatabaseError};
use crate::session::login;
use rusqlite::{Connection, params};
use std::fmt;

/// Accounts in a book. Each is part of every look-up of a name, in memory.
const MOST: u32 = 100_000;

/// What is kept of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The PHC string of its password.
    pub password: String,
    /// What SCRAM needs of its password.
    pub scram: Option<String>,
    /// Nobody comes in with it.
    pub is_locked: bool,
    /// When it was made, since 1970.
    pub made_at: Duration,
}

/// Why the book stays as it is.
#[derive(Debug)]
pub enum BookError {
    /// No account has such a name.
    Name(String),
    /// It is there already.
    Known(String),
    /// It is not there.
    Unknown(String),
    /// The book is full.
    Full,
    /// The database says why.
    Database(DatabaseError),
}

impl fmt::Display for BookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BookError::Name(name) => crate::session::accounts::AccountError::Name(name.clone()).fmt(f),
            BookError::Known(name) => write!(f, "there is an account {name:?} already"),
            BookError::Unknown(name) => write!(f, "there is no account {name:?} in the book"),
            BookError::Full => write!(f, "there are {MOST} accounts already"),
            BookError::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BookError {}

impl From<DatabaseError> for BookError {
    fn from(error: DatabaseError) -> Self {
        BookError::Database(error)
    }
}

/// A change of one entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Another password, as in [`Entry`].
    Password(String, Option<String>),
    /// Locked, or not any more.
    Lock(bool),
    /// The account is no more.
    Remove,
}

/// The book.
#[derive(Clone, Copy, Debug)]
pub struct AccountBook<'a>(pub &'a Database);

impl AccountBook<'_> {
    /// All entries, by name.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn entries(&self) -> Result<Vec<Entry>, DatabaseError> {
        self.0.with(|sql| {
            sql.prepare("SELECT name, password, scram, locked, made_at FROM account ORDER BY name")?
                .query_map((), |row| {
                    Ok(Entry {
                        name: row.get(0)?,
                        password: row.get(1)?,
                        scram: row.get(2)?,
                        is_locked: row.get(3)?,
                        made_at: Duration::from_secs(row.get::<_, i64>(4)?.max(0).unsigned_abs()),
                    })
                })?
                .collect()
        })
    }

    /// Adds an account.
    ///
    /// # Errors
    /// Its name is none, or there is one of that name, or too many.
    pub fn add(&self, entry: &Entry) -> Result<(), BookError> {
        if !is_name(&entry.name) {
            return Err(BookError::Name(entry.name.clone()));
        }
        let Entry { name, password, scram, is_locked, made_at } = entry;
        let made_at = i64::try_from(made_at.as_secs()).unwrap_or(i64::MAX);
        let (added, count) = self.0.with(|sql| {
            let change = sql.transaction()?;
            let count: u32 = change.query_row("SELECT count(*) FROM account", (), |row| row.get(0))?;
            let added = if count < MOST {
                change.execute(
                    "INSERT INTO account (name, password, scram, locked, made_at) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO NOTHING",
                    params![name, password, scram, is_locked, made_at],
                )?
            } else {
                0
            };
            change.commit()?;
            Ok((added, count))
        })?;
        match added {
            0 if count >= MOST => Err(BookError::Full),
            0 => Err(BookError::Known(name.clone())),
            _ => Ok(()),
        }
    }

    /// Changes an account, and ends its login sessions.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn change(&self, name: &str, change: &Change) -> Result<(), BookError> {
        let changed = self.0.with(|sql| {
            let transaction = sql.transaction()?;
            let changed = apply(&transaction, name, change)?;
            if *change != Change::Lock(false) {
                login::close_all(&transaction, name)?;
            }
            transaction.commit()?;
            Ok(changed)
        })?;
        if changed == 0 { Err(BookError::Unknown(name.into())) } else { Ok(()) }
    }
}

fn apply(sql: &Connection, name: &str, change: &Change) -> rusqlite::Result<usize> {
    match change {
        Change::Password(password, scram) => {
            sql.execute("UPDATE account SET password = ?2, scram = ?3 WHERE name = ?1", params![name, password, scram])
        }
        Change::Lock(is_locked) => {
            sql.execute("UPDATE account SET locked = ?2 WHERE name = ?1", params![name, is_locked])
        }
        Change::Remove => sql.execute("DELETE FROM account WHERE name = ?1", [name]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::session::errands::Errands;
    use crate::session::login::{Login, Logins, Policy, Token};
    use futures_executor::block_on;
    use std::sync::Arc;

    fn entry(name: &str) -> Entry {
        let (password, made_at) = ("$argon2id$...".into(), Duration::from_secs(7));
        Entry { name: name.into(), password, scram: None, is_locked: false, made_at }
    }

    #[test]
    fn accounts_are_added_once_and_stand_in_the_order_of_their_names() {
        let database = Database::in_memory().unwrap();
        let book = AccountBook(&database);
        book.add(&entry("bob")).unwrap();
        book.add(&entry("alice")).unwrap();
        assert!(matches!(book.add(&entry("bob")), Err(BookError::Known(name)) if name == "bob"));
        assert!(matches!(book.add(&entry("../bob")), Err(BookError::Name(_))));
        assert_eq!(book.entries().unwrap(), [entry("alice"), entry("bob")]);
    }

    #[test]
    fn changes_are_made_to_one_account_that_is_there() {
        let database = Database::in_memory().unwrap();
        let book = AccountBook(&database);
        book.add(&entry("alice")).unwrap();
        book.add(&entry("bob")).unwrap();
        book.change("alice", &Change::Lock(true)).unwrap();
        book.change("alice", &Change::Password("new".into(), Some("scram".into()))).unwrap();
        let alice = Entry { is_locked: true, password: "new".into(), scram: Some("scram".into()), ..entry("alice") };
        assert_eq!(book.entries().unwrap(), [alice, entry("bob")]);
        book.change("alice", &Change::Remove).unwrap();
        assert_eq!(book.entries().unwrap(), [entry("bob")]);
        assert!(matches!(book.change("alice", &Change::Lock(false)), Err(BookError::Unknown(_))));
    }

    #[test]
    fn whoever_could_not_come_in_any_more_does_not_stay_in() {
        let database = Arc::new(Database::in_memory().unwrap());
        let logins = Logins::new(Arc::clone(&database), Errands::inline(), Policy::default());
        let book = AccountBook(&database);
        book.add(&entry("alice")).unwrap();
        let mut random = Random::from_seed(1);
        for (change, stays) in [
            (Change::Lock(true), false),
            (Change::Lock(false), true),
            (Change::Password("new".into(), None), false),
            (Change::Remove, false),
        ] {
            let token = Token::draw(&mut random);
            let now = Duration::from_secs(1000);
            let login = Login {
                account: "alice".into(),
                address: String::new(),
                agent: String::new(),
                opened_at: now,
                used_at: now,
            };
            block_on(logins.open(&token, login)).unwrap();
            book.change("alice", &change).unwrap();
            assert_eq!(block_on(logins.find(&token, now)).unwrap().is_some(), stays, "{change:?}");
        }
    }
}
