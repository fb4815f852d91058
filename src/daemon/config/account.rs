//! `[[account]]`: somebody who can log in.

use crate::session::rights::{Rights, Service};
use serde::{Deserialize, Serialize};
use std::fmt;
use toml::Spanned;

/// `[[account]]`
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The user's name.
    pub name: Spanned<String>,
    /// The hash that `tapstack password` made.
    pub password: Spanned<String>,
    /// What SCRAM needs of the password, as `tapstack password --scram` made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scram: Option<Spanned<String>>,
    /// Words that pages ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Spanned<String>>,
    /// What it is for; by default everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<Service>>,
}

impl Account {
    /// What it may.
    pub fn rights(&self) -> Rights {
        let roles = self.roles.iter().map(|role| role.as_ref().clone()).collect();
        Rights { roles, services: self.services.clone() }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", self.name.as_ref()).finish_non_exhaustive()
    }
}
