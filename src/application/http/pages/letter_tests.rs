//! Messages as people send them, and as nobody should.

use super::*;
use proptest::prelude::*;

#[test]
fn fields_are_decoded_and_a_line_each() {
    let fields = Fields::of(
        b"From: =?utf-8?Q?J=C3=BCrgen?= <j@example.org>\r\nTo: a@example.org, \"B, C\" <b@example.org>\r\n\
          Cc: friends: c@example.org;\r\nSubject: =?iso-8859-1?B?R3L832U=?=\r\n more\r\n\
          Date: Mon, 2 Nov 2026 09:05:00 -0130\r\n\r\nbody",
    );
    let expected = Fields {
        from: "Jürgen <j@example.org>".into(),
        to: "a@example.org, B, C <b@example.org>".into(),
        cc: "c@example.org".into(),
        subject: "Grüße more".into(),
        date: Some("2 Nov 2026, 09:05 -0130".into()),
    };
    assert_eq!(fields, expected);
    assert_eq!(Fields::of(b""), Fields::default());
    assert_eq!(Fields::of(b"\r\nSubject: in the body\r\n"), Fields::default());
}

#[test]
fn what_is_hidden_in_a_field_is_seen() {
    let fields = Fields::of("Subject: a\u{202e}b\u{7}c\r\n\r\n".as_bytes());
    assert_eq!(fields.subject, "a\u{fffd}b\u{fffd}c");
    let long = Fields::of(format!("Subject: {}\r\n\r\n", "x".repeat(5_000)).as_bytes());
    assert_eq!(long.subject.chars().count(), FIELD + 1);
}

const MIXED: &[u8] = b"Content-Type: multipart/mixed; boundary=\"out er\"\r\n\r\nfor nobody\r\n--out er\r\n\
Content-Type: multipart/alternative; boundary=in\r\n\r\n--in\r\nContent-Type: text/html\r\n\r\n<p>Hello\r\n--in\r\n\
Content-Type: text/plain; charset=iso-8859-15\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n10 =A4,=\r\n please\r\n\
--in--\r\n--out er \r\nContent-Type: image/png; name=\"x.png\"\r\nContent-Disposition: attachment; \
filename*=UTF-8''..%2Fb%C3%A4r%22.png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBO\r\nRw==\r\n--out er--\r\nafter\r\n";

#[test]
fn the_plain_text_is_shown_and_the_rest_is_listed() {
    let letter = Letter::of(MIXED);
    let text = letter.text.unwrap();
    assert_eq!((text.text.as_str(), text.was_html, text.is_cut), ("10 €, please", false, false));
    let others: Vec<(usize, &str, &str)> =
        letter.others.iter().map(|(number, part)| (*number, part.name.as_str(), part.media_type.as_str())).collect();
    assert_eq!(others, [(0, "part-1.html", "text/html"), (2, "_bär_.png", "image/png")]);
    assert!(!letter.is_bounded);
    assert_eq!(part(MIXED, 2).unwrap().content(), b"\x89PNG");
    assert_eq!(part(MIXED, 0).unwrap().content(), b"<p>Hello");
    assert_eq!(part(MIXED, 3), None);
}

#[test]
fn lines_may_end_as_they_are_stored() {
    let stored: Vec<u8> = MIXED.iter().copied().filter(|octet| *octet != b'\r').collect();
    let letter = Letter::of(&stored);
    assert_eq!((letter.text.unwrap().text.as_str(), letter.others.len()), ("10 €, please", 2));
}

#[test]
fn of_html_only_the_words_are_left() {
    let html =
        b"Content-Type: text/html\r\n\r\n<style>x</style><p onclick=\"y\">Tom &amp; Jerry &lt;3</p><script>z</script>";
    let text = Letter::of(html).text.unwrap();
    assert_eq!((text.text.trim(), text.was_html), ("Tom & Jerry <3", true));
}

#[test]
fn what_is_broken_is_shown_as_it_came() {
    for (head, body, shown) in [
        ("Content-Type: multipart/mixed\r\n", "no boundary", None),
        ("Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n", "!!!", Some("!!!")),
        ("Content-Type: text/plain; charset=nonsense\r\n", "a", Some("a")),
        ("Content-Type: nonsense\r\n", "a", None),
        ("Subject: x\r\n", "a\u{1}b\r\n", Some("a\u{fffd}b\n")),
        ("", "", Some("")),
    ] {
        let octets = format!("{head}\r\n{body}");
        let text = Letter::of(octets.as_bytes()).text.map(|text| text.text);
        assert_eq!(text.as_deref(), shown, "{head}");
    }
}

#[test]
fn depth_and_number_of_parts_are_bounded() {
    let many = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\nx\r\n".repeat(100_000));
    let letter = Letter::of(many.as_bytes());
    assert!(letter.is_bounded && letter.others.len() == PARTS - 1);
    let mut deep = String::new();
    for level in 0..50_000 {
        deep.push_str(&format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n"));
    }
    assert_eq!(Letter::of(deep.as_bytes()).others.len(), 1);
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(250_000);
    assert_eq!(Letter::of(nested.as_bytes()).others[0].1.media_type, "message/rfc822");
    let digest = "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: one\r\n--b--\r\n";
    assert_eq!(Letter::of(digest.as_bytes()).others[0].1.name, "part-1.eml");
}

#[test]
fn a_long_text_is_cut() {
    let text = Letter::of(format!("Subject: x\r\n\r\n{}", "ä".repeat(TEXT)).as_bytes()).text.unwrap();
    assert!(text.is_cut && text.text.len() <= TEXT);
}

proptest! {
    #[test]
    fn any_octets_are_a_letter(octets in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..MIXED.len()) {
        let mut changed = MIXED[..cut].to_vec();
        changed.extend_from_slice(&octets);
        changed.extend_from_slice(&MIXED[cut..]);
        for message in [octets, changed] {
            let letter = Letter::of(&message);
            for (number, other) in &letter.others {
                prop_assert!(other.content().len() <= other.stored());
                prop_assert!(!other.name.contains(['/', '\\', '"', '\n', '\0']) && !other.name.starts_with('.'));
                let again = part(&message, *number);
                prop_assert_eq!(again.as_ref(), Some(other));
            }
        }
    }

    #[test]
    fn any_fields_are_read(text in "[ -~\r\n\t=?é]{0,200}") {
        for name in ["Subject", "From", "Date", "Content-Type", "Content-Disposition", "Content-Transfer-Encoding"] {
            let message = format!("{name}: {text}\r\n\r\nx");
            let letter = Letter::of(message.as_bytes());
            prop_assert!(!letter.fields.subject.contains(['\n', '\r', '\0']));
        }
    }
}
