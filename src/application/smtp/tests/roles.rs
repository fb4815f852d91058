//! LMTP, where each recipient is answered for, and submission, where the sender has to be someone.

use super::*;
use base64ct::{Base64, Encoding};

fn submission(allow_plaintext_auth: bool) -> House {
    house_with(|config| config.allow_plaintext_auth = allow_plaintext_auth)
}

impl House {
    fn submit(&mut self) -> Pipe {
        let (pipe, _end) = self.connect_as(Role::Submission);
        pipe.take();
        self.say(&pipe, "EHLO c.example");
        pipe
    }
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let mut house = house();
    let (pipe, _end) = house.connect_as(Role::Lmtp);
    assert_eq!(pipe.text(), "220 mail.example.org LMTP tapstack\r\n");
    assert_eq!(house.code(&pipe, "EHLO x"), 500);
    assert_eq!(house.code(&pipe, "LHLO x"), 250);
    fs::write(house.mail.path().join("bob"), "a file, not a folder").unwrap();
    house.say(&pipe, "MAIL FROM:<>");
    assert_eq!(house.code(&pipe, "DATA"), 554);
    for to in ["alice", "nobody", "bob", "alice+again"] {
        house.say(&pipe, &format!("RCPT TO:<{to}@example.org>"));
    }
    house.say(&pipe, "DATA");
    let replies = house.say(&pipe, "x\r\n.");
    let codes: Vec<&str> = replies.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["250", "451", "250"]);
    assert_eq!(house.bodies("alice"), ["x\n"]);
    assert!(house.messages("alice")[0].contains(" with LMTP id "));
    house.say(&pipe, "MAIL FROM:<>");
    for to in ["alice", "bob"] {
        house.say(&pipe, &format!("RCPT TO:<{to}@example.org>"));
    }
    pipe.put("BDAT 2 LAST\r\nx\r");
    house.bench.run();
    assert_eq!(pipe.text().lines().map(|line| &line[..3]).collect::<Vec<_>>(), ["554", "554"]);
}

#[test]
fn submission_takes_no_password_without_encryption_unless_told_to() {
    let mut house = submission(false);
    let (pipe, _end) = house.connect_as(Role::Submission);
    pipe.take();
    assert!(!house.say(&pipe, "EHLO x").contains("AUTH"));
    assert_eq!(house.code(&pipe, "AUTH PLAIN"), 538);
    assert_eq!(house.code(&pipe, "MAIL FROM:<alice@example.org>"), 530);
}

#[test]
fn who_has_logged_in_sends_as_themselves_to_people_of_this_host() {
    let mut house = submission(true);
    let pipe = house.submit();
    assert!(house.say(&pipe, "EHLO x").contains("250-AUTH PLAIN LOGIN\r\n"));
    assert_eq!(house.code(&pipe, "MAIL FROM:<alice@example.org>"), 530);
    assert_eq!(house.code(&pipe, "AUTH CRAM-MD5"), 504);
    assert_eq!(house.say(&pipe, "AUTH PLAIN"), "334 \r\n");
    assert_eq!(house.code(&pipe, "*"), 501);
    assert_eq!(house.code(&pipe, "AUTH PLAIN ?"), 501);
    let plain = Base64::encode_string(b"\0alice\0wonder land");
    assert_eq!(house.code(&pipe, &format!("AUTH PLAIN {plain}")), 235);
    assert_eq!(house.code(&pipe, &format!("AUTH PLAIN {plain}")), 503);
    for (from, code) in [("", 553), ("bob@example.org", 553), ("alice@example.com", 553), ("alice+x@example.org", 250)]
    {
        assert_eq!(house.code(&pipe, &format!("MAIL FROM:<{from}>")), code, "{from}");
    }
    assert!(house.say(&pipe, "RCPT TO:<someone@example.com>").contains("no queue"));
    assert_eq!(house.code(&pipe, "RCPT TO:<bob@example.org>"), 250);
    house.say(&pipe, "DATA");
    assert_eq!(house.code(&pipe, "x\r\n."), 250);
    assert!(house.messages("bob")[0].contains(" with ESMTPA id "));
}

#[test]
fn login_asks_twice_and_failures_are_slowed_down_and_counted() {
    let mut house = submission(true);
    let pipe = house.submit();
    let words = [Base64::encode_string(b"alice"), Base64::encode_string(b"wonder land")];
    let [name, password] = &words;
    assert_eq!(house.say(&pipe, "AUTH LOGIN"), "334 VXNlcm5hbWU6\r\n");
    assert_eq!(house.say(&pipe, name), "334 UGFzc3dvcmQ6\r\n");
    assert_eq!(house.code(&pipe, name), 535);
    assert_eq!(house.say(&pipe, &format!("AUTH LOGIN {name}")), "", "the second attempt waits");
    house.bench.pass(Duration::from_secs(1));
    assert_eq!(pipe.text(), "334 UGFzc3dvcmQ6\r\n");
    assert_eq!(house.code(&pipe, password), 235);
    let pipe = house.submit();
    let wrong = Base64::encode_string(b"\0alice\0x");
    for _ in 0..3 {
        house.say(&pipe, &format!("AUTH PLAIN {wrong}"));
        house.bench.pass(Duration::from_secs(60));
    }
    assert!(pipe.is_finished(), "three failures and the connection is closed");
}
