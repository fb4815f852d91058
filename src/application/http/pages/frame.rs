//! The frame of every page: its head, the way to the other pages, and the fields that keep browsers from doing anything with
//! it but show it.
//!
//! The page has no script, and the policy allows none, nor an image, a frame or a font: even markup that came through from a
//! message could load nothing and run nothing. Every text goes through [`Escaped`].

use crate::application::http::answer;
use crate::application::http::body::Body;
use crate::presentation::html::Escaped;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use std::fmt::{self, Write};

/// What a browser may do with a page.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// What it may do with a file of a stranger: nothing.
const FILE_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// The stylesheet.
pub(super) const STYLE: &str = include_str!("style.css");

/// Who sees a page.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) account: &'a str,
    /// What this session's forms bring.
    pub(super) word: &'a str,
}

/// Where a page stands among the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Mail,
    Account,
    Other,
}

/// A page to be.
pub(super) struct Frame<'a> {
    /// Where the pages are, with a slash at the end.
    pub(super) prefix: &'a str,
    pub(super) reader: Option<Reader<'a>>,
    pub(super) place: Place,
    pub(super) title: &'a str,
}

impl Frame<'_> {
    /// The page, with what `content` writes in it.
    pub(super) fn page(&self, status: StatusCode, content: impl FnOnce(&mut String) -> fmt::Result) -> Response<Body> {
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut page, content);
        let mut response = answer::content("text/html; charset=utf-8", page);
        *response.status_mut() = status;
        harden(response.headers_mut(), POLICY);
        response
    }

    /// A page that says what went wrong and what to do about it.
    pub(super) fn problem(&self, status: StatusCode, advice: &str) -> Response<Body> {
        self.page(status, |out| {
            write!(out, "<h1>{}</h1>\n<p class=\"note bad\">{}</p>\n", Escaped(self.title), Escaped(advice))?;
            writeln!(out, "<p><a href=\"{}\">Go to your account</a></p>", Escaped(self.prefix))
        })
    }

    fn write(&self, out: &mut String, content: impl FnOnce(&mut String) -> fmt::Result) -> fmt::Result {
        let prefix = Escaped(self.prefix);
        write!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{} – tapstack</title>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <link rel=\"stylesheet\" href=\"{prefix}style.css\">\n</head>\n<body>\n\
             <a class=\"skip\" href=\"#content\">Skip to the content</a>\n<header><div><strong>tapstack</strong>\n",
            Escaped(self.title)
        )?;
        if let Some(reader) = &self.reader {
            let current = |place| if self.place == place { " aria-current=\"page\"" } else { "" };
            write!(
                out,
                "<nav aria-label=\"Pages\"><a href=\"{prefix}mail/\"{}>Mail</a> <a href=\"{prefix}\"{}>Account</a></nav>\n\
                 <form method=\"post\" action=\"{prefix}logout\"><span>{}</span>{}\
                 <button class=\"plain\">Log out</button></form>\n",
                current(Place::Mail),
                current(Place::Account),
                Escaped(reader.account),
                Hidden(reader.word)
            )?;
        }
        out.write_str("</div></header>\n<main id=\"content\">\n")?;
        content(out)?;
        out.write_str("</main>\n</body>\n</html>\n")
    }
}

/// The field with a form's word.
pub(super) struct Hidden<'a>(pub(super) &'a str);

impl fmt::Display for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<input type=\"hidden\" name=\"word\" value=\"{}\">", Escaped(self.0))
    }
}

/// An answer that leads on to a page after a form.
pub(super) fn go_to(path: &str) -> Response<Body> {
    let mut response = answer::redirect(StatusCode::SEE_OTHER, path);
    harden(response.headers_mut(), POLICY);
    response
}

/// Says when to come again.
pub(super) fn retry_after(mut response: Response<Body>, seconds: &'static str) -> Response<Body> {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    response
}

/// The stylesheet as an answer.
pub(super) fn style() -> Response<Body> {
    let mut response = answer::content("text/css; charset=utf-8", STYLE);
    harden(response.headers_mut(), POLICY);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    response
}

/// A file of a stranger, to be kept and not to be shown.
pub(super) fn file(media_type: &'static str, name: &str, body: Body) -> Response<Body> {
    let mut response = answer::content(media_type, Vec::new());
    *response.body_mut() = body;
    let headers = response.headers_mut();
    harden(headers, FILE_POLICY);
    answer::insert(headers, http::header::CONTENT_DISPOSITION, &disposition(name));
    response
}

/// RFC 6266: the name in ASCII for old browsers, and as it is (RFC 8187).
fn disposition(name: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "._- ".contains(char);
    let plain: String = name.chars().map(|char| if is_plain(char) { char } else { '_' }).collect();
    let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

/// Beside `nosniff`, which every answer has.
fn harden(headers: &mut HeaderMap, policy: &'static str) {
    use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, policy),
        (X_FRAME_OPTIONS, "DENY"),
        // With none at all, forms would come from nowhere: their Origin would be `null`.
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A size as people read it.
pub(super) fn size(octets: u64) -> String {
    match octets {
        0..1_024 => format!("{octets} B"),
        1_024..1_048_576 => format!("{} KiB", octets.div_ceil(1_024)),
        _ => format!("{}.{} MiB", octets >> 20, ((octets % 1_048_576) * 10) >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_can_not_end_its_quotes() {
        assert_eq!(
            disposition("ä\"; x=\r\ny.txt"),
            "attachment; filename=\"__; x___y.txt\"; filename*=UTF-8''%C3%A4%22%3B%20x%3D%0D%0Ay%2Etxt"
                .replace("; x_", "_ x_")
        );
    }

    #[test]
    fn sizes_are_short() {
        for (octets, text) in [(0, "0 B"), (1_023, "1023 B"), (1_025, "2 KiB"), (1_600_000, "1.5 MiB")] {
            assert_eq!(size(octets), text);
        }
    }
}
