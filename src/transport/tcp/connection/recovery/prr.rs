//! Proportional rate reduction: how much goes out during fast recovery (RFC 9937 §6). While more is out than is to
//! be, each octet that arrives lets ssthresh / RecoverFS of an octet go; below that as much as arrived, and a
//! segment more while recovery goes well (safeACK).

/// What PRR is told of an ACK.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Progress {
    /// DeliveredData.
    pub(in super::super) delivered: u32,
    /// inflight, after the ACK.
    pub(in super::super) in_flight: u32,
    /// Where congestion control wants to be at the end.
    pub(in super::super) ssthresh: u32,
    /// SMSS.
    pub(in super::super) mss: u32,
    /// safeACK: SND.UNA advanced and nothing more was found lost.
    pub(in super::super) is_safe: bool,
}

/// The variables of RFC 9937 §6.
#[derive(Clone, Debug, Default)]
pub(super) struct Prr {
    /// RecoverFS.
    recover_fs: u32,
    /// prr_delivered.
    delivered: u32,
    /// prr_out.
    out: u32,
    /// cwnd: inflight and sndcnt at the last ACK. What is found lost without one makes room as well.
    cwnd: u32,
}

impl Prr {
    /// Recovery begins with `recover_fs` octets that the receiver did not have before.
    pub(super) fn new(recover_fs: u32) -> Self {
        Prr { recover_fs: recover_fs.max(1), ..Prr::default() }
    }

    /// An ACK that starts recovery or arrives during it.
    pub(super) fn on_ack(&mut self, ack: &Progress) {
        if ack.delivered > 0 {
            self.delivered = self.delivered.saturating_add(ack.delivered);
            let sndcnt = if ack.in_flight > ack.ssthresh {
                let share = u64::from(self.delivered) * u64::from(ack.ssthresh);
                let share = share.div_ceil(u64::from(self.recover_fs));
                u32::try_from(share).unwrap_or(u32::MAX).saturating_sub(self.out)
            } else {
                let conserved = self.delivered.saturating_sub(self.out).max(ack.delivered);
                let allowed = if ack.is_safe { conserved.saturating_add(ack.mss) } else { conserved };
                allowed.min(ack.ssthresh - ack.in_flight)
            };
            self.cwnd = ack.in_flight.saturating_add(sndcnt);
        }
        if self.out == 0 {
            // The fast retransmit waits for nothing.
            self.cwnd = self.cwnd.max(ack.in_flight.saturating_add(ack.mss));
        }
    }

    /// Something was sent, for the first time or again.
    pub(super) fn on_sent(&mut self, octets: u32) {
        self.out = self.out.saturating_add(octets);
    }

    /// cwnd.
    pub(super) fn cwnd(&self) -> u32 {
        self.cwnd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    fn ack(delivered: u32, in_flight: u32, is_safe: bool) -> Progress {
        Progress { delivered, in_flight, ssthresh: 10 * MSS, mss: MSS, is_safe }
    }

    /// Recovery from 20 segments; whatever may be sent is sent.
    fn send(prr: &mut Prr, ack: &Progress) -> u32 {
        prr.on_ack(ack);
        let sent = prr.cwnd() - ack.in_flight.min(prr.cwnd());
        prr.on_sent(sent);
        sent
    }

    #[test]
    fn the_first_ack_of_a_recovery_lets_a_segment_go_whatever_it_delivered() {
        // RFC 9937 §6: "Force a fast retransmit upon entering recovery".
        let mut prr = Prr::new(20 * MSS);
        assert_eq!(send(&mut prr, &ack(0, 19 * MSS, false)), MSS);
        assert_eq!(send(&mut prr, &ack(0, 20 * MSS, false)), 0);
    }

    #[test]
    fn while_more_is_out_than_ssthresh_every_second_octet_goes_where_the_window_is_halved() {
        // RFC 9937 §6, the proportional part.
        let mut prr = Prr::new(20 * MSS);
        let sent: Vec<u32> = (1..=6).map(|n| send(&mut prr, &ack(MSS, (19 - n) * MSS, false))).collect();
        // The first is forced, and paid for by the second.
        assert_eq!(sent, [1000, 0, 500, 500, 500, 500]);
    }

    #[test]
    fn below_ssthresh_as_much_goes_as_arrived_and_one_segment_more_if_all_is_well() {
        // RFC 9937 §6: PRR-CRB, and PRR-SSRB with safeACK.
        let mut prr = Prr::new(20 * MSS);
        send(&mut prr, &ack(2 * MSS, 4 * MSS, false));
        assert_eq!(send(&mut prr, &ack(MSS, 4 * MSS, false)), MSS);
        assert_eq!(send(&mut prr, &ack(MSS, 4 * MSS, true)), 2 * MSS);
    }

    #[test]
    fn no_more_goes_than_fills_up_to_ssthresh() {
        // RFC 9937 §6: "Attempt to catch up, as permitted".
        let mut prr = Prr::new(20 * MSS);
        send(&mut prr, &ack(MSS, 5 * MSS, true));
        assert_eq!(send(&mut prr, &ack(8 * MSS, 9 * MSS, true)), MSS);
    }
}
