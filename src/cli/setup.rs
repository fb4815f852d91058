//! The configuration of a run: the file, if there is one, and the flags that override it.

use crate::daemon::config::{Config, Http, Interface, Mistake, Route, Source, unwritten};
use crate::daemon::units::Period;
use crate::datalink::Mac;
use clap::Args;
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;
use std::path::PathBuf;

/// Where the configuration comes from. With several interfaces, the flags are about the first.
#[derive(Debug, Args)]
pub(super) struct Setup {
    /// The configuration file (docs/configuration.md); without one, everything has its default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The TAP device
    #[arg(long, value_name = "NAME")]
    tap: Option<String>,
    /// Our address and network, for example 192.0.2.2/24
    #[arg(long, value_name = "CIDR")]
    address: Option<IpNet>,
    /// The address to give to the kernel's side of the TAP, for example 192.0.2.1/24
    #[arg(long, value_name = "CIDR")]
    host: Option<IpNet>,
    /// Our Ethernet address, for example 02:00:00:00:00:02
    #[arg(long)]
    mac: Option<Mac>,
    /// The router for everything that is not on the network of an interface
    #[arg(long, value_name = "IP")]
    gateway: Option<IpAddr>,
    /// The largest IP packet in bytes
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u32>,
    /// The directory that HTTP serves
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Write every frame to this pcapng file, for Wireshark or tshark
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Write the secrets of TLS sessions to the capture as well, so that Wireshark opens them
    #[arg(long)]
    key_log: bool,
    /// Where what must outlive the process is kept; by default /var/lib/tapstack
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The control socket; by default /run/tapstack/TAP.sock
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// How long connections may take to end when the daemon is told to stop, for example 5s
    #[arg(long, value_name = "TIME")]
    grace: Option<Period>,
}

impl Setup {
    /// The effective configuration, not yet validated, and the text to report its mistakes in.
    pub(super) fn load(&self) -> Result<(Config, Source), Mistake> {
        let (mut config, source) = match &self.config {
            Some(path) => Config::load(path)?,
            None => (Config::without_file(), Source::none()),
        };
        self.override_interface(&mut config);
        if let Some(gateway) = self.gateway {
            config.routes.retain(|route| route.to.as_ref().prefix_len() != 0);
            let to = IpNet::V4(Ipv4Net::default());
            config.routes.push(Route {
                to: unwritten(to),
                via: Some(unwritten(gateway)),
                interface: None,
                metric: 100,
            });
        }
        if let Some(root) = &self.root {
            config.http.get_or_insert_with(Http::default).root = Some(unwritten(root.clone()));
        }
        let daemon = &mut config.daemon;
        daemon.pcap = self.pcap.clone().or(daemon.pcap.take());
        daemon.pcap_secrets |= self.key_log;
        daemon.state = self.state.clone().or(daemon.state.take());
        daemon.control = self.control.clone().or(daemon.control.take());
        daemon.grace = self.grace.unwrap_or(daemon.grace);
        Ok((config, source))
    }

    /// The file that can be read again.
    pub(super) fn path(&self) -> Option<&PathBuf> {
        self.config.as_ref()
    }

    fn override_interface(&self, config: &mut Config) {
        if config.interfaces.is_empty()
            && let Some(tap) = &self.tap
        {
            config.interfaces.push(Interface::new(tap));
        }
        let Some(interface) = config.interfaces.first_mut() else { return };
        if let Some(tap) = &self.tap {
            interface.tap = unwritten(tap.clone());
        }
        if let Some(address) = self.address {
            interface.address = vec![unwritten(address)];
            // The kernel's side of the defaults would be on another network.
            if self.config.is_none() {
                interface.host = neighbouring_address(address).map(unwritten);
            }
        }
        if let Some(host) = self.host {
            interface.host = Some(unwritten(host));
        }
        if let Some(mac) = self.mac {
            interface.mac = Some(unwritten(mac));
        }
        if let Some(mtu) = self.mtu {
            interface.mtu = unwritten(mtu);
        }
    }
}

/// The first address of the network that is not `address` itself.
fn neighbouring_address(address: IpNet) -> Option<IpNet> {
    let other = address.hosts().find(|host| *host != address.addr())?;
    IpNet::new(other, address.prefix_len()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Wrapper {
        #[command(flatten)]
        setup: Setup,
    }

    fn load(arguments: &[&str]) -> Config {
        let wrapper = Wrapper::try_parse_from(std::iter::once(&"x").chain(arguments)).unwrap();
        let (config, source) = wrapper.setup.load().unwrap();
        config.validate(&source).unwrap();
        config
    }

    #[test]
    fn without_flags_it_is_the_default_host() {
        assert_eq!(load(&[]).to_toml(), Config::without_file().to_toml());
    }

    #[test]
    fn flags_take_the_place_of_the_defaults() {
        let config =
            load(&["--tap", "t9", "--address", "198.51.100.9/30", "--gateway", "198.51.100.10", "--mtu", "900"]);
        let interface = &config.interfaces[0];
        assert_eq!(interface.name(), "t9");
        assert_eq!(interface.effective_mtu(), 900);
        assert_eq!(interface.host.as_ref().unwrap().as_ref().to_string(), "198.51.100.10/30");
        assert_eq!(config.routes.len(), 1);
        assert!(config.control_path().ends_with("t9.sock"));
    }

    #[test]
    fn flags_override_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab.toml");
        let text = "[daemon]\ngrace = \"1s\"\ncontrol = \"a\"\n[[interface]]\ntap = \"tap0\"\naddress = [\"192.0.2.2/24\"]\n\
                    [[route]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\n";
        std::fs::write(&path, text).unwrap();
        let config = load(&["--config", path.to_str().unwrap(), "--gateway", "192.0.2.7", "--grace", "9s"]);
        assert_eq!(config.routes.len(), 1);
        assert_eq!(config.routes[0].via.as_ref().unwrap().as_ref().to_string(), "192.0.2.7");
        assert_eq!(config.daemon.grace, Period::from_secs(9));
        assert_eq!(config.daemon.control, Some(folder.path().join("a")));
        assert!(config.interfaces[0].host.is_none(), "with a file, the kernel's side is as the file says");
    }
}
