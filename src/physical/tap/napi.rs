//! A thread of the kernel's for what we write: NAPI, threaded (`Documentation/networking/napi.rst`).
//!
//! ```text
//!   write ──► queue ──► [napi/tap0-0] ──► frames of one flow joined ──► IP ──► TCP ──► who reads there
//!   ours                the kernel's, as many at a time as there are
//! ```
//!
//! Without it each `write` of a frame carries that frame through the kernel's IP and TCP before it returns, and wakes who
//! reads there. With it a write ends at a queue; the thread takes what has gathered, and the kernel joins segments of
//! one flow before its TCP sees them, as it does behind any network card. Frames of the MTU pass three times as fast; a single one
//! that finds the thread asleep takes longer. Super-segments gain nothing, since they are joined already: only the
//! plain device has the thread.
//!
//! It is switched on in sysfs, which shows the devices of the network namespace that it was mounted in, and that need not be ours:
//! the device there must have the station address of our own.

#![expect(unsafe_code, reason = "ioctl has no safe wrapper for TAP devices; the block says why it is sound")]

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The devices of a network namespace.
const DEVICES: &str = "/sys/class/net";

/// The thread, which goes when this is dropped if the device stays.
#[derive(Debug)]
pub(super) struct KernelThread {
    switch: PathBuf,
}

impl KernelThread {
    /// Gives the device `name`, opened as `file`, its thread; `None` if it has one already.
    ///
    /// # Errors
    /// The kernel has no such threads (before 5.12), or sysfs is not there, is not that of our namespace or is not
    /// to be written.
    pub(super) fn start(file: &File, name: &str) -> io::Result<Option<KernelThread>> {
        Self::start_in(Path::new(DEVICES), name, station(file)?)
    }

    fn start_in(devices: &Path, name: &str, station: [u8; 6]) -> io::Result<Option<KernelThread>> {
        let device = devices.join(name);
        if fs::read_to_string(device.join("address"))?.trim() != written(station) {
            return Err(io::Error::new(ErrorKind::NotFound, "sysfs shows another network namespace"));
        }
        let switch = device.join("threaded");
        if fs::read_to_string(&switch)?.trim() != "0" {
            return Ok(None);
        }
        fs::write(&switch, "1")?;
        Ok(Some(KernelThread { switch }))
    }
}

impl Drop for KernelThread {
    fn drop(&mut self) {
        // For a device that stays; where it fails the device is gone, and needs nothing.
        let _ = fs::write(&self.switch, "0");
    }
}

/// The station address of the kernel's side.
fn station(file: &File) -> io::Result<[u8; 6]> {
    // SAFETY: `ifreq` is made of integers, for which all zeros are values. SIOCGIFHWADDR fills in the address of the
    // device that the descriptor belongs to, in one `ifreq` that lives for the whole call; any octets are a `sockaddr`.
    let address = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        if libc::ioctl(file.as_raw_fd(), libc::SIOCGIFHWADDR, std::ptr::from_mut(&mut request)) < 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_hwaddr
    };
    let [a, b, c, d, e, f, ..] = address.sa_data.map(|octet| octet as u8);
    Ok([a, b, c, d, e, f])
}

/// As sysfs writes it.
fn written(station: [u8; 6]) -> String {
    let mut text = String::with_capacity(17);
    for octet in station {
        let colon = if text.is_empty() { "" } else { ":" };
        // A string takes everything.
        let _ = write!(text, "{colon}{octet:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATION: [u8; 6] = [0x02, 0, 0x5e, 0x10, 0, 0xff];

    /// A folder such as sysfs has for a device.
    fn devices(address: &str, threaded: &str) -> tempfile::TempDir {
        let devices = tempfile::tempdir().unwrap();
        fs::create_dir(devices.path().join("tap7")).unwrap();
        fs::write(devices.path().join("tap7/address"), address).unwrap();
        fs::write(devices.path().join("tap7/threaded"), threaded).unwrap();
        devices
    }

    fn threaded(devices: &tempfile::TempDir) -> String {
        fs::read_to_string(devices.path().join("tap7/threaded")).unwrap()
    }

    #[test]
    fn the_thread_is_there_until_the_device_is_let_go() {
        let devices = devices("02:00:5e:10:00:ff\n", "0\n");
        let thread = KernelThread::start_in(devices.path(), "tap7", STATION).unwrap();
        assert!(thread.is_some());
        assert_eq!(threaded(&devices), "1");
        drop(thread);
        assert_eq!(threaded(&devices), "0");
    }

    #[test]
    fn who_has_a_thread_keeps_it() {
        let devices = devices("02:00:5e:10:00:ff\n", "1\n");
        assert!(KernelThread::start_in(devices.path(), "tap7", STATION).unwrap().is_none());
        assert_eq!(threaded(&devices), "1\n");
    }

    #[test]
    fn a_device_of_that_name_in_another_namespace_is_left_alone() {
        let devices = devices("02:00:5e:10:00:fe\n", "0\n");
        let refused = KernelThread::start_in(devices.path(), "tap7", STATION).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        assert_eq!(threaded(&devices), "0\n");
        assert!(KernelThread::start_in(devices.path(), "tap8", STATION).is_err());
    }
}
