//! TLS over any [`Connection`](crate::session::connection::Connection) (RFC 8446, RFC 5246).
//!
//! ```text
//!   ServerTls ── one for all threads: certificates, profile, tickets
//!      │ acceptor(protocols, clock), one for each service and thread
//!      ▼
//!   Acceptor ──► TlsStream ──► plaintext, as from any other connection
//!                    ▲
//!                    └── the stream below: ciphertext, Bytes in and out
//! ```
//!
//! The cryptography and the protocol are rustls's with aws-lc; what is here is the glue: who asks the stream below when
//! ([`session`]), which certificate is for whom ([`certificates`]), what is offered ([`settings`]), who
//! signs where nobody else has ([`authority`]), and how a conversation begins in the clear and goes on encrypted
//! ([`stream`], RFC 2595, RFC 3207).
//!
//! Time is the clock's that is handed in. Randomness is aws-lc's own, from the operating system: a run with TLS in it is
//! not octet for octet the same as the last.
//!
//! Not here: clients, 0-RTT (what is sent so could be sent again by somebody else), renegotiation, TLS 1.1 and before.

pub mod authority;
pub mod certificates;
pub mod description;
pub mod key_log;
mod session;
pub mod settings;
pub mod stream;
mod time_limit;

pub use settings::{Acceptor, ServerTls};
pub use stream::{Agreement, TlsStream};

#[cfg(test)]
pub(crate) mod tests;
