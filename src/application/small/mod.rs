//! The small services: echo (RFC 862), discard (RFC 863), chargen (RFC 864) and daytime (RFC 867), each over
//! TCP ([`stream`]) and UDP ([`datagram`]).
//!
//! They are old and nearly useless, and the best things to try a stack with: a source, a sink and a
//! mirror. Over UDP they were also abused, so a datagram service answers nobody who could be another
//! such service, and what is longer than its question is limited in rate.

pub mod datagram;
pub mod stream;

pub use datagram::{Datagrams, serve_datagrams};
pub use stream::converse;

use crate::application::server::{self, Accept, Bounds, Connection, Shutdown};
use crate::base::time::Duration;
use crate::session::clock::Clock;
use bytes::Bytes;
use std::fmt;
use std::rc::Rc;

/// The printing characters of ASCII, the space among them (RFC 864).
const PRINTING: u8 = 95;
/// The characters of a chargen line, its end not included (RFC 864).
const LINE: usize = 72;

/// One of the services.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Small {
    /// Sends back what it receives.
    Echo,
    /// Throws away what it receives.
    Discard,
    /// Sends characters.
    Chargen,
    /// Sends the time.
    Daytime,
}

impl Small {
    /// All of them.
    pub const ALL: [Small; 4] = [Small::Echo, Small::Discard, Small::Chargen, Small::Daytime];

    /// The port that IANA gave it.
    pub fn port(self) -> u16 {
        match self {
            Small::Echo => 7,
            Small::Discard => 9,
            Small::Daytime => 13,
            Small::Chargen => 19,
        }
    }
}

impl fmt::Display for Small {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Small::Echo => "echo",
            Small::Discard => "discard",
            Small::Chargen => "chargen",
            Small::Daytime => "daytime",
        })
    }
}

/// Serves connections until `shutdown` is asked for.
pub async fn serve<L>(service: Small, listener: L, clock: Rc<dyn Clock>, bounds: Bounds, shutdown: Shutdown)
where
    L: Accept,
    L::Stream: Connection,
{
    let converse = |stream| converse(service, stream, &*clock);
    server::serve(&service.to_string(), listener, &*clock, bounds, &shutdown, converse).await;
}

/// The chargen pattern once around: 95 lines of 72 characters, each beginning one character later.
fn pattern() -> Bytes {
    let mut octets = Vec::with_capacity(usize::from(PRINTING) * (LINE + 2));
    for first in 0..PRINTING {
        octets.extend((0..LINE as u8).map(|at| b' ' + (first + at) % PRINTING));
        octets.extend_from_slice(b"\r\n");
    }
    octets.into()
}

/// The daytime answer: one line (RFC 867 leaves its form open; this is an HTTP-date).
fn daytime(clock: &dyn Clock) -> Bytes {
    // The last second that this form can say is that of the year 9999.
    let now = clock.unix_time().min(Duration::from_secs(253_402_300_799));
    format!("{}\r\n", httpdate::fmt_http_date(std::time::UNIX_EPOCH + now)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_that_of_rfc_864() {
        let text = String::from_utf8(pattern().to_vec()).unwrap();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 95);
        assert_eq!(lines[0], " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg");
        assert_eq!(lines[1], "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefgh");
        assert_eq!(lines[94], "~ !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdef");
        assert!(lines.iter().all(|line| line.len() == 72));
    }
}
