//! HTTP/2 with the programs that people have: curl, nghttp and h2load, over TLS and by prior knowledge.

use crate::lab::{DAEMON, Daemon, Lab, Namespace, noise, sha256};
use std::time::Duration;

/// A lab that is reached over TLS as well, with its authority where clients find it.
fn lab() -> Lab {
    let namespace = Namespace::new();
    namespace.write("www/index.html", "<h1>the lab</h1>\n");
    let config = Lab::config().replace("grace = \"1s\"", "grace = \"20s\"");
    let tables = "[http]\nroot = \"www\"\ntls_listen = [443]\nlog = { file = \"access.log\" }\n";
    let daemon = Daemon::start(&namespace, "daemon", &format!("{config}{tables}"), &[]);
    let lab = Lab { daemon, namespace };
    lab.run("tapstack certificate export --config daemon.toml --state state > authority.pem");
    lab
}

#[test]
fn curl_speaks_it_over_tls_and_by_prior_knowledge() {
    let lab = lab();
    let file = noise(32 << 20, 1);
    lab.write("www/big", &file);
    for curl in [
        format!("curl -sS -m 50 --http2 --cacert authority.pem https://{DAEMON}"),
        format!("curl -sS -m 50 --http2-prior-knowledge http://{DAEMON}"),
    ] {
        assert_eq!(lab.run(&format!("{curl}/ -w '%{{http_version}}'")), "<h1>the lab</h1>\n2");
        let head = lab.run(&format!("{curl}/ -I"));
        assert!(head.starts_with("HTTP/2 200") && head.contains("content-length: 17\r\n"), "{head}");
        lab.run(&format!("{curl}/big -o got"));
        assert_eq!(sha256(&lab.read("got")), sha256(&file));
        lab.run(&format!("{curl}/big -o part -r 1000-1999"));
        assert_eq!(lab.read("part"), file[1_000..2_000]);
        let sunk = lab.run(&format!("{curl}/-/sink -X POST -T got"));
        assert!(sunk.contains(&sha256(&file)), "{sunk}");
        let sunk = lab.run(&format!("{curl}/-/sink -X POST -H 'Expect: 100-continue' --data-binary @part"));
        assert!(sunk.contains("\"bytes\":1000,"), "{sunk}");
        assert_eq!(lab.run(&format!("{curl}/missing -o /dev/null -w '%{{http_code}}'")), "404");
    }
    // Who knows only HTTP/1.1 is not turned away, and who offers both is led to HTTP/2.
    let page = format!("https://{DAEMON}/ -o /dev/null -w '%{{http_version}}'");
    assert_eq!(lab.run(&format!("curl -sS -m 20 --http1.1 --cacert authority.pem {page}")), "1.1");
    let log = String::from_utf8(lab.read("access.log")).unwrap();
    assert!(log.contains("\"GET /big HTTP/2.0\" 200 33554432"), "{log}");
}

#[test]
fn one_connection_carries_many_streams_at_once() {
    let lab = lab();
    let links: String = (0..20).map(|n| format!("<img src=\"{n}.png\">")).collect();
    lab.write("www/page.html", links);
    for n in 0..20 {
        lab.write(&format!("www/{n}.png"), noise(100_000, n));
    }
    for scheme in ["http", "https"] {
        let said = lab.run(&format!("nghttp -nas --no-verify-peer {scheme}://{DAEMON}/page.html"));
        assert_eq!(said.matches(" 200 ").count(), 21, "{said}");
    }
    lab.run(&format!("nghttp --no-verify-peer -d www/0.png https://{DAEMON}/-/sink > sunk"));
    assert!(String::from_utf8(lab.read("sunk")).unwrap().contains("\"bytes\":100000,"));
}

#[test]
fn h2load_finds_every_request_answered() {
    let lab = lab();
    lab.write("www/large", noise(1 << 20, 3));
    for scheme in ["http", "https"] {
        for (path, requests) in [("", 20_000), ("large", 200)] {
            let said = lab.run(&format!("timeout 50 h2load -n {requests} -c 20 -m 20 {scheme}://{DAEMON}/{path}"));
            let expected =
                format!("{requests} total, {requests} started, {requests} done, {requests} succeeded, 0 failed");
            assert!(said.contains(&expected) && said.contains("Application protocol: h2"), "{said}");
        }
    }
}

#[test]
fn a_daemon_that_stops_lets_streams_come_to_their_end() {
    let mut lab = lab();
    let file = noise(8 << 20, 5);
    lab.write("www/big", &file);
    let mut curl =
        lab.start(&format!("exec curl -sS -m 50 --http2-prior-knowledge --limit-rate 4M -o got http://{DAEMON}/big"));
    lab.run("until [ -s got ]; do sleep 0.05; done");
    assert!(lab.daemon.stop().success());
    let status = curl.wait(Duration::from_secs(20));
    assert!(status.success(), "{}", curl.stderr());
    assert_eq!(sha256(&lab.read("got")), sha256(&file));
}
