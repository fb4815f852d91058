//! The configuration: TOML, one table per system, unknown keys refused, every key with a default.
//!
//! These structs are the schema; `docs/configuration.md` has one line for each of their keys, and a test
//! compares the two. What a value must satisfy beyond its type stands in [`validate`]. A mistake names the
//! file and the line.

mod account;
pub mod http;
mod key;
mod listen;
mod proxy;
mod queues;
mod smtp;
mod tcp;
mod tls;
mod validate;

pub use account::Account;
pub use http::Http;
pub use key::TcpKey;
pub use listen::Listen;
pub use queues::{MAX_QUEUES, Queues};
pub use smtp::Smtp;
pub use tcp::Tcp;
pub use tls::{Tls, TlsCertificate};

use crate::base::time::Duration;
use crate::daemon::units::Period;
use crate::datalink::Mac;
use crate::transport::tcp::config::Algorithm;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use std::fmt;
use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZero;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Everything that can be configured.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The process itself.
    pub daemon: Daemon,
    /// The TAP devices and VLANs.
    #[serde(rename = "interface")]
    pub interfaces: Vec<Interface>,
    /// Routes beyond the networks of the interfaces.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// Neighbours whose address is not asked for.
    #[serde(rename = "neighbour")]
    pub neighbours: Vec<Neighbour>,
    /// Being a router.
    pub forwarding: Forwarding,
    /// The defaults of TCP connections.
    pub tcp: Tcp,
    /// What is offered to clients that come encrypted.
    pub tls: Tls,
    /// The web server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// The server that people fetch their mail from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pop3: Option<Pop3>,
    /// The server that takes mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp: Option<Smtp>,
    /// The users.
    #[serde(rename = "account")]
    pub accounts: Vec<Account>,
    /// The small services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub small: Option<Small>,
}

/// `[daemon]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Daemon {
    /// The control socket; by default `/run/tapstack/NAME.sock` for the first TAP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<PathBuf>,
    /// How long connections may take to end when the daemon is told to stop.
    pub grace: Period,
    /// How long to stay awake for the next frame while frames come in quick succession.
    pub busy_poll: Period,
    /// A pcapng file that every frame is written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pcap: Option<PathBuf>,
    /// The secrets of TLS sessions are written to it as well.
    pub pcap_secrets: bool,
    /// Where what must outlive the process is kept; by default `/var/lib/tapstack`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
}

impl Default for Daemon {
    fn default() -> Self {
        Daemon {
            control: None,
            grace: Period::from_secs(5),
            busy_poll: Period(Duration::from_micros(50)),
            pcap: None,
            pcap_secrets: false,
            state: None,
        }
    }
}

/// `[[interface]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// The TAP device.
    pub tap: Spanned<String>,
    /// Our Ethernet address; by default derived from the TAP's name.
    #[serde(default, with = "mac_text", skip_serializing_if = "Option::is_none")]
    pub mac: Option<Spanned<Mac>>,
    /// Our addresses with the networks they are in.
    #[serde(default)]
    pub address: Vec<Spanned<IpNet>>,
    /// The address to give to the kernel's side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Spanned<IpNet>>,
    /// Bring the kernel's side up; by default if it gets an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<bool>,
    /// The largest IP packet.
    #[serde(default = "default_mtu")]
    pub mtu: Spanned<u32>,
    /// Let the kernel cut and join segments where it can.
    #[serde(default = "default_true")]
    pub offload: bool,
    /// Queues of the TAP. What one interface says holds for all; by default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<Spanned<Queues>>,
    /// Ask the link whether an address is free before it is used (RFC 5227), which takes some six seconds.
    #[serde(default)]
    pub probe: bool,
    /// The 802.1Q tag of this interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Spanned<u32>>,
}

fn default_mtu() -> Spanned<u32> {
    unwritten(1500)
}

fn default_true() -> bool {
    true
}

/// A value that stands in no file: a default, or from the command line.
pub fn unwritten<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

impl Interface {
    /// An interface of `tap` with the defaults and no address.
    pub fn new(tap: &str) -> Self {
        Interface {
            tap: unwritten(tap.to_owned()),
            mac: None,
            address: Vec::new(),
            host: None,
            up: None,
            mtu: default_mtu(),
            offload: true,
            queues: None,
            probe: false,
            vlan: None,
        }
    }

    /// The name by which routes refer to it: the TAP's, with the VLAN's number behind a dot if there is one.
    pub fn name(&self) -> String {
        match &self.vlan {
            Some(vlan) => format!("{}.{}", self.tap.as_ref(), vlan.as_ref()),
            None => self.tap.as_ref().clone(),
        }
    }

    /// Its Ethernet address: the configured one, or one derived from the TAP's name, so that it is the same
    /// after a restart and neighbours need not learn another.
    pub fn effective_mac(&self) -> Mac {
        if let Some(mac) = &self.mac {
            return *mac.as_ref();
        }
        let mut hasher = SipHasher13::new();
        hasher.write(self.tap.as_ref().as_bytes());
        let [a, b, c, d, e, ..] = hasher.finish().to_be_bytes();
        // 02: locally administered, not a group.
        Mac([0x02, a, b, c, d, e])
    }

    /// The MTU.
    pub fn effective_mtu(&self) -> u16 {
        u16::try_from(*self.mtu.as_ref()).unwrap_or(u16::MAX)
    }

    /// Its VLAN's number.
    pub fn vlan_id(&self) -> Option<u16> {
        self.vlan.as_ref().and_then(|vlan| u16::try_from(*vlan.as_ref()).ok())
    }

    /// True if the kernel's side is to be brought up.
    pub fn brings_host_up(&self) -> bool {
        self.up.unwrap_or(self.host.is_some())
    }

    /// True if `address` is on the network of one of its addresses.
    pub fn is_on_link(&self, address: IpAddr) -> bool {
        self.address.iter().any(|net| net.as_ref().contains(&address))
    }
}

/// `[[route]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The destinations.
    pub to: Spanned<IpNet>,
    /// The gateway; without one the destinations are on the link of `interface`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Spanned<IpAddr>>,
    /// The interface; by default the one whose network the gateway is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<Spanned<String>>,
    /// Of several routes to the same destinations the lowest metric wins.
    #[serde(default = "default_metric")]
    pub metric: u32,
}

fn default_metric() -> u32 {
    100
}

/// `[[neighbour]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// Its IP address.
    pub address: Spanned<IpAddr>,
    /// Its Ethernet address.
    #[serde(with = "required_mac_text")]
    pub mac: Spanned<Mac>,
}

/// `[forwarding]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Forwarding {
    /// Forward packets between interfaces.
    pub enabled: bool,
}

/// `[pop3]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pop3 {
    /// Where it listens.
    pub listen: Vec<Spanned<Listen>>,
    /// Where it listens for TLS.
    pub tls_listen: Vec<Spanned<Listen>>,
    /// The Maildir of each user; `{user}` stands for the name.
    pub maildir: Spanned<PathBuf>,
    /// Connections at once.
    pub connections: u32,
    /// How long a session may be silent (RFC 1939 §3 asks for at least ten minutes).
    pub idle_timeout: Period,
    /// How long a command that has begun may take to come to its end.
    pub command_timeout: Period,
    /// The least time between two logins of one account; 0: any.
    pub login_delay: Period,
    /// Take passwords without encryption.
    pub allow_plaintext_auth: bool,
    /// The congestion control of its connections; by default that of `[tcp]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion: Option<Algorithm>,
}

impl Default for Pop3 {
    fn default() -> Self {
        Pop3 {
            listen: vec![unwritten(Listen::Port(110))],
            tls_listen: Vec::new(),
            maildir: unwritten("mail/{user}".into()),
            connections: 1_024,
            idle_timeout: Period::from_secs(600),
            command_timeout: Period::from_secs(60),
            login_delay: Period::default(),
            allow_plaintext_auth: true,
            congestion: None,
        }
    }
}

/// `[small]`: each over TCP and UDP; an empty list switches one off.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Small {
    /// Where echo (RFC 862) listens.
    pub echo: Vec<Spanned<Listen>>,
    /// Where discard (RFC 863) listens.
    pub discard: Vec<Spanned<Listen>>,
    /// Where the character generator (RFC 864) listens.
    pub chargen: Vec<Spanned<Listen>>,
    /// Where daytime (RFC 867) listens.
    pub daytime: Vec<Spanned<Listen>>,
    /// The congestion control of their connections; by default that of `[tcp]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion: Option<Algorithm>,
    /// Take data on SYNs; by default as `[tcp]` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fast_open: Option<bool>,
}

impl Default for Small {
    fn default() -> Self {
        let on = |port| vec![unwritten(Listen::Port(port))];
        Small { echo: on(7), discard: on(9), chargen: on(19), daytime: on(13), congestion: None, fast_open: None }
    }
}

impl Small {
    /// The services with their names.
    pub fn services(&self) -> [(&'static str, &[Spanned<Listen>]); 4] {
        [
            ("echo", self.echo.as_slice()),
            ("discard", self.discard.as_slice()),
            ("chargen", self.chargen.as_slice()),
            ("daytime", self.daytime.as_slice()),
        ]
    }
}

/// What is wrong with a configuration, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// Where: `file:line`, `file`, or empty when it is not in a file.
    pub place: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => f.write_str(&self.message),
            place => write!(f, "{place}: {}", self.message),
        }
    }
}

impl std::error::Error for Mistake {}

/// A mistake in the text of a file, before it is known which line it is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flaw {
    span: Range<usize>,
    message: String,
}

impl Flaw {
    fn at<T>(value: &Spanned<T>, message: impl Into<String>) -> Self {
        Flaw { span: value.span(), message: message.into() }
    }
}

/// A configuration with the text it came from, to say where a mistake is.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file, if there is one.
    pub path: Option<PathBuf>,
    text: String,
}

impl Source {
    /// No file: defaults and the command line.
    pub fn none() -> Self {
        Source { path: None, text: String::new() }
    }

    fn mistake(&self, span: Option<Range<usize>>, message: &str) -> Mistake {
        let message = message.trim().replace('\n', "; ");
        let place = match (&self.path, span) {
            (Some(path), Some(span)) if !span.is_empty() || span.start > 0 => {
                let before = self.text.get(..span.start).unwrap_or(&self.text);
                format!("{}:{}", path.display(), before.matches('\n').count() + 1)
            }
            (Some(path), None) => path.display().to_string(),
            _ => String::new(),
        };
        Mistake { place, message }
    }
}

impl Config {
    /// What runs without any configuration: a host at 192.0.2.2 on `tap0` with all its services, and the
    /// kernel at 192.0.2.1.
    pub fn without_file() -> Self {
        let host = |last| IpNet::new_assert(Ipv4Addr::new(192, 0, 2, last).into(), 24);
        let mut interface = Interface::new("tap0");
        interface.address = vec![unwritten(host(2))];
        interface.host = Some(unwritten(host(1)));
        Config {
            interfaces: vec![interface],
            http: Some(Http { tls_listen: vec![unwritten(Listen::Port(443))], ..Http::default() }),
            pop3: Some(Pop3 { tls_listen: vec![unwritten(Listen::Port(995))], ..Pop3::default() }),
            smtp: Some(Smtp::default()),
            small: Some(Small::default()),
            ..Config::default()
        }
    }

    /// Reads the file. [`Config::validate`] is still to be asked, after the command line had its say.
    ///
    /// # Errors
    /// The file can't be read, is not TOML, or has unknown keys or values of the wrong type.
    pub fn load(path: &Path) -> Result<(Self, Source), Mistake> {
        let text = std::fs::read_to_string(path).map_err(|error| Mistake {
            place: path.display().to_string(),
            message: format!("the configuration can't be read: {error}"),
        })?;
        let source = Source { path: Some(path.to_owned()), text };
        let mut config: Config = Config::parse(&source.text)
            .map_err(|error| source.mistake(error.span().or(Some(0..1)), error.message()))?;
        if let Some(folder) = path.parent() {
            config.make_paths_relative_to(folder);
        }
        Ok((config, source))
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    fn make_paths_relative_to(&mut self, folder: &Path) {
        let anchor = |path: &mut PathBuf| *path = folder.join(&*path);
        self.daemon.control.iter_mut().for_each(anchor);
        self.daemon.pcap.iter_mut().for_each(anchor);
        self.daemon.state.iter_mut().for_each(anchor);
        self.tls.paths().for_each(anchor);
        self.http.iter_mut().flat_map(Http::paths).for_each(anchor);
        if let Some(pop3) = &mut self.pop3 {
            anchor(pop3.maildir.as_mut());
        }
        if let Some(maildir) = self.smtp.as_mut().and_then(|smtp| smtp.maildir.as_mut()) {
            anchor(maildir.as_mut());
        }
    }

    /// Checks what the types can't say.
    ///
    /// # Errors
    /// The first mistake, with its place in `source`.
    pub fn validate(&self, source: &Source) -> Result<(), Mistake> {
        validate::check(self).map_err(|flaw| source.mistake(Some(flaw.span), &flaw.message))
    }

    /// The effective configuration as a file would say it, defaults included.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# can't be written as TOML: {error}\n"))
    }

    /// Where everyone's mail is.
    pub fn maildir(&self) -> PathBuf {
        let of_smtp = self.smtp.as_ref().and_then(|smtp| smtp.maildir.as_ref());
        let of_pop3 = self.pop3.as_ref().map(|pop3| &pop3.maildir);
        of_smtp.or(of_pop3).map_or_else(|| Pop3::default().maildir.into_inner(), |maildir| maildir.as_ref().clone())
    }

    /// The TAP devices, each once, in the order of the interfaces.
    pub fn taps(&self) -> Vec<&str> {
        let mut taps: Vec<&str> = Vec::new();
        for interface in &self.interfaces {
            if !taps.contains(&interface.tap.as_ref().as_str()) {
                taps.push(interface.tap.as_ref());
            }
        }
        taps
    }

    /// How long each of `loops` event loops may stay awake for the next frame: not at all where they would take every
    /// processor from those who send it.
    pub fn busy_poll(&self, loops: usize) -> Duration {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        if loops < processors { self.daemon.busy_poll.0 } else { Duration::ZERO }
    }

    /// How many queues every TAP has, and so how many threads with a stack each there are.
    pub fn queues(&self) -> u16 {
        let said = self.interfaces.iter().find_map(|interface| interface.queues.as_ref());
        said.map_or(1, |queues| queues.as_ref().count())
    }

    /// True if a service listens for TLS, or may go on with it.
    pub fn has_tls(&self) -> bool {
        let http = self.http.iter().any(|http| !http.tls_listen.is_empty());
        let pop3 = self.pop3.iter().any(|pop3| !pop3.tls_listen.is_empty());
        let smtp = self.smtp.iter().any(|smtp| !smtp.submission_tls_listen.is_empty());
        http || pop3 || smtp || self.has_starttls()
    }

    /// True if a conversation that begins in the clear may go on encrypted.
    pub fn has_starttls(&self) -> bool {
        self.tls.starttls && (self.pop3.is_some() || self.smtp.is_some())
    }

    /// Where what must outlive the process is kept.
    pub fn state_path(&self) -> &Path {
        self.daemon.state.as_deref().unwrap_or(Path::new("/var/lib/tapstack"))
    }

    /// Where the control socket is.
    pub fn control_path(&self) -> PathBuf {
        match &self.daemon.control {
            Some(path) => path.clone(),
            None => default_control_path(self.taps().first().copied().unwrap_or("tap0")),
        }
    }
}

/// The control socket of the daemon whose first TAP is `tap`.
pub fn default_control_path(tap: &str) -> PathBuf {
    Path::new("/run/tapstack").join(format!("{tap}.sock"))
}

/// A MAC that may be absent, as text.
mod mac_text {
    use super::{Mac, Spanned, required_mac_text};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(mac: &Option<Spanned<Mac>>, serializer: S) -> Result<S::Ok, S::Error> {
        match mac {
            Some(mac) => required_mac_text::serialize(mac, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Spanned<Mac>>, D::Error> {
        required_mac_text::deserialize(deserializer).map(Some)
    }
}

/// A MAC as text.
mod required_mac_text {
    use super::{Mac, Spanned};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(mac: &Spanned<Mac>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(mac.as_ref())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Spanned<Mac>, D::Error> {
        let text = Spanned::<String>::deserialize(deserializer)?;
        let mac = text.as_ref().parse().map_err(D::Error::custom)?;
        Ok(Spanned::new(text.span(), mac))
    }
}

#[cfg(test)]
mod tests;
