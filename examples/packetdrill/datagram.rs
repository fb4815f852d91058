//! A UDP socket as the kernel has it.

use crate::errno::Errno;
use crate::settings::Settings;
use crate::world::World;
use bytes::Bytes;
use libc::{POLLERR, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tapstack::transport::udp::{Received, SendOptions, UdpId};

/// One socket.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) settings: Settings,
    id: Option<UdpId>,
    /// What was looked at and not taken yet.
    front: Option<Received>,
    error: Option<Errno>,
    is_read_shut: bool,
}

impl Datagram {
    pub(crate) fn new(settings: Settings) -> Self {
        Datagram { settings, id: None, front: None, error: None, is_read_shut: false }
    }

    pub(crate) fn bind(&mut self, world: &mut World, local: SocketAddr) -> Result<(), Errno> {
        if self.id.is_some() {
            return Err(Errno(libc::EINVAL));
        }
        world.claim(local.ip())?;
        let shared = self.settings.reuse_address;
        let bound = world.udp(|udp, cx| if shared { udp.bind_shared(local, cx) } else { udp.bind(local, cx) });
        self.id = Some(bound.map_err(|error| Errno::from(std::io::Error::from(error)))?);
        self.apply_settings(world);
        Ok(())
    }

    fn id(&mut self, world: &mut World) -> Result<UdpId, Errno> {
        if self.id.is_none() {
            self.bind(world, SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))?;
        }
        self.id.ok_or(Errno(libc::EINVAL))
    }

    pub(crate) fn connect(&mut self, world: &mut World, remote: Option<SocketAddr>) -> Result<(), Errno> {
        let id = self.id(world)?;
        world.udp(|udp, cx| match remote {
            Some(remote) => udp.connect(id, remote, cx),
            None => udp.disconnect(id),
        })?;
        Ok(())
    }

    pub(crate) fn send(
        &mut self,
        world: &mut World,
        data: &[u8],
        to: Option<SocketAddr>,
    ) -> Option<Result<usize, Errno>> {
        let id = match self.id(world) {
            Ok(id) => id,
            Err(error) => return Some(Err(error)),
        };
        if let Some(error) = self.take_error(world) {
            return Some(Err(error));
        }
        let peer = world.udp(|udp, _| udp.peer_addr(id)).ok();
        let Some(to) = to.or(peer) else { return Some(Err(Errno(libc::EDESTADDRREQ))) };
        let options = SendOptions { traffic_class: self.settings.tcp.traffic_class, ..SendOptions::default() };
        let payload = Bytes::copy_from_slice(data);
        match world.udp(|udp, cx| udp.send_with(id, payload, to, options, cx)).map_err(Errno::from) {
            Ok(()) => Some(Ok(data.len())),
            Err(Errno(libc::EAGAIN)) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// The next datagram; `None` while there is none, nobody's and empty once reading was shut down.
    pub(crate) fn receive(&mut self, world: &mut World, peek: bool) -> Option<Result<Option<Received>, Errno>> {
        if let Some(error) = self.take_error(world) {
            return Some(Err(error));
        }
        self.look(world);
        if self.front.is_none() {
            return match self.error.take() {
                Some(error) => Some(Err(error)),
                None => self.is_read_shut.then_some(Ok(None)),
            };
        }
        let received = if peek { self.front.clone() } else { self.front.take() };
        Some(Ok(received))
    }

    /// Takes the next datagram, or why there is none, out of the stack.
    fn look(&mut self, world: &mut World) {
        let (None, Some(id)) = (&self.front, self.id) else { return };
        match world.udp(|udp, _| udp.recv_from(id)) {
            Ok(received) => self.front = received,
            Err(error) => self.error = Some(error.into()),
        }
    }

    /// The length of the next datagram.
    pub(crate) fn readable_bytes(&mut self, world: &mut World) -> usize {
        self.look(world);
        self.front.as_ref().map_or(0, |received| received.data.len())
    }

    /// What ICMP said, once.
    pub(crate) fn take_error(&mut self, world: &mut World) -> Option<Errno> {
        let told = self.id.and_then(|id| world.udp(|udp, _| udp.take_error(id)));
        self.error.take().or(told.map(Errno::from))
    }

    pub(crate) fn ready(&mut self, world: &mut World) -> i16 {
        if let Some(error) = self.take_error(world) {
            self.error = Some(error);
        }
        self.look(world);
        let mut mask = POLLOUT | POLLWRNORM;
        if self.error.is_some() {
            mask |= POLLERR;
        }
        if self.front.is_some() || self.is_read_shut {
            mask |= POLLIN | POLLRDNORM;
        }
        mask
    }

    pub(crate) fn shutdown(&mut self, world: &mut World, how: i32) -> Result<(), Errno> {
        self.peer_addr(world).ok_or(Errno(libc::ENOTCONN))?;
        self.is_read_shut |= how != libc::SHUT_WR;
        Ok(())
    }

    pub(crate) fn close(&mut self, world: &mut World) {
        if let Some(id) = self.id.take() {
            let now = world.now;
            world.stack().udp_close(now, id);
        }
    }

    pub(crate) fn peer_addr(&self, world: &mut World) -> Option<SocketAddr> {
        let id = self.id?;
        world.udp(|udp, _| udp.peer_addr(id)).ok()
    }

    /// Tells the socket in the stack what this one was told.
    pub(crate) fn apply_settings(&mut self, world: &mut World) {
        let Some(id) = self.id else { return };
        let Settings { tcp, mtu_discover, broadcast, .. } = &self.settings;
        let (hops, whole, broadcast) = (tcp.hop_limit, *mtu_discover == libc::IP_PMTUDISC_DO, *broadcast);
        world.udp(|udp, _| {
            // The socket is there: it was just looked up.
            let _ = udp.set_hop_limits(id, hops, 1);
            let _ = udp.set_dont_fragment(id, whole);
            let _ = udp.set_broadcast(id, broadcast);
        });
    }
}
