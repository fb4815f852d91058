//! TCP (RFC 9293): reliable streams of bytes over datagrams that get lost.
//!
//! [`segment`] and [`options`] are the wire, [`state`] the states, [`config`] what may be chosen,
//! [`connection`] one connection and [`info`] what is told of it. [`table`] holds all of them and is what the
//! stack calls; smaller records stand for connections that are half open (`embryo`) or closed (`time_wait`).
//!
//! | question | file |
//! |---|---|
//! | where is a SYN to a closed port answered? | [`table`] finds no listener, [`reset`] builds the answer |
//! | what bounds memory under a SYN flood? | `listener` counts half-open connections, [`cookie`] takes over |
//! | where does an initial sequence number come from? | [`isn`] |
//! | what did earlier connections learn of a host? | `metrics` |
//! | what bounds what strangers make us send? | `replies` |

mod authentication;
pub mod config;
pub mod connection;
pub mod cookie;
mod embryo;
pub mod ends;
mod fast_open;
mod flood;
pub mod info;
pub mod isn;
mod key_ring;
mod listener;
mod metrics;
pub mod mss;
pub mod options;
mod replies;
pub mod reset;
pub mod segment;
pub mod state;
pub mod table;
mod time_wait;
pub mod trace;

pub use table::Tcp;
