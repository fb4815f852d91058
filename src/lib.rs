//! A userspace TCP/IP host: raw Ethernet frames go in at the bottom, applications stand on top.
//!
//! The tree is the OSI model; a file knows only its own floor and the floors below it. Start with
//! `docs/architecture.md`, which walks one SYN from the TAP to the accepting task and back. A program
//! that embeds the stack needs [`stack::Stack`] (the deterministic machine), [`session`] (async
//! sockets) and a source of frames ([`physical`], or its own).

pub mod application;
pub mod base;
pub mod cli;
pub mod daemon;
pub mod datalink;
pub mod network;
pub mod physical;
pub mod presentation;
pub mod session;
pub mod stack;
pub mod transport;
