//! What is seen of the frames a client sends before the machine reads them: their heads (RFC 9113 §4.1).
//!
//! Some frames cost work and bring nothing: resets, pings, settings, priorities, windows that open by an octet, frames
//! of unknown types, and data that is none. Each takes a token from a bucket; a client that finds it empty is told to
//! calm down (RFC 9113 §10.5). Windows may open as often as they must for what is sent. CONTINUATION frames without
//! end, small pieces of data and streams that end before they are looked at are counted by the machine.
//!
//! Frames whose length is their kind's are held to it here, with the error that RFC 9113 has for it.
//!
//! A head of a request that does not come to its end holds the whole connection, so since when is known as well.

use crate::base::bucket::Bucket;
use crate::base::time::Instant;
use h2::Reason;

/// What a client of prior knowledge, or of ALPN, says first (RFC 9113 §3.4).
pub(in crate::application::http) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The head of a frame.
const HEAD: usize = 9;
/// Tokens at once: a page that is left resets a hundred streams; a client may ask for settings and pings meanwhile.
const BURST: u32 = 1_000;
/// Tokens a second.
const RATE: u32 = 100;
/// Octets sent that are worth one WINDOW_UPDATE.
const UPDATE: usize = 512;
/// What was sent counts for later up to so many octets.
const CREDIT: usize = 16 << 20;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The frames of one connection.
#[derive(Debug)]
pub(super) struct Watch {
    /// Octets left of the preface or of a frame's payload.
    left: usize,
    /// What has come of a frame's head.
    head: [u8; HEAD],
    filled: usize,
    bucket: Bucket,
    /// Octets sent that no WINDOW_UPDATE was counted against.
    credit: usize,
    /// Since when the fields of a request are coming.
    block: Option<Instant>,
    /// The frame at hand is the last of them.
    ends_block: bool,
}

impl Default for Watch {
    fn default() -> Self {
        Watch {
            left: PREFACE.len(),
            head: [0; HEAD],
            filled: 0,
            bucket: Bucket::new(RATE, BURST),
            credit: 0,
            block: None,
            ends_block: false,
        }
    }
}

impl Watch {
    /// Since when the fields of a request have been coming, if they are.
    pub(super) fn block(&self) -> Option<Instant> {
        self.block
    }

    /// So much was sent.
    pub(super) fn on_written(&mut self, octets: usize) {
        self.credit = self.credit.saturating_add(octets).min(CREDIT);
    }

    /// Looks at what came.
    ///
    /// # Errors
    /// What the connection ends with.
    pub(super) fn on_octets(&mut self, mut octets: &[u8], now: Instant) -> Result<(), Reason> {
        loop {
            let passed = self.left.min(octets.len());
            self.left -= passed;
            octets = octets.get(passed..).unwrap_or_default();
            if self.left == 0 && std::mem::take(&mut self.ends_block) {
                self.block = None;
            }
            let Some((octet, rest)) = octets.split_first() else { return Ok(()) };
            if let Some(place) = self.head.get_mut(self.filled) {
                *place = *octet;
            }
            (octets, self.filled) = (rest, self.filled + 1);
            if self.filled == HEAD {
                self.filled = 0;
                self.on_head(now)?;
            }
        }
    }

    fn on_head(&mut self, now: Instant) -> Result<(), Reason> {
        let [a, b, c, kind, flags, ..] = self.head;
        self.left = u32::from_be_bytes([0, a, b, c]) as usize;
        // RFC 9113 §6.3, §6.4, §6.5, §6.7, §6.9.
        let is_of_its_length = match kind {
            PRIORITY => self.left == 5,
            RST_STREAM | WINDOW_UPDATE => self.left == 4,
            SETTINGS if flags & ACK != 0 => self.left == 0,
            SETTINGS => self.left.is_multiple_of(6),
            PING => self.left == 8,
            _ => true,
        };
        match kind {
            _ if !is_of_its_length => Err(Reason::FRAME_SIZE_ERROR),
            HEADERS | CONTINUATION => {
                self.block.get_or_insert(now);
                self.ends_block = flags & END_HEADERS != 0;
                Ok(())
            }
            DATA if self.left > 0 || flags & END_STREAM != 0 => Ok(()),
            WINDOW_UPDATE if self.credit >= UPDATE => {
                self.credit -= UPDATE;
                Ok(())
            }
            _ => self.bucket.take(now).then_some(()).ok_or(Reason::ENHANCE_YOUR_CALM),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize, kind: u8, flags: u8) -> Vec<u8> {
        let mut frame = vec![0, (length >> 8) as u8, length as u8, kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD + length, 0xff);
        frame
    }

    fn watch() -> Watch {
        let mut watch = Watch::default();
        watch.on_octets(PREFACE, Instant::ZERO).unwrap();
        watch
    }

    /// How many of a frame pass at once.
    fn passed(watch: &mut Watch, frame: &[u8]) -> usize {
        (0..5_000).take_while(|_| watch.on_octets(frame, Instant::from_secs(1)).is_ok()).count()
    }

    #[test]
    fn frames_that_only_cost_are_counted_and_others_are_not() {
        for (kind, length, flags) in [(2, 5, 0), (3, 4, 0), (4, 0, 0), (6, 8, 0), (8, 4, 0), (0xbe, 0, 0), (DATA, 0, 0)]
        {
            assert_eq!(passed(&mut watch(), &frame(length, kind, flags)), BURST as usize, "{kind}");
        }
        assert_eq!(watch().on_octets(&frame(7, PING, 0), Instant::ZERO), Err(Reason::FRAME_SIZE_ERROR));
        for (kind, length, flags) in [(DATA, 1, 0), (DATA, 0, END_STREAM), (HEADERS, 3, END_HEADERS)] {
            assert_eq!(passed(&mut watch(), &frame(length, kind, flags)), 5_000, "{kind}");
        }
    }

    #[test]
    fn windows_may_open_for_what_is_sent() {
        let mut watch = watch();
        watch.on_written(3_000 * UPDATE);
        assert_eq!(passed(&mut watch, &frame(4, WINDOW_UPDATE, 0)), 3_000 + BURST as usize);
    }

    #[test]
    fn a_head_is_coming_from_its_first_frame_to_the_last_octet_of_its_last() {
        let mut watch = watch();
        let (begun, later) = (Instant::from_secs(1), Instant::from_secs(2));
        let frames = [frame(3, HEADERS, 0), frame(2, CONTINUATION, END_HEADERS)].concat();
        let (last, before) = frames.split_last().unwrap();
        for octet in before {
            watch.on_octets(&[*octet], if watch.block.is_some() { later } else { begun }).unwrap();
        }
        assert_eq!(watch.block(), Some(begun));
        watch.on_octets(&[*last], later).unwrap();
        assert_eq!(watch.block(), None);
    }
}
