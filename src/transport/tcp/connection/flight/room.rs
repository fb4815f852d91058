//! The room of a flight, which a connection has only while something is out: an idle one pays for a pointer.

use super::Flight;
use crate::base::seq::Seq;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

/// What is out of a connection that has nothing out.
static NOTHING: Flight = Flight {
    records: VecDeque::new(),
    in_network: 0,
    lost: 0,
    sacked: 0,
    resent: 0,
    fack: Seq(0),
    sacked_pieces: 0,
    delivery: None,
};

/// A flight that may have no room of its own.
#[derive(Debug, Default)]
pub(in crate::transport::tcp::connection) struct Room(Option<Box<Flight>>);

impl Room {
    /// Gives the room up if there is nothing to keep in it.
    pub(in crate::transport::tcp::connection) fn settle(&mut self) {
        self.0.take_if(|flight| flight.records.is_empty() && flight.delivery.is_none());
    }

    /// Lets go of everything.
    pub(in crate::transport::tcp::connection) fn clear(&mut self) {
        self.0 = None;
    }
}

impl Deref for Room {
    type Target = Flight;

    fn deref(&self) -> &Flight {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut Flight {
        self.0.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ranges::Range;
    use crate::base::time::Instant;
    use crate::transport::tcp::connection::flight::AckTime;

    #[test]
    fn what_is_acknowledged_needs_no_room() {
        let (mut room, now) = (Room::default(), Instant::from_millis(1));
        assert!(room.is_empty() && room.0.is_none());
        room.on_sent(Range::starting(Seq(5), 10), now);
        room.settle();
        assert_eq!(room.in_network(), 10);
        room.on_ack(Seq(15), &AckTime { now, ..AckTime::default() });
        room.settle();
        assert!(room.is_empty() && room.0.is_none());
    }

    #[test]
    fn who_measures_keeps_it() {
        let mut room = Room::default();
        room.measure();
        room.settle();
        assert!(room.0.is_some());
    }
}
