//! `tapstack certificate`: what is shown to clients, and how others come to trust it.
//!
//! Nobody is made to trust the local authority who did not ask for it: `install` is a command of its own, and
//! `uninstall` takes it back.

use crate::cli::setup::Setup;
use crate::daemon::config::Config;
use crate::daemon::failure::Failure;
use crate::daemon::local_authority::LocalAuthority;
use crate::presentation::tls::certificates::chain;
use crate::presentation::tls::description::Description;
use clap::{Args, ValueEnum};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

/// Where Debian and its like look for authorities of the machine's own.
const TRUSTED: &str = "/usr/local/share/ca-certificates/tapstack-local-authority.crt";

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum What {
    /// Print fingerprints, validity and names.
    Print,
    /// Print the certificate of the local authority as PEM, for other machines and browsers.
    Export,
    /// Make this machine trust the local authority.
    Install,
    /// Undo that.
    Uninstall,
}

/// What is shown to clients, and the local authority.
#[derive(Debug, Args)]
pub(super) struct Certificate {
    /// What to do
    #[arg(value_enum, default_value = "print")]
    what: What,
    #[command(flatten)]
    setup: Setup,
}

impl Certificate {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let (config, source) = self.setup.load()?;
        config.validate(&source)?;
        match self.what {
            What::Print => super::print(&described(&config)?),
            What::Export => super::print(&authority(&config)?),
            What::Install => install(&config)?,
            What::Uninstall => uninstall()?,
        }
        Ok(())
    }
}

/// Every certificate that is shown, and what signed it if that is ours.
fn described(config: &Config) -> Result<String, Failure> {
    let mut text = String::new();
    let local = LocalAuthority::new(config.state_path());
    let own = [local.path(), local.path_of(config.taps().first().copied().unwrap_or("tap0"))];
    let named = config.tls.certificates.iter().map(|named| named.certificate.as_ref().clone());
    let paths: Vec<PathBuf> = if config.tls.certificates.is_empty() { own.into() } else { named.collect() };
    for path in paths {
        let said = read(&path)?;
        let _ = write!(
            text,
            "{}\n  subject  {}\n  issuer   {}\n  valid    {} to {}\n  sha-256  {}\n",
            path.display(),
            said.subject,
            said.issuer,
            date(said.not_before),
            date(said.not_after),
            said.fingerprint,
        );
        if !said.names.is_empty() {
            let _ = writeln!(text, "  names    {}", said.names.join(", "));
        }
    }
    Ok(text)
}

fn read(path: &Path) -> Result<Description, Failure> {
    let pem = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let of_host = chain(&pem).and_then(|chain| Description::of(chain.first().map_or(&[], |der| der.as_ref())));
    of_host.map_err(|error| Failure::running(format!("{}: {error}", path.display())))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => ": it is made when a daemon that offers TLS and has no certificates first starts",
        io::ErrorKind::PermissionDenied => ": it is its owner's alone: try sudo",
        _ => "",
    };
    Failure::running(format!("the certificate can't be read: {}: {error}{advice}", path.display()))
}

/// A moment as HTTP has it, which people can read.
fn date(since_1970: i64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(since_1970.clamp(0, 253_402_300_799).unsigned_abs()))
}

/// The certificate of the local authority without its key.
fn authority(config: &Config) -> Result<String, Failure> {
    let path = LocalAuthority::new(config.state_path()).path();
    let pem = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
    match pem.find("-----BEGIN CERTIFICATE-----").and_then(|at| pem.get(at..)) {
        Some(certificate) => Ok(certificate.to_owned()),
        None => Err(Failure::running(format!("there is no certificate in {}", path.display()))),
    }
}

fn install(config: &Config) -> Result<(), Failure> {
    let certificate = authority(config)?;
    let failed = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "is the package ca-certificates installed?",
            _ => "it takes root",
        };
        Failure::running(format!("the authority can't be installed: {TRUSTED}: {error}: {hint}"))
    };
    fs::write(TRUSTED, certificate).map_err(failed)?;
    update()?;
    super::print(&format!("this machine trusts {TRUSTED}; browsers with a store of their own need `export`\n"));
    Ok(())
}

fn uninstall() -> Result<(), Failure> {
    match fs::remove_file(TRUSTED) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => super::print("it is not installed\n"),
        Err(error) => return Err(Failure::running(format!("{TRUSTED} can't be removed: {error}"))),
        Ok(()) => update()?,
    }
    Ok(())
}

fn update() -> Result<(), Failure> {
    let failed = |reason: &dyn std::fmt::Display| Failure::running(format!("update-ca-certificates failed: {reason}"));
    let output = Command::new("update-ca-certificates").stdin(Stdio::null()).output();
    let output = output.map_err(|error| failed(&format!("{error}: it is part of the package ca-certificates")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(&String::from_utf8_lossy(&output.stderr).trim()))
}
