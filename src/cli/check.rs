//! `tapstack check`: what would run, without running it.

use crate::cli::setup::Setup;
use crate::daemon::config::{Config, Http, Interface, Listen};
use crate::daemon::failure::Failure;
use crate::daemon::tls::{identity, own_names};
use crate::presentation::tls::settings::{ClientAuth, Profile};
use toml::Spanned;

/// Prints the effective configuration below a summary in comments: the output is a configuration file.
pub(super) fn run(setup: &Setup) -> Result<(), Failure> {
    let (config, source) = setup.load()?;
    config.validate(&source)?;
    let name = setup.path().map_or("the built-in configuration".to_owned(), |path| path.display().to_string());
    super::print(&format!("# {name} is good. It would run:\n{}\n{}", summary(&config), config.to_toml()));
    Ok(())
}

fn summary(config: &Config) -> String {
    let mut lines: Vec<String> = config.interfaces.iter().map(interface).collect();
    if config.queues() > 1 {
        lines.push(format!("{} queues, a thread with a stack and all services for each", config.queues()));
    }
    for route in &config.routes {
        let via = route.via.as_ref().map_or(String::new(), |via| format!(" via {}", via.as_ref()));
        let on = route.interface.as_ref().map_or(String::new(), |name| format!(" on {}", name.as_ref()));
        lines.push(format!("route to {}{via}{on}", route.to.as_ref()));
    }
    if config.forwarding.enabled {
        lines.push("forwarding between interfaces".to_owned());
    }
    if let Some(http) = &config.http {
        let root = http.root.as_ref().map_or("built-in pages".to_owned(), |root| root.as_ref().display().to_string());
        lines.push(format!("http on {}: {root}", ports(&http.listen)));
    }
    if let Some(http) = config.http.iter().find(|http| !http.tls_listen.is_empty()) {
        lines.push(format!("https on {}: the same", ports(&http.tls_listen)));
    }
    if let Some((path, port)) = config.http.as_ref().and_then(Http::pages) {
        lines.push(format!("login, mail and sessions of accounts over https on {port}: {path}"));
    }
    if let Some(pop3) = &config.pop3 {
        let accounts = config.accounts.len();
        lines.push(format!(
            "pop3 on {}: {} ({accounts} accounts)",
            ports(&pop3.listen),
            pop3.maildir.as_ref().display()
        ));
    }
    if let Some(pop3) = config.pop3.iter().find(|pop3| !pop3.tls_listen.is_empty()) {
        lines.push(format!("pop3s on {}: the same", ports(&pop3.tls_listen)));
    }
    for (name, listen) in config.smtp.iter().flat_map(|smtp| smtp.listens()).filter(|(_, listen)| !listen.is_empty()) {
        let domains: Vec<&str> =
            config.smtp.iter().flat_map(|smtp| &smtp.domains).map(|name| name.as_ref().as_str()).collect();
        lines.push(format!("{name} on {}: mail for {}", ports(listen), domains.join(", ")));
    }
    if config.has_tls() {
        lines.extend(tls(config));
    }
    for (name, listen) in config.small.iter().flat_map(|small| small.services()) {
        if !listen.is_empty() {
            lines.push(format!("{name} on {}", ports(listen)));
        }
    }
    lines.push(format!("control socket {}", config.control_path().display()));
    lines.iter().map(|line| format!("#   {line}\n")).collect()
}

fn tls(config: &Config) -> Vec<String> {
    let versions = match config.tls.profile {
        Profile::Intermediate => "TLS 1.2 and 1.3",
        Profile::Modern => "TLS 1.3",
    };
    let clients = match config.tls.client_auth.as_ref() {
        ClientAuth::None => "",
        ClientAuth::Optional => ", clients may show certificates",
        ClientAuth::Required => ", clients must show certificates",
    };
    let upgrades = if config.has_starttls() { ", STLS and STARTTLS" } else { "" };
    let mut lines = vec![format!("{versions}{upgrades}{clients}")];
    // They have been read a moment ago.
    for (named, identity) in config.tls.certificates.iter().filter_map(|named| Some((named, identity(named).ok()?))) {
        lines.push(format!("certificate {} for {}", named.certificate.as_ref().display(), identity.names().join(", ")));
    }
    if config.tls.certificates.is_empty() {
        let folder = config.state_path().join("tls");
        lines.push(format!("certificate of our own in {} for {}", folder.display(), own_names(config).join(", ")));
    }
    lines
}

fn interface(interface: &Interface) -> String {
    let addresses: Vec<String> = interface.address.iter().map(|net| net.as_ref().to_string()).collect();
    let mut line = format!(
        "{} {} mtu {} address {}",
        interface.name(),
        interface.effective_mac(),
        interface.effective_mtu(),
        addresses.join(" ")
    );
    match &interface.host {
        Some(host) => line.push_str(&format!(", kernel's side {}", host.as_ref())),
        None if interface.brings_host_up() => line.push_str(", kernel's side up"),
        None => line.push_str(", kernel's side left alone"),
    }
    line
}

fn ports(listen: &[Spanned<Listen>]) -> String {
    listen.iter().map(|listen| listen.as_ref().to_string()).collect::<Vec<_>>().join(", ")
}
