//! What the network floor knows of the world: interfaces, routes and the sizes that fit their ways.
//!
//! This is what transports ask through [`Paths`], and what the way out asks for the next hop.

use crate::base::drops::DropReason;
use crate::base::random::Random;
use crate::base::time::Instant;
use crate::datalink::InterfaceId;
use crate::network::packet::Paths;
use crate::network::path_mtu::PathMtus;
use crate::network::route::{Origin, Route, RoutingTable};
use crate::network::source::{self, Candidate};
use crate::stack::config::{Config, RouteConfig};
use crate::stack::interface::Interface;
use ipnet::IpNet;
use std::net::IpAddr;

/// What fits the way to ourselves: the largest IPv4 packet.
const LOOPBACK_MTU: u16 = u16::MAX;

/// The way out for one destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    pub(crate) interface: InterfaceId,
    /// Whose station address the frame gets: the gateway's or the destination's own.
    pub(crate) next_hop: IpAddr,
}

/// Interfaces, routes and path MTUs.
#[derive(Debug)]
pub(crate) struct Internet {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) routes: RoutingTable,
    pub(crate) path_mtus: PathMtus,
    /// The time of the call that is running, for ageing path MTUs.
    pub(crate) now: Instant,
}

impl Internet {
    pub(crate) fn new(config: &Config, random: &mut Random) -> Self {
        let interfaces: Vec<Interface> = (0u16..)
            .zip(&config.interfaces)
            .map(|(id, interface)| Interface::new(InterfaceId(id), interface.clone(), config.place.is_first(), random))
            .collect();
        let mut routes = RoutingTable::new();
        for interface in &interfaces {
            for address in &interface.addresses {
                routes.insert(Route::connected(address.net, interface.id));
            }
        }
        for RouteConfig { to, via, interface, metric } in &config.routes {
            let (to, via, interface, metric) = (*to, *via, *interface, *metric);
            routes.insert(Route { to, via, interface, metric, source: None, origin: Origin::Static });
        }
        let path_mtus = PathMtus::new(random);
        Internet { interfaces, routes, path_mtus, now: Instant::ZERO }
    }

    pub(crate) fn interface(&self, id: InterfaceId) -> Option<&Interface> {
        self.interfaces.get(usize::from(id.0))
    }

    pub(crate) fn interface_mut(&mut self, id: InterfaceId) -> Option<&mut Interface> {
        self.interfaces.get_mut(usize::from(id.0))
    }

    /// The best way to `destination` over interfaces that are up.
    pub(crate) fn way_to(&self, destination: IpAddr) -> Result<(Way, &Route), DropReason> {
        let route = self.routes.lookup(destination).ok_or(DropReason::NoRoute)?;
        Ok((Way { interface: route.interface, next_hop: route.next_hop(destination) }, route))
    }

    /// The largest packet that leaves by `way` unfragmented, as far as the link itself goes.
    pub(crate) fn link_mtu(&self, interface: InterfaceId) -> u16 {
        self.interface(interface).map_or(0, |interface| interface.mtu)
    }

    /// True if a packet with this source could have come in from `interface`'s own network: used for
    /// answers that must not leave the link.
    pub(crate) fn is_on_link(&self, interface: InterfaceId, address: IpAddr) -> bool {
        self.interface(interface).is_some_and(|interface| interface.usable().any(|net| net.contains(&address)))
    }

    /// The networks of all interfaces whose broadcast address is `destination`.
    pub(crate) fn directed_broadcast(&self, destination: IpAddr) -> Option<InterfaceId> {
        let IpAddr::V4(destination) = destination else { return None };
        self.interfaces.iter().find(|interface| interface.is_directed_broadcast(destination)).map(|found| found.id)
    }

    /// Our usable IPv4 addresses with their networks.
    pub(crate) fn ipv4_nets(&self) -> impl Iterator<Item = ipnet::Ipv4Net> + '_ {
        self.addresses().filter_map(|net| match net {
            IpNet::V4(net) => Some(net),
            IpNet::V6(_) => None,
        })
    }

    /// True if `address` is configured, whether it may be used yet or not.
    pub(crate) fn is_configured(&self, address: IpAddr) -> bool {
        self.interfaces.iter().flat_map(|interface| &interface.addresses).any(|own| own.net.addr() == address)
    }

    /// Every usable address of ours.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.interfaces.iter().flat_map(Interface::usable)
    }
}

impl Paths for Internet {
    fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        if self.is_local(destination) {
            return Some(destination);
        }
        let (_, route) = self.way_to(destination).ok()?;
        let candidates: Vec<Candidate> = self
            .interfaces
            .iter()
            .flat_map(|interface| interface.usable().map(|net| Candidate { net, interface: interface.id }))
            .collect();
        source::select(&candidates, route, destination)
    }

    fn mtu_to(&self, destination: IpAddr) -> u16 {
        if self.is_local(destination) {
            return LOOPBACK_MTU;
        }
        let link = self.way_to(destination).map_or(0, |(way, _)| self.link_mtu(way.interface));
        match self.path_mtus.mtu_to(destination, self.now) {
            Some(path) if link > 0 => path.min(link),
            _ => link,
        }
    }

    fn is_local(&self, address: IpAddr) -> bool {
        self.interfaces.iter().any(|interface| interface.has(address))
    }

    fn is_direct(&self, destination: IpAddr) -> bool {
        self.way_to(destination).is_ok_and(|(way, _)| way.next_hop == destination)
    }
}
