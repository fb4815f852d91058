//! RACK: what is lost, told by time (RFC 8985 §6.2). Something that was sent later arrived, and a reordering window
//! went by: then what was sent before is lost.
//!
//! The window is nothing until reordering was seen and enough arrived to be sure (the DupThresh of RFC 6675); then
//! it is a quarter of the least round-trip time, and a quarter more for each round in which a duplicate at the
//! receiver (DSACK) says that it was too short. The scan itself is `Flight::mark_lost_by_time`.

use super::super::flight::{Delivery, Flight, Newest};
use super::tail_probe::TailProbe;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
use std::num::NonZeroU32;
use std::ops::{Deref, DerefMut};

/// Recoveries without DSACK after which the window shrinks to what it was (RFC 8985 §6.2 step 4).
const PERSIST: u8 = 16;

/// What the reordering window depends on besides what RACK remembers.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Path {
    pub(in super::super) srtt: Option<Duration>,
    pub(in super::super) rttvar: Duration,
    pub(in super::super) min_rtt: Option<Duration>,
    pub(in super::super) mss: u32,
}

/// RACK's variables (RFC 8985 §5.3), but for those that `Flight` keeps or `Rtt` has.
#[derive(Clone, Debug, Default)]
pub(super) struct Rack {
    /// RACK.xmit_ts: when the most recently sent segment that arrived was sent.
    xmit_ts: Instant,
    /// RACK.end_seq: its end.
    end_seq: Seq,
    /// RACK.rtt: how long it took, in microseconds and one more; `None` before the first.
    rtt: Option<NonZeroU32>,
    /// RACK.dsack_round: SND.NXT when the last DSACK was counted...
    dsack_round: Seq,
    /// ... until it is acknowledged.
    is_in_dsack_round: bool,
    /// RACK.reo_wnd_mult, less one.
    reo_wnd_growth: u8,
    /// RACK.reo_wnd_persist.
    reo_wnd_persist: u8,
    /// RACK.reordering_seen.
    reordering_seen: bool,
    /// The tail loss probe that is out, if one is.
    pub(super) tail_probe: TailProbe,
}

/// RACK's variables where nobody has any.
static NOTHING: Rack = Rack {
    xmit_ts: Instant::ZERO,
    end_seq: Seq(0),
    rtt: None,
    dsack_round: Seq(0),
    is_in_dsack_round: false,
    reo_wnd_growth: 0,
    reo_wnd_persist: 0,
    reordering_seen: false,
    tail_probe: TailProbe::NONE,
};

/// RACK's variables, which have room of their own only while something is out or once something was learned.
#[derive(Clone, Debug, Default)]
pub(super) struct RackRoom(Option<Box<Rack>>);

impl RackRoom {
    /// Nothing is out: what arrived last tells nothing of what will be sent.
    pub(super) fn settle(&mut self) {
        self.0.take_if(|rack| !rack.has_learned());
    }
}

impl Deref for RackRoom {
    type Target = Rack;

    fn deref(&self) -> &Rack {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for RackRoom {
    fn deref_mut(&mut self) -> &mut Rack {
        self.0.get_or_insert_default()
    }
}

impl Rack {
    /// True if it knows something about the path, or waits to know.
    fn has_learned(&self) -> bool {
        self.reordering_seen || self.is_in_dsack_round || self.reo_wnd_growth > 0 || self.tail_probe.is_out()
    }

    pub(super) fn reordering_seen(&self) -> bool {
        self.reordering_seen
    }

    /// Steps 2 and 3: something arrived.
    pub(super) fn on_delivery(&mut self, delivery: &Delivery, path: &Path, now: Instant) {
        if let Some(age) = delivery.reordered {
            self.on_late_arrival(age, path);
        }
        if let Some(newest) = delivery.newest
            && (self.rtt.is_none() || newest.is_after(self.xmit_ts, self.end_seq))
        {
            self.xmit_ts = newest.xmit_ts;
            self.end_seq = newest.end_seq;
            let rtt = u32::try_from(now.since(newest.xmit_ts).as_micros()).unwrap_or(u32::MAX);
            self.rtt = Some(NonZeroU32::MIN.saturating_add(rtt));
        }
    }

    /// Something arrived `age` after it was sent, and what was sent later had arrived before: the window becomes wide
    /// enough for that.
    ///
    /// DEVIATION(RFC 8985 §6.2 step 4): the RFC learns from DSACK only, by a quarter of the least round trip in a round.
    /// Where jitter is many times the least round trip that takes hundreds of mistakes, while each segment that is
    /// late says by how much. The bound on the window allows for the variation of the round trip as well.
    pub(super) fn on_late_arrival(&mut self, age: Duration, path: &Path) {
        self.reordering_seen = true;
        let quarter = (path.min_rtt.unwrap_or_default() / 4).as_nanos().max(1);
        let quarters = age.saturating_sub(self.rtt()).as_nanos().div_ceil(quarter);
        let growth = u8::try_from(quarters.saturating_sub(1)).unwrap_or(u8::MAX);
        if growth > self.reo_wnd_growth {
            self.reo_wnd_growth = growth;
            self.reo_wnd_persist = PERSIST;
        }
    }

    /// Step 4: the window grows once in a round with DSACKs.
    pub(super) fn on_ack(&mut self, una: Seq, nxt: Seq, has_dsack: bool) {
        self.is_in_dsack_round &= una.before(self.dsack_round);
        if has_dsack && !self.is_in_dsack_round {
            self.is_in_dsack_round = true;
            self.dsack_round = nxt;
            self.reo_wnd_growth = self.reo_wnd_growth.saturating_add(1);
            self.reo_wnd_persist = PERSIST;
        }
    }

    /// Step 4: a recovery is over, and the window shrinks after enough of them.
    pub(super) fn on_recovered(&mut self) {
        self.reo_wnd_persist = self.reo_wnd_persist.saturating_sub(1);
        if self.reo_wnd_persist == 0 {
            self.reo_wnd_growth = 0;
        }
    }

    /// RACK_update_reo_wnd: how long what was sent before may come after.
    pub(super) fn reo_wnd(&self, flight: &Flight, path: &Path, is_recovering: bool) -> Duration {
        if !self.reordering_seen && (is_recovering || flight.is_dup_thresh_sacked(path.mss)) {
            return Duration::ZERO;
        }
        let quarters = u32::from(self.reo_wnd_growth) + 1;
        let window = path.min_rtt.unwrap_or_default() / 4 * quarters;
        window.min(path.srtt.map_or(window, |srtt| srtt + path.rttvar * 4))
    }

    fn rtt(&self) -> Duration {
        Duration::from_micros(self.rtt.map_or(0, |rtt| rtt.get() - 1).into())
    }

    /// RACK.rtt and the window: how long after it was sent something may still arrive.
    pub(super) fn patience(&self, flight: &Flight, path: &Path, is_recovering: bool) -> Duration {
        self.rtt() + self.reo_wnd(flight, path, is_recovering)
    }

    /// Step 5. Gives the octets newly lost, and when to look again.
    pub(super) fn detect_loss(
        &self,
        flight: &mut Flight,
        path: &Path,
        is_recovering: bool,
        now: Instant,
    ) -> (u32, Option<Instant>) {
        if self.rtt.is_none() {
            return (0, None);
        }
        let newest = Newest { xmit_ts: self.xmit_ts, end_seq: self.end_seq };
        flight.mark_lost_by_time(newest, self.patience(flight, path, is_recovering), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn path() -> Path {
        Path { srtt: Some(ms(120)), rttvar: ms(10), min_rtt: Some(ms(100)), mss: 1000 }
    }

    fn window(rack: &Rack) -> Duration {
        rack.reo_wnd(&Flight::default(), &path(), false)
    }

    #[test]
    fn the_window_is_wide_for_sixteen_recoveries_after_the_last_dsack() {
        // RFC 8985 §6.2 step 4.
        let mut rack = Rack::default();
        rack.on_ack(Seq(0), Seq(1000), true);
        (0..15).for_each(|_| rack.on_recovered());
        assert_eq!(window(&rack), ms(50));
        rack.on_recovered();
        assert_eq!(window(&rack), ms(25));
    }

    #[test]
    fn the_window_is_bounded_by_the_round_trip_and_its_variation() {
        let mut rack = Rack::default();
        rack.on_late_arrival(ms(10_000), &path());
        assert_eq!(window(&rack), ms(160));
    }
}
