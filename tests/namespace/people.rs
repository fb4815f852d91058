//! Logins by a form, and mail on pages, with curl and with a browser: one account for the web, for fetching and for
//! sending mail, made by `tapstack account` while the daemon runs.

use crate::lab::{DAEMON, Daemon, Lab, Namespace, eventually};
use std::time::Duration;

const TABLES: &str = r#"
[smtp]
domains = ["example.org"]
submission_tls_listen = [465]

[http]
root = "www"
tls_listen = [443]
state_page_role = "admin"

[[http.protect]]
path = "/private/"
login = "form"
"#;

/// Sends some mail to alice.
const LETTERS: &str = r#"
import smtplib
from email.message import EmailMessage

def letter(sender, subject, date, text):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"], message["Date"] = sender, "alice@example.org", subject, date
    message.set_content(text)
    return message

monday = "Mon, 23 Nov 2026 %s +0100"
lunch = letter('Jürgen Müller <juergen@example.com>', "Lunch on Friday?", monday % "18:30:00", """Hello Alice,

the new place by the river has dumplings on Fridays. Shall we go?
The menu is attached, and <img src=x onerror=alert(1)> is how their site looks.

Grüße
Jürgen
""")
lunch.add_attachment("Soup, then dumplings.\n" * 3, filename="menü.txt")
letters = [
    letter("Library <desk@library.example>", "Two books are due", monday % "08:05:00", "In a week.\n"),
    letter("build@ci.example", "[tapstack] main is green", monday % "11:42:00", "All tests passed.\n"),
    letter("Eve <eve@example.com>", "<script>alert(1)</script> & \"other\" things", monday % "12:00:00", "Hi.\n"),
    lunch,
]
with smtplib.SMTP("192.0.2.2", 25, timeout=15) as client:
    for message in letters:
        client.send_message(message, "sender@example.com", ["alice@example.org"])
"#;

/// A lab with alice and bob in the book, some mail of alice, and the authority in `authority.pem`.
fn lab() -> Lab {
    let namespace = Namespace::new();
    namespace.write("www/private/index.html", "for alice");
    namespace.write("letters.py", LETTERS);
    let config = Lab::config();
    let (before, behind) = config.split_once("[[account]]").unwrap();
    let small = behind.split_once("[small]").unwrap().1;
    let config = format!("{before}[small]{small}{TABLES}").replace("[pop3]", "[pop3]\ntls_listen = [995]");
    let daemon = Daemon::start(&namespace, "daemon", &config, &[]);
    let lab = Lab { daemon, namespace };
    account(&lab, "add alice", "wonderland");
    account(&lab, "add bob --role admin --service web", "builder12");
    lab.run("tapstack certificate export --config daemon.toml --state state > authority.pem");
    lab.run("python3 letters.py");
    lab
}

fn account(lab: &Lab, words: &str, password: &str) -> String {
    let state = "--config daemon.toml --state state --control daemon.sock";
    lab.run(&format!("tapstack account {words} {state} <<< '{password}'"))
}

/// curl with alice's cookies in `jar`; what it says, with the status in front.
fn curl(lab: &Lab, path: &str, options: &str) -> (u16, String) {
    let said = lab.run(&format!(
        "curl -sS -m 20 --cacert authority.pem -b jar -c jar -o answer -w '%{{http_code}} %{{redirect_url}}' \
         -H 'Accept: text/html' {options} 'https://{DAEMON}{path}'"
    ));
    let (code, place) = said.split_once(' ').unwrap();
    let answer = String::from_utf8_lossy(&lab.read("answer")).into_owned();
    (code.parse().unwrap(), if place.is_empty() { answer } else { place.to_owned() })
}

/// What stands behind `before` on a page, up to the next quotation mark.
#[track_caller]
fn behind<'a>(page: &'a str, before: &str) -> &'a str {
    page.split_once(before).unwrap_or_else(|| panic!("no {before}: {page}")).1.split('"').next().unwrap()
}

fn log_in(lab: &Lab, name: &str, password: &str) -> (u16, String) {
    let (_, page) = curl(lab, "/-/account/login", "");
    let word = behind(&page, "name=\"word\" value=\"");
    curl(lab, "/-/account/login", &format!("-d word={word} -d name={name} --data-urlencode password={password}"))
}

#[test]
fn curl_logs_in_by_the_form_reads_mail_and_is_out_at_once_when_it_should_be() {
    let lab = lab();
    let clear = lab.run(&format!("curl -sS -m 20 -o answer -w '%{{redirect_url}}' http://{DAEMON}/-/account/mail/"));
    assert_eq!(clear, format!("https://{DAEMON}/-/account/mail/"));
    assert_eq!(curl(&lab, "/private/", ""), (303, format!("https://{DAEMON}/-/account/login?next=%2Fprivate%2F")));
    assert_eq!(log_in(&lab, "alice", "nonsense").0, 403);
    assert_eq!(log_in(&lab, "alice", "wonderland"), (303, format!("https://{DAEMON}/-/account/mail/")));
    let jar = String::from_utf8(lab.read("jar")).unwrap();
    let line = jar.lines().find(|line| line.contains("\t__Host-tapstack\t")).unwrap();
    // Only this host, the whole of it, over TLS, until the end of the browser's session.
    assert!(line.starts_with(&format!("#HttpOnly_{DAEMON}\tFALSE\t/\tTRUE\t0\t")), "{line}");
    assert_eq!(curl(&lab, "/private/", ""), (200, "for alice".to_owned()));
    let (_, list) = curl(&lab, "/-/account/mail/", "");
    assert!(list.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;other&quot; things"), "{list}");
    let path = format!("/-/account/mail/{}", behind(&list, "<td><a href=\"/-/account/mail/"));
    let (_, page) = curl(&lab, &path, "");
    assert!(page.contains("Jürgen Müller &lt;juergen@example.com&gt;") && page.contains("&lt;img src=x"), "{page}");
    assert!(page.contains("menü.txt"), "{page}");
    let file = format!("{path}/part/{}", behind(&page, &format!("{path}/part/")));
    assert_eq!(curl(&lab, &file, "-D head").1, "Soup, then dumplings.\n".repeat(3));
    let head = String::from_utf8(lab.read("head")).unwrap();
    for wanted in [
        "filename=\"men__.txt\"; filename*=UTF-8''men%C3%BC%2Etxt",
        "x-content-type-options: nosniff",
        "content-type: application/octet-stream",
        "cache-control: no-store",
    ] {
        assert!(head.contains(&wanted.replace("men__", "men_")), "{wanted}: {head}");
    }
    // A form from elsewhere, or without its word, does nothing.
    let word = format!("-d word={}", behind(&page, "name=\"word\" value=\""));
    let delete = format!("{path}/delete");
    assert_eq!(curl(&lab, &delete, "-d word=x").0, 403);
    assert_eq!(curl(&lab, &delete, &format!("{word} -H 'Origin: https://evil.example'")).0, 403);
    assert_eq!(curl(&lab, &delete, &format!("{word} -H 'Sec-Fetch-Site: cross-site'")).0, 403);
    assert_eq!(curl(&lab, &path, "").0, 200);
    // A mail program deletes it meanwhile.
    let login = "--cacert authority.pem --user alice:wonderland";
    lab.run(&format!("curl -sS -m 20 {login} pop3s://{DAEMON}/4 -X DELE -I >/dev/null"));
    let (code, gone) = curl(&lab, &path, "");
    assert!(code == 404 && gone.contains("not here any more"), "{code} {gone}");
    assert_eq!(curl(&lab, &delete, &word).0, 404);
    // Out, and the old cookie is worth nothing.
    lab.run("cp jar old");
    assert_eq!(curl(&lab, "/-/account/logout", &word), (303, format!("https://{DAEMON}/-/account/login")));
    lab.run("cp old jar");
    assert_eq!(curl(&lab, "/-/account/mail/", "").0, 303);
    assert_eq!(
        lab.run(&format!(
            "curl -sS -m 20 --cacert authority.pem -b old -o answer -w '%{{http_code}}' https://{DAEMON}/private/"
        )),
        "401"
    );
}

#[test]
fn one_account_is_for_what_it_is_for_and_a_change_holds_at_once() {
    let lab = lab();
    let pop3 = |who: &str| {
        lab.attempt(&format!("curl -sS -m 20 --cacert authority.pem --user {who} pop3s://{DAEMON}/")).status
    };
    let submit = |who: &str, from: &str| {
        lab.write("letter", "Subject: hello\r\n\r\nhello\r\n");
        lab.attempt(&format!(
            "curl -sS -m 20 --cacert authority.pem --user {who} --mail-from {from} --mail-rcpt alice@example.org \
             -T letter smtps://{DAEMON}:465/c.example"
        ))
        .status
    };
    assert_eq!((pop3("alice:wonderland"), submit("alice:wonderland", "alice@example.org")), (0, 0));
    // bob is for the web alone, and an administrator.
    assert_eq!((pop3("bob:builder12"), submit("bob:builder12", "bob@example.org")), (67, 67));
    assert_eq!(log_in(&lab, "alice", "wonderland").0, 303);
    assert_eq!(
        (curl(&lab, "/private/", "").0, curl(&lab, "/-/", "").0, curl(&lab, "/-/state.json", "").0),
        (200, 403, 403)
    );
    account(&lab, "role alice --add admin", "");
    assert_eq!(curl(&lab, "/-/", "").0, 200);
    account(&lab, "role alice --remove admin", "");
    assert_eq!(curl(&lab, "/-/", "").0, 403);
    account(&lab, "service alice pop3", "");
    assert_eq!((curl(&lab, "/private/", "").0, pop3("alice:wonderland")), (303, 0));
    account(&lab, "service alice all", "");
    assert_eq!(curl(&lab, "/private/", "").0, 200);
    let listed = account(&lab, "list", "");
    assert!(
        listed.lines().any(|line| line.starts_with("bob ") && line.contains("admin") && line.contains(" web ")),
        "{listed}"
    );
    for (words, password) in [("lock alice", ""), ("password alice", "looking-glass")] {
        account(&lab, words, password);
        assert_eq!(curl(&lab, "/-/account/", "").0, 303, "{words}");
        account(&lab, "unlock alice", "");
        eventually("the queue for who failed", || {
            log_in(&lab, "alice", "wonderland").0 == 303 || words.starts_with('p')
        });
    }
    eventually("the queue for who failed", || log_in(&lab, "alice", "looking-glass").0 == 303);
    // The password is changed on the page, for mail as well.
    let (_, page) = curl(&lab, "/-/account/password", "");
    let word = behind(&page, "name=\"word\" value=\"");
    let form = format!("-d word={word} -d old=looking-glass -d new=through-it-all -d again=through-it-all");
    assert_eq!(curl(&lab, "/-/account/password", &form).0, 303);
    assert_eq!(pop3("alice:through-it-all"), 0);
    account(&lab, "remove alice", "");
    assert_eq!(curl(&lab, "/-/account/", "").0, 303);
}

#[test]
fn a_browser_logs_in_reads_a_message_keeps_its_file_and_logs_out() {
    let lab = lab();
    // A browser drops what it has under way when an address comes, as that of IPv6 does a moment after its link.
    lab.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
    lab.write("browser.py", include_str!("browser.py"));
    // All of it is in a process namespace of its own, whose end is the end of whatever the browser started.
    let _driver = lab.start(
        "HOME=$PWD LC_ALL=C.UTF-8 exec unshare --pid --fork --kill-child=KILL --mount-proc chromedriver --port=9515 --log-level=WARNING",
    );
    let pictures = std::env::var("TAPSTACK_SCREENSHOTS").map_or_else(|_| String::new(), |folder| format!("'{folder}'"));
    let said = lab.attempt_for(
        Duration::from_secs(150),
        &format!("python3 browser.py http://127.0.0.1:9515 https://{DAEMON} \"$PWD\" {pictures}"),
    );
    assert_eq!((said.status, said.stdout.as_str()), (0, "done\n"), "{}", said.stderr);
}
