//! No mail can put a tag or an attribute into a page.

use super::*;
use crate::application::http::pages::frame::{Frame, Reader};
use proptest::prelude::*;

/// Everything between `<` and `>`, and what of it is not a value in quotes.
fn skeleton(page: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        let (mut tag, mut is_quoted, mut end) = (String::new(), false, rest.len());
        for (at, char) in rest.char_indices().skip_while(|(at, _)| *at <= start) {
            match char {
                '"' => is_quoted = !is_quoted,
                '>' if !is_quoted => {
                    end = at;
                    break;
                }
                char if !is_quoted => tag.push(char),
                _ => {}
            }
        }
        assert!(end < rest.len(), "a tag without an end: {rest}");
        tags.push(tag);
        rest = &rest[end + 1..];
    }
    tags
}

fn shown(message: &str) -> String {
    let letter = Letter::of(message.as_bytes());
    let title = or(&letter.fields.subject, "(no subject)").to_owned();
    let reader = Some(Reader { account: "alice", word: "word" });
    let frame = Frame { prefix: "/-/account/", reader, place: Place::Mail, title: &title };
    let mut body = frame.page(StatusCode::OK, |out| write_letter(out, "/-/account/", "id", &letter)).into_body();
    String::from_utf8(body.take_whole(usize::MAX).unwrap().to_vec()).unwrap()
}

fn message(subject: &str, name: &str, file: &str, kind: &str, text: &str) -> String {
    format!(
        "Subject: {subject}\r\nFrom: \"{name}\" <a@example.org>\r\nTo: {name}\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=zz\r\n\r\n--zz\r\nContent-Type: text/plain\r\n\r\n{text}\r\n--zz\r\n\
         Content-Type: {kind}; name=\"{file}\"\r\nContent-Disposition: attachment; filename=\"{file}\"\r\n\r\n{text}\r\n--zz--\r\n"
    )
}

#[test]
fn what_a_message_says_is_shown_and_not_obeyed() {
    let evil = "<img src=x onerror=alert(1)>\"'><script>alert(1)</script>&lt;b&gt;</pre></title>";
    let page = shown(&message(evil, "\\\"><b>", "a\\\" onclick=\\\"x", "text/x<y", evil));
    assert_eq!(skeleton(&page), skeleton(&shown(&message("a", "b", "c", "text/d", "e"))));
    for word in ["<img", "<script", "<b>", "</title><", "onclick=\""] {
        assert_eq!(page.matches(word).count(), 0, "{word}: {page}");
    }
    assert!(page.contains("&amp;lt;b&amp;gt;"), "{page}");
}

#[test]
fn what_may_be_in_memory_is_shared() {
    let held = Arc::new(AtomicU64::new(0));
    let most = Share::take(&held, HELD - 1).unwrap();
    assert!(Share::take(&held, 2).is_none() && Share::take(&held, u64::MAX).is_none());
    let bytes = Bytes::from_owner(Counted { octets: vec![1], _share: Share::take(&held, 1).unwrap() });
    assert!(Share::take(&held, 1).is_none());
    drop((bytes, most));
    assert_eq!(held.load(Ordering::Relaxed), 0);
}

const TEXT_OF_ALL_KINDS: &str = "[<>\"'&/=;:?_a-c\\\\ é\u{202e}\u{0}#%!-]{0,60}";

proptest! {
    #[test]
    fn no_mail_makes_a_tag_or_an_attribute(
        subject in TEXT_OF_ALL_KINDS,
        name in TEXT_OF_ALL_KINDS,
        file in TEXT_OF_ALL_KINDS,
        text in TEXT_OF_ALL_KINDS,
        kind in "[a-z<>\"'=&]{1,9}/[a-z<>\"'=&]{1,9}",
    ) {
        // Only what is there at all may differ: an empty field has no line.
        let page = shown(&message(&subject, &name, &file, &kind, &text));
        let plain = skeleton(&shown(&message("a", "b", "c", "x/d", "e")));
        let mut rest = plain.iter();
        for tag in skeleton(&page) {
            prop_assert!(rest.any(|known| *known == tag), "{tag:?} in {page}");
        }
    }

    #[test]
    fn any_message_at_all_makes_only_tags_of_ours(octets in proptest::collection::vec(any::<u8>(), 0..200), head in TEXT_OF_ALL_KINDS) {
        let mut message = format!("Subject: {head}\r\nContent-Type: text/html\r\n\r\n").into_bytes();
        message.extend(octets);
        let page = shown(&String::from_utf8_lossy(&message));
        let ours = skeleton(&(shown(&self::message("a", "b", "c", "x/d", "e")) + "<p class=\"\"></p>"));
        for tag in skeleton(&page) {
            prop_assert!(ours.contains(&tag), "{tag:?} in {page}");
        }
    }
}
