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
use crate::session::rights::{ROLES, Rights, Service};
use rusqlite::{Connection, OptionalExtension, params};
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
    /// What it may.
    pub rights: Rights,
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
    /// That would be too many roles.
    Roles(String),
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
            BookError::Roles(name) => write!(f, "an account has up to {ROLES} roles, and {name:?} would have more"),
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
    /// Roles that it has from now on, and those that it has no longer.
    Roles(Vec<String>, Vec<String>),
    /// The services it is for; `None` is all of them.
    Services(Option<Vec<Service>>),
    /// The account is no more.
    Remove,
}

/// The book.
#[derive(Clone, Copy, Debug)]
pub struct AccountBook<'a>(pub &'a Database);

impl Change {
    /// True if who could come in before may not come in after it.
    fn ends_sessions(&self) -> bool {
        match self {
            Change::Password(..) | Change::Lock(true) | Change::Remove => true,
            // Rights are looked at with each request.
            Change::Lock(false) | Change::Roles(..) | Change::Services(_) => false,
        }
    }
}

impl AccountBook<'_> {
    /// All entries, by name.
    ///
    /// # Errors
    /// The database can't be read.
    pub fn entries(&self) -> Result<Vec<Entry>, DatabaseError> {
        self.0.with(|sql| {
            sql.prepare("SELECT name, password, scram, locked, made_at, roles, services FROM account ORDER BY name")?
                .query_map((), |row| {
                    Ok(Entry {
                        name: row.get(0)?,
                        password: row.get(1)?,
                        scram: row.get(2)?,
                        is_locked: row.get(3)?,
                        made_at: Duration::from_secs(row.get::<_, i64>(4)?.max(0).unsigned_abs()),
                        rights: Rights { roles: words(&row.get::<_, String>(5)?), services: services(row.get(6)?) },
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
        if entry.rights.roles.len() > ROLES {
            return Err(BookError::Roles(entry.name.clone()));
        }
        let Entry { name, password, scram, is_locked, made_at, rights } = entry;
        let made_at = i64::try_from(made_at.as_secs()).unwrap_or(i64::MAX);
        let (added, count) = self.0.with(|sql| {
            let change = sql.transaction()?;
            let count: u32 = change.query_row("SELECT count(*) FROM account", (), |row| row.get(0))?;
            let added = if count < MOST {
                change.execute(
                    "INSERT INTO account (name, password, scram, locked, made_at, roles, services)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
                    params![name, password, scram, is_locked, made_at, rights.roles.join(" "), text(&rights.services)],
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

    /// Changes an account, and ends its login sessions where nobody could come in any more as they did.
    ///
    /// # Errors
    /// There is none of that name, or it would have too many roles.
    pub fn change(&self, name: &str, change: &Change) -> Result<(), BookError> {
        let changed = self.0.with(|sql| {
            let transaction = sql.transaction()?;
            let changed = apply(&transaction, name, change)?;
            if change.ends_sessions() {
                login::close_all(&transaction, name)?;
            }
            // What is not committed is rolled back.
            if changed != Changed::TooMuch {
                transaction.commit()?;
            }
            Ok(changed)
        })?;
        match changed {
            Changed::Rows(0) => Err(BookError::Unknown(name.into())),
            Changed::Rows(_) => Ok(()),
            Changed::TooMuch => Err(BookError::Roles(name.into())),
        }
    }
}

/// What a change did.
#[derive(PartialEq, Eq)]
enum Changed {
    Rows(usize),
    TooMuch,
}

fn apply(sql: &Connection, name: &str, change: &Change) -> rusqlite::Result<Changed> {
    let rows = match change {
        Change::Roles(given, taken) => return change_roles(sql, name, given, taken),
        Change::Password(password, scram) => {
            sql.execute("UPDATE account SET password = ?2, scram = ?3 WHERE name = ?1", params![name, password, scram])
        }
        Change::Lock(is_locked) => {
            sql.execute("UPDATE account SET locked = ?2 WHERE name = ?1", params![name, is_locked])
        }
        Change::Services(services) => {
            sql.execute("UPDATE account SET services = ?2 WHERE name = ?1", params![name, text(services)])
        }
        Change::Remove => sql.execute("DELETE FROM account WHERE name = ?1", [name]),
    };
    rows.map(Changed::Rows)
}

fn change_roles(sql: &Connection, name: &str, given: &[String], taken: &[String]) -> rusqlite::Result<Changed> {
    let select = "SELECT roles FROM account WHERE name = ?1";
    let Some(old) = sql.query_row(select, [name], |row| row.get::<_, String>(0)).optional()? else {
        return Ok(Changed::Rows(0));
    };
    let mut roles = words(&old);
    roles.retain(|role| !taken.contains(role) && !given.contains(role));
    roles.extend(given.iter().cloned());
    if roles.len() > ROLES {
        return Ok(Changed::TooMuch);
    }
    sql.execute("UPDATE account SET roles = ?2 WHERE name = ?1", params![name, roles.join(" ")]).map(Changed::Rows)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// What is no service is none: a newer program may know more of them.
fn services(text: Option<String>) -> Option<Vec<Service>> {
    text.map(|text| text.split_whitespace().filter_map(Service::of).collect())
}

fn text(services: &Option<Vec<Service>>) -> Option<String> {
    let names = |services: &Vec<Service>| services.iter().map(|service| service.name()).collect::<Vec<_>>().join(" ");
    services.as_ref().map(names)
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
        Entry { name: name.into(), password, scram: None, is_locked: false, made_at, rights: Rights::default() }
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
    fn roles_come_and_go_and_services_are_set() {
        let database = Database::in_memory().unwrap();
        let book = AccountBook(&database);
        let roles = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let rights = Rights { roles: roles(&["admin"]), services: Some(vec![Service::Web]) };
        book.add(&Entry { rights, ..entry("alice") }).unwrap();
        let now = || book.entries().unwrap().remove(0).rights;
        assert_eq!(now(), Rights { roles: roles(&["admin"]), services: Some(vec![Service::Web]) });
        book.change("alice", &Change::Roles(roles(&["staff", "admin"]), Vec::new())).unwrap();
        assert_eq!(now().roles, ["staff", "admin"]);
        book.change("alice", &Change::Roles(Vec::new(), roles(&["staff", "other"]))).unwrap();
        assert_eq!(now().roles, ["admin"]);
        for services in [None, Some(Vec::new()), Some(vec![Service::Pop3, Service::Submission])] {
            book.change("alice", &Change::Services(services.clone())).unwrap();
            assert_eq!(now().services, services);
        }
        let many = (0..ROLES).map(|n| format!("r{n}")).collect();
        assert!(matches!(book.change("alice", &Change::Roles(many, Vec::new())), Err(BookError::Roles(_))));
        assert_eq!(now().roles, ["admin"]);
        let nobody = book.change("bob", &Change::Roles(roles(&["admin"]), Vec::new()));
        assert!(matches!(nobody, Err(BookError::Unknown(_))));
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
            (Change::Roles(vec!["admin".into()], Vec::new()), true),
            (Change::Services(None), true),
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
                mark: [0; 32],
            };
            block_on(logins.open(&token, login)).unwrap();
            book.change("alice", &change).unwrap();
            assert_eq!(block_on(logins.find(&token, now)).unwrap().is_some(), stays, "{change:?}");
        }
    }
}
