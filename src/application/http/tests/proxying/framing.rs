//! Messages are framed anew in both directions: what could be read in two ways does not get through.

use super::*;
use proptest::prelude::*;

/// The one request in what went to an upstream, its target and its body, if all of it is there. There is nothing behind it.
pub(super) fn only_request(sent: &str) -> Option<(String, Vec<u8>)> {
    let (head, rest) = sent.split_once("\r\n\r\n")?;
    assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "{head:?}");
    let mut lines = head.split("\r\n");
    let target = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let fields: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").expect("a field")).collect();
    let is_framing = |name: &str| matches!(name, "content-length" | "transfer-encoding");
    let said: Vec<(&str, &str)> = fields.into_iter().filter(|(name, _)| is_framing(name)).collect();
    let (body, rest) = match said[..] {
        [] => (Vec::new(), rest),
        [("content-length", length)] => {
            let (body, rest) = rest.split_at_checked(length.parse().expect("a number"))?;
            (body.into(), rest)
        }
        [("transfer-encoding", "chunked")] => chunks(rest)?,
        _ => panic!("framed twice: {head}"),
    };
    assert_eq!(rest, "", "{sent}");
    Some((target, body))
}

/// A body in chunks without anything that is not needed, and what is behind it.
fn chunks(mut rest: &str) -> Option<(Vec<u8>, &str)> {
    let mut body = Vec::new();
    loop {
        let (size, behind) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).expect("nothing but a size");
        let (octets, behind) = behind.split_at_checked(size)?;
        body.extend_from_slice(octets.as_bytes());
        rest = behind.get(..2).map(|end| assert_eq!(end, "\r\n")).and(behind.get(2..))?;
        if size == 0 {
            return Some((body, rest));
        }
    }
}

/// Sends octets and answers whatever arrives; what arrived, and the statuses that came back.
fn pass(request: &[u8]) -> (Vec<(String, Vec<u8>)>, Vec<u16>) {
    let (mut house, backends) = passing(Settings { kept: 0, ..settings() });
    let (client, _end) = house.connect();
    client.put(request);
    let (mut seen, mut answers) = (Vec::new(), String::new());
    for index in 0.. {
        house.bench.run();
        answers.push_str(&String::from_utf8_lossy(&client.take()));
        house.bench.run();
        answers.push_str(&String::from_utf8_lossy(&client.take()));
        if backends.count() <= index {
            break;
        }
        // What is not whole stays so.
        seen.extend(only_request(&backends.text(index)));
        backends.put(index, OK);
    }
    (seen, codes(&answers))
}

#[test]
fn what_could_be_read_in_two_ways_does_not_go_up() {
    let smuggled = "GET /app/secret HTTP/1.1\r\nHost: a\r\n\r\n";
    for head in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity, chunked, identity",
        "Transfer-Encoding:\u{b}chunked",
        "Transfer-Encoding\r\n: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Content-Length: 6\r\nContent-Length: 7",
        "Content-Length: +6",
        "Content-Length: 6,7",
        "X: a\rTransfer-Encoding: chunked",
    ] {
        let request = format!("POST /app/x HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n0\r\n\r\n{smuggled}");
        let (seen, codes) = pass(request.as_bytes());
        assert!(seen.is_empty() && codes.iter().all(|code| *code >= 400), "{head}: {seen:?} {codes:?}");
    }
    // What is two requests goes up as two, each on its own, and what is one as one.
    let (seen, codes) = pass(smuggled.repeat(2).as_bytes());
    assert_eq!((seen.len(), codes), (2, vec![200, 200]));
    let one = format!("POST /app/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len());
    let (seen, _) = pass(one.as_bytes());
    assert_eq!(seen.iter().map(|(target, _)| target.as_str()).collect::<Vec<_>>(), ["/up/x"]);
    assert_eq!(seen[0].1, smuggled.as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_up_is_one_request_each_with_the_body_that_we_read(
        fields in proptest::collection::vec(prop_oneof![
            Just("Content-Length: 5".to_owned()), Just("Content-Length: 23".to_owned()), Just("Transfer-Encoding: chunked".to_owned()),
            Just("Connection: content-length, transfer-encoding, host".to_owned()), Just("Content-Length: 05".to_owned()),
            Just("TE: chunked".to_owned()), Just("Expect: 100-continue".to_owned()), "[A-Za-z-]{1,12}:[ -~\t]{0,12}",
            "[ -~\r\n]{0,20}",
        ], 0..4),
        body in prop_oneof![Just("hello".to_owned()), Just("5\r\nhello\r\n0\r\n\r\n".to_owned()), "[ -~\r\n0-5]{0,30}"],
        target in "[a-z0-9/%.;?=-]{0,12}",
    ) {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let request = format!("POST /app/{target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}");
        // The assertions are in what reads it.
        pass(request.as_bytes());
    }

    #[test]
    fn an_answer_comes_back_whole_however_it_is_framed_and_cut(
        body in "[a-z\r\n]{0,200}",
        framing in 0..3u8,
        cuts in proptest::collection::vec(0usize..400, 0..6),
        size in 1usize..50,
    ) {
        let (mut house, backends) = passing(settings());
        let (client, _end) = house.connect();
        house.say(&client, GET);
        let mut answer = "HTTP/1.1 200 OK\r\n".to_owned();
        match framing {
            0 => answer.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len())),
            1 => {
                answer.push_str("Transfer-Encoding: chunked\r\n\r\n");
                for chunk in body.as_bytes().chunks(size) {
                    answer.push_str(&format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).unwrap()));
                }
                answer.push_str("0\r\n\r\n");
            }
            _ => answer.push_str(&format!("\r\n{body}")),
        }
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(answer.len())).collect();
        cuts.extend([0, answer.len()]);
        cuts.sort_unstable();
        let mut got = String::new();
        for piece in cuts.windows(2) {
            backends.put(0, &answer.as_bytes()[piece[0]..piece[1]]);
            got.push_str(&house.say(&client, ""));
        }
        if framing > 1 {
            backends.finish(0);
            got.push_str(&house.say(&client, ""));
        }
        let (head, rest) = got.split_once("\r\n\r\n").unwrap();
        if framing == 0 {
            let length = format!("content-length: {}", body.len());
            prop_assert!(head.ends_with(&length));
            prop_assert_eq!(rest, &body);
        } else {
            let mut decoder = crate::presentation::chunked::Decoder::default();
            let (mut input, mut whole) = (bytes::Bytes::copy_from_slice(rest.as_bytes()), Vec::new());
            while let crate::presentation::chunked::Piece::Data(octets) = decoder.next(&mut input).unwrap() {
                whole.extend_from_slice(&octets);
            }
            prop_assert!(decoder.is_ended() && input.is_empty());
            prop_assert_eq!(std::str::from_utf8(&whole).unwrap(), &body);
        }
    }
}
