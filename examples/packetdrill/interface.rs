//! packetdrill's `struct packetdrill_interface`: one pointer to data, then functions in this order. Each takes that
//! pointer first, and is otherwise the system call of its name.

use libc::{
    c_int, c_longlong, c_ulong, c_void, epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, sockaddr, socklen_t,
    timeval, timezone, useconds_t,
};

type Data = *mut c_void;

/// The struct. `fcntl` and `ioctl` are variadic in C; their one argument arrives where a fixed one does.
#[repr(C)]
pub struct Interface {
    pub(crate) userdata: Data,
    pub(crate) free: unsafe extern "C" fn(Data),
    pub(crate) socket: unsafe extern "C" fn(Data, c_int, c_int, c_int) -> c_int,
    pub(crate) bind: unsafe extern "C" fn(Data, c_int, *const sockaddr, socklen_t) -> c_int,
    pub(crate) listen: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    pub(crate) accept: unsafe extern "C" fn(Data, c_int, *mut sockaddr, *mut socklen_t) -> c_int,
    pub(crate) connect: unsafe extern "C" fn(Data, c_int, *const sockaddr, socklen_t) -> c_int,
    pub(crate) read: unsafe extern "C" fn(Data, c_int, *mut c_void, usize) -> isize,
    pub(crate) readv: unsafe extern "C" fn(Data, c_int, *const iovec, c_int) -> isize,
    pub(crate) recv: unsafe extern "C" fn(Data, c_int, *mut c_void, usize, c_int) -> isize,
    pub(crate) recvfrom:
        unsafe extern "C" fn(Data, c_int, *mut c_void, usize, c_int, *mut sockaddr, *mut socklen_t) -> isize,
    pub(crate) recvmsg: unsafe extern "C" fn(Data, c_int, *mut msghdr, c_int) -> isize,
    pub(crate) write: unsafe extern "C" fn(Data, c_int, *const c_void, usize) -> isize,
    pub(crate) writev: unsafe extern "C" fn(Data, c_int, *const iovec, c_int) -> isize,
    pub(crate) send: unsafe extern "C" fn(Data, c_int, *const c_void, usize, c_int) -> isize,
    pub(crate) sendto:
        unsafe extern "C" fn(Data, c_int, *const c_void, usize, c_int, *const sockaddr, socklen_t) -> isize,
    pub(crate) sendmsg: unsafe extern "C" fn(Data, c_int, *const msghdr, c_int) -> isize,
    pub(crate) fcntl: unsafe extern "C" fn(Data, c_int, c_int, c_ulong) -> c_int,
    pub(crate) ioctl: unsafe extern "C" fn(Data, c_int, c_ulong, *mut c_void) -> c_int,
    pub(crate) close: unsafe extern "C" fn(Data, c_int) -> c_int,
    pub(crate) shutdown: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    pub(crate) getsockopt: unsafe extern "C" fn(Data, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int,
    pub(crate) setsockopt: unsafe extern "C" fn(Data, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int,
    pub(crate) poll: unsafe extern "C" fn(Data, *mut pollfd, nfds_t, c_int) -> c_int,
    pub(crate) netdev_send: unsafe extern "C" fn(Data, *const c_void, usize) -> c_int,
    pub(crate) netdev_receive: unsafe extern "C" fn(Data, *mut c_void, *mut usize, *mut c_longlong) -> c_int,
    pub(crate) usleep: unsafe extern "C" fn(Data, useconds_t) -> c_int,
    pub(crate) gettimeofday: unsafe extern "C" fn(Data, *mut timeval, *mut timezone) -> c_int,
    pub(crate) epoll_create: unsafe extern "C" fn(Data, c_int) -> c_int,
    pub(crate) epoll_ctl: unsafe extern "C" fn(Data, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    pub(crate) epoll_wait: unsafe extern "C" fn(Data, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pub(crate) pipe: unsafe extern "C" fn(Data, *mut c_int) -> c_int,
    pub(crate) splice: unsafe extern "C" fn(Data, c_int, *mut loff_t, c_int, *mut loff_t, usize, libc::c_uint) -> isize,
}
