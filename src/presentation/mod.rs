//! Floor 6, the presentation: how what is meant becomes octets, and back.
//!
//! OSI meant syntax: character sets, number formats, compression, encryption. In this house: TLS ([`tls`]), text lines
//! and their bounds ([`lines`]), the canonical form of mail and its end mark both ways ([`dot_stuffing`],
//! [`dot_unstuffing`]), a body in chunks ([`chunked`]), content packed on its way ([`encoding`]), and text made safe for a
//! page ([`html`]). In come octets of a stream or a file, out go plaintext and ciphertext, lines, canonical octets and
//! their exact number. It never knows who is talking, what a command means, or what state a
//! conversation is in.

pub mod chunked;
pub mod dot_stuffing;
pub mod dot_unstuffing;
pub mod encoding;
pub mod html;
pub mod lines;
pub mod tls;
