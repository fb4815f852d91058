//! One interface at work: its addresses, the claim to each, its groups, and what went through it.

use crate::base::random::Random;
use crate::base::time::Instant;
use crate::datalink::conflict::Claim;
use crate::datalink::ethernet::Vlan;
use crate::datalink::{InterfaceId, Mac};
use crate::network::address;
use crate::network::igmp::Membership;
use crate::network::packet::Cast;
use crate::physical::frame::DeviceId;
use crate::stack::config::InterfaceConfig;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};

/// An address of an interface and how sure we are that it is ours.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) net: IpNet,
    /// RFC 5227's claim; IPv4 only, and only in the stack that speaks for the host.
    pub(crate) claim: Option<Claim>,
    /// Whether it may be used, as far as the stack that speaks for the host has told the others.
    is_told_usable: bool,
}

impl Address {
    pub(crate) fn is_usable(&self) -> bool {
        self.claim.as_ref().map_or(self.is_told_usable, Claim::is_usable)
    }
}

/// What went through an interface.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received_frames: u64,
    pub(crate) received_bytes: u64,
    pub(crate) received_dropped: u64,
    pub(crate) sent_frames: u64,
    pub(crate) sent_bytes: u64,
}

/// One interface.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) id: InterfaceId,
    pub(crate) name: String,
    pub(crate) device: DeviceId,
    pub(crate) vlan: Option<u16>,
    pub(crate) mac: Mac,
    pub(crate) mtu: u16,
    /// Addresses are probed before they are used.
    pub(crate) probe: bool,
    pub(crate) up: bool,
    pub(crate) addresses: Vec<Address>,
    pub(crate) membership: Membership,
    pub(crate) traffic: Traffic,
}

impl Interface {
    /// An interface that has never seen a frame; `claims` says whether this stack claims its addresses.
    pub(crate) fn new(id: InterfaceId, config: InterfaceConfig, claims: bool, random: &mut Random) -> Self {
        let addresses = config
            .addresses
            .iter()
            .map(|net| {
                let claim = match net.addr() {
                    IpAddr::V4(v4) if claims => Some(claim(v4, config.mac, config.probe, Instant::ZERO, random)),
                    IpAddr::V4(_) | IpAddr::V6(_) => None,
                };
                Address { net: *net, claim, is_told_usable: net.addr().is_ipv6() || !config.probe }
            })
            .collect();
        Interface {
            id,
            name: config.name,
            device: config.device,
            vlan: config.vlan,
            mac: config.mac,
            mtu: config.mtu,
            probe: config.probe,
            up: true,
            addresses,
            membership: Membership::new(id, random),
            traffic: Traffic::default(),
        }
    }

    /// Claims all addresses anew, as after a time off the link in which somebody else may have taken them.
    pub(crate) fn claim_again(&mut self, now: Instant, random: &mut Random) {
        for own in &mut self.addresses {
            if let Some(known) = &mut own.claim {
                *known = claim(known.address(), self.mac, self.probe, now, random);
            }
        }
    }

    /// Another stack says whether an address may be used.
    pub(crate) fn on_told(&mut self, address: Ipv4Addr, is_usable: bool) {
        for own in self.addresses.iter_mut().filter(|own| own.net.addr() == IpAddr::V4(address)) {
            own.is_told_usable = is_usable;
        }
    }

    /// The addresses that may be used or not, other than was told last; told with this.
    pub(crate) fn take_changed(&mut self) -> impl Iterator<Item = (InterfaceId, Ipv4Addr, bool)> + '_ {
        let id = self.id;
        self.addresses.iter_mut().filter_map(move |own| {
            let claim = own.claim.as_ref()?;
            let is_usable = claim.is_usable();
            let was = std::mem::replace(&mut own.is_told_usable, is_usable);
            (was != is_usable).then_some((id, claim.address(), is_usable))
        })
    }

    /// The tag its frames carry.
    pub(crate) fn tag(&self) -> Option<Vlan> {
        self.vlan.map(|id| Vlan { id, priority: 0 })
    }

    /// True if `address` is one of ours here and may be used.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.net.addr() == address && own.is_usable())
    }

    /// Our addresses here that may be used, with their networks.
    pub(crate) fn usable(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.addresses.iter().filter(|own| own.is_usable()).map(|own| own.net)
    }

    /// Our own address to speak to `peer` from: one on the peer's network if there is one.
    pub(crate) fn source_towards(&self, peer: IpAddr) -> Option<IpAddr> {
        let family = |net: &IpNet| net.addr().is_ipv4() == peer.is_ipv4();
        let on_link = self.usable().filter(family).find(|net| net.contains(&peer));
        on_link.or_else(|| self.usable().find(family)).map(|net| net.addr())
    }

    /// How `destination` addresses us here, or `None` if it does not, unless it is a unicast address of
    /// ours, which the caller looks up over all interfaces.
    pub(crate) fn group_cast(&self, destination: Ipv4Addr) -> Option<Cast> {
        if destination.is_broadcast() || self.is_directed_broadcast(destination) {
            return Some(Cast::Broadcast);
        }
        (destination.is_multicast() && self.membership.is_member(destination)).then_some(Cast::Multicast)
    }

    /// True for the broadcast address of a network this interface is on.
    pub(crate) fn is_directed_broadcast(&self, destination: Ipv4Addr) -> bool {
        self.addresses.iter().any(|own| match own.net {
            IpNet::V4(net) => {
                address::is_directed_broadcast(destination, &net) || address::is_network_address(destination, &net)
            }
            IpNet::V6(_) => false,
        })
    }
}

fn claim(address: Ipv4Addr, mac: Mac, probe: bool, now: Instant, random: &mut Random) -> Claim {
    if probe { Claim::new(address, mac, now, random) } else { Claim::quick(address, mac, now, random) }
}
