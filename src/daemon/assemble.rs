//! From the configuration to what a stack is made of.

use crate::base::time::Duration;
use crate::daemon::config::{self, Config, Interface};
use crate::daemon::units::Period;
use crate::datalink::InterfaceId;
use crate::physical::frame::DeviceId;
use crate::physical::tap;
use crate::stack::config as stack;
use crate::stack::siblings::Place;
use crate::transport::ports::{Policy, Protocol};
use crate::transport::tcp;
use std::net::IpAddr;

/// What the stack of `config` at `place` is made of. The configuration has been validated: what names nothing is left out.
pub fn stack_config(config: &Config, place: Place, unix_origin: Duration) -> stack::Config {
    let taps = config.taps();
    let device = |interface: &Interface| taps.iter().position(|tap| *tap == interface.tap.as_ref()).unwrap_or(0);
    stack::Config {
        interfaces: config
            .interfaces
            .iter()
            .map(|interface| stack::InterfaceConfig {
                name: interface.name(),
                device: DeviceId(device(interface) as u16),
                vlan: interface.vlan_id(),
                mac: interface.effective_mac(),
                addresses: interface.address.iter().map(|net| *net.as_ref()).collect(),
                mtu: interface.effective_mtu(),
                probe: interface.probe,
            })
            .collect(),
        routes: config.routes.iter().filter_map(|route| route_config(route, config)).collect(),
        neighbours: config
            .neighbours
            .iter()
            .filter_map(|neighbour| {
                let address = *neighbour.address.as_ref();
                Some((on_link(config, address)?, address, *neighbour.mac.as_ref()))
            })
            .collect(),
        forwarding: config.forwarding.enabled,
        tcp: tcp_defaults(config),
        ports: policy(config),
        unix_origin_millis: u64::try_from(unix_origin.as_millis()).unwrap_or(u64::MAX),
        place,
    }
}

fn on_link(config: &Config, address: IpAddr) -> Option<InterfaceId> {
    let index = config.interfaces.iter().position(|interface| interface.is_on_link(address))?;
    Some(InterfaceId(index as u16))
}

fn route_config(route: &config::Route, config: &Config) -> Option<stack::RouteConfig> {
    let via = route.via.as_ref().map(|via| *via.as_ref());
    let interface = match &route.interface {
        Some(name) => {
            let index = config.interfaces.iter().position(|interface| interface.name() == *name.as_ref())?;
            InterfaceId(index as u16)
        }
        None => on_link(config, via?)?,
    };
    Some(stack::RouteConfig { to: *route.to.as_ref(), via, interface, metric: route.metric })
}

/// The most payload of one super-segment that all devices take.
fn super_segment(config: &Config) -> u32 {
    if config.interfaces.iter().all(|interface| interface.offload) {
        tap::longest_super_segment().max(tcp::config::SUPER_SEGMENT)
    } else {
        tcp::config::SUPER_SEGMENT
    }
}

/// What a TCP connection begins with, unless its service says otherwise.
pub(super) fn tcp_defaults(config: &Config) -> tcp::config::Config {
    tcp::config::Config { super_segment: super_segment(config), ..tcp_config(&config.tcp) }
}

fn tcp_config(knobs: &config::Tcp) -> tcp::config::Config {
    let bytes = |count: crate::daemon::units::ByteCount| usize::try_from(count.0).unwrap_or(usize::MAX);
    let some = |count: crate::daemon::units::ByteCount| u32::try_from(count.0).ok().filter(|count| *count > 0);
    let keepalive =
        |idle| tcp::config::Keepalive { idle, interval: knobs.keepalive_interval.0, count: knobs.keepalive_probes };
    tcp::config::Config {
        receive_buffer: bytes(*knobs.receive_buffer.as_ref()),
        send_buffer: bytes(*knobs.send_buffer.as_ref()),
        keepalive: knobs.keepalive.if_any().map(keepalive),
        user_timeout: Period::if_any(knobs.user_timeout),
        time_wait: knobs.time_wait.0,
        congestion: knobs.congestion,
        hystart: knobs.hystart,
        pacing: knobs.pacing,
        ecn: knobs.ecn,
        fast_open: knobs.fast_open,
        keys: knobs.keys.iter().map(config::TcpKey::master_key).collect(),
        recall: knobs.metrics,
        trace: knobs.trace,
        mtu_probing: knobs.mtu_probing,
        user_timeout_option: knobs.user_timeout_option,
        window_clamp: some(*knobs.window_clamp.as_ref()),
        notsent_lowat: some(*knobs.notsent_lowat.as_ref()),
        ..tcp::config::Config::default()
    }
}

/// The ports that services name, reserved ones among them (RFC 6335 §6), may be bound.
fn policy(config: &Config) -> Policy {
    let mut policy = Policy::new();
    let http = config.http.iter().flat_map(|http| http.listen.iter().chain(&http.tls_listen));
    let pop3 = config.pop3.iter().flat_map(|pop3| pop3.listen.iter().chain(&pop3.tls_listen));
    let smtp = config.smtp.iter().flat_map(config::Smtp::listens).flat_map(|(_, listen)| listen);
    for listen in http.chain(pop3).chain(smtp) {
        policy.allow(Protocol::Tcp, listen.as_ref().socket_addr().port());
    }
    for listen in config.small.iter().flat_map(config::Small::services).flat_map(|(_, listen)| listen) {
        policy.allow(Protocol::Tcp, listen.as_ref().socket_addr().port());
        policy.allow(Protocol::Udp, listen.as_ref().socket_addr().port());
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::config::unwritten;

    #[test]
    fn vlans_share_the_device_of_their_tap_and_routes_find_their_interface() {
        let mut config = Config::without_file();
        let mut vlan = Interface::new("tap0");
        vlan.vlan = Some(unwritten(7));
        vlan.address = vec![unwritten("198.51.100.2/24".parse().unwrap())];
        let mut other = Interface::new("tap1");
        other.address = vec![unwritten("203.0.113.2/24".parse().unwrap())];
        config.interfaces.extend([vlan, other]);
        config.routes.push(config::Route {
            to: unwritten("0.0.0.0/0".parse().unwrap()),
            via: Some(unwritten("203.0.113.1".parse().unwrap())),
            interface: None,
            metric: 7,
        });
        let made = stack_config(&config, Place::default(), Duration::from_secs(1));
        let devices: Vec<u16> = made.interfaces.iter().map(|interface| interface.device.0).collect();
        assert_eq!(devices, [0, 0, 1]);
        assert_eq!(made.interfaces[1].vlan, Some(7));
        assert_eq!((made.routes[0].interface, made.routes[0].metric), (InterfaceId(2), 7));
        assert_eq!(made.unix_origin_millis, 1000);
    }

    #[test]
    fn only_the_ports_that_services_name_may_be_bound() {
        let policy = policy(&Config::without_file());
        for port in [7, 9, 13, 19, 25, 80, 110, 443, 995] {
            assert!(policy.check(Protocol::Tcp, port).is_ok(), "{port}");
        }
        assert!(policy.check(Protocol::Udp, 7).is_ok());
        assert!(policy.check(Protocol::Udp, 80).is_err());
        assert!(policy.check(Protocol::Tcp, 22).is_err());
    }

    #[test]
    fn zero_switches_a_tcp_timer_off() {
        let mut knobs = config::Tcp::default();
        assert!(tcp_config(&knobs).keepalive.is_none());
        knobs.keepalive = Period::from_secs(60);
        knobs.user_timeout = Period::default();
        let made = tcp_config(&knobs);
        assert_eq!(made.keepalive.unwrap().idle, Duration::from_secs(60));
        assert_eq!(made.user_timeout, None);
    }
}
