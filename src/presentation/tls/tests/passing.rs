//! Octets that pass: all of them, in order, however they are cut, without anything growing.

use super::fixtures::{Client, close, meet, ordinary, read, read_to_end, write};
use crate::application::testing::{Bench, Pipe, pipe};
use crate::presentation::tls::stream::TlsStream;
use crate::session::connection::Connection;
use bytes::Bytes;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use proptest::prelude::*;
use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// The lengths of the records in a stream of ciphertext that carry something.
fn records(mut ciphertext: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let [kind, _, _, high, low, rest @ ..] = ciphertext {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind == 23 {
            lengths.push(length);
        }
        ciphertext = &rest[length.min(rest.len())..];
    }
    lengths
}

#[test]
fn a_large_answer_leaves_in_records_of_the_largest_size() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let (mut client, done) = meet(&mut bench, &acceptor, &config, "host.example", 1 << 22, |mut stream| async move {
        write(&mut stream, noise(1 << 20)).await?;
        close(&mut stream).await
    });
    client.turn(&mut bench);
    assert!(client.heard() == noise(1 << 20));
    assert!(done.take().unwrap().is_ok());
    let full = records(&client.seen).into_iter().filter(|length| *length > 1 << 14).count();
    assert_eq!(full, (1 << 20) >> 14);
}

#[test]
fn a_large_answer_gets_through_a_narrow_pipe_and_a_large_question_too() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let (mut client, done) = meet(&mut bench, &acceptor, &config, "host.example", 777, |mut stream| async move {
        let question = read_to_end(&mut stream).await?;
        write(&mut stream, question).await?;
        close(&mut stream).await
    });
    client.turn(&mut bench);
    client.say(&mut bench, &noise(3 << 20));
    client.tls.send_close_notify();
    client.turn(&mut bench);
    assert!(client.heard() == noise(3 << 20));
    assert!(done.take().unwrap().is_ok());
}

#[test]
fn what_a_client_does_not_take_is_not_taken_from_the_application() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let written = Rc::new(Cell::new(0));
    let count = written.clone();
    let (mut client, _) = meet(&mut bench, &acceptor, &config, "host.example", 10_000, |mut stream| async move {
        let mut octets = Bytes::from(noise(10 << 20));
        loop {
            let taken = poll_fn(|cx| stream.poll_write_bytes(cx, &mut octets)).await?;
            count.set(count.get() + taken);
            if octets.is_empty() {
                return Ok::<_, io::Error>(());
            }
        }
    });
    let hello = client.ciphertext();
    client.pipe.put(hello);
    bench.run();
    client.listen();
    let finished = client.ciphertext();
    client.pipe.put(finished);
    bench.run();
    assert_eq!(written.get(), 64 << 10, "one buffer of it");
    client.turn(&mut bench);
    assert_eq!(written.get(), 10 << 20);
}

#[test]
fn reading_is_not_held_up_by_what_the_client_does_not_take() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let (mut client, heard) = meet(&mut bench, &acceptor, &config, "host.example", 10_000, |mut stream| async move {
        // Taken, and too much for the pipe.
        poll_fn(|cx| stream.poll_write_bytes(cx, &mut Bytes::from(noise(50_000)))).await?;
        let word = read(&mut stream, 100).await?;
        close(&mut stream).await?;
        Ok(word)
    });
    let hello = client.ciphertext();
    client.pipe.put(hello);
    bench.run();
    client.listen();
    client.tls.writer().write_all(b"a word").unwrap();
    let octets = client.ciphertext();
    client.pipe.put(octets);
    bench.run();
    assert!(heard.borrow().is_none(), "it is still closing");
    client.turn(&mut bench);
    assert_eq!(heard.take().unwrap().unwrap(), "a word");
    assert!(client.heard() == noise(50_000));
}

#[test]
fn reading_and_writing_by_lent_slices_is_the_same() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let (mut client, done) = meet(&mut bench, &acceptor, &config, "host.example", 5_000, |mut stream| async move {
        let mut question = vec![0; 100_000];
        stream.read_exact(&mut question).await?;
        stream.write_all(&question).await?;
        stream.flush().await?;
        stream.close().await
    });
    client.turn(&mut bench);
    client.say(&mut bench, &noise(100_000));
    assert!(client.heard() == noise(100_000));
    assert!(done.take().unwrap().is_ok());
    assert!(client.tls.process_new_packets().unwrap().peer_has_closed());
}

/// A pipe that gives one octet at a time.
struct Drip(Pipe);

impl Connection for Drip {
    fn peer(&self) -> SocketAddr {
        self.0.peer()
    }
    fn poll_read_bytes(&mut self, cx: &mut Context<'_>, _: usize) -> Poll<io::Result<Bytes>> {
        self.0.poll_read_bytes(cx, 1)
    }
    fn poll_write_bytes(&mut self, cx: &mut Context<'_>, octets: &mut Bytes) -> Poll<io::Result<usize>> {
        self.0.poll_write_bytes(cx, octets)
    }
    fn poll_shutdown_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown_write(cx)
    }
    fn abort(&mut self) {
        self.0.abort();
    }
}

#[test]
fn a_record_in_many_pieces_lets_others_have_their_turn() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let (ours, theirs) = pipe(1 << 20);
    let polls = Rc::new(Cell::new(0));
    let count = polls.clone();
    let done = bench.spawn(async move {
        let mut stream = TlsStream::accept(Drip(theirs), &acceptor).await?;
        poll_fn(|cx| {
            count.set(count.get() + 1);
            stream.poll_read_bytes(cx, 1 << 20)
        })
        .await
    });
    let mut client = Client::new(&config, "host.example", ours);
    client.turn(&mut bench);
    client.say(&mut bench, &noise(10_000));
    assert!(done.take().unwrap().unwrap() == noise(10_000));
    assert!(polls.get() > 10_000 / 20, "{} turns", polls.get());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn where_the_ciphertext_is_cut_makes_no_difference(
        said in prop::collection::vec(1usize..40_000, 1..6),
        cuts in prop::collection::vec(1usize..20_000, 1..12),
        most in 1usize..100_000,
        room in 1usize..3_000,
        old in any::<bool>(),
    ) {
        let mut bench = Bench::default();
        let (acceptor, config) = ordinary(&bench);
        let mut config = rustls::ClientConfig::clone(&config);
        if old {
            // Another way to frame things.
            config.max_fragment_size = Some(600);
        }
        let (mut client, heard) =
            meet(&mut bench, &acceptor, &config.into(), "host.example", room, move |mut stream| async move {
                let mut all = Vec::new();
                loop {
                    let octets = read(&mut stream, most).await?;
                    assert!(octets.len() <= most);
                    if octets.is_empty() {
                        break;
                    }
                    all.extend_from_slice(&octets);
                    write(&mut stream, octets).await?;
                }
                close(&mut stream).await?;
                Ok(all)
            });
        client.turn(&mut bench);
        let all: Vec<u8> = said.iter().flat_map(|length| noise(*length)).collect();
        client.tls.set_buffer_limit(None);
        for length in &said {
            client.tls.writer().write_all(&noise(*length)).unwrap();
        }
        client.tls.send_close_notify();
        let ciphertext = client.ciphertext();
        let mut rest = ciphertext.as_slice();
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            client.pipe.put(piece);
            bench.run();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        client.turn(&mut bench);
        prop_assert!(heard.take().unwrap().unwrap() == all);
        prop_assert!(client.heard() == all);
    }
}
