//! `[http]`: the web server, its default site and its other sites.
//!
//! The keys of a site stand in `[http]` for the default site and in each `[[http.site]]` for another. A site takes
//! nothing over from `[http]` but what is of the whole server: where it listens, its limits, its log.

use super::proxy::{self, Proxy};
use super::validate::check_roles;
use super::{Flaw, Listen, unwritten};
use crate::application::http as server;
use crate::daemon::units::{ByteCount, Period};
use crate::presentation::encoding::Coding;
use crate::session::accounts::is_name;
use crate::transport::tcp::config::Algorithm;
use http::header::{HeaderName, HeaderValue};
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use toml::Spanned;

/// A struct with keys of its own and those of a site.
macro_rules! with_site_keys {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$doc:meta])* pub $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
            /// The directory it serves; without one, only the built-in pages.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub root: Option<Spanned<PathBuf>>,
            /// What a folder shows: the first of these names that is in it.
            pub index: Vec<Spanned<String>>,
            /// A folder without any of them shows what is in it.
            pub listing: bool,
            /// The file that is sent where there is none.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub fallback: Option<Spanned<String>>,
            /// Files that are sent with a status.
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            pub error_pages: BTreeMap<String, Spanned<String>>,
            /// What files are packed into as they are sent.
            pub compression: Vec<Compression>,
            /// The shortest file that is packed.
            pub compression_min: ByteCount,
            /// Files that are packed already are sent: `NAME.br`, `NAME.zst` and `NAME.gz` for `NAME`.
            pub precompressed: bool,
            /// Media types by the endings of names.
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            pub media_types: BTreeMap<String, Spanned<String>>,
            /// Fields of every answer.
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            pub headers: BTreeMap<String, Spanned<String>>,
            /// Fields that keep browsers from what pages rarely mean.
            pub security_headers: bool,
            /// Pages of other origins that may read it.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub cors: Option<Cors>,
            /// What is elsewhere.
            #[serde(rename = "redirect", skip_serializing_if = "Vec::is_empty")]
            pub redirects: Vec<Redirect>,
            /// Paths that take a login.
            #[serde(rename = "protect", skip_serializing_if = "Vec::is_empty")]
            pub protected: Vec<Protect>,
            /// Folders that take files.
            #[serde(rename = "upload", skip_serializing_if = "Vec::is_empty")]
            pub uploads: Vec<Upload>,
            /// Paths that others answer.
            #[serde(rename = "proxy", skip_serializing_if = "Vec::is_empty")]
            pub proxies: Vec<Proxy>,
        }

        impl Default for $name {
            fn default() -> Self {
                $name {
                    $($field: $default,)*
                    root: None,
                    index: vec![unwritten("index.html".into())],
                    listing: false,
                    fallback: None,
                    error_pages: BTreeMap::new(),
                    compression: vec![Compression::Zstd, Compression::Br, Compression::Gzip],
                    compression_min: ByteCount(512),
                    precompressed: true,
                    media_types: BTreeMap::new(),
                    headers: BTreeMap::new(),
                    security_headers: false,
                    cors: None,
                    redirects: Vec::new(),
                    protected: Vec::new(),
                    uploads: Vec::new(),
                    proxies: Vec::new(),
                }
            }
        }

        impl $name {
            /// What is said of the site.
            pub fn site(&self) -> SiteKeys<'_> {
                SiteKeys {
                    root: self.root.as_ref(),
                    index: &self.index,
                    listing: self.listing,
                    fallback: self.fallback.as_ref(),
                    error_pages: &self.error_pages,
                    compression: &self.compression,
                    compression_min: self.compression_min,
                    precompressed: self.precompressed,
                    media_types: &self.media_types,
                    headers: &self.headers,
                    security_headers: self.security_headers,
                    cors: self.cors.as_ref(),
                    redirects: &self.redirects,
                    protected: &self.protected,
                    uploads: &self.uploads,
                    proxies: &self.proxies,
                }
            }
        }
    };
}

with_site_keys! {
    /// `[http]`
    pub struct Http {
        /// Where it listens.
        pub listen: Vec<Spanned<Listen>> = vec![unwritten(Listen::Port(80))],
        /// Where it listens for TLS.
        pub tls_listen: Vec<Spanned<Listen>> = Vec::new(),
        /// Serve HTTP/2: over TLS to clients that ask for it, in the clear to those that begin with it.
        pub http2: bool = true,
        /// Serve the stack's own state under `/-/`.
        pub state_page: bool = true,
        /// Who may see it; by default everybody.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub state_page_role: Option<Spanned<String>> = None,
        /// Where people who have an account find their mail and sessions, over TLS; empty: nowhere.
        pub account_pages: Spanned<String> = unwritten("/-/account/".into()),
        /// Connections at once.
        pub connections: u32 = 16_384,
        /// How long a request's head may take.
        pub header_timeout: Period = Period::from_secs(10),
        /// How long a request's body may stand still.
        pub body_timeout: Period = Period::from_secs(60),
        /// How long the client may take nothing of an answer.
        pub write_timeout: Period = Period::from_secs(300),
        /// How long a connection may wait for its next request.
        pub idle_timeout: Period = Period::from_secs(60),
        /// The largest request head.
        pub header_limit: ByteCount = ByteCount(64 << 10),
        /// The largest request body that is kept.
        pub body_limit: ByteCount = ByteCount(1 << 20),
        /// Connections of one client at once; 0: as many as it likes.
        pub client_connections: u32 = 0,
        /// Requests of one client a second; 0: as many as it likes.
        pub client_rate: u32 = 0,
        /// Requests of one client at once, after a time without any; by default ten seconds' worth.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub client_burst: Option<u32> = None,
        /// The congestion control of its connections; by default that of `[tcp]`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub congestion: Option<Algorithm> = None,
        /// Take data on SYNs; by default as `[tcp]` says.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub fast_open: Option<bool> = None,
        /// The access log.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub log: Option<Log> = None,
        /// Sites of other names.
        #[serde(rename = "site", skip_serializing_if = "Vec::is_empty")]
        pub sites: Vec<Site> = Vec::new(),
    }
}

with_site_keys! {
    /// `[[http.site]]`
    pub struct Site {
        /// Its names; `*.example.org` is every name below `example.org`.
        pub names: Vec<Spanned<String>> = Vec::new(),
    }
}

/// The keys of a site, wherever they stand.
#[derive(Clone, Copy, Debug)]
pub struct SiteKeys<'a> {
    root: Option<&'a Spanned<PathBuf>>,
    index: &'a [Spanned<String>],
    listing: bool,
    fallback: Option<&'a Spanned<String>>,
    error_pages: &'a BTreeMap<String, Spanned<String>>,
    compression: &'a [Compression],
    compression_min: ByteCount,
    precompressed: bool,
    media_types: &'a BTreeMap<String, Spanned<String>>,
    headers: &'a BTreeMap<String, Spanned<String>>,
    security_headers: bool,
    cors: Option<&'a Cors>,
    redirects: &'a [Redirect],
    protected: &'a [Protect],
    uploads: &'a [Upload],
    proxies: &'a [Proxy],
}

/// A content coding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Br,
    /// RFC 1952.
    Gzip,
}

impl Compression {
    fn coding(self) -> Coding {
        match self {
            Compression::Zstd => Coding::Zstd,
            Compression::Br => Coding::Brotli,
            Compression::Gzip => Coding::Gzip,
        }
    }
}

/// `[http.log]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The file.
    pub file: Spanned<PathBuf>,
    /// How lines are written.
    #[serde(default)]
    pub format: LogFormat,
}

/// How lines of the access log are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Apache's Combined Log Format.
    #[default]
    Combined,
    /// One JSON object on a line.
    Json,
}

/// `[http.cors]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// The origins; `"*"` is all of them.
    pub origins: Vec<Spanned<String>>,
    /// How long a browser may remember what it was told.
    #[serde(default = "an_hour")]
    pub max_age: Period,
}

fn an_hour() -> Period {
    Period::from_secs(3_600)
}

/// `[[http.redirect]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// The path, or all that begins with it if it ends with `*`.
    pub from: Spanned<String>,
    /// Where to; `*` is what that of `from` stood for, `{host}` the name that was asked for.
    pub to: Spanned<String>,
    /// The status.
    #[serde(default = "moved_permanently")]
    pub status: Spanned<u16>,
}

fn moved_permanently() -> Spanned<u16> {
    unwritten(301)
}

/// `[[http.protect]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Protect {
    /// The path, and all below it.
    pub path: Spanned<String>,
    /// What people are told that they log in to.
    #[serde(default = "restricted")]
    pub realm: String,
    /// Who may; by default everyone who has an account.
    #[serde(default)]
    pub accounts: Vec<Spanned<String>>,
    /// Who has one of these roles may, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Spanned<String>>,
    /// How people log in.
    #[serde(default = "by_browser")]
    pub login: Spanned<LoginBy>,
}

fn by_browser() -> Spanned<LoginBy> {
    unwritten(LoginBy::Basic)
}

/// How people log in to a realm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LoginBy {
    /// As the browser asks them (RFC 7617).
    #[default]
    Basic,
    /// On a page of ours.
    Form,
}

fn restricted() -> String {
    "restricted".into()
}

/// `[[http.upload]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Upload {
    /// The folder under the root, and all below it.
    pub path: Spanned<String>,
    /// What people are told that they log in to.
    #[serde(default = "restricted")]
    pub realm: String,
    /// Who may put files there.
    pub accounts: Vec<Spanned<String>>,
    /// The largest file.
    #[serde(default = "a_hundred_mebibytes")]
    pub limit: ByteCount,
    /// They may remove them as well.
    #[serde(default)]
    pub delete: bool,
}

fn a_hundred_mebibytes() -> ByteCount {
    ByteCount(100 << 20)
}

/// What `security_headers` says, and over TLS.
const SECURITY: [(HeaderName, &str); 4] = [
    (http::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (http::header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
    (http::header::CONTENT_SECURITY_POLICY, "frame-ancestors 'self'"),
    (http::header::X_FRAME_OPTIONS, "SAMEORIGIN"),
];
const SECURITY_OVER_TLS: [(HeaderName, &str); 1] = [(http::header::STRICT_TRANSPORT_SECURITY, "max-age=31536000")];

impl Http {
    /// The sites with their names: the default one, which has none, and the others.
    pub fn all_sites(&self) -> impl Iterator<Item = (&[Spanned<String>], SiteKeys<'_>)> {
        let others = self.sites.iter().map(|site| (site.names.as_slice(), site.site()));
        std::iter::once(([].as_slice(), self.site())).chain(others)
    }

    /// Every path that is relative to the file.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let log = self.log.as_mut().map(|log| log.file.as_mut());
        let sites = self.sites.iter_mut().filter_map(|site| site.root.as_mut());
        self.root.iter_mut().chain(sites).map(Spanned::as_mut).chain(log)
    }

    /// Where the pages of people who have an account are, and the port of HTTPS; `None` if there are none.
    pub fn pages(&self) -> Option<(&str, u16)> {
        let listen = self.tls_listen.first()?;
        let path = self.account_pages.as_ref().as_str();
        (!path.is_empty()).then(|| (path, listen.as_ref().socket_addr().port()))
    }

    /// What the state page takes.
    pub fn state_realm(&self) -> Option<server::Realm> {
        let role = self.state_page_role.as_ref().filter(|_| self.state_page)?;
        Some(server::Realm {
            path: server::PathPrefix::new("/-/"),
            name: "the state of this host".into(),
            accounts: Vec::new(),
            roles: vec![role.as_ref().clone()],
            by_form: true,
        })
    }

    /// What one client may have.
    pub fn client_limits(&self) -> server::ClientLimits {
        let burst = self.client_burst.unwrap_or(self.client_rate.saturating_mul(10));
        server::ClientLimits { connections: self.client_connections, rate: self.client_rate, burst }
    }
}

impl SiteKeys<'_> {
    /// The directory it serves.
    pub fn root(&self) -> Option<&PathBuf> {
        self.root.map(Spanned::as_ref)
    }

    /// How its files are served.
    pub fn manner(&self) -> server::Manner {
        let media = self.media_types.iter();
        let media = media.filter_map(|(ending, media)| Some((ending.clone(), media.as_ref().parse().ok()?)));
        server::Manner {
            index: texts(self.index),
            listing: self.listing,
            media: server::MediaTypes::new(media),
            packing: server::Packing {
                codings: self.compression.iter().map(|compression| compression.coding()).collect(),
                stored: self.precompressed,
                least: self.compression_min.0,
            },
        }
    }

    /// What others answer.
    pub fn proxies(&self) -> impl Iterator<Item = server::proxy::Settings> {
        self.proxies.iter().map(Proxy::settings)
    }

    /// What is served, of the files under `root` and by `proxies`.
    pub fn host(&self, root: Option<server::Root>, proxies: Vec<Rc<server::proxy::Proxy>>) -> server::Host {
        let preset = |fields: &[(HeaderName, &'static str)]| -> Vec<(HeaderName, HeaderValue)> {
            let fields = fields.iter().filter(|_| self.security_headers);
            fields.map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
        };
        // What the file says comes first, so that it is what stays.
        let mut headers: Vec<_> =
            self.headers.iter().filter_map(|(name, value)| header(name, value.as_ref())).collect();
        headers.extend(preset(&SECURITY));
        server::Host {
            root,
            fallback: self.fallback.map(|name| name.as_ref().clone()),
            error_pages: self
                .error_pages
                .iter()
                .filter_map(|(code, page)| Some((status(code)?, page.as_ref().clone())))
                .collect(),
            redirects: self.redirects.iter().filter_map(Redirect::redirect).collect(),
            headers,
            secure_headers: preset(&SECURITY_OVER_TLS),
            cors: self.cors.map(|cors| server::Cors { origins: texts(&cors.origins), max_age: cors.max_age.0 }),
            realms: self
                .protected
                .iter()
                .map(|protect| server::Realm {
                    roles: texts(&protect.roles),
                    by_form: *protect.login.as_ref() == LoginBy::Form,
                    ..realm(&protect.path, &protect.realm, &protect.accounts)
                })
                .collect(),
            stores: self.uploads.iter().map(Upload::store).collect(),
            proxies,
        }
    }
}

fn texts(texts: &[Spanned<String>]) -> Vec<String> {
    texts.iter().map(|text| text.as_ref().clone()).collect()
}

fn realm(path: &Spanned<String>, name: &str, accounts: &[Spanned<String>]) -> server::Realm {
    server::Realm {
        path: server::PathPrefix::new(path.as_ref()),
        name: name.to_owned(),
        accounts: texts(accounts),
        roles: Vec::new(),
        by_form: false,
    }
}

impl Upload {
    fn store(&self) -> server::Store {
        let realm = realm(&self.path, &self.realm, &self.accounts);
        server::Store { realm, limit: self.limit.0, can_delete: self.delete }
    }
}

impl Redirect {
    fn redirect(&self) -> Option<server::Redirect> {
        let status = StatusCode::from_u16(*self.status.as_ref()).ok()?;
        Some(server::Redirect::new(self.from.as_ref(), self.to.as_ref(), status))
    }
}

fn status(code: &str) -> Option<StatusCode> {
    code.parse::<u16>().ok().filter(|code| (400..600).contains(code)).and_then(|code| StatusCode::from_u16(code).ok())
}

/// A field that may be set by hand: those about the message itself are ours.
fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    const OURS: [HeaderName; 7] = [
        http::header::CONNECTION,
        http::header::CONTENT_ENCODING,
        http::header::CONTENT_LENGTH,
        http::header::CONTENT_RANGE,
        http::header::DATE,
        http::header::ETAG,
        http::header::TRANSFER_ENCODING,
    ];
    let name: HeaderName = name.parse().ok()?;
    (!OURS.contains(&name)).then_some((name, value.parse().ok()?))
}

/// Checks what the types can't say.
pub(super) fn check(http: &Http) -> Result<(), Flaw> {
    let mut names: Vec<&Spanned<String>> = Vec::new();
    for site in &http.sites {
        if site.names.is_empty() {
            let at = site.root.as_ref().map_or(0..0, Spanned::span);
            return Err(Flaw {
                span: at,
                message: "a [[http.site]] has no names: write names = [\"www.example.org\"]".into(),
            });
        }
        for name in &site.names {
            check_name(name)?;
            if names.iter().any(|other| other.as_ref() == name.as_ref()) {
                return Err(Flaw::at(name, format!("the name {} is given to two sites", name.as_ref())));
            }
            names.push(name);
        }
    }
    for (_, site) in http.all_sites() {
        check_site(&site)?;
        for protect in site.protected {
            check_roles(&protect.roles)?;
            if *protect.login.as_ref() == LoginBy::Form && http.pages().is_none() {
                let message = "a login by form takes HTTPS and the pages for it: give tls_listen and account_pages";
                return Err(Flaw::at(&protect.login, message));
            }
        }
    }
    check_account_pages(&http.account_pages)?;
    check_roles(http.state_page_role.as_slice())?;
    if let Some(log) = &http.log
        && !log.file.as_ref().parent().is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_dir())
    {
        return Err(Flaw::at(&log.file, format!("{} is in no directory that exists", log.file.as_ref().display())));
    }
    Ok(())
}

/// A folder of plain names, or nothing.
fn check_account_pages(path: &Spanned<String>) -> Result<(), Flaw> {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_.~/".contains(char);
    let text = path.as_ref();
    let names = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    match names.is_some_and(|names| names.split('/').all(|name| !name.is_empty()) && names.chars().all(is_plain)) {
        false if !text.is_empty() => Err(Flaw::at(
            path,
            format!("`{text}` can't be where these pages are: write \"/account/\", or \"\" for none"),
        )),
        _ => Ok(()),
    }
}

fn check_name(name: &Spanned<String>) -> Result<(), Flaw> {
    let bare = name.as_ref().strip_prefix("*.").unwrap_or(name.as_ref());
    let is_name = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-._".contains(char);
    let is_address = bare.starts_with('[') && bare.ends_with(']');
    if bare.is_empty() || !(is_address || bare.chars().all(is_name)) {
        let message = format!("`{}` is no name of a site: write it in lower case and without a port", name.as_ref());
        return Err(Flaw::at(name, message));
    }
    Ok(())
}

fn check_site(site: &SiteKeys<'_>) -> Result<(), Flaw> {
    if let Some(root) = site.root
        && !root.as_ref().is_dir()
    {
        let message = format!("{} is not a directory: make it, or leave root out", root.as_ref().display());
        return Err(Flaw::at(root, message));
    }
    check_pages(site)?;
    check_fields(site)?;
    for redirect in site.redirects {
        check_redirect(redirect)?;
    }
    for origin in site.cors.iter().flat_map(|cors| &cors.origins) {
        let is_origin = origin.as_ref().parse::<Uri>().is_ok_and(|uri| {
            uri.scheme().is_some() && uri.authority().is_some() && !origin.as_ref().ends_with('/') && uri.path() == "/"
        });
        if origin.as_ref() != "*" && !is_origin {
            return Err(Flaw::at(origin, format!("`{}` is no origin: write https://app.example", origin.as_ref())));
        }
    }
    for protect in site.protected {
        check_path(&protect.path)?;
        check_who(&protect.accounts)?;
    }
    for upload in site.uploads {
        check_upload(upload, site)?;
    }
    proxy::check(site.proxies)
}

/// Names of files under the root.
fn check_pages(site: &SiteKeys<'_>) -> Result<(), Flaw> {
    for (code, page) in site.error_pages {
        if status(code).is_none() {
            return Err(Flaw::at(page, format!("`{code}` is no status of an error: 400 to 599")));
        }
    }
    for page in site.error_pages.values().chain(site.fallback) {
        let there = site.root.map(|root| root.as_ref().join(page.as_ref().trim_start_matches('/')));
        if !there.is_some_and(|path| path.is_file()) {
            return Err(Flaw::at(page, format!("there is no file {} under the root", page.as_ref())));
        }
    }
    match site.index.iter().find(|name| name.as_ref().contains('/') || name.as_ref().is_empty()) {
        Some(name) => Err(Flaw::at(name, format!("`{}` is no name of a file in a folder", name.as_ref()))),
        None => Ok(()),
    }
}

fn check_fields(site: &SiteKeys<'_>) -> Result<(), Flaw> {
    for (name, value) in site.headers {
        if header(name, value.as_ref()).is_none() {
            return Err(Flaw::at(value, format!("the field {name} can't be set so: it is none, or not yours to set")));
        }
    }
    for (ending, media) in site.media_types {
        if media.as_ref().parse::<HeaderValue>().is_err() || !media.as_ref().contains('/') {
            return Err(Flaw::at(media, format!("`{}` is no media type for .{ending}", media.as_ref())));
        }
    }
    Ok(())
}

fn check_redirect(redirect: &Redirect) -> Result<(), Flaw> {
    let (from, to) = (redirect.from.as_ref(), redirect.to.as_ref());
    check_path(&redirect.from)?;
    if from.trim_end_matches('*').contains('*') || from.ends_with("**") {
        return Err(Flaw::at(&redirect.from, "a star can only stand at the end"));
    }
    let sample = to.replace('*', "").replace("{host}", "a.example");
    if sample.parse::<Uri>().is_err() || sample.is_empty() {
        return Err(Flaw::at(&redirect.to, format!("`{to}` is no place to go to")));
    }
    if to.contains('*') && !from.ends_with('*') {
        return Err(Flaw::at(&redirect.to, "a star in `to` takes one at the end of `from`"));
    }
    match *redirect.status.as_ref() {
        301 | 302 | 303 | 307 | 308 => Ok(()),
        other => Err(Flaw::at(&redirect.status, format!("{other} is no redirect: 301, 302, 303, 307 or 308"))),
    }
}

pub(super) fn check_path(path: &Spanned<String>) -> Result<(), Flaw> {
    match path.as_ref().starts_with('/') {
        true => Ok(()),
        false => Err(Flaw::at(path, format!("the path `{}` does not begin with a slash", path.as_ref()))),
    }
}

/// Names that an account can have. Whether there is one shows when somebody logs in: accounts come and go while the
/// daemon runs.
fn check_who(accounts: &[Spanned<String>]) -> Result<(), Flaw> {
    match accounts.iter().find(|name| !is_name(name.as_ref())) {
        Some(name) => Err(Flaw::at(name, format!("`{}` can't be an account", name.as_ref()))),
        None => Ok(()),
    }
}

fn check_upload(upload: &Upload, site: &SiteKeys<'_>) -> Result<(), Flaw> {
    check_path(&upload.path)?;
    if upload.accounts.is_empty() {
        return Err(Flaw::at(&upload.path, "an upload without accounts would be everybody's: name them"));
    }
    check_who(&upload.accounts)?;
    let folder = site.root.map(|root| root.as_ref().join(upload.path.as_ref().trim_start_matches('/')));
    match folder {
        Some(folder) if folder.is_dir() => Ok(()),
        Some(folder) => Err(Flaw::at(&upload.path, format!("{} is not a directory: make it", folder.display()))),
        None => Err(Flaw::at(&upload.path, "an upload takes a root")),
    }
}
