//! The stack's own state as plain data: what `tapstack show` and the built-in page print.

mod merge;

use crate::base::counters::Counter;
use crate::base::drops::{Ledger, Outcome};
use crate::base::limits;
use crate::datalink::InterfaceId;
use crate::datalink::neighbours;
use crate::network::route::Origin;
use crate::stack::Stack;
use crate::transport::tcp::state::State;
use crate::transport::tcp::trace::Point;
use crate::transport::{tcp, udp};
use serde::Serialize;
use serde_json::{Map, Value};

/// One interface.
#[derive(Clone, Debug, Serialize)]
pub struct InterfaceState {
    /// Its name.
    pub name: String,
    /// `up` or `down`.
    pub state: &'static str,
    /// Station address.
    pub mac: String,
    /// The VLAN it stands for.
    pub vlan: Option<u16>,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Addresses with prefix length; one that is not usable yet, or was lost, says so.
    pub addresses: Vec<String>,
    /// Multicast groups it is in.
    pub groups: Vec<String>,
    /// Frames received.
    pub rx_frames: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames received and dropped.
    pub rx_dropped: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// The same by queue, if the device has several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<QueueTraffic>,
}

/// What went through one queue of an interface's device.
#[derive(Clone, Debug, Serialize)]
pub struct QueueTraffic {
    /// Frames received.
    pub rx_frames: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
}

/// One neighbour.
#[derive(Clone, Debug, Serialize)]
pub struct NeighbourState {
    /// Its address.
    pub address: String,
    /// The interface it is on.
    pub interface: String,
    /// Its station address, if known.
    pub mac: Option<String>,
    /// Reachability in the words of RFC 4861 §7.3.2.
    pub state: &'static str,
    /// Packets that wait for its answer.
    pub waiting: usize,
}

/// One route.
#[derive(Clone, Debug, Serialize)]
pub struct RouteState {
    /// Destinations.
    pub to: String,
    /// Next hop; none if on the link.
    pub via: Option<String>,
    /// The interface to leave by.
    pub interface: String,
    /// The lower wins.
    pub metric: u32,
    /// `connected` or `static`.
    pub origin: &'static str,
}

/// A counter, a drop reason or an outcome with its count.
#[derive(Clone, Debug, Serialize)]
pub struct Count {
    /// Its name.
    pub name: &'static str,
    /// How often.
    pub count: u64,
    /// What it means.
    pub meaning: &'static str,
}

/// A bound and how much of it is used.
#[derive(Clone, Debug, Serialize)]
pub struct Limit {
    /// What is bounded.
    pub name: &'static str,
    /// In use.
    pub used: usize,
    /// The bound.
    pub limit: usize,
}

/// A socket, or what is left of one.
#[derive(Clone, Debug, Serialize)]
pub struct SocketState {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// TCP's state as `ss` names it; `UNCONN` or `ESTAB` for UDP.
    pub state: &'static str,
    /// Bytes not yet read; of a listener, the connections that wait to be accepted.
    pub receive_queue: u64,
    /// Bytes not yet acknowledged; of a listener, how many connections may wait.
    pub send_queue: u64,
    /// Our end.
    pub local: String,
    /// The other end.
    pub remote: Option<String>,
    /// What else is known: of a connection the fields of [`tcp::info::Info`], of a passing record how long it stays.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

/// The names of `ss`.
fn ss_name(state: State) -> &'static str {
    match state {
        State::Closed => "CLOSED",
        State::Listen => "LISTEN",
        State::SynSent => "SYN-SENT",
        State::SynReceived => "SYN-RECV",
        State::Established => "ESTAB",
        State::FinWait1 => "FIN-WAIT-1",
        State::FinWait2 => "FIN-WAIT-2",
        State::CloseWait => "CLOSE-WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST-ACK",
        State::TimeWait => "TIME-WAIT",
    }
}

impl From<tcp::table::Row> for SocketState {
    fn from(row: tcp::table::Row) -> Self {
        let mut details = match row.info.map(serde_json::to_value) {
            Some(Ok(Value::Object(fields))) => fields,
            _ => Map::new(),
        };
        // These have a place of their own.
        for key in ["state", "local", "remote", "send_queue_bytes", "receive_queue_bytes"] {
            details.remove(key);
        }
        if let Some(left) = row.expires_in {
            details.insert("expires_in_ms".to_owned(), Value::from(left.as_millis() as u64));
        }
        SocketState {
            protocol: "tcp",
            state: ss_name(row.state),
            receive_queue: row.receive_queue,
            send_queue: row.send_queue,
            local: row.local.to_string(),
            remote: row.remote.map(|remote| remote.to_string()),
            details,
        }
    }
}

impl From<udp::Row> for SocketState {
    fn from(row: udp::Row) -> Self {
        SocketState {
            protocol: "udp",
            state: if row.remote.is_some() { "ESTAB" } else { "UNCONN" },
            receive_queue: row.receive_queue as u64,
            send_queue: row.send_queue as u64,
            local: row.local.to_string(),
            remote: row.remote.map(|remote| remote.to_string()),
            details: Map::from_iter([("drops".to_owned(), Value::from(row.drops))]),
        }
    }
}

/// Everything at once.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// The interfaces.
    pub interfaces: Vec<InterfaceState>,
    /// The neighbours.
    pub neighbours: Vec<NeighbourState>,
    /// The routes.
    pub routes: Vec<RouteState>,
    /// The sockets.
    pub sockets: Vec<SocketState>,
    /// What became of received frames.
    pub outcomes: Vec<Count>,
    /// Why received frames were dropped.
    pub drops: Vec<Count>,
    /// Why packets on their way out were dropped.
    pub lost: Vec<Count>,
    /// The counters.
    pub counters: Vec<Count>,
    /// The bounds.
    pub limits: Vec<Limit>,
    /// What acknowledgments did to traced connections; only if it is asked for.
    #[serde(skip)]
    pub trace: Vec<Point>,
}

impl Stack {
    /// Everything that can be shown.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            interfaces: self.show_interfaces(),
            neighbours: self.show_neighbours(),
            routes: self.show_routes(),
            sockets: self.show_sockets(),
            outcomes: self.show_outcomes(),
            drops: self.show_drops(),
            lost: self.show_lost(),
            counters: self.show_counters(),
            limits: self.show_limits(),
            trace: Vec::new(),
        }
    }

    /// What acknowledgments did to traced connections, the oldest first.
    pub fn show_trace(&self) -> Vec<Point> {
        self.tcp.trace().points().cloned().collect()
    }

    /// The interfaces in their order.
    pub fn show_interfaces(&self) -> Vec<InterfaceState> {
        let address = |own: &super::interface::Address| {
            let doubt = if own.is_usable() { "" } else { " (not usable: probing or lost to another host)" };
            format!("{}{doubt}", own.net)
        };
        self.internet
            .interfaces
            .iter()
            .map(|interface| InterfaceState {
                name: interface.name.clone(),
                state: if interface.up { "up" } else { "down" },
                mac: interface.mac.to_string(),
                vlan: interface.vlan,
                mtu: interface.mtu,
                addresses: interface.addresses.iter().map(address).collect(),
                groups: interface.membership.groups().map(|group| group.to_string()).collect(),
                rx_frames: interface.traffic.received_frames,
                rx_bytes: interface.traffic.received_bytes,
                rx_dropped: interface.traffic.received_dropped,
                tx_frames: interface.traffic.sent_frames,
                tx_bytes: interface.traffic.sent_bytes,
                queues: Vec::new(),
            })
            .collect()
    }

    /// The neighbours, ordered by interface and address.
    pub fn show_neighbours(&self) -> Vec<NeighbourState> {
        let mut entries: Vec<_> = self.neighbours.entries().collect();
        entries.sort_by_key(|entry| (entry.interface, entry.address));
        let state = |state| match state {
            neighbours::State::Incomplete => "INCOMPLETE",
            neighbours::State::Reachable => "REACHABLE",
            neighbours::State::Stale => "STALE",
            neighbours::State::Delay => "DELAY",
            neighbours::State::Probe => "PROBE",
            neighbours::State::Failed => "FAILED",
            neighbours::State::Static => "STATIC",
        };
        entries
            .into_iter()
            .map(|entry| NeighbourState {
                address: entry.address.to_string(),
                interface: self.interface_name(entry.interface),
                mac: entry.mac.map(|mac| mac.to_string()),
                state: state(entry.state),
                waiting: entry.waiting,
            })
            .collect()
    }

    /// The routes, in the order of their networks.
    pub fn show_routes(&self) -> Vec<RouteState> {
        self.internet
            .routes
            .iter()
            .map(|route| RouteState {
                to: route.to.to_string(),
                via: route.via.map(|via| via.to_string()),
                interface: self.interface_name(route.interface),
                metric: route.metric,
                origin: match route.origin {
                    Origin::Connected => "connected",
                    Origin::Static => "static",
                },
            })
            .collect()
    }

    /// The sockets of both transports.
    pub fn show_sockets(&self) -> Vec<SocketState> {
        let tcp = self.tcp.sockets(self.internet.now).map(SocketState::from);
        tcp.chain(self.udp.sockets().map(SocketState::from)).collect()
    }

    /// What became of received frames; with [`Stack::show_drops`] they add up to all frames.
    pub fn show_outcomes(&self) -> Vec<Count> {
        let kept = [
            (Outcome::Delivered, "delivered", "the payload reached a socket"),
            (Outcome::Answered, "answered", "the stack answered by itself"),
            (Outcome::Consumed, "consumed", "did its work inside the stack"),
            (Outcome::Forwarded, "forwarded", "went on to another interface"),
            (Outcome::Passed, "passed", "went on to the stack of another queue, which counts it again"),
        ];
        kept.into_iter()
            .map(|(outcome, name, meaning)| Count { name, count: self.ledger.of(outcome), meaning })
            .collect()
    }

    /// Why received frames were dropped: reasons that occurred.
    pub fn show_drops(&self) -> Vec<Count> {
        counts(&self.ledger)
    }

    /// Why packets on their way out were dropped: reasons that occurred.
    pub fn show_lost(&self) -> Vec<Count> {
        counts(&self.lost)
    }

    /// All counters, also those at zero.
    pub fn show_counters(&self) -> Vec<Count> {
        let count =
            |(counter, count): (Counter, u64)| Count { name: counter.label(), count, meaning: counter.describe() };
        self.counters.all().map(count).collect()
    }

    /// The bounds and how much of each is used.
    pub fn show_limits(&self) -> Vec<Limit> {
        let limit = |name, used, limit| Limit { name, used, limit };
        vec![
            limit("neighbours", self.neighbours.entries().count(), limits::NEIGHBOURS),
            limit("neighbour queue bytes", self.neighbours.waiting_bytes(), limits::NEIGHBOUR_TOTAL_BYTES),
            limit("reassembly bytes", self.reassembly.bytes(), limits::REASSEMBLY_BYTES),
            limit("path MTUs", self.internet.path_mtus.entries(self.internet.now).count(), limits::PATH_MTUS),
            limit("transmit queue frames", self.outbox.len(), limits::TRANSMIT_QUEUE),
            limit("transmit queue bytes", self.outbox.bytes(), limits::TRANSMIT_QUEUE_BYTES),
            limit("UDP sockets", self.udp.sockets().count(), limits::UDP_SOCKETS),
            limit("TCP connections", self.tcp.connections(), limits::TCP_CONNECTIONS),
            limit("TCP half-open", self.tcp.embryos(), limits::TCP_EMBRYOS),
            limit("TCP TIME-WAIT", self.tcp.time_waits(), limits::TCP_TIME_WAITS),
            limit("TCP metrics", self.tcp.known_hosts(), limits::TCP_METRICS),
        ]
    }

    fn interface_name(&self, id: InterfaceId) -> String {
        self.internet.interface(id).map_or_else(String::new, |interface| interface.name.clone())
    }
}

fn counts(ledger: &Ledger) -> Vec<Count> {
    ledger.drops().map(|(reason, count)| Count { name: reason.label(), count, meaning: reason.describe() }).collect()
}
