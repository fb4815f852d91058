//! Arguments and output: what a person types and what it prints.
//!
//! Exit status: 0 done, or stopped as asked; 1 failed while running; 2 wrong arguments or configuration. Messages
//! read `tapstack: what failed: on what: what to do`.

mod account;
mod cable;
mod certificate;
mod check;
mod password;
pub mod plot;
mod setup;
mod show;
mod table;

use crate::daemon::failure::Failure;
use crate::daemon::guest;
use clap::{Parser, Subcommand};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// A network host in one process: ARP, IPv4, ICMP, UDP and TCP of its own on a Linux TAP device, with HTTP and
/// POP3 on top, also over TLS.
#[derive(Debug, Parser)]
#[command(
    name = "tapstack",
    version,
    arg_required_else_help = true,
    max_term_width = 110,
    after_help = "To start: `sudo tapstack run`, and in another terminal `ping 192.0.2.2`.\n\
                  Every command explains itself: `tapstack run --help`."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: a host on a TAP device.
    #[command(after_long_help = RUN_EXAMPLES)]
    Run(setup::Setup),
    /// Check a configuration and print what would run.
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(setup::Setup),
    /// Ask a running daemon for its state.
    #[command(after_long_help = SHOW_EXAMPLES)]
    Show(show::Show),
    /// Make the hash of a password for an `[[account]]`.
    #[command(after_long_help = PASSWORD_EXAMPLES)]
    Password {
        /// Make what SCRAM-SHA-256 needs of the password instead, for `scram` of the `[[account]]`
        #[arg(long)]
        scram: bool,
    },
    /// Add, change, lock, remove and list accounts while the daemon runs.
    #[command(after_long_help = ACCOUNT_EXAMPLES)]
    Account(account::Account),
    /// Print the certificates of TLS, or export, install or uninstall the local authority that signed them.
    #[command(after_long_help = CERTIFICATE_EXAMPLES)]
    Certificate(certificate::Certificate),
    /// Connect two TAP devices with a cable that loses, delays, reorders, repeats and damages frames.
    #[command(after_long_help = CABLE_EXAMPLES)]
    Cable(cable::CableArguments),
}

const RUN_EXAMPLES: &str = "\
Examples:
  sudo tapstack run
      a host at 192.0.2.2 on tap0 with all its services; the kernel's side is 192.0.2.1
  sudo tapstack run --config lab.toml --pcap lab.pcapng
      what lab.toml says, every frame captured
  unshare --user --net --map-root-user tapstack run --control /tmp/lab.sock
      without root, in a network namespace of its own

It prints `ready` when its devices are up and its services listen. SIGTERM or SIGINT stops it in order, the second
one at once; SIGHUP reads accounts and certificates again. Logs go to standard error; RUST_LOG=debug says more.";

const CHECK_EXAMPLES: &str = "\
Examples:
  tapstack check --config lab.toml
      prints the effective configuration, or the first mistake as file:line and exits with 2";

const SHOW_EXAMPLES: &str = "\
Examples:
  sudo tapstack show sockets -i
      every socket with its congestion window, round-trip time, timeouts and retransmissions
  sudo tapstack show drops --tap tap1
      why packets were dropped, asked of the daemon whose first TAP is tap1
  sudo tapstack show counters --json | jq .
  sudo tapstack show trace --svg > window.svg
      the congestion window of each connection over time, if `tcp.trace` is on";

const PASSWORD_EXAMPLES: &str = "\
Examples:
  tapstack password
      asks twice and prints the hash
  printf 'wonderland\\n' | tapstack password
      takes the first line of standard input";

const ACCOUNT_EXAMPLES: &str = "\
Examples:
  sudo tapstack account add alice
      asks for a password; alice can fetch and send mail at once
  printf 'wonderland\\n' | sudo tapstack account password alice
      another password; whoever is logged in as alice is not any more
  sudo tapstack account list

Accounts of a configuration file stay there: `tapstack password` makes their hashes.";

const CERTIFICATE_EXAMPLES: &str = "\
Examples:
  sudo tapstack certificate
      fingerprints, validity and names
  sudo tapstack certificate export > authority.pem
      for curl --cacert, browsers and other machines
  sudo tapstack certificate install
      makes this machine trust it (update-ca-certificates); `uninstall` undoes that

The local authority is made when a daemon that offers TLS and has no certificates of its own first starts.";

const CABLE_EXAMPLES: &str = "\
Examples:
  sudo tapstack cable tap1 tap2 --loss 3% --delay 5ms --jitter 5ms --reorder 1% --seed 7
      a bad line, as bad in each direction, the same every time for the same frames
  sudo tapstack cable tap1 tap2 --rate 10mbit --queue 64KiB --delay 50ms
      a slow and long one with a queue that drops at its tail

It creates the TAPs, brings them up and prints `ready`. They may then be put into bridges and network namespaces.
SIGINT, SIGTERM, --for or --count ends it; then it prints what it did.";

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are errors to clap, with exit status 0.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let result = match arguments.command {
        Command::Run(setup) => run(&setup),
        Command::Check(setup) => check::run(&setup),
        Command::Show(show) => show.run(),
        Command::Password { scram } => password::run(scram),
        Command::Account(account) => account.run(),
        Command::Certificate(certificate) => certificate.run(),
        Command::Cable(cable) => cable.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "tapstack: {failure}");
            ExitCode::from(failure.status())
        }
    }
}

fn run(setup: &setup::Setup) -> Result<(), Failure> {
    let (config, source) = setup.load()?;
    config.validate(&source)?;
    guest::run(config, setup.path().map(PathBuf::as_path), || {
        print("ready\n");
        // Without systemd there is nobody to tell, and that is no failure.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    })
}

/// Prints to standard output. A reader that has gone away (`| head`) is no failure.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }
}
