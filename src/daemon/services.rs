//! The services of the configuration, started on the stack's sockets.

use crate::application::http::proxy::{Dial, Proxy, Settings};
use crate::application::http::{self, AccessLog, Hosts, LogFormat, Login, Pages, Root, Site};
use crate::application::mailbox::{Mailboxes, delivery};
use crate::application::pop3;
use crate::application::secure::{Secured, Upgradable};
use crate::application::server::{Bounds, Shutdown};
use crate::application::small::{self, Small};
use crate::application::smtp::{self, Role};
use crate::base::random::Random;
use crate::base::time::Duration;
use crate::daemon::assemble::tcp_defaults;
use crate::daemon::config::{self, Listen};
use crate::daemon::failure::Failure;
use crate::daemon::guest::Common;
use crate::daemon::log_file::LogFile;
use crate::presentation::tls::Acceptor;
use crate::session::clock::Clock;
use crate::session::connection::Connection;
use crate::session::entrance::Entrance;
use crate::session::login::{Logins, Policy};
use crate::session::net::Net;
use crate::session::rights::Service;
use crate::session::tcp::{ListenOptions, TcpListener, TcpStream};
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
        if let Some(smtp) = &self.common.config.smtp {
            self.start_smtp(smtp)?;
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

    /// One for each listener of a service that speaks these protocols. There is TLS wherever something asks for it.
    fn acceptors(&self, protocols: &'static [&'static str]) -> impl Iterator<Item = Acceptor> {
        let acceptor = self.common.tls.as_ref().map(|tls| tls.acceptor(protocols, self.clock()));
        acceptor.into_iter().cycle()
    }

    /// What a conversation in these protocols that began in the clear goes on with.
    fn upgrade(&self, protocols: &'static [&'static str]) -> Option<Acceptor> {
        self.acceptors(protocols).next().filter(|_| self.common.config.tls.starttls)
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
            http2: http.http2,
            state_page: http.state_page,
            is_state_restricted: http.state_page_role.is_some(),
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
        let (hosts, proxies) = hosts(http, |settings| self.proxy(settings))?;
        for proxy in proxies {
            self.net.spawn(Proxy::look_after(proxy, self.shutdown.clone()));
        }
        let site = Site::new(settings, self.clock(), random()?, hosts, state)
            .with_login(self.login()?)
            .with_clients(self.common.http_clients.clone())
            .with_errands(self.common.errands.clone());
        let site = match (http.pages(), &self.common.database) {
            (Some((path, port)), Some(database)) => {
                let logins = Logins::new(Arc::clone(database), self.common.errands.clone(), Policy::default());
                if self.place.index == 0 {
                    self.net.spawn(expire(logins.clone(), self.clock()));
                }
                site.with_pages(Pages::new(path, port, logins, self.mailboxes()))
            }
            _ => site,
        };
        let site = Rc::new(match (&self.common.access_log, &http.log) {
            (Some(file), Some(log)) => site.with_access_log(access_log_of(file.clone(), log.format)),
            _ => site,
        });
        let (own, bounds) = ((http.congestion, http.fast_open), self.bounds(http.connections));
        for listen in &http.listen {
            let listener = self.listen("http", listen, own)?;
            self.net.spawn(http::serve(listener, Rc::clone(&site), bounds, self.shutdown.clone()));
        }
        for (listen, acceptor) in http.tls_listen.iter().zip(self.acceptors(if http.http2 { HTTP } else { HTTP_1_1 })) {
            let listener = Secured::new(self.listen("https", listen, own)?, acceptor);
            self.net.spawn(http::serve(listener, Rc::clone(&site), bounds, self.shutdown.clone()));
        }
        Ok(())
    }

    /// A gateway over the stack's own connections, of which each stack has its share.
    fn proxy(&self, mut settings: Settings) -> Proxy {
        settings.connections = settings.connections.div_ceil(u32::from(self.place.count));
        settings.kept = settings.kept.div_ceil(usize::from(self.place.count));
        let net = self.net.clone();
        let dial: Dial = Rc::new(move |address| {
            let net = net.clone();
            Box::pin(async move {
                let stream = TcpStream::connect(&net, address).await?;
                stream.set_nodelay(true);
                Ok(Box::new(stream) as Box<dyn Connection>)
            })
        });
        Proxy::new(settings, self.clock(), &dial)
    }

    fn login(&self) -> Result<Login, Failure> {
        Ok(Login::new(self.clock(), self.entrance(Service::Web)?, random()?))
    }

    /// The way in, with randomness of its own.
    fn entrance(&self, service: Service) -> Result<Entrance, Failure> {
        let (verifier, throttle) = (self.common.verifier.clone(), self.common.throttle.clone());
        Ok(Entrance::new(self.clock(), verifier, throttle, random()?, service))
    }

    fn start_pop3(&self, pop3: &config::Pop3) -> Result<(), Failure> {
        let settings = pop3::Config {
            idle: pop3.idle_timeout.0,
            command: pop3.command_timeout.0,
            login_delay: pop3.login_delay.0,
            allow_plaintext_auth: pop3.allow_plaintext_auth,
            ..pop3::Config::default()
        };
        let service = Rc::new(pop3::Service {
            config: settings,
            clock: self.clock(),
            entrance: self.entrance(Service::Pop3)?,
            mailboxes: self.mailboxes(),
            errands: self.common.errands.clone(),
            delays: self.common.login_delays.clone(),
            acceptor: self.upgrade(POP3),
        });
        let (own, bounds) = ((pop3.congestion, None), self.bounds(pop3.connections));
        for listen in &pop3.listen {
            let listener = Upgradable(self.listen("pop3", listen, own)?);
            self.net.spawn(pop3::serve(listener, Rc::clone(&service), bounds, self.shutdown.clone()));
        }
        for (listen, acceptor) in pop3.tls_listen.iter().zip(self.acceptors(POP3)) {
            let listener = Secured::new(self.listen("pop3s", listen, own)?, acceptor);
            self.net.spawn(pop3::serve(listener, Rc::clone(&service), bounds, self.shutdown.clone()));
        }
        Ok(())
    }

    fn mailboxes(&self) -> Mailboxes {
        Mailboxes::new(self.common.config.maildir())
    }

    fn start_smtp(&self, smtp: &config::Smtp) -> Result<(), Failure> {
        let settings = smtp::Config {
            host: smtp.effective_host().to_owned(),
            domains: smtp.domains.iter().map(|domain| domain.as_ref().clone()).collect(),
            postmaster: smtp.postmaster.as_ref().map(|name| name.as_ref().clone()),
            message_size: smtp.message_size.as_ref().0,
            recipients: *smtp.recipients.as_ref() as usize,
            client_connections: smtp.client_connections,
            client_rate: smtp.client_rate,
            allow_plaintext_auth: smtp.allow_plaintext_auth,
            idle: smtp.idle_timeout.0,
            ..smtp::Config::default()
        };
        let service = Rc::new(smtp::Service {
            config: settings,
            clock: self.clock(),
            entrance: self.entrance(Service::Submission)?,
            mailboxes: self.mailboxes().with_quota(self.common.quota.clone()),
            errands: self.common.errands.clone(),
            visitors: self.common.visitors.clone(),
            acceptor: self.upgrade(SMTP),
        });
        let (own, bounds) = ((smtp.congestion, None), self.bounds(smtp.connections));
        let [receive, lmtp, submission, (submissions, encrypted)] = smtp.listens();
        for (role, (name, listens)) in [(Role::Receive, receive), (Role::Lmtp, lmtp), (Role::Submission, submission)] {
            for listen in listens {
                let listener = Upgradable(self.listen(name, listen, own)?);
                self.net.spawn(smtp::serve(listener, Rc::clone(&service), role, bounds, self.shutdown.clone()));
            }
        }
        for (listen, acceptor) in encrypted.iter().zip(self.acceptors(SMTP)) {
            let (listener, role) = (Secured::new(self.listen(submissions, listen, own)?, acceptor), Role::Submission);
            self.net.spawn(smtp::serve(listener, Rc::clone(&service), role, bounds, self.shutdown.clone()));
        }
        if self.place.index == 0 {
            self.net.spawn(sweep(Rc::clone(&service)));
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

/// Removes what a killed daemon left of mail that it never acknowledged.
async fn sweep(service: Rc<smtp::Service>) {
    let since_1970 = service.clock.unix_time();
    for user in service.entrance.verifier().accounts().names() {
        let Some(root) = service.mailboxes.of(user) else { continue };
        let swept = service.errands.send(move || delivery::sweep(&root, since_1970)).await;
        if let Ok(Err(error)) = swept {
            log::warn!("the drafts in the Maildir of {user:?} can't be looked at: {error}");
        }
    }
}

/// How often it is looked for sessions that are over.
const EXPIRY: Duration = Duration::from_secs(600);

/// Forgets login sessions that are over.
async fn expire(logins: Logins, clock: Rc<dyn Clock>) {
    loop {
        if let Err(trouble) = logins.expire(clock.unix_time()).await {
            log::warn!("login sessions that are over are not forgotten: {trouble:?}");
        }
        clock.sleep_until(clock.now() + EXPIRY).await;
    }
}

/// What HTTP is called in TLS, the first that the client knows (RFC 9113 §3.1, RFC 9112 §12).
const HTTP: &[&str] = &["h2", "http/1.1"];
/// The same without HTTP/2.
const HTTP_1_1: &[&str] = &["http/1.1"];
/// What POP3 is called in TLS (RFC 7301 §6).
const POP3: &[&str] = &["pop3"];
/// What SMTP is called in TLS by Exim, the one program that says so; there is no registered name.
const SMTP: &[&str] = &["smtp", "esmtp"];
/// Connections of one small service.
const SMALL_CONNECTIONS: u32 = 131_072;

/// The sites of the web server, and all their proxies, which `proxy` makes.
fn hosts(http: &config::Http, proxy: impl Fn(Settings) -> Proxy) -> Result<(Hosts, Vec<Rc<Proxy>>), Failure> {
    let (mut hosts, mut all_proxies) = (Hosts::default(), Vec::new());
    for (names, site) in http.all_sites() {
        let proxies: Vec<Rc<Proxy>> = site.proxies().map(|settings| Rc::new(proxy(settings))).collect();
        all_proxies.extend(proxies.iter().cloned());
        let open = |path: &PathBuf| {
            Root::open(path)
                .map_err(|error| Failure::running(format!("the pages can't be read: {}: {error}", path.display())))
        };
        let root = site.root().map(open).transpose()?.map(|root| root.in_manner(site.manner()));
        let host = |root| {
            let mut host = site.host(root, proxies.clone());
            // The last of those for the same path is the one that counts.
            host.realms.extend(http.state_realm());
            host
        };
        if names.is_empty() {
            hosts.default = host(root);
            continue;
        }
        for name in names {
            hosts.named.insert(name.as_ref().clone(), host(root.clone()));
        }
    }
    Ok((hosts, all_proxies))
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
