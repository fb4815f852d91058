//! TLS over a pipe, with rustls's client at the other end and a clock that is turned by hand.

mod agreeing;
mod ending;
pub(crate) mod fixtures;
mod issuing;
mod passing;
mod upgrading;
