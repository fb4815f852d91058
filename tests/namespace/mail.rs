//! Mail on its whole way, with the programs that people send and fetch it with.

use crate::lab::{DAEMON, Daemon, Lab, Namespace, SmallDisk, binary};
use std::fs;
use std::path::Path;
use std::process::Command;

const TABLES: &str = "[smtp]\ndomains = [\"example.org\"]\nlmtp_listen = [24]\nsubmission_listen = [587]\n\
                      allow_plaintext_auth = true\nclient_rate = 0\n";

/// A lab that takes mail for example.org, by SMTP, LMTP and submission.
fn lab() -> Lab {
    Lab::with(TABLES)
}

/// The messages in a Maildir that nobody has looked at.
fn delivered(root: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.join("mail/alice/new")) else { return Vec::new() };
    entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[test]
fn swaks_delivers_by_smtp_lmtp_and_submission() {
    let lab = lab();
    let swaks = |rest: &str| {
        lab.run(&format!(
            "swaks --server {DAEMON} --helo client.example --from bob@example.com --to alice@example.org --body hello {rest}"
        ))
    };
    assert!(swaks("--port 25 --pipeline").contains("250 2.0.0 delivered as"));
    let both = swaks("--protocol LMTP --port 24 --to alice@example.org,postmaster@example.org");
    assert_eq!(both.matches("250 2.0.0 delivered as").count(), 2, "{both}");
    for mechanism in ["PLAIN", "LOGIN"] {
        let auth = format!("--port 587 --auth {mechanism} --auth-user alice --auth-password wonderland");
        let said = swaks(&format!("{auth} --from alice@example.org"));
        assert!(said.contains("235 2.7.0") && said.contains("250 2.0.0 delivered as"), "{said}");
    }
    assert_eq!(delivered(lab.folder()).len(), 4);
    let relay = lab.attempt(&format!("swaks --server {DAEMON} --from bob@example.com --to carol@example.net"));
    assert!(relay.status != 0 && relay.stdout.contains("550 5.7.1"), "{}", relay.stdout);
    let stranger =
        lab.attempt(&format!("swaks --server {DAEMON} --port 587 --from alice@example.org --to alice@example.org"));
    assert!(stranger.status != 0 && stranger.stdout.contains("530 5.7.0"), "{}", stranger.stdout);
}

#[test]
fn what_python_sends_python_fetches() {
    let lab = lab();
    let said = lab.run(&format!(
        r#"python3 -c '
import poplib, smtplib
from email.message import EmailMessage
from email.policy import SMTP
message = EmailMessage()
message["From"], message["To"], message["Subject"] = "bob@example.com", "alice@example.org", "gr\u00fc\u00dfe"
message.set_content("a\n.\n..b\n" + "x" * 70 + "\n")
with smtplib.SMTP("{DAEMON}", 25, timeout=15) as client:
    client.ehlo()
    assert client.has_extn("size") and client.has_extn("smtputf8"), client.esmtp_features
    client.send_message(message)
    client.sendmail("b\u00f6b@example.com", ["alice@example.org"], message.as_bytes(policy=SMTP), ["SMTPUTF8", "BODY=8BITMIME"])
with smtplib.LMTP("{DAEMON}", 24) as client:
    client.sendmail("", ["postmaster@example.org"], "Subject: two\r\n\r\nbody\r\n")
with smtplib.SMTP("{DAEMON}", 587, timeout=15) as client:
    client.login("alice", "wonderland")
    client.sendmail("alice@example.org", ["alice@example.org"], "Subject: own\r\n\r\nbody\r\n")
box = poplib.POP3("{DAEMON}", 110, timeout=15)
box.utf8(); box.user("alice"); box.pass_("wonderland")
count, octets = box.stat()
assert count == 4, count
texts = [b"\r\n".join(box.retr(number + 1)[1]) + b"\r\n" for number in range(count)]
assert sum(map(len, texts)) == octets, octets
assert sum(b"\r\n.\r\n..b\r\n" in text for text in texts) == 2, texts
for number in range(count): box.dele(number + 1)
box.quit()
print("done")
'"#
    ));
    assert_eq!(said, "done\n");
    assert!(delivered(lab.folder()).is_empty());
}

#[test]
fn curl_sends_and_fetches() {
    let lab = lab();
    lab.write("letter", "From: bob@example.com\r\nSubject: by curl\r\n\r\n.hello\r\n");
    let send = "curl -sS --mail-from bob@example.com --mail-rcpt alice@example.org --upload-file letter";
    lab.run(&format!("{send} smtp://{DAEMON}/client.example"));
    let submit = "curl -sS --mail-from alice@example.org --mail-rcpt alice@example.org --upload-file letter";
    lab.run(&format!("{submit} --user alice:wonderland smtp://{DAEMON}:587/client.example"));
    let fetch = format!("curl -sS --user alice:wonderland --login-options AUTH=PLAIN pop3://{DAEMON}/2");
    assert!(lab.run(&fetch).ends_with("Subject: by curl\r\n\r\n.hello\r\n"));
}

#[test]
fn mutt_reads_a_message_over_stls_and_deletes_it() {
    let lab = lab();
    lab.run(&format!("swaks --server {DAEMON} --from bob@example.com --to alice@example.org --body 'by mutt' 2>&1"));
    lab.run("tapstack certificate export --config daemon.toml --state state > authority.pem");
    // Keys as a person would press them, on a terminal: give the message to a program, delete it, leave.
    lab.write(
        "settings",
        "set ssl_starttls=yes ssl_force_tls=yes ssl_ca_certificates_file=authority.pem\n\
         set folder=. delete=yes quit=yes wait_key=no\n\
         push \"<pipe-message>cat > kept<enter><delete-message><quit>\"\n",
    );
    let mutt = format!("mutt -n -F settings -f pop://alice:wonderland@{DAEMON}/");
    let said = lab.run(&format!("HOME=$PWD TERM=vt100 timeout 20 script -qec '{mutt}' /dev/null < /dev/null"));
    assert!(said.contains("SSL/TLS connection using TLS1.3"), "{said}");
    let kept = String::from_utf8(lab.read("kept")).unwrap();
    assert!(kept.contains("\nby mutt\n"), "{kept}");
    assert_eq!(delivered(lab.folder()), Vec::<String>::new());
}

#[test]
fn mutt_and_msmtp_send_and_mpop_and_fetchmail_fetch() {
    let lab = lab();
    lab.run(&format!(
        "echo hello | HOME=$PWD mutt -n -F /dev/null -e 'set smtp_url=smtp://{DAEMON} from=bob@example.com ssl_starttls=no \
         ssl_force_tls=no copy=no use_domain=no' -s by-mutt alice@example.org"
    ));
    lab.run(&format!(
        "printf 'Subject: by msmtp\\n\\nhello\\n' | msmtp --file=/dev/null --host={DAEMON} --port=587 --auth=plain --user=alice \
         --passwordeval='echo wonderland' --tls=off --from=alice@example.org alice@example.org"
    ));
    assert_eq!(delivered(lab.folder()).len(), 2);
    let mpop = format!(
        "mpop --file=/dev/null --host={DAEMON} --user=alice --passwordeval='echo wonderland' --tls=off --auth=plain"
    );
    assert!(lab.run(&format!("{mpop} --serverinfo")).contains("PIPELINING"));
    lab.run(&format!("{mpop} --keep=on --delivery=mbox,$PWD/kept"));
    let kept = String::from_utf8(lab.read("kept")).unwrap();
    assert!(kept.contains("Subject: by-mutt") && kept.contains("Subject: by msmtp"), "{kept}");
    assert_eq!(delivered(lab.folder()).len(), 2);
    lab.write(
        "fetchmailrc",
        format!(
            "poll {DAEMON} proto pop3 timeout 15 user alice password wonderland sslproto '' mda 'cat >>{}/fetched'\n",
            lab.folder().display()
        ),
    );
    lab.run("chmod 600 fetchmailrc && HOME=$PWD FETCHMAILHOME=$PWD fetchmail --nosyslog -f fetchmailrc");
    assert!(String::from_utf8(lab.read("fetched")).unwrap().contains("Subject: by msmtp"));
    assert!(delivered(lab.folder()).is_empty());
}

#[test]
fn mpop_proves_the_password_by_scram() {
    let namespace = Namespace::new();
    let made = Command::new("sh")
        .args(["-c", "printf 'wonderland\\n' | \"$0\" password --scram"])
        .arg(binary())
        .output()
        .unwrap();
    let entry = String::from_utf8(made.stdout).unwrap();
    let config = Lab::config().replace("[small]", &format!("scram = \"{}\"\n[smtp]\n", entry.trim()));
    let _daemon = Daemon::start(&namespace, "daemon", &config, &[]);
    let mpop = |auth: &str, password: &str| {
        namespace.attempt(&format!(
            "mpop --file=/dev/null --host={DAEMON} --user=alice --passwordeval='echo {password}' --tls=off --auth={auth} \
             --delivery=mbox,$PWD/box"
        ))
    };
    let right = mpop("scram-sha-256", "wonderland");
    assert_eq!(right.status, 0, "{}{}", right.stdout, right.stderr);
    assert!(mpop("scram-sha-256", "wunderland").status != 0);
}

#[test]
fn a_full_disk_is_told_and_what_was_acknowledged_is_there() {
    let namespace = Namespace::new();
    let _disk = SmallDisk::at(namespace.folder().join("mail"));
    let lab = Lab::started(namespace, TABLES, &[]);
    let said = lab.run(&format!(
        r#"python3 -c '
import smtplib
taken, refused = 0, 0
with smtplib.SMTP("{DAEMON}", 25, timeout=15) as client:
    for number in range(100):
        try:
            client.sendmail("b@example.com", ["alice@example.org"], "Subject: %d\r\n\r\n%s" % (number, ("x" * 70 + "\r\n") * 100))
            taken += 1
        except smtplib.SMTPDataError as error:
            assert error.smtp_code == 452, error
            refused += 1
print(taken, refused)
'"#
    ));
    let (taken, refused) = said.trim().split_once(' ').unwrap();
    assert!(taken != "0" && refused != "0", "{said}");
    let messages = delivered(lab.folder());
    assert_eq!(messages.len().to_string(), taken);
    assert!(messages.iter().all(|text| text.matches('\n').count() == 107), "whole ones only");
    let drafts = fs::read_dir(lab.folder().join("mail/alice/tmp")).unwrap().count();
    assert_eq!(drafts, 0, "what was refused takes no room");
    // With room again, mail is taken again.
    let fetched = lab.run(&format!(
        "python3 -c '
import poplib, smtplib
box = poplib.POP3(\"{DAEMON}\", 110, timeout=15)
box.user(\"alice\"); box.pass_(\"wonderland\")
for number in range(box.stat()[0]): box.dele(number + 1)
box.quit()
smtplib.SMTP(\"{DAEMON}\", 25, timeout=15).sendmail(\"b@example.com\", [\"alice@example.org\"], \"Subject: x\\r\\n\\r\\n\")
print(\"again\")'"
    ));
    assert_eq!(fetched, "again\n");
}
