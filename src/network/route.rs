//! The routing table: the longest prefix that matches a destination.
//!
//! Implements RFC 1812 §5.2.4.3 (longest match, then the best metric) for both address families. A path-compressed
//! binary trie per family: a look-up visits at most one node per bit in which prefixes differ, whatever the
//! number of routes; 50,000 routes are about 16 nodes deep. Routes over an interface that is down are skipped, so that a
//! less specific way is taken instead.
//!
//! Not here: several ways at once (equal cost multipath), routing by source, routing protocols.

use crate::datalink::InterfaceId;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;

#[cfg(test)]
mod tests;

/// Where a route comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Origin {
    /// The network of one of our own addresses.
    Connected,
    /// Configuration.
    Static,
}

/// A way to a network.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Route {
    /// The network; host bits don't count.
    pub to: IpNet,
    /// The next hop; `None`: the destination itself is on the link.
    pub via: Option<IpAddr>,
    /// The interface to leave by.
    pub interface: InterfaceId,
    /// The lowest wins.
    pub metric: u32,
    /// The source address to use, if not to be chosen.
    pub source: Option<IpAddr>,
    /// Where the route comes from.
    pub origin: Origin,
}

impl Route {
    /// The network of an address of ours on an interface.
    pub fn connected(to: IpNet, interface: InterfaceId) -> Self {
        Route { to: to.trunc(), via: None, interface, metric: 0, source: Some(to.addr()), origin: Origin::Connected }
    }

    /// The host on the link to hand a packet for `destination` to.
    pub fn next_hop(&self, destination: IpAddr) -> IpAddr {
        self.via.unwrap_or(destination)
    }

    /// Two routes are the same if they lead to the same network the same way.
    fn is_same_way(&self, other: &Route) -> bool {
        self.via == other.via && self.interface == other.interface
    }
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct RoutingTable {
    v4: Option<Box<Node>>,
    v6: Option<Box<Node>>,
    down: BTreeSet<InterfaceId>,
    len: usize,
}

impl RoutingTable {
    /// An empty table.
    pub fn new() -> Self {
        RoutingTable::default()
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no route.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts in a route. One to the same network by the same next hop and interface is replaced and returned.
    pub fn insert(&mut self, route: Route) -> Option<Route> {
        let route = Route { to: route.to.trunc(), ..route };
        let prefix = Prefix::of(route.to);
        let replaced = Node::at(self.root_mut(route.to.addr()), prefix).insert(route);
        self.len += usize::from(replaced.is_none());
        replaced
    }

    /// Takes out the route to `to` by this next hop and interface.
    pub fn remove(&mut self, to: IpNet, via: Option<IpAddr>, interface: InterfaceId) -> Option<Route> {
        let removed =
            Node::remove(self.root_mut(to.addr()), Prefix::of(to), |r| r.via == via && r.interface == interface);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Takes out all routes over an interface and returns them.
    pub fn remove_interface(&mut self, interface: InterfaceId) -> Vec<Route> {
        let routes: Vec<Route> = self.iter().filter(|route| route.interface == interface).copied().collect();
        for route in &routes {
            self.remove(route.to, route.via, route.interface);
        }
        routes
    }

    /// Says whether an interface is up; all are until this says otherwise.
    pub fn set_interface_up(&mut self, interface: InterfaceId, up: bool) {
        if up {
            self.down.remove(&interface);
        } else {
            self.down.insert(interface);
        }
    }

    /// The way to `destination`: of the longest matching prefix that has a usable route, the one with the lowest
    /// metric.
    pub fn lookup(&self, destination: IpAddr) -> Option<&Route> {
        let bits = bits_of(destination);
        let mut best = None;
        let mut next = self.root(destination);
        while let Some(node) = next {
            if !node.prefix.contains(bits) {
                break;
            }
            best = node.routes.iter().find(|route| !self.down.contains(&route.interface)).or(best);
            next = node.child(bits);
        }
        best
    }

    /// All routes: IPv4 before IPv6, each network before those inside it, by metric.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        let mut ahead: Vec<&Node> = self.v6.iter().chain(&self.v4).map(|node| &**node).collect();
        std::iter::from_fn(move || {
            let node = ahead.pop()?;
            let [zero, one] = &node.children;
            ahead.extend(one.iter().chain(zero).map(|child| &**child));
            Some(&node.routes)
        })
        .flatten()
    }

    fn root(&self, family: IpAddr) -> Option<&Node> {
        match family {
            IpAddr::V4(_) => self.v4.as_deref(),
            IpAddr::V6(_) => self.v6.as_deref(),
        }
    }

    fn root_mut(&mut self, family: IpAddr) -> &mut Option<Box<Node>> {
        match family {
            IpAddr::V4(_) => &mut self.v4,
            IpAddr::V6(_) => &mut self.v6,
        }
    }
}

/// The bits of an address from the left.
fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The first `len` bits of addresses; those behind are zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Prefix {
    bits: u128,
    len: u8,
}

impl Prefix {
    fn of(net: IpNet) -> Self {
        Prefix { bits: bits_of(net.trunc().addr()), len: net.prefix_len() }
    }

    fn mask(len: u8) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
    }

    fn contains(self, bits: u128) -> bool {
        (self.bits ^ bits) & Prefix::mask(self.len) == 0
    }

    /// What both begin with.
    fn common(self, other: Prefix) -> Prefix {
        let same = (self.bits ^ other.bits).leading_zeros() as u8; // At most 128.
        let len = same.min(self.len).min(other.len);
        Prefix { bits: self.bits & Prefix::mask(len), len }
    }

    /// The bit of `bits` behind this prefix: which child it belongs under.
    fn branch(self, bits: u128) -> Side {
        if bits & (1 << 127 >> self.len.min(127)) == 0 { Side::Zero } else { Side::One }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Zero,
    One,
}

/// A prefix in the trie: one that has routes, or the fork of two that have.
#[derive(Clone, Debug)]
struct Node {
    prefix: Prefix,
    /// By metric; among equals, the one put in first.
    routes: Vec<Route>,
    children: [Option<Box<Node>>; 2],
}

impl Node {
    fn new(prefix: Prefix) -> Box<Node> {
        Box::new(Node { prefix, routes: Vec::new(), children: [None, None] })
    }

    fn child(&self, bits: u128) -> Option<&Node> {
        let [zero, one] = &self.children;
        match self.prefix.branch(bits) {
            Side::Zero => zero.as_deref(),
            Side::One => one.as_deref(),
        }
    }

    fn child_mut(&mut self, bits: u128) -> &mut Option<Box<Node>> {
        let [zero, one] = &mut self.children;
        match self.prefix.branch(bits) {
            Side::Zero => zero,
            Side::One => one,
        }
    }

    /// The node of exactly `prefix` below `slot`, made if there is none.
    fn at(slot: &mut Option<Box<Node>>, prefix: Prefix) -> &mut Node {
        let node = slot.get_or_insert_with(|| Node::new(prefix));
        let common = node.prefix.common(prefix);
        if common.len < node.prefix.len {
            // The node goes below a fork, or below the new prefix itself.
            let below = std::mem::replace(node, Node::new(common));
            let bits = below.prefix.bits;
            *node.child_mut(bits) = Some(below);
        }
        if node.prefix == prefix { node } else { Node::at(node.child_mut(prefix.bits), prefix) }
    }

    fn insert(&mut self, route: Route) -> Option<Route> {
        let place = self.routes.iter().position(|other| other.is_same_way(&route));
        let replaced = place.map(|place| self.routes.remove(place));
        let place = self.routes.partition_point(|other| other.metric <= route.metric);
        self.routes.insert(place, route);
        replaced
    }

    fn remove(slot: &mut Option<Box<Node>>, prefix: Prefix, which: impl Fn(&Route) -> bool) -> Option<Route> {
        let node = slot.as_deref_mut()?;
        let removed = if node.prefix == prefix {
            let place = node.routes.iter().position(which)?;
            node.routes.remove(place)
        } else if node.prefix.len < prefix.len && node.prefix.contains(prefix.bits) {
            Node::remove(node.child_mut(prefix.bits), prefix, which)?
        } else {
            return None;
        };
        // A node without routes that is no fork is not needed.
        if node.routes.is_empty() {
            match &mut node.children {
                [only, None] | [None, only] => *slot = only.take(),
                [Some(_), Some(_)] => {}
            }
        }
        Some(removed)
    }
}
