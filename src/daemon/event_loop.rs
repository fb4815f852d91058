//! The loop: wait, carry frames up, run tasks, carry frames down.
//!
//! ```text
//!        .--> poll: TAPs, signals, control socket, wake-ups, the next deadline
//!        |      |
//!        |    TAP -> Guest::receive, a batch from each
//!        |      |
//!        |    Guest::run: timers that are due, tasks that can go on
//!        |      |
//!        '--- Guest::poll_transmit -> TAP, while there is room
//! ```
//!
//! Every step is bounded, so that neither a flood nor a long answer keeps the others from their turn. What the loop
//! drives is a [`Guest`]: it owns no descriptor and reads no clock.

use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::daemon::clock::Clock;
use crate::daemon::config::Config;
use crate::daemon::control::{ControlSocket, Request, Response};
use crate::daemon::failure::Failure;
use crate::daemon::port::{FileCapture, Port, Sent, create_capture};
use crate::daemon::signals::{self, Signals};
use crate::daemon::watch::Watch;
use crate::physical::frame::{DeviceId, Frame, OutFrame};
use crate::physical::host_side::HostSettings;
use crate::physical::tap::TapOptions;
use ipnet::IpNet;
use mio::{Events, Poll, Token, Waker};
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// Frames read from one TAP in one turn, and their bytes: what was read is dealt with while it is in the cache.
const RECEIVE_BATCH: usize = 256;
const RECEIVE_BATCH_BYTES: usize = 512 << 10;
/// Frames, super-segments among them, written in one turn, and their bytes: then what they are answered with is read.
const TRANSMIT_BATCH: usize = 512;
const TRANSMIT_BATCH_BYTES: usize = 1 << 20;

/// Batches of resets that the last moment of the loop is given: for as many connections as there may be.
const FAREWELL_BATCHES: usize = limits::TCP_CONNECTIONS / TRANSMIT_BATCH;

const SIGNALS: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_PORT: usize = 2;
/// The control socket; its clients follow.
const CONTROL: Token = Token(1 << 16);

/// What the loop drives: a host with its tasks.
pub trait Guest {
    /// A frame came from a device.
    fn receive(&mut self, now: Instant, device: DeviceId, frame: Frame);
    /// Does what is due, and lets tasks run.
    fn run(&mut self, now: Instant);
    /// The next frame to send.
    fn poll_transmit(&mut self, now: Instant) -> Option<(DeviceId, OutFrame)>;
    /// The device refused a frame it was given.
    fn on_device_error(&mut self);
    /// When to run again at the latest.
    fn deadline(&self) -> Option<Instant>;
    /// Answers what came over the control socket.
    fn answer(&mut self, request: Request) -> Response;
    /// Reads again what of the configuration can change while running.
    fn reload(&mut self);
    /// Begins to end: accept nothing more, let conversations finish.
    fn stop(&mut self);
    /// True once everything has ended that [`Guest::stop`] asked to.
    fn is_stopped(&self) -> bool;
    /// Resets what has not ended.
    fn abort(&mut self, now: Instant);
}

/// The loop with everything it waits for.
pub struct EventLoop {
    poll: Poll,
    events: Events,
    ports: Vec<Port>,
    signals: Signals,
    control: ControlSocket,
    waker: Arc<Waker>,
    capture: Option<FileCapture>,
    clock: Clock,
    watch: Watch,
    /// The last turn ended before there was nothing more to send.
    has_more_to_send: bool,
}

/// What a turn was told.
#[derive(Default)]
struct Told {
    stops: usize,
    reloads: usize,
}

impl EventLoop {
    /// Opens the devices, the capture and the control socket.
    ///
    /// # Errors
    /// One of them can't be had.
    pub fn open(config: &Config, clock: Clock) -> Result<Self, Failure> {
        let poll = Poll::new().map_err(waiting_failed)?;
        let signals = Signals::register(poll.registry(), SIGNALS)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(waiting_failed)?);
        let capture = config.daemon.pcap.as_deref().map(create_capture).transpose()?;
        let mut ports = Vec::new();
        for (index, tap) in config.taps().into_iter().enumerate() {
            let (options, host) = link_settings(config, tap);
            let port = Port::open(tap, options, host, capture.as_ref(), clock)?;
            port.register(poll.registry(), Token(FIRST_PORT + index)).map_err(waiting_failed)?;
            ports.push(port);
        }
        let control = ControlSocket::bind(&config.control_path(), poll.registry(), CONTROL)?;
        let events = Events::with_capacity(256);
        let watch = Watch::new(config.busy_poll(1));
        Ok(EventLoop { poll, events, ports, signals, control, waker, capture, clock, watch, has_more_to_send: false })
    }

    /// What another thread calls to get the loop out of its wait.
    pub fn waker(&self) -> impl Fn() + Send + 'static {
        let waker = Arc::clone(&self.waker);
        move || {
            // It only fails when the pipe is full, and then the loop is about to wake up anyway.
            let _ = waker.wake();
        }
    }

    /// Turns until the guest has stopped, which it is given `grace` for.
    ///
    /// # Errors
    /// A device is gone.
    pub fn run(&mut self, guest: &mut impl Guest, grace: Duration) -> Result<(), Failure> {
        let mut stop_by: Option<Instant> = None;
        loop {
            let told = self.turn(guest, stop_by)?;
            let now = self.clock.now();
            if told.reloads > 0 {
                guest.reload();
            }
            match stop_by {
                None if told.stops > 0 => {
                    log::info!("stopping: connections have {grace:?} to end; a second signal ends them at once");
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
                    guest.stop();
                    guest.run(now);
                    stop_by = Some(now + grace);
                }
                Some(at) if told.stops > 0 || at <= now => {
                    log::info!("stopped: connections that had not ended are reset");
                    self.abort(guest, now);
                    return Ok(());
                }
                _ => {}
            }
            if stop_by.is_some() && guest.is_stopped() && !self.has_more_to_send {
                return Ok(());
            }
        }
    }

    /// Sends the resets, as far as the devices take them.
    fn abort(&mut self, guest: &mut impl Guest, now: Instant) {
        guest.abort(now);
        self.has_more_to_send = true;
        for _ in 0..FAREWELL_BATCHES {
            if !self.has_more_to_send {
                break;
            }
            self.transmit(guest, now);
        }
    }

    fn turn(&mut self, guest: &mut impl Guest, stop_by: Option<Instant>) -> Result<Told, Failure> {
        let told = self.wait(guest, stop_by)?;
        let now = self.clock.now();
        for (index, port) in self.ports.iter_mut().enumerate() {
            let mut bytes = 0;
            for _ in 0..RECEIVE_BATCH {
                let Some(frame) = port.receive()? else { break };
                bytes += frame.bytes.len();
                guest.receive(now, DeviceId(index as u16), frame);
                if bytes >= RECEIVE_BATCH_BYTES {
                    break;
                }
            }
        }
        guest.run(now);
        self.transmit(guest, now);
        self.control.handle_timeout(now);
        if let Some(capture) = &self.capture {
            capture.borrow_mut().flush();
        }
        Ok(told)
    }

    fn wait(&mut self, guest: &mut impl Guest, stop_by: Option<Instant>) -> Result<Told, Failure> {
        let timeout = self.timeout(guest, stop_by);
        if let Err(error) = self.watch.poll(&mut self.poll, &mut self.events, timeout, self.clock)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(waiting_failed(error));
        }
        let now = self.clock.now();
        let mut told = Told::default();
        for event in &self.events {
            match event.token() {
                SIGNALS => {
                    for request in self.signals.requests() {
                        match request {
                            signals::Request::Stop => told.stops += 1,
                            signals::Request::Reload => told.reloads += 1,
                        }
                    }
                }
                WAKER => {}
                CONTROL => self.control.accept(self.poll.registry(), now),
                token if self.control.owns(token) => {
                    self.control.serve(token, now, |request| guest.answer(request));
                }
                token => {
                    if let Some(port) = token.0.checked_sub(FIRST_PORT).and_then(|index| self.ports.get_mut(index)) {
                        port.on_event(event);
                    }
                }
            }
        }
        Ok(told)
    }

    /// How long nothing has to be done.
    fn timeout(&self, guest: &impl Guest, stop_by: Option<Instant>) -> Option<Duration> {
        if self.has_more_to_send || self.ports.iter().any(Port::may_read) {
            return Some(Duration::ZERO);
        }
        let deadlines = [guest.deadline(), self.control.deadline(), stop_by];
        deadlines.into_iter().flatten().min().map(|at| at.since(self.clock.now()))
    }

    fn transmit(&mut self, guest: &mut impl Guest, now: Instant) {
        self.ports.iter_mut().for_each(Port::flush);
        let mut bytes = 0;
        for _ in 0..TRANSMIT_BATCH {
            // Segments are built when they are taken: while a device has no room, none are.
            if self.ports.iter().any(Port::is_blocked) {
                self.has_more_to_send = false;
                return;
            }
            let Some((device, frame)) = guest.poll_transmit(now) else {
                self.has_more_to_send = false;
                return;
            };
            bytes += frame.len();
            let port = self.ports.get_mut(usize::from(device.0));
            if port.is_some_and(|port| port.transmit(frame) == Sent::Refused) {
                guest.on_device_error();
            }
            if bytes >= TRANSMIT_BATCH_BYTES {
                break;
            }
        }
        self.has_more_to_send = true;
    }
}

fn waiting_failed(error: io::Error) -> Failure {
    Failure::running(format!("the event loop can't wait: {error}"))
}

/// How a TAP is opened, and what to set on the kernel's side, whose MTU is that of the largest interface on it.
fn link_settings(config: &Config, tap: &str) -> (TapOptions, Option<HostSettings>) {
    let on_it = || config.interfaces.iter().filter(|interface| interface.tap.as_ref() == tap);
    let options = TapOptions { offload: on_it().all(|interface| interface.offload), ..TapOptions::default() };
    let mtu = on_it().map(|interface| interface.effective_mtu()).max().unwrap_or(1500);
    let address = on_it().find_map(|interface| match interface.host.as_ref()?.as_ref() {
        IpNet::V4(net) => Some(*net),
        IpNet::V6(_) => None,
    });
    let is_touched = on_it().any(|interface| interface.brings_host_up());
    (options, is_touched.then_some(HostSettings { address, mtu }))
}
