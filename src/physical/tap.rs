//! The TAP device: Ethernet frames between this process and the kernel, one `read` or `writev` each.
//!
//! Opened through `tun-tap`. A received frame gets a buffer of its own length: as a slice of a larger one, a
//! single payload that an application does not read would keep all of that from being freed, and the limits of
//! the floors above would bound nothing. Frames to send are gathered from where they lie. A super-segment
//! is cut here ([`crate::physical::segmentation`]); if the kernel takes only its beginning, the rest follows when
//! the frame is offered again.
//!
//! The device is created if it does not exist and goes with the process; one that was made persistent
//! (`ip tuntap add`) stays.

use crate::physical::frame::{Device, Frame, OutFrame};
use crate::physical::segmentation::{Segment, Segments};
use bytes::Bytes;
use smallvec::SmallVec;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use tun_tap::{Iface, Mode};

/// The kernel's limit: 16 bytes with the terminating zero.
pub const MAX_NAME_LEN: usize = 15;

/// Ethernet header, two VLAN tags, and a reserve.
const LINK_HEADERS: usize = 14 + 4 + 4 + 10;
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
}

impl TapError {
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
            Some(libc::EINVAL) => "there is a device of that name that is not a TAP: choose another name with --tap",
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

/// An open TAP device.
#[derive(Debug)]
pub struct Tap {
    file: File,
    name: String,
    /// What the kernel writes a frame into.
    room: Vec<u8>,
    /// How many segments of the frame that there was no room for are out already.
    segments_out: usize,
    joined: Vec<u8>,
}

impl Tap {
    /// Opens the device `name`, creating it if it does not exist. Frames of up to `mtu` and the link's headers fit.
    ///
    /// # Errors
    /// There is no TAP driver, no permission, or another process has the device.
    pub fn open(name: &str, mtu: u16) -> Result<Tap, TapError> {
        let failed = |error| TapError { tap: name.to_owned(), what: "the TAP device can't be opened", error };
        check_name(name).map_err(|reason| failed(io::Error::new(ErrorKind::InvalidInput, reason)))?;
        let iface = Iface::without_packet_info(name, Mode::Tap).map_err(failed)?;
        iface.set_non_blocking().map_err(failed)?;
        let name = iface.name().to_owned();
        #[expect(unsafe_code, reason = "tun-tap gives its descriptor only as a number, and writes only in one piece")]
        // SAFETY: `into_raw_fd` gives up the descriptor, so that the file is its only owner.
        let file = unsafe { File::from_raw_fd(iface.into_raw_fd()) };
        let room = vec![0; usize::from(mtu) + LINK_HEADERS];
        Ok(Tap { file, name, room, segments_out: 0, joined: Vec::new() })
    }

    /// The name of the device.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn write_segment(mut file: &File, segment: &Segment<'_>, joined: &mut Vec<u8>) -> io::Result<()> {
    let written = loop {
        let result = if segment.body.is_empty() {
            file.write(&segment.head)
        } else if segment.body.len() < MAX_PARTS {
            let parts: SmallVec<[IoSlice<'_>; 8]> =
                std::iter::once(segment.head.as_ref()).chain(segment.body.iter().copied()).map(IoSlice::new).collect();
            file.write_vectored(&parts)
        } else {
            segment.write_into(joined);
            file.write(joined)
        };
        match result {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    // The kernel takes a frame whole or not at all.
    if written == segment.len() { Ok(()) } else { Err(ErrorKind::WriteZero.into()) }
}

impl Device for Tap {
    fn receive(&mut self) -> io::Result<Option<Frame>> {
        loop {
            return match (&self.file).read(&mut self.room) {
                Ok(len) => Ok(self.room.get(..len).map(|frame| Frame::plain(Bytes::copy_from_slice(frame)))),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // A device that is down has nothing to say until it is up again.
                Err(error) if error.kind() == ErrorKind::WouldBlock || is_down(&error) => Ok(None),
                Err(error) => Err(error),
            };
        }
    }

    fn transmit(&mut self, frame: &OutFrame) -> io::Result<bool> {
        let already_out = std::mem::take(&mut self.segments_out);
        for (index, segment) in (already_out..).zip(Segments::of(frame)?.skip(already_out)) {
            match write_segment(&self.file, &segment, &mut self.joined) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.segments_out = index;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
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
