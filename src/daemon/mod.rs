//! The daemon: the only clock and the only file descriptors.
//!
//! It reads the configuration, opens the devices, builds the stack and the services on it, and then turns one
//! loop: wait, carry frames, run tasks, send. Everything below it is handed the time and the frames.

pub mod assemble;
pub mod bridge;
pub mod clock;
pub mod config;
pub mod control;
pub mod event_loop;
pub mod failure;
pub mod guest;
mod memory;
pub mod port;
pub mod services;
pub mod signals;
pub mod units;
mod watch;
