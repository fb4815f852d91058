//! The kernel's side of a TAP: its address, MTU and being up, by `ioctl` (netdevice(7)).
//!
//! What it changes it changes back when dropped, for devices that outlive the process; one that the process
//! created goes with it. Only IPv4, as that is all these calls know.

#![expect(unsafe_code, reason = "ioctl has no safe wrapper for network devices; each block says why it is sound")]

use crate::physical::tap::TapError;
use ipnet::Ipv4Net;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The largest MTU that the kernel allows a TAP: 65,535 without the Ethernet header.
const MAX_MTU: u16 = 65_521;

/// What to set on the kernel's side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostSettings {
    /// Its address and network, if it gets one.
    pub address: Option<Ipv4Net>,
    /// Its MTU.
    pub mtu: u16,
}

/// The kernel's side of a TAP as it was set up; dropped, it is as before.
#[derive(Debug)]
pub struct HostSide {
    control: Control,
    tap: String,
    before: Before,
}

/// How the kernel's side was.
#[derive(Clone, Copy, Debug)]
struct Before {
    flags: i16,
    mtu: i32,
    address: Option<(Ipv4Addr, Ipv4Addr)>,
}

impl HostSide {
    /// Gives the kernel's side of `tap` its MTU and address and brings it up.
    ///
    /// # Errors
    /// No permission, or an address that the kernel refuses.
    pub fn set_up(tap: &str, settings: HostSettings) -> Result<HostSide, TapError> {
        let failed = |what| move |error| TapError { tap: tap.to_owned(), what, error, several_queues: false };
        let control = Control::open().map_err(failed("the kernel's side can't be set up"))?;
        let before = control.state(tap).map_err(failed("the state of the kernel's side can't be read"))?;
        // From here on, dropping puts back what was changed.
        let side = HostSide { control, tap: tap.to_owned(), before };
        let mtu = i32::from(settings.mtu.min(MAX_MTU));
        side.control.set_mtu(tap, mtu).map_err(failed("the kernel's side can't be given its MTU"))?;
        if let Some(net) = settings.address {
            side.control
                .set_address(tap, net.addr(), net.netmask())
                .map_err(failed("the kernel's side can't be given its address"))?;
        }
        side.control
            .set_flags(tap, before.flags | libc::IFF_UP as i16)
            .map_err(failed("the kernel's side can't be brought up"))?;
        Ok(side)
    }
}

impl Drop for HostSide {
    fn drop(&mut self) {
        // Best effort: a device that went away in between needs nothing.
        let (address, mask) = self.before.address.unwrap_or((Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED));
        let address_restored = match self.before.address {
            Some(_) => self.control.set_address(&self.tap, address, mask),
            None => self.control.clear_address(&self.tap),
        };
        let mtu_restored = self.control.set_mtu(&self.tap, self.before.mtu);
        let flags_restored = self.control.set_flags(&self.tap, self.before.flags);
        if let Err(error) = address_restored.and(mtu_restored).and(flags_restored) {
            log::debug!("{}: the kernel's side is not as before: {error}", self.tap);
        }
    }
}

/// How many queues of `tap` are open, by whichever process.
///
/// # Errors
/// There is no such device, or the kernel can't say.
pub fn open_queues(tap: &str) -> io::Result<u32> {
    let mut channels = Channels { command: ETHTOOL_GCHANNELS, ..Channels::default() };
    let mut request = named(tap)?;
    request.ifr_ifru.ifru_data = std::ptr::from_mut(&mut channels).cast();
    // The pointer is to a `Channels`, which is what this command fills in, and which lives for the whole call.
    Control::open()?.request(SIOCETHTOOL, &mut request)?;
    Ok(channels.combined)
}

/// `ethtool_channels` of `linux/ethtool.h`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    most: [u32; 4],
    separate: [u32; 3],
    combined: u32,
}

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// A socket that only carries `ioctl`s.
#[derive(Debug)]
struct Control(OwnedFd);

impl Control {
    fn open() -> io::Result<Self> {
        // SAFETY: no pointers are passed; the result is checked.
        let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and nobody else has it.
        Ok(Control(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn request(&self, code: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: every request used here reads and writes one `ifreq`, and what that points to, which live for the
        // whole call.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), code, std::ptr::from_mut(request)) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn state(&self, tap: &str) -> io::Result<Before> {
        let mut request = named(tap)?;
        self.request(libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: SIOCGIFFLAGS has filled in the flags.
        let flags = unsafe { request.ifr_ifru.ifru_flags };
        self.request(libc::SIOCGIFMTU, &mut request)?;
        // SAFETY: SIOCGIFMTU has filled in the MTU.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu };
        Ok(Before { flags, mtu, address: self.address(tap) })
    }

    fn address(&self, tap: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let mut request = named(tap).ok()?;
        request.ifr_ifru.ifru_addr = sockaddr(Ipv4Addr::UNSPECIFIED);
        self.request(libc::SIOCGIFADDR, &mut request).ok()?;
        // SAFETY: SIOCGIFADDR has filled in an AF_INET address.
        let address = ipv4(unsafe { request.ifr_ifru.ifru_addr });
        self.request(libc::SIOCGIFNETMASK, &mut request).ok()?;
        // SAFETY: SIOCGIFNETMASK has filled in an AF_INET address.
        let mask = ipv4(unsafe { request.ifr_ifru.ifru_netmask });
        Some((address, mask))
    }

    fn set_mtu(&self, tap: &str, mtu: i32) -> io::Result<()> {
        let mut request = named(tap)?;
        request.ifr_ifru.ifru_mtu = mtu;
        self.request(libc::SIOCSIFMTU, &mut request)
    }

    fn set_flags(&self, tap: &str, flags: i16) -> io::Result<()> {
        let mut request = named(tap)?;
        request.ifr_ifru.ifru_flags = flags;
        self.request(libc::SIOCSIFFLAGS, &mut request)
    }

    fn set_address(&self, tap: &str, address: Ipv4Addr, mask: Ipv4Addr) -> io::Result<()> {
        let mut request = named(tap)?;
        request.ifr_ifru.ifru_addr = sockaddr(address);
        self.request(libc::SIOCSIFADDR, &mut request)?;
        let mut request = named(tap)?;
        request.ifr_ifru.ifru_netmask = sockaddr(mask);
        self.request(libc::SIOCSIFNETMASK, &mut request)
    }

    /// Setting the unspecified address takes the address away.
    fn clear_address(&self, tap: &str) -> io::Result<()> {
        let mut request = named(tap)?;
        request.ifr_ifru.ifru_addr = sockaddr(Ipv4Addr::UNSPECIFIED);
        self.request(libc::SIOCSIFADDR, &mut request)
    }
}

/// A request about `tap`, the rest zero.
fn named(tap: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is made of integers, for which all zeros are values.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    if tap.len() > room {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (slot, byte) in request.ifr_name.iter_mut().zip(tap.bytes()) {
        *slot = byte as libc::c_char;
    }
    Ok(request)
}

/// `address` as the generic socket address that `ifreq` holds: `sockaddr_in` is two bytes of port, the four
/// of the address, and zeros.
fn sockaddr(address: Ipv4Addr) -> libc::sockaddr {
    let mut sa_data = [0; 14];
    for (slot, octet) in sa_data.iter_mut().skip(2).zip(address.octets()) {
        *slot = octet as libc::c_char;
    }
    libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data }
}

fn ipv4(address: libc::sockaddr) -> Ipv4Addr {
    let [_, _, a, b, c, d, ..] = address.sa_data;
    Ipv4Addr::new(a as u8, b as u8, c as u8, d as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_form_that_ioctl_takes() {
        let address = Ipv4Addr::new(192, 0, 2, 255);
        assert_eq!(ipv4(sockaddr(address)), address);
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        assert!(named("sixteen-bytes-xy").is_err());
        assert!(named("fifteen-bytes-x").is_ok());
    }
}
