//! Media types by the names of files (RFC 9110 §8.3), and which of them become shorter when packed.

use crate::presentation::encoding::Coding;
use http::HeaderValue;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Types that are as good as text, or have air in them; beside all of `text/` and what ends with `+xml` or `+json`.
const LIKE_TEXT: [&str; 20] = [
    "application/javascript",
    "application/json",
    "application/json5",
    "application/manifest+json",
    "application/postscript",
    "application/rtf",
    "application/sql",
    "application/toml",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-sh",
    "application/x-tar",
    "application/xml",
    "application/yaml",
    "font/collection",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
];

/// What a file is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Media {
    /// What is said of it.
    pub(super) value: HeaderValue,
    /// Packing makes it shorter.
    pub(super) is_compressible: bool,
}

/// Media types that are not those everybody knows, by the endings of names without the dot and in lower case.
#[derive(Clone, Default, Debug)]
pub struct MediaTypes(BTreeMap<String, HeaderValue>);

impl MediaTypes {
    /// Types by ending.
    pub fn new(types: impl IntoIterator<Item = (String, HeaderValue)>) -> Self {
        let lower =
            |(ending, media): (String, HeaderValue)| (ending.trim_start_matches('.').to_ascii_lowercase(), media);
        MediaTypes(types.into_iter().map(lower).collect())
    }

    /// What a file of this name is. Text is taken to be UTF-8.
    pub(super) fn of(&self, path: &Path) -> Media {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        let own = ending.as_ref().and_then(|ending| self.0.get(ending)).cloned();
        let value = own.unwrap_or_else(|| known(path));
        let is_compressible = !is_packed(path) && is_compressible(&value);
        Media { value, is_compressible }
    }
}

fn known(path: &Path) -> HeaderValue {
    let guess = mime_guess::from_path(path).first_raw().unwrap_or("application/octet-stream");
    if !guess.starts_with("text/") {
        return HeaderValue::from_static(guess);
    }
    HeaderValue::from_str(&format!("{guess}; charset=utf-8")).unwrap_or_else(|_| HeaderValue::from_static(guess))
}

/// True for a name that says that the content is packed already.
fn is_packed(path: &Path) -> bool {
    let name = path.as_os_str().as_bytes().to_ascii_lowercase();
    name.ends_with(b".svgz") || Coding::ALL.into_iter().any(|coding| name.ends_with(coding.suffix()))
}

fn is_compressible(value: &HeaderValue) -> bool {
    let value = value.to_str().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+xml")
        || essence.ends_with("+json")
        || LIKE_TEXT.contains(&essence.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_by_the_ending_and_can_be_said_otherwise() {
        let own = MediaTypes::new([(".Data".to_owned(), HeaderValue::from_static("text/x-data"))]);
        for (name, value, is_compressible) in [
            ("a.html", "text/html; charset=utf-8", true),
            ("a.js", "text/javascript; charset=utf-8", true),
            ("a.json", "application/json", true),
            ("a.svg", "image/svg+xml", true),
            ("a.wasm", "application/wasm", true),
            ("a.data", "text/x-data", true),
            ("a.DATA", "text/x-data", true),
            ("a.png", "image/png", false),
            ("a.mp4", "video/mp4", false),
            ("a.zip", "application/zip", false),
            ("a.svgz", "image/svg+xml", false),
            ("a.html.gz", "application/gzip", false),
            ("a.txt.br", "application/octet-stream", false),
            ("a.css.zst", "application/octet-stream", false),
            ("a", "application/octet-stream", false),
        ] {
            let media = own.of(Path::new(name));
            assert_eq!((media.value.to_str().unwrap(), media.is_compressible), (value, is_compressible), "{name}");
        }
    }
}
