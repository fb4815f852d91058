//! The pages about the stack itself: `/-/` for people, `/-/state.json` for programs, and `/-/NAME.json` for
//! each part of the state.
//!
//! The page is made from the JSON alone: a list of objects is a table with a row for each, an object is a
//! table of names and values, and what is deeper stands in the cell. So a new figure in the state is on
//! the page without a line here.

use super::answer;
use super::body::Body;
use super::{Site, files};
use crate::presentation::html::Escaped;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt::{self, Display, Write};

/// Rows of one table on the page; the JSON has them all.
const ROWS: usize = 1_000;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .4rem}h2 a{font-weight:400;font-size:.8rem}\
nav a{margin-right:.8rem}div{overflow-x:auto}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
th,td{padding:.15rem .9rem .15rem 0;text-align:left;vertical-align:top;white-space:nowrap}\
th{font-weight:600;border-bottom:1px solid #8886}tbody th{font-weight:400;border:0;opacity:.8}\
tr:hover td{background:#8882}.n{text-align:right}p{opacity:.7}";

/// Answers a request for what is under `/-/`, `rest` being what follows it.
pub(super) fn answer(site: &Site, method: &Method, rest: &[Cow<'_, [u8]>], is_folder: bool) -> Response<Body> {
    let page = match rest {
        [] if !is_folder => return answer::redirect(StatusCode::MOVED_PERMANENTLY, "/-/"),
        [] => Page::Html,
        [name] if !is_folder => match name.strip_suffix(b".json").and_then(|name| std::str::from_utf8(name).ok()) {
            Some("state") => Page::Json(None),
            Some(part) => Page::Json(Some(part)),
            None => return answer::status(StatusCode::NOT_FOUND),
        },
        _ => return answer::status(StatusCode::NOT_FOUND),
    };
    match *method {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return answer::options(files::ALLOWED),
        _ => return answer::method_not_allowed(files::ALLOWED),
    }
    let state = (site.state)();
    let mut response = match page {
        Page::Html => answer::content("text/html; charset=utf-8", html(&state)),
        Page::Json(part) => match part.map_or(Some(&state), |part| state.get(part)) {
            Some(value) => answer::content("application/json", format!("{value:#}\n")),
            None => return answer::status(StatusCode::NOT_FOUND),
        },
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    response
}

enum Page<'a> {
    Html,
    Json(Option<&'a str>),
}

/// The page.
fn html(state: &Value) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write_page(&mut page, state);
    page
}

fn write_page(out: &mut String, state: &Value) -> fmt::Result {
    let nothing = Map::new();
    let sections = state.as_object().unwrap_or(&nothing);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>tapstack</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\n<body>\n\
         <h1>tapstack</h1>\n<p>The state of this host's network stack. All of it as JSON: \
         <a href=\"/-/state.json\">state.json</a></p>\n<nav>"
    )?;
    for name in sections.keys() {
        write!(out, "<a href=\"#{0}\">{1}</a>", Escaped(name), Escaped(&title(name)))?;
    }
    writeln!(out, "</nav>")?;
    for (name, value) in sections {
        writeln!(
            out,
            "<h2 id=\"{0}\">{1} <a href=\"/-/{0}.json\">json</a></h2>\n<div>",
            Escaped(name),
            Escaped(&title(name))
        )?;
        write_section(out, value)?;
        writeln!(out, "</div>")?;
    }
    writeln!(out, "</body>\n</html>")
}

fn write_section(out: &mut String, value: &Value) -> fmt::Result {
    match value {
        Value::Array(rows) if rows.is_empty() => writeln!(out, "<p>none</p>"),
        Value::Array(rows) if rows.iter().all(Value::is_object) => {
            let rows: Vec<_> = rows.iter().filter_map(Value::as_object).collect();
            write_table(out, &rows)
        }
        Value::Object(members) if members.is_empty() => writeln!(out, "<p>none</p>"),
        Value::Object(members) => {
            writeln!(out, "<table><tbody>")?;
            for (name, value) in members {
                write!(out, "<tr><th>{}</th>", Escaped(&title(name)))?;
                write_cell(out, Some(value))?;
                writeln!(out, "</tr>")?;
            }
            writeln!(out, "</tbody></table>")
        }
        other => writeln!(out, "<p>{}</p>", Escaped(&Plain(other).to_string())),
    }
}

/// A table whose columns are the names that any row has, in the order in which they first appear.
fn write_table(out: &mut String, rows: &[&Map<String, Value>]) -> fmt::Result {
    let mut columns: Vec<&String> = Vec::new();
    for name in rows.iter().take(ROWS).flat_map(|row| row.keys()) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    write!(out, "<table><thead><tr>")?;
    for name in &columns {
        let is_number = rows.iter().find_map(|row| row.get(*name)).is_some_and(Value::is_number);
        write!(out, "<th{}>{}</th>", if is_number { " class=\"n\"" } else { "" }, Escaped(&title(name)))?;
    }
    writeln!(out, "</tr></thead>\n<tbody>")?;
    for row in rows.iter().take(ROWS) {
        write!(out, "<tr>")?;
        for name in &columns {
            write_cell(out, row.get(*name))?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody></table>")?;
    match rows.len().checked_sub(ROWS) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(out, "<p>and {more} more; the JSON has them all</p>"),
    }
}

fn write_cell(out: &mut String, value: Option<&Value>) -> fmt::Result {
    let value = value.unwrap_or(&Value::Null);
    let class = if value.is_number() { " class=\"n\"" } else { "" };
    write!(out, "<td{class}>{}</td>", Escaped(&Plain(value).to_string()))
}

/// A name as a heading: `local_address` is "local address".
fn title(name: &str) -> String {
    name.replace('_', " ")
}

/// A value as people read it, in one line.
struct Plain<'a>(&'a Value);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("–"),
            Value::Bool(true) => f.write_str("yes"),
            Value::Bool(false) => f.write_str("no"),
            Value::String(text) => f.write_str(text),
            Value::Number(number) => write!(f, "{number}"),
            Value::Array(values) => {
                for (at, value) in values.iter().enumerate() {
                    write!(f, "{}{}", if at == 0 { "" } else { ", " }, Plain(value))?;
                }
                Ok(())
            }
            Value::Object(members) => {
                for (at, (name, value)) in members.iter().enumerate() {
                    write!(f, "{}{} {}", if at == 0 { "" } else { ", " }, title(name), Plain(value))?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_of_objects_are_tables_with_all_columns_that_any_row_has() {
        let page = html(&json!({"sockets": [
            {"local": "192.0.2.2:80", "state": "LISTEN"},
            {"local": "192.0.2.2:80", "peer": "192.0.2.1:4000", "bytes_sent": 12, "open": true, "options": ["sack", "ts"]},
        ]}));
        assert!(page.contains(
            "<tr><th>local</th><th>state</th><th>peer</th><th class=\"n\">bytes sent</th><th>open</th><th>options</th></tr>"
        ), "{page}");
        assert!(page.contains("<tr><td>192.0.2.2:80</td><td>LISTEN</td><td>–</td><td>–</td><td>–</td><td>–</td></tr>"));
        assert!(
            page.contains("<td>–</td><td>192.0.2.1:4000</td><td class=\"n\">12</td><td>yes</td><td>sack, ts</td></tr>")
        );
    }

    #[test]
    fn objects_are_tables_of_names_and_values_and_nothing_is_said_to_be_none() {
        let page = html(&json!({"counters": {"TcpInSegs": 7}, "drops": {}, "routes": [], "uptime": "5 s"}));
        assert!(page.contains("<tr><th>TcpInSegs</th><td class=\"n\">7</td></tr>"), "{page}");
        assert_eq!(page.matches("<p>none</p>").count(), 2);
        assert!(page.contains("<p>5 s</p>"));
        assert!(page.find("id=\"counters\"") < page.find("id=\"uptime\""));
    }

    #[test]
    fn what_a_peer_chose_is_shown_as_text() {
        let page = html(&json!({"<b>": [{"<i>": "<script>"}]}));
        assert!(!page.contains("<script>") && !page.contains("<i>") && !page.contains("<b>"), "{page}");
    }

    #[test]
    fn a_long_table_is_cut_on_the_page() {
        let rows: Vec<_> = (0..1_500).map(|n| json!({"n": n})).collect();
        let page = html(&json!({"rows": rows}));
        assert_eq!(page.matches("<tr><td").count(), ROWS);
        assert!(page.contains("and 500 more"));
    }

    #[test]
    fn a_state_that_is_no_object_is_an_empty_page() {
        assert!(html(&json!(null)).contains("<h1>tapstack</h1>"));
    }
}
