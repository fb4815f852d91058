//! The descriptors: the lowest free number from 3 on, as a process without other files has them.

use crate::datagram::Datagram;
use crate::errno::Errno;
use crate::pipe::PipeEnd;
use crate::poller::Poller;
use crate::stream::{State, Stream};
use crate::world::World;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Standard input, output and error are taken.
const FIRST: i32 = 3;
/// Where ports are taken from that nobody named.
const EPHEMERAL: std::ops::Range<u16> = 32_768..61_000;

/// What a descriptor stands for.
#[derive(Debug)]
pub(crate) enum File {
    Stream(Stream),
    Datagram(Datagram),
    Poller(Poller),
    Pipe(PipeEnd),
}

/// A descriptor.
#[derive(Debug)]
pub(crate) struct Descriptor {
    pub(crate) file: File,
    pub(crate) is_nonblocking: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Files {
    open: BTreeMap<i32, Descriptor>,
}

impl Files {
    pub(crate) fn insert(&mut self, file: File, is_nonblocking: bool) -> i32 {
        let fd = (FIRST..).find(|fd| !self.open.contains_key(fd)).unwrap_or(i32::MAX);
        self.open.insert(fd, Descriptor { file, is_nonblocking });
        fd
    }

    pub(crate) fn get(&mut self, fd: i32) -> Result<&mut Descriptor, Errno> {
        self.open.get_mut(&fd).ok_or(Errno(libc::EBADF))
    }

    pub(crate) fn file(&mut self, fd: i32) -> Result<&mut File, Errno> {
        Ok(&mut self.get(fd)?.file)
    }

    pub(crate) fn is_nonblocking(&mut self, fd: i32) -> bool {
        self.get(fd).is_ok_and(|descriptor| descriptor.is_nonblocking)
    }

    /// The TCP socket, for calls that are for no other.
    pub(crate) fn stream(&mut self, fd: i32) -> Result<&mut Stream, Errno> {
        match self.file(fd)? {
            File::Stream(stream) => Ok(stream),
            File::Datagram(_) => Err(Errno(libc::EOPNOTSUPP)),
            _ => Err(Errno(libc::ENOTSOCK)),
        }
    }

    pub(crate) fn poller(&mut self, fd: i32) -> Result<&mut Poller, Errno> {
        match self.file(fd)? {
            File::Poller(poller) => Ok(poller),
            _ => Err(Errno(libc::EINVAL)),
        }
    }

    pub(crate) fn close(&mut self, world: &mut World, fd: i32) -> Result<(), Errno> {
        let descriptor = self.open.remove(&fd).ok_or(Errno(libc::EBADF))?;
        match descriptor.file {
            File::Stream(mut stream) => stream.close(world),
            File::Datagram(mut datagram) => datagram.close(world),
            File::Poller(_) | File::Pipe(_) => {}
        }
        for other in self.open.values_mut() {
            if let File::Poller(poller) = &mut other.file {
                poller.forget(fd);
            }
        }
        Ok(())
    }

    pub(crate) fn bind(&mut self, world: &mut World, fd: i32, mut local: SocketAddr) -> Result<(), Errno> {
        match self.file(fd)? {
            File::Datagram(datagram) => return datagram.bind(world, local),
            File::Stream(stream) if stream.bound.is_some() || stream.state != State::Fresh => {
                return Err(Errno(libc::EINVAL));
            }
            File::Stream(_) => {}
            _ => return Err(Errno(libc::ENOTSOCK)),
        }
        world.claim(local.ip())?;
        if local.port() == 0 {
            let free = EPHEMERAL.into_iter().find(|port| !self.is_taken(fd, SocketAddr::new(local.ip(), *port)));
            local.set_port(free.ok_or(Errno(libc::EADDRINUSE))?);
        } else if self.is_taken(fd, local) {
            return Err(Errno(libc::EADDRINUSE));
        }
        self.stream(fd)?.bound = Some(local);
        Ok(())
    }

    /// True if another TCP socket has `local`, and not both may share it.
    fn is_taken(&self, fd: i32, local: SocketAddr) -> bool {
        let streams = || {
            self.open.iter().filter_map(|(fd, descriptor)| match &descriptor.file {
                File::Stream(stream) => Some((*fd, stream)),
                _ => None,
            })
        };
        let may_share = streams().any(|(own, stream)| own == fd && stream.settings.reuse_address);
        streams().any(|(other, stream)| {
            let Some(bound) = stream.bound.filter(|_| other != fd) else { return false };
            let overlaps = bound.ip() == local.ip() || bound.ip().is_unspecified() || local.ip().is_unspecified();
            let shares = may_share && stream.settings.reuse_address && !matches!(stream.state, State::Listening(_));
            bound.port() == local.port() && overlaps && !shares
        })
    }

    /// What `poll` says of a descriptor.
    pub(crate) fn ready(&mut self, world: &mut World, fd: i32) -> i16 {
        match self.file(fd) {
            Ok(File::Stream(stream)) => stream.ready(world),
            Ok(File::Datagram(datagram)) => datagram.ready(world),
            Ok(File::Pipe(pipe)) => pipe.ready(),
            Ok(File::Poller(_)) => self
                .poll_watched(world, fd, 1, true)
                .map_or(0, |events| if events.is_empty() { 0 } else { libc::POLLIN | libc::POLLRDNORM }),
            Err(_) => libc::POLLNVAL,
        }
    }

    /// Octets to be read from a descriptor.
    pub(crate) fn readable_bytes(&mut self, world: &mut World, fd: i32) -> Result<usize, Errno> {
        Ok(match self.file(fd)? {
            File::Stream(stream) => stream.readable_bytes(world),
            File::Datagram(datagram) => datagram.readable_bytes(world),
            File::Pipe(pipe) => pipe.readable_bytes(),
            File::Poller(_) => return Err(Errno(libc::EINVAL)),
        })
    }

    /// What an `epoll` descriptor has to report, at most `max`; `only_look` leaves edges to be told.
    pub(crate) fn poll_watched(
        &mut self,
        world: &mut World,
        fd: i32,
        max: usize,
        only_look: bool,
    ) -> Result<Vec<(u32, u64)>, Errno> {
        let mut poller = self.poller(fd)?.clone();
        let mut events = Vec::new();
        for watched in poller.watched() {
            if events.len() >= max {
                break;
            }
            if matches!(self.file(watched), Ok(File::Poller(_)) | Err(_)) {
                continue;
            }
            // The bits of `epoll` are those of `poll`.
            let mask = u32::from(self.ready(world, watched) as u16);
            let octets = self.readable_bytes(world, watched).unwrap_or(0);
            events.extend(poller.report(watched, mask, octets));
        }
        if !only_look {
            *self.poller(fd)? = poller;
        }
        Ok(events)
    }
}
