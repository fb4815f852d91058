//! Whole conversations over a pipe, into Maildirs in a folder of their own.

mod bodies;
mod encryption;
mod roles;

use super::*;
use crate::application::testing::{Bench, Pipe, pipe};
use crate::base::random::Random;
use crate::session::accounts::tests::cheap;
use crate::session::throttle::SharedThrottle;
use crate::session::verifier::Verifier;
use std::cell::RefCell;
use std::fs;
use std::io;
use tempfile::TempDir;

/// What a finished conversation returned.
type End = Rc<RefCell<Option<io::Result<()>>>>;

struct House {
    bench: Bench,
    mail: TempDir,
    service: Rc<Service>,
    shutdown: Shutdown,
}

fn house() -> House {
    house_with(|_| {})
}

/// A host of the domain example.org where alice and bob live.
fn house_with(change: impl FnOnce(&mut Config)) -> House {
    let bench = Bench::default();
    let mail = TempDir::new().unwrap();
    let mut config =
        Config { host: "mail.example.org".into(), domains: vec!["example.org".into()], ..Config::default() };
    change(&mut config);
    let verifier = Verifier::inline(cheap(&[("alice", "wonder land"), ("bob", "b"), ("carol@example.org", "c")]));
    let service = Service {
        config,
        clock: bench.clock(),
        entrance: Entrance::new(
            bench.clock(),
            verifier,
            SharedThrottle::default(),
            Random::from_seed(1),
            crate::session::rights::Service::Submission,
        ),
        mailboxes: Mailboxes::new(mail.path().join("{user}")),
        errands: Errands::inline(),
        visitors: Visitors::default(),
        acceptor: None,
    };
    House { bench, mail, service: Rc::new(service), shutdown: Shutdown::new() }
}

impl House {
    fn connect_as(&mut self, role: Role) -> (Pipe, End) {
        let (ours, theirs) = pipe(1 << 16);
        let (service, shutdown) = (self.service.clone(), self.shutdown.clone());
        let end = self.bench.spawn(async move { converse(&service, role, TlsStream::plain(theirs), &shutdown).await });
        (ours, end)
    }

    /// A client that has greeted.
    fn connect(&mut self) -> (Pipe, End) {
        let (pipe, end) = self.connect_as(Role::Receive);
        assert_eq!(pipe.text(), "220 mail.example.org ESMTP tapstack\r\n");
        assert_eq!(self.code(&pipe, "EHLO client.example.com"), 250);
        (pipe, end)
    }

    /// A client whose message is expected.
    fn begin(&mut self) -> (Pipe, End) {
        let (pipe, end) = self.connect();
        for line in ["MAIL FROM:<bob@example.com>", "RCPT TO:<alice@example.org>"] {
            assert_eq!(self.code(&pipe, line), 250, "{line}");
        }
        assert_eq!(self.code(&pipe, "DATA"), 354);
        (pipe, end)
    }

    fn say(&mut self, pipe: &Pipe, line: &str) -> String {
        pipe.put(format!("{line}\r\n"));
        self.bench.run();
        pipe.text()
    }

    /// The code of the last reply.
    fn code(&mut self, pipe: &Pipe, line: &str) -> u16 {
        code(&self.say(pipe, line))
    }

    /// The messages of an account, without what we put before them.
    fn bodies(&self, user: &str) -> Vec<String> {
        self.messages(user).iter().map(|text| text.split_once("+0000\n").unwrap().1.into()).collect()
    }

    fn messages(&self, user: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.mail.path().join(user).join("new")) else { return Vec::new() };
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

fn code(replies: &str) -> u16 {
    let last = replies.lines().next_back().unwrap_or_else(|| panic!("no reply"));
    last[..3].parse().unwrap()
}

#[test]
fn a_whole_session_as_in_rfc_5321_appendix_d() {
    let mut house = house();
    let (pipe, end) = house.connect_as(Role::Receive);
    assert_eq!(pipe.text(), "220 mail.example.org ESMTP tapstack\r\n");
    assert_eq!(
        house.say(&pipe, "EHLO bar.example.com"),
        "250-mail.example.org greets bar.example.com\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
         250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250-SIZE 26214400\r\n250 HELP\r\n"
    );
    assert_eq!(house.say(&pipe, "MAIL FROM:<Smith@bar.example.com> SIZE=100 BODY=8BITMIME"), "250 2.1.0 sender OK\r\n");
    assert_eq!(house.say(&pipe, "RCPT TO:<alice@example.org>"), "250 2.1.5 recipient OK\r\n");
    assert_eq!(house.code(&pipe, "RCPT TO:<Green@example.org>"), 550);
    assert_eq!(house.say(&pipe, "DATA"), "354 go ahead; a line of one dot ends it\r\n");
    let taken = house.say(&pipe, "Subject: x\r\n\r\nBlah\r\n..etc.\r\n.");
    assert!(taken.starts_with("250 2.0.0 delivered as "), "{taken}");
    let id = taken.trim_end().rsplit(' ').next().unwrap();
    assert_eq!(
        house.messages("alice"),
        [format!(
            "Return-Path: <Smith@bar.example.com>\nReceived: from bar.example.com ([192.0.2.7])\n\
             \tby mail.example.org with ESMTP id {id}\n\tfor <alice@example.org>;\n\tSun, 22 Nov 2026 12:00:00 +0000\n\
             Subject: x\n\nBlah\n.etc.\n"
        )]
    );
    assert_eq!(house.say(&pipe, "QUIT"), "221 2.0.0 bye\r\n");
    assert!(end.borrow().as_ref().unwrap().is_ok() && pipe.is_closed());
}

#[test]
fn every_command_out_of_its_place_is_refused_and_changes_nothing() {
    let mut house = house();
    let (pipe, _end) = house.connect_as(Role::Receive);
    pipe.take();
    for (line, code) in [
        ("MAIL FROM:<>", 503),
        ("RCPT TO:<alice@example.org>", 503),
        ("DATA", 503),
        ("LHLO x", 500),
        ("AUTH PLAIN", 502),
        ("STARTTLS", 502),
        ("EXPN list", 502),
        ("VRFY alice", 252),
        ("NOOP", 250),
        ("HELP", 214),
        ("RSET", 250),
        ("HELO x", 250),
        ("RCPT TO:<alice@example.org>", 503),
        ("DATA", 503),
        ("MAIL FROM:<>", 250),
        ("MAIL FROM:<>", 503),
        ("DATA", 554),
        ("RCPT TO:<alice@example.org>", 250),
        ("RSET", 250),
        ("RCPT TO:<alice@example.org>", 503),
    ] {
        assert_eq!(house.code(&pipe, line), code, "{line}");
    }
    assert!(house.messages("alice").is_empty());
}

#[test]
fn only_our_own_people_get_mail_by_whichever_of_their_names() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    house.say(&pipe, "MAIL FROM:<>");
    for (to, code) in [
        ("alice@example.org", 250),
        ("ALICE@Example.ORG", 250),
        ("alice+tag@example.org", 250),
        ("@relay.example,@other.example:alice@example.org", 250),
        ("\"alice\"@example.org", 250),
        ("carol@example.org", 250),
        ("postmaster@example.org", 250),
        ("Postmaster", 250),
        ("nobody@example.org", 550),
        ("../alice@example.org", 501),
        ("alice@example.com", 550),
        ("alice%example.com@example.net", 550),
        ("alice@[192.0.2.2]", 550),
        ("älice@example.org", 553),
    ] {
        assert_eq!(house.code(&pipe, &format!("RCPT TO:<{to}>")), code, "{to}");
    }
    house.say(&pipe, "DATA");
    assert_eq!(house.code(&pipe, "x\r\n."), 250);
    assert_eq!(house.bodies("alice"), ["x\n"], "once, whatever she was called");
    assert_eq!(house.bodies("carol@example.org"), ["x\n"]);
    assert!(!house.messages("alice")[0].contains("for <"), "who else got it is nobody's business");
}

#[test]
fn a_whole_conversation_is_answered_alike_however_it_is_cut() {
    let script = "EHLO c.example\r\nMAIL FROM:<b@example.com>\r\nRCPT TO:<alice@example.org>\r\nRCPT TO:<x@example.org>\r\n\
                  DATA\r\n..a\r\nb\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.org>\r\nBDAT 4\r\nc\r\n.BDAT 3 LAST\r\nd\r\n\
                  NOOP\r\nQUIT\r\n";
    let run = |pieces: &[&[u8]]| {
        let mut house = house();
        let (pipe, end) = house.connect_as(Role::Receive);
        for piece in pieces {
            pipe.put(piece);
            house.bench.run();
        }
        let said = pipe.text();
        assert!(end.borrow().is_some(), "{said}");
        let codes: Vec<String> = said.lines().map(|line| line[..4].to_owned()).collect();
        (codes, house.bodies("alice"), house.bodies("bob"))
    };
    let whole = run(&[script.as_bytes()]);
    assert_eq!(whole.1, [".a\nb\n"]);
    assert_eq!(whole.2, ["c\n.d\n"]);
    for cut in (0..script.len()).step_by(3) {
        let (first, second) = script.as_bytes().split_at(cut);
        assert_eq!(run(&[first, second]), whole, "cut at {cut}");
    }
    let octets: Vec<&[u8]> = script.as_bytes().chunks(1).collect();
    assert_eq!(run(&octets), whole);
}

#[test]
fn a_line_that_ends_otherwise_than_with_crlf_ends_the_conversation() {
    let mut house = house();
    for line in ["NOOP\n", "NO\rOP\r\n", "NOOP\r\r\n"] {
        let (pipe, end) = house.connect();
        pipe.put(line);
        house.bench.run();
        assert_eq!(code(&pipe.text()), 500, "{line:?}");
        assert!(pipe.is_finished());
        house.bench.pass(Duration::from_secs(2));
        assert!(end.borrow().is_some());
    }
}

#[test]
fn mistakes_are_counted_and_too_many_end_the_conversation() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    house.say(&pipe, "MAIL FROM:<>");
    for number in 0..19 {
        assert_eq!(house.code(&pipe, &format!("RCPT TO:<guess{number}@example.org>")), 550);
    }
    assert_eq!(house.code(&pipe, "FOO"), 421);
    assert!(pipe.is_finished());
}

#[test]
fn silence_a_stop_and_a_crowd_are_told_with_421() {
    let mut house = house_with(|config| config.client_connections = 2);
    let (silent, _end) = house.connect();
    let (stopped, _end) = house.connect();
    let (third, _end) = house.connect_as(Role::Receive);
    assert_eq!(code(&third.text()), 421);
    house.bench.pass(Duration::from_secs(299));
    assert_eq!(house.code(&stopped, "NOOP"), 250);
    assert_eq!(silent.text(), "");
    house.bench.pass(Duration::from_secs(1));
    assert_eq!(code(&silent.text()), 421);
    house.bench.pass(Duration::from_secs(2));
    let (_again, _end) = house.connect();
    house.shutdown.ask();
    house.bench.run();
    assert_eq!(code(&stopped.text()), 421);
}

#[test]
fn a_command_of_an_octet_a_second_has_no_more_time_than_silence() {
    let mut house = house_with(|_| ());
    let (pipe, _end) = house.connect();
    for _ in 0..300 {
        assert_eq!(pipe.text(), "");
        pipe.put("N");
        house.bench.pass(Duration::from_secs(1));
    }
    assert_eq!(code(&pipe.text()), 421);
}

#[test]
fn a_client_that_sends_too_fast_is_told_to_come_back() {
    let mut house = house_with(|config| config.client_rate = 1);
    let (pipe, _end) = house.connect();
    for _ in 0..60 {
        assert_eq!(house.code(&pipe, "MAIL FROM:<>"), 250);
        house.say(&pipe, "RSET");
    }
    assert_eq!(house.code(&pipe, "MAIL FROM:<>"), 450);
    house.bench.pass(Duration::from_secs(1));
    assert_eq!(house.code(&pipe, "MAIL FROM:<>"), 250);
}
