//! Floor 5, the session: the socket, which is where a process meets the network, and who is speaking.
//!
//! OSI meant opening, keeping and closing a dialogue between two parties. In this house a dialogue is a
//! socket (an address and a port) in a task: [`tcp::TcpListener`], [`tcp::TcpStream`] and
//! [`udp::UdpSocket`] over one [`net::Net`], with the ecosystem's async traits; what protocols are written against is
//! [`connection::Connection`]; [`host::Host`] is the stack
//! with its tasks. Who is speaking is here too, because a login opens a session: the [`accounts`] of
//! people, the proof that someone is who they say, off the event loop ([`verifier`]), and what failed
//! attempts cost ([`throttle`]). Work that blocks is done elsewhere ([`errands`]). In come bytes of tasks, out go calls on the stack; this floor never looks
//! at a header, and never knows what the bytes mean or which words a protocol puts a password in.

pub mod account_book;
pub mod accounts;
pub mod clock;
pub mod connection;
pub mod database;
pub mod entrance;
pub mod errands;
pub mod host;
pub(crate) mod io_traits;
pub mod login;
pub mod net;
pub mod rights;
pub mod sasl;
mod sleepers;
pub(crate) mod tasks;
pub mod tcp;
pub mod throttle;
pub mod time;
pub mod udp;
pub mod verifier;
mod wakers;
