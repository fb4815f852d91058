//! The ways in, and what keeps people out.

use super::*;
use crate::session::sasl::scram::Entry;
use base64ct::{Base64, Encoding};

/// What a client of SCRAM says last, by RFC 5802 §3 written once more.
fn proof(password: &str, first: &str, challenge: &str) -> String {
    let field = |mark: &str| challenge.split(',').find_map(|field| field.strip_prefix(mark)).unwrap().to_owned();
    let salt = Base64::decode_vec(&field("s=")).unwrap();
    crate::session::sasl::scram::tests::client_final(password, &salt, field("i=").parse().unwrap(), first, challenge)
}

#[test]
fn a_bare_auth_lists_the_mechanisms_and_plain_lets_in() {
    let mut house = house(&TWO);
    let (pipe, _end) = house.connect();
    assert_eq!(house.say(&pipe, "AUTH"), "+OK mechanisms follow\r\nPLAIN\r\n.\r\n");
    assert_eq!(house.status(&pipe, "AUTH CRAM-MD5"), "-ERR");
    assert_eq!(house.status(&pipe, "AUTH LOGIN"), "-ERR");
    assert_eq!(house.say(&pipe, "AUTH PLAIN"), "+ \r\n");
    assert_eq!(house.say(&pipe, "*"), "-ERR as you wish\r\n");
    assert_eq!(house.status(&pipe, "AUTH PLAIN ?"), "-ERR");
    assert_eq!(house.status(&pipe, "AUTH PLAIN ="), "-ERR");
    let wrong = Base64::encode_string(b"\0alice\0wonderland");
    assert_eq!(house.status(&pipe, &format!("AUTH PLAIN {wrong}")), "-ERR [AUTH]");
    assert_eq!(house.say(&pipe, "AUTH PLAIN"), "", "the second attempt waits");
    house.bench.pass(Duration::from_secs(1));
    assert_eq!(pipe.text(), "+ \r\n");
    let right = Base64::encode_string(b"\0alice\0wonder land");
    assert_eq!(house.say(&pipe, &right), "+OK 2 messages (60 octets)\r\n");
    assert_eq!(house.say(&pipe, "STAT"), "+OK 2 60\r\n");
}

#[test]
fn a_response_may_be_longer_than_a_command_but_not_without_end() {
    let mut house = house(&TWO);
    let (pipe, end) = house.connect();
    let long = Base64::encode_string(format!("\0alice\0{}", "x".repeat(900)).as_bytes());
    assert_eq!(house.status(&pipe, &format!("AUTH PLAIN {long}")), "-ERR [AUTH]");
    house.say(&pipe, "AUTH PLAIN");
    house.bench.pass(Duration::from_secs(1));
    assert_eq!(pipe.text(), "+ \r\n");
    assert_eq!(house.status(&pipe, &"A".repeat(20_000)), "-ERR");
    assert!(end.borrow().is_none());
}

#[test]
fn scram_lets_in_without_telling_the_password_once_everyone_has_an_entry() {
    let mut house = house(&TWO);
    let accounts = cheap(&[("alice", "wonder land")]);
    let entry = Entry::derive(b"wonder land", b"salt", 16).to_string();
    let scram = service(&house.bench, &house.mail, accounts.with_scram("alice", &entry).unwrap());
    house.service = Rc::new(scram);
    let (pipe, _end) = house.connect();
    assert_eq!(house.say(&pipe, "AUTH"), "+OK mechanisms follow\r\nSCRAM-SHA-256\r\nPLAIN\r\n.\r\n");
    let first = "n=alice,r=abcdef";
    let begin = Base64::encode_string(format!("n,,{first}").as_bytes());
    let challenge = house.say(&pipe, &format!("AUTH SCRAM-SHA-256 {begin}"));
    let challenge = challenge.strip_prefix("+ ").unwrap().trim_end();
    let challenge = String::from_utf8(Base64::decode_vec(challenge).unwrap()).unwrap();
    let last = proof("wonder land", first, &challenge);
    let signature = house.say(&pipe, &Base64::encode_string(last.as_bytes()));
    let signature = Base64::decode_vec(signature.strip_prefix("+ ").unwrap().trim_end()).unwrap();
    assert!(signature.starts_with(b"v="));
    assert_eq!(house.say(&pipe, ""), "+OK 2 messages (60 octets)\r\n");
}

#[test]
fn a_login_too_soon_after_the_last_is_refused_whoever_serves_it() {
    let mut house = house(&TWO);
    let delays = LoginDelays::default();
    let delayed = |house: &House| {
        let mut service = service(&house.bench, &house.mail, cheap(&[("alice", "wonder land")]));
        service.config.login_delay = Duration::from_secs(60);
        service.delays = delays.clone();
        Rc::new(service)
    };
    house.service = delayed(&house);
    let (pipe, _end) = house.log_in();
    house.say(&pipe, "QUIT");
    house.service = delayed(&house);
    let (pipe, _end) = house.connect();
    assert!(house.say(&pipe, "CAPA").contains("\r\nLOGIN-DELAY 60\r\n"));
    house.say(&pipe, "USER alice");
    assert_eq!(house.status(&pipe, "PASS wonder land"), "-ERR [LOGIN-DELAY]");
    house.bench.pass(Duration::from_secs(60));
    house.say(&pipe, "USER alice");
    assert_eq!(house.status(&pipe, "PASS wonder land"), "+OK");
}

#[test]
fn failed_logins_are_slowed_down_and_the_third_closes_the_connection() {
    let mut house = house(&TWO);
    let (pipe, end) = house.connect();
    house.say(&pipe, "USER alice");
    assert_eq!(house.status(&pipe, "PASS wrong"), "-ERR [AUTH]");
    house.say(&pipe, "USER nobody");
    assert_eq!(house.say(&pipe, "PASS wonder land"), "", "the second attempt waits");
    house.bench.pass(Duration::from_secs(1));
    assert_eq!(pipe.text(), "-ERR [AUTH] name or password is wrong\r\n");
    house.say(&pipe, "USER alice");
    assert_eq!(house.say(&pipe, "PASS wonderland"), "");
    house.bench.pass(Duration::from_secs(2));
    assert_eq!(pipe.text(), "-ERR [AUTH] name or password is wrong\r\n");
    assert!(end.borrow().is_some() && pipe.is_closed());
}

#[test]
fn pass_comes_right_after_user() {
    let mut house = house(&TWO);
    let (pipe, _end) = house.connect();
    house.say(&pipe, "USER alice");
    house.say(&pipe, "AUTH");
    assert_eq!(house.status(&pipe, "PASS wonder land"), "-ERR");
    house.say(&pipe, "USER bob");
    assert_eq!(house.status(&pipe, "PASS b"), "+OK");
    assert_eq!(house.say(&pipe, "STAT"), "+OK 0 0\r\n", "bob has no Maildir, which is no mail");
}

#[test]
fn a_maildrop_has_one_session_at_a_time() {
    let mut house = house(&TWO);
    let (first, _end) = house.log_in();
    let (second, _end) = house.connect();
    house.say(&second, "USER alice");
    assert_eq!(house.status(&second, "PASS wonder land"), "-ERR [IN-USE]");
    house.say(&first, "QUIT");
    house.say(&second, "USER alice");
    assert_eq!(house.status(&second, "PASS wonder land"), "+OK");
}
