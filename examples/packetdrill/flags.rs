//! What `--so_flags` can say: `key=value` with commas or spaces between, each with a default that public scripts
//! assume. `docs/conformance.md` has the table for people.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;
use tapstack::transport::tcp::config::{Algorithm, Config, Ecn, Recall};

/// The host to be.
#[derive(Clone, Debug)]
pub(crate) struct Flags {
    /// Our address; packetdrill's default until a script binds another.
    pub(crate) local: IpAddr,
    /// The MTU of the only link.
    pub(crate) mtu: u16,
    /// All randomness.
    pub(crate) seed: u64,
    /// Super-segments leave whole, as a device of Linux that can cut them gets them: what most public scripts expect.
    pub(crate) tso: bool,
    /// How much virtual time one call may take before it is given up.
    pub(crate) patience: Duration,
    /// TCP's knobs.
    pub(crate) tcp: Config,
}

impl Default for Flags {
    fn default() -> Self {
        Flags {
            local: IpAddr::V4(Ipv4Addr::new(192, 168, 0, 1)),
            mtu: 1500,
            seed: 1,
            tso: true,
            patience: Duration::from_secs(3 * 3600),
            // What the scripts of both suites set for the kernel: a receive buffer of up to 15 MiB, which makes a shift of
            // eight, so many SYNs, no ECN, nothing remembered of other connections, and a queue that does not pace.
            tcp: Config {
                receive_buffer: 15 << 20,
                syn_retries: 5,
                ecn: Ecn::Off,
                recall: Recall::Off,
                pacing: false,
                ..Config::default()
            },
        }
    }
}

impl FromStr for Flags {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut flags = Flags::default();
        for word in text.split([',', ' ', ';']).filter(|word| !word.is_empty()) {
            let (key, value) = word.split_once('=').unwrap_or((word, "on"));
            flags.set(key, value).map_err(|mistake| format!("{word}: {mistake}"))?;
        }
        Ok(flags)
    }
}

impl Flags {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let tcp = &mut self.tcp;
        match key {
            "local" => self.local = parse(value)?,
            "mtu" => self.mtu = parse(value)?,
            "seed" => self.seed = parse(value)?,
            "tso" => self.tso = switch(value)?,
            "patience" => self.patience = Duration::from_secs(parse(value)?),
            "timestamps" => tcp.timestamps = switch(value)?,
            "sack" => tcp.sack = switch(value)?,
            "wscale" => match switch(value) {
                Ok(on) => tcp.window_scale = on,
                // The largest buffer for which a shift is needed: what rcvbuf says, if it comes later, counts.
                Err(_) => tcp.receive_buffer = 0xffff << parse::<u8>(value)?.min(14),
            },
            "nagle" => tcp.nagle = switch(value)?,
            "autotuning" => tcp.auto_tuning = switch(value)?,
            "rcvbuf" => tcp.receive_buffer = parse(value)?,
            "sndbuf" => tcp.send_buffer = parse(value)?,
            "mss" => tcp.max_segment = Some(parse(value)?),
            "initial_window" => tcp.initial_window = parse(value)?,
            "congestion" => tcp.congestion = algorithm(value).ok_or("no such congestion control here")?,
            "quick_acks" => tcp.quick_acks = parse(value)?,
            "delayed_ack" => tcp.delayed_ack = Some(millis(value)?).filter(|delay| !delay.is_zero()),
            "min_rto" => tcp.min_rto = millis(value)?,
            "max_rto" => tcp.max_rto = millis(value)?,
            "syn_retries" => tcp.syn_retries = parse(value)?,
            "time_wait" => tcp.time_wait = millis(value)?,
            "fin_wait_2" => tcp.fin_wait_2 = millis(value)?,
            "user_timeout" => tcp.user_timeout = Some(millis(value)?).filter(|patience| !patience.is_zero()),
            "pacing" => tcp.pacing = switch(value)?,
            "ecn" if value == "passive" => tcp.ecn = Ecn::Passive,
            "ecn" if value == "accurate" => tcp.ecn = Ecn::Accurate,
            "ecn" => tcp.ecn = if switch(value)? { Ecn::On } else { Ecn::Off },
            "fastopen_key" if switch(value) == Ok(false) => {}
            "fastopen_key" => return Err("the stack does not have it".to_owned()),
            _ => return Err("no such key; docs/conformance.md has those there are".to_owned()),
        }
        Ok(())
    }
}

/// The congestion controls by the names that `TCP_CONGESTION` has for them.
const ALGORITHMS: [(&str, Algorithm); 4] =
    [("cubic", Algorithm::Cubic), ("reno", Algorithm::NewReno), ("bbr", Algorithm::Bbr), ("bbr1", Algorithm::Bbr1)];

/// The congestion control of this name.
pub(crate) fn algorithm(name: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

/// The name of this congestion control.
pub(crate) fn algorithm_name(algorithm: Algorithm) -> &'static str {
    ALGORITHMS.iter().find(|(_, known)| *known == algorithm).map_or("", |(name, _)| name)
}

fn parse<T: FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{value:?} is not understood"))
}

fn millis(value: &str) -> Result<Duration, String> {
    parse(value).map(Duration::from_millis)
}

fn switch(value: &str) -> Result<bool, String> {
    match value {
        "on" | "yes" | "true" => Ok(true),
        "off" | "no" | "false" => Ok(false),
        _ => Err("on or off".to_owned()),
    }
}
