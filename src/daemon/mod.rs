//! The daemon: the only clock and the only file descriptors.
//!
//! It reads the configuration, opens the devices, builds the stack and the services on it, and then turns a
//! loop: wait, carry frames, run tasks, send. With several queues there is a loop with a stack for each, on a thread
//! of its own. Everything below it is handed the time and the frames.

pub mod assemble;
pub mod board;
pub mod bridge;
pub mod clock;
pub mod config;
pub mod control;
pub mod crew;
pub mod desk;
pub mod event_loop;
pub mod failure;
pub mod guest;
pub mod local_authority;
pub mod log_file;
pub mod mail;
mod memory;
pub mod people;
pub mod port;
pub mod services;
pub mod show;
pub mod signals;
mod sleep;
pub mod tls;
pub mod units;
mod watch;
