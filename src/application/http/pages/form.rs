//! What a form sends, whether it is one of ours, and where to go on to after it.
//!
//! - the body is that of a form (`application/x-www-form-urlencoded`) and short
//! - the browser says that a page of ours sent it (`Sec-Fetch-Site`, or `Origin`), if it says anything
//! - it brings the word that belongs to the cookie (see the pages themselves)

use crate::application::http::host;
use crate::application::http::incoming::Incoming;
use crate::application::http::wire::Fault;
use http::header::{CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use http::request::Parts;
use percent_encoding::percent_decode_str;

/// The longest body of a form.
const LENGTH: usize = 16 << 10;
/// The longest place to go on to.
const NEXT: usize = 2_000;

/// The fields of a form.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads one; `None` if it is too long or no form.
    ///
    /// # Errors
    /// The body does not come.
    pub(super) async fn read(headers: &HeaderMap, body: &mut impl Incoming) -> Result<Option<Form>, Fault> {
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Ok(None);
        }
        let mut octets = Vec::new();
        while let Some(piece) = body.next().await? {
            if octets.len() + piece.len() > LENGTH {
                return Ok(None);
            }
            octets.extend_from_slice(&piece);
        }
        Ok(std::str::from_utf8(&octets).ok().map(Form::parse))
    }

    /// The fields of a form's body, or of a query.
    pub(super) fn parse(text: &str) -> Form {
        let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Form(
            pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(n, v)| (decode(n), decode(v))).collect(),
        )
    }

    /// The first field of a name; empty if there is none.
    pub(super) fn field(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// True unless the browser says that it was another site which had it send this. A program that is no browser says
/// nothing of the kind, and is not misled by other sites.
pub(in crate::application::http) fn is_of_our_own(head: &Parts) -> bool {
    let text = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match text(ORIGIN.as_str()) {
        None => true,
        Some(origin) => {
            origin.strip_prefix("https://").is_some_and(|theirs| theirs.eq_ignore_ascii_case(authority(head)))
        }
    }
}

/// The host, and the port if there is one, that was asked.
fn authority(head: &Parts) -> &str {
    let of_field = || head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    head.uri.authority().map_or_else(of_field, |authority| authority.as_str())
}

/// The name that was asked, and the same request over TLS at this port.
pub(super) fn over_tls(head: &Parts, port: u16) -> Option<String> {
    let name = host::name(head)?;
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    Some(if port == 443 { format!("https://{name}{path}") } else { format!("https://{name}:{port}{path}") })
}

/// A path of this host to go on to, if that is what it is: nothing that a browser takes for another host.
pub(super) fn safe_next(next: &str) -> Option<&str> {
    let rest = next.strip_prefix('/')?;
    let is_plain = next.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'\\');
    (is_plain && next.len() <= NEXT && !rest.starts_with('/')).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    #[test]
    fn fields_are_decoded() {
        let form = Form::parse("name=alice&password=a%2Bb+c%26d&x=%C3%A4&flag&name=bob&=");
        for (name, value) in [("name", "alice"), ("password", "a+b c&d"), ("x", "ä"), ("flag", ""), ("none", "")] {
            assert_eq!(form.field(name), value);
        }
        assert_eq!(Form::parse(""), Form::default());
    }

    #[test]
    fn what_another_site_had_sent_is_told_from_our_own() {
        for (fields, expected) in [
            (vec![], true),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "none")], true),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "cross-site"), ("origin", "https://a.example")], false),
            (vec![("origin", "https://a.example")], true),
            (vec![("origin", "https://A.Example")], true),
            (vec![("origin", "http://a.example")], false),
            (vec![("origin", "https://a.example:444")], false),
            (vec![("origin", "https://b.example")], false),
            (vec![("origin", "null")], false),
        ] {
            let mut request = Request::builder().uri("/").header("host", "a.example");
            for (name, value) in &fields {
                request = request.header(*name, *value);
            }
            assert_eq!(is_of_our_own(&request.body(()).unwrap().into_parts().0), expected, "{fields:?}");
        }
    }

    #[test]
    fn only_a_path_of_this_host_is_gone_on_to() {
        for next in ["/", "/a", "/a/b?c=d#e", "/%2f", "/a//b"] {
            assert_eq!(safe_next(next), Some(next));
        }
        for next in
            ["", "a", "//b.example", "/\\b.example", "\\\\b", "https://b.example", "/\t/b", "/ä", "/a b", "/a\r\nX: y"]
        {
            assert_eq!(safe_next(next), None, "{next}");
        }
        assert_eq!(safe_next(&format!("/{}", "a".repeat(NEXT))), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_form_and_no_place_leads_elsewhere(text in "[/\\\\a:%&=+@?#é \t\r\n]{0,20}") {
            let form = Form::parse(&text);
            if let Some(next) = safe_next(form.field("next")).or(safe_next(&text)) {
                prop_assert!(next.starts_with('/') && !next.starts_with("//") && !next.contains('\\'));
            }
        }
    }
}
