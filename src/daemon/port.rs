//! A TAP as the event loops hold it: the device, whether it may be read and written, and what waits for it.
//!
//! Readiness is edge-triggered, so that a port remembers that there is more to read until the device has said
//! that there is not.

use crate::daemon::clock::Clock;
use crate::daemon::failure::Failure;
use crate::physical::capture::{Capture, Captured, SharedCapture};
use crate::physical::frame::{Device, Frame, OutFrame};
use crate::physical::host_side::{HostSettings, HostSide};
use crate::physical::tap::{Tap, TapOptions, is_down};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::rc::Rc;

/// The capture that ports write to.
pub type FileCapture = SharedCapture<BufWriter<File>>;

/// Starts a capture to `path`.
///
/// # Errors
/// The file can't be written.
pub fn create_capture(path: &Path) -> Result<FileCapture, Failure> {
    let created = File::create(path).and_then(|file| Capture::new(BufWriter::new(file)));
    let capture = created.map_err(|error| {
        Failure::running(format!(
            "the capture can't be written: {}: {error}: choose another with --pcap",
            path.display()
        ))
    })?;
    Ok(Rc::new(RefCell::new(capture)))
}

/// A TAP in an event loop.
pub struct Port {
    name: String,
    device: Box<dyn Device>,
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
        let tap = Tap::open(name, options)?;
        let host_side = host.map(|settings| HostSide::set_up(name, settings)).transpose()?;
        let descriptor = tap.as_raw_fd();
        let device: Box<dyn Device> = match capture {
            None => Box::new(tap),
            Some(capture) => {
                let captured = Captured::new(tap, name, capture.clone(), Rc::new(move || clock.unix_time()));
                Box::new(captured.map_err(|error| Failure::running(format!("the capture can't be written: {error}")))?)
            }
        };
        Ok(Port {
            name: name.to_owned(),
            device,
            descriptor,
            may_read: true,
            may_write: true,
            waiting: None,
            is_down: false,
            _host_side: host_side,
        })
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
