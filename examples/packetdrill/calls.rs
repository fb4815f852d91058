//! The system calls without their pointers: which of them block, and until when.

use crate::datagram::Datagram;
use crate::errno::Errno;
use crate::files::{Descriptor, File};
use crate::pipe::pipe;
use crate::poller::Poller;
use crate::settings::Settings;
use crate::stream::Stream;
use crate::turns::{Object, Shared};
use bytes::Bytes;
use libc::{MSG_DONTWAIT, MSG_ERRQUEUE, MSG_FASTOPEN, MSG_MORE, MSG_OOB, MSG_PEEK, MSG_WAITALL, SOCK_NONBLOCK};
use std::net::SocketAddr;
use std::time::Duration;

/// Unsent octets of a socket (`linux/sockios.h`; `libc` does not have it).
const SIOCOUTQNSD: u64 = 0x894b;

/// What a call that reads gives.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) octets: Vec<u8>,
    /// Who sent the datagram.
    pub(crate) source: Option<SocketAddr>,
    /// Octets the datagram has beyond the room there was.
    pub(crate) is_truncated: bool,
}

/// What a call that may block gives where it may not.
fn unless_blocked<R>(outcome: Option<Result<R, Errno>>, may_block: bool) -> Option<Result<R, Errno>> {
    match outcome {
        None if !may_block => Some(Err(Errno(libc::EAGAIN))),
        other => other,
    }
}

impl Object {
    pub(crate) fn socket(&self, domain: i32, kind: i32, protocol: i32) -> Result<i32, Errno> {
        self.call(|shared| {
            if domain != libc::AF_INET {
                return Err(Errno(libc::EAFNOSUPPORT));
            }
            let settings = Settings::new(&shared.world.flags);
            let file = match (kind & 0xf, protocol) {
                (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => File::Stream(Stream::new(settings)),
                (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => File::Datagram(Datagram::new(settings)),
                (libc::SOCK_STREAM | libc::SOCK_DGRAM, _) => return Err(Errno(libc::EPROTONOSUPPORT)),
                _ => return Err(Errno(libc::ESOCKTNOSUPPORT)),
            };
            Ok(shared.files.insert(file, kind & SOCK_NONBLOCK != 0))
        })
    }

    pub(crate) fn bind(&self, fd: i32, local: SocketAddr) -> Result<(), Errno> {
        self.call(|Shared { files, world, .. }| files.bind(world, fd, local))
    }

    pub(crate) fn listen(&self, fd: i32, backlog: i32) -> Result<(), Errno> {
        self.call(|Shared { files, world, .. }| files.stream(fd)?.listen(world, backlog))
    }

    pub(crate) fn accept(&self, fd: i32) -> Result<(i32, SocketAddr), Errno> {
        self.wait("accept", None, |Shared { files, world, .. }| {
            let may_block = !files.is_nonblocking(fd);
            let outcome = match files.stream(fd) {
                Ok(stream) => stream.accept(world),
                Err(error) => Some(Err(error)),
            };
            let accepted = unless_blocked(outcome, may_block)?;
            Some(accepted.map(|(stream, peer)| (files.insert(File::Stream(stream), false), peer)))
        })
    }

    /// `None` takes the peer away (`AF_UNSPEC`).
    pub(crate) fn connect(&self, fd: i32, remote: Option<SocketAddr>) -> Result<(), Errno> {
        self.wait("connect", None, |Shared { files, world, .. }| {
            let may_block = !files.is_nonblocking(fd);
            let stream = match files.file(fd) {
                Ok(File::Stream(stream)) => stream,
                Ok(File::Datagram(datagram)) => return Some(datagram.connect(world, remote)),
                Ok(_) => return Some(Err(Errno(libc::ENOTSOCK))),
                Err(error) => return Some(Err(error)),
            };
            let Some(remote) = remote else {
                stream.disconnect(world);
                return Some(Ok(()));
            };
            let was_connecting = stream.is_connecting();
            match stream.connect(world, remote) {
                None if may_block => None,
                None => Some(Err(Errno(if was_connecting { libc::EALREADY } else { libc::EINPROGRESS }))),
                done => done,
            }
        })
    }

    pub(crate) fn receive(&self, fd: i32, max: usize, flags: i32) -> Result<Message, Errno> {
        if flags & MSG_ERRQUEUE != 0 {
            return Err(Errno(libc::EAGAIN));
        }
        if flags & MSG_OOB != 0 {
            return Err(Errno(libc::EINVAL));
        }
        let peek = flags & MSG_PEEK != 0;
        let mut got = Vec::new();
        self.wait("a read", None, |Shared { files, world, .. }| {
            let may_block = !files.is_nonblocking(fd) && flags & MSG_DONTWAIT == 0;
            let outcome = match files.file(fd) {
                Ok(File::Stream(stream)) => stream.read(world, max - got.len(), peek),
                Ok(File::Pipe(pipe)) => pipe.read(max),
                Ok(File::Datagram(datagram)) => {
                    let received = unless_blocked(datagram.receive(world, peek), may_block)?;
                    return Some(received.map(|received| {
                        let Some(received) = received else { return Message::default() };
                        let octets = received.data.get(..max).unwrap_or(&received.data).to_vec();
                        let is_truncated = octets.len() < received.data.len();
                        Message { octets, source: Some(received.source), is_truncated }
                    }));
                }
                Ok(File::Poller(_)) => Some(Err(Errno(libc::EINVAL))),
                Err(error) => Some(Err(error)),
            };
            let message = |octets| Message { octets, ..Message::default() };
            match outcome {
                None if got.is_empty() => unless_blocked(None, may_block),
                None => (!may_block).then(|| Ok(message(std::mem::take(&mut got)))),
                Some(Err(_)) if !got.is_empty() => Some(Ok(message(std::mem::take(&mut got)))),
                Some(Err(error)) => Some(Err(error)),
                Some(Ok(octets)) => {
                    let is_end = octets.is_empty();
                    got.extend(octets);
                    let wants_more = flags & MSG_WAITALL != 0 && !peek && got.len() < max && !is_end;
                    (!wants_more || !may_block).then(|| Ok(message(std::mem::take(&mut got))))
                }
            }
        })
    }

    pub(crate) fn transmit(&self, fd: i32, data: &[u8], flags: i32, to: Option<SocketAddr>) -> Result<usize, Errno> {
        if flags & MSG_FASTOPEN != 0 {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        let (mut rest, mut done, mut has_begun) = (Bytes::copy_from_slice(data), 0, false);
        self.wait("a write", None, |Shared { files, world, .. }| {
            let may_block = !files.is_nonblocking(fd) && flags & MSG_DONTWAIT == 0;
            let stream = match files.file(fd) {
                Ok(File::Stream(stream)) => stream,
                Ok(File::Datagram(datagram)) => return unless_blocked(datagram.send(world, data, to), may_block),
                Ok(File::Pipe(pipe)) => return unless_blocked(pipe.write(data), may_block),
                Ok(File::Poller(_)) => return Some(Err(Errno(libc::EINVAL))),
                Err(error) => return Some(Err(error)),
            };
            if !std::mem::replace(&mut has_begun, true) {
                stream.hold(world, flags & MSG_MORE != 0);
            }
            loop {
                match stream.write(world, &mut rest) {
                    Some(Ok(taken)) => done += taken,
                    Some(Err(error)) => return Some(if done > 0 { Ok(done) } else { Err(error) }),
                    None if done > 0 && !may_block => return Some(Ok(done)),
                    None => return unless_blocked(None, may_block),
                }
                if rest.is_empty() {
                    if flags & MSG_OOB != 0 {
                        stream.mark_urgent(world);
                    }
                    return Some(Ok(done));
                }
            }
        })
    }

    pub(crate) fn close(&self, fd: i32) -> Result<(), Errno> {
        self.call(|Shared { files, world, .. }| files.close(world, fd))
    }

    pub(crate) fn shutdown(&self, fd: i32, how: i32) -> Result<(), Errno> {
        self.call(|Shared { files, world, .. }| match files.file(fd)? {
            File::Stream(stream) => stream.shutdown(world, how),
            File::Datagram(datagram) => datagram.shutdown(world, how),
            _ => Err(Errno(libc::ENOTSOCK)),
        })
    }

    pub(crate) fn option(&self, fd: i32, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        self.call(|Shared { files, world, .. }| files.option(world, fd, level, name))
    }

    pub(crate) fn set_option(&self, fd: i32, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        self.call(|Shared { files, world, .. }| files.set_option(world, fd, level, name, value))
    }

    pub(crate) fn control(&self, fd: i32, command: i32, argument: u64) -> Result<i32, Errno> {
        self.call(|shared| {
            let descriptor: &mut Descriptor = shared.files.get(fd)?;
            match command {
                libc::F_GETFL if descriptor.is_nonblocking => Ok(libc::O_RDWR | libc::O_NONBLOCK),
                libc::F_GETFL => Ok(libc::O_RDWR),
                libc::F_SETFL => {
                    descriptor.is_nonblocking = argument & libc::O_NONBLOCK as u64 != 0;
                    Ok(0)
                }
                libc::F_GETFD | libc::F_SETFD => Ok(0),
                _ => Err(Errno(libc::EINVAL)),
            }
        })
    }

    /// `ioctl` with one number as its answer.
    pub(crate) fn ask(&self, fd: i32, request: u64) -> Result<i32, Errno> {
        self.call(|Shared { files, world, .. }| {
            let octets = match request {
                libc::FIONREAD => files.readable_bytes(world, fd)? as u64,
                libc::TIOCOUTQ => files.stream(fd)?.info(world).map_or(0, |info| info.send_queue_bytes),
                SIOCOUTQNSD => files.stream(fd)?.info(world).map_or(0, |info| info.not_sent_bytes),
                _ => return Err(Errno(libc::ENOTTY)),
            };
            Ok(i32::try_from(octets).unwrap_or(i32::MAX))
        })
    }

    pub(crate) fn set_nonblocking(&self, fd: i32, on: bool) -> Result<(), Errno> {
        self.call(|shared| {
            shared.files.get(fd)?.is_nonblocking = on;
            Ok(())
        })
    }

    /// What each descriptor is ready for of what is asked, once any is or `timeout` is over.
    pub(crate) fn poll(&self, asked: &[(i32, i16)], timeout: Option<Duration>) -> Vec<i16> {
        let always = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
        let mut ready = vec![0; asked.len()];
        self.wait("poll", timeout, |Shared { files, world, is_late, .. }| {
            for ((fd, events), mask) in asked.iter().zip(&mut ready) {
                *mask = if *fd < 0 { 0 } else { files.ready(world, *fd) & (events | always) };
            }
            (*is_late || ready.iter().any(|mask| *mask != 0)).then(|| ready.clone())
        })
    }

    pub(crate) fn new_poller(&self) -> i32 {
        self.call(|shared| shared.files.insert(File::Poller(Poller::default()), false))
    }

    pub(crate) fn watch(&self, fd: i32, operation: i32, watched: i32, events: u32, data: u64) -> Result<(), Errno> {
        self.call(|shared| {
            shared.files.get(watched)?;
            shared.files.poller(fd)?.control(operation, watched, events, data)
        })
    }

    /// Events and data of what is ready.
    pub(crate) fn watched(&self, fd: i32, max: usize, timeout: Option<Duration>) -> Result<Vec<(u32, u64)>, Errno> {
        self.wait("epoll_wait", timeout, |Shared { files, world, is_late, .. }| {
            match files.poll_watched(world, fd, max, false) {
                Ok(events) if events.is_empty() && !*is_late => None,
                other => Some(other),
            }
        })
    }

    pub(crate) fn pipe(&self) -> [i32; 2] {
        self.call(|shared| {
            let (read, write) = pipe();
            [read, write].map(|end| shared.files.insert(File::Pipe(end), false))
        })
    }

    /// Moves up to `max` octets from one descriptor to another, one of which is a pipe.
    pub(crate) fn splice(&self, from: i32, to: i32, max: usize, may_block: bool) -> Result<usize, Errno> {
        self.wait("splice", None, |Shared { files, world, .. }| {
            let is_pipe = |file: Result<&mut File, Errno>| file.map(|file| matches!(file, File::Pipe(_)));
            match (is_pipe(files.file(from)), is_pipe(files.file(to))) {
                (Err(error), _) | (_, Err(error)) => return Some(Err(error)),
                (Ok(false), Ok(false)) => return Some(Err(Errno(libc::EINVAL))),
                _ => {}
            }
            let room = match files.file(to) {
                Ok(File::Pipe(pipe)) => pipe.room(),
                Ok(File::Stream(stream)) => stream.room(world),
                _ => return Some(Err(Errno(libc::EINVAL))),
            };
            let max = max.min(room);
            if max == 0 {
                return unless_blocked(None, may_block);
            }
            let read = match files.file(from) {
                Ok(File::Pipe(pipe)) => pipe.read(max),
                Ok(File::Stream(stream)) => stream.read(world, max, false),
                _ => Some(Err(Errno(libc::EINVAL))),
            };
            let octets = match unless_blocked(read, may_block)? {
                Ok(octets) => octets,
                Err(error) => return Some(Err(error)),
            };
            let mut octets = Bytes::from(octets);
            match files.file(to) {
                Ok(File::Pipe(pipe)) => pipe.write(&octets),
                Ok(File::Stream(stream)) => stream.write(world, &mut octets),
                _ => None,
            }
        })
    }
}
