//! Row 11: bulk TCP through a router: the daemon between two TAPs, or the kernel between two veths.

use crate::arguments::Plan;
use crate::iperf::{self, Iperf};
use crate::lab::{Daemon, Namespace};
use crate::row::Duel;
use crate::site;
use crate::veth;
use std::time::Duration;

/// Where the server is, behind the router.
const SERVER: &str = "198.51.100.2";
const PIECE: usize = 128 << 10;

/// The daemon against the kernel.
pub fn set_up(plan: &Plan) -> Result<Duel, String> {
    let run = plan.run;
    let (near, far) = (site::namespace(), site::namespace());
    let config = r#"
        daemon.grace = "1s"
        forwarding.enabled = true
        [[interface]]
        tap = "tap0"
        address = ["192.0.2.2/24"]
        host = "192.0.2.1/24"
        [[interface]]
        tap = "tap1"
        address = ["198.51.100.1/24"]
    "#;
    let daemon = Daemon::start(&near, "router", config, &[]);
    near.run(&format!("ip route add 198.51.100.0/24 via 192.0.2.2 && ip link set tap1 netns {}", far.name()));
    far.run("ip address add 198.51.100.2/24 dev tap1 && ip link set tap1 up && ip route add default via 198.51.100.1");
    let server = Iperf::start(&far);
    let ours = move || {
        let _ = (&daemon, &server, &far);
        transfer(&near, run)
    };

    let (near, router, far) = (site::namespace(), site::namespace(), site::namespace());
    veth::join(&near, "192.0.2.1/24", &router, "192.0.2.2/24");
    veth::join(&router, "198.51.100.1/24", &far, "198.51.100.2/24");
    router.run("sysctl -qw net.ipv4.ip_forward=1");
    near.run("ip route add default via 192.0.2.2");
    far.run("ip route add default via 198.51.100.1");
    let server = Iperf::start(&far);
    let peer = move || {
        let _ = (&server, &router, &far);
        transfer(&near, run)
    };
    Ok(Duel { ours: Box::new(ours), peer: Some(Box::new(peer)) })
}

fn transfer(client: &Namespace, run: Duration) -> Vec<f64> {
    vec![iperf::send(client, SERVER, run, PIECE).bits_per_second]
}
