//! Ends: in order, by half, cut off, late, and of what was never TLS.

use super::fixtures::{Client, PATIENCE, close, meet, ordinary, read, read_to_end, write};
use crate::application::testing::{Bench, pipe};
use crate::base::time::Duration;
use crate::presentation::tls::stream::TlsStream;
use crate::session::connection::Connection;
use bytes::Bytes;
use proptest::prelude::*;
use std::future::poll_fn;
use std::io::ErrorKind;

/// The first octet of a record that carries an alert.
const ALERT: u8 = 21;

#[test]
fn closing_says_so_before_the_stream_ends() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let (mut client, done) = meet(&mut bench, &acceptor, &config, "host.example", 1 << 20, |mut stream| async move {
        write(&mut stream, "the end").await?;
        close(&mut stream).await?;
        // Again is no harm, and nothing more can be written.
        close(&mut stream).await?;
        assert_eq!(write(&mut stream, "more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        read_to_end(&mut stream).await
    });
    client.turn(&mut bench);
    assert!(client.tls.process_new_packets().unwrap().peer_has_closed(), "no close_notify");
    assert!(client.pipe.is_finished() && done.borrow().is_none());
    client.say(&mut bench, b"and mine");
    client.tls.send_close_notify();
    client.turn(&mut bench);
    assert_eq!(done.take().unwrap().unwrap(), b"and mine");
    assert_eq!(client.heard(), b"the end");
}

#[test]
fn a_client_that_has_said_all_is_still_answered() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let (mut client, done) = meet(&mut bench, &acceptor, &config, "host.example", 1 << 20, |mut stream| async move {
        let question = read_to_end(&mut stream).await?;
        write(&mut stream, question.repeat(10_000)).await?;
        close(&mut stream).await
    });
    client.turn(&mut bench);
    client.say(&mut bench, b"a question");
    client.tls.send_close_notify();
    let octets = client.ciphertext();
    client.pipe.put(octets);
    client.pipe.finish();
    client.turn(&mut bench);
    assert!(client.heard() == b"a question".repeat(10_000));
    assert!(done.take().unwrap().is_ok());
}

#[test]
fn an_end_that_anybody_on_the_path_could_have_made_is_an_error() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let (mut client, done) = meet(&mut bench, &acceptor, &config, "host.example", 1 << 20, |mut stream| async move {
        let said = read(&mut stream, 100).await?;
        let cut = [read(&mut stream, 100).await.unwrap_err(), read(&mut stream, 100).await.unwrap_err()];
        assert!(cut.iter().all(|error| error.kind() == ErrorKind::UnexpectedEof), "{cut:?}");
        Ok(said)
    });
    client.turn(&mut bench);
    client.say(&mut bench, b"that was");
    client.pipe.finish();
    bench.run();
    assert_eq!(done.take().unwrap().unwrap(), "that was");
}

#[test]
fn a_client_that_leaves_in_the_handshake_is_missed() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    for length in [0, 1, 5, 100] {
        let (mut client, done) = meet(&mut bench, &acceptor, &config, "host.example", 1 << 20, |_| async { Ok(()) });
        let hello = client.ciphertext();
        client.pipe.put(&hello[..length]);
        client.pipe.finish();
        bench.run();
        assert_eq!(done.take().unwrap().unwrap_err().kind(), ErrorKind::UnexpectedEof, "{length}");
    }
}

#[test]
fn what_is_no_tls_is_told_by_an_alert() {
    let mut bench = Bench::default();
    let (acceptor, _) = ordinary(&bench);
    for garbage in ["GET / HTTP/1.1\r\nHost: host.example\r\n\r\n", "\x16\x03\x01\x00\x05\x01\x00\x00\x01x"] {
        let ((ours, theirs), acceptor) = (pipe(1 << 20), acceptor.clone());
        let done = bench.spawn(async move { TlsStream::accept(theirs, &acceptor).await.map(|_| ()) });
        ours.put(garbage);
        bench.run();
        let answer = ours.take();
        assert_eq!(answer.first(), Some(&ALERT), "{garbage:?}: {answer:?}");
        assert!(ours.is_finished());
        // It may still be sending; that is read for a moment, so that closing is no reset.
        assert!(done.borrow().is_none());
        ours.put(garbage);
        bench.pass(Duration::from_secs(1));
        assert_eq!(done.take().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn anything_is_taken_without_a_panic_and_without_an_agreement(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6),
        begins_well in any::<bool>(),
        changed in (0usize..300, 1u8..),
    ) {
        let mut bench = Bench::default();
        let (acceptor, config) = ordinary(&bench);
        let (mut client, done) = meet(&mut bench, &acceptor, &config, "host.example", 1 << 20, |_| async { Ok(()) });
        let mut octets = if begins_well { client.ciphertext() } else { Vec::new() };
        if let Some(octet) = octets.get_mut(changed.0) {
            *octet ^= changed.1;
        }
        client.pipe.put(octets);
        for piece in pieces {
            client.pipe.put(piece);
            bench.run();
        }
        bench.pass(PATIENCE + Duration::from_secs(2));
        prop_assert!(done.take().unwrap().is_err());
    }
}

#[test]
fn a_changed_octet_ends_the_connection_with_an_alert() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let (mut client, done) = meet(&mut bench, &acceptor, &config, "host.example", 1 << 20, |mut stream| async move {
        let said = read(&mut stream, 100).await?;
        let failures = [read(&mut stream, 100).await.unwrap_err(), write(&mut stream, "x").await.unwrap_err()];
        assert!(failures.iter().all(|error| error.kind() == ErrorKind::InvalidData), "{failures:?}");
        Ok(said)
    });
    client.turn(&mut bench);
    client.say(&mut bench, b"good");
    std::io::Write::write_all(&mut client.tls.writer(), b"changed").unwrap();
    let mut octets = client.ciphertext();
    *octets.last_mut().unwrap() ^= 1;
    client.pipe.put(octets);
    bench.run();
    client.listen();
    assert_eq!(client.error, Some(rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac)));
    client.pipe.finish();
    bench.run();
    assert_eq!(done.take().unwrap().unwrap(), "good");
}

#[test]
fn a_handshake_of_an_octet_a_second_is_cut_off() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let (mut client, done) = meet(&mut bench, &acceptor, &config, "host.example", 1 << 20, |_| async { Ok(()) });
    let hello = client.ciphertext();
    let second = Duration::from_secs(1);
    for octet in hello.iter().take(PATIENCE.as_secs() as usize) {
        assert!(done.borrow().is_none());
        client.pipe.put([*octet]);
        bench.pass(second);
    }
    assert_eq!(done.take().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(client.pipe.is_closed());
}

#[test]
fn the_time_limit_is_over_with_the_handshake() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let (mut client, done) = meet(&mut bench, &acceptor, &config, "host.example", 1 << 20, |mut stream| async move {
        read(&mut stream, 100).await
    });
    client.turn(&mut bench);
    bench.pass(Duration::from_secs(3_600));
    client.say(&mut bench, b"later");
    assert_eq!(done.take().unwrap().unwrap(), "later");
}

#[test]
fn a_stream_shakes_hands_when_it_is_first_used() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let (ours, theirs) = pipe(1 << 20);
    let done = bench.spawn(async move {
        let mut stream = TlsStream::server(theirs, &acceptor)?;
        assert!(stream.is_encrypted() && stream.agreement().is_none());
        // The greeting of a protocol in which the server speaks first.
        poll_fn(|cx| stream.poll_write_bytes(cx, &mut Bytes::from_static(b"+OK"))).await?;
        assert!(stream.agreement().is_some());
        close(&mut stream).await
    });
    let mut client = Client::new(&config, "host.example", ours);
    client.turn(&mut bench);
    assert_eq!(client.heard(), b"+OK");
    assert!(done.take().unwrap().is_ok());
}
