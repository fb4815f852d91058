//! What is out, counted in segments: for people and for `tcp_info`. It looks at every record, and is not for the
//! path of data.

use super::{Fate, Flight};

/// Segments by what became of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in super::super) struct Census {
    /// All of them.
    pub(in super::super) unacked: u32,
    /// At the receiver beyond a gap.
    pub(in super::super) sacked: u32,
    /// Lost and not yet sent again.
    pub(in super::super) lost: u32,
    /// Sent again and on the way.
    pub(in super::super) resent: u32,
}

impl Flight {
    /// Counts them as segments of `mss` octets.
    pub(in super::super) fn census(&self, mss: u32) -> Census {
        let mut census = Census::default();
        for record in &self.records {
            let segments = record.range.len().div_ceil(mss.max(1));
            census.unacked += segments;
            match record.fate {
                Fate::Out => {}
                Fate::Sacked => census.sacked += segments,
                Fate::Lost => census.lost += segments,
                Fate::Resent | Fate::Doubled => census.resent += segments,
            }
        }
        census
    }
}
