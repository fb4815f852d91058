//! ping and arping: a host that answers what it should, and only that.

use crate::lab::{DAEMON, Lab, eventually};
use std::io::ErrorKind;

#[test]
fn an_echo_of_every_size_comes_back_unchanged() {
    let lab = Lab::new();
    // One fragment up to 1472, two from 1473, 45 at the most.
    for size in [0, 1, 56, 1472, 1473, 8000, 65507] {
        let said = lab.run(&format!("ping -n -c 3 -i 0.01 -W 2 -s {size} {DAEMON}"));
        assert!(said.contains(" 0% packet loss"), "{size} bytes: {said}");
        assert!(!said.contains("wrong data") && !said.contains("truncated"), "{size} bytes: {said}");
    }
}

#[test]
fn a_flood_of_echoes_is_answered_one_by_one() {
    let lab = Lab::new();
    let said = lab.run(&format!("ping -n -f -q -c 2000 {DAEMON}"));
    assert!(said.contains("2000 packets transmitted, 2000 received, 0% packet loss"), "{said}");
}

#[test]
fn an_echo_to_everybody_is_not_answered() {
    let lab = Lab::new();
    for everybody in ["192.0.2.255", "255.255.255.255"] {
        let finished = lab.attempt(&format!("ping -n -b -I tap0 -c 2 -i 0.1 -W 1 {everybody}"));
        assert_eq!(finished.status, 1, "{everybody}: {}{}", finished.stdout, finished.stderr);
        assert!(finished.stdout.contains("2 packets transmitted, 0 received"), "{everybody}: {}", finished.stdout);
    }
    lab.run(&format!("ping -n -c 1 -W 2 {DAEMON}"));
}

#[test]
fn an_echo_with_its_last_hop_to_live_is_answered() {
    let lab = Lab::new();
    lab.run(&format!("ping -n -c 1 -W 2 -t 1 {DAEMON}"));
}

#[test]
fn arping_is_answered_with_our_address() {
    let lab = Lab::new();
    let said = lab.run(&format!("arping -c 2 -w 5 -I tap0 {DAEMON}"));
    assert!(said.contains("[02:00:00:00:00:02]") && said.contains("Received 2 response"), "{said}");
    let stranger = lab.attempt("arping -c 1 -w 1 -I tap0 192.0.2.77");
    assert_eq!(stranger.status, 1, "an address that is nobody's was answered: {}", stranger.stdout);
}

#[test]
fn a_neighbour_that_announces_a_new_station_address_is_believed() {
    let lab = Lab::new();
    lab.run(&format!("ping -n -c 1 -W 2 {DAEMON}"));
    // A change within a second of the one before would be taken for flapping.
    std::thread::sleep(std::time::Duration::from_millis(1200));
    lab.run("ip link set tap0 address 02:00:00:00:00:99 && arping -q -U -c 1 -I tap0 192.0.2.1");
    eventually("the announced address in `show neighbours`", || {
        let neighbours = lab.daemon.show("neighbours");
        let kernel = neighbours.as_array().unwrap().iter().find(|neighbour| neighbour["address"] == "192.0.2.1");
        kernel.is_some_and(|kernel| kernel["mac"] == "02:00:00:00:00:99")
    });
    lab.run(&format!("ping -n -c 1 -W 2 {DAEMON}"));
}

#[test]
fn a_probe_for_our_address_hears_that_it_is_taken() {
    let lab = Lab::new();
    assert_eq!(lab.attempt(&format!("arping -D -c 2 -w 3 -I tap0 {DAEMON}")).status, 1, "a conflict must be seen");
    assert_eq!(lab.attempt("arping -D -c 1 -w 2 -I tap0 192.0.2.77").status, 0, "nobody has this address");
}

#[test]
fn an_address_that_the_kernel_takes_as_well_is_defended() {
    let lab = Lab::new();
    lab.run(&format!("ping -n -c 1 -W 2 {DAEMON}"));
    lab.run(&format!("ip address add {DAEMON}/24 dev tap0 && arping -q -U -c 1 -I tap0 {DAEMON}"));
    eventually("the conflict in the counters", || lab.daemon.count("counters", "ArpConflicts") > 0);
    lab.run(&format!("ip address del {DAEMON}/24 dev tap0 && ping -n -c 1 -W 2 {DAEMON}"));
}

#[test]
fn a_closed_port_refuses_at_once() {
    let lab = Lab::new();
    let refused = lab.try_connect(&format!("{DAEMON}:81")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "TCP: {refused}");
    let socket = lab.udp(81);
    socket.send(b"anybody?").unwrap();
    let unreachable = socket.recv(&mut [0; 100]).unwrap_err();
    assert_eq!(unreachable.kind(), ErrorKind::ConnectionRefused, "UDP: {unreachable}");
}
