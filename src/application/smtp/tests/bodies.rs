//! Messages: where they end, what is not taken, and that what is taken comes out again.

use super::*;
use crate::application::pop3;

#[test]
fn every_smuggled_ending_is_refused_and_nothing_behind_it_is_obeyed() {
    let mut house = house();
    for ending in ["\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r.\r\n", "\r\r\n.\r\n", "\r\n.\r\r\n"] {
        let (pipe, end) = house.begin();
        pipe.put(format!("a{ending}MAIL FROM:<evil@example.com>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nb\r\n.\r\n"));
        house.bench.run();
        let said = pipe.text();
        assert_eq!((code(&said), said.lines().count()), (554, 1), "{ending:?}");
        assert!(pipe.is_finished(), "{ending:?}");
        house.bench.pass(Duration::from_secs(2));
        assert!(end.borrow().is_some() && pipe.is_closed());
    }
    assert!(house.messages("alice").is_empty() && house.messages("bob").is_empty());
}

/// What the sender of `text` puts on the wire, by the definition: a dot before each line that begins with one.
fn stuffed(text: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (index, octet) in text.iter().enumerate() {
        if *octet == b'.' && (index == 0 || text[..index].ends_with(b"\r\n")) {
            wire.push(b'.');
        }
        wire.push(*octet);
    }
    wire
}

#[test]
fn every_short_string_comes_out_of_pop3_as_it_went_into_data_or_is_refused() {
    let mut house = house();
    let fetcher = Rc::new(pop3::Service {
        config: pop3::Config::default(),
        clock: house.bench.clock(),
        entrance: Entrance::new(
            house.bench.clock(),
            house.service.entrance.verifier().clone(),
            SharedThrottle::default(),
            Random::from_seed(2),
            crate::session::rights::Service::Pop3,
        ),
        mailboxes: house.service.mailboxes.clone(),
        errands: Errands::inline(),
        delays: pop3::LoginDelays::default(),
        acceptor: None,
    });
    let letters = [b'a', b'\r', b'\n', b'.'];
    let mut taken = 0;
    for (length, number) in (0..=6u32).flat_map(|length| (0..4usize.pow(length)).map(move |number| (length, number))) {
        let text: Vec<u8> = (0..length).map(|place| letters[number / 4usize.pow(place) % 4]).collect();
        let (pipe, _end) = house.begin();
        pipe.put([&stuffed(&text), &b"\r\n.\r\nQUIT\r\n"[..]].concat());
        house.bench.run();
        let said = pipe.text();
        house.bench.pass(Duration::from_secs(2));
        let whole = String::from_utf8([&text[..], b"\r\n"].concat()).unwrap();
        if whole.replace("\r\n", "").contains(['\r', '\n']) {
            assert!(said.starts_with("554 "), "{text:?}: {said}");
            continue;
        }
        assert!(said.starts_with("250 "), "{text:?}: {said}");
        taken += 1;
        let (pipe, theirs) = pipe_pair();
        let (service, shutdown) = (fetcher.clone(), house.shutdown.clone());
        house.bench.spawn(async move { pop3::converse(&service, TlsStream::plain(theirs), &shutdown).await });
        pipe.put("USER alice\r\nPASS wonder land\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n");
        house.bench.run();
        let fetched = pipe.text();
        let (_, message) = fetched.split_once("messages (").unwrap_or_else(|| panic!("{fetched}"));
        let (octets, message) = message.split_once(" octets)\r\n+OK ").unwrap();
        let (same, message) = message.split_once(" octets\r\n").unwrap();
        let (message, _) = message.split_once("\r\n.\r\n+OK marked").unwrap();
        // The client's side: the dots that were added go.
        let message = format!("{message}\r\n").replace("\r\n.", "\r\n");
        assert_eq!((octets, octets), (same, message.len().to_string().as_str()), "{text:?}");
        assert_eq!(message.split_once("+0000\r\n").unwrap().1, whole, "{text:?}");
    }
    assert_eq!(taken, 288, "strings over a, dot and CRLF");
    assert!(house.messages("alice").is_empty());
}

fn pipe_pair() -> (Pipe, Pipe) {
    pipe(1 << 16)
}

#[test]
fn a_message_that_is_too_large_is_refused_before_or_after_it_came() {
    let mut house = house_with(|config| config.message_size = 10_000);
    let (pipe, _end) = house.connect();
    assert_eq!(house.code(&pipe, "MAIL FROM:<> SIZE=10001"), 552);
    house.say(&pipe, "MAIL FROM:<> SIZE=10000");
    house.say(&pipe, "RCPT TO:<alice@example.org>");
    house.say(&pipe, "DATA");
    assert_eq!(house.code(&pipe, &format!("{}\r\n.", "x".repeat(10_000))), 552);
    assert_eq!(house.code(&pipe, "NOOP"), 250, "the conversation goes on");
    let (pipe, _end) = house.begin();
    assert_eq!(house.code(&pipe, &"x".repeat(50_000)), 552);
    assert!(pipe.is_finished(), "but nobody reads for ever");
    assert!(house.messages("alice").is_empty());
    assert_eq!(fs::read_dir(house.mail.path()).unwrap().count(), 0, "nothing of it touched the disk");
}

#[test]
fn a_large_message_goes_to_the_disk_in_pieces_and_a_lost_one_leaves_nothing() {
    let mut house = house();
    let line = "x".repeat(98) + "\r\n";
    let tmp = house.mail.path().join("alice/tmp");
    for is_lost in [true, false] {
        let (pipe, end) = house.begin();
        for _ in 0..100 {
            pipe.put(line.repeat(100));
            house.bench.run();
        }
        assert_eq!(fs::read_dir(&tmp).unwrap().count(), 1);
        if is_lost {
            drop(pipe);
        } else {
            assert_eq!(house.code(&pipe, "."), 250);
        }
        house.bench.run();
        assert_eq!((fs::read_dir(&tmp).unwrap().count(), end.borrow().is_some()), (0, is_lost));
    }
    assert!(house.bodies("alice") == [line.replace("\r\n", "\n").repeat(10_000)]);
}

#[test]
fn a_message_that_trickles_or_stands_still_is_given_up() {
    let mut house = house();
    let (pipe, _end) = house.begin();
    house.bench.pass(Duration::from_secs(180));
    assert_eq!(code(&pipe.text()), 421);
    let (pipe, _end) = house.begin();
    for _ in 0..15 {
        pipe.put("x");
        house.bench.pass(Duration::from_secs(120));
    }
    assert_eq!(code(&pipe.text()), 421);
    assert!(house.messages("alice").is_empty());
}

#[test]
fn a_message_that_goes_round_in_circles_is_refused() {
    let mut house = house();
    let hops = |count: usize| format!("{}\r\nReceived: in the body\r\n.", "Received: from x\r\n".repeat(count));
    let (pipe, _end) = house.begin();
    assert_eq!(house.code(&pipe, &hops(101)), 554);
    let (pipe, _end) = house.begin();
    assert_eq!(house.code(&pipe, &hops(100)), 250);
    assert_eq!(house.messages("alice").len(), 1);
}

#[test]
fn chunks_are_taken_whatever_is_thought_of_them() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    // Octets that nobody wants are no commands.
    pipe.put("BDAT 6\r\nQUIT\r\n");
    house.bench.run();
    assert_eq!(code(&pipe.text()), 503);
    house.say(&pipe, "MAIL FROM:<>");
    assert_eq!(house.code(&pipe, "BDAT 5 LAST\r\nabc"), 503);
    house.say(&pipe, "RCPT TO:<alice@example.org>");
    pipe.put("BDAT 7\r\n.\r\n..\r\n");
    house.bench.run();
    assert_eq!(pipe.text(), "250 2.0.0 7 octets received\r\n");
    for line in ["RCPT TO:<bob@example.org>", "DATA", "MAIL FROM:<>"] {
        assert_eq!(house.code(&pipe, line), 503, "{line}");
    }
    pipe.put("BDAT 3\r\nend");
    house.bench.run();
    assert_eq!(pipe.text(), "250 2.0.0 3 octets received\r\n");
    assert_eq!(house.code(&pipe, "BDAT 0 LAST"), 250);
    assert_eq!(house.bodies("alice"), [".\n..\nend\n"]);
    house.say(&pipe, "MAIL FROM:<>");
    house.say(&pipe, "RCPT TO:<alice@example.org>");
    pipe.put("BDAT 2 LAST\r\nx\r");
    house.bench.run();
    assert_eq!(code(&pipe.text()), 554, "half a line end is none");
    assert_eq!(house.code(&pipe, "NOOP"), 250);
    house.say(&pipe, "MAIL FROM:<>");
    house.say(&pipe, "RCPT TO:<alice@example.org>");
    pipe.put("BDAT 4 LAST\r\nx\ny\r");
    house.bench.run();
    assert_eq!(code(&pipe.text()), 554);
    assert!(pipe.is_finished());
    assert_eq!(house.messages("alice").len(), 1);
}

#[test]
fn trouble_with_the_disk_is_temporary_and_loses_nothing() {
    let mut house = house();
    fs::write(house.mail.path().join("alice"), "a file, not a folder").unwrap();
    let (pipe, _end) = house.begin();
    assert_eq!(house.code(&pipe, "x\r\n."), 451);
    assert_eq!(house.code(&pipe, "NOOP"), 250);
}

#[test]
fn a_hundred_recipients_are_taken_and_the_next_is_told_to_be_sent_separately() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    house.say(&pipe, "MAIL FROM:<>");
    for number in 0..100 {
        assert_eq!(house.code(&pipe, &format!("RCPT TO:<alice+{number}@example.org>")), 250);
    }
    assert_eq!(house.code(&pipe, "RCPT TO:<bob@example.org>"), 452);
    house.say(&pipe, "DATA");
    assert_eq!(house.code(&pipe, "x\r\n."), 250);
    assert_eq!((house.messages("alice").len(), house.messages("bob").len()), (1, 0));
}
