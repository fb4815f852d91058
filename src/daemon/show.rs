//! What `tapstack show` can be asked for, by name.

use crate::daemon::services::to_value;
use crate::stack::Stack;
use crate::stack::snapshot::Snapshot;
use serde_json::Value;

/// A snapshot of `stack` with `what` and nothing else; `None` if there is no such thing.
pub fn part(stack: &Stack, what: &str) -> Option<Snapshot> {
    let mut part = Snapshot::default();
    match what {
        "sockets" => part.sockets = stack.show_sockets(),
        "interfaces" => part.interfaces = stack.show_interfaces(),
        "neighbours" => part.neighbours = stack.show_neighbours(),
        "routes" => part.routes = stack.show_routes(),
        "counters" => part.counters = stack.show_counters(),
        "drops" => part.drops = stack.show_drops(),
        "lost" => part.lost = stack.show_lost(),
        "outcomes" => part.outcomes = stack.show_outcomes(),
        "limits" => part.limits = stack.show_limits(),
        "trace" => part.trace = stack.show_trace(),
        _ => return None,
    }
    Some(part)
}

/// `what` of a snapshot, as it is answered.
pub fn value(what: &str, snapshot: Snapshot) -> Option<Value> {
    Some(match what {
        "sockets" => to_value(snapshot.sockets),
        "interfaces" => to_value(snapshot.interfaces),
        "neighbours" => to_value(snapshot.neighbours),
        "routes" => to_value(snapshot.routes),
        "counters" => to_value(snapshot.counters),
        "drops" => to_value(snapshot.drops),
        "lost" => to_value(snapshot.lost),
        "outcomes" => to_value(snapshot.outcomes),
        "limits" => to_value(snapshot.limits),
        "trace" => to_value(snapshot.trace),
        _ => return None,
    })
}
