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
//!
//! With several queues there is a loop for each, on a thread of its own. The first also has the desk: signals, the
//! control socket and the other threads ([`crate::daemon::crew`]).

use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::daemon::clock::Clock;
use crate::daemon::config::Config;
use crate::daemon::crew::{Crew, Order, Reports};
use crate::daemon::desk::Desk;
use crate::daemon::failure::Failure;
use crate::daemon::mail::Mailbox;
use crate::daemon::port::{FileCapture, Port, Sent, create_capture};
use crate::daemon::signals::Signals;
use crate::daemon::sleep::be_punctual;
use crate::daemon::watch::Watch;
use crate::physical::frame::{DeviceId, Frame, OutFrame};
use crate::physical::host_side::HostSettings;
use crate::stack::siblings::{Message, Place, To};
use crate::stack::snapshot::Snapshot;
use ipnet::IpNet;
use mio::{Events, Poll, Token, Waker};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// Frames read from one TAP in one turn, and their bytes: what was read is dealt with while it is in the cache.
const RECEIVE_BATCH: usize = 256;
const RECEIVE_BATCH_BYTES: usize = 512 << 10;
/// Frames, super-segments among them, written in one turn, and their bytes: then what they are answered with is read.
const TRANSMIT_BATCH: usize = 512;
const TRANSMIT_BATCH_BYTES: usize = 1 << 20;

/// Batches of resets that the last moment of the loop is given: for as many connections as there may be.
const FAREWELL_BATCHES: usize = limits::TCP_CONNECTIONS / TRANSMIT_BATCH;

const WAKER: Token = Token(0);
const FIRST_PORT: usize = 1;
/// What the desk waits for, from here on.
const DESK: Token = Token(1 << 16);

/// What the loop drives: a host with its tasks, or the part of it that has one queue.
pub trait Guest {
    /// These frames came from a device.
    fn receive_all(&mut self, now: Instant, device: DeviceId, frames: impl Iterator<Item = Frame>);
    /// The stack of another queue told something.
    fn receive_message(&mut self, now: Instant, message: Message);
    /// What to tell the stacks of other queues next.
    fn poll_message(&mut self) -> Option<(To, Message)>;
    /// A message was refused by who it was for.
    fn on_message_lost(&mut self);
    /// Does what is due, and lets tasks run.
    fn run(&mut self, now: Instant);
    /// The next frame to send.
    fn poll_transmit(&mut self, now: Instant) -> Option<(DeviceId, OutFrame)>;
    /// The device refused a frame it was given.
    fn on_device_error(&mut self);
    /// When to run again at the latest.
    fn deadline(&self) -> Option<Instant>;
    /// What there is to show of `what`; `None` if there is no such thing.
    fn show(&self, what: &str) -> Option<Snapshot>;
    /// Puts up what other threads may want to show.
    fn put_up(&mut self, now: Instant);
    /// Reads again what of the configuration can change while running.
    fn reload(&mut self);
    /// Opens log files anew.
    fn reopen_logs(&mut self) {}
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
    waker: Arc<Waker>,
    capture: Option<FileCapture>,
    clock: Clock,
    watch: Watch,
    /// Those of one device and turn, on their way from the device to the guest.
    frames: Vec<Frame>,
    /// The last turn ended before there was nothing more to send.
    has_more_to_send: bool,
    /// Another thread has called.
    is_called: bool,
    /// With several queues.
    mailbox: Option<Mailbox>,
    /// Of the first queue's thread.
    desk: Option<Desk>,
}

impl EventLoop {
    /// Opens the devices, the capture and the control socket: a loop for each queue, of which the first has the desk.
    ///
    /// # Errors
    /// One of them can't be had.
    pub fn open(config: &Config, clock: Clock) -> Result<Vec<Self>, Failure> {
        let queues = config.queues();
        let secrets = config.daemon.pcap_secrets;
        let capture = config.daemon.pcap.as_deref().map(|path| create_capture(path, secrets)).transpose()?;
        let busy_poll = config.busy_poll(usize::from(queues));
        let without_ports = |_| EventLoop::without_ports(capture.clone(), clock, Watch::new(busy_poll));
        let mut loops = (0..queues).map(without_ports).collect::<Result<Vec<_>, _>>()?;
        // Before the devices, so that what is set up for them is undone whenever a signal comes.
        let signals = loops.first().map(|first| Signals::register(first.poll.registry(), DESK)).transpose()?;
        for (device, tap) in config.taps().into_iter().enumerate() {
            let (offload, host) = link_settings(config, tap);
            let ports = Port::open_queues(tap, queues, offload, host, capture.as_ref(), clock)?;
            for (event_loop, port) in loops.iter_mut().zip(ports) {
                let token = Token(FIRST_PORT + device);
                port.register(event_loop.poll.registry(), token).map_err(waiting_failed)?;
                event_loop.ports.push(port);
            }
        }
        if let (Some(first), Some(signals)) = (loops.first_mut(), signals) {
            first.desk = Some(Desk::open(signals, &config.control_path(), first.poll.registry(), DESK)?);
        }
        if queues > 1 {
            let mailboxes = Mailbox::for_all(loops.iter().map(EventLoop::waker).collect());
            for (event_loop, mailbox) in loops.iter_mut().zip(mailboxes) {
                event_loop.mailbox = Some(mailbox);
            }
        }
        Ok(loops)
    }

    /// A loop without devices, that only other threads wake.
    #[cfg(test)]
    pub(crate) fn idle(clock: Clock) -> Result<Self, Failure> {
        EventLoop::without_ports(None, clock, Watch::new(Duration::ZERO))
    }

    fn without_ports(capture: Option<FileCapture>, clock: Clock, watch: Watch) -> Result<Self, Failure> {
        let poll = Poll::new().map_err(waiting_failed)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(waiting_failed)?);
        Ok(EventLoop {
            poll,
            events: Events::with_capacity(256),
            ports: Vec::new(),
            waker,
            capture,
            clock,
            watch,
            frames: Vec::with_capacity(RECEIVE_BATCH),
            has_more_to_send: false,
            is_called: false,
            mailbox: None,
            desk: None,
        })
    }

    /// What another thread calls to get the loop out of its wait.
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// The same as a function.
    pub fn caller(&self) -> impl Fn() + Send + Sync + 'static {
        let waker = self.waker();
        move || {
            // It only fails when the pipe is full, and then the loop is about to wake up anyway.
            let _ = waker.wake();
        }
    }

    /// What frames are captured to, if they are.
    pub fn capture(&self) -> Option<&FileCapture> {
        self.capture.as_ref()
    }

    /// Which of the loops it is.
    pub fn place(&self) -> Place {
        self.mailbox.as_ref().map_or_else(Place::default, Mailbox::place)
    }

    /// The first thread's: turns until the guest and the `crew` of the other threads have stopped, which they are
    /// given `grace` for.
    ///
    /// # Errors
    /// A device is gone, or another thread has failed.
    pub fn run(&mut self, guest: &mut impl Guest, crew: Crew, grace: Duration) -> Result<(), Failure> {
        be_punctual();
        if let Some(desk) = &mut self.desk {
            desk.crew = crew;
        }
        let result = self.run_until_stopped(guest, grace);
        if result.is_err() {
            self.abort(guest);
        }
        if let Some(desk) = &mut self.desk {
            desk.crew.dismiss(result.as_ref().unwrap_or(&Order::Abort));
        }
        result.map(|_| ())
    }

    /// Turns until all have stopped; what the other threads are to do then.
    fn run_until_stopped(&mut self, guest: &mut impl Guest, grace: Duration) -> Result<Order, Failure> {
        let mut stop_by: Option<Instant> = None;
        loop {
            self.turn(guest, stop_by)?;
            let now = self.clock.now();
            let Some(desk) = &mut self.desk else { return Ok(Order::End) };
            let told = desk.take_in(now, guest)?;
            if told.reloads > 0 {
                guest.reload();
            }
            if told.reloads + told.reopens > 0 {
                guest.reopen_logs();
            }
            match stop_by {
                None if told.stops > 0 => {
                    log::info!("stopping: connections have {grace:?} to end; a second signal ends them at once");
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
                    desk.crew.order(&Order::Stop);
                    guest.stop();
                    guest.run(now);
                    stop_by = Some(now + grace);
                    self.has_more_to_send = true;
                }
                Some(at) if told.stops > 0 || at <= now => {
                    log::info!("stopped: connections that had not ended are reset");
                    self.abort(guest);
                    return Ok(Order::Abort);
                }
                _ => {}
            }
            let has_drained = self.desk.as_ref().is_none_or(|desk| desk.crew.has_drained());
            if stop_by.is_some() && guest.is_stopped() && has_drained && !self.has_more_to_send {
                return Ok(Order::End);
            }
        }
    }

    /// Another thread's: turns until the first thread's order to end.
    ///
    /// # Errors
    /// A device is gone.
    pub fn work(&mut self, guest: &mut impl Guest, orders: &Receiver<Order>, reports: &Reports) -> Result<(), Failure> {
        be_punctual();
        let mut is_draining = false;
        loop {
            self.turn(guest, None)?;
            while let Ok(order) = orders.try_recv() {
                match order {
                    Order::Stop => {
                        guest.stop();
                        guest.run(self.clock.now());
                        is_draining = true;
                        self.has_more_to_send = true;
                    }
                    Order::End => return Ok(()),
                    Order::Abort => {
                        self.abort(guest);
                        return Ok(());
                    }
                    Order::Show(ticket, what) => reports.show(ticket, guest.show(&what).unwrap_or_default()),
                }
            }
            if is_draining && guest.is_stopped() && !self.has_more_to_send {
                is_draining = false;
                reports.drained();
            }
        }
    }

    /// Sends the resets, as far as the devices take them.
    fn abort(&mut self, guest: &mut impl Guest) {
        let now = self.clock.now();
        guest.abort(now);
        self.has_more_to_send = true;
        for _ in 0..FAREWELL_BATCHES {
            if !self.has_more_to_send {
                break;
            }
            self.transmit(guest, now);
        }
    }

    fn turn(&mut self, guest: &mut impl Guest, stop_by: Option<Instant>) -> Result<(), Failure> {
        self.wait(guest, stop_by)?;
        let now = self.clock.now();
        for (index, port) in self.ports.iter_mut().enumerate() {
            let mut bytes = 0;
            while self.frames.len() < RECEIVE_BATCH && bytes < RECEIVE_BATCH_BYTES {
                let Some(frame) = port.receive()? else { break };
                bytes += frame.bytes.len();
                self.frames.push(frame);
            }
            guest.receive_all(now, DeviceId(index as u16), self.frames.drain(..));
        }
        if std::mem::take(&mut self.is_called) {
            self.take_in_mail(guest, now);
        }
        guest.run(now);
        // First, so that who gets an answer of ours and goes on by another queue finds that stack knowing.
        self.send_mail(guest);
        self.transmit(guest, now);
        self.send_mail(guest);
        if let Some(capture) = &self.capture {
            capture.lock().flush();
        }
        Ok(())
    }

    fn wait(&mut self, guest: &mut impl Guest, stop_by: Option<Instant>) -> Result<(), Failure> {
        let timeout = self.timeout(guest, stop_by);
        if let Err(error) = self.watch.poll(&mut self.poll, &mut self.events, timeout, self.clock)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(waiting_failed(error));
        }
        for event in &self.events {
            match event.token() {
                WAKER => self.is_called = true,
                token if token >= DESK => {
                    if let Some(desk) = &mut self.desk {
                        desk.on_event(token, self.poll.registry(), self.clock.now(), guest);
                    }
                }
                token => {
                    if let Some(port) = token.0.checked_sub(FIRST_PORT).and_then(|index| self.ports.get_mut(index)) {
                        port.on_event(event);
                    }
                }
            }
        }
        Ok(())
    }

    /// How long nothing has to be done.
    fn timeout(&self, guest: &impl Guest, stop_by: Option<Instant>) -> Option<Duration> {
        if self.has_more_to_send || self.is_called || self.ports.iter().any(Port::may_read) {
            return Some(Duration::ZERO);
        }
        let deadlines = [guest.deadline(), self.desk.as_ref().and_then(Desk::deadline), stop_by];
        deadlines.into_iter().flatten().min().map(|at| at.since(self.clock.now()))
    }

    /// What other threads have for this one, as much as a box holds.
    fn take_in_mail(&mut self, guest: &mut impl Guest, now: Instant) {
        guest.put_up(now);
        let Some(mailbox) = &mut self.mailbox else { return };
        for _ in 0..limits::SIBLING_MESSAGES {
            let Some(message) = mailbox.receive() else { return };
            guest.receive_message(now, message);
        }
        // There may be more.
        self.is_called = true;
    }

    fn send_mail(&mut self, guest: &mut impl Guest) {
        let Some(mailbox) = &mut self.mailbox else { return };
        while let Some((to, message)) = guest.poll_message() {
            for _ in 0..mailbox.send(to, &message) {
                guest.on_message_lost();
            }
        }
        mailbox.wake();
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

/// Whether a TAP offloads, and what to set on the kernel's side, whose MTU is that of the largest interface on it.
fn link_settings(config: &Config, tap: &str) -> (bool, Option<HostSettings>) {
    let on_it = || config.interfaces.iter().filter(|interface| interface.tap.as_ref() == tap);
    let offload = on_it().all(|interface| interface.offload);
    let mtu = on_it().map(|interface| interface.effective_mtu()).max().unwrap_or(1500);
    let address = on_it().find_map(|interface| match interface.host.as_ref()?.as_ref() {
        IpNet::V4(net) => Some(*net),
        IpNet::V6(_) => None,
    });
    let is_touched = on_it().any(|interface| interface.brings_host_up());
    (offload, is_touched.then_some(HostSettings { address, mtu }))
}
