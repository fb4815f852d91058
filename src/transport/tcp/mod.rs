//! TCP (RFC 9293): reliable streams of bytes over datagrams that get lost.
//!
//! [`segment`] and [`options`] are the wire, [`state`] the states, [`config`] what may be chosen.

pub mod config;
pub mod mss;
pub mod options;
pub mod segment;
pub mod state;
