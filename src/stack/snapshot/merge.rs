//! The state of several stacks that are one host, as that of one.

use super::{Count, InterfaceState, Limit, NeighbourState, QueueTraffic, Snapshot, SocketState};
use serde_json::Value;

impl Snapshot {
    /// The state of a host from those of its stacks, in their order: tables are joined, counts added. One stack's
    /// is taken as it is.
    pub fn merge(parts: Vec<Snapshot>) -> Snapshot {
        let has_several = parts.len() > 1;
        let mut parts = parts.into_iter();
        let Some(mut host) = parts.next() else { return Snapshot::default() };
        if has_several {
            host.name_queue(0);
        }
        for (queue, mut part) in (1..).zip(parts) {
            part.name_queue(queue);
            merge_interfaces(&mut host.interfaces, part.interfaces);
            merge_neighbours(&mut host.neighbours, part.neighbours);
            merge_sockets(&mut host.sockets, part.sockets);
            for (whole, part) in [
                (&mut host.outcomes, part.outcomes),
                (&mut host.drops, part.drops),
                (&mut host.lost, part.lost),
                (&mut host.counters, part.counters),
            ] {
                merge_counts(whole, part);
            }
            merge_limits(&mut host.limits, part.limits);
            host.trace.append(&mut part.trace);
            // The routes are configured, and the same everywhere.
        }
        host.trace.sort_by_key(|point| point.at_us);
        host
    }

    /// Says of everything that has one place only where that is.
    fn name_queue(&mut self, queue: u16) {
        for socket in self.sockets.iter_mut().filter(|socket| !is_everywhere(socket)) {
            socket.details.insert("queue".to_owned(), Value::from(queue));
        }
        for interface in &mut self.interfaces {
            interface.queues = vec![QueueTraffic {
                rx_frames: interface.rx_frames,
                rx_bytes: interface.rx_bytes,
                tx_frames: interface.tx_frames,
                tx_bytes: interface.tx_bytes,
            }];
        }
    }
}

/// True for what every stack has: listeners, and UDP sockets without a peer.
fn is_everywhere(socket: &SocketState) -> bool {
    socket.remote.is_none()
}

fn merge_interfaces(whole: &mut [InterfaceState], part: Vec<InterfaceState>) {
    for (whole, part) in whole.iter_mut().zip(part) {
        whole.rx_frames += part.rx_frames;
        whole.rx_bytes += part.rx_bytes;
        whole.rx_dropped += part.rx_dropped;
        whole.tx_frames += part.tx_frames;
        whole.tx_bytes += part.tx_bytes;
        whole.queues.extend(part.queues);
        for group in part.groups {
            if !whole.groups.contains(&group) {
                whole.groups.push(group);
            }
        }
    }
}

/// How sure a state is, the surest first.
fn doubt(state: &str) -> usize {
    let states = ["STATIC", "REACHABLE", "PROBE", "DELAY", "STALE", "INCOMPLETE", "FAILED"];
    states.iter().position(|other| *other == state).unwrap_or(states.len())
}

fn merge_neighbours(whole: &mut Vec<NeighbourState>, part: Vec<NeighbourState>) {
    for neighbour in part {
        let same =
            |other: &&mut NeighbourState| other.address == neighbour.address && other.interface == neighbour.interface;
        match whole.iter_mut().find(same) {
            Some(known) => {
                let waiting = known.waiting + neighbour.waiting;
                if doubt(neighbour.state) < doubt(known.state) {
                    *known = neighbour;
                }
                known.waiting = waiting;
            }
            None => whole.push(neighbour),
        }
    }
}

fn merge_sockets(whole: &mut Vec<SocketState>, part: Vec<SocketState>) {
    for socket in part {
        let same = |other: &&mut SocketState| {
            is_everywhere(other) && other.protocol == socket.protocol && other.local == socket.local
        };
        let known = if is_everywhere(&socket) { whole.iter_mut().find(same) } else { None };
        match known {
            Some(known) => {
                known.receive_queue += socket.receive_queue;
                known.send_queue += socket.send_queue;
                add_drops(known, &socket);
            }
            None => whole.push(socket),
        }
    }
}

fn add_drops(known: &mut SocketState, socket: &SocketState) {
    let drops = |socket: &SocketState| socket.details.get("drops").and_then(Value::as_u64);
    if let (Some(one), Some(other)) = (drops(known), drops(socket)) {
        known.details.insert("drops".to_owned(), Value::from(one + other));
    }
}

fn merge_counts(whole: &mut Vec<Count>, part: Vec<Count>) {
    for count in part {
        match whole.iter_mut().find(|other| other.name == count.name) {
            Some(known) => known.count += count.count,
            None => whole.push(count),
        }
    }
}

fn merge_limits(whole: &mut [Limit], part: Vec<Limit>) {
    for (whole, part) in whole.iter_mut().zip(part) {
        whole.used += part.used;
        whole.limit += part.limit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    fn socket(state: &'static str, local: &str, remote: Option<&str>) -> SocketState {
        SocketState {
            protocol: "tcp",
            state,
            receive_queue: 1,
            send_queue: 10,
            local: local.to_owned(),
            remote: remote.map(str::to_owned),
            details: Map::new(),
        }
    }

    fn neighbour(address: &str, state: &'static str) -> NeighbourState {
        NeighbourState { address: address.to_owned(), interface: "tap0".to_owned(), mac: None, state, waiting: 1 }
    }

    fn count(name: &'static str, count: u64) -> Count {
        Count { name, count, meaning: "" }
    }

    #[test]
    fn a_listener_is_one_wherever_it_listens_and_a_connection_says_where_it_is() {
        let part = |peer| Snapshot {
            sockets: vec![socket("LISTEN", "0.0.0.0:80", None), socket("ESTAB", "192.0.2.2:80", Some(peer))],
            ..Snapshot::default()
        };
        let host = Snapshot::merge(vec![part("192.0.2.1:1"), part("192.0.2.1:2")]);
        assert_eq!(host.sockets.len(), 3);
        assert_eq!((host.sockets[0].receive_queue, host.sockets[0].send_queue), (2, 20));
        let queues: Vec<Option<u64>> =
            host.sockets.iter().map(|socket| socket.details.get("queue").and_then(Value::as_u64)).collect();
        assert_eq!(queues, [None, Some(0), Some(1)]);
        assert!(Snapshot::merge(vec![part("192.0.2.1:1")]).sockets[1].details.is_empty(), "one queue needs no number");
    }

    #[test]
    fn the_surest_state_of_a_neighbour_is_shown() {
        let part = |neighbours| Snapshot { neighbours, ..Snapshot::default() };
        let host = Snapshot::merge(vec![
            part(vec![neighbour("192.0.2.1", "STALE")]),
            part(vec![neighbour("192.0.2.1", "REACHABLE"), neighbour("192.0.2.9", "INCOMPLETE")]),
            part(vec![neighbour("192.0.2.1", "FAILED")]),
        ]);
        let shown: Vec<_> = host.neighbours.iter().map(|neighbour| (neighbour.state, neighbour.waiting)).collect();
        assert_eq!(shown, [("REACHABLE", 3), ("INCOMPLETE", 1)]);
    }

    #[test]
    fn counts_and_limits_are_added_also_where_only_some_have_them() {
        let part =
            |drops, used| Snapshot { drops, limits: vec![Limit { name: "x", used, limit: 10 }], ..Snapshot::default() };
        let host = Snapshot::merge(vec![part(vec![count("a", 1)], 1), part(vec![count("b", 5), count("a", 2)], 2)]);
        let drops: Vec<_> = host.drops.iter().map(|count| (count.name, count.count)).collect();
        assert_eq!(drops, [("a", 3), ("b", 5)]);
        assert_eq!((host.limits[0].used, host.limits[0].limit), (3, 20));
    }
}
