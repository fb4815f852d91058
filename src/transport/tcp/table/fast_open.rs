//! SYNs that bring data and a cookie: RFC 7413 §4.2.2, with the bound of §5.1 on those whose peer may not be there.

use super::slot::{EventSource, Owner, Slot};
use super::{ConnectionId, ListenerId, Pair, Tcp};
use crate::base::counters::Counter;
use crate::base::drops::Outcome;
use crate::base::limits::TCP_FAST_OPEN_PENDING;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
use crate::transport::Context;
use crate::transport::tcp::connection::Connection;
use crate::transport::tcp::embryo::handshake_of_syn;
use crate::transport::tcp::ends::Ends;
use crate::transport::tcp::fast_open::FastOpenKeys;
use crate::transport::tcp::options::FastOpenCookie;
use crate::transport::tcp::segment::Segment;
use std::rc::Rc;

/// How long a connection that was reset before it proved anything counts as pending: who forges SYNs makes the victim
/// reset them (RFC 7413 §5.1).
const RESET_COUNTS: Duration = Duration::from_secs(60);

impl Tcp {
    /// The cookie to give to the sender of `syn`, if it asks for one or brings one that is not good.
    pub(super) fn cookie_to_give(
        &mut self,
        id: ListenerId,
        (local, remote): Pair,
        syn: &Segment,
        cx: &mut Context<'_>,
    ) -> Option<FastOpenCookie> {
        if self.key_ring.is_for(remote.ip()) {
            return None;
        }
        let given = syn.options.fast_open.filter(|_| self.listeners.get(id).is_some_and(|at| at.config.fast_open))?;
        cx.counters.count(if given.is_empty() {
            Counter::TcpFastOpenCookieReqd
        } else {
            Counter::TcpFastOpenPassiveFail
        });
        Some(self.fast_open_keys.get_or_insert_with(|| FastOpenKeys::new(cx.random)).make(
            local.ip(),
            remote.ip(),
            cx.now,
        ))
    }

    /// Opens a connection at once if `syn` brings data and a good cookie, and not too many are pending.
    pub(super) fn open_by_cookie(
        &mut self,
        id: ListenerId,
        (local, remote): Pair,
        syn: &Segment,
        iss: Option<Seq>,
        cx: &mut Context<'_>,
    ) -> Option<Outcome> {
        let listener = self.listeners.get(id)?;
        let cookie = syn.options.fast_open.filter(|_| listener.config.fast_open && !syn.payload.is_empty())?;
        let config = Rc::clone(&listener.config);
        // Without any secret no cookie was ever given.
        let keys = self.fast_open_keys.as_mut()?;
        if self.key_ring.is_for(remote.ip()) || !keys.check(&cookie, local.ip(), remote.ip(), cx.now) {
            return None;
        }
        if !self.may_open_by_cookie(id, cx.now) {
            cx.counters.count(Counter::TcpFastOpenListenOverflow);
            return None;
        }
        cx.counters.count(Counter::TcpFastOpenPassive);
        cx.counters.count(Counter::TcpPassiveOpens);
        let offset = self.numbers.timestamp_offset(local, remote);
        let iss = iss.unwrap_or_else(|| self.numbers.sequence(local, remote, cx.now));
        let handshake = handshake_of_syn(local, remote, iss, syn, offset, &config, cx.now);
        let connection = Connection::fast_opened(handshake, config, syn, cx);
        let connection = self.connections.insert(Box::new(Slot::new(connection, Some(id))));
        self.owners.insert(&Ends::new(local, remote), Owner::Connection(connection));
        self.enqueue(id, connection);
        if let Some(listener) = self.listeners.get_mut(id) {
            listener.fast_opens.push((connection, cx.now));
        }
        self.settle(connection, cx);
        Some(Outcome::Answered)
    }

    /// True while fewer are pending than may be. Who has proved to be there is forgotten when there is no more room.
    fn may_open_by_cookie(&mut self, id: ListenerId, now: Instant) -> bool {
        let Some(listener) = self.listeners.get_mut(id) else { return false };
        let connections = &self.connections;
        if listener.fast_opens.len() >= TCP_FAST_OPEN_PENDING {
            listener.fast_opens.retain(|(id, since)| match connections.get(*id) {
                Some(slot) => !slot.connection.state().is_synchronized(),
                None => now.since(*since) < RESET_COUNTS,
            });
        }
        listener.fast_opens.len() < TCP_FAST_OPEN_PENDING
    }

    /// A connection waits to be accepted.
    pub(super) fn enqueue(&mut self, listener: ListenerId, id: ConnectionId) {
        if let Some(queue) = self.listeners.get_mut(listener) {
            queue.waiting.push_back(id);
            if !std::mem::replace(&mut queue.has_event, true) {
                self.events.push_back(EventSource::Listener(listener));
            }
        }
    }
}
