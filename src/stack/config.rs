//! What a stack is made of: its interfaces, routes and knobs.

use crate::datalink::{InterfaceId, Mac};
use crate::physical::frame::DeviceId;
use crate::stack::siblings::Place;
use crate::transport::{ports, tcp};
use ipnet::IpNet;
use std::net::IpAddr;

/// A stack's make-up. The addresses and routes stand as they are given: the daemon has checked them.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The interfaces; an [`InterfaceId`] is a place in this list.
    pub interfaces: Vec<InterfaceConfig>,
    /// Routes beyond the networks of the interfaces' own addresses.
    pub routes: Vec<RouteConfig>,
    /// Neighbours that are known for good.
    pub neighbours: Vec<(InterfaceId, IpAddr, Mac)>,
    /// Whether packets for others are forwarded between interfaces (RFC 1812).
    pub forwarding: bool,
    /// TCP's knobs where a socket names none of its own.
    pub tcp: tcp::config::Config,
    /// Which reserved ports may be bound.
    pub ports: ports::Policy,
    /// The wall-clock time of the stack's time zero in milliseconds since the Unix epoch, for ICMP
    /// timestamps.
    pub unix_origin_millis: u64,
    /// Which of the stacks that are one host this is.
    pub place: Place,
}

/// One interface.
#[derive(Clone, Debug)]
pub struct InterfaceConfig {
    /// Its name in output.
    pub name: String,
    /// The device its frames go through.
    pub device: DeviceId,
    /// The VLAN of that device it stands for; `None` for untagged frames.
    pub vlan: Option<u16>,
    /// Its station address.
    pub mac: Mac,
    /// Its addresses with the networks they are on.
    pub addresses: Vec<IpNet>,
    /// The largest IP packet its link carries, in bytes.
    pub mtu: u16,
    /// Whether an address is used only after RFC 5227 §2.1.1's probes went unanswered (some six seconds)
    /// or at once, while conflicts are still looked for.
    pub probe: bool,
}

/// One route.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// The destinations it is for.
    pub to: IpNet,
    /// The next hop; `None` if the destinations are on the link.
    pub via: Option<IpAddr>,
    /// The interface to leave by.
    pub interface: InterfaceId,
    /// The lower wins among routes to the same network.
    pub metric: u32,
}
