//! The daemon in a namespace, and the ordinary lab around it.

use super::{DAEMON, Namespace, Running, SOON};
use serde_json::Value;
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;

/// The program under test.
pub fn binary() -> PathBuf {
    std::env::var_os("TAPSTACK_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tapstack")), PathBuf::from)
}

/// `tapstack run` with its configuration, log and control socket in a namespace's folder.
///
/// Dropped, it must end in order; if the test has failed it is killed and its log printed.
pub struct Daemon {
    running: Running,
    name: String,
    control: PathBuf,
}

impl Daemon {
    /// Starts it and waits until it is ready. `name` distinguishes the daemons of a namespace.
    #[track_caller]
    pub fn start(namespace: &Namespace, name: &str, config: &str, flags: &[&str]) -> Daemon {
        let mut daemon = Daemon::start_unready(namespace, name, config, flags);
        daemon.running.wait_for_line("ready");
        daemon
    }

    /// Starts it.
    pub fn start_unready(namespace: &Namespace, name: &str, config: &str, flags: &[&str]) -> Daemon {
        let folder = namespace.folder();
        let control = folder.join(format!("{name}.sock"));
        namespace.write(&format!("{name}.toml"), as_wanted(config));
        let binary = binary();
        let config_file = format!("{name}.toml");
        let mut words = vec!["setpriv", "--pdeathsig", "KILL", binary.to_str().unwrap(), "run"];
        words.extend(["--config", &config_file, "--control", control.to_str().unwrap(), "--state", "state"]);
        words.extend(flags);
        let running = Running::start(namespace.command(&words), &format!("the daemon {name}"), folder.join(name));
        Daemon { running, name: name.to_owned(), control }
    }

    /// The process.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Its control socket.
    pub fn control(&self) -> &std::path::Path {
        &self.control
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.running.stderr()
    }

    /// Asks for its state.
    #[track_caller]
    pub fn show(&self, what: &str) -> Value {
        let output = Command::new(binary())
            .args(["show", what, "--json", "--control"])
            .arg(&self.control)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "show {what}: {text}{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("show {what}: {error}: {text}"))
    }

    /// The TCP connections, without listeners: everything that has a peer.
    #[track_caller]
    pub fn connections(&self) -> Vec<Value> {
        let sockets = self.show("sockets");
        let sockets = sockets.as_array().expect("show sockets --json is an array");
        let is_connection = |socket: &&Value| socket["protocol"] == "tcp" && socket["state"] != "LISTEN";
        sockets.iter().filter(is_connection).cloned().collect()
    }

    /// The states of the TCP connections.
    #[track_caller]
    pub fn states(&self) -> Vec<String> {
        self.connections().iter().map(|socket| socket["state"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// How many TCP connections there are, TIME-WAIT and half-open ones included.
    #[track_caller]
    pub fn open_connections(&self) -> u64 {
        let limits = self.show("limits");
        let is_wanted = |name: &str| ["TCP connections", "TCP half-open", "TCP TIME-WAIT"].contains(&name);
        let of_tcp = limits.as_array().unwrap().iter().filter(|limit| limit["name"].as_str().is_some_and(is_wanted));
        of_tcp.map(|limit| limit["used"].as_u64().unwrap()).sum()
    }

    /// A counter or drop count by its name.
    #[track_caller]
    pub fn count(&self, kind: &str, name: &str) -> u64 {
        let counts = self.show(kind);
        let found = counts.as_array().unwrap().iter().find(|count| count["name"] == name);
        found.unwrap_or_else(|| panic!("show {kind} has no {name}: {counts}"))["count"].as_u64().unwrap()
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Ends it in order.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.running.signal("TERM");
        self.running.wait(SOON)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.len().saturating_sub(80);
            eprintln!("--- the log of the daemon {}\n{}\n---", self.name, lines[tail..].join("\n"));
            return;
        }
        if self.running.is_running() {
            let status = self.stop();
            assert!(status.success(), "the daemon {} ended with {status}: {}", self.name, self.log());
        }
        assert!(!self.log().contains("panicked"), "the daemon {} panicked: {}", self.name, self.log());
    }
}

/// True if devices offload, as they do by default; `TAPSTACK_OFFLOAD=false` has all tests run with plain frames.
pub fn offloads() -> bool {
    std::env::var("TAPSTACK_OFFLOAD").map_or(true, |value| value != "false")
}

/// How many queues TAPs have where a test does not say; `TAPSTACK_QUEUES=n` has all tests run with so many.
pub fn queues() -> Option<String> {
    std::env::var("TAPSTACK_QUEUES").ok()
}

/// `config` with every interface offloading or not, and of so many queues.
fn as_wanted(config: &str) -> String {
    let mut interface = "[[interface]]".to_owned();
    if !offloads() {
        interface.push_str("\noffload = false");
    }
    if let Some(queues) = queues().filter(|_| !config.contains("queues =")) {
        interface.push_str(&format!("\nqueues = {queues}"));
    }
    config.replace("[[interface]]", &interface)
}

/// A namespace with a daemon at 192.0.2.2 on `tap0`, every service on; the kernel is 192.0.2.1.
pub struct Lab {
    pub daemon: Daemon,
    pub namespace: Namespace,
}

impl std::ops::Deref for Lab {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

impl Lab {
    /// The interface and services of the ordinary lab, without knobs.
    pub fn config() -> String {
        format!(
            r#"
[daemon]
grace = "1s"

[[interface]]
tap = "tap0"
mac = "02:00:00:00:00:02"
address = ["192.0.2.2/24"]
host = "192.0.2.1/24"

[pop3]
maildir = "mail/{{user}}"

[[account]]
name = "alice"
password = "{}"

[small]
"#,
            password_hash()
        )
    }

    /// The ordinary lab. `www` is the web root, and alice, whose password is `wonderland`, may log in.
    #[track_caller]
    pub fn new() -> Lab {
        Lab::with("[http]\nroot = \"www\"\n[tcp]\ntime_wait = \"2s\"\n")
    }

    /// The ordinary lab with the tables `[http]`, `[tcp]` and so on as given.
    #[track_caller]
    pub fn with(tables: &str) -> Lab {
        Lab::started(Namespace::new(), tables, &[])
    }

    /// The ordinary lab with the tables and flags given, in a namespace that was prepared.
    #[track_caller]
    pub fn started(namespace: Namespace, tables: &str, flags: &[&str]) -> Lab {
        namespace.write("www/index.html", "<h1>the lab</h1>\n");
        let daemon = Daemon::start(&namespace, "daemon", &format!("{}{tables}", Lab::config()), flags);
        Lab { daemon, namespace }
    }

    /// Connects to a port of the daemon.
    #[track_caller]
    pub fn tcp(&self, port: u16) -> TcpStream {
        self.namespace.connect(&format!("{DAEMON}:{port}"))
    }

    /// A UDP socket towards a port of the daemon.
    pub fn udp(&self, port: u16) -> UdpSocket {
        self.namespace.udp(&format!("{DAEMON}:{port}"))
    }
}

/// The hash of `wonderland`, made once by the program itself.
fn password_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        let script = "printf 'wonderland\\n' | \"$0\" password";
        let output = Command::new("sh").args(["-c", script]).arg(binary()).output().unwrap();
        assert!(output.status.success(), "tapstack password: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    })
}
