//! The mail server, with the mail programs that people have.

use crate::lab::{DAEMON, Lab, binary};
use std::fs;

const FIRST: &str = "From: bob@example.com\nTo: alice@example.com\nSubject: one\n\nFirst.\n.hidden dot\n";
const SECOND: &str = "From: bob@example.com\nTo: alice@example.com\nSubject: two\n\nSecond.\n";

/// A lab in which alice has two messages.
fn with_mail() -> Lab {
    let lab = Lab::new();
    for folder in ["new", "cur", "tmp"] {
        fs::create_dir_all(lab.folder().join("mail/alice").join(folder)).unwrap();
    }
    lab.write("mail/alice/new/1700000001.M1P1.lab", FIRST);
    lab.write("mail/alice/cur/1700000002.M2P1.lab:2,S", SECOND);
    lab
}

fn messages_left(lab: &Lab) -> usize {
    ["new", "cur"]
        .iter()
        .map(|folder| fs::read_dir(lab.folder().join("mail/alice").join(folder)).unwrap().count())
        .sum()
}

#[test]
fn curl_lists_and_fetches_mail() {
    let lab = with_mail();
    let list = lab.run(&format!("curl -sS --user alice:wonderland pop3://{DAEMON}/"));
    assert_eq!(list.lines().count(), 2, "{list}");
    let mail = lab.run(&format!("curl -sS --user alice:wonderland pop3://{DAEMON}/1"));
    assert_eq!(mail, FIRST.replace('\n', "\r\n"));
    let wrong = lab.attempt(&format!("curl -sS -m 20 --user alice:wrong pop3://{DAEMON}/"));
    assert_eq!(wrong.status, 67, "login must be denied: {}", wrong.stderr);
    assert_eq!(messages_left(&lab), 2);
}

#[test]
fn an_account_that_is_made_while_the_daemon_runs_can_log_in_until_it_is_locked() {
    let lab = Lab::new();
    let binary = binary();
    let account = |words: &str| {
        let place = format!("--state state --control {}", lab.daemon.control().display());
        lab.run(&format!("echo looking-glass | {} account {words} {place}", binary.display()))
    };
    let curl = || lab.attempt(&format!("curl -sS -m 20 --user bob:looking-glass pop3://{DAEMON}/")).status;
    assert_eq!(account("add bob"), "bob: added; the running daemon knows\n");
    assert_eq!(curl(), 0);
    account("lock bob");
    assert_eq!(curl(), 67, "login must be denied");
    account("unlock bob");
    // The failure has its price: the next attempt waits a second.
    assert_eq!(curl(), 0);
    let list = account("list --config daemon.toml");
    assert!(list.lines().any(|line| line.starts_with("alice") && line.contains("configuration")), "{list}");
}

#[test]
fn a_session_of_pythons_client_sees_what_the_maildir_holds() {
    let lab = with_mail();
    let said = lab.run(&format!(
        r#"python3 -c '
import poplib
box = poplib.POP3("{DAEMON}", 110, timeout=15)
assert "UIDL" in box.capa(), box.capa()
box.user("alice"); box.pass_("wonderland")
count, size = box.stat()
_, sizes, _ = box.list()
assert count == 2 and sum(int(line.split()[1]) for line in sizes) == size, (count, size, sizes)
_, lines, octets = box.retr(1)
assert lines[-1] == b".hidden dot", lines
_, lines, _ = box.top(2, 0)
assert b"Subject: two" in lines and b"Second." not in lines, lines
uids = [line.split()[1] for line in box.uidl()[1]]
assert len(set(uids)) == 2, uids
box.noop(); box.dele(1); box.rset(); box.quit()
print("done")
'"#
    ));
    assert_eq!(said, "done\n");
    assert_eq!(messages_left(&lab), 2, "what was undeleted is gone");
}

#[test]
fn a_message_is_deleted_at_quit_and_not_before() {
    let lab = with_mail();
    let session = |end: &str| {
        lab.run(&format!(
            "python3 -c '
import poplib
box = poplib.POP3(\"{DAEMON}\", 110, timeout=15)
box.user(\"alice\"); box.pass_(\"wonderland\"); box.dele(1)
{end}'"
        ));
    };
    session("box.sock.close()");
    assert_eq!(messages_left(&lab), 2, "a connection that broke off deleted mail");
    session("box.quit()");
    assert_eq!(messages_left(&lab), 1, "QUIT did not delete");
    let left = lab.run(&format!("curl -sS --user alice:wonderland pop3://{DAEMON}/1"));
    assert!(left.contains("Subject: two"), "the wrong one was deleted: {left}");
}

#[test]
fn fetchmail_empties_the_mailbox() {
    let lab = with_mail();
    lab.write(
        "fetchmailrc",
        format!(
            "poll {DAEMON} proto pop3 timeout 15 user alice password wonderland sslproto '' mda 'cat >>{}/fetched'\n",
            lab.folder().display()
        ),
    );
    lab.run("chmod 600 fetchmailrc && HOME=$PWD FETCHMAILHOME=$PWD fetchmail --nosyslog -f fetchmailrc");
    let fetched = String::from_utf8(lab.read("fetched")).unwrap();
    assert!(fetched.contains("\n.hidden dot\n") && fetched.contains("Second."), "{fetched}");
    assert_eq!(messages_left(&lab), 0);
}
