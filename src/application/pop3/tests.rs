//! Whole conversations over a pipe, with mail in a folder of their own.

mod encryption;
mod login;

use super::*;
use crate::application::testing::{Bench, Pipe, pipe};
use crate::base::random::Random;
use crate::session::accounts::Accounts;
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

/// A service with two accounts; alice has the messages given, by file name and content.
fn house(messages: &[(&str, &str)]) -> House {
    let bench = Bench::default();
    let mail = TempDir::new().unwrap();
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(mail.path().join("alice").join(folder)).unwrap();
    }
    for (name, content) in messages {
        fs::write(mail.path().join("alice").join(name), content).unwrap();
    }
    let accounts = cheap(&[("alice", "wonder land"), ("bob", "b")]);
    let service = Rc::new(service(&bench, &mail, accounts));
    House { bench, mail, service, shutdown: Shutdown::new() }
}

fn service(bench: &Bench, mail: &TempDir, accounts: Accounts) -> Service {
    let verifier = Verifier::inline(accounts);
    Service {
        config: Config::default(),
        clock: bench.clock(),
        entrance: Entrance::new(
            bench.clock(),
            verifier,
            SharedThrottle::default(),
            Random::from_seed(1),
            crate::session::rights::Service::Pop3,
        ),
        mailboxes: Mailboxes::new(mail.path().join("{user}")),
        errands: Errands::inline(),
        delays: LoginDelays::default(),
        acceptor: None,
    }
}

impl House {
    fn connect(&mut self) -> (Pipe, End) {
        let (ours, theirs) = pipe(1 << 16);
        let (service, shutdown) = (self.service.clone(), self.shutdown.clone());
        let end = self.bench.spawn(async move { converse(&service, TlsStream::plain(theirs), &shutdown).await });
        assert_eq!(ours.text(), "+OK tapstack POP3 ready\r\n");
        (ours, end)
    }

    fn log_in(&mut self) -> (Pipe, End) {
        let (pipe, end) = self.connect();
        assert_eq!(self.say(&pipe, "USER alice"), "+OK now the password\r\n");
        let answer = self.say(&pipe, "PASS wonder land");
        assert!(answer.starts_with("+OK "), "{answer}");
        (pipe, end)
    }

    fn say(&mut self, pipe: &Pipe, line: &str) -> String {
        pipe.put(format!("{line}\r\n"));
        self.bench.run();
        pipe.text()
    }

    /// The first word and the response code of the answer, if it has one.
    fn status(&mut self, pipe: &Pipe, line: &str) -> String {
        let answer = self.say(pipe, line);
        answer
            .split_inclusive([' ', ']'])
            .take(if answer.contains(" [") { 2 } else { 1 })
            .collect::<String>()
            .trim()
            .into()
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.mail.path().join("alice").join(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

const TWO: [(&str, &str); 2] = [
    ("cur/1000.first:2,S", "Subject: one\n\n.dot\nbody\n"),
    ("new/2000.second", "Subject: two\r\n\r\nb1\r\nb2\r\nno end"),
];

#[test]
fn a_whole_session_as_in_rfc_1939() {
    let mut house = house(&TWO);
    let (pipe, end) = house.log_in();
    assert_eq!(house.say(&pipe, "STAT"), "+OK 2 60\r\n");
    assert_eq!(house.say(&pipe, "LIST"), "+OK 2 messages (60 octets)\r\n1 28\r\n2 32\r\n.\r\n");
    assert_eq!(house.say(&pipe, "LIST 2"), "+OK 2 32\r\n");
    assert_eq!(house.say(&pipe, "UIDL"), "+OK unique identifiers follow\r\n1 1000.first\r\n2 2000.second\r\n.\r\n");
    assert_eq!(house.say(&pipe, "UIDL 1"), "+OK 1 1000.first\r\n");
    assert_eq!(house.say(&pipe, "RETR 1"), "+OK 28 octets\r\nSubject: one\r\n\r\n..dot\r\nbody\r\n.\r\n");
    assert_eq!(house.say(&pipe, "RETR 2"), "+OK 32 octets\r\nSubject: two\r\n\r\nb1\r\nb2\r\nno end\r\n.\r\n");
    assert_eq!(house.say(&pipe, "TOP 2 0"), "+OK top of message follows\r\nSubject: two\r\n\r\n.\r\n");
    assert_eq!(house.say(&pipe, "TOP 2 1"), "+OK top of message follows\r\nSubject: two\r\n\r\nb1\r\n.\r\n");
    assert!(house.say(&pipe, "TOP 2 99999999999999999999").ends_with("\r\nno end\r\n.\r\n"));
    assert_eq!(house.say(&pipe, "NOOP"), "+OK nothing done\r\n");
    assert_eq!(house.say(&pipe, "DELE 1"), "+OK marked for deletion\r\n");
    assert_eq!(house.say(&pipe, "STAT"), "+OK 1 32\r\n");
    assert_eq!(house.say(&pipe, "LIST"), "+OK 1 messages (32 octets)\r\n2 32\r\n.\r\n");
    for refused in ["DELE 1", "RETR 1", "LIST 1", "UIDL 1", "TOP 1 0", "RETR 0", "RETR 3", "DELE 18446744073709551616"]
    {
        assert_eq!(house.say(&pipe, refused), "-ERR no such message\r\n", "{refused}");
    }
    assert_eq!(house.say(&pipe, "RSET"), "+OK 2 messages (60 octets)\r\n");
    assert_eq!(house.say(&pipe, "DELE 2"), "+OK marked for deletion\r\n");
    assert_eq!(house.say(&pipe, "QUIT"), "+OK bye (1 messages left)\r\n");
    assert!(end.borrow().as_ref().unwrap().is_ok() && pipe.is_finished() && pipe.is_closed());
    assert_eq!((house.names("cur"), house.names("new")), (vec!["1000.first:2,S".to_owned()], vec![]));
}

#[test]
fn every_command_out_of_its_state_is_refused() {
    let mut house = house(&TWO);
    let (pipe, _end) = house.connect();
    for line in ["STAT", "LIST", "UIDL", "RETR 1", "TOP 1 1", "DELE 1", "RSET", "NOOP", "PASS wonder land"] {
        // Each on a connection of its own: there is a bound on mistakes.
        let (pipe, _end) = house.connect();
        assert_eq!(house.status(&pipe, line), "-ERR", "{line}");
    }
    house.say(&pipe, "USER alice");
    assert_eq!(house.status(&pipe, "PASS wonder land"), "+OK");
    for line in ["USER alice", "PASS wonder land", "AUTH", "AUTH PLAIN"] {
        assert_eq!(house.status(&pipe, line), "-ERR", "{line}");
    }
    assert_eq!(house.status(&pipe, "STAT"), "+OK");
}

#[test]
fn the_capabilities_are_the_same_before_and_after_the_login() {
    let mut house = house(&TWO);
    let (pipe, _end) = house.connect();
    let before = house.say(&pipe, "CAPA");
    for capability in [
        "TOP",
        "UIDL",
        "USER",
        "PIPELINING",
        "RESP-CODES",
        "AUTH-RESP-CODE",
        "EXPIRE NEVER",
        "SASL PLAIN",
        "UTF8 USER",
        "LANG",
    ] {
        assert!(before.contains(&format!("\r\n{capability}\r\n")), "{capability} in {before}");
    }
    assert!(before.contains("\r\nIMPLEMENTATION tapstack") && before.ends_with("\r\n.\r\n"));
    house.say(&pipe, "USER alice");
    house.say(&pipe, "PASS wonder land");
    assert_eq!(house.say(&pipe, "CAPA"), before);
}

#[test]
fn languages_are_listed_and_utf8_is_taken_before_the_login() {
    let mut house = house(&TWO);
    let (pipe, _end) = house.connect();
    assert_eq!(house.say(&pipe, "LANG"), "+OK languages follow\r\nen English\r\n.\r\n");
    assert_eq!(house.status(&pipe, "LANG en"), "+OK");
    assert_eq!(house.status(&pipe, "LANG de"), "-ERR");
    assert_eq!(house.status(&pipe, "UTF8"), "+OK");
    house.say(&pipe, "USER alice");
    assert_eq!(house.status(&pipe, "PASS wonder land"), "+OK");
    assert_eq!(house.status(&pipe, "LANG *"), "+OK");
    assert_eq!(house.status(&pipe, "UTF8"), "-ERR", "RFC 6856 §2: only in the AUTHORIZATION state");
}

#[test]
fn a_whole_session_pipelined_in_one_segment_is_answered_in_order() {
    let mut house = house(&TWO);
    let (pipe, end) = house.connect();
    pipe.put("USER alice\r\nPASS wonder land\r\nSTAT\r\nRETR 1\r\nDELE 1\r\nDELE 2\r\nRETR 2\r\nQUIT\r\nNOOP\r\n");
    house.bench.run();
    assert_eq!(
        pipe.text(),
        "+OK now the password\r\n+OK 2 messages (60 octets)\r\n+OK 2 60\r\n\
         +OK 28 octets\r\nSubject: one\r\n\r\n..dot\r\nbody\r\n.\r\n\
         +OK marked for deletion\r\n+OK marked for deletion\r\n-ERR no such message\r\n+OK bye (0 messages left)\r\n"
    );
    assert!(end.borrow().is_some());
    assert_eq!((house.names("cur"), house.names("new")), (vec![], vec![]));
}

#[test]
fn a_session_is_answered_alike_however_it_is_cut() {
    let script =
        "CAPA\r\nUSER alice\r\nPASS wonder land\r\nSTAT\r\nUIDL\r\nTOP 2 1\r\nRETR 1\r\nDELE 1\r\nFOO\r\nQUIT\r\n";
    let run = |pieces: &[&[u8]]| {
        let mut house = house(&TWO);
        let (pipe, end) = house.connect();
        let mut said = String::new();
        for piece in pieces {
            pipe.put(piece);
            house.bench.run();
            said += &pipe.text();
        }
        assert!(end.borrow().is_some());
        (said, house.names("cur"), house.names("new"))
    };
    let whole = run(&[script.as_bytes()]);
    assert!(whole.0.ends_with("+OK bye (1 messages left)\r\n"), "{}", whole.0);
    for cut in 0..script.len() {
        let (first, second) = script.as_bytes().split_at(cut);
        assert_eq!(run(&[first, second]), whole, "cut at {cut}");
    }
    assert_eq!(run(&script.as_bytes().chunks(1).collect::<Vec<_>>()), whole);
}

#[test]
fn a_lost_connection_deletes_nothing() {
    let mut house = house(&TWO);
    let (pipe, end) = house.log_in();
    house.say(&pipe, "DELE 1");
    drop(pipe);
    house.bench.run();
    assert!(end.borrow().is_some());
    assert_eq!((house.names("cur").len(), house.names("new").len()), (1, 1));
    // And the lock is free again.
    let _ = house.log_in();
}

#[test]
fn ten_minutes_of_silence_end_a_session_and_delete_nothing() {
    let mut house = house(&TWO);
    let (pipe, end) = house.log_in();
    house.say(&pipe, "DELE 1");
    house.bench.pass(Duration::from_secs(599));
    assert_eq!(house.status(&pipe, "NOOP"), "+OK");
    house.bench.pass(Duration::from_secs(599));
    assert!(end.borrow().is_none());
    house.bench.pass(Duration::from_secs(1));
    assert!(end.borrow().is_some() && pipe.is_closed());
    assert_eq!(pipe.text(), "");
    assert_eq!((house.names("cur").len(), house.names("new").len()), (1, 1));
}

#[test]
fn a_command_of_an_octet_a_second_is_cut_off_after_a_minute() {
    let mut house = house(&TWO);
    let (pipe, end) = house.log_in();
    // The time of silence does not count against it.
    house.bench.pass(Duration::from_secs(599));
    for _ in 0..60 {
        assert!(end.borrow().is_none());
        pipe.put("N");
        house.bench.pass(Duration::from_secs(1));
    }
    assert!(end.borrow().is_some() && pipe.is_closed());
    // One that is too long is not one that has not begun.
    let (pipe, end) = house.log_in();
    for _ in 0..60 {
        assert!(end.borrow().is_none());
        pipe.put([b'N'; 2_000]);
        house.bench.pass(Duration::from_secs(1));
    }
    assert!(end.borrow().is_some() && pipe.is_closed());
}

#[test]
fn a_command_in_pieces_is_heard_and_begins_the_time_anew() {
    let mut house = house(&TWO);
    let (pipe, end) = house.log_in();
    for _ in 0..5 {
        pipe.put("NO");
        house.bench.pass(Duration::from_secs(59));
        assert_eq!(house.status(&pipe, "OP"), "+OK");
        house.bench.pass(Duration::from_secs(599));
    }
    assert!(end.borrow().is_none());
}

#[test]
fn a_shutdown_ends_sessions_and_deletes_nothing() {
    let mut house = house(&TWO);
    let (pipe, end) = house.log_in();
    house.say(&pipe, "DELE 1");
    house.shutdown.ask();
    house.bench.run();
    assert!(end.borrow().is_some() && pipe.is_closed());
    assert_eq!(house.names("cur").len(), 1);
}

#[test]
fn too_many_mistakes_close_the_connection() {
    let mut house = house(&[]);
    let (pipe, end) = house.connect();
    for _ in 0..9 {
        assert_eq!(house.say(&pipe, "HELO there"), "-ERR unknown command\r\n");
    }
    assert_eq!(house.say(&pipe, "GET / HTTP/1.1"), "-ERR unknown command\r\n-ERR too many mistakes\r\n");
    assert!(end.borrow().is_some() && pipe.is_closed());
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_session_goes_on() {
    let mut house = house(&TWO);
    let (pipe, _end) = house.log_in();
    assert_eq!(house.say(&pipe, &"x".repeat(100_000)), "-ERR the line is too long\r\n");
    assert_eq!(house.status(&pipe, "NOOP"), "+OK");
}

#[test]
fn a_message_that_was_moved_is_found_and_one_that_vanished_is_said_to_be_gone() {
    let mut house = house(&TWO);
    let (pipe, _end) = house.log_in();
    let root = house.mail.path().join("alice");
    fs::rename(root.join("new/2000.second"), root.join("cur/2000.second:2,RS")).unwrap();
    assert!(house.say(&pipe, "RETR 2").starts_with("+OK 32 octets\r\nSubject: two"));
    fs::remove_file(root.join("cur/1000.first:2,S")).unwrap();
    assert_eq!(house.status(&pipe, "RETR 1"), "-ERR");
    assert_eq!(house.status(&pipe, "TOP 1 0"), "-ERR");
    assert_eq!(house.say(&pipe, "STAT"), "+OK 2 60\r\n", "numbers and sizes hold for the session");
    house.say(&pipe, "DELE 1");
    house.say(&pipe, "DELE 2");
    assert_eq!(house.say(&pipe, "QUIT"), "+OK bye (0 messages left)\r\n");
    assert!(house.names("cur").is_empty());
}

#[test]
fn messages_that_come_during_a_session_are_seen_by_the_next() {
    let mut house = house(&TWO);
    let (pipe, _end) = house.log_in();
    fs::write(house.mail.path().join("alice/new/1500.between"), "x").unwrap();
    assert_eq!(house.say(&pipe, "STAT"), "+OK 2 60\r\n");
    house.say(&pipe, "QUIT");
    let (pipe, _end) = house.log_in();
    assert_eq!(house.say(&pipe, "UIDL 2"), "+OK 2 1500.between\r\n");
}

#[test]
fn the_order_is_that_of_delivery_and_identifiers_hold_when_flags_change() {
    let long = format!("new/3.{}", "y".repeat(100));
    let mut house =
        house(&[("cur/10.b:2,", "b"), ("new/9.a", "a"), (&long, "c"), ("new/10.a", "d"), ("new/.hidden", "e")]);
    let (pipe, _end) = house.log_in();
    let first = house.say(&pipe, "UIDL");
    let uids: Vec<&str> = first.lines().skip(1).filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(uids[1..], ["9.a", "10.a", "10.b"]);
    assert_eq!(uids[0].len(), 64, "a name that is too long is hashed");
    house.say(&pipe, "QUIT");
    let root = house.mail.path().join("alice");
    fs::rename(root.join("new/9.a"), root.join("cur/9.a:2,S")).unwrap();
    let (pipe, _end) = house.log_in();
    assert_eq!(house.say(&pipe, "UIDL"), first);
}

#[test]
fn links_and_folders_are_not_mail() {
    let mut house = house(&[("new/1.real", "x\n")]);
    let root = house.mail.path().join("alice");
    let secret = house.mail.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    std::os::unix::fs::symlink(&secret, root.join("new/2.link")).unwrap();
    fs::create_dir(root.join("cur/3.folder")).unwrap();
    let (pipe, _end) = house.log_in();
    assert_eq!(house.say(&pipe, "STAT"), "+OK 1 3\r\n");
    // Also not when the link comes later, in the place of a message.
    fs::remove_file(root.join("new/1.real")).unwrap();
    std::os::unix::fs::symlink(&secret, root.join("new/1.real")).unwrap();
    assert_eq!(house.status(&pipe, "RETR 1"), "-ERR [SYS/TEMP]");
}

#[test]
fn a_maildrop_that_can_not_be_read_is_a_permanent_error() {
    let mut house = house(&[]);
    fs::remove_dir_all(house.mail.path().join("alice")).unwrap();
    fs::write(house.mail.path().join("alice"), "a file, not a folder").unwrap();
    let (pipe, _end) = house.connect();
    house.say(&pipe, "USER alice");
    assert_eq!(house.status(&pipe, "PASS wonder land"), "-ERR [SYS/PERM]");
}

#[test]
fn a_message_that_can_not_be_removed_is_reported_at_the_end() {
    let mut house = house(&TWO);
    let (pipe, _end) = house.log_in();
    house.say(&pipe, "DELE 1");
    // A folder in the place of the message: nobody's permission removes it as a file.
    let path = house.mail.path().join("alice/cur/1000.first:2,S");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(house.status(&pipe, "QUIT"), "-ERR [SYS/TEMP]");
}

#[test]
fn top_of_a_message_without_a_body_ends_with_a_blank_line() {
    let mut house = house(&[("new/1.a", "Subject: x\n")]);
    let (pipe, _end) = house.log_in();
    assert_eq!(house.say(&pipe, "TOP 1 5"), "+OK top of message follows\r\nSubject: x\r\n\r\n.\r\n");
    assert_eq!(house.say(&pipe, "RETR 1"), "+OK 12 octets\r\nSubject: x\r\n.\r\n");
}

#[test]
fn a_large_message_goes_out_in_pieces_as_the_client_takes_it() {
    let line = "x".repeat(99) + "\n";
    let mut house = house(&[("new/1.big", &line.repeat(20_000))]);
    let (pipe, _end) = house.log_in();
    pipe.put("RETR 1\r\nNOOP\r\n");
    let mut got = String::new();
    loop {
        house.bench.run();
        let piece = pipe.text();
        assert!(piece.len() <= 1 << 16, "the pipe bounds what is under way");
        if piece.is_empty() {
            break;
        }
        got.push_str(&piece);
    }
    let expected =
        format!("+OK 2020000 octets\r\n{}.\r\n+OK nothing done\r\n", line.replace('\n', "\r\n").repeat(20_000));
    assert!(got == expected, "{} octets", got.len());
}

#[test]
fn a_client_that_takes_nothing_for_ten_minutes_is_gone() {
    let mut house = house(&[("new/1.big", &"x".repeat(1 << 20))]);
    let (pipe, end) = house.log_in();
    pipe.put("RETR 1\r\n");
    house.bench.pass(Duration::from_secs(600));
    assert!(end.borrow().as_ref().unwrap().is_err());
}

#[test]
fn sizes_are_written_down_and_hold_for_sessions_to_come() {
    let mut house = house(&TWO);
    let root = house.mail.path().join("alice");
    let (pipe, _end) = house.log_in();
    house.say(&pipe, "QUIT");
    assert_eq!(
        fs::read_to_string(root.join("tapstack-sizes")).unwrap(),
        "tapstack sizes 1\n28 1000.first\n32 2000.second\nend\n"
    );
    // Nobody reads them again: the content is gone, the size stays.
    fs::write(root.join("cur/1000.first:2,S"), "").unwrap();
    fs::write(root.join("new/1500.c"), "123\n").unwrap();
    fs::write(root.join("new/1501.c,S=4,W=99"), "123\n").unwrap();
    let (pipe, _end) = house.log_in();
    assert_eq!(house.say(&pipe, "LIST"), "+OK 4 messages (164 octets)\r\n1 28\r\n2 5\r\n3 99\r\n4 32\r\n.\r\n");
    house.say(&pipe, "QUIT");
    // What is torn counts as nothing.
    for torn in ["", "tapstack sizes 1\n28 1000.first\n32 2000", "tapstack sizes 2\n28 1000.first\nend\n", "\0\0\0\0"] {
        fs::write(root.join("tapstack-sizes"), torn).unwrap();
        let (pipe, _end) = house.log_in();
        assert_eq!(house.say(&pipe, "STAT"), "+OK 4 136\r\n", "{torn:?}");
        house.say(&pipe, "QUIT");
    }
}

#[test]
fn a_name_can_not_lead_out_of_the_mail_folder() {
    let mailboxes = Mailboxes::new("mail/{user}");
    for name in ["../alice", "..", "", "a/b", "a\0b", "."] {
        assert_eq!(mailboxes.of(name), None, "{name:?}");
    }
    assert_eq!(mailboxes.of("alice"), Some("mail/alice".into()));
}
