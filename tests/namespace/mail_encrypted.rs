//! Mail over TLS, begun in the clear (STLS, STARTTLS) and encrypted from the first octet (submissions), with the programs
//! that people send and fetch it with. All of them trust the local authority and nobody else.

use crate::lab::{DAEMON, Daemon, Lab, Namespace};
use std::fs;

/// Every way in.
const TABLES: &str = "[smtp]\ndomains = [\"example.org\"]\nlmtp_listen = [24]\n\
                      submission_listen = [587]\nsubmission_tls_listen = [465]\n[tls]\nnames = [\"mail.example.org\"]\n";

/// A lab that takes mail for example.org and no password in the clear, with its authority in `authority.pem`.
fn lab() -> Lab {
    let namespace = Namespace::new();
    let config = Lab::config().replace("[pop3]", "[pop3]\nallow_plaintext_auth = false");
    let daemon = Daemon::start(&namespace, "daemon", &format!("{config}{TABLES}"), &[]);
    let lab = Lab { daemon, namespace };
    lab.run("tapstack certificate export --config daemon.toml --state state > authority.pem");
    lab
}

/// The messages that alice has not looked at.
fn delivered(lab: &Lab) -> Vec<String> {
    let Ok(entries) = fs::read_dir(lab.folder().join("mail/alice/new")) else { return Vec::new() };
    entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

/// How many messages came in each of these ways.
#[track_caller]
fn assert_came(lab: &Lab, ways: &[(&str, usize)]) {
    let messages = delivered(lab);
    for (way, count) in ways {
        let is_so = |text: &&String| text.contains(&format!(" with {way} id ")) && text.contains("\n\ttls TLS_");
        assert_eq!(messages.iter().filter(is_so).count(), *count, "{way}: {messages:#?}");
    }
    assert_eq!(messages.len(), ways.iter().map(|(_, count)| count).sum::<usize>(), "{messages:#?}");
}

#[test]
fn curl_sends_and_fetches_encrypted_and_is_refused_in_the_clear() {
    let lab = lab();
    lab.write("letter", "From: alice@example.org\r\nSubject: by curl\r\n\r\n.hello\r\n");
    let curl = "curl -sS -m 20 --cacert authority.pem";
    let letter = "--mail-from alice@example.org --mail-rcpt alice@example.org --upload-file letter";
    lab.run(&format!("{curl} --ssl-reqd {letter} smtp://{DAEMON}/client.example"));
    let login = "--user alice:wonderland";
    lab.run(&format!("{curl} --ssl-reqd {letter} {login} smtp://{DAEMON}:587/client.example"));
    lab.run(&format!("{curl} {letter} {login} smtps://{DAEMON}:465/client.example"));
    lab.run(&format!("{curl} --ssl-reqd --tls-max 1.2 {letter} {login} smtp://{DAEMON}:587/client.example"));
    assert_came(&lab, &[("ESMTPS", 1), ("ESMTPSA", 3)]);
    let fetched = lab.run(&format!("{curl} --ssl-reqd {login} pop3://{DAEMON}/1"));
    assert!(fetched.ends_with("Subject: by curl\r\n\r\n.hello\r\n"), "{fetched}");
    for clear in [format!("smtp://{DAEMON}:587/client.example {letter}"), format!("pop3://{DAEMON}/")] {
        let refused = lab.attempt(&format!("{curl} {login} {clear}"));
        assert!(refused.status != 0, "{clear}: {}", refused.stdout);
    }
    let stranger = lab.attempt(&format!("curl -sS -m 20 --ssl-reqd {login} pop3://{DAEMON}/1"));
    assert_eq!(stranger.status, 60, "nobody else trusts the authority: {}", stranger.stderr);
}

#[test]
fn swaks_goes_on_encrypted_on_every_port() {
    let lab = lab();
    let swaks = |rest: &str| {
        lab.run(&format!(
            "swaks --server {DAEMON} --helo client.example --from alice@example.org --to alice@example.org --body hello --tls-verify --tls-ca-path authority.pem {rest}"
        ))
    };
    assert!(swaks("--port 25 --tls").contains("TLS started with cipher TLSv1.3"));
    swaks("--protocol LMTP --port 24 --tls");
    for mechanism in ["PLAIN", "LOGIN"] {
        let auth = format!("--auth {mechanism} --auth-user alice --auth-password wonderland");
        swaks(&format!("--port 587 --tls {auth}"));
        swaks(&format!("--port 465 --tls-on-connect {auth}"));
    }
    assert_came(&lab, &[("ESMTPS", 1), ("LMTPS", 1), ("ESMTPSA", 4)]);
    let clear = lab.attempt(&format!(
        "swaks --server {DAEMON} --port 587 --from alice@example.org --to alice@example.org --auth PLAIN --auth-user alice \
         --auth-password wonderland"
    ));
    assert!(clear.status != 0 && !clear.stdout.contains("AUTH PLAIN"), "{}", clear.stdout);
}

#[test]
fn pythons_clients_go_on_encrypted_and_nothing_that_was_slipped_in_is_obeyed() {
    let lab = lab();
    let said = lab.run(&format!(
        r#"python3 -c '
import poplib, smtplib, socket, ssl
trust = ssl.create_default_context(cafile="authority.pem")
with smtplib.SMTP("{DAEMON}", 587, timeout=15) as client:
    client.ehlo()
    assert client.has_extn("starttls") and not client.has_extn("auth"), client.esmtp_features
    client.starttls(context=trust)
    client.ehlo()
    assert client.has_extn("auth") and not client.has_extn("starttls"), client.esmtp_features
    client.login("alice", "wonderland")
    client.sendmail("alice@example.org", ["alice@example.org"], "Subject: one\r\n\r\nbody\r\n")
with smtplib.SMTP_SSL("{DAEMON}", 465, timeout=15, context=trust) as client:
    client.login("alice", "wonderland")
    client.sendmail("alice@example.org", ["alice@example.org"], "Subject: two\r\n\r\nbody\r\n")
box = poplib.POP3("{DAEMON}", 110, timeout=15)
before = box.capa()
assert "STLS" in before and "USER" not in before, before
try:
    box.user("alice")
    raise SystemExit("a name was taken in the clear")
except poplib.error_proto as error:
    assert "[AUTH]" in str(error), error
box.stls(context=trust)
behind = box.capa()
assert "STLS" not in behind and "USER" in behind, behind
box.user("alice"); box.pass_("wonderland")
assert box.stat()[0] == 2
box.quit()
def slip_in(port, word, rest):
    plain = socket.create_connection(("{DAEMON}", port), 15)
    plain.recv(1000)
    plain.sendall(word + b"\r\n" + rest)
    answer = plain.recv(1000)
    assert answer.count(b"\r\n") == 1, answer
    return trust.wrap_socket(plain, server_hostname="{DAEMON}")
with slip_in(25, b"STARTTLS", b"EHLO m.example\r\nMAIL FROM:<m@example.com>\r\nRCPT TO:<alice@example.org>\r\n") as client:
    client.sendall(b"DATA\r\n")
    answer = client.recv(1000)
    assert answer.startswith(b"503 5.5.1 say MAIL first"), answer
with slip_in(110, b"STLS", b"USER alice\r\n") as client:
    client.sendall(b"PASS wonderland\r\n")
    answer = client.recv(1000)
    assert answer == b"-ERR say USER first\r\n", answer
print("done")
'"#
    ));
    assert_eq!(said, "done\n");
    assert_came(&lab, &[("ESMTPSA", 2)]);
}

#[test]
fn openssl_goes_on_encrypted_in_all_three_protocols() {
    let lab = lab();
    for (protocol, port, bye) in [("smtp", 25, "221 2.0.0"), ("smtp", 587, "221 2.0.0"), ("pop3", 110, "+OK bye")] {
        let said = lab.run(&format!(
            "printf 'QUIT\\r\\n' | openssl s_client -starttls {protocol} -connect {DAEMON}:{port} -CAfile authority.pem \
             -verify_ip {DAEMON} -verify_return_error -ign_eof 2>&1"
        ));
        assert!(said.contains("Verify return code: 0 (ok)") && said.contains(bye), "{protocol}: {said}");
    }
    let submissions = lab.run(&format!(
        "printf 'EHLO c.example\\r\\nQUIT\\r\\n' | openssl s_client -connect {DAEMON}:465 -CAfile authority.pem \
         -verify_return_error -quiet 2>/dev/null"
    ));
    assert!(submissions.contains("250-AUTH PLAIN LOGIN\r\n") && submissions.contains("221 2.0.0"), "{submissions}");
}

#[test]
fn msmtp_sends_and_mpop_and_fetchmail_fetch_encrypted() {
    let lab = lab();
    let common = format!(
        "--file=/dev/null --host={DAEMON} --user=alice --passwordeval='echo wonderland' --tls-trust-file=authority.pem"
    );
    for (port, starttls) in [(587, "on"), (465, "off")] {
        lab.run(&format!(
            "printf 'Subject: by msmtp\\n\\nhello\\n' | msmtp {common} --port={port} --auth=plain --tls=on --tls-starttls={starttls} \
             --from=alice@example.org alice@example.org"
        ));
    }
    assert_came(&lab, &[("ESMTPSA", 2)]);
    lab.run(&format!("mpop {common} --tls=on --tls-starttls=on --keep=on --delivery=mbox,$PWD/kept"));
    assert_eq!(String::from_utf8(lab.read("kept")).unwrap().matches("Subject: by msmtp").count(), 2);
    let folder = lab.folder().display().to_string();
    lab.write(
        "fetchmailrc",
        format!(
            "poll {DAEMON} proto pop3 timeout 15 user alice password wonderland sslproto 'TLS1.2+' sslcertck \
             sslcertfile {folder}/authority.pem sslcommonname mail.example.org mda 'cat >>{folder}/fetched'\n"
        ),
    );
    lab.run("chmod 600 fetchmailrc && HOME=$PWD FETCHMAILHOME=$PWD fetchmail --nosyslog -f fetchmailrc");
    assert_eq!(String::from_utf8(lab.read("fetched")).unwrap().matches("Subject: by msmtp").count(), 2);
    assert!(delivered(&lab).is_empty());
}

#[test]
fn check_tells_what_is_encrypted_and_how() {
    let lab = lab();
    let check = lab.run("tapstack check --config daemon.toml --state state");
    for wanted in ["submission on 587", "submissions on 465", "TLS 1.2 and 1.3, STLS and STARTTLS"] {
        assert!(check.contains(wanted), "{wanted}: {check}");
    }
}
