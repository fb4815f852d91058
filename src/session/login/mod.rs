//! Login sessions: that somebody showed once who they are, for as long as they go on.
//!
//! ```text
//!   entrance: admitted ──► open ──► Token, in the browser's cookie
//!                                     │ with each request
//!                                     ▼
//!                                   find ──► whose it is, or nobody's any more
//!   close, close_all: at once, wherever the token is      expire: what was not used for too long, or is too old
//! ```
//!
//! A session ends [`Policy::idle`] after its last use and [`Policy::age`] after it was opened, whichever is first. An
//! account has a number of them, of which the one that was unused for longest makes room for another. All of it is in the
//! [`Database`], so that a session outlives the daemon, all queues know of it, and closing it is final; which costs a
//! look into the database for each request that brings a token, on the database's thread.
//!
//! Not here: how the token travels (a cookie's attributes are HTTP's), and what the account may do.

pub mod token;

pub use token::Token;

use crate::base::time::Duration;
use crate::session::database::{Database, DatabaseError};
use crate::session::errands::Errands;
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

/// Octets kept of what a browser calls itself.
const AGENT_LENGTH: usize = 200;
/// A use within this long of the last one is not written down: it would cost a write for each request.
const USE_GRAIN: Duration = Duration::from_secs(60);

/// How long sessions last, and how many there may be.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Without use.
    pub idle: Duration,
    /// In all.
    pub age: Duration,
    /// Of one account at once.
    pub of_an_account: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { idle: Duration::from_secs(2 * 3600), age: Duration::from_secs(30 * 86_400), of_an_account: 32 }
    }
}

/// A session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// Whose it is.
    pub account: String,
    /// From where it was opened.
    pub address: String,
    /// What the browser called itself then.
    pub agent: String,
    /// When it was opened, since 1970.
    pub opened_at: Duration,
    /// When it was last used, to the minute.
    pub used_at: Duration,
    /// What the account's password was then ([`crate::session::accounts::Accounts::mark`]).
    pub mark: [u8; 32],
}

/// Why nothing can be said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Too much is waiting.
    Busy,
    /// The database says why.
    Database(String),
}

impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Self {
        Trouble::Database(error.to_string())
    }
}

/// All sessions. Clones share them.
#[derive(Clone, Debug)]
pub struct Logins {
    database: Arc<Database>,
    errands: Errands,
    policy: Policy,
}

impl Logins {
    /// The sessions of a database, which is used on the thread of `errands`.
    pub fn new(database: Arc<Database>, errands: Errands, policy: Policy) -> Self {
        Logins { database, errands, policy }
    }

    /// The same for another event loop.
    #[must_use]
    pub fn waking(&self, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Logins { errands: self.errands.waking(wake), ..self.clone() }
    }

    async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Trouble> {
        let database = Arc::clone(&self.database);
        let answer = self.errands.send(move || database.with(call)).await;
        Ok(answer.map_err(|_| Trouble::Busy)??)
    }

    /// Opens a session for an account that has shown who it is. `now` is the calendar time.
    ///
    /// # Errors
    /// It could not be written down; then there is none.
    pub async fn open(&self, token: &Token, login: Login) -> Result<(), Trouble> {
        let (digest, most) = (token.digest(), self.policy.of_an_account);
        let agent: String = login.agent.chars().take(AGENT_LENGTH).collect();
        self.ask(move |sql| {
            let change = sql.transaction()?;
            let at = seconds(login.opened_at);
            change.execute(
                "INSERT INTO login (token, account, address, agent, opened_at, used_at, mark)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)",
                params![digest, login.account, login.address, agent, at, login.mark],
            )?;
            change.execute(
                "DELETE FROM login WHERE account = ?1 AND token IN (SELECT token FROM login WHERE account = ?1
                 ORDER BY used_at DESC, opened_at DESC, token = ?3 DESC LIMIT -1 OFFSET ?2)",
                params![login.account, most, digest],
            )?;
            change.commit()
        })
        .await
    }

    /// The session of a token, if there is one, which is used by that.
    ///
    /// # Errors
    /// It can't be told.
    pub async fn find(&self, token: &Token, now: Duration) -> Result<Option<Login>, Trouble> {
        let (digest, policy) = (token.digest(), self.policy);
        self.ask(move |sql| {
            let found = sql
                .prepare_cached("SELECT account, address, agent, opened_at, used_at, mark FROM login WHERE token = ?1")?
                .query_row([digest], login)
                .optional()?;
            let Some(login) = found.filter(|login| policy.allows(login, now)) else { return Ok(None) };
            if now.saturating_sub(login.used_at) >= USE_GRAIN {
                sql.execute("UPDATE login SET used_at = ?2 WHERE token = ?1", params![digest, seconds(now)])?;
            }
            Ok(Some(login))
        })
        .await
    }

    /// Ends a session, if there is one.
    ///
    /// # Errors
    /// It could not be ended.
    pub async fn close(&self, token: &Token) -> Result<(), Trouble> {
        let digest = token.digest();
        self.ask(move |sql| sql.execute("DELETE FROM login WHERE token = ?1", [digest])).await.map(|_| ())
    }

    /// Ends all sessions of an account; says how many.
    ///
    /// # Errors
    /// They could not be ended.
    pub async fn close_all(&self, account: &str) -> Result<usize, Trouble> {
        let account = account.to_owned();
        self.ask(move |sql| close_all(sql, &account)).await
    }

    /// Forgets sessions that are over; says how many. Those are not found any more in any case.
    ///
    /// # Errors
    /// They could not be forgotten.
    pub async fn expire(&self, now: Duration) -> Result<usize, Trouble> {
        let Policy { idle, age, .. } = self.policy;
        let (used_by, opened_by) = (seconds(now.saturating_sub(idle)), seconds(now.saturating_sub(age)));
        self.ask(move |sql| sql.execute("DELETE FROM login WHERE used_at < ?1 OR opened_at < ?2", [used_by, opened_by]))
            .await
    }

    /// The sessions of an account that are not over, the one used last first, each with whether it is that of `own`.
    ///
    /// # Errors
    /// It can't be told.
    pub async fn list(&self, account: &str, own: &Token, now: Duration) -> Result<Vec<(Login, bool)>, Trouble> {
        let (account, own, policy) = (account.to_owned(), own.digest(), self.policy);
        let logins = self.ask(move |sql| list(sql, &account, &own)).await?;
        Ok(logins.into_iter().filter(|(login, _)| policy.allows(login, now)).collect())
    }

    /// The database, for what goes with a session.
    pub fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database)
    }
}

impl Policy {
    /// True while the session is not over. A clock that went back makes none older.
    fn allows(&self, login: &Login, now: Duration) -> bool {
        now.saturating_sub(login.used_at) <= self.idle && now.saturating_sub(login.opened_at) <= self.age
    }
}

/// Ends all sessions of an account.
pub(crate) fn close_all(sql: &Connection, account: &str) -> rusqlite::Result<usize> {
    sql.execute("DELETE FROM login WHERE account = ?1", [account])
}

fn list(sql: &Connection, account: &str, own: &[u8; 32]) -> rusqlite::Result<Vec<(Login, bool)>> {
    sql.prepare(
        "SELECT account, address, agent, opened_at, used_at, mark, token = ?2 FROM login
         WHERE account = ?1 ORDER BY used_at DESC, opened_at DESC, token",
    )?
    .query_map(params![account, own], |row| Ok((login(row)?, row.get(6)?)))?
    .collect()
}

fn login(row: &rusqlite::Row<'_>) -> rusqlite::Result<Login> {
    Ok(Login {
        account: row.get(0)?,
        address: row.get(1)?,
        agent: row.get(2)?,
        opened_at: Duration::from_secs(row.get::<_, i64>(3)?.max(0).unsigned_abs()),
        used_at: Duration::from_secs(row.get::<_, i64>(4)?.max(0).unsigned_abs()),
        mark: row.get(5)?,
    })
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
