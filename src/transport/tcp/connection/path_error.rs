//! What ICMP errors mean for a connection: RFC 9293 §3.9.2.2, RFC 5927, RFC 5461, RFC 1191.
//!
//! DEVIATION(RFC 9293 SHLD-26): "protocol unreachable" and "port unreachable" abort a connection only while it is
//! being opened. Later they count as soft errors (RFC 5927 §5.2), since a stranger can forge them and the
//! peer, if it is really gone, says so with a reset.

use super::Connection;
use super::interface::Error;
use crate::base::drops::{DropReason, Outcome};
use crate::base::seq::Seq;
use crate::network::packet::{PathError, PathErrorKind};
use crate::transport::Context;
use crate::transport::tcp::state::State;

impl Connection {
    /// An ICMP error about a segment of this connection arrived.
    pub fn handle_path_error(&mut self, error: &PathError, cx: &mut Context) -> Outcome {
        if !self.is_in_flight(error) {
            return Outcome::Dropped(DropReason::IcmpNotInFlight);
        }
        match error.kind {
            PathErrorKind::PacketTooBig { mtu } => self.lower_mss(mtu),
            PathErrorKind::ProtocolUnreachable | PathErrorKind::PortUnreachable if !self.state.is_synchronized() => {
                self.fail(Error::Refused, cx);
            }
            // RFC 9293 MUST-56: these must not abort; SHLD-25: the user may learn of them.
            soft => self.liveness.soft_error = Some(soft),
        }
        self.arm_timers(cx.now);
        Outcome::Consumed
    }

    /// RFC 5927 §4.1: the quoted sequence number is of something sent and not acknowledged.
    fn is_in_flight(&self, error: &PathError) -> bool {
        let Some([_, _, _, _, a, b, c, d]) = error.quote.first_chunk::<8>() else { return false };
        let seq = Seq(u32::from_be_bytes([*a, *b, *c, *d]));
        self.state != State::Closed && seq.in_window(self.snd.una, self.snd.outstanding())
    }

    /// The path takes less than we thought: what is out did not arrive, goes again in smaller segments, and
    /// congestion is not to blame (RFC 1191 §6.4, RFC 9293 §3.7.2).
    fn lower_mss(&mut self, mtu: u16) {
        let mss = self.config.mss_for(self.remote().ip(), mtu);
        if let Some(search) = self.extras.as_mut().and_then(|extras| extras.path_search.as_mut()) {
            search.lower_ceiling(mss);
        }
        if mss >= self.snd.path_mss {
            return;
        }
        self.snd.path_mss = mss;
        if self.state.is_synchronized() {
            let mss = self.mss();
            self.congestion.on_mss(mss);
            self.flight.mark_in_network_lost();
        }
    }

    /// Asks again how large a packet the path takes; it may have grown or shrunk since.
    pub(super) fn refresh_path_mss(&mut self, cx: &Context) {
        let link_mss = self.link_mss(cx);
        let mss = self.searched_path_mss(link_mss);
        if mss != self.snd.path_mss {
            self.use_path_mss(mss);
        }
    }

    /// What the interface and ICMP leave room for.
    pub(super) fn link_mss(&self, cx: &Context) -> u16 {
        self.config.mss_for(self.remote().ip(), cx.paths.mtu_to(self.remote().ip()))
    }
}
