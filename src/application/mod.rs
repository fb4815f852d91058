//! Floor 7, the application: what the host is for.
//!
//! OSI meant the services that people and programs ask for by name. In this house: HTTP ([`http`]), mail that comes in by
//! SMTP ([`smtp`]), lies in Maildirs ([`mailbox`]) and is fetched by POP3 ([`pop3`]), the small services ([`small`]), and
//! the loop that accepts connections for all of them ([`server`]), encrypted ones too ([`secure`]). In come streams and
//! datagrams of floor 5, out go answers. A protocol is straight-line
//! async code over any stream: it never knows a segment or a frame, and the same code runs over the stack's
//! sockets, in a simulation, and over a pipe in a unit test.
//!
//! Files that are sent are read with the blocking calls of `std::fs`, in pieces of bounded size between
//! which other tasks run: regular files have no readiness to wait for, and a piece comes from the page
//! cache or costs one disk access. Mail is written, and looked through, on threads for work that blocks.

pub mod dialogue;
pub mod http;
pub mod mailbox;
pub mod pop3;
pub mod sasl;
pub mod secure;
pub mod server;
pub mod small;
pub mod smtp;
mod sockets;
#[cfg(test)]
pub(crate) mod testing;
