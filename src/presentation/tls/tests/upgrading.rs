//! Conversations that begin in the clear (RFC 2595 §4, RFC 3207 §4).

use super::fixtures::{Client, close, ordinary, read, write};
use crate::application::testing::{Bench, pipe};
use crate::presentation::lines::{Line, LineReader};
use crate::presentation::tls::stream::TlsStream;
use std::io::ErrorKind;

#[test]
fn a_conversation_goes_on_encrypted_and_forgets_what_was_slipped_in_before() {
    let mut bench = Bench::default();
    let (acceptor, config) = ordinary(&bench);
    let (ours, theirs) = pipe(1 << 20);
    let done = bench.spawn(async move {
        let (mut stream, mut lines) = (TlsStream::plain(theirs), LineReader::new(100));
        assert!(!stream.is_encrypted());
        assert_eq!(lines.next(&mut stream).await?, Line::Text(b"STLS".to_vec()));
        // Behind the word somebody else has put one of theirs.
        assert!(lines.has_line());
        write(&mut stream, "+OK\r\n").await?;
        lines.discard();
        stream.start_tls(&acceptor)?;
        assert_eq!(stream.start_tls(&acceptor).unwrap_err().kind(), ErrorKind::AlreadyExists);
        stream.handshake().await?;
        let said = lines.next(&mut stream).await?;
        write(&mut stream, "bye\r\n").await?;
        close(&mut stream).await?;
        Ok::<_, std::io::Error>(said)
    });
    ours.put("STLS\r\nUSER mallory\r\nPASS");
    bench.run();
    assert_eq!(ours.text(), "+OK\r\n");
    let mut client = Client::new(&config, "host.example", ours);
    client.turn(&mut bench);
    client.say(&mut bench, b"USER alice\r\n");
    assert_eq!(done.take().unwrap().unwrap(), Line::Text(b"USER alice".to_vec()));
    assert_eq!(client.heard(), b"bye\r\n");
}

#[test]
fn what_comes_in_the_clear_after_the_word_breaks_the_handshake() {
    let mut bench = Bench::default();
    let (acceptor, _) = ordinary(&bench);
    let (ours, theirs) = pipe(1 << 20);
    let done = bench.spawn(async move {
        let mut stream = TlsStream::plain(theirs);
        read(&mut stream, 6).await?;
        stream.start_tls(&acceptor)?;
        stream.handshake().await
    });
    ours.put("STLS\r\nUSER mallory\r\n");
    ours.finish();
    bench.run();
    assert_eq!(done.take().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
}
