//! Files in content codings: which form goes to whom, and that every form is the file (RFC 9110 §8.4, §12.5.3).

use super::*;
use crate::presentation::chunked::{Decoder, Piece};
use crate::presentation::encoding::{Coding, Encoder, decoded};
use bytes::Bytes;
use std::os::unix::fs::MetadataExt;

/// What a client of these octets has when the connection is silent: the head, and the body out of its chunks.
fn answer(house: &mut House, line: &str, headers: &str) -> (String, Vec<u8>) {
    let (pipe, _end) = house.connect();
    pipe.put(format!("{line} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
    let mut octets = Vec::new();
    loop {
        house.bench.run();
        let piece = pipe.take();
        if piece.is_empty() {
            break;
        }
        octets.extend(piece);
    }
    let at = octets.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(octets[..at].to_vec()).unwrap();
    let body = Bytes::from(octets).slice(at..);
    if header(&head, "transfer-encoding").is_none() || line.starts_with("HEAD") {
        return (head, body.to_vec());
    }
    let (mut decoder, mut rest, mut content) = (Decoder::default(), body, Vec::new());
    while let Piece::Data(data) = decoder.next(&mut rest).unwrap() {
        content.extend_from_slice(&data);
    }
    assert!(decoder.is_ended() && rest.is_empty());
    (head, content)
}

/// The coding of an answer and what it comes to, unpacked.
fn unpacked((head, body): &(String, Vec<u8>)) -> (String, Vec<u8>) {
    let Some(name) = header(head, "content-encoding") else { return ("identity".into(), body.clone()) };
    (name.to_owned(), decoded(Coding::of_name(name.as_bytes()).unwrap(), body).unwrap())
}

fn text(octets: usize) -> String {
    let lines: String = (0..octets as u64 / 12 + 1).map(|n| format!("line {n} {:x} text\n", n * n * 7_919)).collect();
    lines[..octets].to_owned()
}

/// A site with a text that is kept (the calendar says that it is an hour old) or not.
fn with_text(octets: usize, is_kept: bool) -> (House, String) {
    let house = house();
    let text = text(octets);
    house.write("t.txt", text.as_bytes());
    if is_kept {
        let changed = fs::metadata(house.www().join("t.txt")).unwrap().ctime();
        house.bench.clock.set_calendar(Duration::from_secs(changed as u64 + 3_600));
    }
    (house, text)
}

#[test]
fn a_text_goes_out_in_the_coding_that_the_client_likes_best() {
    for is_kept in [true, false] {
        let (mut house, text) = with_text(20_000, is_kept);
        for (accepted, coding) in [
            ("gzip", "gzip"),
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip, deflate, br", "br"),
            ("br;q=0.5, gzip;q=0.9", "gzip"),
            ("*", "zstd"),
            ("*;q=0.5, gzip", "gzip"),
            ("zstd;q=0, *", "br"),
            ("gzip;q=0.5, identity", "identity"),
            ("gzip;q=0.5, identity;q=0.5", "gzip"),
            ("deflate", "identity"),
            ("identity", "identity"),
            ("", "identity"),
            ("gzip;q=0", "identity"),
        ] {
            let got = answer(&mut house, "GET /t.txt", &format!("Accept-Encoding: {accepted}\r\n"));
            assert_eq!(status(&got.0), 200, "{accepted}");
            assert_eq!(header(&got.0, "vary"), Some("accept-encoding"), "{accepted}");
            let (name, content) = unpacked(&got);
            assert_eq!(name, coding, "{accepted}, kept: {is_kept}");
            assert!(content == text.as_bytes(), "{accepted}");
            assert_eq!(got.1.len() < text.len() / 2, coding != "identity", "{accepted}");
        }
        let got = answer(&mut house, "GET /t.txt", "");
        assert_eq!((unpacked(&got).0.as_str(), header(&got.0, "vary")), ("identity", Some("accept-encoding")));
    }
}

#[test]
fn who_takes_no_form_that_there_is_gets_406_and_who_takes_only_packed_ones_gets_them() {
    let (mut house, text) = with_text(20_000, true);
    for refused in ["identity;q=0", "*;q=0", "identity;q=0, deflate", "br;q=0, gzip;q=0, zstd;q=0, *;q=0"] {
        let (head, _) = answer(&mut house, "GET /t.txt", &format!("Accept-Encoding: {refused}\r\n"));
        assert_eq!((status(&head), header(&head, "vary")), (406, Some("accept-encoding")), "{refused}");
    }
    for path in ["/t.txt", "/a.txt", "/empty"] {
        let got = answer(&mut house, &format!("GET {path}"), "Accept-Encoding: identity;q=0, gzip\r\n");
        assert_eq!(unpacked(&got).0, "gzip", "{path}: even what is not worth it");
    }
    let got = answer(&mut house, "GET /t.txt", "Accept-Encoding: identity;q=0, gzip\r\nRange: bytes=0-9\r\n");
    assert_eq!((status(&got.0), unpacked(&got)), (200, ("gzip".into(), text.into_bytes())));
}

#[test]
fn what_is_short_or_packed_already_is_not_packed() {
    let (mut house, _) = with_text(20_000, true);
    house.write("short.txt", &[b'x'; 511]);
    house.write("long.txt", &[b'x'; 512]);
    house.write("picture.png", &[b'x'; 20_000]);
    house.write("drawing.svgz", &[b'x'; 20_000]);
    house.write("list.txt.gz", &[b'x'; 20_000]);
    for (path, is_packed) in [
        ("/short.txt", false),
        ("/long.txt", true),
        ("/picture.png", false),
        ("/drawing.svgz", false),
        ("/list.txt.gz", false),
        ("/t.txt", true),
    ] {
        let (head, _) = answer(&mut house, &format!("GET {path}"), "Accept-Encoding: gzip\r\n");
        assert_eq!(header(&head, "content-encoding").is_some(), is_packed, "{path}");
    }
    // HTTP/1.0 can't be told where it ends.
    let (pipe, _end) = house.connect();
    let answer = house.say(&pipe, "GET /t.txt HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(header(&answer, "content-encoding"), None);
}

#[test]
fn each_form_has_a_tag_of_its_own_and_is_not_sent_to_who_has_it() {
    for is_kept in [true, false] {
        let (mut house, _) = with_text(20_000, is_kept);
        let mut tags: Vec<String> = Vec::new();
        for coding in ["identity", "gzip", "br", "zstd"] {
            let accept = format!("Accept-Encoding: {coding}\r\n");
            let (head, _) = answer(&mut house, "GET /t.txt", &accept);
            let tag = header(&head, "etag").unwrap().to_owned();
            assert_eq!(tag.starts_with("W/"), coding != "identity", "what we make is not the same octets for ever");
            assert_eq!(header(&head, "accept-ranges").is_some(), coding == "identity");
            assert!(!tags.contains(&tag), "{tag}");
            let (head, body) = answer(&mut house, "GET /t.txt", &format!("{accept}If-None-Match: {tag}\r\n"));
            assert_eq!((status(&head), body.len(), header(&head, "etag")), (304, 0, Some(tag.as_str())));
            assert_eq!(header(&head, "vary"), Some("accept-encoding"));
            // The tag of another form is no reason to send nothing.
            for other in &tags {
                let (head, _) = answer(&mut house, "GET /t.txt", &format!("{accept}If-None-Match: {other}\r\n"));
                assert_eq!(status(&head), 200);
            }
            tags.push(tag);
        }
    }
}

#[test]
fn head_says_what_get_says() {
    for is_kept in [true, false] {
        let (mut house, _) = with_text(20_000, is_kept);
        for headers in ["", "Accept-Encoding: gzip\r\n", "Accept-Encoding: br, zstd\r\n", "Accept-Encoding: *;q=0\r\n"]
        {
            let (head, body) = answer(&mut house, "HEAD /t.txt", headers);
            assert_eq!((head, 0), (answer(&mut house, "GET /t.txt", headers).0, body.len()), "{headers}");
        }
    }
}

#[test]
fn a_part_is_of_the_file_as_it_is() {
    let (mut house, text) = with_text(20_000, true);
    let headers = "Accept-Encoding: gzip, br\r\nRange: bytes=100-199\r\n";
    let got = answer(&mut house, "GET /t.txt", headers);
    assert_eq!((status(&got.0), unpacked(&got)), (206, ("identity".into(), text.as_bytes()[100..200].to_vec())));
    // Who has a part of what we packed gets all of it anew.
    let (head, _) = answer(&mut house, "GET /t.txt", "Accept-Encoding: gzip\r\n");
    let tag = header(&head, "etag").unwrap();
    let got = answer(&mut house, "GET /t.txt", &format!("{headers}If-Range: {tag}\r\n"));
    assert_eq!((status(&got.0), got.1.len()), (200, text.len()));
}

#[test]
fn files_that_somebody_packed_are_sent_as_they_are() {
    let (mut house, text) = with_text(20_000, true);
    let stored = |coding: Coding| Encoder::whole(coding, format!("{} {text}", coding.name()).as_bytes()).unwrap();
    house.write("t.txt.br", &stored(Coding::Brotli));
    house.write("t.txt.gz", &stored(Coding::Gzip));
    for (accepted, expected) in [
        ("br", "br"),
        ("gzip", "gzip"),
        ("gzip, br", "br"),
        ("br;q=0.5, gzip", "gzip"),
        // As much as zstd, which would have to be made.
        ("gzip, zstd", "gzip"),
        ("gzip;q=0.5, zstd", "zstd"),
        ("br;q=0.5, identity", "identity"),
    ] {
        let got = answer(&mut house, "GET /t.txt", &format!("Accept-Encoding: {accepted}\r\n"));
        let (name, content) = unpacked(&got);
        assert_eq!(name, expected, "{accepted}");
        assert_eq!(content.starts_with(b"br ") || content.starts_with(b"gzip "), ["br", "gzip"].contains(&expected));
        assert_eq!(header(&got.0, "content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(header(&got.0, "vary"), Some("accept-encoding"));
    }
    // Parts are of the packed file, and its tag is strong.
    let (head, body) = answer(&mut house, "GET /t.txt", "Accept-Encoding: br\r\nRange: bytes=5-9\r\n");
    assert_eq!((status(&head), header(&head, "content-encoding")), (206, Some("br")));
    assert_eq!(body, &stored(Coding::Brotli)[5..10]);
    let tag = header(&head, "etag").unwrap();
    assert!(tag.ends_with("-br\"") && !tag.starts_with("W/"), "{tag}");
    let resumed = format!("Accept-Encoding: br\r\nRange: bytes=5-\r\nIf-Range: {tag}\r\n");
    assert_eq!(status(&answer(&mut house, "GET /t.txt", &resumed).0), 206);
    // HTTP/1.0 can have them as well: their length is known.
    let (pipe, _end) = house.connect();
    pipe.put("HEAD /t.txt HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
    house.bench.run();
    assert_eq!(header(&pipe.text(), "content-encoding"), Some("gzip"));
}

#[test]
fn a_packed_file_that_is_older_than_the_plain_one_is_of_something_else() {
    let (mut house, _) = with_text(20_000, true);
    house.write("t.txt.gz", b"old");
    let path = house.www().join("t.txt.gz");
    let before = std::time::UNIX_EPOCH + Duration::from_secs(1_794_999_999);
    fs::File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
    let got = answer(&mut house, "GET /t.txt", "Accept-Encoding: gzip\r\n");
    assert_eq!(unpacked(&got).1.len(), 20_000);
}

#[test]
fn packed_files_beside_a_plain_one_that_is_not_there_are_not_it() {
    let (mut house, _) = with_text(20_000, true);
    house.write("gone.txt.gz", &Encoder::whole(Coding::Gzip, b"gone").unwrap());
    let (head, _) = answer(&mut house, "GET /gone.txt", "Accept-Encoding: gzip\r\n");
    assert_eq!(status(&head), 404);
}

#[test]
fn a_large_text_is_packed_as_it_is_sent_and_others_have_their_turn() {
    let (mut house, text) = with_text(3 << 20, false);
    let got = answer(&mut house, "GET /t.txt", "Accept-Encoding: gzip\r\n");
    assert_eq!(header(&got.0, "transfer-encoding"), Some("chunked"));
    assert!(unpacked(&got).1 == text.as_bytes());
    // Two at once: neither is done before the other has begun.
    let ask = |house: &mut House| {
        let (pipe, end) = house.connect();
        pipe.put("GET /t.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\nConnection: close\r\n\r\n");
        (pipe, end)
    };
    let (one, two) = (ask(&mut house), ask(&mut house));
    for _ in 0..2_000 {
        house.bench.run_one();
        if !one.0.take().is_empty() {
            break;
        }
    }
    assert!(one.1.borrow().is_none(), "the first is not done");
    for _ in 0..8 {
        house.bench.run_one();
    }
    assert!(!two.0.take().is_empty(), "the second has begun");
}

#[test]
fn a_kept_text_is_packed_once() {
    let (mut house, _) = with_text(20_000, true);
    let headers = "Accept-Encoding: br\r\n";
    let (head, first) = answer(&mut house, "GET /t.txt", headers);
    assert_eq!(header(&head, "content-length").unwrap(), first.len().to_string());
    house.site.has_worked.set(false);
    let (_, second) = answer(&mut house, "GET /t.txt", headers);
    assert!(first == second && !house.site.has_worked.get());
    house.bench.pass(Duration::from_secs(1));
    house.write("t.txt", text(10_000).as_bytes());
    let got = answer(&mut house, "GET /t.txt", headers);
    assert_eq!(unpacked(&got).1, text(10_000).as_bytes(), "a change shows");
}

#[test]
fn when_too_many_are_packed_at_once_the_next_goes_out_as_it_is() {
    let (mut house, _) = with_text(1 << 20, false);
    let request = "GET /t.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
    // Each is stopped by a client that takes nothing.
    let pipes: Vec<(Pipe, End)> = (0..crate::base::limits::HTTP_PACKED_AT_ONCE).map(|_| house.connect()).collect();
    pipes.iter().for_each(|(pipe, _)| pipe.put(request));
    house.bench.run();
    let (head, body) = answer(&mut house, "GET /t.txt", "Accept-Encoding: gzip\r\n");
    assert_eq!((header(&head, "content-encoding"), body.len()), (None, 1 << 20));
    drop(pipes);
    house.bench.run();
    let (head, _) = answer(&mut house, "GET /t.txt", "Accept-Encoding: gzip\r\n");
    assert_eq!(header(&head, "content-encoding"), Some("gzip"));
}
