//! What outlives the process: one SQLite file in the state directory, with the accounts that were made while running
//! and the login sessions.
//!
//! A commit is on the disk when it is reported (WAL, `synchronous = FULL`), and a process that is killed at any moment
//! leaves a file that opens again. Calls block: they belong on a thread of their own ([`super::errands`]).
//! `tapstack account` opens the same file beside a running daemon; SQLite's locks keep the two apart.
//!
//! The file belongs to its owner alone. What is in it gives nobody a password or a session: of both only digests are
//! kept.

use rusqlite::{Connection, OpenFlags};
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The layout that this program reads and writes: the number of steps in [`STEPS`].
const VERSION: u32 = STEPS.len() as u32;

/// How each version of the layout comes from the one before.
const STEPS: [&str; 2] = [
    "
    CREATE TABLE account (
        name     TEXT PRIMARY KEY,
        password TEXT NOT NULL,
        scram    TEXT,
        locked   INTEGER NOT NULL DEFAULT 0,
        made_at  INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE login (
        token      BLOB PRIMARY KEY,
        account    TEXT NOT NULL,
        address    TEXT NOT NULL,
        agent      TEXT NOT NULL,
        opened_at  INTEGER NOT NULL,
        used_at    INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX login_of_account ON login (account, used_at);
    CREATE INDEX login_by_use ON login (used_at);
    CREATE INDEX login_by_age ON login (opened_at);
",
    // Roles between spaces; services likewise, and NULL for all of them. What the password was when a session was opened.
    "
    ALTER TABLE account ADD COLUMN roles TEXT NOT NULL DEFAULT '';
    ALTER TABLE account ADD COLUMN services TEXT;
    DELETE FROM login;
    ALTER TABLE login ADD COLUMN mark BLOB NOT NULL DEFAULT x'';
",
];

/// How long a call waits for another process that writes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the database can't be used.
#[derive(Debug)]
pub enum DatabaseError {
    /// The file can't be made or opened.
    File(PathBuf, io::Error),
    /// A newer program has changed the layout.
    Newer(u32),
    /// SQLite says why.
    Sqlite(rusqlite::Error),
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseError::File(path, error) => write!(f, "{}: {error}", path.display()),
            DatabaseError::Newer(version) => {
                write!(f, "the database has layout {version}, and this program knows {VERSION}: use a newer tapstack")
            }
            DatabaseError::Sqlite(error) if finds_no_room(error) => {
                write!(f, "the database can't be written: the disk is full, or fails ({error})")
            }
            DatabaseError::Sqlite(error) => write!(f, "the database: {error}"),
        }
    }
}

impl std::error::Error for DatabaseError {}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        DatabaseError::Sqlite(error)
    }
}

impl DatabaseError {
    /// True if it is the place that is wrong, or who asks for it.
    pub fn is_of_the_place(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, PermissionDenied, ReadOnly};
        match self {
            DatabaseError::File(_, error) => error.kind() != io::ErrorKind::StorageFull,
            DatabaseError::Newer(_) => false,
            DatabaseError::Sqlite(error) => {
                matches!(error.sqlite_error_code(), Some(CannotOpen | PermissionDenied | ReadOnly))
            }
        }
    }
}

/// A full disk has two names in SQLite: what is shared in memory has a file, too.
fn finds_no_room(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DiskFull, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(DiskFull | SystemIoFailure))
}

/// The open database. One call at a time.
#[derive(Debug)]
pub struct Database(Mutex<Connection>);

impl Database {
    /// Opens the file, and makes it if there is none.
    ///
    /// # Errors
    /// It can't be opened, is no such database, or a newer program has changed it.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        file.map_err(|error| DatabaseError::File(path.into(), error))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Database::prepare(Connection::open_with_flags(path, flags)?)
    }

    /// A database that is gone with the value: for simulations and tests, and for a daemon that may keep nothing.
    ///
    /// # Errors
    /// SQLite fails.
    pub fn in_memory() -> Result<Self, DatabaseError> {
        Database::prepare(Connection::open_in_memory()?)
    }

    fn prepare(mut connection: Connection) -> Result<Self, DatabaseError> {
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Nothing is written, and nobody waited for, where the layout is that of this program already.
        if connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))? == VERSION {
            return Ok(Database(Mutex::new(connection)));
        }
        let change = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let version: u32 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let missing = STEPS.get(version as usize..).ok_or(DatabaseError::Newer(version))?;
        for step in missing {
            change.execute_batch(step)?;
        }
        change.pragma_update(None, "user_version", VERSION)?;
        change.commit()?;
        Ok(Database(Mutex::new(connection)))
    }

    /// Uses it. What `call` changes outside of a transaction is on the disk when it is done.
    ///
    /// # Errors
    /// SQLite's.
    pub fn with<T>(&self, call: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, DatabaseError> {
        // A call that panicked has rolled its transaction back.
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(call(&mut connection)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_file_is_for_its_owner_alone_and_opens_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let insert = "INSERT INTO account (name, password, made_at) VALUES ('alice', 'x', 7)";
        Database::open(&path).unwrap().with(|sql| sql.execute(insert, ())).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let count = "SELECT count(*) FROM account";
        let again = Database::open(&path).unwrap().with(|sql| sql.query_row(count, (), |row| row.get::<_, u32>(0)));
        assert_eq!(again.unwrap(), 1);
    }

    #[test]
    fn what_an_older_program_has_written_is_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(STEPS[0]).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.execute("INSERT INTO account VALUES ('alice', 'x', NULL, 1, 7)", ()).unwrap();
        drop(old);
        for _ in 0..2 {
            let select = "SELECT locked, roles, services IS NULL FROM account WHERE name = 'alice'";
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            let row = Database::open(&path).unwrap().with(|sql| sql.query_row(select, (), read)).unwrap();
            assert_eq!(row, (true, String::new(), true));
        }
    }

    #[test]
    fn what_a_newer_program_has_changed_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let database = Database::open(&path).unwrap();
        database.with(|sql| sql.pragma_update(None, "user_version", VERSION + 1)).unwrap();
        assert!(matches!(Database::open(&path), Err(DatabaseError::Newer(version)) if version == VERSION + 1));
    }

    #[test]
    fn what_is_no_database_is_refused_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        std::fs::write(&path, "something else entirely, and long enough to be looked at").unwrap();
        assert!(matches!(Database::open(&path), Err(DatabaseError::Sqlite(_))));
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("something else"));
        assert!(matches!(Database::open(folder.path()), Err(DatabaseError::File(..))));
    }
}
