//! The cable process between two TAPs, and a lab whose daemon is at the far end of a bad line.

use super::{Daemon, Namespace, Running, SOON, binary};

/// `tapstack cable TAP-A TAP-B`.
pub struct Cable(Running);

impl Cable {
    /// Lays a cable between two TAPs that it creates.
    #[track_caller]
    pub fn lay(namespace: &Namespace, tap_a: &str, tap_b: &str, faults: &str) -> Cable {
        let binary = binary();
        let mut words = vec!["setpriv", "--pdeathsig", "KILL", binary.to_str().unwrap(), "cable", tap_a, tap_b];
        words.extend(faults.split_whitespace());
        let output = namespace.folder().join(format!("cable-{tap_a}-{tap_b}"));
        let mut running = Running::start(namespace.command(&words), "the cable", output);
        running.wait_for_line("ready");
        Cable(running)
    }

    /// Pulls it out without a word.
    pub fn cut(mut self) {
        self.0.signal("KILL");
        self.0.wait(SOON);
    }

    /// Ends it in order; what it says of the frames.
    #[track_caller]
    pub fn take_up(mut self) -> String {
        self.0.signal("INT");
        let status = self.0.wait(SOON);
        assert!(status.success(), "the cable ended with {status}: {}", self.0.stderr());
        self.0.stdout() + &self.0.stderr()
    }
}

/// A daemon and a kernel with a bad line between them.
///
/// ```text
///   kernel 192.0.2.1 -- line1 ==cable== line0 -- bridge -- tap0 -- 192.0.2.2 tapstack run
/// ```
pub struct BadLine {
    pub daemon: Daemon,
    pub cable: Option<Cable>,
    pub namespace: Namespace,
}

impl std::ops::Deref for BadLine {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

impl BadLine {
    /// Sets it up with the cable's faults as for the command line.
    #[track_caller]
    pub fn new(faults: &str) -> BadLine {
        let namespace = Namespace::new();
        namespace.write("www/index.html", "far away\n");
        let config = r#"
            daemon.grace = "1s"
            small = {}
            http.root = "www"
            [[interface]]
            tap = "tap0"
            address = ["192.0.2.2/24"]
            up = true
        "#;
        let daemon = Daemon::start(&namespace, "daemon", config, &[]);
        // The bridge has no address, and must not answer for line1's.
        namespace.run(
            "sysctl -qw net.ipv4.conf.all.arp_ignore=1
             ip link add bridge type bridge && ip link set bridge up && ip link set tap0 master bridge",
        );
        let mut line = BadLine { daemon, cable: None, namespace };
        line.lay(faults);
        line
    }

    /// Lays the cable and connects both of its ends.
    #[track_caller]
    pub fn lay(&mut self, faults: &str) {
        self.cable = Some(Cable::lay(&self.namespace, "line0", "line1", faults));
        // The same station address each time: a cable that is laid again leads to the same kernel.
        self.namespace.run(
            "ip link set line0 up master bridge && ip link set line1 address 02:00:00:00:00:01 up
             ip address add 192.0.2.1/24 dev line1",
        );
    }
}
