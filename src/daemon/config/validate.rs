//! What a configuration must satisfy beyond the types of its values. Each check is a function that names the
//! first value at fault.

use super::{Config, Flaw, Interface, Listen, MAX_QUEUES, Neighbour, Route, Small, Smtp, TcpKey, TlsCertificate, http};
use crate::daemon::tls::{BadIdentity, client_roots, identity};
use crate::physical::tap;
use crate::presentation::tls::settings::ClientAuth;
use crate::session::accounts::is_name;
use crate::session::rights::{ROLE_LENGTH, ROLES, is_role};
use crate::session::sasl::scram::Entry;
use ipnet::IpNet;
use std::net::IpAddr;
use toml::Spanned;

/// IPv4 needs at least this (RFC 791 §3.2: every link carries 68 octets whole).
const MIN_MTU: u32 = 68;
const MAX_MTU: u32 = 65_535;
/// The smallest and the largest buffer of a connection; the largest is the largest window of RFC 7323 §2.3.
const BUFFER_BYTES: std::ops::RangeInclusive<u64> = 4_096..=1 << 30;

pub(super) fn check(config: &Config) -> Result<(), Flaw> {
    check_interfaces(config)?;
    for interface in &config.interfaces {
        check_addresses(interface, config)?;
    }
    config.routes.iter().try_for_each(|route| check_route(route, config))?;
    config.neighbours.iter().try_for_each(|neighbour| check_neighbour(neighbour, config))?;
    check_listens(config)?;
    check_tcp(config)?;
    check_services(config)?;
    check_tls(config)?;
    check_accounts(config)
}

fn check_interfaces(config: &Config) -> Result<(), Flaw> {
    if config.interfaces.is_empty() {
        let message = "there is no [[interface]]: add one with tap and address, or give --tap and --address";
        return Err(Flaw { span: 0..1, message: message.to_owned() });
    }
    for (index, interface) in config.interfaces.iter().enumerate() {
        tap::check_name(interface.tap.as_ref()).map_err(|reason| Flaw::at(&interface.tap, reason))?;
        check_link(interface)?;
        check_queues(interface, config)?;
        for other in config.interfaces.iter().take(index) {
            if other.name() == interface.name() {
                let message =
                    format!("{} is configured twice: merge the two interfaces, or give one a vlan", other.name());
                return Err(Flaw::at(&interface.tap, message));
            }
            if other.tap.as_ref() != interface.tap.as_ref() && other.effective_mac() == interface.effective_mac() {
                let message =
                    format!("{} and {} have the same MAC address: change one", other.name(), interface.name());
                let at = interface.mac.as_ref().or(other.mac.as_ref()).map_or(0..0, Spanned::span);
                return Err(Flaw { span: at, message });
            }
            if other.tap.as_ref() == interface.tap.as_ref()
                && other.mtu.as_ref() < interface.mtu.as_ref()
                && other.vlan.is_none()
            {
                let message = format!("the mtu of a VLAN can't be above that of its TAP {}: lower it", other.name());
                return Err(Flaw::at(&interface.mtu, message));
            }
        }
    }
    Ok(())
}

fn check_link(interface: &Interface) -> Result<(), Flaw> {
    if let Some(mac) = &interface.mac {
        if mac.as_ref().is_group() {
            let message =
                format!("{} is a group address and no interface's own: make the first octet even", mac.as_ref());
            return Err(Flaw::at(mac, message));
        }
        if mac.as_ref().0 == [0; 6] {
            return Err(Flaw::at(mac, "00:00:00:00:00:00 is no address: write one such as 02:00:00:00:00:02"));
        }
    }
    let mtu = *interface.mtu.as_ref();
    if !(MIN_MTU..=MAX_MTU).contains(&mtu) {
        return Err(Flaw::at(&interface.mtu, format!("an mtu of {mtu} is out of range: {MIN_MTU} to {MAX_MTU}")));
    }
    if let Some(vlan) = &interface.vlan
        && !(1..=4094).contains(vlan.as_ref())
    {
        return Err(Flaw::at(vlan, format!("vlan {} is out of range: 1 to 4094", vlan.as_ref())));
    }
    match &interface.host {
        Some(host) if interface.vlan.is_some() => {
            Err(Flaw::at(host, "the kernel's side has no VLAN: put host in the interface without vlan"))
        }
        _ => Ok(()),
    }
}

/// A thread has one queue of every TAP, so that all have as many.
fn check_queues(interface: &Interface, config: &Config) -> Result<(), Flaw> {
    let Some(queues) = &interface.queues else { return Ok(()) };
    if !queues.as_ref().is_possible() {
        return Err(Flaw::at(queues, format!("queues = {} is out of range: 1 to {MAX_QUEUES}", queues.as_ref())));
    }
    let differs = |other: &&Interface| other.queues.as_ref().is_some_and(|other| other.as_ref() != queues.as_ref());
    match config.interfaces.iter().take_while(|other| !std::ptr::eq(*other, interface)).find(differs) {
        Some(other) => {
            let message = format!("{} and {} differ in queues: write the same for all", other.name(), interface.name());
            Err(Flaw::at(queues, message))
        }
        None => Ok(()),
    }
}

/// Why `net` can't be an interface's address, if it can't.
fn address_fault(net: &IpNet) -> Option<String> {
    let address = net.addr();
    let IpNet::V4(v4) = net else {
        return Some(format!("{address} is an IPv6 address, which interfaces do not take: write an IPv4 one"));
    };
    let has_broadcast = v4.prefix_len() < 31;
    let wrong = if v4.prefix_len() == 0 {
        "the network of an address has a prefix length of at least 1"
    } else if v4.addr().is_multicast() || v4.addr().is_broadcast() || v4.addr().octets().first() >= Some(&240) {
        "it is no host's address"
    } else if v4.addr().is_loopback() {
        "it is a loopback address"
    } else if v4.addr().octets().first() == Some(&0) {
        "it means \"this network\""
    } else if has_broadcast && v4.addr() == v4.network() {
        "it is the address of the network itself"
    } else if has_broadcast && v4.addr() == v4.broadcast() {
        "it is the broadcast address of its network"
    } else {
        return None;
    };
    Some(format!("{net} can't be an address: {wrong}"))
}

fn check_addresses(interface: &Interface, config: &Config) -> Result<(), Flaw> {
    if interface.address.is_empty() {
        let message = format!("{} has no address: write address = [\"192.0.2.2/24\"]", interface.name());
        return Err(Flaw::at(&interface.tap, message));
    }
    for net in interface.address.iter().chain(&interface.host) {
        if let Some(fault) = address_fault(net.as_ref()) {
            return Err(Flaw::at(net, fault));
        }
        let everyone = config.interfaces.iter().flat_map(|other| other.address.iter().chain(&other.host));
        if everyone.filter(|other| other.as_ref().addr() == net.as_ref().addr()).count() > 1 {
            let message =
                format!("{} is given twice: every side of every interface needs its own", net.as_ref().addr());
            return Err(Flaw::at(net, message));
        }
    }
    Ok(())
}

fn is_ours(config: &Config, address: IpAddr) -> bool {
    config.interfaces.iter().flat_map(|interface| &interface.address).any(|net| net.as_ref().addr() == address)
}

fn check_route(route: &Route, config: &Config) -> Result<(), Flaw> {
    let to = route.to.as_ref();
    if to.addr() != to.network() {
        let message = format!("{to} has bits beyond its prefix: write {}", to.trunc());
        return Err(Flaw::at(&route.to, message));
    }
    let named = match &route.interface {
        None => None,
        Some(name) => match config.interfaces.iter().find(|interface| interface.name() == *name.as_ref()) {
            Some(interface) => Some(interface),
            None => {
                let known: Vec<String> = config.interfaces.iter().map(Interface::name).collect();
                let message = format!("there is no interface `{}`: use one of {}", name.as_ref(), known.join(", "));
                return Err(Flaw::at(name, message));
            }
        },
    };
    let Some(via) = &route.via else {
        return match named {
            Some(_) => Ok(()),
            None => Err(Flaw::at(&route.to, format!("the route to {to} leads nowhere: give via, interface or both"))),
        };
    };
    let gateway = *via.as_ref();
    if gateway.is_ipv4() != to.addr().is_ipv4() {
        return Err(Flaw::at(via, format!("{gateway} and {to} are of different address families")));
    }
    if is_ours(config, gateway) {
        return Err(Flaw::at(via, format!("{gateway} is an address of our own: name the next router")));
    }
    let is_on_link = match named {
        Some(interface) => interface.is_on_link(gateway),
        None => config.interfaces.iter().any(|interface| interface.is_on_link(gateway)),
    };
    if !is_on_link {
        let message =
            format!("the gateway {gateway} is not on the network of an interface: correct it, or add the address");
        return Err(Flaw::at(via, message));
    }
    Ok(())
}

fn check_neighbour(neighbour: &Neighbour, config: &Config) -> Result<(), Flaw> {
    let address = *neighbour.address.as_ref();
    if neighbour.mac.as_ref().is_group() {
        let message = format!("{} is a group address and no neighbour's own", neighbour.mac.as_ref());
        return Err(Flaw::at(&neighbour.mac, message));
    }
    if is_ours(config, address) {
        return Err(Flaw::at(&neighbour.address, format!("{address} is an address of our own")));
    }
    if !config.interfaces.iter().any(|interface| interface.is_on_link(address)) {
        return Err(Flaw::at(&neighbour.address, format!("{address} is not on the network of an interface")));
    }
    if config.neighbours.iter().filter(|other| *other.address.as_ref() == address).count() > 1 {
        return Err(Flaw::at(&neighbour.address, format!("the neighbour {address} is given twice")));
    }
    Ok(())
}

/// The services with the places they listen at.
fn listens(config: &Config) -> Vec<(&'static str, &Spanned<Listen>)> {
    let http = config.http.iter().map(|http| ("http", http.listen.as_slice()));
    let https = config.http.iter().map(|http| ("https", http.tls_listen.as_slice()));
    let pop3 = config.pop3.iter().map(|pop3| ("pop3", pop3.listen.as_slice()));
    let pop3s = config.pop3.iter().map(|pop3| ("pop3s", pop3.tls_listen.as_slice()));
    let smtp = config.smtp.iter().flat_map(Smtp::listens);
    let small = config.small.iter().flat_map(Small::services);
    let services = http.chain(https).chain(pop3).chain(pop3s).chain(smtp).chain(small);
    services.flat_map(|(name, list)| list.iter().map(move |listen| (name, listen))).collect()
}

fn check_listens(config: &Config) -> Result<(), Flaw> {
    let listens = listens(config);
    for (index, (name, listen)) in listens.iter().enumerate() {
        let address = listen.as_ref().socket_addr().ip();
        if !address.is_unspecified() && !is_ours(config, address) {
            let message = format!("{name} can't listen on {address}: it is not an address of an interface");
            return Err(Flaw::at(listen, message));
        }
        if let Some((other_name, other)) =
            listens.iter().take(index).find(|(_, other)| other.as_ref().overlaps(*listen.as_ref()))
        {
            // The one that stands further down in the file is the one to change.
            let (at, name, other_name, other) = if other.span().start > listen.span().start {
                (other, other_name, name, listen)
            } else {
                (listen, name, other_name, other)
            };
            let message = format!("{name} listens on {} and so does {other_name} on {}", at.as_ref(), other.as_ref());
            return Err(Flaw::at(at, message));
        }
    }
    Ok(())
}

fn check_tcp(config: &Config) -> Result<(), Flaw> {
    for buffer in [&config.tcp.send_buffer, &config.tcp.receive_buffer] {
        if !BUFFER_BYTES.contains(&buffer.as_ref().0) {
            return Err(Flaw::at(buffer, format!("a buffer of {} is out of range: 4KiB to 1GiB", buffer.as_ref())));
        }
    }
    for (index, key) in config.tcp.keys.iter().enumerate() {
        if key.key.as_ref().is_empty() {
            return Err(Flaw::at(&key.key, "an empty key is none: write the secret that the peer has"));
        }
        let is_twice = |other: &TcpKey| {
            other.peer == key.peer && (other.send_id == key.send_id || other.receive_id == key.receive_id)
        };
        if config.tcp.keys.iter().take(index).any(is_twice) {
            let message = format!("two keys for {} have the same send_id or receive_id: change one", key.peer);
            return Err(Flaw::at(&key.key, message));
        }
    }
    for bound in [&config.tcp.window_clamp, &config.tcp.notsent_lowat] {
        if bound.as_ref().0 != 0 && !BUFFER_BYTES.contains(&bound.as_ref().0) {
            let message = format!("{} is out of range: 4KiB to 1GiB, or 0 for no limit", bound.as_ref());
            return Err(Flaw::at(bound, message));
        }
    }
    Ok(())
}

fn check_services(config: &Config) -> Result<(), Flaw> {
    if let Some(http) = &config.http {
        http::check(http)?;
    }
    if let Some(pop3) = &config.pop3
        && !pop3.maildir.as_ref().to_string_lossy().contains("{user}")
    {
        let message = format!("maildir `{}` would be everyone's: put {{user}} in it", pop3.maildir.as_ref().display());
        return Err(Flaw::at(&pop3.maildir, message));
    }
    if let Some(listen) =
        config.pop3.iter().filter(|pop3| !pop3.allow_plaintext_auth).find_map(|pop3| pop3.listen.first())
        && !config.tls.starttls
    {
        let message =
            "nobody could log in here, as there is no encryption: take tls.starttls = false away, or say listen = []";
        return Err(Flaw::at(listen, message));
    }
    let of_pop3 = config.pop3.as_ref().map(|pop3| pop3.maildir.as_ref());
    config.smtp.as_ref().map_or(Ok(()), |smtp| smtp.check(&config.accounts, of_pop3, config.tls.starttls))
}

fn check_tls(config: &Config) -> Result<(), Flaw> {
    let tls = &config.tls;
    for named in &tls.certificates {
        check_certificate(named)?;
    }
    let is_name = |name: &str| {
        let name = name.strip_prefix("*.").unwrap_or(name);
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(|o| o.is_ascii_alphanumeric() || o == b'-');
        name.parse::<IpAddr>().is_ok() || (name.len() < 254 && name.split('.').all(is_label))
    };
    if let Some(name) = tls.names.iter().find(|name| !is_name(name.as_ref())) {
        return Err(Flaw::at(name, format!("`{}` is no host name", name.as_ref())));
    }
    if let Some(path) = &tls.client_ca {
        client_roots(path.as_ref()).map_err(|failure| Flaw::at(path, failure.to_string()))?;
    }
    if *tls.client_auth.as_ref() != ClientAuth::None && tls.client_ca.is_none() {
        return Err(Flaw::at(
            &tls.client_auth,
            "client_auth needs client_ca: a file of those who sign the clients' certificates",
        ));
    }
    if config.daemon.pcap_secrets && config.daemon.pcap.is_none() {
        let message = "there is no capture for the secrets to be in: add --pcap FILE, or set daemon.pcap";
        return Err(Flaw { span: 0..0, message: message.to_owned() });
    }
    Ok(())
}

/// The certificate as it would be read.
fn check_certificate(named: &TlsCertificate) -> Result<(), Flaw> {
    match identity(named) {
        Ok(_) => Ok(()),
        Err(BadIdentity::Certificate(failure)) => Err(Flaw::at(&named.certificate, failure.to_string())),
        Err(BadIdentity::Key(failure)) => Err(Flaw::at(&named.key, failure.to_string())),
    }
}

fn check_accounts(config: &Config) -> Result<(), Flaw> {
    for (index, account) in config.accounts.iter().enumerate() {
        let name = account.name.as_ref();
        if !is_name(name) {
            let message =
                format!("`{name}` can't be an account: use up to 64 letters, digits and . _ - + @, not . first");
            return Err(Flaw::at(&account.name, message));
        }
        if config.accounts.iter().take(index).any(|other| other.name.as_ref() == name) {
            return Err(Flaw::at(&account.name, format!("the account `{name}` is given twice")));
        }
        let is_argon2 = |hash: &str| hash.starts_with("$argon2") && argon2::PasswordHash::new(hash).is_ok();
        if !is_argon2(account.password.as_ref()) {
            let message = format!("the password of `{name}` is not a hash: make one with `tapstack password`");
            return Err(Flaw::at(&account.password, message));
        }
        if let Some(scram) = account.scram.as_ref().filter(|scram| Entry::parse(scram.as_ref()).is_none()) {
            let message = format!("the scram of `{name}` is none: make one with `tapstack password --scram`");
            return Err(Flaw::at(scram, message));
        }
        check_roles(&account.roles)?;
    }
    Ok(())
}

pub(super) fn check_roles(roles: &[Spanned<String>]) -> Result<(), Flaw> {
    if let Some(role) = roles.get(ROLES) {
        return Err(Flaw::at(role, format!("that is more than {ROLES} roles")));
    }
    match roles.iter().find(|role| !is_role(role.as_ref())) {
        Some(role) => Err(Flaw::at(
            role,
            format!("`{}` can't be a role: use up to {ROLE_LENGTH} of a-z 0-9 - and _", role.as_ref()),
        )),
        None => Ok(()),
    }
}
