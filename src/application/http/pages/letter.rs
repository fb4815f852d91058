//! A message as people read it: its fields decoded (RFC 2047), its text in one piece, and what is attached (RFC 2045, RFC
//! 2046, RFC 2183, RFC 2231).
//!
//! Fields and codings are `mail_parser`'s. The tree of parts is walked here, because whoever sends mail decides how deep it
//! is: no deeper than [`DEPTH`], no more than [`PARTS`], and a message in a message is a file and is not looked into.
//!
//! What comes out is text of strangers. Nothing of it is markup, and whoever shows it escapes it.

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::html_to_text;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::{Address, DateTime, Message, MessageParser, MimeHeaders};

/// Octets of a head that are looked at.
const HEAD: usize = 64 << 10;
/// Multiparts in multiparts.
const DEPTH: usize = 8;
/// Parts of a message.
const PARTS: usize = 200;
/// Octets of text that are shown.
const TEXT: usize = 512 << 10;
/// Characters of a field that are shown.
const FIELD: usize = 1_000;
/// Addresses of a field that are shown.
const ADDRESSES: usize = 50;
/// Characters of a file's name.
const NAME: usize = 100;

/// The fields of a message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Fields {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) cc: String,
    pub(super) subject: String,
    /// As its sender's clock and calendar had it.
    pub(super) date: Option<String>,
}

impl Fields {
    /// Those of a message, or of its beginning. What is not there is empty.
    pub(super) fn of(octets: &[u8]) -> Fields {
        parse(head(octets).0).map(|message| Fields::of_message(&message)).unwrap_or_default()
    }

    fn of_message(message: &Message<'_>) -> Fields {
        Fields {
            from: addresses(message.from()),
            to: addresses(message.to()),
            cc: addresses(message.cc()),
            subject: line(message.subject().unwrap_or_default()),
            date: message.date().filter(|date| date.is_valid()).map(date_text),
        }
    }
}

/// A part that is no multipart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Part<'a> {
    /// A name that is safe for a file.
    pub(super) name: String,
    /// `type/subtype` as it says.
    pub(super) media_type: String,
    /// Whether it asks to be a file.
    is_attached: bool,
    charset: Option<String>,
    coding: Coding,
    octets: &'a [u8],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Coding {
    None,
    Base64,
    QuotedPrintable,
}

impl Part<'_> {
    /// What it is once it is decoded; as it came, where that can't be.
    pub(super) fn content(&self) -> Vec<u8> {
        let decoded = match self.coding {
            Coding::None => None,
            Coding::Base64 => base64_decode(self.octets),
            Coding::QuotedPrintable => quoted_printable_decode(self.octets),
        };
        decoded.unwrap_or_else(|| self.octets.to_vec())
    }

    /// How many octets it takes in the message, which is no less than decoded.
    pub(super) fn stored(&self) -> usize {
        self.octets.len()
    }

    fn text(&self) -> String {
        let content = self.content();
        match self.charset.as_ref().and_then(|name| charset_decoder(name.as_bytes())) {
            Some(decode) => decode(&content),
            None => String::from_utf8_lossy(&content).into_owned(),
        }
    }
}

/// What is shown as the text of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Text {
    pub(super) text: String,
    /// It was HTML, of which only the words are left.
    pub(super) was_html: bool,
    /// There is more of it.
    pub(super) is_cut: bool,
}

/// A message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Letter<'a> {
    pub(super) fields: Fields,
    /// What to read; `None` if there is nothing.
    pub(super) text: Option<Text>,
    /// All parts but that one, with their numbers.
    pub(super) others: Vec<(usize, Part<'a>)>,
    /// Not all parts are listed.
    pub(super) is_bounded: bool,
}

impl<'a> Letter<'a> {
    /// Takes a message apart.
    pub(super) fn of(octets: &'a [u8]) -> Letter<'a> {
        let fields = Fields::of(octets);
        let (parts, is_bounded) = parts(octets);
        let readable = |wanted: &str| parts.iter().position(|part| !part.is_attached && part.media_type == wanted);
        let (shown, was_html) = match readable("text/plain") {
            Some(place) => (Some(place), false),
            None => (readable("text/html"), true),
        };
        let text = shown.and_then(|place| parts.get(place)).map(|part| shown_text(part, was_html));
        let others = parts.into_iter().enumerate().filter(|(place, _)| Some(*place) != shown).collect();
        Letter { fields, text, others, is_bounded }
    }
}

/// One part of a message, by its number.
pub(super) fn part(octets: &[u8], number: usize) -> Option<Part<'_>> {
    parts(octets).0.into_iter().nth(number)
}

fn shown_text(part: &Part<'_>, was_html: bool) -> Text {
    let mut text = part.text();
    let is_cut = text.len() > TEXT;
    if is_cut {
        text.truncate(text.floor_char_boundary(TEXT));
    }
    if was_html {
        text = html_to_text(&text);
    }
    let text = text.chars().filter(|char| *char != '\r').map(|char| if is_hidden(char) { '\u{fffd}' } else { char });
    Text { text: text.collect(), was_html, is_cut }
}

/// All parts of a message that are no multiparts, and whether there are more.
fn parts(octets: &[u8]) -> (Vec<Part<'_>>, bool) {
    let mut found = Vec::new();
    let is_whole = walk(octets, 0, false, &mut found);
    (found, !is_whole)
}

/// Adds the parts of an entity; false if there are too many.
fn walk<'a>(entity: &'a [u8], depth: usize, is_of_digest: bool, found: &mut Vec<Part<'a>>) -> bool {
    if found.len() >= PARTS {
        return false;
    }
    let (head, body) = head(entity);
    let message = parse(head);
    let said = message.as_ref().and_then(|message| message.content_type());
    let kind = said.map(|said| said.ctype().to_ascii_lowercase());
    let subtype = said.and_then(|said| said.subtype()).map(str::to_ascii_lowercase);
    if kind.as_deref() == Some("multipart")
        && depth < DEPTH
        && let Some(boundary) = said.and_then(|said| said.attribute("boundary")).filter(|text| !text.is_empty())
    {
        let is_digest = subtype.as_deref() == Some("digest");
        return Children { rest: body, boundary: boundary.as_bytes(), is_begun: false }
            .all(|child| walk(child, depth + 1, is_digest, found));
    }
    let media_type = match (kind, subtype) {
        (Some(kind), Some(subtype)) => format!("{kind}/{subtype}"),
        (None, _) if is_of_digest => "message/rfc822".to_owned(),
        (None, _) => "text/plain".to_owned(),
        // RFC 2045 §5.2: what is not understood is treated as octets.
        (Some(_), None) => "application/octet-stream".to_owned(),
    };
    let disposition = message.as_ref().and_then(|message| message.content_disposition());
    let coding = message.as_ref().and_then(|message| message.content_transfer_encoding()).unwrap_or_default();
    let coding = match coding.trim() {
        word if word.eq_ignore_ascii_case("base64") => Coding::Base64,
        word if word.eq_ignore_ascii_case("quoted-printable") => Coding::QuotedPrintable,
        _ => Coding::None,
    };
    let name = message.as_ref().and_then(|message| message.attachment_name()).unwrap_or_default();
    found.push(Part {
        name: file_name(name, found.len() + 1, &media_type),
        is_attached: disposition.is_some_and(|said| said.is_attachment()),
        charset: said.and_then(|said| said.attribute("charset")).map(str::to_owned),
        media_type: media_type.chars().take(FIELD).collect(),
        coding,
        octets: body,
    });
    true
}

/// The parts of a multipart's body (RFC 2046 §5.1.1), in order.
struct Children<'a, 'b> {
    rest: &'a [u8],
    boundary: &'b [u8],
    is_begun: bool,
}

impl<'a> Iterator for Children<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let whole = self.rest;
            if whole.is_empty() {
                return None;
            }
            let mut at = 0;
            // Up to the next line that is a delimiter; a part that nothing ends goes to the end.
            let (part, is_last) = loop {
                let tail = whole.get(at..).unwrap_or_default();
                let length = tail.iter().position(|octet| *octet == b'\n').map_or(tail.len(), |end| end + 1);
                if length == 0 {
                    self.rest = &[];
                    break (whole, true);
                }
                if let Some(is_last) = self.delimiter(tail.get(..length).unwrap_or_default()) {
                    self.rest = whole.get(at + length..).unwrap_or_default();
                    break (whole.get(..at).unwrap_or_default(), is_last);
                }
                at += length;
            };
            if is_last {
                self.rest = &[];
            }
            // What stands before the first delimiter is for nobody.
            if std::mem::replace(&mut self.is_begun, true) {
                // The end of the line before a delimiter belongs to it.
                let part = part.strip_suffix(b"\n").unwrap_or(part);
                return Some(part.strip_suffix(b"\r").unwrap_or(part));
            }
        }
    }
}

impl Children<'_, '_> {
    /// Whether a line is a delimiter, and then whether it is the last.
    fn delimiter(&self, line: &[u8]) -> Option<bool> {
        let rest = line.strip_prefix(b"--")?.strip_prefix(self.boundary)?;
        match rest.strip_prefix(b"--") {
            Some(_) => Some(true),
            None => rest.iter().all(u8::is_ascii_whitespace).then_some(false),
        }
    }
}

/// The head of an entity with the empty line that ends it, and its body.
fn head(octets: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(tail) = octets.get(at..).filter(|tail| !tail.is_empty()) {
        let length = tail.iter().position(|octet| *octet == b'\n').map_or(tail.len(), |end| end + 1);
        at += length;
        if matches!(tail.get(..length), Some(b"\n" | b"\r\n")) {
            break;
        }
    }
    let (head, body) = octets.split_at(at.min(octets.len()));
    (head.get(..HEAD).unwrap_or(head), body)
}

fn parse(head: &[u8]) -> Option<Message<'_>> {
    // An empty head has no fields, and the parser would look for some.
    (head.len() > 2).then(|| MessageParser::default().parse_headers(head))?
}

fn addresses(field: Option<&Address<'_>>) -> String {
    let Some(field) = field else { return String::new() };
    let shown = field.iter().take(ADDRESSES).map(|address| match (address.name(), address.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => String::new(),
    });
    line(&shown.collect::<Vec<_>>().join(", "))
}

fn date_text(date: &DateTime) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.get(usize::from(date.month).wrapping_sub(1)).unwrap_or(&"?");
    let sign = if date.tz_before_gmt { '-' } else { '+' };
    let zone = (date.tz_hour, date.tz_minute);
    format!("{} {month} {}, {:02}:{:02} {sign}{:02}{:02}", date.day, date.year, date.hour, date.minute, zone.0, zone.1)
}

/// A text in one line, of what can be seen, and not too long.
fn line(text: &str) -> String {
    let visible = text.chars().map(|char| match char {
        '\t' | '\n' | '\r' => ' ',
        char if is_hidden(char) => '\u{fffd}',
        char => char,
    });
    let mut line: String = visible.take(FIELD).collect();
    if line.len() < text.len() && line.chars().count() == FIELD {
        line.push('…');
    }
    line
}

/// Control characters, and those that write other text backwards.
fn is_hidden(char: char) -> bool {
    (char.is_control() && !matches!(char, '\n' | '\t'))
        || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A name for a file out of one that a stranger chose.
fn file_name(said: &str, number: usize, media_type: &str) -> String {
    let is_bad = |char: char| is_hidden(char) || char.is_control() || "/\\:*?\"<>|".contains(char);
    let name: String = said.chars().map(|char| if is_bad(char) { '_' } else { char }).take(NAME).collect();
    let name = name.trim().trim_matches('.');
    if !name.is_empty() {
        return name.to_owned();
    }
    let ending = match media_type {
        "text/plain" => "txt",
        "text/html" => "html",
        "message/rfc822" => "eml",
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "application/pdf" => "pdf",
        _ => "bin",
    };
    format!("part-{number}.{ending}")
}

#[cfg(test)]
#[path = "letter_tests.rs"]
mod tests;
