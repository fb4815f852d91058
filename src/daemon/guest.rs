//! What the event loop of the daemon drives: the host with its services, and how it answers, reloads and stops.

use crate::application::server::Shutdown;
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::daemon::assemble::stack_config;
use crate::daemon::clock::Clock;
use crate::daemon::config::Config;
use crate::daemon::control::{Request, Response};
use crate::daemon::event_loop::Guest;
use crate::daemon::failure::Failure;
use crate::daemon::memory::{self, Memory};
use crate::daemon::services::{Services, accounts, to_value};
use crate::physical::frame::{DeviceId, Frame, OutFrame};
use crate::session::host::Host;
use crate::session::verifier::Verifier;
use crate::stack::Stack;
use crate::stack::siblings::Place;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The daemon's host.
pub struct DaemonGuest {
    host: Host,
    shutdown: Shutdown,
    verifier: Verifier,
    memory: Memory,
    /// The file to read again.
    config_path: Option<PathBuf>,
}

impl DaemonGuest {
    /// Builds the stack and starts the services; when this returns, every listener listens. `wake` gets the event
    /// loop out of its wait.
    ///
    /// # Errors
    /// A service can't start, or the system has no randomness or no thread for us.
    pub fn start(
        config: &Config,
        config_path: Option<&Path>,
        clock: Clock,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, Failure> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| Failure::running(format!("no randomness can be had: {error}")))?;
        let stack = Stack::new(stack_config(config, Place::default(), clock.unix_origin()), Random::from_key(key));
        let host = Host::new(stack, clock.unix_origin());
        let verifier = Verifier::spawn(accounts(&config.accounts)?, wake)
            .map_err(|error| Failure::running(format!("the thread that checks passwords can't start: {error}")))?;
        let shutdown = Shutdown::new();
        Services { net: host.net(), config, shutdown: &shutdown, verifier: &verifier }.start()?;
        Ok(DaemonGuest {
            host,
            shutdown,
            verifier,
            memory: Memory::default(),
            config_path: config_path.map(Path::to_owned),
        })
    }

    fn show(&self, what: &str) -> Option<Value> {
        self.host.net().with_stack(|stack| {
            Some(match what {
                "sockets" => to_value(stack.show_sockets()),
                "interfaces" => to_value(stack.show_interfaces()),
                "neighbours" => to_value(stack.show_neighbours()),
                "routes" => to_value(stack.show_routes()),
                "counters" => to_value(stack.show_counters()),
                "drops" => to_value(stack.show_drops()),
                "lost" => to_value(stack.show_lost()),
                "outcomes" => to_value(stack.show_outcomes()),
                "limits" => to_value(stack.show_limits()),
                _ => return None,
            })
        })
    }
}

impl Guest for DaemonGuest {
    fn receive(&mut self, now: Instant, device: DeviceId, frame: Frame) {
        // The stack has counted what became of it.
        let _ = self.host.receive(now, device, frame);
    }

    fn run(&mut self, now: Instant) {
        self.host.run(now);
        if self.memory.is_due(self.host.net().with_stack(|stack| stack.connections()), now) {
            self.host.shrink_to_fit();
            memory::give_back();
        }
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<(DeviceId, OutFrame)> {
        self.host.poll_transmit(now)
    }

    fn on_device_error(&mut self) {
        self.host.net().with_stack(Stack::on_device_error);
    }

    fn deadline(&self) -> Option<Instant> {
        self.host.deadline().into_iter().chain(self.memory.deadline()).min()
    }

    fn answer(&mut self, request: Request) -> Response {
        let Request::Show(what) = request;
        match self.show(&what) {
            Some(value) => Response::Ok(value),
            None => Response::Error(format!("there is no `{what}` to show")),
        }
    }

    fn reload(&mut self) {
        let Some(path) = &self.config_path else {
            log::warn!("nothing to reload: there is no configuration file");
            return;
        };
        let read = Config::load(path).map_err(Failure::from).and_then(|(config, source)| {
            config.validate(&source)?;
            accounts(&config.accounts)
        });
        match read {
            Ok(accounts) => {
                let count = accounts.names().count();
                self.verifier.replace(accounts);
                log::info!("reloaded {count} accounts; everything else takes a restart");
            }
            Err(failure) => log::warn!("not reloaded, everything stays as it is: {failure}"),
        }
    }

    fn stop(&mut self) {
        self.shutdown.ask();
    }

    fn is_stopped(&self) -> bool {
        self.host.net().with_stack(|stack| !stack.has_connections())
    }

    fn abort(&mut self, now: Instant) {
        self.host.net().with_stack(|stack| stack.abort_connections(now));
    }
}
