//! TCP (RFC 9293): reliable streams of bytes over datagrams that get lost.
//!
//! [`segment`] and [`options`] are the wire, [`state`] the states, [`config`] what may be chosen,
//! [`connection`] one connection and [`info`] what is told of it.

pub mod config;
pub mod connection;
pub mod info;
pub mod mss;
pub mod options;
pub mod segment;
pub mod state;
