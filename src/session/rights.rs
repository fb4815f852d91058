//! What an account may: which services it is for, and the roles that pages ask for.
//!
//! A service is one of three, and an account that says nothing of them may use them all. A role is a word of the
//! administrator's own, such as `admin`: it means what the configuration demands it for.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest name of a role.
pub const ROLE_LENGTH: usize = 32;
/// Roles of an account.
pub const ROLES: usize = 32;

/// What an account is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Pages and uploads that take a login, and its own pages.
    Web,
    /// Fetching mail.
    Pop3,
    /// Sending mail.
    Submission,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 3] = [Service::Web, Service::Pop3, Service::Submission];

    /// The service of a name.
    pub fn of(name: &str) -> Option<Service> {
        Service::ALL.into_iter().find(|service| service.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Service::Web => "web",
            Service::Pop3 => "pop3",
            Service::Submission => "submission",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an account may.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rights {
    /// Its roles.
    pub roles: Vec<String>,
    /// The services it is for; `None` is all of them.
    pub services: Option<Vec<Service>>,
}

impl Rights {
    /// True if the account is for this service.
    pub fn allow(&self, service: Service) -> bool {
        self.services.as_ref().is_none_or(|services| services.contains(&service))
    }

    /// True if the account has one of these roles.
    pub fn have_one_of(&self, roles: &[String]) -> bool {
        self.roles.iter().any(|role| roles.contains(role))
    }
}

/// True for what can be a role: lower-case letters, digits, `-` and `_`.
pub fn is_role(name: &str) -> bool {
    let is_plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || b"-_".contains(&octet);
    (1..=ROLE_LENGTH).contains(&name.len()) && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_nothing_of_services_may_use_them_all() {
        let only = |services: &[Service]| Rights { roles: Vec::new(), services: Some(services.to_vec()) };
        for service in Service::ALL {
            assert!(Rights::default().allow(service) && only(&[service]).allow(service));
            assert!(!only(&[]).allow(service));
            assert_eq!(Service::of(service.name()), Some(service));
        }
        assert!(!only(&[Service::Web]).allow(Service::Pop3));
    }

    #[test]
    fn a_role_is_a_plain_word() {
        for good in ["admin", "a", "on-call_2", &"x".repeat(32)] {
            assert!(is_role(good), "{good}");
        }
        for bad in ["", "Admin", "a b", "ä", "a,b", &"x".repeat(33)] {
            assert!(!is_role(bad), "{bad}");
        }
    }
}
