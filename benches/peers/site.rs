//! Our side: a daemon in a namespace whose kernel is the client; and what is the same on both sides.

use crate::lab::{Daemon, Namespace, noise};
use crate::processor;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// Addresses of the daemon: towards each of them a client has its own 64 thousand ports.
pub const ADDRESSES: [[u8; 4]; 8] = [
    [192, 0, 2, 2],
    [192, 0, 2, 3],
    [192, 0, 2, 4],
    [192, 0, 2, 5],
    [192, 0, 2, 6],
    [192, 0, 2, 7],
    [192, 0, 2, 8],
    [192, 0, 2, 9],
];

/// A daemon at 192.0.2.2 and those that follow, with the kernel at 192.0.2.1.
pub struct Site {
    // Dropped in this order.
    daemon: Daemon,
    namespace: Namespace,
}

impl Site {
    /// Starts a daemon with these keys in the table of its interface, and these after that of the small services.
    pub fn new(interface: &str, tables: &str) -> Site {
        let namespace = namespace();
        let daemon = Daemon::start(&namespace, "daemon", &config(interface, tables), &[]);
        Site { daemon, namespace }
    }

    /// Like `new`, or why the daemon refuses the configuration.
    pub fn try_new(interface: &str, tables: &str) -> Result<Site, String> {
        let namespace = namespace();
        namespace.write("check.toml", config(interface, tables));
        let check = namespace.attempt("tapstack check --config check.toml");
        if check.status != 0 {
            return Err(check.stderr.trim().to_owned());
        }
        drop(namespace);
        Ok(Site::new(interface, tables))
    }

    /// The namespace of its kernel side, where clients run.
    pub fn client(&self) -> &Namespace {
        &self.namespace
    }

    /// The daemon.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Processor time that the daemon has used.
    pub fn processor_time(&self) -> Duration {
        processor::time_of_group(self.daemon.pid())
    }
}

fn config(interface: &str, tables: &str) -> String {
    let addresses: Vec<String> = ADDRESSES.iter().map(|[a, b, c, d]| format!("\"{a}.{b}.{c}.{d}/24\"")).collect();
    format!(
        r#"
        daemon.grace = "1s"
        [[interface]]
        tap = "tap0"
        address = [{}]
        host = "192.0.2.1/24"
        {interface}
        [small]
        {tables}
        "#,
        addresses.join(", ")
    )
}

static CONGESTION_CONTROL: OnceLock<String> = OnceLock::new();

/// What every namespace's kernel sends with from now on.
pub fn set_congestion_control(name: &str) {
    CONGESTION_CONTROL.set(name.to_owned()).unwrap();
}

/// A namespace for a side: all ports for clients, and none of them kept from use longer than must be.
pub fn namespace() -> Namespace {
    let namespace = Namespace::new();
    namespace.run(
        "sysctl -qw net.ipv4.ip_local_port_range='1024 65535' net.ipv4.tcp_tw_reuse=1 net.core.somaxconn=65535 \
         net.ipv4.tcp_max_syn_backlog=65535",
    );
    if let Some(name) = CONGESTION_CONTROL.get() {
        namespace.run(&format!("sysctl -qw net.ipv4.tcp_congestion_control={name}"));
    }
    namespace
}

/// The files that both servers serve, in the page cache: `large` and `index.html`.
pub struct Documents {
    folder: TempDir,
    pub large_bytes: u64,
}

impl Documents {
    /// Writes them.
    pub fn new(files: &Path, large_bytes: u64) -> Documents {
        let folder = TempDir::with_prefix_in("tapstack-bench-", files)
            .unwrap_or_else(|error| panic!("{}: {error}: choose another with --files", files.display()));
        let large = noise(usize::try_from(large_bytes).unwrap(), 1);
        std::fs::write(folder.path().join("large"), large)
            .unwrap_or_else(|error| panic!("{}: {error}: choose another with --files", files.display()));
        // As large as the page that nginx comes with.
        std::fs::write(folder.path().join("index.html"), [b'x'; 612]).unwrap();
        Documents { folder, large_bytes }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}
