//! The secrets of sessions, for whoever is to look into a capture: lines in the format of NSS
//! (`LABEL client-random secret`), which Wireshark reads.
//!
//! Whoever has them can read everything that was said. They are told only where the configuration asks for it.

use rustls::KeyLog;
use std::fmt;

/// Told each secret, a line with its end.
pub type Told = dyn Fn(&str) + Send + Sync;

/// Hands secrets on as lines.
pub struct Lines(Box<Told>);

impl Lines {
    /// Hands each line to `told`.
    pub fn new(told: Box<Told>) -> Self {
        Lines(told)
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

impl KeyLog for Lines {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        (self.0)(&format!("{label} {} {}\n", hex(client_random), hex(secret)));
    }
}
