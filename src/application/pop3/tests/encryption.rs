//! STLS, and what is taken without it.

use super::*;
use crate::presentation::tls::Acceptor;
use crate::presentation::tls::tests::fixtures::{Client, ordinary};
use base64ct::{Base64, Encoding};
use rustls::ClientConfig;
use std::io::ErrorKind;
use std::sync::Arc;

/// A house where STLS is offered, and what its clients trust.
fn house_with_stls(allow_plaintext_auth: bool) -> (House, Acceptor, Arc<ClientConfig>) {
    let mut house = house(&TWO);
    let (acceptor, trust) = ordinary(&house.bench);
    let mut service = service(&house.bench, &house.mail, cheap(&[("alice", "wonder land")]));
    (service.acceptor, service.config.allow_plaintext_auth) = (Some(acceptor.clone()), allow_plaintext_auth);
    house.service = Rc::new(service);
    (house, acceptor, trust)
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
}

#[test]
fn stls_begins_the_session_anew() {
    let (mut house, _, trust) = house_with_stls(true);
    let (pipe, end) = house.connect();
    assert!(house.say(&pipe, "CAPA").contains("\r\nSTLS\r\n"));
    house.say(&pipe, "USER alice");
    assert_eq!(house.say(&pipe, "STLS"), "+OK go ahead with TLS\r\n");
    let mut client = house.encrypt(pipe, &trust);
    let before = house.say_encrypted(&mut client, "CAPA");
    assert!(before.starts_with("+OK") && before.contains("\r\nUSER\r\n") && !before.contains("STLS"), "{before}");
    assert_eq!(house.say_encrypted(&mut client, "PASS wonder land"), "-ERR say USER first\r\n");
    assert_eq!(house.say_encrypted(&mut client, "STLS"), "-ERR this is encrypted already\r\n");
    house.say_encrypted(&mut client, "USER alice");
    assert_eq!(house.say_encrypted(&mut client, "PASS wonder land"), "+OK 2 messages (60 octets)\r\n");
    assert_eq!(house.say_encrypted(&mut client, "STLS"), "-ERR STLS comes before the login\r\n");
    assert_eq!(house.say_encrypted(&mut client, "CAPA"), before);
    assert_eq!(house.say_encrypted(&mut client, "QUIT"), "+OK bye (2 messages left)\r\n");
    assert!(end.take().unwrap().is_ok());
}

#[test]
fn what_is_slipped_in_behind_stls_is_not_obeyed() {
    let (mut house, _, trust) = house_with_stls(true);
    let (pipe, _end) = house.connect();
    assert_eq!(
        house.say(&pipe, "STLS\r\nUSER alice\r\nPASS wonder land\r\nDELE 1\r\nQUIT"),
        "+OK go ahead with TLS\r\n"
    );
    let mut client = house.encrypt(pipe, &trust);
    assert_eq!(client.heard(), b"");
    assert_eq!(house.say_encrypted(&mut client, "STAT"), "-ERR STAT comes after the login\r\n");
    // What comes when the handshake is waited for is no handshake.
    let (pipe, end) = house.connect();
    house.say(&pipe, "STLS");
    house.say(&pipe, "USER alice\r\nPASS wonder land\r\nDELE 1\r\nQUIT");
    pipe.finish();
    house.bench.pass(Duration::from_secs(10));
    assert_eq!(end.take().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(!String::from_utf8_lossy(&pipe.take()).contains("+OK"));
    assert_eq!(house.names("cur").len() + house.names("new").len(), 2);
}

#[test]
fn a_handshake_that_does_not_come_ends_the_session() {
    let (mut house, _, _) = house_with_stls(true);
    let (pipe, end) = house.connect();
    house.say(&pipe, "STLS");
    house.bench.pass(Duration::from_secs(9));
    assert!(end.borrow().is_none());
    house.bench.pass(Duration::from_secs(2));
    assert_eq!(end.take().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(pipe.is_closed());
}

#[test]
fn a_service_can_be_told_to_take_no_password_in_the_clear() {
    let (mut house, _, trust) = house_with_stls(false);
    let (pipe, _end) = house.connect();
    let capabilities = house.say(&pipe, "CAPA");
    assert!(capabilities.contains("\r\nSTLS\r\n") && capabilities.contains("\r\nUTF8 USER\r\n"), "{capabilities}");
    assert!(!capabilities.contains("\r\nUSER\r\n") && !capabilities.contains("SASL"), "{capabilities}");
    assert_eq!(house.say(&pipe, "AUTH"), "+OK mechanisms follow\r\n.\r\n");
    let plain = format!("AUTH PLAIN {}", Base64::encode_string(b"\0alice\0wonder land"));
    for line in ["USER alice", "PASS wonder land", "AUTH PLAIN", &plain] {
        assert_eq!(house.say(&pipe, line), "-ERR [AUTH] nobody logs in here without encryption\r\n", "{line}");
    }
    house.say(&pipe, "STLS");
    let mut client = house.encrypt(pipe, &trust);
    assert!(house.say_encrypted(&mut client, "CAPA").contains("\r\nSASL PLAIN\r\n"));
    assert_eq!(house.say_encrypted(&mut client, &plain), "+OK 2 messages (60 octets)\r\n");
}

#[test]
fn stls_is_not_offered_where_it_is_not_there_or_not_needed() {
    let mut plain = house(&TWO);
    let (pipe, _end) = plain.connect();
    assert!(!plain.say(&pipe, "CAPA").contains("STLS"));
    assert_eq!(plain.say(&pipe, "STLS"), "-ERR this is not done here\r\n");
    let (mut house, acceptor, trust) = house_with_stls(false);
    let (ours, theirs) = pipe_of_tls(&acceptor);
    let (service, shutdown) = (house.service.clone(), house.shutdown.clone());
    let _end = house.bench.spawn(async move { converse(&service, theirs, &shutdown).await });
    let mut client = house.encrypt(ours, &trust);
    assert_eq!(client.heard(), b"+OK tapstack POP3 ready\r\n");
    let capabilities = house.say_encrypted(&mut client, "CAPA");
    assert!(capabilities.contains("\r\nUSER\r\n") && !capabilities.contains("STLS"), "{capabilities}");
}

/// A pipe whose other end is encrypted from the first octet.
fn pipe_of_tls(acceptor: &Acceptor) -> (Pipe, TlsStream<Pipe>) {
    let (ours, theirs) = pipe(1 << 16);
    (ours, TlsStream::server(theirs, acceptor).unwrap())
}
