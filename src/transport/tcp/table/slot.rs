//! A connection's place in the table, and the names under which it is looked up, timed and told of.

use super::{ConnectionId, EmbryoId, ListenerId};
use crate::base::time::{Duration, Instant};
use crate::base::timers::{Alarms, Timers};
use crate::transport::tcp::connection::{Connection, Readiness};
use crate::transport::tcp::embryo::Embryo;
use crate::transport::tcp::ends::Ends;
use crate::transport::tcp::time_wait::{TimeWaitId, TimeWaits};
use slotmap::SlotMap;

/// A connection that is freed leaves its timers behind until they fire: none is set further ahead than this, and
/// later deadlines are set again on the way.
pub(super) const LONGEST_ALARM: Duration = Duration::from_secs(600);

/// Who answers for a pair of sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    Connection(ConnectionId),
    Embryo(EmbryoId),
    TimeWait(TimeWaitId),
}

impl Owner {
    /// True if these are its ends.
    pub(super) fn has(
        self,
        ends: &Ends,
        connections: &SlotMap<ConnectionId, Box<Slot>>,
        embryos: &SlotMap<EmbryoId, Embryo>,
        time_waits: &TimeWaits,
    ) -> bool {
        match self {
            Owner::Connection(id) => connections.get(id).is_some_and(|slot| slot.connection.ends() == ends),
            Owner::Embryo(id) => embryos.get(id).is_some_and(|embryo| embryo.ends() == *ends),
            Owner::TimeWait(id) => time_waits.get(id).is_some_and(|record| record.ends == *ends),
        }
    }
}

/// Whose timer it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TimerKey {
    Connection(ConnectionId),
    Embryo(EmbryoId),
    TimeWait(TimeWaitId),
}

/// Who has something to tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EventSource {
    Connection(ConnectionId),
    Listener(ListenerId),
}

/// A connection and what the table keeps of it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) connection: Connection,
    pub(super) alarms: Alarms,
    /// What has not been told yet.
    pub(super) readiness: Readiness,
    /// The listener in whose queue it waits to be accepted.
    pub(super) listener: Option<ListenerId>,
    /// It is in the line of connections with output.
    pub(super) has_turn: bool,
    /// It is in the list of events.
    pub(super) has_event: bool,
    /// The application has closed it and will not ask for it again.
    pub(super) is_let_go: bool,
}

impl Slot {
    pub(super) fn new(connection: Connection, listener: Option<ListenerId>) -> Self {
        Slot {
            connection,
            alarms: Alarms::default(),
            readiness: Readiness::NONE,
            listener,
            has_turn: false,
            has_event: false,
            is_let_go: false,
        }
    }

    /// Sees to it that the connection is woken at `deadline`.
    pub(super) fn arm(&mut self, timers: &mut Timers<TimerKey>, id: ConnectionId, deadline: Instant, now: Instant) {
        // What is due already fires with the next poll, and never again within the one that goes on.
        let at = deadline.clamp(now + Duration::from_nanos(1), now + LONGEST_ALARM);
        self.alarms.arm(timers, TimerKey::Connection(id), at);
    }

    /// True if there is something to tell, somebody to tell it to, and it is not in the list already.
    pub(super) fn may_tell(&self) -> bool {
        !self.readiness.is_empty() && !self.has_event && !self.is_let_go && self.listener.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_without_buffers_takes_568_bytes() {
        assert!(size_of::<Slot>() <= 568, "{}", size_of::<Slot>());
    }
}
