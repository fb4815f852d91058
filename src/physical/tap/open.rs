//! Opening a TAP with what the kernel's driver can do for us (`Documentation/networking/tuntap.rst`,
//! `linux/if_tun.h`): the virtio-net header, offloads, several queues.
//!
//! `tun-tap` knows none of these, nor NAPI, so that the device is set up here by `ioctl`; where that can't be had the
//! plain device is opened through `tun-tap`.

#![expect(unsafe_code, reason = "ioctl has no safe wrapper for TAP devices; each block says why it is sound")]

use super::napi::KernelThread;
use super::virtio_net;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::fs::OpenOptionsExt;
use tun_tap::{Iface, Mode};

/// What the kernel may leave undone in frames it gives us: `TUN_F_*` of `linux/if_tun.h`.
const CSUM: libc::c_ulong = 0x01;
const TSO4: libc::c_ulong = 0x02;
const TSO6: libc::c_ulong = 0x04;
const TSO_ECN: libc::c_ulong = 0x08;
const USO4: libc::c_ulong = 0x20;
const USO6: libc::c_ulong = 0x40;

/// A device as it was opened.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) name: String,
    /// Frames have a virtio-net header before them.
    pub(super) has_header: bool,
    /// The kernel cuts UDP trains, and gives them to us uncut.
    pub(super) cuts_udp: bool,
    /// The kernel takes what is written on a thread of its own.
    pub(super) thread: Option<KernelThread>,
}

/// Opens `name` with the virtio-net header and every offload that the kernel has.
///
/// # Errors
/// The operating system's.
pub(super) fn offloading(name: &str, is_one_of_several: bool) -> io::Result<Opened> {
    let queue = if is_one_of_several { libc::IFF_MULTI_QUEUE } else { 0 };
    let (file, name) = attach(name, libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | queue)?;
    let length = virtio_net::LEN as libc::c_int;
    // SAFETY: TUNSETVNETHDRSZ reads one `int`, which lives for the whole call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETVNETHDRSZ, std::ptr::from_ref(&length)) })?;
    let tcp = CSUM | TSO4 | TSO6 | TSO_ECN;
    // UDP segmentation came with Linux 6.2.
    let cuts_udp = set_offloads(&file, tcp | USO4 | USO6).is_ok();
    if !cuts_udp {
        set_offloads(&file, tcp)?;
    }
    Ok(Opened { file, name, has_header: true, cuts_udp, thread: None })
}

/// Opens `name` for whole frames of at most the MTU, which the kernel takes on a thread of its own if it can.
///
/// # Errors
/// The operating system's.
pub(super) fn plain(name: &str, is_one_of_several: bool) -> io::Result<Opened> {
    threaded(name, is_one_of_several).or_else(|error| {
        log::debug!("{name}: no thread of the kernel's: {error}");
        unthreaded(name, is_one_of_several)
    })
}

fn threaded(name: &str, is_one_of_several: bool) -> io::Result<Opened> {
    let queue = if is_one_of_several { libc::IFF_MULTI_QUEUE } else { 0 };
    let (file, name) = attach(name, libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_NAPI | queue)?;
    let thread = KernelThread::start(&file, &name)?;
    Ok(Opened { file, name, has_header: false, cuts_udp: false, thread })
}

fn unthreaded(name: &str, is_one_of_several: bool) -> io::Result<Opened> {
    let (file, name) = if is_one_of_several {
        attach(name, libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_MULTI_QUEUE)?
    } else {
        let iface = Iface::without_packet_info(name, Mode::Tap)?;
        iface.set_non_blocking()?;
        let name = iface.name().to_owned();
        // SAFETY: `into_raw_fd` gives up the descriptor, so that the file is its only owner.
        (unsafe { File::from_raw_fd(iface.into_raw_fd()) }, name)
    };
    Ok(Opened { file, name, has_header: false, cuts_udp: false, thread: None })
}

/// Opens the driver and attaches to the device `name`, making it if there is none.
fn attach(name: &str, flags: libc::c_int) -> io::Result<(File, String)> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    // SAFETY: `ifreq` is made of integers, for which all zeros are values.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last octet stays zero.
    let room = request.ifr_name.len() - 1;
    for (slot, octet) in request.ifr_name.iter_mut().take(room).zip(name.bytes()) {
        *slot = octet as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which lives for the whole call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, std::ptr::from_mut(&mut request)) })?;
    let name = request.ifr_name.iter().map(|octet| *octet as u8).take_while(|octet| *octet != 0).collect();
    let name = String::from_utf8(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok((file, name))
}

fn set_offloads(file: &File, offloads: libc::c_ulong) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes a number and no pointer.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, offloads) })
}

/// The first two numbers of the kernel's release.
pub(super) fn kernel_release() -> Option<(u32, u32)> {
    // SAFETY: `utsname` is made of characters, for which all zeros are values.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `uname` fills in one `utsname`, which lives for the whole call.
    check(unsafe { libc::uname(std::ptr::from_mut(&mut name)) }).ok()?;
    let release = name.release.iter().map(|octet| *octet as u8 as char).take_while(|octet| *octet != '\0');
    release_numbers(&release.collect::<String>())
}

fn release_numbers(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_by_its_first_two_numbers() {
        assert_eq!(release_numbers("6.18.44-fc"), Some((6, 18)));
        assert_eq!(release_numbers("6.3-rc1"), Some((6, 3)));
        assert_eq!(release_numbers("5.10.0-28-amd64"), Some((5, 10)));
        assert_eq!(release_numbers("unknown"), None);
        assert!(kernel_release().is_some());
    }
}
