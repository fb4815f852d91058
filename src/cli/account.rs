//! `tapstack account`: the accounts that are made while the daemon runs, beside those of the configuration.
//!
//! They are in the database of the state directory, which is changed whether a daemon runs or not; one that runs is
//! told to read it again.

use crate::cli::password;
use crate::cli::table::Table;
use crate::daemon::clock::Clock;
use crate::daemon::config::{Config, default_control_path};
use crate::daemon::control::{Request, ask};
use crate::daemon::failure::Failure;
use crate::daemon::people::database_path;
use crate::session::account_book::{AccountBook, BookError, Change, Entry};
use crate::session::accounts;
use crate::session::database::{Database, DatabaseError};
use crate::session::rights::{ROLE_LENGTH, Rights, Service, is_role};
use clap::{Args, Subcommand};
use serde_json::json;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

/// What to do with the accounts, and where they are.
#[derive(Debug, Args)]
pub(super) struct Account {
    #[command(subcommand)]
    action: Action,
    /// The configuration of the daemon, which says where they are
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where what must outlive the process is kept; by default /var/lib/tapstack
    #[arg(long, value_name = "DIR", global = true)]
    state: Option<PathBuf>,
    /// The control socket of the daemon that is told; by default /run/tapstack/TAP.sock
    #[arg(long, value_name = "PATH", global = true)]
    control: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add an account; asks for its password, or takes the first line of standard input
    Add {
        /// Its name
        name: String,
        /// A role that pages ask for, such as admin; can be given several times
        #[arg(long = "role", value_name = "ROLE", value_parser = role)]
        roles: Vec<String>,
        /// A service that it is for (web, pop3, submission); can be given several times; by default all
        #[arg(long = "service", value_name = "SERVICE", value_parser = service)]
        services: Vec<Service>,
    },
    /// Give an account another password, which ends its login sessions
    Password {
        /// Whose
        name: String,
    },
    /// Give an account roles, or take them from it
    Role {
        /// Whose
        name: String,
        /// A role that it gets; can be given several times
        #[arg(long, value_name = "ROLE", value_parser = role, required_unless_present = "remove")]
        add: Vec<String>,
        /// A role that it loses; can be given several times
        #[arg(long, value_name = "ROLE", value_parser = role)]
        remove: Vec<String>,
    },
    /// Say which services an account is for: `service alice web pop3`
    Service {
        /// Whose
        name: String,
        /// web, pop3, submission; `all`, or `none`
        #[arg(value_name = "SERVICE", required = true)]
        services: Vec<String>,
    },
    /// Let nobody in with an account any more, and end its login sessions
    Lock {
        /// Which
        name: String,
    },
    /// Let its owner in again
    Unlock {
        /// Which
        name: String,
    },
    /// Remove an account; its mail stays where it is
    Remove {
        /// Which
        name: String,
    },
    /// Print all accounts
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

impl Action {
    /// What the configuration says of an account holds, whatever the book says; what the book has under such a name can
    /// only be removed.
    fn check(&self, config: &Config) -> Result<(), Failure> {
        let (Action::Add { name, .. }
        | Action::Password { name }
        | Action::Role { name, .. }
        | Action::Service { name, .. }
        | Action::Lock { name }
        | Action::Unlock { name }) = self
        else {
            return Ok(());
        };
        match config.accounts.iter().any(|account| account.name.as_ref() == name) {
            true => Err(Failure::Usage(format!("account {name:?} is one of the configuration: change it there"))),
            false => Ok(()),
        }
    }
}

impl Account {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let config = self.configuration()?;
        self.action.check(&config)?;
        let database = open(&config)?;
        let book = AccountBook(&database);
        let (name, done, result) = match &self.action {
            Action::List { json } => return list(&config, &book, *json),
            Action::Add { name, roles, services } => {
                let services = (!services.is_empty()).then(|| services.clone());
                let rights = Rights { roles: without_doubles(roles), services };
                (name, "added", book.add(&Entry { rights, ..entry(name)? }))
            }
            Action::Role { name, add, remove } => {
                (name, "has other roles", book.change(name, &Change::Roles(without_doubles(add), remove.clone())))
            }
            Action::Service { name, services } => {
                (name, "is for other services", book.change(name, &Change::Services(named(services)?)))
            }
            Action::Password { name } => {
                let Entry { password, scram, .. } = entry(name)?;
                (name, "has another password", book.change(name, &Change::Password(password, scram)))
            }
            Action::Lock { name } => (name, "locked", book.change(name, &Change::Lock(true))),
            Action::Unlock { name } => (name, "unlocked", book.change(name, &Change::Lock(false))),
            Action::Remove { name } => (name, "removed", book.change(name, &Change::Remove)),
        };
        result.map_err(|error| match error {
            BookError::Database(error) => Failure::running(error.to_string()),
            error => Failure::Usage(error.to_string()),
        })?;
        super::print(&format!("{name}: {done}; {}\n", self.tell(&config)));
        Ok(())
    }

    fn configuration(&self) -> Result<Config, Failure> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?.0,
            None => Config::without_file(),
        };
        config.daemon.state = self.state.clone().or(config.daemon.state.take());
        config.daemon.control = self.control.clone().or(config.daemon.control.take());
        Ok(config)
    }

    /// Tells a daemon that runs, and says what became of it.
    fn tell(&self, config: &Config) -> String {
        let of_tap = || default_control_path(config.taps().first().copied().unwrap_or("tap0"));
        let path = config.daemon.control.clone().unwrap_or_else(of_tap);
        match ask(&path, &Request::Reload) {
            Ok(_) => "the running daemon knows".to_owned(),
            Err(_) if !path.exists() => "no daemon runs".to_owned(),
            Err(failure) => format!("a daemon will know at its next start or SIGHUP: {failure}"),
        }
    }
}

fn open(config: &Config) -> Result<Database, Failure> {
    let state = config.state_path();
    let failed = |error: &DatabaseError| {
        let advice = match error.is_of_the_place() {
            true => ": it belongs to whoever runs the daemon: try sudo, or name another place with --state",
            false => "",
        };
        Failure::running(format!("the accounts can't be opened: {error}{advice}"))
    };
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(state);
    made.map_err(|error| failed(&DatabaseError::File(state.into(), error)))?;
    Database::open(&database_path(config)).map_err(|error| failed(&error))
}

/// A new entry, with the password that is asked for.
fn entry(name: &str) -> Result<Entry, Failure> {
    if !accounts::is_name(name) {
        return Err(Failure::Usage(accounts::AccountError::Name(name.to_owned()).to_string()));
    }
    let password = password::ask()?;
    let made_at = Clock::start().unix_time();
    // What SCRAM takes is printable ASCII; a password of other characters is for the other mechanisms.
    let scram = password::scram(&password)?;
    let (name, password) = (name.to_owned(), password::hash(&password)?);
    Ok(Entry { name, password, scram, is_locked: false, made_at, rights: Rights::default() })
}

fn role(text: &str) -> Result<String, String> {
    match is_role(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("a role is 1 to {ROLE_LENGTH} of a-z 0-9 - and _")),
    }
}

fn service(text: &str) -> Result<Service, String> {
    Service::of(text).ok_or_else(|| "services are web, pop3 and submission".to_owned())
}

/// Services by their names; `None` is all of them.
fn named(words: &[String]) -> Result<Option<Vec<Service>>, Failure> {
    match words {
        [word] if word == "all" => Ok(None),
        [word] if word == "none" => Ok(Some(Vec::new())),
        words => words.iter().map(|word| service(word).map_err(Failure::Usage)).collect::<Result<_, _>>().map(Some),
    }
}

fn without_doubles(roles: &[String]) -> Vec<String> {
    let mut roles = roles.to_vec();
    roles.sort();
    roles.dedup();
    roles
}

/// Services as people read them.
fn shown(services: &Option<Vec<Service>>) -> String {
    let names = |services: &Vec<Service>| services.iter().map(|service| service.name()).collect::<Vec<_>>().join(" ");
    match services {
        None => "all".to_owned(),
        Some(services) if services.is_empty() => "none".to_owned(),
        Some(services) => names(services),
    }
}

fn list(config: &Config, book: &AccountBook<'_>, as_json: bool) -> Result<(), Failure> {
    let entries = book.entries().map_err(|error| Failure::running(error.to_string()))?;
    let of_file = config.accounts.iter().map(|account| (account.name.as_ref(), account.rights()));
    if as_json {
        let of_file = of_file.map(|(name, rights)| {
            json!({
                "name": name,
                "from": "configuration",
                "locked": false,
                "roles": rights.roles,
                "services": rights.services,
            })
        });
        let of_book = entries.iter().map(|entry| {
            json!({
                "name": entry.name,
                "from": "book",
                "locked": entry.is_locked,
                "scram": entry.scram.is_some(),
                "made_at": entry.made_at.as_secs(),
                "roles": entry.rights.roles,
                "services": entry.rights.services,
            })
        });
        let all: Vec<serde_json::Value> = of_file.chain(of_book).collect();
        super::print(&format!("{}\n", json!(all)));
        return Ok(());
    }
    let mut table = Table::new(&["NAME", "FROM", "STATE", "ROLES", "SERVICES", "SCRAM", "MADE"]);
    for (name, rights) in of_file {
        let (roles, services) = (rights.roles.join(" "), shown(&rights.services));
        let row = [name.as_str(), "configuration", "open", &roles, &services, "", ""];
        table.row(row.map(str::to_owned).to_vec());
    }
    for entry in &entries {
        let state = if entry.is_locked { "locked" } else { "open" };
        let scram = if entry.scram.is_some() { "yes" } else { "no" };
        let made = httpdate::fmt_http_date(UNIX_EPOCH + entry.made_at);
        let (roles, services) = (entry.rights.roles.join(" "), shown(&entry.rights.services));
        table.row(vec![entry.name.clone(), "book".into(), state.into(), roles, services, scram.into(), made]);
    }
    super::print(&table.render());
    Ok(())
}
