//! The TAP device: Ethernet frames between this process and the kernel, one `read` or `writev` each.
//!
//! Opened with the virtio-net header where the kernel has it: super-segments then pass whole in both directions, and
//! checksums of frames that don't leave the machine are never computed. Otherwise, or when asked to, it is the
//! plain device: a super-segment is cut here ([`crate::physical::segmentation`]); if the kernel takes only its beginning,
//! the rest follows when the frame is offered again. The kernel then takes what is written on a thread of its own where
//! it can (`napi`), and otherwise it is the device of `tun-tap`.
//!
//! Frames to send are gathered from where they lie. Frames are received into large buffers that are used again:
//! a frame that fills a good part of one goes up in it, a smaller one gets a buffer of its own length. As a slice of
//! a larger one, a single payload that an application does not read would keep all of that from being used, and the
//! limits of the floors above would bound nothing.
//!
//! The device is created if it does not exist and goes with the process; one that was made persistent
//! (`ip tuntap add`) stays.

mod napi;
mod open;
mod virtio_net;

use crate::base::buffers::Buffer;
use crate::physical::frame::{Device, Frame, OutFrame};
use crate::physical::segmentation::{Segment, Segments, Slices};
use bytes::Bytes;
use napi::KernelThread;
use open::Opened;
use smallvec::SmallVec;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use virtio_net::VirtioNet;

/// The kernel's limit: 16 bytes with the terminating zero.
pub const MAX_NAME_LEN: usize = 15;

/// A received frame of at least this length goes up in the buffer it was read into, and so keeps at most four times
/// its length; a shorter one is copied.
const COPY_BREAK: usize = Buffer::CAPACITY / 4;
/// Six of 64 KiB: what a frame costs beside its bytes is hardly felt any more, it still fits into a core's cache, and into
/// the seventeen pieces of 32 KiB that a frame of the kernel's has.
const LONGEST_SUPER_SEGMENT: u32 = 380_000;
/// Parts of one frame that go into one vectored write; a frame of more parts is joined first.
const MAX_PARTS: usize = 64;

/// Says why `name` can't be the name of a network device, if it can't.
///
/// # Errors
/// The reason, and what to do.
pub fn check_name(name: &str) -> Result<(), String> {
    let wrong = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_NAME_LEN {
        "it has more than 15 bytes"
    } else if name.contains(['/', ':', '%']) {
        "it contains one of / : %"
    } else if name.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        "it contains a space, a control character or one that is not ASCII"
    } else if matches!(name, "." | ".." | "all" | "default" | "lo") {
        "it is reserved"
    } else {
        return Ok(());
    };
    Err(format!("`{name}` can't be the name of a TAP device: {wrong}: use a name such as tap0"))
}

/// A TAP device could not be had.
#[derive(Debug)]
pub struct TapError {
    /// The device.
    pub tap: String,
    /// What was tried.
    pub what: &'static str,
    /// What the operating system says.
    pub error: io::Error,
    /// Several queues were asked for.
    pub several_queues: bool,
}

impl TapError {
    /// Another process has the device `tap`.
    pub fn busy(tap: &str) -> Self {
        let error = io::Error::from_raw_os_error(libc::EBUSY);
        TapError { tap: tap.to_owned(), what: "the TAP device can't be opened", error, several_queues: true }
    }

    fn advice(&self) -> &'static str {
        match self.error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                "run as root or give the program CAP_NET_ADMIN, or try it in a namespace of your own: \
                 unshare --user --net --map-root-user"
            }
            Some(libc::EBUSY) => "another process uses it: stop that one, or choose another name with --tap",
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
                "there is no /dev/net/tun: load the module with `modprobe tun`, or pass the device into the container"
            }
            Some(libc::EINVAL) if self.several_queues => {
                "there is a device of that name that is not a TAP, or one that was made for one queue: make it with \
                 `ip tuntap add NAME mode tap multi_queue`, choose another name with --tap, or write queues = 1"
            }
            Some(libc::EINVAL) => {
                "there is a device of that name that is not a TAP, or one that was made for several queues: \
                 choose another name with --tap, or write queues = 2 or more"
            }
            Some(libc::EEXIST | libc::EADDRINUSE) => "the address is in use: choose another",
            _ => "see docs/operations.md",
        }
    }
}

impl fmt::Display for TapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.error.to_string();
        // "(os error 16)" helps nobody who reads the rest.
        let error = error.split(" (os error").next().unwrap_or_default();
        write!(f, "{}: {}: {error}: {}", self.what, self.tap, self.advice())
    }
}

impl std::error::Error for TapError {}

/// The most payload of a super-segment that a device which offloads takes from us; zero if it is what an IP length can
/// tell. Linux has longer ones of IPv4, whose length field is zero ("BIG TCP"), from 6.3 on.
pub fn longest_super_segment() -> u32 {
    if open::kernel_release() >= Some((6, 3)) { LONGEST_SUPER_SEGMENT } else { 0 }
}

/// How a device is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TapOptions {
    /// Let the kernel cut and join super-segments and complete checksums, if it can.
    pub offload: bool,
    /// It is opened once for each of several queues.
    pub is_one_of_several: bool,
}

/// An open TAP device, or one queue of it.
#[derive(Debug)]
pub struct Tap {
    /// Goes before the descriptor: a device that nobody has open can't be told.
    _thread: Option<KernelThread>,
    file: File,
    name: String,
    has_header: bool,
    cuts_udp: bool,
    /// What the kernel writes the next frame into.
    buffer: Buffer,
    /// How many segments of the frame that there was no room for are out already.
    segments_out: usize,
    joined: Vec<u8>,
}

impl Tap {
    /// Opens the device `name`, creating it if it does not exist. A kernel that can't offload gives the plain device, and
    /// the log says so.
    ///
    /// # Errors
    /// There is no TAP driver, no permission, or another process has the device.
    pub fn open(name: &str, options: TapOptions) -> Result<Tap, TapError> {
        let several_queues = options.is_one_of_several;
        let failed =
            |error| TapError { tap: name.to_owned(), what: "the TAP device can't be opened", error, several_queues };
        check_name(name).map_err(|reason| failed(io::Error::new(ErrorKind::InvalidInput, reason)))?;
        let Opened { file, name, has_header, cuts_udp, thread } = if options.offload {
            match open::offloading(name, options.is_one_of_several) {
                Ok(opened) => opened,
                Err(error) => {
                    let opened = open::plain(name, options.is_one_of_several).map_err(failed)?;
                    log::warn!("{name}: no offloads: {error}: plain frames are used, which is slower");
                    opened
                }
            }
        } else {
            open::plain(name, options.is_one_of_several).map_err(failed)?
        };
        Ok(Tap {
            _thread: thread,
            file,
            name,
            has_header,
            cuts_udp,
            buffer: Buffer::take(),
            segments_out: 0,
            joined: Vec::new(),
        })
    }

    /// The name of the device.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if super-segments and undone checksums pass.
    pub fn is_offloading(&self) -> bool {
        self.has_header
    }

    /// Makes a frame of the `len` octets in the buffer.
    fn received(&mut self, len: usize) -> Option<Frame> {
        let (header, start) = if self.has_header {
            (VirtioNet::parse(self.buffer.room().get(..len)?)?, virtio_net::LEN)
        } else {
            (VirtioNet::default(), 0)
        };
        let bytes = if len >= COPY_BREAK {
            std::mem::replace(&mut self.buffer, Buffer::take()).freeze(start..len)
        } else {
            Bytes::copy_from_slice(self.buffer.room().get(start..len)?)
        };
        Some(Frame { bytes, checksum: header.checksum(), segment_size: header.segment_size() })
    }

    /// Leaves the frame to the kernel as it is, with `header` before it.
    fn transmit_whole(&mut self, frame: &OutFrame, header: VirtioNet) -> io::Result<bool> {
        let body: Slices<'_> = frame.body.iter().map(AsRef::as_ref).collect();
        sent(write_frame(&self.file, &header.to_bytes(), &frame.head, &body, &mut self.joined))
    }

    /// Cuts the frame and completes its checksums.
    fn transmit_cut(&mut self, frame: &OutFrame) -> io::Result<bool> {
        let header = VirtioNet::default().to_bytes();
        let before: &[u8] = if self.has_header { &header } else { &[] };
        let already_out = std::mem::take(&mut self.segments_out);
        for (index, segment) in (already_out..).zip(Segments::of(frame)?.skip(already_out)) {
            let Segment { head, body } = segment;
            if !sent(write_frame(&self.file, before, &head, &body, &mut self.joined))? {
                self.segments_out = index;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// False if there was no room.
fn sent(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_frame(mut file: &File, before: &[u8], head: &[u8], body: &[&[u8]], joined: &mut Vec<u8>) -> io::Result<()> {
    let parts = [before, head].into_iter().chain(body.iter().copied()).filter(|part| !part.is_empty());
    let length: usize = parts.clone().map(<[u8]>::len).sum();
    let written = loop {
        let result = if body.len() < MAX_PARTS {
            let parts: SmallVec<[IoSlice<'_>; 8]> = parts.clone().map(IoSlice::new).collect();
            file.write_vectored(&parts)
        } else {
            joined.clear();
            parts.clone().for_each(|part| joined.extend_from_slice(part));
            file.write(joined)
        };
        match result {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    // The kernel takes a frame whole or not at all.
    if written == length { Ok(()) } else { Err(ErrorKind::WriteZero.into()) }
}

impl Device for Tap {
    fn receive(&mut self) -> io::Result<Option<Frame>> {
        loop {
            return match (&self.file).read(self.buffer.room()) {
                Ok(len) => match self.received(len) {
                    Some(frame) => Ok(Some(frame)),
                    // Not even a header: no frame.
                    None => continue,
                },
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // A device that is down has nothing to say until it is up again.
                Err(error) if error.kind() == ErrorKind::WouldBlock || is_down(&error) => Ok(None),
                Err(error) => Err(error),
            };
        }
    }

    fn transmit(&mut self, frame: &OutFrame) -> io::Result<bool> {
        let Some(header) = VirtioNet::of(frame, self.cuts_udp).filter(|_| self.has_header) else {
            return self.transmit_cut(frame);
        };
        // What it took before goes on as it began.
        if self.segments_out > 0 {
            return self.transmit_cut(frame);
        }
        match self.transmit_whole(frame, header) {
            // The kernel has no memory in pieces large enough for it.
            Err(error) if frame.segment_size.is_some() && is_too_large(&error) => self.transmit_cut(frame),
            result => result,
        }
    }
}

/// True if the error says that the frame is too much at once.
fn is_too_large(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM | libc::EMSGSIZE))
}

/// True if the error says that the interface is down: it may come up again.
pub fn is_down(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::ENETDOWN))
}

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_would_refuse_or_misread_are_refused() {
        assert_eq!(check_name("tap0"), Ok(()));
        assert_eq!(check_name("fifteen-bytes-x"), Ok(()));
        for wrong in ["", "sixteen-bytes-xy", "a/b", "a b", "tap%d", "..", "lo", "tap\u{e9}", "a:b", "a\n"] {
            assert!(check_name(wrong).unwrap_err().contains("use a name"), "{wrong}");
        }
    }

    #[test]
    fn an_error_says_what_failed_on_what_and_what_to_do() {
        let error = |number| TapError {
            tap: "tap9".into(),
            what: "the TAP device can't be opened",
            error: io::Error::from_raw_os_error(number),
            several_queues: false,
        };
        let text = error(libc::EPERM).to_string();
        assert!(
            text.starts_with("the TAP device can't be opened: tap9: Operation not permitted: run as root"),
            "{text}"
        );
        assert!(text.contains("CAP_NET_ADMIN") && text.contains("unshare --user --net --map-root-user"));
        assert!(error(libc::EBUSY).to_string().contains("another process uses it"));
        assert!(error(libc::ENOENT).to_string().contains("modprobe tun"));
        assert!(error(libc::EINVAL).to_string().contains("not a TAP"));
    }
}
