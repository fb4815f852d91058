//! What is in a folder: a page for people, JSON for who asks for it.
//!
//! Only what would be served is listed: regular files and folders without a dot in front; links are not followed, so
//! they are not listed either.

use super::{ENCODED, Root};
use crate::application::http::answer::{self, http_date};
use crate::application::http::body::Body;
use crate::application::http::guard::Names;
use crate::base::limits::HTTP_LISTED;
use crate::base::time::Duration;
use crate::presentation::html::Escaped;
use http::header::{ACCEPT, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, VARY};
use http::{Method, Response};
use percent_encoding::percent_encode;
use rustix::fs::{AtFlags, Dir, FileType, statat};
use serde_json::json;
use std::ffi::OsString;
use std::fmt::{self, Write};
use std::os::unix::ffi::OsStringExt;

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}\
h1{font-size:1.2rem}table{border-collapse:collapse}td{padding:.1rem 1.5rem .1rem 0;white-space:nowrap}\
td+td{opacity:.7;text-align:right;font-variant-numeric:tabular-nums}";

/// One line of the list. Folders come first, and each kind by name.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Item {
    is_file: bool,
    name: Vec<u8>,
    octets: u64,
    modified: u64,
}

/// The list of a folder, if that is what is there.
pub(super) fn answer(root: &Root, method: &Method, headers: &HeaderMap, names: &Names<'_>) -> Option<Response<Body>> {
    let path = root.path(names.iter().map(AsRef::as_ref))?;
    let folder = root.find(OsString::from_vec(path).into())?;
    if !folder.file.metadata().ok()?.is_dir() {
        return None;
    }
    match *method {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return Some(answer::options(super::ALLOWED)),
        _ => return Some(answer::method_not_allowed(super::ALLOWED)),
    }
    let (items, is_whole) = items(&folder.file).ok()?;
    let mut response = if wants_json(headers) {
        answer::content("application/json", json(&items))
    } else {
        answer::content("text/html; charset=utf-8", page(names, &items, is_whole))
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    Some(response)
}

/// What is in a folder, and whether that is all.
fn items(folder: &std::fs::File) -> rustix::io::Result<(Vec<Item>, bool)> {
    let mut items = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name.starts_with(b".") {
            continue;
        }
        let Ok(facts) = statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let is_file = match FileType::from_raw_mode(facts.st_mode) {
            FileType::RegularFile => true,
            FileType::Directory => false,
            _ => continue,
        };
        if items.len() >= HTTP_LISTED {
            items.sort();
            return Ok((items, false));
        }
        let octets = u64::try_from(facts.st_size).unwrap_or(0);
        let modified = u64::try_from(facts.st_mtime).unwrap_or(0);
        items.push(Item { is_file, name: name.to_vec(), octets, modified });
    }
    items.sort();
    Ok((items, true))
}

/// True if JSON is asked for, by a client that does not ask for a page.
fn wants_json(headers: &HeaderMap) -> bool {
    let asks = |media: &str| {
        let fields = headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok());
        let mut ranges =
            fields.flat_map(|field| field.split(',')).map(|range| range.split(';').next().unwrap_or(range));
        ranges.any(|range| range.trim().eq_ignore_ascii_case(media))
    };
    asks("application/json") && !asks("text/html")
}

fn json(items: &[Item]) -> String {
    let items = items.iter().map(|item| {
        json!({
            "name": String::from_utf8_lossy(&item.name),
            "type": if item.is_file { "file" } else { "directory" },
            "size": item.is_file.then_some(item.octets),
            "modified": http_date(Duration::from_secs(item.modified)),
        })
    });
    format!("{:#}\n", items.collect::<serde_json::Value>())
}

fn page(names: &Names<'_>, items: &[Item], is_whole: bool) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write_page(&mut page, names, items, is_whole);
    page
}

fn write_page(out: &mut String, names: &Names<'_>, items: &[Item], is_whole: bool) -> fmt::Result {
    let path = names.iter().fold("/".to_owned(), |path, name| path + &String::from_utf8_lossy(name) + "/");
    let title = Escaped(&path);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style>\n<h1>{title}</h1>\n<table>\n"
    )?;
    if !names.is_empty() {
        out.push_str("<tr><td><a href=\"../\">../</a><td><td>\n");
    }
    for item in items {
        let (name, slash) = (String::from_utf8_lossy(&item.name), if item.is_file { "" } else { "/" });
        // In front of it, so that a name with a colon is no scheme.
        let link = format!("./{}{slash}", percent_encode(&item.name, ENCODED));
        write!(out, "<tr><td><a href=\"{}\">{}{slash}</a><td>", Escaped(&link), Escaped(&name))?;
        if item.is_file {
            write!(out, "{}", item.octets)?;
        }
        writeln!(out, "<td>{}", http_date(Duration::from_secs(item.modified)).unwrap_or_default())?;
    }
    out.push_str("</table>\n");
    if !is_whole {
        out.push_str("<p>There is more than is listed.\n");
    }
    Ok(())
}
