//! The services of the configuration, started on the stack's sockets.

use crate::application::http::{self, AccessLog, Hosts, LogFormat, Login, Root, Site};
use crate::application::pop3;
use crate::application::server::{Bounds, Shutdown};
use crate::application::small::{self, Small};
use crate::base::random::Random;
use crate::daemon::assemble::tcp_defaults;
use crate::daemon::config::{self, Account, Listen};
use crate::daemon::failure::Failure;
use crate::daemon::guest::Common;
use crate::daemon::log_file::LogFile;
use crate::session::accounts::Accounts;
use crate::session::clock::Clock;
use crate::session::net::Net;
use crate::session::tcp::{ListenOptions, TcpListener};
use crate::session::udp::UdpSocket;
use crate::stack::siblings::Place;
use crate::transport::tcp::config::{self as tcp, Algorithm};
use serde_json::Value;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use toml::Spanned;

/// What a service says of its connections in place of `[tcp]`: congestion control, and data on SYNs.
type Own = (Option<Algorithm>, Option<bool>);

/// What all services are given.
pub struct Services<'a> {
    /// The stack to run on.
    pub net: &'a Net,
    /// Which of the host's stacks that is.
    pub place: Place,
    /// What is the same on all of them.
    pub common: &'a Common,
    /// Asked when the daemon stops.
    pub shutdown: &'a Shutdown,
}

/// The accounts as the session floor takes them.
///
/// # Errors
/// One of them is none; validation has said so before.
pub fn accounts(accounts: &[Account]) -> Result<Accounts, Failure> {
    let pairs = accounts.iter().map(|account| (account.name.as_ref().as_str(), account.password.as_ref().as_str()));
    Accounts::new(pairs).map_err(|error| Failure::Usage(error.to_string()))
}

impl Services<'_> {
    /// Starts them all; when this returns, every listener listens.
    ///
    /// # Errors
    /// A port can't be had, or a folder can't be read.
    pub fn start(&self) -> Result<(), Failure> {
        if let Some(http) = &self.common.config.http {
            self.start_http(http)?;
        }
        if let Some(pop3) = &self.common.config.pop3 {
            self.start_pop3(pop3)?;
        }
        if let Some(small) = &self.common.config.small {
            let services = [Small::Echo, Small::Discard, Small::Chargen, Small::Daytime];
            for (service, (_, listen)) in services.into_iter().zip(small.services()) {
                self.start_small(service, listen, (small.congestion, small.fast_open))?;
            }
        }
        Ok(())
    }

    fn clock(&self) -> Rc<dyn Clock> {
        Rc::new(self.net.clone())
    }

    /// The bounds of a service that may have so many connections, on all stacks together.
    fn bounds(&self, connections: u32) -> Bounds {
        // Connections get most of the daemon's grace; the rest is for their FINs to be acknowledged.
        let grace = self.common.config.daemon.grace.0.mul_f64(0.8);
        Bounds { connections: connections.div_ceil(u32::from(self.place.count)) as usize, grace }
    }

    fn listen(
        &self,
        name: &str,
        listen: &Spanned<Listen>,
        (congestion, fast_open): Own,
    ) -> Result<TcpListener, Failure> {
        let config = &self.common.config;
        let defaults = tcp_defaults(config);
        let own = (congestion.is_some() || fast_open.is_some()).then(|| tcp::Config {
            congestion: congestion.unwrap_or(defaults.congestion),
            fast_open: fast_open.unwrap_or(defaults.fast_open),
            ..defaults
        });
        let options = ListenOptions { backlog: Some(config.tcp.backlog as usize), config: own };
        TcpListener::bind_with(self.net, listen.as_ref().socket_addr(), options)
            .map_err(|error| Failure::running(format!("{name} can't listen: {}: {error}", listen.as_ref())))
    }

    fn start_http(&self, http: &config::Http) -> Result<(), Failure> {
        let settings = http::Config {
            state_page: http.state_page,
            header_timeout: http.header_timeout.0,
            body_timeout: http.body_timeout.0,
            write_timeout: http.write_timeout.0,
            idle_timeout: http.idle_timeout.0,
            header_limit: usize::try_from(http.header_limit.0).unwrap_or(usize::MAX),
            body_limit: http.body_limit.0,
            client_limits: http.client_limits(),
            ..http::Config::default()
        };
        let (net, place, board) = (self.net.clone(), self.place, Arc::clone(&self.common.board));
        let access_log = self.common.access_log.clone();
        let state = Rc::new(move || {
            let own = net.with_stack(|stack| stack.snapshot());
            let mut state = to_value(board.read(place.index, own, net.now()));
            if let (Some(log), Some(state)) = (&access_log, state.as_object_mut()) {
                state.insert("access_log".into(), serde_json::json!([{"name": "lost lines", "count": log.lost()}]));
            }
            state
        });
        let site = Site::new(settings, self.clock(), random()?, hosts(http)?, state)
            .with_login(self.login()?)
            .with_clients(self.common.http_clients.clone())
            .with_errands(self.common.errands.clone());
        let site = Rc::new(match (&self.common.access_log, &http.log) {
            (Some(file), Some(log)) => site.with_access_log(access_log_of(file.clone(), log.format)),
            _ => site,
        });
        for listen in &http.listen {
            let listener = self.listen("http", listen, (http.congestion, http.fast_open))?;
            self.net.spawn(http::serve(
                listener,
                Rc::clone(&site),
                self.bounds(http.connections),
                self.shutdown.clone(),
            ));
        }
        Ok(())
    }

    fn login(&self) -> Result<Login, Failure> {
        let (verifier, throttle) = (self.common.verifier.clone(), self.common.throttle.clone());
        Ok(Login::new(self.clock(), verifier, throttle, random()?))
    }

    fn start_pop3(&self, pop3: &config::Pop3) -> Result<(), Failure> {
        let settings = pop3::Config {
            maildir: pop3.maildir.as_ref().clone(),
            idle: pop3.idle_timeout.0,
            ..pop3::Config::default()
        };
        let (verifier, throttle) = (self.common.verifier.clone(), self.common.throttle.clone());
        let service = Rc::new(pop3::Service::new(settings, self.clock(), verifier, throttle));
        for listen in &pop3.listen {
            let listener = self.listen("pop3", listen, (pop3.congestion, None))?;
            let bounds = self.bounds(pop3.connections);
            self.net.spawn(pop3::serve(listener, Rc::clone(&service), bounds, self.shutdown.clone()));
        }
        Ok(())
    }

    fn start_small(&self, service: Small, listens: &[Spanned<Listen>], own: Own) -> Result<(), Failure> {
        let name = service.to_string();
        for listen in listens {
            let listener = self.listen(&name, listen, own)?;
            let socket = UdpSocket::bind(self.net, listen.as_ref().socket_addr())
                .map_err(|error| Failure::running(format!("{name} can't listen: UDP {}: {error}", listen.as_ref())))?;
            let bounds = self.bounds(SMALL_CONNECTIONS);
            self.net.spawn(small::serve(service, listener, self.clock(), bounds, self.shutdown.clone()));
            let (clock, shutdown) = (self.net.clone(), self.shutdown.clone());
            self.net.spawn(async move { small::serve_datagrams(service, &socket, &clock, &shutdown).await });
        }
        Ok(())
    }
}

/// Connections of one small service.
const SMALL_CONNECTIONS: u32 = 131_072;

/// The sites of the web server.
fn hosts(http: &config::Http) -> Result<Hosts, Failure> {
    let mut hosts = Hosts::default();
    for (names, site) in http.all_sites() {
        let open = |path: &PathBuf| {
            Root::open(path)
                .map_err(|error| Failure::running(format!("the pages can't be read: {}: {error}", path.display())))
        };
        let root = site.root().map(open).transpose()?.map(|root| root.in_manner(site.manner()));
        if names.is_empty() {
            hosts.default = site.host(root);
            continue;
        }
        for name in names {
            hosts.named.insert(name.as_ref().clone(), site.host(root.clone()));
        }
    }
    Ok(hosts)
}

fn access_log_of(file: LogFile, format: config::http::LogFormat) -> AccessLog {
    let format = match format {
        config::http::LogFormat::Combined => LogFormat::Combined,
        config::http::LogFormat::Json => LogFormat::Json,
    };
    AccessLog { format, write: Box::new(move |line| file.write(line)) }
}

/// A stream of secrets of its own.
fn random() -> Result<Random, Failure> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| Failure::running(format!("no randomness can be had: {error}")))?;
    Ok(Random::from_key(key))
}

/// Plain data as JSON. It has no keys that JSON could not say, so that this does not fail.
pub(super) fn to_value(data: impl serde::Serialize) -> Value {
    serde_json::to_value(data).unwrap_or(Value::Null)
}
