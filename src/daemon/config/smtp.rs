//! `[smtp]`: mail that comes in. One table with four lists of places to listen at, as what is behind them is the same:
//! who we are, whose mail it is, and where it goes.

use super::{Account, Flaw, Listen, Spanned, unwritten};
use crate::application::smtp::address::{is_domain, is_literal};
use crate::daemon::units::{ByteCount, Period};
use crate::transport::tcp::config::Algorithm;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The port of SMTP, which LMTP must not have (RFC 2033 §5).
const SMTP_PORT: u16 = 25;

/// `[smtp]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Smtp {
    /// Where it takes mail from anywhere for its domains.
    pub listen: Vec<Spanned<Listen>>,
    /// Where it takes mail from neighbouring servers by LMTP.
    pub lmtp_listen: Vec<Spanned<Listen>>,
    /// Where it takes mail from its own people, after a login.
    pub submission_listen: Vec<Spanned<Listen>>,
    /// The same over TLS from the first octet.
    pub submission_tls_listen: Vec<Spanned<Listen>>,
    /// Who we are; by default the first of the domains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Spanned<String>>,
    /// What stands behind the @ of the addresses of accounts.
    pub domains: Vec<Spanned<String>>,
    /// The account that gets what is for postmaster; by default one of that name, or the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postmaster: Option<Spanned<String>>,
    /// The Maildir of each user; by default that of `[pop3]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maildir: Option<Spanned<PathBuf>>,
    /// The largest message.
    pub message_size: Spanned<ByteCount>,
    /// Octets that each Maildir may hold; 0: as many as there is room for.
    pub quota: ByteCount,
    /// People one message may be for.
    pub recipients: Spanned<u32>,
    /// Connections at once.
    pub connections: u32,
    /// Connections of one client at once.
    pub client_connections: u32,
    /// Messages a second from one client; 0: as many as it likes.
    pub client_rate: u32,
    /// How long a client may be silent before a command.
    pub idle_timeout: Period,
    /// Take passwords without encryption.
    pub allow_plaintext_auth: bool,
    /// The congestion control of its connections; by default that of `[tcp]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion: Option<Algorithm>,
}

impl Default for Smtp {
    fn default() -> Self {
        Smtp {
            listen: vec![unwritten(Listen::Port(SMTP_PORT))],
            lmtp_listen: Vec::new(),
            submission_listen: Vec::new(),
            submission_tls_listen: Vec::new(),
            host: None,
            domains: vec![unwritten("localhost".into())],
            postmaster: None,
            maildir: None,
            message_size: unwritten(ByteCount(25 << 20)),
            quota: ByteCount(0),
            recipients: unwritten(100),
            connections: 1_024,
            client_connections: 50,
            client_rate: 20,
            idle_timeout: Period::from_secs(300),
            allow_plaintext_auth: false,
            congestion: None,
        }
    }
}

impl Smtp {
    /// The lists with their names.
    pub fn listens(&self) -> [(&'static str, &[Spanned<Listen>]); 4] {
        [
            ("smtp", self.listen.as_slice()),
            ("lmtp", self.lmtp_listen.as_slice()),
            ("submission", self.submission_listen.as_slice()),
            ("submissions", self.submission_tls_listen.as_slice()),
        ]
    }

    /// Who we are.
    pub fn effective_host(&self) -> &str {
        self.host.as_ref().or(self.domains.first()).map_or("localhost", |host| host.as_ref())
    }

    pub(super) fn check(&self, accounts: &[Account], of_pop3: Option<&PathBuf>, starttls: bool) -> Result<(), Flaw> {
        if let Some(host) = self.host.as_ref().filter(|host| !is_domain(host.as_ref())) {
            return Err(Flaw::at(
                host,
                format!("`{}` is no name of a host: write one such as mail.example.org", host.as_ref()),
            ));
        }
        let is_wrong = |domain: &&Spanned<String>| !is_domain(domain.as_ref()) && !is_literal(domain.as_ref());
        if let Some(domain) = self.domains.iter().find(is_wrong) {
            let message = format!("`{}` is no domain: write one such as example.org, or [192.0.2.2]", domain.as_ref());
            return Err(Flaw::at(domain, message));
        }
        let is_account = |name: &Spanned<String>| accounts.iter().any(|account| account.name.as_ref() == name.as_ref());
        if let Some(name) = self.postmaster.as_ref().filter(|name| !is_account(name)) {
            return Err(Flaw::at(
                name,
                format!("there is no account `{}`: add an [[account]] of this name", name.as_ref()),
            ));
        }
        if let Some(listen) = self.lmtp_listen.iter().find(|listen| listen.as_ref().socket_addr().port() == SMTP_PORT) {
            return Err(Flaw::at(listen, "LMTP must not be on port 25 (RFC 2033 §5): take another, for example 24"));
        }
        if let Some(listen) = self.submission_listen.first().filter(|_| !self.allow_plaintext_auth && !starttls) {
            let message = "submission takes passwords, which needs encryption: take tls.starttls = false away, \
                           listen at submission_tls_listen, or in a lab say allow_plaintext_auth = true";
            return Err(Flaw::at(listen, message));
        }
        if self.message_size.as_ref().0 < 64 << 10 {
            let message = format!(
                "a message_size of {} is too little: 64KiB or more (RFC 5321 §4.5.3.1.7)",
                self.message_size.as_ref()
            );
            return Err(Flaw::at(&self.message_size, message));
        }
        if *self.recipients.as_ref() < 100 {
            return Err(Flaw::at(
                &self.recipients,
                "a message must be allowed 100 recipients at least (RFC 5321 §4.5.3.1.8)",
            ));
        }
        match (&self.maildir, of_pop3) {
            (Some(own), _) if !own.as_ref().to_string_lossy().contains("{user}") => {
                let message = format!("maildir `{}` would be everyone's: put {{user}} in it", own.as_ref().display());
                Err(Flaw::at(own, message))
            }
            (Some(own), Some(other)) if own.as_ref() != other => {
                let message = format!(
                    "pop3 looks into `{}`, so that nobody would see this mail: write the same, or leave it out here",
                    other.display()
                );
                Err(Flaw::at(own, message))
            }
            _ => Ok(()),
        }
    }
}
