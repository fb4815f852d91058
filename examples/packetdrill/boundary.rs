//! The C side: pointers are looked at here and nowhere else, and errors become -1 and `errno`.

use crate::calls::Message;
use crate::errno::Errno;
use crate::interface::Interface;
use crate::turns::Object;
use libc::{
    AF_INET, AF_UNSPEC, EPOLL_CTL_DEL, FIONBIO, MSG_TRUNC, SPLICE_F_NONBLOCK, c_int, c_longlong, c_uint, c_ulong,
    c_void, epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, sockaddr, sockaddr_in, socklen_t, timeval, timezone,
    useconds_t,
};
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ptr;
use std::slice;
use std::time::Duration;

type Data = *mut c_void;

/// The interface of `object`, which `free` takes back.
pub(crate) fn interface(object: Box<Object>) -> Interface {
    Interface {
        userdata: Box::into_raw(object).cast(),
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl,
        ioctl,
        close,
        shutdown,
        getsockopt,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    }
}

/// # Safety
/// `data` is the `userdata` of an interface that was not freed.
unsafe fn object<'a>(data: Data) -> &'a Object {
    // SAFETY: as the caller promises; the box is only ever lent shared.
    unsafe { &*data.cast::<Object>() }
}

fn fail(error: Errno) {
    // SAFETY: the place is this thread's own.
    unsafe { *libc::__errno_location() = error.0 };
}

/// A result as C has it: a number of `T`, or -1 with `errno`.
fn give<T: From<i8>, R: TryInto<T>>(result: Result<R, Errno>) -> T {
    match result.map(TryInto::try_into) {
        Ok(Ok(value)) => value,
        Ok(Err(_)) => {
            fail(Errno(libc::EOVERFLOW));
            T::from(-1)
        }
        Err(error) => {
            fail(error);
            T::from(-1)
        }
    }
}

/// No result but that it worked.
fn done(result: Result<(), Errno>) -> c_int {
    give(result.map(|()| 0))
}

/// # Safety
/// `bytes` points to `len` octets, or `len` is zero.
unsafe fn octets<'a>(bytes: *const c_void, len: usize) -> &'a [u8] {
    if len == 0 || bytes.is_null() {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { slice::from_raw_parts(bytes.cast(), len) }
}

/// # Safety
/// `to` points to room for `octets`, or there are none.
unsafe fn put(to: *mut c_void, octets: &[u8]) {
    if !octets.is_empty() {
        // SAFETY: as the caller promises; what we own does not overlap with it.
        unsafe { ptr::copy_nonoverlapping(octets.as_ptr(), to.cast(), octets.len()) };
    }
}

/// The address of a call; `None` where it names no family.
///
/// # Safety
/// `address` points to `len` octets.
unsafe fn address(address: *const sockaddr, len: socklen_t) -> Result<Option<SocketAddr>, Errno> {
    if address.is_null() || (len as usize) < size_of::<libc::sa_family_t>() {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: there are at least the octets of the family.
    let family = c_int::from(unsafe { (&raw const (*address).sa_family).read_unaligned() });
    match family {
        AF_UNSPEC => Ok(None),
        AF_INET if len as usize >= size_of::<sockaddr_in>() => {
            // SAFETY: there are that many octets.
            let v4 = unsafe { address.cast::<sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Ok(Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into()))
        }
        AF_INET => Err(Errno(libc::EINVAL)),
        _ => Err(Errno(libc::EAFNOSUPPORT)),
    }
}

/// Writes an address where a call wants it, as much of it as there is room for.
///
/// # Safety
/// Each pointer is null or valid, and `to` points to `*len` octets.
unsafe fn put_address(from: Option<SocketAddr>, to: *mut sockaddr, len: *mut socklen_t) {
    let (Some(SocketAddr::V4(from)), false, false) = (from, to.is_null(), len.is_null()) else { return };
    // SAFETY: all zeros are a valid `sockaddr_in`.
    let mut v4: sockaddr_in = unsafe { zeroed() };
    v4.sin_family = AF_INET as libc::sa_family_t;
    v4.sin_port = from.port().to_be();
    v4.sin_addr.s_addr = u32::from(*from.ip()).to_be();
    let full = size_of::<sockaddr_in>();
    // SAFETY: the struct is as long as said and has no padding; the pointers are valid, as the caller promises.
    unsafe {
        let whole = slice::from_raw_parts((&raw const v4).cast::<u8>(), full);
        put(to.cast(), whole.get(..full.min(*len as usize)).unwrap_or_default());
        *len = full as socklen_t;
    }
}

/// # Safety
/// `vectors` points to `count` valid vectors.
unsafe fn vectors<'a>(vectors: *const iovec, count: usize) -> &'a [iovec] {
    if count == 0 || vectors.is_null() {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { slice::from_raw_parts(vectors, count) }
}

/// # Safety
/// Each of `vectors` points to as many octets as it says.
unsafe fn gather(vectors: &[iovec]) -> Vec<u8> {
    // SAFETY: as the caller promises.
    vectors.iter().flat_map(|vector| unsafe { octets(vector.iov_base, vector.iov_len) }).copied().collect()
}

/// # Safety
/// Each of `vectors` points to room for as many octets as it says.
unsafe fn scatter(vectors: &[iovec], mut octets: &[u8]) {
    for vector in vectors {
        let (now, later) = octets.split_at(octets.len().min(vector.iov_len));
        // SAFETY: as the caller promises.
        unsafe { put(vector.iov_base, now) };
        octets = later;
    }
}

/// Reads for all the calls that do.
///
/// # Safety
/// `data` is an interface's, and each of `into` points to as much room as it says.
unsafe fn read_into(data: Data, fd: c_int, into: &[iovec], flags: c_int) -> Result<Message, Errno> {
    let room = into.iter().map(|vector| vector.iov_len).sum();
    // SAFETY: as the caller promises.
    let message = unsafe { object(data) }.receive(fd, room, flags)?;
    // With MSG_TRUNC, TCP throws away what it was to give.
    if flags & MSG_TRUNC == 0 || message.source.is_some() {
        // SAFETY: as the caller promises.
        unsafe { scatter(into, &message.octets) };
    }
    Ok(message)
}

fn one(buffer: *mut c_void, len: usize) -> [iovec; 1] {
    [iovec { iov_base: buffer, iov_len: len }]
}

fn millis(timeout: c_int) -> Option<Duration> {
    u64::try_from(timeout).ok().map(Duration::from_millis)
}

/// Declares functions of the interface. All are called by C with pointers that are as the system call of the same
/// name wants them, which is what each block relies on.
macro_rules! calls {
    ($(fn $name:ident($data:ident $(, $argument:ident: $type:ty)*) -> $result:ty $body:block)*) => {$(
        // SAFETY: the caller keeps to the contract of the system call of this name, and gives the interface's data.
        unsafe extern "C" fn $name($data: Data $(, $argument: $type)*) -> $result { unsafe { $body } }
    )*};
}

unsafe extern "C" fn free(data: Data) {
    // SAFETY: the data is that of `interface`, and is not used after this.
    drop(unsafe { Box::from_raw(data.cast::<Object>()) });
}

calls! {
    fn socket(data, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
        give(object(data).socket(domain, kind, protocol))
    }
    fn bind(data, fd: c_int, to: *const sockaddr, len: socklen_t) -> c_int {
        done(address(to, len).and_then(|local| object(data).bind(fd, local.ok_or(Errno(libc::EAFNOSUPPORT))?)))
    }
    fn listen(data, fd: c_int, backlog: c_int) -> c_int {
        done(object(data).listen(fd, backlog))
    }
    fn accept(data, fd: c_int, peer: *mut sockaddr, len: *mut socklen_t) -> c_int {
        let accepted = object(data).accept(fd);
        if let Ok((_, from)) = &accepted {
            put_address(Some(*from), peer, len);
        }
        give(accepted.map(|(fd, _)| fd))
    }
    fn connect(data, fd: c_int, to: *const sockaddr, len: socklen_t) -> c_int {
        done(address(to, len).and_then(|remote| object(data).connect(fd, remote)))
    }
    fn read(data, fd: c_int, buffer: *mut c_void, len: usize) -> isize {
        give(read_into(data, fd, &one(buffer, len), 0).map(|message| message.octets.len()))
    }
    fn readv(data, fd: c_int, into: *const iovec, count: c_int) -> isize {
        let into = vectors(into, usize::try_from(count).unwrap_or(0));
        give(read_into(data, fd, into, 0).map(|message| message.octets.len()))
    }
    fn recv(data, fd: c_int, buffer: *mut c_void, len: usize, flags: c_int) -> isize {
        give(read_into(data, fd, &one(buffer, len), flags).map(|message| message.octets.len()))
    }
    fn recvfrom(data, fd: c_int, buffer: *mut c_void, len: usize, flags: c_int, from: *mut sockaddr, from_len: *mut socklen_t) -> isize {
        give(read_into(data, fd, &one(buffer, len), flags).map(|message| {
            put_address(message.source, from, from_len);
            message.octets.len()
        }))
    }
    fn recvmsg(data, fd: c_int, message: *mut msghdr, flags: c_int) -> isize {
        let header = &mut *message;
        let into = vectors(header.msg_iov, header.msg_iovlen);
        give(read_into(data, fd, into, flags).map(|read| {
            put_address(read.source, header.msg_name.cast(), &raw mut header.msg_namelen);
            if read.source.is_none() {
                header.msg_namelen = 0;
            }
            header.msg_controllen = 0;
            header.msg_flags = if read.is_truncated { MSG_TRUNC } else { 0 };
            read.octets.len()
        }))
    }
    fn write(data, fd: c_int, buffer: *const c_void, len: usize) -> isize {
        give(object(data).transmit(fd, octets(buffer, len), 0, None))
    }
    fn writev(data, fd: c_int, from: *const iovec, count: c_int) -> isize {
        let octets = gather(vectors(from, usize::try_from(count).unwrap_or(0)));
        give(object(data).transmit(fd, &octets, 0, None))
    }
    fn send(data, fd: c_int, buffer: *const c_void, len: usize, flags: c_int) -> isize {
        give(object(data).transmit(fd, octets(buffer, len), flags, None))
    }
    fn sendto(data, fd: c_int, buffer: *const c_void, len: usize, flags: c_int, to: *const sockaddr, to_len: socklen_t) -> isize {
        let to = if to.is_null() { Ok(None) } else { address(to, to_len) };
        give(to.and_then(|to| object(data).transmit(fd, octets(buffer, len), flags, to)))
    }
    fn sendmsg(data, fd: c_int, message: *const msghdr, flags: c_int) -> isize {
        let header = &*message;
        let octets = gather(vectors(header.msg_iov, header.msg_iovlen));
        let name = header.msg_name.cast_const().cast();
        let to = if header.msg_name.is_null() { Ok(None) } else { address(name, header.msg_namelen) };
        give(to.and_then(|to| object(data).transmit(fd, &octets, flags, to)))
    }
    fn fcntl(data, fd: c_int, command: c_int, argument: c_ulong) -> c_int {
        // An int that came as the variable argument: what is above it is not its own.
        give(object(data).control(fd, command, argument & 0xffff_ffff))
    }
    fn ioctl(data, fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
        if argument.is_null() {
            return done(Err(Errno(libc::EFAULT)));
        }
        let number = argument.cast::<c_int>();
        if request == FIONBIO {
            return done(object(data).set_nonblocking(fd, number.read_unaligned() != 0));
        }
        done(object(data).ask(fd, request).map(|answer| number.write_unaligned(answer)))
    }
    fn close(data, fd: c_int) -> c_int {
        done(object(data).close(fd))
    }
    fn shutdown(data, fd: c_int, how: c_int) -> c_int {
        done(object(data).shutdown(fd, how))
    }
    fn getsockopt(data, fd: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut socklen_t) -> c_int {
        if len.is_null() || (value.is_null() && *len > 0) {
            return done(Err(Errno(libc::EFAULT)));
        }
        done(object(data).option(fd, level, name).map(|known| {
            let known = known.get(..*len as usize).unwrap_or(&known);
            put(value, known);
            *len = known.len() as socklen_t;
        }))
    }
    fn setsockopt(data, fd: c_int, level: c_int, name: c_int, value: *const c_void, len: socklen_t) -> c_int {
        done(object(data).set_option(fd, level, name, octets(value, len as usize)))
    }
    fn poll(data, asked: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int {
        let asked = if count == 0 { &mut [] } else { slice::from_raw_parts_mut(asked, count as usize) };
        let wanted: Vec<(c_int, i16)> = asked.iter().map(|one| (one.fd, one.events)).collect();
        let ready = object(data).poll(&wanted, millis(timeout));
        for (one, mask) in asked.iter_mut().zip(&ready) {
            one.revents = *mask;
        }
        give(Ok(ready.iter().filter(|mask| **mask != 0).count()))
    }
    fn netdev_send(data, packet: *const c_void, len: usize) -> c_int {
        done(object(data).netdev_send(octets(packet, len)))
    }
    fn netdev_receive(data, buffer: *mut c_void, len: *mut usize, at: *mut c_longlong) -> c_int {
        let sent = object(data).netdev_receive();
        let packet = sent.packet.get(..*len).unwrap_or(&sent.packet);
        put(buffer, packet);
        *len = packet.len();
        *at = sent.at.as_micros() as c_longlong;
        0
    }
    fn usleep(data, micros: useconds_t) -> c_int {
        object(data).sleep(Duration::from_micros(u64::from(micros)));
        0
    }
    fn gettimeofday(data, time: *mut timeval, _zone: *mut timezone) -> c_int {
        let micros = object(data).time().as_micros();
        *time = timeval { tv_sec: (micros / 1_000_000) as libc::time_t, tv_usec: (micros % 1_000_000) as libc::suseconds_t };
        0
    }
    fn epoll_create(data, size: c_int) -> c_int {
        give(if size > 0 { Ok(object(data).new_poller()) } else { Err(Errno(libc::EINVAL)) })
    }
    fn epoll_ctl(data, fd: c_int, operation: c_int, watched: c_int, event: *mut epoll_event) -> c_int {
        if event.is_null() && operation != EPOLL_CTL_DEL {
            return done(Err(Errno(libc::EFAULT)));
        }
        let (events, value) = if event.is_null() { (0, 0) } else { ((*event).events, (*event).u64) };
        done(object(data).watch(fd, operation, watched, events, value))
    }
    fn epoll_wait(data, fd: c_int, events: *mut epoll_event, max: c_int, timeout: c_int) -> c_int {
        let max = usize::try_from(max).unwrap_or(0);
        if max == 0 {
            return done(Err(Errno(libc::EINVAL)));
        }
        give(object(data).watched(fd, max, millis(timeout)).map(|ready| {
            for (place, (mask, value)) in ready.iter().enumerate() {
                events.add(place).write_unaligned(epoll_event { events: *mask, u64: *value });
            }
            ready.len()
        }))
    }
    fn pipe(data, ends: *mut c_int) -> c_int {
        ends.cast::<[c_int; 2]>().write_unaligned(object(data).pipe());
        0
    }
    fn splice(data, from: c_int, from_at: *mut loff_t, to: c_int, to_at: *mut loff_t, len: usize, flags: c_uint) -> isize {
        if !from_at.is_null() || !to_at.is_null() {
            return give(Err::<i8, _>(Errno(libc::ESPIPE)));
        }
        give(object(data).splice(from, to, len, flags & SPLICE_F_NONBLOCK == 0))
    }
}
