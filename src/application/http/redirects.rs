//! What is elsewhere: a path, or all below one, and where to (RFC 9110 §15.4).

use super::host;
use http::StatusCode;
use http::request::Parts;

/// A redirect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    from: String,
    is_prefix: bool,
    to: String,
    /// 301, 302, 303, 307 or 308.
    pub(super) status: StatusCode,
}

impl Redirect {
    /// A redirect from a path, or from all that begins with it if it ends with a star. In `to`, a star is what the star
    /// of `from` stood for, and `{host}` the name that was asked for.
    pub fn new(from: &str, to: &str, status: StatusCode) -> Self {
        let prefix = from.strip_suffix('*');
        Redirect { from: prefix.unwrap_or(from).to_owned(), is_prefix: prefix.is_some(), to: to.to_owned(), status }
    }

    /// Where a request is sent, if this is about it. The query goes along unless there is one in the place of it.
    pub(super) fn location(&self, head: &Parts) -> Option<String> {
        let rest = head.uri.path().strip_prefix(&self.from)?;
        if !self.is_prefix && !rest.is_empty() {
            return None;
        }
        // Two slashes would be the name of another host.
        let mut location = self.to.replace('*', rest.trim_start_matches('/'));
        if location.contains("{host}") {
            location = location.replace("{host}", host::name(head)?);
        }
        if let Some(query) = head.uri.query().filter(|_| !location.contains('?')) {
            location = format!("{location}?{query}");
        }
        Some(location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn a_path_or_all_below_it_is_sent_elsewhere() {
        for (from, to, asked, expected) in [
            ("/old", "/new", "/old", Some("/new")),
            ("/old", "/new", "/old/", None),
            ("/old", "/new", "/older", None),
            ("/old/*", "/new/*", "/old/a/b%20c", Some("/new/a/b%20c")),
            ("/old/*", "/new/*", "/old//evil.example", Some("/new/evil.example")),
            ("/*", "/*", "//evil.example/x", Some("/evil.example/x")),
            ("/old/*", "/gone", "/old/x", Some("/gone")),
            ("/old", "/new", "/old?a=b", Some("/new?a=b")),
            ("/old", "/new?x", "/old?a=b", Some("/new?x")),
            ("/*", "https://{host}/*", "/a?b", Some("https://a.example/a?b")),
            ("/*", "https://{host}/*", "/", Some("https://a.example/")),
        ] {
            let request = Request::builder().uri(asked).header("host", "a.example:80").body(()).unwrap();
            let redirect = Redirect::new(from, to, StatusCode::MOVED_PERMANENTLY);
            assert_eq!(redirect.location(&request.into_parts().0).as_deref(), expected, "{from} {to} {asked}");
        }
    }
}
