//! Calls of a script as calls of the object.

use super::object::Object;
use super::script::Value;
use super::symbols::number;
use super::wire::{LOCAL, REMOTE};
use libc::{c_int, c_void, iovec, sockaddr_in, socklen_t};
use std::mem::{size_of, size_of_val, zeroed};
use std::ptr::{null, null_mut};

/// The port that both sides have if a script does not say.
pub(crate) const PORT: u16 = 8080;

/// The result, and `errno` where it is -1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    pub(crate) result: i64,
    pub(crate) errno: i64,
}

impl Value {
    fn int(&self) -> i64 {
        match self {
            Value::Int(number) => *number,
            Value::Word(name) => number(name),
            Value::List(values) if values.len() == 1 => values[0].int(),
            other => panic!("a number is wanted, not {other:?}"),
        }
    }

    fn list(&self) -> &[Value] {
        match self {
            Value::List(values) => values,
            other => std::slice::from_ref(other),
        }
    }

    fn field(&self, name: &str) -> Option<&Value> {
        let Value::Struct(fields) = self else { return None };
        fields.iter().find(|(known, _)| known.split('(').next() == Some(name)).map(|(_, value)| value)
    }

    /// An address; `otherwise` for `...`.
    fn address(&self, otherwise: std::net::Ipv4Addr) -> sockaddr_in {
        // SAFETY: all zeros are a valid address of no family.
        let mut address: sockaddr_in = unsafe { zeroed() };
        let inner = |name: &str| match self.field(name) {
            Some(Value::Word(word)) => word.split_once('(').map(|(_, inner)| inner.trim_matches([')', '"']).to_owned()),
            _ => None,
        };
        let ip = inner("sin_addr").map_or(otherwise, |ip| ip.parse().unwrap());
        let port = inner("sin_port").map_or(PORT, |port| port.parse().unwrap());
        address.sin_family = self.field("sa_family").map_or(libc::AF_INET as i64, Value::int) as u16;
        address.sin_addr.s_addr = u32::from(ip).to_be();
        address.sin_port = port.to_be();
        address
    }

    /// The lengths of the vectors `[{..., 10}, {..., 20}]`.
    fn lengths(&self) -> Vec<usize> {
        let length = |vector: &Value| match vector {
            Value::Struct(fields) => fields.last().unwrap().1.int() as usize,
            other => panic!("a vector is wanted, not {other:?}"),
        };
        self.list().iter().map(length).collect()
    }

    /// The octets of an option's value.
    fn octets(&self) -> Vec<u8> {
        match self {
            Value::Struct(fields) => {
                fields.iter().flat_map(|(_, value)| (value.int() as c_int).to_ne_bytes()).collect()
            }
            Value::List(values) => values[0].octets(),
            Value::Word(word) if word.chars().next().is_some_and(char::is_lowercase) => word.clone().into_bytes(),
            other => (other.int() as c_int).to_ne_bytes().to_vec(),
        }
    }
}

/// Makes the call. What it gives besides its result is compared here.
pub(crate) fn call(object: &Object, name: &str, arguments: &[Value]) -> Outcome {
    let (ifc, data) = (&object.0, object.0.userdata);
    let int = |at: usize| arguments[at].int();
    let fd = || int(0) as c_int;
    let size = size_of::<sockaddr_in>() as socklen_t;
    let mut room = vec![0u8; 1 << 20];
    let buffer = room.as_mut_ptr().cast::<c_void>();
    let vectors = |lengths: &[usize]| -> Vec<iovec> {
        lengths.iter().map(|len| iovec { iov_base: buffer, iov_len: *len }).collect()
    };
    // SAFETY: every pointer is to a local of the size that is said with it, or null where the call allows that.
    let result = unsafe {
        match name {
            "socket" => {
                let domain = if arguments[0] == Value::Dots { libc::AF_INET } else { int(0) as c_int };
                i64::from((ifc.socket)(data, domain, int(1) as c_int, int(2) as c_int))
            }
            "bind" => {
                let address = arguments[1].address(LOCAL);
                i64::from((ifc.bind)(data, fd(), (&raw const address).cast(), size))
            }
            "listen" => i64::from((ifc.listen)(data, fd(), int(1) as c_int)),
            "accept" => {
                let (mut peer, mut len): (sockaddr_in, _) = (zeroed(), size);
                let accepted = (ifc.accept)(data, fd(), (&raw mut peer).cast(), &raw mut len);
                if accepted >= 0 {
                    assert_eq!((len, peer.sin_family), (size, libc::AF_INET as u16));
                    assert_eq!(u32::from_be(peer.sin_addr.s_addr), u32::from(REMOTE), "who was accepted");
                }
                i64::from(accepted)
            }
            "connect" => {
                let address = arguments[1].address(REMOTE);
                i64::from((ifc.connect)(data, fd(), (&raw const address).cast(), size))
            }
            "read" => (ifc.read)(data, fd(), buffer, int(2) as usize) as i64,
            "readv" => {
                let vectors = vectors(&arguments[1].lengths());
                (ifc.readv)(data, fd(), vectors.as_ptr(), int(2) as c_int) as i64
            }
            "recv" => (ifc.recv)(data, fd(), buffer, int(2) as usize, int(3) as c_int) as i64,
            "recvfrom" => {
                let (mut from, mut len): (sockaddr_in, _) = (zeroed(), size);
                let (from_at, flags) = ((&raw mut from).cast(), int(3) as c_int);
                let got = (ifc.recvfrom)(data, fd(), buffer, int(2) as usize, flags, from_at, &raw mut len);
                if got > 0 && from.sin_family != 0 {
                    assert_eq!(u32::from_be(from.sin_addr.s_addr), u32::from(REMOTE), "who sent it");
                }
                got as i64
            }
            "recvmsg" | "sendmsg" => {
                let lengths = arguments[1].field("msg_iov").unwrap().lengths();
                let mut vectors = vectors(&lengths);
                let mut message: libc::msghdr = zeroed();
                message.msg_iov = vectors.as_mut_ptr();
                message.msg_iovlen = vectors.len();
                if name == "sendmsg" {
                    (ifc.sendmsg)(data, fd(), &raw const message, int(2) as c_int) as i64
                } else {
                    let got = (ifc.recvmsg)(data, fd(), &raw mut message, int(2) as c_int) as i64;
                    if let Some(flags) = arguments[1].field("msg_flags") {
                        assert_eq!(i64::from(message.msg_flags), flags.int(), "msg_flags");
                    }
                    got
                }
            }
            "write" => (ifc.write)(data, fd(), buffer, int(2) as usize) as i64,
            "writev" => {
                let vectors = vectors(&arguments[1].lengths());
                (ifc.writev)(data, fd(), vectors.as_ptr(), int(2) as c_int) as i64
            }
            "send" => (ifc.send)(data, fd(), buffer, int(2) as usize, int(3) as c_int) as i64,
            "sendto" => {
                let address = arguments[4].address(REMOTE);
                let to = (&raw const address).cast();
                (ifc.sendto)(data, fd(), buffer, int(2) as usize, int(3) as c_int, to, size) as i64
            }
            "fcntl" => i64::from((ifc.fcntl)(data, fd(), int(1) as c_int, arguments.get(2).map_or(0, Value::int))),
            "ioctl" => {
                let mut answer = arguments[2].int() as c_int;
                let result = (ifc.ioctl)(data, fd(), int(1) as libc::c_ulong, &raw mut answer);
                if result == 0 {
                    assert_eq!(i64::from(answer), arguments[2].int(), "what ioctl gives");
                }
                i64::from(result)
            }
            "close" => i64::from((ifc.close)(data, fd())),
            "shutdown" => i64::from((ifc.shutdown)(data, fd(), int(1) as c_int)),
            "getsockopt" => get_option(object, fd(), int(1) as c_int, int(2) as c_int, &arguments[3]),
            "setsockopt" => {
                let value = arguments[3].octets();
                let (place, len) = (value.as_ptr().cast(), value.len() as socklen_t);
                i64::from((ifc.setsockopt)(data, fd(), int(1) as c_int, int(2) as c_int, place, len))
            }
            "poll" => poll(object, &arguments[0], int(2) as c_int),
            "epoll_create" => i64::from((ifc.epoll_create)(data, fd())),
            "epoll_ctl" => {
                let value = |field| arguments[3].field(field).map_or(0, Value::int) as u64;
                let mut event = libc::epoll_event { events: value("events") as u32, u64: value("fd") };
                i64::from((ifc.epoll_ctl)(data, fd(), int(1) as c_int, int(2) as c_int, &raw mut event))
            }
            "epoll_wait" => {
                let wanted: Vec<(i64, i64)> = arguments[1]
                    .list()
                    .iter()
                    .filter_map(|event| Some((event.field("events")?.int(), event.field("fd")?.int())))
                    .collect();
                let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; int(2) as usize];
                let place = events.as_mut_ptr();
                let ready = (ifc.epoll_wait)(data, fd(), place, int(2) as c_int, int(3) as c_int);
                let got =
                    events.iter().take(ready.max(0) as usize).map(|event| (i64::from(event.events), event.u64 as i64));
                if ready > 0 {
                    assert_eq!(got.collect::<Vec<_>>(), wanted, "what epoll_wait gives");
                }
                i64::from(ready)
            }
            "pipe" => {
                let mut ends = [0; 2];
                let result = (ifc.pipe)(data, ends.as_mut_ptr());
                let wanted: Vec<i64> = arguments[0].list().iter().map(Value::int).collect();
                assert_eq!(ends.map(i64::from).to_vec(), wanted, "the ends of the pipe");
                i64::from(result)
            }
            "splice" => {
                let (to, len, flags) = (int(2) as c_int, int(4) as usize, int(5) as libc::c_uint);
                (ifc.splice)(data, fd(), null_mut(), to, null_mut(), len, flags) as i64
            }
            other => panic!("no such call here: {other}"),
        }
    };
    // SAFETY: the place is this thread's own.
    let errno = if result == -1 { i64::from(unsafe { *libc::__errno_location() }) } else { 0 };
    Outcome { result, errno }
}

fn get_option(object: &Object, fd: c_int, level: c_int, name: c_int, wanted: &Value) -> i64 {
    let wanted = wanted.octets();
    let (mut value, mut len) = (vec![0u8; wanted.len()], wanted.len() as socklen_t);
    let place = value.as_mut_ptr().cast();
    // SAFETY: there is as much room as said.
    let result = unsafe { (object.0.getsockopt)(object.0.userdata, fd, level, name, place, &raw mut len) };
    if result == 0 {
        assert_eq!(value, wanted, "what getsockopt gives");
    }
    i64::from(result)
}

fn poll(object: &Object, asked: &Value, timeout: c_int) -> i64 {
    let value = |one: &Value, name| one.field(name).map_or(0, Value::int);
    let mut descriptors: Vec<libc::pollfd> = asked
        .list()
        .iter()
        .map(|one| libc::pollfd { fd: value(one, "fd") as c_int, events: value(one, "events") as i16, revents: 0 })
        .collect();
    let (place, count) = (descriptors.as_mut_ptr(), descriptors.len() as libc::nfds_t);
    // SAFETY: there are as many as said.
    let ready = unsafe { (object.0.poll)(object.0.userdata, place, count, timeout) };
    for (one, got) in asked.list().iter().zip(&descriptors) {
        assert_eq!(i64::from(got.revents), value(one, "revents"), "revents of {}", got.fd);
    }
    i64::from(ready)
}

/// `struct tcp_info` of a socket.
pub(crate) fn tcp_info(object: &Object, fd: i64) -> Vec<u8> {
    let mut value = [0u64; 64];
    let mut len = size_of_val(&value) as socklen_t;
    let (data, place) = (object.0.userdata, value.as_mut_ptr().cast());
    // SAFETY: there is as much room as said.
    let result =
        unsafe { (object.0.getsockopt)(data, fd as c_int, libc::IPPROTO_TCP, libc::TCP_INFO, place, &raw mut len) };
    assert_eq!(result, 0, "TCP_INFO of {fd}");
    let octets: Vec<u8> = value.iter().flat_map(|word| word.to_ne_bytes()).collect();
    octets[..len as usize].to_vec()
}

/// Calls that no script makes: with null where that is allowed.
pub(crate) fn accept_without_address(object: &Object, fd: c_int) -> c_int {
    // SAFETY: nobody wants the address.
    unsafe { (object.0.accept)(object.0.userdata, fd, null_mut(), null_mut()) }
}

/// As above.
pub(crate) fn bind_to_nothing(object: &Object, fd: c_int) -> c_int {
    // SAFETY: an address of no octets.
    unsafe { (object.0.bind)(object.0.userdata, fd, null(), 0) }
}
