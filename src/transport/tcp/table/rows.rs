//! What `show sockets` shows of TCP.

use super::Tcp;
use crate::base::time::{Duration, Instant};
use crate::transport::tcp::info::Info;
use crate::transport::tcp::state::State;
use std::net::SocketAddr;

/// One socket.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its state.
    pub state: State,
    /// Our end.
    pub local: SocketAddr,
    /// The other end; a listener has none.
    pub remote: Option<SocketAddr>,
    /// Octets not yet read; of a listener, the connections that wait to be accepted.
    pub receive_queue: u64,
    /// Octets not yet acknowledged; of a listener, how many connections may wait.
    pub send_queue: u64,
    /// How long until the record's timer: the end of TIME-WAIT, the next SYN-ACK.
    pub expires_in: Option<Duration>,
    /// Everything about a connection.
    pub info: Option<Info>,
}

impl Row {
    fn new(state: State, local: SocketAddr, remote: Option<SocketAddr>) -> Self {
        Row { state, local, remote, receive_queue: 0, send_queue: 0, expires_in: None, info: None }
    }
}

impl Tcp {
    /// Every listener, connection, half-open connection and TIME-WAIT record, in this order, each kind in the order
    /// of the table's places.
    pub fn sockets(&self, now: Instant) -> impl Iterator<Item = Row> + '_ {
        let listeners = self.listeners.values().map(|listener| Row {
            receive_queue: listener.waiting.len() as u64,
            send_queue: listener.backlog as u64,
            ..Row::new(State::Listen, listener.local, None)
        });
        let connections = self.connections.values().map(move |slot| {
            let info = slot.connection.info_at(now);
            Row {
                receive_queue: info.receive_queue_bytes,
                send_queue: info.send_queue_bytes,
                info: Some(info),
                ..Row::new(slot.connection.state(), slot.connection.local(), Some(slot.connection.remote()))
            }
        });
        let embryos = self.embryos.values().map(move |embryo| Row {
            expires_in: Some(embryo.deadline().since(now)),
            ..Row::new(State::SynReceived, embryo.local(), Some(embryo.remote()))
        });
        let time_waits = self.time_waits.iter().map(move |record| Row {
            expires_in: Some(record.deadline.since(now)),
            ..Row::new(State::TimeWait, record.ends.local(), Some(record.ends.remote()))
        });
        listeners.chain(connections).chain(embryos).chain(time_waits)
    }

    /// How many connections there are, half-open ones and those in TIME-WAIT not counted.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// How many half-open connections there are.
    pub fn embryos(&self) -> usize {
        self.embryos.len()
    }

    /// Hosts of which earlier connections have left something behind.
    pub fn known_hosts(&self) -> usize {
        self.metrics.len()
    }

    /// How many connections are in TIME-WAIT with no application behind them.
    pub fn time_waits(&self) -> usize {
        self.time_waits.len()
    }
}
