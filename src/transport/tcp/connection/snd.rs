//! The send sequence variables (RFC 9293 §3.3.1) and what bounds the size of a segment (§3.7.1).

use crate::base::seq::Seq;

/// SND.*: what we sent and may send.
#[derive(Clone, Debug)]
pub(super) struct Snd {
    /// Initial send sequence number.
    pub(super) iss: Seq,
    /// Oldest unacknowledged sequence number.
    pub(super) una: Seq,
    /// Next sequence number to be sent.
    pub(super) nxt: Seq,
    /// Send window in octets, from `una` on.
    pub(super) wnd: u32,
    /// The sequence number of the segment that last updated the window.
    pub(super) wl1: Seq,
    /// Its acknowledgment number.
    pub(super) wl2: Seq,
    /// The largest window the peer ever announced (MAX.SND.WND, RFC 5961 §5.2; RFC 9293 §3.8.6.2.1).
    pub(super) max_wnd: u32,
    /// SendMSS: what the peer said it takes.
    pub(super) peer_mss: u16,
    /// What fits the path, both headers subtracted, options not.
    pub(super) path_mss: u16,
    /// The end of the last segment smaller than the MSS: Nagle waits for its acknowledgment. Never before `una`.
    pub(super) small_end: Seq,
    /// The application closed: a FIN follows the last octet.
    pub(super) closing: bool,
    /// Our SYN had to be sent again.
    pub(super) syn_was_lost: bool,
    /// Nobody forwards what we send, and so nobody has to cut it for a link that takes less at once than ours.
    pub(super) is_direct: bool,
}

impl Snd {
    pub(super) fn new(iss: Seq, peer_mss: u16, path_mss: u16) -> Self {
        Snd {
            iss,
            una: iss,
            nxt: iss + 1,
            wnd: 0,
            wl1: Seq::default(),
            wl2: Seq::default(),
            max_wnd: 0,
            peer_mss,
            path_mss,
            small_end: iss,
            closing: false,
            syn_was_lost: false,
            is_direct: false,
        }
    }

    /// The payload of a full segment that carries `options` octets of options (RFC 9293 MUST-16).
    pub(super) fn effective_mss(&self, options: usize) -> u32 {
        u32::from(self.peer_mss.min(self.path_mss)).saturating_sub(options as u32).max(1)
    }

    /// The right edge of the send window.
    pub(super) fn edge(&self) -> Seq {
        self.una + self.wnd
    }

    /// The sequence number of a segment without data: SND.NXT, unless that is beyond the window, as it is while a
    /// probe of a closed window is out or after the window shrank. The peer takes nothing from there, not even the
    /// acknowledgment (RFC 9293 §3.10.7.4 first).
    pub(super) fn bare_seq(&self) -> Seq {
        if self.nxt.after(self.edge()) { self.edge() } else { self.nxt }
    }

    /// The usable window: what may still be sent before the edge.
    pub(super) fn usable(&self) -> u32 {
        self.edge().past(self.nxt)
    }

    /// Sequence numbers sent and not acknowledged.
    pub(super) fn outstanding(&self) -> u32 {
        self.nxt - self.una
    }

    /// Takes the window of an acceptable ACK, unless the segment is older than the last that brought one
    /// (RFC 9293 §3.10.7.4, fifth step).
    pub(super) fn update_window(&mut self, seq: Seq, ack: Seq, window: u32) {
        if self.wl1.before(seq) || (self.wl1 == seq && self.wl2.at_or_before(ack)) {
            self.set_window(seq, ack, window);
        }
    }

    /// Takes the window whatever was before.
    pub(super) fn set_window(&mut self, seq: Seq, ack: Seq, window: u32) {
        self.wnd = window;
        self.max_wnd = self.max_wnd.max(window);
        self.wl1 = seq;
        self.wl2 = ack;
    }
}
