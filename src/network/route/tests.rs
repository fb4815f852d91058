//! The table against a list that is searched from end to end.

use super::*;
use crate::base::random::Random;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const LAN: InterfaceId = InterfaceId(0);
const WAN: InterfaceId = InterfaceId(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn route(to: &str, via: &str, interface: InterfaceId, metric: u32) -> Route {
    let via = if via.is_empty() { None } else { Some(ip(via)) };
    Route { to: net(to), via, interface, metric, source: None, origin: Origin::Static }
}

fn via(table: &RoutingTable, destination: &str) -> Option<String> {
    table.lookup(ip(destination)).map(|route| route.next_hop(ip(destination)).to_string())
}

#[test]
fn the_longest_prefix_wins() {
    // RFC 1812 §5.2.4.3 (2).
    let mut table = RoutingTable::new();
    table.insert(route("0.0.0.0/0", "192.0.2.1", LAN, 0));
    table.insert(route("10.0.0.0/8", "192.0.2.2", LAN, 9));
    table.insert(route("10.1.0.0/16", "192.0.2.3", LAN, 99));
    table.insert(route("10.1.2.3/32", "192.0.2.4", LAN, 999));
    assert_eq!(via(&table, "10.1.2.3").unwrap(), "192.0.2.4");
    assert_eq!(via(&table, "10.1.2.4").unwrap(), "192.0.2.3");
    assert_eq!(via(&table, "10.2.2.3").unwrap(), "192.0.2.2");
    assert_eq!(via(&table, "11.1.2.3").unwrap(), "192.0.2.1");
    assert_eq!(via(&table, "2001:db8::1"), None);
}

#[test]
fn among_routes_to_one_network_the_lowest_metric_wins_and_then_the_first() {
    let mut table = RoutingTable::new();
    table.insert(route("0.0.0.0/0", "192.0.2.1", LAN, 20));
    table.insert(route("0.0.0.0/0", "192.0.2.2", LAN, 10));
    table.insert(route("0.0.0.0/0", "192.0.2.3", LAN, 10));
    assert_eq!(via(&table, "1.1.1.1").unwrap(), "192.0.2.2");
    assert!(table.remove(net("0.0.0.0/0"), Some(ip("192.0.2.2")), LAN).is_some());
    assert_eq!(via(&table, "1.1.1.1").unwrap(), "192.0.2.3");
    let replaced = table.insert(route("0.0.0.0/0", "192.0.2.1", LAN, 5));
    assert_eq!(replaced.map(|route| route.metric), Some(20));
    assert_eq!(via(&table, "1.1.1.1").unwrap(), "192.0.2.1");
    assert_eq!(table.len(), 2);
}

#[test]
fn a_network_on_the_link_is_its_own_next_hop() {
    let mut table = RoutingTable::new();
    table.insert(Route::connected(net("192.0.2.2/24"), LAN));
    assert_eq!(via(&table, "192.0.2.77").unwrap(), "192.0.2.77");
    assert_eq!(table.lookup(ip("192.0.2.77")).unwrap().source, Some(ip("192.0.2.2")));
}

#[test]
fn routes_over_an_interface_that_is_down_are_skipped() {
    let mut table = RoutingTable::new();
    table.insert(route("0.0.0.0/0", "203.0.113.1", WAN, 0));
    table.insert(route("10.0.0.0/8", "192.0.2.1", LAN, 0));
    table.insert(route("10.0.0.0/8", "203.0.113.2", WAN, 7));
    table.set_interface_up(LAN, false);
    assert_eq!(via(&table, "10.0.0.1").unwrap(), "203.0.113.2");
    table.set_interface_up(WAN, false);
    assert_eq!(via(&table, "10.0.0.1"), None);
    table.set_interface_up(LAN, true);
    assert_eq!(via(&table, "10.0.0.1").unwrap(), "192.0.2.1");
}

#[test]
fn routes_come_in_order_and_go_with_their_interface() {
    let mut table = RoutingTable::new();
    for to in ["2001:db8::/32", "10.1.0.0/16", "192.0.2.0/24", "0.0.0.0/0", "10.0.0.0/8", "::/0", "10.128.0.0/9"] {
        table.insert(route(to, "", if to.starts_with("10.1.") { WAN } else { LAN }, 0));
    }
    let order: Vec<String> = table.iter().map(|route| route.to.to_string()).collect();
    let expected = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.128.0.0/9", "192.0.2.0/24", "::/0", "2001:db8::/32"];
    assert_eq!(order, expected);
    assert_eq!(table.remove_interface(LAN).len(), 6);
    assert_eq!(table.len(), 1);
    assert_eq!(table.remove_interface(WAN).len(), 1);
    assert!(table.is_empty() && table.v4.is_none() && table.v6.is_none());
}

fn depth(node: &Option<Box<Node>>) -> usize {
    node.as_ref().map_or(0, |node| 1 + node.children.iter().map(depth).max().unwrap_or(0))
}

#[test]
fn fifty_thousand_routes_are_found_in_a_few_steps_and_leave_nothing_behind() {
    let mut random = Random::from_seed(7);
    let mut table = RoutingTable::new();
    let mut routes = Vec::new();
    for n in 0..50_000u32 {
        let len = 8 + random.below(17) as u8;
        let to = IpNet::new(Ipv4Addr::from(random.next_u32()).into(), len).unwrap().trunc();
        let route = Route { to, via: None, interface: LAN, metric: n, source: None, origin: Origin::Static };
        if table.insert(route).is_none() {
            routes.push(route.to);
        }
    }
    assert_eq!(table.len(), routes.len());
    assert_eq!(table.iter().count(), routes.len());
    assert!(depth(&table.v4) <= 25, "no deeper than the longest prefix: {}", depth(&table.v4));
    for to in &routes {
        assert!(table.lookup(to.addr()).is_some_and(|found| found.to.prefix_len() >= to.prefix_len()));
    }
    for to in routes {
        assert!(table.remove(to, None, LAN).is_some());
    }
    assert!(table.is_empty() && table.v4.is_none());
}

/// The same questions answered by searching a list.
#[derive(Default)]
struct Model(Vec<Route>);

impl Model {
    fn insert(&mut self, route: Route) {
        self.0.retain(|other| other.to != route.to || !other.is_same_way(&route));
        self.0.push(route);
    }

    fn lookup(&self, destination: IpAddr, down: &BTreeSet<InterfaceId>) -> Option<&Route> {
        let usable = self.0.iter().filter(|route| route.to.contains(&destination) && !down.contains(&route.interface));
        // The first of those with the lowest key: min_by_key keeps the first.
        usable.min_by_key(|route| (std::cmp::Reverse(route.to.prefix_len()), route.metric))
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(Route),
    Remove(Route),
    Up(u16, bool),
}

/// Few different bits, so that prefixes nest and collide.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u8..4, 0u8..4, 0u8..2).prop_map(|(a, b, c)| IpAddr::V4(Ipv4Addr::new(a << 6, b << 6 | b, 0, c))),
        (0u16..4, 0u16..3).prop_map(|(a, b)| IpAddr::V6(Ipv6Addr::new(a << 14, 0, 0, 0, b << 9, 0, 0, b))),
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
    ]
}

fn any_route() -> impl Strategy<Value = Route> {
    (address(), 0u8..=128, 0u16..3, 0u32..3, any::<bool>()).prop_map(|(address, len, interface, metric, direct)| {
        let len = if address.is_ipv4() { len % 33 } else { len };
        let to = IpNet::new(address, len).unwrap().trunc();
        let via = if direct { None } else { Some(ip("192.0.2.1")) };
        Route { to, via, interface: InterfaceId(interface), metric, source: None, origin: Origin::Static }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => any_route().prop_map(Step::Insert),
        3 => any_route().prop_map(Step::Remove),
        1 => (0u16..3, any::<bool>()).prop_map(|(interface, up)| Step::Up(interface, up)),
    ];
    proptest::collection::vec(step, 0..120)
}

/// A node without routes is a fork, and children lie inside their parents.
fn check_shape(node: &Node) {
    let children: Vec<&Node> = node.children.iter().flatten().map(|child| &**child).collect();
    assert!(!node.routes.is_empty() || children.len() == 2);
    assert!(node.routes.is_sorted_by_key(|route| route.metric));
    for child in children {
        assert!(child.prefix.len > node.prefix.len && node.prefix.contains(child.prefix.bits));
        check_shape(child);
    }
}

proptest! {
    #[test]
    fn it_answers_as_a_search_through_all_routes_would(
        steps in steps(), questions in proptest::collection::vec(address(), 1..40),
    ) {
        let (mut table, mut model) = (RoutingTable::new(), Model::default());
        for step in steps {
            match step {
                Step::Insert(route) => {
                    table.insert(route);
                    model.insert(route);
                }
                Step::Remove(route) => {
                    let before = model.0.len();
                    model.0.retain(|other| other.to != route.to || !other.is_same_way(&route));
                    let removed = table.remove(route.to, route.via, route.interface);
                    prop_assert_eq!(removed.is_some(), model.0.len() < before);
                }
                Step::Up(interface, up) => table.set_interface_up(InterfaceId(interface), up),
            }
            prop_assert_eq!(table.len(), model.0.len());
        }
        table.v4.iter().chain(&table.v6).for_each(|root| check_shape(root));
        prop_assert_eq!(table.iter().count(), model.0.len());
        for question in questions.into_iter().chain(model.0.iter().map(|route| route.to.addr())) {
            prop_assert_eq!(table.lookup(question), model.lookup(question, &table.down), "{}", question);
        }
    }
}
