//! The shared object from the outside: built, loaded and called as packetdrill does.
//!
//! The struct stands here a second time on purpose: it is what packetdrill has, whatever the object thinks.

use std::ffi::{CStr, CString, c_char, c_int, c_longlong, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

type Data = *mut c_void;
type Plain<R> = unsafe extern "C" fn(Data) -> R;

/// `struct packetdrill_interface`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Interface {
    pub(crate) userdata: Data,
    pub(crate) free: Plain<()>,
    pub(crate) socket: unsafe extern "C" fn(Data, c_int, c_int, c_int) -> c_int,
    pub(crate) bind: unsafe extern "C" fn(Data, c_int, *const libc::sockaddr, libc::socklen_t) -> c_int,
    pub(crate) listen: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    pub(crate) accept: unsafe extern "C" fn(Data, c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> c_int,
    pub(crate) connect: unsafe extern "C" fn(Data, c_int, *const libc::sockaddr, libc::socklen_t) -> c_int,
    pub(crate) read: unsafe extern "C" fn(Data, c_int, *mut c_void, usize) -> isize,
    pub(crate) readv: unsafe extern "C" fn(Data, c_int, *const libc::iovec, c_int) -> isize,
    pub(crate) recv: unsafe extern "C" fn(Data, c_int, *mut c_void, usize, c_int) -> isize,
    pub(crate) recvfrom: unsafe extern "C" fn(
        Data,
        c_int,
        *mut c_void,
        usize,
        c_int,
        *mut libc::sockaddr,
        *mut libc::socklen_t,
    ) -> isize,
    pub(crate) recvmsg: unsafe extern "C" fn(Data, c_int, *mut libc::msghdr, c_int) -> isize,
    pub(crate) write: unsafe extern "C" fn(Data, c_int, *const c_void, usize) -> isize,
    pub(crate) writev: unsafe extern "C" fn(Data, c_int, *const libc::iovec, c_int) -> isize,
    pub(crate) send: unsafe extern "C" fn(Data, c_int, *const c_void, usize, c_int) -> isize,
    pub(crate) sendto:
        unsafe extern "C" fn(Data, c_int, *const c_void, usize, c_int, *const libc::sockaddr, libc::socklen_t) -> isize,
    pub(crate) sendmsg: unsafe extern "C" fn(Data, c_int, *const libc::msghdr, c_int) -> isize,
    pub(crate) fcntl: unsafe extern "C" fn(Data, c_int, c_int, ...) -> c_int,
    pub(crate) ioctl: unsafe extern "C" fn(Data, c_int, libc::c_ulong, ...) -> c_int,
    pub(crate) close: unsafe extern "C" fn(Data, c_int) -> c_int,
    pub(crate) shutdown: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    pub(crate) getsockopt: unsafe extern "C" fn(Data, c_int, c_int, c_int, *mut c_void, *mut libc::socklen_t) -> c_int,
    pub(crate) setsockopt: unsafe extern "C" fn(Data, c_int, c_int, c_int, *const c_void, libc::socklen_t) -> c_int,
    pub(crate) poll: unsafe extern "C" fn(Data, *mut libc::pollfd, libc::nfds_t, c_int) -> c_int,
    pub(crate) netdev_send: unsafe extern "C" fn(Data, *const c_void, usize) -> c_int,
    pub(crate) netdev_receive: unsafe extern "C" fn(Data, *mut c_void, *mut usize, *mut c_longlong) -> c_int,
    pub(crate) usleep: unsafe extern "C" fn(Data, libc::useconds_t) -> c_int,
    pub(crate) gettimeofday: unsafe extern "C" fn(Data, *mut libc::timeval, *mut c_void) -> c_int,
    pub(crate) epoll_create: unsafe extern "C" fn(Data, c_int) -> c_int,
    pub(crate) epoll_ctl: unsafe extern "C" fn(Data, c_int, c_int, c_int, *mut libc::epoll_event) -> c_int,
    pub(crate) epoll_wait: unsafe extern "C" fn(Data, c_int, *mut libc::epoll_event, c_int, c_int) -> c_int,
    pub(crate) pipe: unsafe extern "C" fn(Data, *mut c_int) -> c_int,
    pub(crate) splice:
        unsafe extern "C" fn(Data, c_int, *mut libc::loff_t, c_int, *mut libc::loff_t, usize, c_uint) -> isize,
}

/// The object, loaded. Its functions may be called from any thread.
#[derive(Clone, Copy)]
pub(crate) struct Object(pub Interface);

// SAFETY: packetdrill makes blocking calls on a thread of their own, so the object has to bear that.
unsafe impl Send for Object {}

impl Object {
    /// Loads it and makes a host with these `--so_flags`.
    pub(crate) fn load(path: &Path, flags: Option<&str>) -> Object {
        let name = CString::new(path.to_str().unwrap()).unwrap();
        let flags = flags.map(|flags| CString::new(flags).unwrap());
        let mut interface = std::mem::MaybeUninit::<Interface>::uninit();
        // SAFETY: the object's only function is of this type, and fills the struct.
        unsafe {
            let handle = libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE);
            assert!(!handle.is_null(), "{:?}", CStr::from_ptr(libc::dlerror()));
            let init = libc::dlsym(handle, c"packetdrill_interface_init".as_ptr());
            assert!(!init.is_null(), "{:?}", CStr::from_ptr(libc::dlerror()));
            let init: unsafe extern "C" fn(*const c_char, *mut Interface) = std::mem::transmute(init);
            init(flags.as_ref().map_or(std::ptr::null(), |flags| flags.as_ptr()), interface.as_mut_ptr());
            Object(interface.assume_init())
        }
    }

    /// What the object's clock says, in microseconds.
    pub(crate) fn time(&self) -> i64 {
        let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
        // SAFETY: the place to write to is there.
        let result = unsafe { (self.0.gettimeofday)(self.0.userdata, &raw mut time, std::ptr::null_mut()) };
        assert_eq!(result, 0);
        time.tv_sec * 1_000_000 + time.tv_usec
    }

    /// Lets time pass up to `until`.
    pub(crate) fn sleep_until(&self, until: i64) {
        let micros = until - self.time();
        if micros > 0 {
            // SAFETY: a number.
            unsafe { (self.0.usleep)(self.0.userdata, micros as libc::useconds_t) };
        }
    }

    /// Hands in an IP packet.
    pub(crate) fn send(&self, packet: &[u8]) {
        // SAFETY: the packet is as long as said.
        let result = unsafe { (self.0.netdev_send)(self.0.userdata, packet.as_ptr().cast(), packet.len()) };
        assert_eq!(result, 0, "the packet was refused");
    }

    /// The next IP packet to leave, and when.
    pub(crate) fn receive(&self) -> (i64, Vec<u8>) {
        let (mut buffer, mut at) = (vec![0; 65_536], 0);
        let mut len = buffer.len();
        // SAFETY: there is as much room as said.
        let result =
            unsafe { (self.0.netdev_receive)(self.0.userdata, buffer.as_mut_ptr().cast(), &raw mut len, &raw mut at) };
        assert_eq!(result, 0);
        buffer.truncate(len);
        (at, buffer)
    }

    /// Gives the host back.
    pub(crate) fn free(self) {
        // SAFETY: nobody calls it after this.
        unsafe { (self.0.free)(self.0.userdata) };
    }
}

/// Builds the object with the profile that this test was built with, and says where it is. What is built already is
/// only looked at.
pub(crate) fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/PROFILE/deps/TEST
    let profile_folder = test.parent().and_then(Path::parent).expect("tests run from cargo's target folder");
    let profile = match profile_folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "test",
        Some(other) => other,
    };
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", profile, "--example", "packetdrill", "--target-dir"])
        .arg(profile_folder.parent().expect("a profile's folder is in the target folder"))
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let object = profile_folder.join("examples/libpacketdrill.so");
    assert!(object.exists(), "cargo did not build {}", object.display());
    object
}

/// How long a conversation may take by the machine's clock.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
