//! The daemon as a router between two kernels, each in a namespace of its own.
//!
//! ```text
//!   192.0.2.1 ---- tap0 -- .2 tapstack .1 -- tap1 ---- 198.51.100.2
//!   near                                               far
//! ```

use crate::lab::{Daemon, Namespace, eventually, noise, read_to_end, sha256};
use std::io::Write;
use std::net::Shutdown;

struct Router {
    daemon: Daemon,
    near: Namespace,
    far: Namespace,
}

impl Router {
    /// `far_mtu` is that of the daemon's second interface and of the kernel behind it.
    fn new(far_mtu: u16) -> Router {
        let (near, far) = (Namespace::new(), Namespace::new());
        let config = format!(
            r#"
            daemon.grace = "1s"
            forwarding.enabled = true
            [[interface]]
            tap = "tap0"
            address = ["192.0.2.2/24"]
            host = "192.0.2.1/24"
            [[interface]]
            tap = "tap1"
            address = ["198.51.100.1/24"]
            mtu = {far_mtu}
            "#
        );
        let daemon = Daemon::start(&near, "router", &config, &[]);
        near.run("ip route add 198.51.100.0/24 via 192.0.2.2");
        near.run(&format!("ip link set tap1 netns {}", far.name()));
        far.run(&format!(
            "ip address add 198.51.100.2/24 dev tap1 && ip link set tap1 mtu {far_mtu} up && ip route add default via 198.51.100.1"
        ));
        Router { daemon, near, far }
    }
}

#[test]
fn echoes_go_through_both_ways() {
    let router = Router::new(1500);
    for size in [0, 1472, 1473, 20_000] {
        router.near.run(&format!("ping -n -c 2 -i 0.05 -W 2 -s {size} 198.51.100.2"));
    }
    router.far.run("ping -n -c 2 -i 0.05 -W 2 192.0.2.1");
    // The router's own address on its other side.
    router.near.run("ping -n -c 1 -W 2 198.51.100.1");
    assert!(router.daemon.show("interfaces").to_string().contains("198.51.100.1/24"));
}

#[test]
fn traceroute_sees_the_router_and_then_the_host() {
    let router = Router::new(1500);
    let listener = router.far.listen("198.51.100.2:80");
    // One after the other, so that the limit on ICMP errors does not matter.
    for how in ["-U", "-I", "-T -p 80"] {
        let said = router.near.run(&format!("traceroute -n {how} -q 1 -N 1 -w 2 -m 4 198.51.100.2"));
        let hops: Vec<&str> = said.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
        assert_eq!(hops, ["192.0.2.2", "198.51.100.2"], "traceroute {how}: {said}");
    }
    drop(listener);
}

#[test]
fn a_packet_whose_time_is_up_is_answered_from_the_side_it_came_from() {
    let router = Router::new(1500);
    let near = router.near.attempt("ping -n -c 1 -W 2 -t 1 198.51.100.2");
    assert!(near.stdout.contains("From 192.0.2.2 icmp_seq=1 Time to live exceeded"), "{}", near.stdout);
    let far = router.far.attempt("ping -n -c 1 -W 2 -t 1 192.0.2.1");
    assert!(far.stdout.contains("From 198.51.100.1 icmp_seq=1 Time to live exceeded"), "{}", far.stdout);
}

#[test]
fn a_packet_to_nowhere_is_reported() {
    let router = Router::new(1500);
    router.near.run("ip route add 203.0.113.0/24 via 192.0.2.2");
    let no_route = router.near.attempt("ping -n -c 1 -W 2 203.0.113.1");
    assert!(no_route.stdout.contains("From 192.0.2.2 icmp_seq=1 Destination Net Unreachable"), "{}", no_route.stdout);
    // Nobody answers ARP for this one.
    let nobody = router.near.attempt("ping -n -c 1 -W 10 198.51.100.77");
    assert!(nobody.stdout.contains("From 192.0.2.2 icmp_seq=1 Destination Host Unreachable"), "{}", nobody.stdout);
}

#[test]
fn a_packet_too_big_for_the_next_link_is_fragmented_or_reported() {
    let router = Router::new(1300);
    let said = router.near.run("ping -n -c 2 -i 0.05 -W 2 -M dont -s 1400 198.51.100.2");
    assert!(said.contains(" 0% packet loss"), "{said}");
    let reported = router.near.attempt("ping -n -c 2 -i 0.05 -W 2 -M do -s 1400 198.51.100.2");
    assert!(reported.stdout.contains("Frag needed and DF set (mtu = 1300)"), "{}{}", reported.stdout, reported.stderr);
    assert!(reported.status != 0, "{}", reported.stdout);
    let learned = router.near.run("ip route get 198.51.100.2");
    assert!(learned.contains("mtu 1300"), "the kernel has not learned the path's MTU: {learned}");
    // What just fits goes through whole.
    router.near.run("ping -n -c 1 -W 2 -M do -s 1272 198.51.100.2");
}

#[test]
fn tcp_between_kernels_finds_the_path_mtu_through_us() {
    let router = Router::new(1300);
    // The far kernel asks for segments that fit its idea of the path, but not our link.
    router.far.run("ip route replace default via 198.51.100.1 advmss 1460");
    let listener = router.far.listen("198.51.100.2:9000");
    let sent = noise(2 << 20, 1);
    let received = std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            read_to_end(&mut stream)
        });
        let mut client = router.near.connect("198.51.100.2:9000");
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        server.join().unwrap()
    });
    assert_eq!(sha256(&received), sha256(&sent));
    let learned = router.near.run("ip route get 198.51.100.2");
    assert!(learned.contains("mtu 1300"), "no segment was too big: {learned}");
}

#[test]
fn two_daemons_joined_by_a_cable_serve_a_page_across_both() {
    let namespace = Namespace::new();
    namespace.write("www/page", noise(300_000, 7));
    let router = r#"
        daemon.grace = "1s"
        forwarding.enabled = true
        [[interface]]
        tap = "tap0"
        address = ["192.0.2.2/24"]
        host = "192.0.2.1/24"
        [[interface]]
        tap = "tap1"
        address = ["198.51.100.1/24"]
        up = true
    "#;
    let host = r#"
        daemon.grace = "1s"
        http.root = "www"
        [[interface]]
        tap = "tap2"
        address = ["198.51.100.2/24"]
        up = true
        [[route]]
        to = "0.0.0.0/0"
        via = "198.51.100.1"
    "#;
    let router = Daemon::start(&namespace, "router", router, &[]);
    let host = Daemon::start(&namespace, "host", host, &[]);
    namespace.run(
        "for n in 1 2; do
           ip link add bridge$n type bridge && ip link set bridge$n up && ip link set tap$n master bridge$n
         done",
    );
    let cable = crate::lab::Cable::lay(&namespace, "line1", "line2", "--delay 2ms --loss 1% --seed 3");
    namespace.run("for n in 1 2; do ip link set line$n up master bridge$n; done");
    namespace.run("ip route add 198.51.100.0/24 via 192.0.2.2");
    namespace.run("curl -sS -m 30 -o got http://198.51.100.2/page");
    assert_eq!(sha256(&namespace.read("got")), sha256(&namespace.read("www/page")));
    eventually("the host's connection ended", || host.states().iter().all(|state| state == "TIME-WAIT"));
    let said = cable.take_up();
    assert!(said.contains("LOST"), "the cable says nothing of its frames: {said}");
    assert!(router.connections().is_empty(), "a router has no part in the connection");
}
