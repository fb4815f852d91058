//! What the event loop of the daemon drives: the host with its services, and how it shows, reloads and stops.
//!
//! With several queues each thread has one: a stack with its services, and of the rest what [`Common`] holds.

use crate::application::http::Clients;
use crate::application::mailbox::quota::Quota;
use crate::application::pop3::LoginDelays;
use crate::application::server::Shutdown;
use crate::application::smtp::Visitors;
use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
use crate::daemon::assemble::stack_config;
use crate::daemon::board::Board;
use crate::daemon::clock::Clock;
use crate::daemon::config::{self, Config};
use crate::daemon::crew::Crew;
use crate::daemon::event_loop::{EventLoop, Guest};
use crate::daemon::failure::Failure;
use crate::daemon::log_file::LogFile;
use crate::daemon::memory::{self, Memory};
use crate::daemon::people::{accounts, database};
use crate::daemon::services::Services;
use crate::daemon::show;
use crate::daemon::tls::{identities, server_tls};
use crate::physical::frame::{DeviceId, Frame, OutFrame};
use crate::presentation::tls::ServerTls;
use crate::presentation::tls::authority::is_due;
use crate::presentation::tls::description::Description;
use crate::session::database::Database;
use crate::session::errands::Errands;
use crate::session::host::Host;
use crate::session::net::Net;
use crate::session::throttle::SharedThrottle;
use crate::session::verifier::Verifier;
use crate::stack::Stack;
use crate::stack::siblings::{Message, Place, To};
use crate::stack::snapshot::Snapshot;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Threads that work on the disk: several, so that one commit of its journal serves several messages.
const DISK_THREADS: usize = 4;
/// Errands that wait for one of them.
const DISK_QUEUE: usize = 1_024;

/// What the threads of all queues have in common. Nothing of it is touched for a packet.
#[derive(Clone)]
pub struct Common {
    /// What is configured.
    pub config: Arc<Config>,
    /// The file to read again.
    pub config_path: Option<PathBuf>,
    /// The time.
    pub clock: Clock,
    /// Who may log in.
    pub verifier: Verifier,
    /// Login sessions and the book of accounts, if pages need them.
    pub database: Option<Arc<Database>>,
    /// What failed logins cost, whichever queue they come over.
    pub throttle: SharedThrottle,
    /// What is offered to clients that come encrypted, if any are awaited.
    pub tls: Option<ServerTls>,
    /// Who works on the disk.
    pub errands: Errands,
    /// When each account fetched its mail last.
    pub login_delays: LoginDelays,
    /// How much mail each may have.
    pub quota: Quota,
    /// Who brings mail.
    pub visitors: Visitors,
    /// Who asks the web server, and how much.
    pub http_clients: Clients,
    /// What the web server was asked.
    pub access_log: Option<LogFile>,
    /// What there is to show of each thread.
    pub board: Arc<Board>,
}

impl Common {
    /// The configuration as it is by now: the file read again, if there is one.
    fn configuration(&self) -> Result<Config, Failure> {
        let Some(path) = &self.config_path else { return Ok(Config::clone(&self.config)) };
        let (mut config, source) = Config::load(path)?;
        // A flag may have said so, and the accounts there are ours.
        config.daemon.state.clone_from(&self.config.daemon.state);
        config.validate(&source)?;
        Ok(config)
    }
}

/// Runs the daemon until it is stopped; `on_ready` is called when the devices are up and every listener listens.
///
/// # Errors
/// Something can't be had, or a device is gone.
pub fn run(config: Config, config_path: Option<&Path>, on_ready: impl FnOnce()) -> Result<(), Failure> {
    memory::give_back_large_pieces_at_once();
    let clock = Clock::start();
    let grace = config.daemon.grace.0;
    let mut loops = EventLoop::open(&config, clock)?;
    let board = Arc::new(Board::new(loops.iter().map(EventLoop::waker).collect()));
    let others = loops.split_off(1);
    let Some(mut first) = loops.pop() else { return Ok(()) };
    let verifier = Verifier::spawn(accounts(&config)?, first.caller())
        .map_err(|error| Failure::running(format!("the thread that checks passwords can't start: {error}")))?;
    let tls = server_tls(&config, clock, first.capture())?;
    let errands = Errands::spawn("disk", DISK_THREADS, DISK_QUEUE, first.caller())
        .map_err(|error| Failure::running(format!("the threads that write files can't start: {error}")))?;
    let quota = Quota::new(config.smtp.as_ref().map_or(0, |smtp| smtp.quota.0));
    let access_log = config.http.as_ref().and_then(|http| http.log.as_ref()).map(|log| {
        let path = log.file.as_ref();
        LogFile::open(path)
            .map_err(|error| Failure::running(format!("the access log can't be written: {}: {error}", path.display())))
    });
    let database = config.http.as_ref().and_then(config::Http::pages).map(|_| database(&config)).transpose()?;
    let common = Common {
        tls,
        database,
        access_log: access_log.transpose()?,
        config: Arc::new(config),
        config_path: config_path.map(Path::to_owned),
        clock,
        verifier,
        throttle: SharedThrottle::default(),
        errands,
        login_delays: LoginDelays::default(),
        quota,
        visitors: Visitors::default(),
        http_clients: Clients::default(),
        board,
    };
    let mut guest = DaemonGuest::start(&common, &first)?;
    let crew = Crew::start(others, &first.waker(), move |event_loop| DaemonGuest::start(&common, event_loop))?;
    on_ready();
    first.run(&mut guest, crew, grace)
}

/// The daemon's host, or the part of it that has one queue.
pub struct DaemonGuest {
    host: Host,
    place: Place,
    shutdown: Shutdown,
    memory: Memory,
    common: Common,
}

impl DaemonGuest {
    /// Builds the stack and starts the services; when this returns, every listener listens.
    ///
    /// # Errors
    /// A service can't start, or the system has no randomness for us.
    pub fn start(common: &Common, event_loop: &EventLoop) -> Result<Self, Failure> {
        let mut common = common.clone();
        common.verifier = common.verifier.waking(event_loop.caller());
        common.errands = common.errands.waking(event_loop.caller());
        let place = event_loop.place();
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| Failure::running(format!("no randomness can be had: {error}")))?;
        let unix_origin: Duration = common.clock.unix_origin();
        let stack = Stack::new(stack_config(&common.config, place, unix_origin), Random::from_key(key));
        let host = Host::new(stack, unix_origin);
        let shutdown = Shutdown::new();
        Services { net: host.net(), place, common: &common, shutdown: &shutdown }.start()?;
        if place.index == 0 {
            host.net().spawn(renew_own_certificate(common.clone(), host.net().clone()));
        }
        let guest = DaemonGuest { host, place, shutdown, memory: Memory::default(), common };
        guest.common.board.put_up(place.index, guest.snapshot(), Instant::ZERO);
        Ok(guest)
    }

    fn snapshot(&self) -> Snapshot {
        self.host.net().with_stack(|stack| stack.snapshot())
    }
}

/// How often it is looked whether a certificate of our own ends soon.
const RENEWAL: Duration = Duration::from_secs(12 * 3_600);

/// Replaces a certificate of our own before it ends.
async fn renew_own_certificate(common: Common, net: Net) {
    let Some(tls) = common.tls.as_ref().filter(|_| common.config.tls.certificates.is_empty()) else { return };
    loop {
        net.sleep(RENEWAL).await;
        let shown = tls.certificates().current();
        let said = shown.first().and_then(|identity| Description::of(identity.certificate()).ok());
        if said.is_some_and(|said| !is_due(&said, common.clock.unix_time())) {
            continue;
        }
        match identities(&common.config, common.clock) {
            Ok(identities) => tls.certificates().replace(identities),
            Err(failure) => log::warn!("the certificate stays as it is: {failure}"),
        }
    }
}

impl Guest for DaemonGuest {
    fn receive_all(&mut self, now: Instant, device: DeviceId, frames: impl Iterator<Item = Frame>) {
        self.host.receive_all(now, device, frames);
    }

    fn receive_message(&mut self, now: Instant, message: Message) {
        self.host.receive_message(now, message);
    }

    fn poll_message(&mut self) -> Option<(To, Message)> {
        self.host.net().with_stack(Stack::poll_message)
    }

    fn on_message_lost(&mut self) {
        self.host.net().with_stack(Stack::on_message_lost);
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

    fn show(&self, what: &str) -> Option<Snapshot> {
        self.host.net().with_stack(|stack| show::part(stack, what))
    }

    fn put_up(&mut self, now: Instant) {
        if self.common.board.is_wanted(self.place.index) {
            let snapshot = self.snapshot();
            self.common.board.put_up(self.place.index, snapshot, now);
        }
    }

    fn reload(&mut self) {
        let read = self.common.configuration().and_then(|config| {
            let tls = self.common.tls.as_ref();
            let identities = tls.map(|_| identities(&config, self.common.clock)).transpose()?;
            self.common.verifier.change(|_| accounts(&config))?;
            Ok(identities)
        });
        match read {
            Ok(identities) => {
                let count = self.common.verifier.accounts().names().count();
                if let (Some(tls), Some(identities)) = (&self.common.tls, identities) {
                    log::info!("reloaded {} certificates", identities.len());
                    tls.certificates().replace(identities);
                }
                log::info!("reloaded {count} accounts; everything else takes a restart");
            }
            Err(failure) => log::warn!("not reloaded, everything stays as it is: {failure}"),
        }
    }

    fn reopen_logs(&mut self) {
        if let Some(log) = &self.common.access_log {
            log.reopen();
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
