//! The stack as a shared object for packetdrill (`--so_filename=libpacketdrill.so`), in virtual time.
//!
//! ```text
//!   packetdrill ── socket calls ──► boundary ──► calls ──► files (stream, datagram, poller, pipe)
//!        │                                         │                │
//!        ├─ netdev_send: IP packet ────────────► turns              ▼
//!        ├─ netdev_receive ◄── IP packets ── world: Stack, the time, what has left
//!        └─ usleep, gettimeofday ──────────────────┘
//! ```
//!
//! The one function exported is [`packetdrill_interface_init`]. What can be asked for with `--so_flags` stands in
//! `flags`, how time passes in `turns`, how to run it in `docs/conformance.md`.
//!
//! Not here: IPv6, raw sockets, ancillary data, and whatever is Linux's own (`docs/conformance.md` has the list).

#![expect(unsafe_code, reason = "a C interface")]
#![expect(clippy::print_stderr, reason = "what went wrong is for the person at the terminal")]

mod boundary;
mod calls;
mod datagram;
mod errno;
mod files;
mod flags;
mod interface;
mod options;
mod pipe;
mod poller;
mod segment_info;
mod settings;
mod stream;
mod turns;
mod world;

use flags::Flags;
use interface::Interface;
use std::ffi::{CStr, c_char};
use turns::Object;
use world::World;

/// Fills `out` with the functions of a fresh host.
///
/// # Safety
/// `flags` is null or a C string, `out` points to room for the interface.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, out: *mut Interface) {
    let text = if flags.is_null() {
        String::new()
    } else {
        // SAFETY: the caller gives a C string if it is not null.
        unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned()
    };
    let flags = text.parse::<Flags>().unwrap_or_else(|mistake| stop(&format!("--so_flags: {mistake}")));
    let object = Box::new(Object::new(World::new(flags)));
    // SAFETY: `out` has room for one `Interface` and need not hold one yet.
    unsafe { out.write(boundary::interface(object)) };
}

/// Says what is wrong and ends the process: whoever calls has no way to be told, and would wait for ever.
fn stop(message: &str) -> ! {
    eprintln!("libpacketdrill.so: {message}");
    std::process::exit(1)
}
