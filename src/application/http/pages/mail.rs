//! Somebody's mail on pages: the list, a message as text, what is attached as files, and deletion after a question.
//!
//! The Maildir is looked at anew with each request, on the threads for the disk. A message that is gone by then, by a POP3
//! session or any other program, is a page that says so. What is taken apart for a page is bounded in size, and what is
//! in memory for all answers together, too; a message that is larger is a file to keep.

use super::account::moment;
use super::form::Form;
use super::frame::{Hidden, Place, file, go_to, retry_after, size};
use super::letter::{self, Fields, Letter, Part};
use super::{Visit, Visitor};
use crate::application::http::body::{Body, Content};
use crate::application::mailbox::shelf::{self, Summary};
use crate::base::time::Duration;
use crate::presentation::html::Escaped;
use bytes::Bytes;
use http::{Response, StatusCode};
use std::fmt::{self, Write};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Messages on a page.
const COUNT: usize = 50;
/// Octets of a message that its line in the list is made from.
const BEGINNING: u64 = 16 << 10;
/// The largest message that is taken apart.
const LARGEST: u64 = 8 << 20;
/// Octets in memory for all answers together, those that are being made among them.
const HELD: u64 = 96 << 20;

/// A share of what may be in memory, until it is dropped.
struct Share {
    held: Arc<AtomicU64>,
    octets: u64,
}

impl Share {
    fn take(held: &Arc<AtomicU64>, octets: u64) -> Option<Share> {
        let add = |now: u64| now.checked_add(octets).filter(|then| *then <= HELD);
        held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Share { held: Arc::clone(held), octets })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

/// Octets that are counted as long as they are somewhere.
struct Counted {
    octets: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

/// Why a message can't be had.
enum Missing {
    Error(io::Error),
    /// It is larger than what is taken apart: so large.
    Large(u64),
    /// There is no such part.
    Part,
    /// Too much is in memory.
    Full,
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Self {
        Missing::Error(error)
    }
}

/// Reads a message whole.
fn read(root: &std::path::Path, id: &str, held: &Arc<AtomicU64>) -> Result<Counted, Missing> {
    let (file, octets) = shelf::open(root, id)?;
    if octets > LARGEST {
        return Err(Missing::Large(octets));
    }
    // The message, what comes of it, and the page.
    let share = Share::take(held, 3 * octets).ok_or(Missing::Full)?;
    let mut message = Vec::with_capacity(usize::try_from(octets).unwrap_or(0));
    file.take(LARGEST).read_to_end(&mut message)?;
    Ok(Counted { octets: message, _share: share })
}

impl Visit<'_> {
    fn maildir(&self, visitor: &Visitor) -> PathBuf {
        // The account was looked for among those there are, whose names are all good.
        self.pages.mailboxes.of(visitor.account()).unwrap_or_default()
    }

    /// The page about a message that can't be had.
    fn missing(&self, visitor: &Visitor, id: &str, missing: &Missing) -> Response<Body> {
        match missing {
            Missing::Error(error) if error.kind() == io::ErrorKind::NotFound => {
                let advice = "This message is not here any more: it was deleted, here or by a mail program.";
                self.frame(visitor, Place::Mail, "No such message").problem(StatusCode::NOT_FOUND, advice)
            }
            Missing::Part => {
                let advice = "The message has no such part.";
                self.frame(visitor, Place::Mail, "No such part").problem(StatusCode::NOT_FOUND, advice)
            }
            Missing::Full => retry_after(self.busy(), "2"),
            Missing::Error(error) => {
                log::warn!(target: "tapstack::http", "the mail of {:?} can't be read: {error}", visitor.account());
                self.broken()
            }
            Missing::Large(octets) => self.frame(visitor, Place::Mail, "A large message").page(StatusCode::OK, |out| {
                write!(
                    out,
                    "<h1>A large message</h1>\n<p class=\"note\">This message has {}, which is too much for a page. \
                     Download it, and open it with a mail program.</p>\n<div class=\"row\">",
                    size(*octets)
                )?;
                self.write_actions(out, id)?;
                out.write_str("</div>\n")
            }),
        }
    }

    pub(super) async fn mail_page(&self, visitor: &Visitor) -> Response<Body> {
        let query = Form::parse(self.head.uri.query().unwrap_or_default());
        let number = query.field("page").parse::<usize>().unwrap_or(1).clamp(1, 1_000_000);
        let root = self.maildir(visitor);
        let look = move || {
            let (total, summaries) = shelf::page(&root, (number - 1) * COUNT, COUNT, BEGINNING)?;
            let lines = summaries.into_iter().map(|summary| (Fields::of(&summary.beginning), summary));
            io::Result::Ok((total, lines.collect::<Vec<_>>()))
        };
        let (total, lines) = match self.site.errands.send(look).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return self.missing(visitor, "", &Missing::Error(error)),
            Err(_) => return self.busy(),
        };
        let is_deleted = query.field("done") == "delete";
        self.frame(visitor, Place::Mail, "Mail").page(StatusCode::OK, |out| {
            out.push_str("<h1>Mail</h1>\n");
            if is_deleted {
                out.push_str("<p class=\"note good\" role=\"status\">The message is deleted.</p>\n");
            }
            if lines.is_empty() {
                out.push_str("<p class=\"note\">There is no mail here.</p>\n");
            } else {
                out.push_str(
                    "<div class=\"sheet\"><table class=\"letters\"><thead><tr><th>From</th><th>Subject</th>\
                     <th>Date</th><th class=\"size\">Size</th></tr></thead>\n<tbody>\n",
                );
                for (fields, summary) in &lines {
                    self.write_line(out, fields, summary)?;
                }
                out.push_str("</tbody></table></div>\n");
            }
            self.write_ways(out, number, total)
        })
    }

    fn write_line(&self, out: &mut String, fields: &Fields, summary: &Summary) -> fmt::Result {
        let date = fields.date.clone().unwrap_or_else(|| moment(Duration::from_secs(summary.delivered_at)));
        // The time zone is for the message itself.
        let date = date.rsplit_once(' ').map_or(date.as_str(), |(date, _)| date);
        writeln!(
            out,
            "<tr><td><bdi>{}</bdi></td><td><a href=\"{}mail/{}\"><bdi>{}</bdi></a></td>\
             <td class=\"when\">{}</td><td class=\"size\">{}</td></tr>",
            Escaped(or(&fields.from, "unknown")),
            Escaped(&self.pages.prefix),
            Escaped(&summary.id),
            Escaped(or(&fields.subject, "(no subject)")),
            Escaped(date),
            size(summary.octets)
        )
    }

    /// Links to the pages before and behind this one.
    fn write_ways(&self, out: &mut String, number: usize, total: usize) -> fmt::Result {
        let last = total.div_ceil(COUNT).max(1);
        if last == 1 && number == 1 {
            return Ok(());
        }
        let prefix = Escaped(&self.pages.prefix);
        out.push_str("<nav class=\"row\" aria-label=\"Pages of the list\">");
        if number > 1 {
            write!(out, "<a href=\"{prefix}mail/?page={}\" rel=\"prev\">Newer</a> ", (number - 1).min(last))?;
        }
        write!(out, "<span class=\"faint\">Page {number} of {last}</span>")?;
        if number < last {
            write!(out, " <a href=\"{prefix}mail/?page={}\" rel=\"next\">Older</a>", number + 1)?;
        }
        out.write_str("</nav>\n")
    }

    pub(super) async fn letter_page(&self, visitor: &Visitor, id: &str) -> Response<Body> {
        let (root, wanted, held) = (self.maildir(visitor), id.to_owned(), Arc::clone(&self.pages.held));
        let prefix = self.pages.prefix.clone();
        let look = move || {
            let message = read(&root, &wanted, &held)?;
            let letter = Letter::of(message.as_ref());
            let title = or(&letter.fields.subject, "(no subject)").to_owned();
            let mut shown = String::new();
            // Writing to a string does not fail.
            let _ = write_letter(&mut shown, &prefix, &wanted, &letter);
            Result::<_, Missing>::Ok((title, shown))
        };
        match self.site.errands.send(look).await {
            Ok(Ok((title, shown))) => self.frame(visitor, Place::Mail, &title).page(StatusCode::OK, |out| {
                out.push_str(&shown);
                out.push_str("<div class=\"row\">");
                self.write_actions(out, id)?;
                out.write_str("</div>\n")
            }),
            Ok(Err(missing)) => self.missing(visitor, id, &missing),
            Err(_) => self.busy(),
        }
    }

    fn write_actions(&self, out: &mut String, id: &str) -> fmt::Result {
        let prefix = Escaped(&self.pages.prefix);
        let id = Escaped(id);
        write!(
            out,
            "<a href=\"{prefix}mail/\">Back to the list</a> <a class=\"button plain\" href=\"{prefix}mail/{id}/source\">\
             Download as .eml</a> <a class=\"button danger\" href=\"{prefix}mail/{id}/delete\">Delete …</a>"
        )
    }

    /// The message as it is stored.
    pub(super) async fn source(&self, visitor: &Visitor, id: &str) -> Response<Body> {
        let (root, wanted) = (self.maildir(visitor), id.to_owned());
        match self.site.errands.send(move || shelf::open(&root, &wanted)).await {
            Ok(Ok((opened, octets))) => match Body::part(Content::File(opened), 0, octets) {
                Ok(body) => file("message/rfc822", &format!("{id}.eml"), body),
                Err(error) => self.missing(visitor, id, &Missing::Error(error)),
            },
            Ok(Err(error)) => self.missing(visitor, id, &Missing::Error(error)),
            Err(_) => self.busy(),
        }
    }

    /// A part of a message as a file.
    pub(super) async fn part(&self, visitor: &Visitor, id: &str, number: &str) -> Response<Body> {
        let (root, wanted, held) = (self.maildir(visitor), id.to_owned(), Arc::clone(&self.pages.held));
        let Ok(number) = number.parse::<usize>() else { return self.missing(visitor, id, &Missing::Part) };
        let look = move || {
            let message = read(&root, &wanted, &held)?;
            let part = letter::part(message.as_ref(), number).ok_or(Missing::Part)?;
            let (name, content) = (part.name.clone(), part.content());
            let share = Share::take(&held, content.len() as u64).ok_or(Missing::Full)?;
            Result::<_, Missing>::Ok((name, Bytes::from_owner(Counted { octets: content, _share: share })))
        };
        match self.site.errands.send(look).await {
            // Whatever it says it is: a browser keeps it as a file, and the ending of its name says the rest.
            Ok(Ok((name, content))) => file("application/octet-stream", &name, Body::whole(content)),
            Ok(Err(missing)) => self.missing(visitor, id, &missing),
            Err(_) => self.busy(),
        }
    }

    /// Asks whether it is meant.
    pub(super) async fn deletion_page(&self, visitor: &Visitor, id: &str) -> Response<Body> {
        let (root, wanted) = (self.maildir(visitor), id.to_owned());
        let look = move || {
            let (file, _) = shelf::open(&root, &wanted)?;
            let mut beginning = Vec::new();
            file.take(BEGINNING).read_to_end(&mut beginning)?;
            io::Result::Ok(Fields::of(&beginning))
        };
        let fields = match self.site.errands.send(look).await {
            Ok(Ok(fields)) => fields,
            Ok(Err(error)) => return self.missing(visitor, id, &Missing::Error(error)),
            Err(_) => return self.busy(),
        };
        self.frame(visitor, Place::Mail, "Delete a message").page(StatusCode::OK, |out| {
            let (prefix, id) = (Escaped(&self.pages.prefix), Escaped(id));
            write!(
                out,
                "<div class=\"sheet\">\n<h1>Delete this message?</h1>\n<p><bdi>{}</bdi>, from <bdi>{}</bdi></p>\n\
                 <p class=\"faint\">It is gone for good then, for mail programs as well.</p>\n\
                 <div class=\"row\"><form method=\"post\" action=\"{prefix}mail/{id}/delete\">{}\
                 <button class=\"danger\">Delete it</button></form> <a class=\"button plain\" href=\"{prefix}mail/{id}\">Keep it</a></div>\n</div>\n",
                Escaped(or(&fields.subject, "(no subject)")),
                Escaped(or(&fields.from, "unknown")),
                Hidden(&visitor.word)
            )
        })
    }

    pub(super) async fn delete(&self, visitor: &Visitor, id: &str) -> Response<Body> {
        let (root, wanted) = (self.maildir(visitor), id.to_owned());
        match self.site.errands.send(move || shelf::remove(&root, &wanted)).await {
            Ok(Ok(())) => go_to(&self.path("mail/?done=delete")),
            Ok(Err(error)) => self.missing(visitor, id, &Missing::Error(error)),
            Err(_) => self.busy(),
        }
    }
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.trim().is_empty() { otherwise } else { text }
}

/// A message, without what can be done with it.
pub(super) fn write_letter(out: &mut String, prefix: &str, id: &str, letter: &Letter<'_>) -> fmt::Result {
    let fields = &letter.fields;
    writeln!(
        out,
        "<article class=\"sheet\">\n<h1><bdi>{}</bdi></h1>\n<dl>",
        Escaped(or(&fields.subject, "(no subject)"))
    )?;
    let date = fields.date.as_deref().unwrap_or_default();
    for (name, value) in [("From", fields.from.as_str()), ("To", &fields.to), ("Cc", &fields.cc), ("Date", date)] {
        if !value.is_empty() {
            writeln!(out, "<dt>{name}</dt><dd><bdi>{}</bdi></dd>", Escaped(value))?;
        }
    }
    out.push_str("</dl>\n");
    match &letter.text {
        None => out.push_str("<p class=\"note\">There is no text in this message.</p>\n"),
        Some(text) => {
            if text.was_html {
                out.push_str("<p class=\"faint\">This message is HTML; what you see are its words alone.</p>\n");
            }
            writeln!(out, "<pre>{}</pre>", Escaped(&text.text))?;
            if text.is_cut {
                out.push_str(
                    "<p class=\"note\">There is more of this text. Download the message to read all of it.</p>\n",
                );
            }
        }
    }
    if !letter.others.is_empty() {
        out.push_str("<h2 id=\"files\">Attachments</h2>\n<ul class=\"files\" aria-labelledby=\"files\">\n");
        for (number, part) in &letter.others {
            write_part(out, prefix, id, *number, part)?;
        }
        out.push_str("</ul>\n");
    }
    if letter.is_bounded {
        out.push_str("<p class=\"note\">There are more parts than are listed here. Download the message to get all of them.</p>\n");
    }
    out.write_str("</article>\n")
}

fn write_part(out: &mut String, prefix: &str, id: &str, number: usize, part: &Part<'_>) -> fmt::Result {
    writeln!(
        out,
        "<li><a href=\"{}mail/{}/part/{number}\" download><bdi>{}</bdi></a> <span class=\"faint\">{}, {}</span></li>",
        Escaped(prefix),
        Escaped(id),
        Escaped(&part.name),
        Escaped(&part.media_type),
        size(part.stored() as u64)
    )
}

#[cfg(test)]
#[path = "mail_tests.rs"]
mod tests;
