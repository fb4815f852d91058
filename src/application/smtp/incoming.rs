//! A message as it comes in: its lines are put right, its header is looked at, and it goes to the disk in pieces.
//!
//! Most mail is small: it is kept until its end and written in one errand, so that nothing is on the disk of what does
//! not come to its end.

use super::reply::{self, Reply};
use crate::application::mailbox::delivery::Draft;
use crate::presentation::dot_unstuffing::{Fault, Unstuffer};
use crate::session::errands::Errands;

/// Octets that are kept before they are written.
const SPILL: usize = 128 << 10;
/// Hosts that a message may have passed (RFC 5321 §6.3: at least 100).
const HOPS: u32 = 100;

/// A message under way.
#[derive(Debug)]
pub(super) struct Incoming {
    lines: Unstuffer,
    header: Header,
    kept: Vec<u8>,
    draft: Option<Draft>,
    octets: u64,
    limit: u64,
    /// Why it will not be taken.
    refused: Option<Reply>,
}

impl Incoming {
    /// A message of up to `limit` octets that begins with our own `trace`, read by `lines`.
    pub(super) fn new(lines: Unstuffer, draft: Draft, trace: String, limit: u64) -> Self {
        let kept = trace.into_bytes();
        Incoming { lines, header: Header::default(), kept, draft: Some(draft), octets: 0, limit, refused: None }
    }

    /// Takes the next octets. Gives how many of them belonged to the message, if its end was among them.
    ///
    /// # Errors
    /// Where it ends can't be known: nothing that follows can be believed to be a command.
    pub(super) fn take(&mut self, octets: &[u8]) -> Result<Option<usize>, Reply> {
        self.octets += octets.len() as u64;
        let before = self.kept.len();
        let end = self.lines.unstuff(octets, &mut self.kept).map_err(refusal)?;
        self.header.pass(self.kept.get(before..).unwrap_or_default());
        if self.header.hops > HOPS {
            self.refuse(reply::LOOP);
        } else if self.octets > self.limit {
            self.refuse(reply::TOO_LARGE);
        }
        if self.refused.is_some() {
            self.kept.clear();
            // Nobody reads so much only to refuse it.
            if self.octets > self.limit.saturating_mul(4) {
                return Err(reply::TOO_LARGE);
            }
        }
        Ok(end)
    }

    fn refuse(&mut self, reply: Reply) {
        self.refused.get_or_insert(reply);
        self.draft = None;
    }

    /// Writes what is kept if that is much.
    pub(super) async fn spill(&mut self, errands: &Errands) {
        if self.kept.len() < SPILL {
            return;
        }
        let Some(mut draft) = self.draft.take() else { return };
        let piece = std::mem::take(&mut self.kept);
        let write = move || {
            draft.append(&piece);
            draft
        };
        match errands.send(write).await {
            Ok(draft) => self.draft = Some(draft),
            Err(_) => self.refuse(reply::BUSY),
        }
    }

    /// The end of a message whose end is known.
    pub(super) fn finish(&mut self) {
        if let Err(fault) = self.lines.finish(&mut self.kept) {
            self.refuse(refusal(fault));
        }
    }

    /// The whole message: what is written of it, and what is not yet; or why it is not taken.
    pub(super) fn into_draft(self) -> Result<(Draft, Vec<u8>), Reply> {
        match (self.refused, self.draft) {
            (Some(reply), _) => Err(reply),
            (None, Some(draft)) => Ok((draft, self.kept)),
            (None, None) => Err(reply::BUSY),
        }
    }
}

fn refusal(fault: Fault) -> Reply {
    match fault {
        Fault::Bare => reply::BARE_IN_MESSAGE,
        Fault::LongLine => reply::LONG_LINE_IN_MESSAGE,
    }
}

/// What the header says that concerns us: how many hosts the message has passed, which is the number of its `Received`
/// fields (RFC 5321 §6.3).
#[derive(Debug)]
struct Header {
    is_over: bool,
    /// Octets of the line so far.
    column: usize,
    /// The line so far is the name we look for.
    matches: bool,
    hops: u32,
}

impl Default for Header {
    fn default() -> Self {
        Header { is_over: false, column: 0, matches: true, hops: 0 }
    }
}

impl Header {
    const NAME: &[u8] = b"received:";

    fn pass(&mut self, piece: &[u8]) {
        for octet in piece {
            if self.is_over {
                return;
            }
            if *octet == b'\n' {
                self.is_over = self.column == 0;
                (self.column, self.matches) = (0, true);
                continue;
            }
            if self.matches && self.column < Header::NAME.len() {
                self.matches = Header::NAME.get(self.column) == Some(&octet.to_ascii_lowercase());
                self.hops += u32::from(self.matches && self.column + 1 == Header::NAME.len());
            }
            self.column += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_fields_are_counted_in_the_header_alone() {
        let text = "Received: a\nRECEIVED:b\n received: folded\nXReceived: c\nReceive: d\n\nReceived: body\n";
        for cut in 0..text.len() {
            let mut header = Header::default();
            header.pass(&text.as_bytes()[..cut]);
            header.pass(&text.as_bytes()[cut..]);
            assert_eq!(header.hops, 2, "{cut}");
        }
    }
}
