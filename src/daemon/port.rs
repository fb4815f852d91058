//! A TAP as the event loops hold it: the device, whether it may be read and written, and what waits for it.
//!
//! Readiness is edge-triggered, so that a port remembers that there is more to read until the device has said
//! that there is not.

use crate::daemon::clock::Clock;
use crate::daemon::failure::Failure;
use crate::physical::capture::{Capture, CaptureInterface, Captured, SharedCapture};
use crate::physical::frame::{Device, Frame, OutFrame};
use crate::physical::host_side::{self, HostSettings, HostSide};
use crate::physical::tap::{Tap, TapError, TapOptions, is_down};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// The capture that ports write to.
pub type FileCapture = SharedCapture<BufWriter<File>>;

/// Starts a capture to `path`; one with `secrets` in it is for its owner alone.
///
/// # Errors
/// The file can't be written.
pub fn create_capture(path: &Path, secrets: bool) -> Result<FileCapture, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(if secrets { 0o600 } else { 0o666 });
    let created = options.open(path).and_then(|file| Capture::new(BufWriter::new(file)));
    let created = created.map(|capture| if secrets { capture.with_secrets() } else { capture });
    let capture = created.map_err(|error| {
        Failure::running(format!(
            "the capture can't be written: {}: {error}: choose another with --pcap",
            path.display()
        ))
    })?;
    Ok(SharedCapture::new(capture))
}

/// The place of the TAP `name` in the capture.
fn captured_as(name: &str, capture: Option<&FileCapture>) -> Result<Option<(FileCapture, CaptureInterface)>, Failure> {
    let Some(capture) = capture else { return Ok(None) };
    let interface = capture.lock().add_interface(name).map_err(|error| {
        Failure::running(format!("the capture can't be written: {error}: choose another with --pcap"))
    })?;
    Ok(Some((capture.clone(), interface)))
}

/// A TAP in an event loop, or one queue of it.
pub struct Port {
    name: String,
    device: Box<dyn Device + Send>,
    descriptor: RawFd,
    may_read: bool,
    may_write: bool,
    /// The frame for which the device had no room.
    waiting: Option<OutFrame>,
    is_down: bool,
    /// Undone when the port goes.
    _host_side: Option<HostSide>,
}

/// What became of a frame to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// The device has it, or it is the one that waits for room.
    Taken,
    /// There is no room, and one waits already; it is dropped.
    NoRoom,
    /// The device refused it; it is dropped.
    Refused,
}

impl Port {
    /// Opens the TAP `name`, sets up the kernel's side if asked to, and puts the capture in between.
    ///
    /// # Errors
    /// The device can't be had, or the kernel's side can't be set up.
    pub fn open(
        name: &str,
        options: TapOptions,
        host: Option<HostSettings>,
        capture: Option<&FileCapture>,
        clock: Clock,
    ) -> Result<Port, Failure> {
        let interface = captured_as(name, capture)?;
        let tap = Tap::open(name, options)?;
        let host_side = host.map(|settings| HostSide::set_up(name, settings)).transpose()?;
        Ok(Port::new(tap, host_side, interface, clock))
    }

    /// Opens so many queues of the TAP `name`, and then does as [`Port::open`]: no frame comes before all are there.
    /// The first undoes what was set up.
    ///
    /// # Errors
    /// As [`Port::open`].
    pub fn open_queues(
        name: &str,
        queues: u16,
        offload: bool,
        host: Option<HostSettings>,
        capture: Option<&FileCapture>,
        clock: Clock,
    ) -> Result<Vec<Port>, Failure> {
        let interface = captured_as(name, capture)?;
        let mut options = TapOptions { offload, is_one_of_several: queues > 1 };
        let mut taps = Vec::new();
        for _ in 0..queues {
            let tap = Tap::open(name, options)?;
            // What the first can't have the others need not try.
            options.offload = tap.is_offloading();
            taps.push(tap);
            // A device of several queues is not busy when another process has it: that one would lose flows to us.
            if queues > 1 && host_side::open_queues(name).is_ok_and(|open| open as usize > taps.len()) {
                return Err(TapError::busy(name).into());
            }
        }
        let mut host_side = host.map(|settings| HostSide::set_up(name, settings)).transpose()?;
        Ok(taps.into_iter().map(|tap| Port::new(tap, host_side.take(), interface.clone(), clock)).collect())
    }

    fn new(
        tap: Tap,
        host_side: Option<HostSide>,
        captured: Option<(FileCapture, CaptureInterface)>,
        clock: Clock,
    ) -> Port {
        let (name, descriptor) = (tap.name().to_owned(), tap.as_raw_fd());
        let device: Box<dyn Device + Send> = match captured {
            None => Box::new(tap),
            Some((capture, interface)) => {
                Box::new(Captured::new(tap, interface, capture, Arc::new(move || clock.unix_time())))
            }
        };
        Port {
            name,
            device,
            descriptor,
            may_read: true,
            may_write: true,
            waiting: None,
            is_down: false,
            _host_side: host_side,
        }
    }

    /// Asks `registry` to tell of this port as `token`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.descriptor), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Takes note of readiness.
    pub fn on_event(&mut self, event: &Event) {
        self.may_read |= event.is_readable() || event.is_error();
        self.may_write |= event.is_writable() || event.is_error();
    }

    /// True if there may be frames to read at once.
    pub fn may_read(&self) -> bool {
        self.may_read
    }

    /// True while the device has no room.
    pub fn is_blocked(&self) -> bool {
        self.waiting.is_some()
    }

    /// The next frame, if there is one.
    ///
    /// # Errors
    /// The device is gone.
    pub fn receive(&mut self) -> Result<Option<Frame>, Failure> {
        if !self.may_read {
            return Ok(None);
        }
        match self.device.receive() {
            Ok(Some(frame)) => Ok(Some(frame)),
            Ok(None) => {
                self.may_read = false;
                Ok(None)
            }
            Err(error) => Err(self.gone(&error)),
        }
    }

    fn gone(&self, error: &io::Error) -> Failure {
        let name = &self.name;
        Failure::running(format!(
            "the TAP device can't be read: {name}: {error}: if it was deleted, start again to create it"
        ))
    }

    /// Sends a frame, after the one that waits.
    pub fn transmit(&mut self, frame: OutFrame) -> Sent {
        self.flush();
        if self.waiting.is_some() {
            return Sent::NoRoom;
        }
        match self.device.transmit(&frame) {
            Ok(true) => {
                self.is_down = false;
                Sent::Taken
            }
            Ok(false) => {
                self.may_write = false;
                self.waiting = Some(frame);
                Sent::Taken
            }
            Err(error) => self.refused(&error),
        }
    }

    /// Sends what waits, if there is room again.
    pub fn flush(&mut self) {
        if self.may_write
            && let Some(frame) = self.waiting.take()
        {
            self.transmit(frame);
        }
    }

    /// A device that is down loses what it is given until it is up again, as a card without a cable does.
    fn refused(&mut self, error: &io::Error) -> Sent {
        // Said once, until a frame goes out again: the stack counts the others.
        if !std::mem::replace(&mut self.is_down, true) {
            let name = &self.name;
            if is_down(error) {
                log::warn!("{name} is down: frames are lost until it is up: ip link set {name} up");
            } else {
                log::warn!("frames can't be written: {name}: {error}");
            }
        }
        Sent::Refused
    }
}
