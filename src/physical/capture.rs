//! Capture to a pcapng file, readable by Wireshark and tshark (draft-free subset: section header, interface
//! description and enhanced packet blocks, little-endian, nanosecond timestamps).
//!
//! Secrets of TLS sessions can stand in it as well (Decryption Secrets Block), before the packets that they open: who reads
//! the file from its beginning needs them then. So packets are held back until [`Capture::flush`] where secrets are to come.
//!
//! A [`Capture`] writes what it is told; [`Captured`] is a device that wraps another and captures what passes
//! in either direction. A super-segment is captured whole, as it leaves the stack, with its checksum
//! completed. A capture that can't be written any more (the disk is full) says so once and stops; the
//! device goes on.

use crate::base::time::Duration;
use crate::physical::frame::{Device, Frame, OutFrame};
use crate::physical::segmentation::whole_frame;
use smallvec::SmallVec;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which way a frame went, seen from this host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// It came from the device.
    Inbound,
    /// It went to the device.
    Outbound,
}

/// An interface of a capture: the number that its packets carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CaptureInterface(u32);

/// A pcapng file that is being written.
#[derive(Debug)]
pub struct Capture<W: Write> {
    writer: W,
    interfaces: u32,
    block: Block,
    /// False once writing has failed.
    is_writing: bool,
    /// True if something was written since the last flush.
    is_dirty: bool,
    /// Packets that secrets may still have to precede, if there may be secrets.
    held: Option<Vec<u8>>,
}

/// Octets of packets that are held back at most; the rest of a turn then follows without waiting for secrets.
const HELD: usize = 8 << 20;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const DECRYPTION_SECRETS: u32 = 10;
/// Lines in the format of NSS, as for `SSLKEYLOGFILE`.
const TLS_KEY_LOG: u32 = 0x544c_534b;
const LINKTYPE_ETHERNET: u16 = 1;

const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_TIMESTAMP_RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;
/// Timestamps count units of 10^-9 s.
const NANOSECONDS: u8 = 9;

impl<W: Write> Capture<W> {
    /// Starts a capture by writing the section header.
    ///
    /// # Errors
    /// The writer's.
    pub fn new(writer: W) -> io::Result<Self> {
        let mut capture =
            Capture { writer, interfaces: 0, block: Block::default(), is_writing: true, is_dirty: false, held: None };
        capture.block.begin(SECTION_HEADER);
        capture.block.u32(BYTE_ORDER_MAGIC).u16(1).u16(0).u64(u64::MAX);
        capture.block.option(SECTION_APPLICATION, concat!("tapstack ", env!("CARGO_PKG_VERSION")).as_bytes());
        capture.block.option(OPTION_END, &[]);
        capture.write_block()?;
        Ok(capture)
    }

    /// There will be secrets: packets wait for them from flush to flush.
    #[must_use]
    pub fn with_secrets(mut self) -> Self {
        self.held = Some(Vec::new());
        self
    }

    /// Adds an interface. Its packets may follow.
    ///
    /// # Errors
    /// The writer's.
    pub fn add_interface(&mut self, name: &str) -> io::Result<CaptureInterface> {
        let interface = CaptureInterface(self.interfaces);
        self.interfaces += 1;
        self.block.begin(INTERFACE_DESCRIPTION);
        // A snapshot length of 0: no limit.
        self.block.u16(LINKTYPE_ETHERNET).u16(0).u32(0);
        self.block.option(INTERFACE_NAME, name.as_bytes());
        self.block.option(INTERFACE_TIMESTAMP_RESOLUTION, &[NANOSECONDS]);
        self.block.option(OPTION_END, &[]);
        self.write_block()?;
        Ok(interface)
    }

    /// Writes one frame, given in parts, at `unix_time` since the epoch. After the first failure nothing is
    /// written any more.
    pub fn write_frame(
        &mut self,
        interface: CaptureInterface,
        unix_time: Duration,
        direction: Direction,
        parts: &[&[u8]],
        comment: Option<&str>,
    ) {
        if !self.is_writing {
            return;
        }
        let nanos = u64::try_from(unix_time.as_nanos()).unwrap_or(u64::MAX);
        let len = parts.iter().map(|part| part.len()).sum::<usize>() as u32;
        self.block.begin(ENHANCED_PACKET);
        self.block.u32(interface.0).u32((nanos >> 32) as u32).u32(nanos as u32).u32(len).u32(len);
        for part in parts {
            self.block.bytes(part);
        }
        self.block.pad();
        let flags: u32 = match direction {
            Direction::Inbound => 1,
            Direction::Outbound => 2,
        };
        if let Some(comment) = comment {
            self.block.option(OPTION_COMMENT, comment.as_bytes());
        }
        self.block.option(PACKET_FLAGS, &flags.to_le_bytes());
        self.block.option(OPTION_END, &[]);
        let written = match &mut self.held {
            Some(held) => {
                held.extend_from_slice(self.block.end());
                if held.len() < HELD { Ok(()) } else { self.release() }
            }
            None => self.write_block(),
        };
        self.stop_on_error(written);
    }

    /// Writes secrets, lines in the format of NSS: they open what is written from here on, and since the last flush.
    pub fn write_secrets(&mut self, lines: &str) {
        if !self.is_writing {
            return;
        }
        self.block.begin(DECRYPTION_SECRETS);
        self.block.u32(TLS_KEY_LOG).u32(lines.len() as u32).bytes(lines.as_bytes()).pad();
        let written = self.write_block();
        self.stop_on_error(written);
    }

    /// Hands what was written on to the file.
    pub fn flush(&mut self) {
        if self.is_writing {
            let released = self.release();
            self.stop_on_error(released);
        }
        if std::mem::take(&mut self.is_dirty) && self.is_writing {
            let flushed = self.writer.flush();
            self.stop_on_error(flushed);
        }
    }

    /// Writes the packets that were held back.
    fn release(&mut self) -> io::Result<()> {
        let Some(held) = self.held.as_mut().filter(|held| !held.is_empty()) else { return Ok(()) };
        self.is_dirty = true;
        let written = self.writer.write_all(held);
        held.clear();
        written
    }

    /// False once writing has failed and the capture has stopped.
    pub fn is_writing(&self) -> bool {
        self.is_writing
    }

    /// The writer, flushed.
    pub fn into_inner(mut self) -> W {
        self.flush();
        self.writer
    }

    fn stop_on_error(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.is_writing = false;
            log::warn!("capture stopped: {error}: make room and start again to capture; traffic is not affected");
        }
    }

    fn write_block(&mut self) -> io::Result<()> {
        self.is_dirty = true;
        self.writer.write_all(self.block.end())
    }
}

/// One block of the file while it is put together: type, length, content, length again.
#[derive(Debug, Default)]
struct Block(Vec<u8>);

impl Block {
    fn begin(&mut self, kind: u32) {
        self.0.clear();
        self.u32(kind).u32(0);
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        // The length of an option has 16 bits; a comment that is longer is cut.
        let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
        self.u16(code).u16(value.len() as u16).bytes(value).pad();
    }

    fn end(&mut self) -> &[u8] {
        let len = self.0.len() as u32 + 4;
        if let Some(slot) = self.0.get_mut(4..8) {
            slot.copy_from_slice(&len.to_le_bytes());
        }
        self.u32(len);
        &self.0
    }
}

/// A capture that several devices write to, the queues of one device from a thread each.
#[derive(Debug)]
pub struct SharedCapture<W: Write>(Arc<Mutex<Capture<W>>>);

impl<W: Write> Clone for SharedCapture<W> {
    fn clone(&self) -> Self {
        SharedCapture(Arc::clone(&self.0))
    }
}

impl<W: Write> SharedCapture<W> {
    /// Shares `capture`.
    pub fn new(capture: Capture<W>) -> Self {
        SharedCapture(Arc::new(Mutex::new(capture)))
    }

    /// The capture. A block is written whole or not at all, so that a panic elsewhere leaves nothing half done.
    pub fn lock(&self) -> MutexGuard<'_, Capture<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time since the epoch: the wall clock of the daemon, virtual time in a simulation.
pub type UnixTime = Arc<dyn Fn() -> Duration + Send + Sync>;

/// A device whose frames are captured on their way.
pub struct Captured<D, W: Write> {
    device: D,
    capture: SharedCapture<W>,
    interface: CaptureInterface,
    unix_time: UnixTime,
}

impl<D, W: Write> Captured<D, W> {
    /// Captures what passes `device` as `interface`, which is one of the capture.
    pub fn new(device: D, interface: CaptureInterface, capture: SharedCapture<W>, unix_time: UnixTime) -> Self {
        Captured { device, capture, interface, unix_time }
    }

    /// The device inside.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// The device inside.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    fn write(&self, direction: Direction, parts: &[&[u8]]) {
        let now = (self.unix_time)();
        self.capture.lock().write_frame(self.interface, now, direction, parts, None);
    }
}

impl<D: Device, W: Write> Device for Captured<D, W> {
    fn receive(&mut self) -> io::Result<Option<Frame>> {
        let frame = self.device.receive()?;
        if let Some(frame) = &frame {
            self.write(Direction::Inbound, &[&frame.bytes]);
        }
        Ok(frame)
    }

    fn transmit(&mut self, frame: &OutFrame) -> io::Result<bool> {
        let was_taken = self.device.transmit(frame)?;
        if was_taken && let Ok(whole) = whole_frame(frame) {
            let parts: SmallVec<[&[u8]; 5]> =
                std::iter::once(whole.head.as_ref()).chain(whole.body.iter().copied()).collect();
            self.write(Direction::Outbound, &parts);
        }
        Ok(was_taken)
    }
}

#[cfg(test)]
mod tests;
