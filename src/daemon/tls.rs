//! From the configuration to what TLS is made of: certificates from files or of our own, roots of clients, and where
//! secrets are told.

use crate::daemon::clock::Clock;
use crate::daemon::config::{Config, TlsCertificate};
use crate::daemon::failure::Failure;
use crate::daemon::local_authority::{LocalAuthority, for_this_run, host_name};
use crate::daemon::port::FileCapture;
use crate::presentation::tls::ServerTls;
use crate::presentation::tls::certificates::{CertificateError, Certificates, Identity, chain};
use crate::presentation::tls::key_log::Lines;
use crate::presentation::tls::settings::{Settings, provider};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.unix_time()))
    }
}

/// What is offered, if a service listens for TLS or may go on with it.
///
/// # Errors
/// A file can't be read or written; validation has looked at those that are named.
pub fn server_tls(config: &Config, clock: Clock, capture: Option<&FileCapture>) -> Result<Option<ServerTls>, Failure> {
    if !config.has_tls() {
        return Ok(None);
    }
    let tls = &config.tls;
    let settings = Settings {
        profile: tls.profile,
        certificates: Arc::new(Certificates::new(identities(config, clock)?)),
        client_auth: *tls.client_auth.as_ref(),
        client_roots: tls.client_ca.as_ref().map_or(Ok(Vec::new()), |path| client_roots(path.as_ref()))?,
        resumption: tls.resumption,
        handshake_timeout: tls.handshake_timeout.0,
        key_log: key_log(config, capture)?,
        calendar: Arc::new(clock),
    };
    ServerTls::new(settings).map(Some).map_err(|error| Failure::running(format!("TLS can't be had: {error}")))
}

/// What is shown to clients: the certificates of the configuration, or one of our own.
///
/// # Errors
/// A file can't be read or written, or is not what it should be.
pub fn identities(config: &Config, clock: Clock) -> Result<Vec<Identity>, Failure> {
    let named = &config.tls.certificates;
    if named.is_empty() {
        return Ok(vec![own_identity(config, clock)?]);
    }
    Ok(named.iter().map(identity).collect::<Result<_, _>>()?)
}

/// Which of two files is at fault, and why.
#[derive(Debug)]
pub enum BadIdentity {
    /// The certificate.
    Certificate(Failure),
    /// The key.
    Key(Failure),
}

impl From<BadIdentity> for Failure {
    fn from(bad: BadIdentity) -> Self {
        match bad {
            BadIdentity::Certificate(failure) | BadIdentity::Key(failure) => failure,
        }
    }
}

/// Reads a certificate and its key.
///
/// # Errors
/// A file can't be read, or is not what it should be.
pub fn identity(named: &TlsCertificate) -> Result<Identity, BadIdentity> {
    let (certificate, key) = (named.certificate.as_ref(), named.key.as_ref());
    let pem = (read(certificate).map_err(BadIdentity::Certificate)?, read(key).map_err(BadIdentity::Key)?);
    let at = |path: &Path, error: &CertificateError| Failure::running(format!("{}: {error}", path.display()));
    Identity::from_pem(&provider(), &pem.0, &pem.1, &named.names).map_err(|error| match error {
        CertificateError::NoKey | CertificateError::BadKey(_) | CertificateError::KeyOfAnother => {
            BadIdentity::Key(at(key, &error))
        }
        _ => BadIdentity::Certificate(at(certificate, &error)),
    })
}

/// The certificates of those who sign those of clients.
///
/// # Errors
/// The file can't be read, or there is none in it.
pub fn client_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    chain(&read(path)?).map_err(|error| Failure::running(format!("{}: {error}", path.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::running(format!("{}: {error}", path.display())))
}

/// Whom a certificate of our own is for.
pub fn own_names(config: &Config) -> Vec<String> {
    let names: Vec<String> = config.tls.names.iter().map(|name| name.as_ref().clone()).collect();
    let names = if names.is_empty() { vec![host_name()] } else { names };
    let addresses = config.interfaces.iter().flat_map(|interface| &interface.address);
    let mut all: Vec<String> = names.into_iter().chain(addresses.map(|net| net.as_ref().addr().to_string())).collect();
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|name| seen.insert(name.clone()));
    all
}

fn own_identity(config: &Config, clock: Clock) -> Result<Identity, Failure> {
    let (local, names) = (LocalAuthority::new(config.state_path()), own_names(config));
    let name = config.taps().first().copied().unwrap_or("tap0");
    let failed = |error: &dyn std::fmt::Display| Failure::running(format!("no certificate can be made: {error}"));
    let pem = match local.certificate(name, &names, clock.unix_time()) {
        Ok(pem) => pem,
        // Nobody has asked for the place where it would be kept.
        Err(error) if config.daemon.state.is_none() => {
            log::warn!("the certificate is for this run alone: it can't be kept: {error}: name a place with --state");
            for_this_run(&names, clock.unix_time()).map_err(|error| failed(&error))?
        }
        Err(error) => return Err(failed(&format!("{error}: choose another place with --state"))),
    };
    Identity::from_pem(&provider(), pem.as_bytes(), pem.as_bytes(), &[]).map_err(|error| failed(&error))
}

fn key_log(config: &Config, capture: Option<&FileCapture>) -> Result<Option<Lines>, Failure> {
    let file = config.tls.key_log.as_deref().map(key_log_file).transpose()?;
    let capture = capture.filter(|_| config.daemon.pcap_secrets).cloned();
    if file.is_none() && capture.is_none() {
        return Ok(None);
    }
    log::warn!("the secrets of TLS sessions are written down: whoever has them can read what was said");
    Ok(Some(Lines::new(Box::new(move |line| {
        if let Some(capture) = &capture {
            capture.lock().write_secrets(line);
        }
        if let Some(file) = &file {
            let written = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
            if let Err(error) = written {
                log::debug!("the key log can't be written: {error}");
            }
        }
    }))))
}

fn key_log_file(path: &Path) -> Result<Mutex<File>, Failure> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    opened.map(Mutex::new).map_err(|error| {
        Failure::running(format!("the key log can't be written: {}: {error}: change tls.key_log", path.display()))
    })
}
