//! STARTTLS, what is taken without it, and what a message says of it.

use super::*;
use crate::presentation::tls::tests::fixtures::{Client, ordinary};
use base64ct::{Base64, Encoding};
use rustls::ClientConfig;
use std::io::ErrorKind;
use std::sync::Arc;

/// A house where STARTTLS is offered, and what its clients trust.
fn house_with_starttls() -> (House, Arc<ClientConfig>) {
    let mut house = house();
    let (acceptor, trust) = ordinary(&house.bench);
    Rc::get_mut(&mut house.service).unwrap().acceptor = Some(acceptor);
    (house, trust)
}

impl House {
    fn encrypt(&mut self, pipe: Pipe, trust: &Arc<ClientConfig>) -> Client {
        let mut client = Client::new(trust, "host.example", pipe);
        client.turn(&mut self.bench);
        client
    }

    fn say_encrypted(&mut self, client: &mut Client, line: &str) -> String {
        client.say(&mut self.bench, format!("{line}\r\n").as_bytes());
        String::from_utf8(client.heard()).unwrap()
    }

    fn code_encrypted(&mut self, client: &mut Client, line: &str) -> u16 {
        code(&self.say_encrypted(client, line))
    }

    /// A client that has greeted and gone on encrypted.
    fn upgrade(&mut self, role: Role, trust: &Arc<ClientConfig>) -> Client {
        let (pipe, _end) = self.connect_as(role);
        pipe.take();
        let hello = if role == Role::Lmtp { "LHLO c.example" } else { "EHLO c.example" };
        assert!(self.say(&pipe, hello).contains("250-STARTTLS\r\n"));
        assert_eq!(self.say(&pipe, "STARTTLS"), "220 2.0.0 go ahead with TLS\r\n");
        let mut client = self.encrypt(pipe, trust);
        let said = self.say_encrypted(&mut client, hello);
        assert!(said.starts_with("250-mail.example.org greets") && !said.contains("STARTTLS"), "{said}");
        assert_eq!(said.contains("250-AUTH PLAIN LOGIN\r\n"), role == Role::Submission);
        client
    }

    /// Sends a message to alice; her newest.
    fn send(&mut self, client: &mut Client, from: &str) -> String {
        for line in [&format!("MAIL FROM:<{from}>"), "RCPT TO:<alice@example.org>"] {
            assert_eq!(self.code_encrypted(client, line), 250, "{line}");
        }
        self.say_encrypted(client, "DATA");
        assert_eq!(self.code_encrypted(client, "x\r\n."), 250);
        self.messages("alice").pop().unwrap()
    }
}

#[test]
fn starttls_forgets_what_was_said_and_the_message_tells_of_it() {
    let (mut house, trust) = house_with_starttls();
    let (pipe, end) = house.connect();
    assert_eq!(house.code(&pipe, "STARTTLS now"), 501);
    house.say(&pipe, "MAIL FROM:<mallory@example.com>");
    assert_eq!(house.code(&pipe, "STARTTLS"), 220);
    let mut client = house.encrypt(pipe, &trust);
    assert_eq!(house.code_encrypted(&mut client, "RCPT TO:<alice@example.org>"), 503, "there is no message");
    assert_eq!(house.say_encrypted(&mut client, "MAIL FROM:<b@example.com>"), "503 5.5.1 say EHLO first\r\n");
    assert_eq!(house.code_encrypted(&mut client, "EHLO c.example"), 250);
    assert_eq!(house.say_encrypted(&mut client, "STARTTLS"), "503 5.5.1 this is encrypted already\r\n");
    assert_eq!(house.code_encrypted(&mut client, "AUTH PLAIN"), 502, "not on port 25");
    let message = house.send(&mut client, "b@example.com");
    assert!(message.contains(" with ESMTPS id "), "{message}");
    assert!(message.contains("\n\tfor <alice@example.org>\n\ttls TLS_"), "{message}");
    assert!(message.contains(" group X25519MLKEM768 (TLSv1.3);\n\t"), "{message}");
    assert_eq!(house.code_encrypted(&mut client, "QUIT"), 221);
    assert!(end.take().unwrap().is_ok());
}

#[test]
fn what_is_slipped_in_behind_starttls_is_not_obeyed() {
    let (mut house, trust) = house_with_starttls();
    let script = "EHLO m.example\r\nMAIL FROM:<m@example.com>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nx\r\n.\r\nQUIT";
    let (pipe, _end) = house.connect();
    assert_eq!(house.say(&pipe, &format!("STARTTLS\r\n{script}")), "220 2.0.0 go ahead with TLS\r\n");
    let mut client = house.encrypt(pipe, &trust);
    assert_eq!(client.heard(), b"");
    assert_eq!(house.code_encrypted(&mut client, "MAIL FROM:<b@example.com>"), 503);
    // What comes when the handshake is waited for is no handshake.
    let (pipe, end) = house.connect();
    house.say(&pipe, "STARTTLS");
    pipe.put(script);
    pipe.finish();
    house.bench.pass(Duration::from_secs(10));
    assert_eq!(end.take().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(house.messages("alice").is_empty());
}

#[test]
fn a_handshake_that_does_not_come_ends_the_conversation() {
    let (mut house, _) = house_with_starttls();
    let (pipe, end) = house.connect();
    house.say(&pipe, "STARTTLS");
    house.bench.pass(Duration::from_secs(11));
    assert_eq!(end.take().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(pipe.is_closed());
}

#[test]
fn submission_takes_passwords_once_it_is_encrypted() {
    let (mut house, trust) = house_with_starttls();
    let (pipe, _end) = house.connect_as(Role::Submission);
    pipe.take();
    assert!(!house.say(&pipe, "EHLO c.example").contains("AUTH"));
    let plain = format!("AUTH PLAIN {}", Base64::encode_string(b"\0alice\0wonder land"));
    assert_eq!(house.code(&pipe, &plain), 538);
    assert_eq!(house.say(&pipe, "MAIL FROM:<alice@example.org>"), "530 5.7.0 encrypt first: STARTTLS\r\n");
    let mut client = house.upgrade(Role::Submission, &trust);
    assert_eq!(
        house.say_encrypted(&mut client, "MAIL FROM:<alice@example.org>"),
        "530 5.7.0 say who you are first: AUTH\r\n"
    );
    assert_eq!(house.code_encrypted(&mut client, &plain), 235);
    let message = house.send(&mut client, "alice@example.org");
    assert!(message.contains(" with ESMTPSA id "), "{message}");
}

#[test]
fn a_login_in_the_clear_does_not_last_over_starttls() {
    let (mut house, trust) = house_with_starttls();
    Rc::get_mut(&mut house.service).unwrap().config.allow_plaintext_auth = true;
    let (pipe, _end) = house.connect_as(Role::Submission);
    pipe.take();
    house.say(&pipe, "EHLO c.example");
    let plain = format!("AUTH PLAIN {}", Base64::encode_string(b"\0alice\0wonder land"));
    assert_eq!(house.code(&pipe, &plain), 235);
    house.say(&pipe, "STARTTLS");
    let mut client = house.encrypt(pipe, &trust);
    house.say_encrypted(&mut client, "EHLO c.example");
    assert_eq!(house.code_encrypted(&mut client, "MAIL FROM:<alice@example.org>"), 530);
}

#[test]
fn lmtp_goes_on_encrypted_too() {
    let (mut house, trust) = house_with_starttls();
    let mut client = house.upgrade(Role::Lmtp, &trust);
    assert!(house.send(&mut client, "").contains(" with LMTPS id "));
}

#[test]
fn submission_may_be_encrypted_from_its_first_octet() {
    let (mut house, trust) = house_with_starttls();
    let (ours, theirs) = pipe(1 << 16);
    let theirs = TlsStream::server(theirs, house.service.acceptor.as_ref().unwrap()).unwrap();
    let (service, shutdown) = (house.service.clone(), house.shutdown.clone());
    let _end = house.bench.spawn(async move { converse(&service, Role::Submission, theirs, &shutdown).await });
    let mut client = house.encrypt(ours, &trust);
    assert_eq!(client.heard(), b"220 mail.example.org ESMTP tapstack\r\n");
    let said = house.say_encrypted(&mut client, "EHLO c.example");
    assert!(said.contains("250-AUTH ") && !said.contains("STARTTLS"), "{said}");
}

#[test]
fn starttls_is_not_offered_where_it_is_not_there() {
    let mut house = house();
    let (pipe, _end) = house.connect();
    assert!(!house.say(&pipe, "EHLO c.example").contains("STARTTLS"));
    assert_eq!(house.code(&pipe, "STARTTLS"), 502);
}
