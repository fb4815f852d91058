//! HTTPS and POP3S, with the programs that people have: certificates of our own and of others, names, sessions that go
//! on, protocols, clients that show who they are, and clients that are slow or leave.

use crate::lab::{DAEMON, Daemon, Lab, Namespace, eventually, noise, sha256};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// A lab that is reached over TLS as well, with the tables given.
fn secured(tables: &str, flags: &[&str]) -> Lab {
    prepared(Namespace::new(), tables, flags)
}

fn prepared(namespace: Namespace, tables: &str, flags: &[&str]) -> Lab {
    namespace.write("www/index.html", "<h1>the lab</h1>\n");
    namespace.write("mail/alice/new/1700000001.M1P1.lab", "Subject: one\n\nFirst.\n");
    fs::create_dir_all(namespace.folder().join("mail/alice/cur")).unwrap();
    let config = Lab::config().replace("[pop3]", "[pop3]\ntls_listen = [995]");
    let http = "[http]\nroot = \"www\"\ntls_listen = [443]\n";
    let tables = if tables.contains("[http]") { tables.to_owned() } else { format!("{http}{tables}") };
    let daemon = Daemon::start(&namespace, "daemon", &format!("{config}{tables}"), flags);
    Lab { daemon, namespace }
}

/// The options with which the commands find what the lab's daemon keeps.
const STATE: &str = "--config daemon.toml --state state";

/// Puts the local authority where `curl --cacert` finds it.
fn export(lab: &Lab) {
    lab.run(&format!("tapstack certificate export {STATE} > authority.pem"));
}

/// Makes a certificate that signs itself, for these names.
fn make_certificate(namespace: &Namespace, file: &str, names: &str) {
    namespace.run(&format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN={file} \
         -addext subjectAltName={names} -keyout {file}.key -out {file}.pem 2>&1"
    ));
}

/// What `openssl s_client` says of a connection on which a page is asked for.
fn s_client(lab: &Lab, options: &str) -> String {
    lab.run(&format!(
        "printf 'GET / HTTP/1.1\\r\\nHost: {DAEMON}\\r\\nConnection: close\\r\\n\\r\\n' \
         | openssl s_client -ign_eof -connect {DAEMON}:443 {options} 2>&1"
    ))
}

/// True if no connection is more than remembered.
fn is_over(lab: &Lab) -> bool {
    lab.daemon.states().iter().all(|state| state == "TIME-WAIT")
}

#[test]
fn curl_trusts_the_authority_and_gets_pages_large_and_small() {
    let lab = secured("", &[]);
    export(&lab);
    assert!(!String::from_utf8(lab.read("authority.pem")).unwrap().contains("PRIVATE"));
    let curl = format!("curl -sS -m 50 --cacert authority.pem https://{DAEMON}");
    assert_eq!(lab.run(&format!("{curl}/")), "<h1>the lab</h1>\n");
    assert_eq!(lab.attempt(&format!("curl -sS -m 20 https://{DAEMON}/")).status, 60, "nobody else trusts it");
    let file = noise(32 << 20, 1);
    lab.write("www/big", &file);
    lab.run(&format!("{curl}/big -o got"));
    assert_eq!(sha256(&lab.read("got")), sha256(&file));
    lab.run(&format!("{curl}/big -o got --tls-max 1.2"));
    assert_eq!(sha256(&lab.read("got")), sha256(&file));
    let sunk = lab.run(&format!("{curl}/-/sink -X POST -T got"));
    assert!(sunk.contains(&sha256(&file)), "{sunk}");
    let said = lab.run(&format!("{curl}/ https://{DAEMON}/index.html -v 2>&1"));
    assert!(said.contains("Re-using existing connection") && said.contains("accepted h2"), "{said}");
}

#[test]
fn without_a_configuration_https_and_pop3s_answer() {
    let namespace = Namespace::new();
    let mut daemon = namespace.start("exec tapstack run --control $PWD/control.sock --state $PWD/state");
    daemon.wait_for_line("ready");
    namespace.run("tapstack certificate export --state state > authority.pem");
    namespace.run(&format!("curl -sSfL -m 20 --cacert authority.pem https://{DAEMON}/ | grep tapstack"));
    let said =
        namespace.run(&format!("printf 'QUIT\\r\\n' | openssl s_client -connect {DAEMON}:995 -quiet 2>/dev/null"));
    assert!(said.starts_with("+OK"), "{said}");
    for (protocol, port) in [("pop3", 110), ("smtp", 25)] {
        let upgrade =
            format!("-starttls {protocol} -connect {DAEMON}:{port} -CAfile authority.pem -verify_return_error");
        namespace.run(&format!("printf 'QUIT\\r\\n' | openssl s_client {upgrade} -quiet 2>/dev/null"));
    }
    daemon.signal("TERM");
    assert!(daemon.wait(Duration::from_secs(20)).success(), "{}", daemon.stderr());
}

#[test]
fn without_a_place_for_it_the_certificate_is_for_one_run() {
    let namespace = Namespace::new();
    let mut daemon = namespace.start(
        "exec unshare -m sh -c 'mount -t tmpfs -o ro tmpfs /var/lib && exec tapstack run --control $PWD/control.sock'",
    );
    daemon.wait_for_line("ready");
    namespace.run(&format!("curl -sSfLk -m 20 https://{DAEMON}/ | grep tapstack"));
    assert!(daemon.stderr().contains("for this run alone"), "{}", daemon.stderr());
    daemon.signal("TERM");
    assert!(daemon.wait(Duration::from_secs(20)).success());
}

#[test]
fn what_was_made_is_kept_and_can_be_looked_at() {
    let mut lab = secured("", &[]);
    let shown = lab.run(&format!("tapstack certificate {STATE}"));
    for wanted in ["state/tls/authority.pem", "state/tls/tap0.pem", "sha-256", DAEMON, "tapstack local authority of"] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    let seen = lab.run(&format!(
        "openssl s_client -connect {DAEMON}:443 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256"
    ));
    let fingerprint = seen.trim().rsplit('=').next().unwrap();
    assert!(shown.contains(fingerprint), "{fingerprint}: {shown}");
    for file in ["state/tls/authority.pem", "state/tls/tap0.pem"] {
        assert_eq!(fs::metadata(lab.folder().join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert!(lab.daemon.stop().success());
    let again = prepared(lab.namespace, "", &[]);
    assert_eq!(again.run(&format!("tapstack certificate {STATE}")), shown, "another after a restart");
    let check = again.run(&format!("tapstack check {STATE}"));
    for wanted in ["https on 443", "pop3s on 995", "TLS 1.2 and 1.3", "certificate of our own in state/tls for "] {
        assert!(check.contains(wanted), "{wanted}: {check}");
    }
}

#[test]
fn the_machine_trusts_the_authority_when_it_is_told_to_and_no_longer_when_it_is_told_so() {
    let lab = secured("", &[]);
    let page = format!("curl -sS -m 20 https://{DAEMON}/");
    // In a mount namespace: the machine's own store is not touched.
    let said = lab.run(&format!(
        "unshare -m bash -ec '
            mount -t tmpfs tmpfs /usr/local/share/ca-certificates
            cp -a /etc/ssl/certs certs && mount -t tmpfs tmpfs /etc/ssl/certs && cp -a certs/. /etc/ssl/certs
            tapstack certificate install {STATE} >&2
            {page}
            tapstack certificate uninstall >&2
            {page} || echo refused'"
    ));
    assert_eq!(said, "<h1>the lab</h1>\nrefused\n");
}

#[test]
fn sessions_go_on_by_ticket() {
    let lab = secured("", &[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let first = s_client(&lab, &format!("{version} -sess_out session"));
        assert!(first.contains("New, TLSv1."), "{first}");
        // Another connection is a flow of its own, so it may come to another queue.
        for _ in 0..4 {
            let again = s_client(&lab, &format!("{version} -sess_in session"));
            assert!(again.contains("Reused, TLSv1.") && again.contains("<h1>the lab</h1>"), "{version}: {again}");
        }
    }
    let again = lab.run(&format!("openssl s_client -connect {DAEMON}:443 -tls1_2 -reconnect </dev/null 2>&1"));
    assert_eq!(again.matches("Reused, TLSv1.2").count(), 5, "{again}");
    let without =
        lab.run(&format!("openssl s_client -connect {DAEMON}:443 -tls1_2 -no_ticket -reconnect </dev/null 2>&1"));
    if crate::lab::queues().is_none() {
        assert_eq!(without.matches("Reused, TLSv1.2").count(), 5, "by what is kept: {without}");
    }
}

#[test]
fn the_modern_profile_refuses_old_clients_by_an_alert() {
    let lab = secured("[tls]\nprofile = \"modern\"\n", &[]);
    assert!(s_client(&lab, "-tls1_3").contains("<h1>the lab</h1>"));
    let refused = lab.attempt(&format!("openssl s_client -connect {DAEMON}:443 -tls1_2 </dev/null 2>&1"));
    assert!(refused.status != 0 && refused.stdout.contains("alert protocol version"), "{}", refused.stdout);
    let unknown = lab.attempt(&format!("openssl s_client -connect {DAEMON}:443 -alpn acme-tls/1 </dev/null 2>&1"));
    assert!(unknown.stdout.contains("alert no application protocol"), "{}", unknown.stdout);
}

#[test]
fn each_name_gets_its_certificate() {
    let namespace = Namespace::new();
    make_certificate(&namespace, "first", "DNS:first.example,IP:192.0.2.2");
    make_certificate(&namespace, "second", "DNS:second.example,DNS:*.second.example");
    let list = "certificates = [{ certificate = \"first.pem\", key = \"first.key\" }, \
                { certificate = \"second.pem\", key = \"second.key\" }]";
    let lab = prepared(namespace, &format!("[tls]\n{list}\n"), &[]);
    for (asked, shown) in [
        ("-servername first.example", "first"),
        ("-servername second.example", "second"),
        ("-servername www.second.example", "second"),
        ("-servername other.example", "first"),
        ("-noservername", "first"),
    ] {
        let said = s_client(&lab, asked);
        assert!(said.contains(&format!("subject=CN = {shown}")), "{asked}: {said}");
    }
    assert!(!lab.folder().join("state/tls").exists(), "nothing was to be made");
    let at = format!("--resolve www.second.example:443:{DAEMON}");
    lab.run(&format!("curl -sSf -m 20 --cacert second.pem {at} https://www.second.example/"));
}

#[test]
fn clients_show_certificates_where_they_must() {
    let namespace = Namespace::new();
    for authority in ["ours", "theirs"] {
        make_certificate(&namespace, authority, &format!("DNS:{authority}"));
    }
    for (client, authority) in [("alice", "ours"), ("mallory", "theirs")] {
        namespace.run(&format!(
            "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={client} \
             -keyout {client}.key -out request 2>&1 && \
             openssl x509 -req -in request -days 30 -CA {authority}.pem -CAkey {authority}.key -CAcreateserial \
             -extfile <(echo basicConstraints=CA:FALSE) -out {client}.pem 2>&1"
        ));
    }
    let lab = prepared(namespace, "[tls]\nclient_auth = \"required\"\nclient_ca = \"ours.pem\"\n", &[]);
    let page = |options: &str| lab.attempt(&format!("curl -sSk -m 20 {options} https://{DAEMON}/"));
    for version in ["--tls-max 1.2", "--tlsv1.3"] {
        assert_eq!(page(&format!("{version} --cert alice.pem --key alice.key")).stdout, "<h1>the lab</h1>\n");
        let none = page(version);
        assert!(none.status != 0 && none.stderr.contains("alert"), "{version}: {}", none.stderr);
        let wrong = page(&format!("{version} --cert mallory.pem --key mallory.key"));
        assert!(wrong.status != 0 && wrong.stderr.contains("alert"), "{version}: {}", wrong.stderr);
    }
}

#[test]
fn mail_is_fetched_over_tls() {
    let lab = secured("", &[]);
    export(&lab);
    let mail = lab.run(&format!("curl -sS -m 20 --cacert authority.pem --user alice:wonderland pop3s://{DAEMON}/1"));
    assert_eq!(mail, "Subject: one\r\n\r\nFirst.\r\n");
    let said = lab.run(&format!(
        r#"python3 -c '
import poplib, ssl
trust = ssl.create_default_context(cafile="authority.pem")
trust.set_alpn_protocols(["pop3"])
box = poplib.POP3_SSL("{DAEMON}", 995, timeout=15, context=trust)
box.user("alice"); box.pass_("wonderland")
assert box.stat()[0] == 1, box.stat()
assert box.retr(1)[1][-1] == b"First.", box.retr(1)
assert box.sock.selected_alpn_protocol() == "pop3"
box.quit()
print("done")
'"#
    ));
    assert_eq!(said, "done\n");
}

#[test]
fn a_slow_handshake_is_cut_off_and_others_are_served() {
    let lab = secured("[tls]\nhandshake_timeout = \"1s\"\n", &[]);
    let start = Instant::now();
    let mut slow = lab.tcp(443);
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for octet in hello.iter().chain(&[0; 50]) {
        std::thread::sleep(Duration::from_millis(100));
        if slow.write_all(&[*octet]).is_err() {
            break;
        }
        lab.run(&format!("curl -sSfk -m 5 -o /dev/null https://{DAEMON}/"));
    }
    // The reset may have been told by a write already.
    assert!(matches!(slow.read(&mut [0; 100]), Ok(0) | Err(_)), "it was answered");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // One that says nothing at all.
    let mut silent = lab.tcp(995);
    assert!(silent.read(&mut [0; 100]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    eventually("no connection is left", || is_over(&lab));
}

#[test]
fn a_record_of_an_octet_at_a_time_is_cut_off() {
    let lab =
        secured("[http]\nroot = \"www\"\ntls_listen = [443]\nidle_timeout = \"1s\"\nheader_timeout = \"1s\"\n", &[]);
    let said = lab.run(&format!(
        r#"python3 -c '
import socket, ssl, time
context = ssl._create_unverified_context()
for first in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n"):
    sock = socket.create_connection(("{DAEMON}", 443), timeout=15)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    while True:
        try:
            tls.do_handshake(); break
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read()); incoming.write(sock.recv(65536))
    sock.sendall(outgoing.read())
    if first:
        tls.write(first); sock.sendall(outgoing.read())
    tls.write(b"GET / HTTP/1.1\r\n" * 100)
    start = time.monotonic()
    try:
        for octet in outgoing.read():
            sock.sendall(bytes([octet])); time.sleep(0.1)
            assert time.monotonic() - start < 6, "still open"
    except OSError:
        pass
    sock.close()
print("cut off")
'"#
    ));
    assert_eq!(said, "cut off\n");
    eventually("no connection is left", || is_over(&lab));
}

#[test]
fn clients_that_leave_early_leave_nothing() {
    let lab = secured("", &[]);
    lab.write("www/big", noise(8 << 20, 4));
    drop(lab.tcp(443));
    for length in [1, 5, 100] {
        let mut half = lab.tcp(443);
        half.write_all(&[&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[0; 200]].concat()[..length]).unwrap();
    }
    let mut plain = lab.tcp(443);
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut alert = [0; 7];
    plain.read_exact(&mut alert).unwrap();
    assert_eq!(alert[0], 21, "who speaks no TLS is told by an alert: {alert:?}");
    drop(plain);
    lab.attempt(&format!("curl -sSk -m 20 https://{DAEMON}/big | head -c 100000 | wc -c"));
    // A connection that ends without a close_notify, in the middle of an upload.
    let said = lab.run(&format!(
        r#"python3 -c '
import socket, ssl
tls = ssl._create_unverified_context().wrap_socket(socket.create_connection(("{DAEMON}", 443), timeout=15))
tls.sendall(b"POST /-/sink HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
socket.socket.shutdown(tls, socket.SHUT_WR)
print("left")
'"#
    ));
    assert_eq!(said, "left\n");
    eventually("no connection is left", || is_over(&lab));
    lab.run(&format!("curl -sSfk -m 20 https://{DAEMON}/"));
}

#[test]
fn a_reload_shows_new_certificates_and_keeps_connections() {
    let namespace = Namespace::new();
    make_certificate(&namespace, "first", "DNS:host.example");
    make_certificate(&namespace, "second", "DNS:host.example");
    namespace.run("cp first.pem host.pem && cp first.key host.key");
    let tables = "[tls]\ncertificates = [{ certificate = \"host.pem\", key = \"host.key\" }]\n";
    let lab = prepared(namespace, tables, &[]);
    let shown = || {
        let said = s_client(&lab, "-servername host.example");
        said.lines().find_map(|line| line.strip_prefix("subject=CN = ")).unwrap_or(&said).to_owned()
    };
    let mut talker = lab.start(&format!(
        r#"exec python3 -u -c '
import os, socket, ssl, time
tls = ssl._create_unverified_context().wrap_socket(socket.create_connection(("{DAEMON}", 443), timeout=30))
def ask():
    tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while b"<h1>the lab</h1>" not in answer:
        answer += tls.recv(65536) or exit("closed")
ask(); print("open")
while not os.path.exists("go-on"):
    time.sleep(0.02)
ask(); print("done")
'"#
    ));
    talker.wait_for_line("open");
    assert_eq!(shown(), "first");
    lab.run(&format!("cp second.pem host.pem && cp second.key host.key && kill -HUP {}", lab.daemon.pid()));
    eventually("the new certificate", || shown() == "second");
    // One that does not fit its key changes nothing.
    lab.run(&format!("cp first.pem host.pem && kill -HUP {}", lab.daemon.pid()));
    let said = "the private key is not that of the certificate";
    eventually("the mistake in the log", || lab.daemon.log().contains(said));
    let log = lab.daemon.log();
    let line = log.lines().find(|line| line.contains(said)).unwrap();
    assert!(line.contains("daemon.toml:") && line.contains("not reloaded"), "{line}");
    assert_eq!(shown(), "second");
    lab.write("go-on", "");
    talker.wait_for_line("done");
}

#[test]
fn a_capture_with_secrets_is_read_in_clear() {
    let mut lab = secured("[tls]\nkey_log = \"keys\"\n", &["--pcap", "frames.pcapng", "--key-log"]);
    for (options, page) in [("--tls-max 1.2 --http1.1", "old"), ("--tlsv1.3 --http1.1", "new"), ("--http2", "frames")] {
        lab.run(&format!("curl -sSfk -m 20 {options} https://{DAEMON}/?{page}"));
    }
    lab.run(&format!("curl -sSk -m 20 --user alice:wonderland pop3s://{DAEMON}/"));
    assert!(lab.daemon.stop().success());
    let fields = |filter: &str, field: &str| {
        lab.run(&format!("tshark -n -r frames.pcapng -Y '{filter}' -T fields -e {field} 2>/dev/null"))
    };
    assert_eq!(fields("http.request", "http.request.uri"), "/?old\n/?new\n");
    assert_eq!(fields("http.response", "http.response.code"), "200\n200\n");
    assert_eq!(fields("http2.headers.path", "http2.headers.path"), "/?frames\n");
    assert!(fields("pop.request", "pop.request.command").lines().any(|command| command == "LIST"));
    assert_eq!(fields("_ws.malformed", "frame.number"), "");
    for file in ["keys", "frames.pcapng"] {
        assert_eq!(fs::metadata(lab.folder().join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert!(String::from_utf8(lab.read("keys")).unwrap().contains("CLIENT_RANDOM "));
}
