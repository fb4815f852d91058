//! Paths of ours and of an upstream: which is which, and the way back for a Location (RFC 9110 §10.2.2).
//!
//! ```text
//!   path = "/app/"  to = "http://192.0.2.9:8080/prefix/"     /app/a%20b?c   ──►  /prefix/a%20b?c
//!                                                            /app/login     ◄──  http://192.0.2.9:8080/prefix/login
//!   path = "/app/"  to = "http://192.0.2.9:8080"             /app/a%20b?c   ──►  /app/a%20b?c
//! ```
//!
//! What a client wrote goes on as it wrote it, but who may see it is decided by the names that any upstream could read in it:
//! an encoded slash is one, and a path that climbs goes nowhere.

use super::super::guard::Names;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// Where requests go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct To {
    /// The address and port.
    pub address: SocketAddr,
    /// What stands there in the place of our path; `None` if requests go with the path that they have.
    pub path: Option<String>,
}

impl std::str::FromStr for To {
    type Err = &'static str;

    /// `http://ADDRESS[:PORT][/PATH]`
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("https://") {
            return Err("https is not spoken to upstreams: write http://");
        }
        let rest = text.strip_prefix("http://").ok_or("it does not begin with http://")?;
        let (authority, path) = match rest.find('/') {
            Some(slash) => (rest.get(..slash).unwrap_or_default(), rest.get(slash..)),
            None => (rest, None),
        };
        let is_plain = |path: &str| {
            path.bytes().all(|octet| octet.is_ascii_graphic() && !b"?#\\\"<>^`{|}".contains(&octet))
                && path.split('/').all(|name| !is_climbing(name.as_bytes()))
        };
        if path.is_some_and(|path| !is_plain(path)) {
            return Err("the path can't be sent like that: no query, no spaces, no dots alone");
        }
        let address = authority.parse::<SocketAddr>().ok().or_else(|| {
            let bare = authority.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let v4 = || authority.parse().ok().map(IpAddr::V4);
            Some(SocketAddr::new(bare.map_or_else(v4, |v6| v6.parse().ok().map(IpAddr::V6))?, 80))
        });
        let address = address.ok_or("write an address, not a name: http://192.0.2.9:8080")?;
        if address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
            return Err("nobody can be reached at this address");
        }
        Ok(To { address, path: path.map(str::to_owned) })
    }
}

impl To {
    /// As it stands in a Host field.
    pub(super) fn authority(&self) -> String {
        match self.address.port() {
            80 if self.address.is_ipv4() => self.address.ip().to_string(),
            80 => format!("[{}]", self.address.ip()),
            _ => self.address.to_string(),
        }
    }

    /// The target that is asked for there, for a path of ours below one with `depth` names.
    pub(super) fn target(&self, path: &str, query: Option<&str>, depth: usize) -> String {
        let mut target = match &self.path {
            None => one_slash(path),
            Some(prefix) => {
                let rest = below(path, depth);
                let base = prefix.trim_end_matches('/');
                if rest.is_empty() { base.to_owned() } else { format!("{base}{}", one_slash(rest)) }
            }
        };
        if target.is_empty() {
            target.push('/');
        }
        if let Some(query) = query {
            target.push('?');
            target.push_str(query);
        }
        target
    }

    /// A Location of the upstream, which was asked as `host`, as our clients have it; `None` if it is theirs already.
    pub(super) fn location(&self, ours: &str, host: &str, location: &str) -> Option<String> {
        let (path, is_absolute) = match location.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")) {
            Some(_) => {
                let rest = location.get(7..)?;
                let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
                let is_own = |own: &str| {
                    let bare = |authority: &str| authority.strip_suffix(":80").unwrap_or(authority).to_owned();
                    bare(own).eq_ignore_ascii_case(&bare(authority))
                };
                if !is_own(&self.authority()) && !is_own(host) {
                    return None;
                }
                (path, true)
            }
            None if location.starts_with('/') && !location.starts_with("//") => (location, false),
            None => return None,
        };
        let Some(prefix) = &self.path else { return is_absolute.then(|| one_slash(path)) };
        let base = ours.trim_end_matches('/');
        // It may know where it stands.
        if !is_absolute && !base.is_empty() && rest_below(path, base).is_some() {
            return None;
        }
        let rest = rest_below(path, prefix.trim_end_matches('/'))?;
        Some(if rest.is_empty() && !base.is_empty() { base.to_owned() } else { format!("{base}{}", one_slash(rest)) })
    }
}

/// The path with one slash at its beginning: two would be the name of a host.
fn one_slash(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

/// What is behind the first names of a path, from a slash on if there is anything.
fn below(path: &str, depth: usize) -> &str {
    let mut rest = path;
    for _ in 0..depth {
        rest = rest.trim_start_matches('/');
        rest = rest.get(rest.find('/').unwrap_or(rest.len())..).unwrap_or_default();
    }
    rest
}

/// What is behind `base`, if that is where a path begins.
fn rest_below<'a>(path: &'a str, base: &str) -> Option<&'a str> {
    path.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

/// `.` and `..`, also with parameters, which some servers take off first.
fn is_climbing(name: &[u8]) -> bool {
    let name = name.split(|octet| *octet == b';').next().unwrap_or_default();
    matches!(name, b"." | b"..")
}

/// The names that an upstream could read in a path; `None` if there are such in it that lead elsewhere.
pub(in crate::application::http) fn names_upstream<'a>(names: &Names<'a>) -> Option<Names<'a>> {
    let mut read = Names::new();
    for name in names {
        if !name.contains(&b'/') {
            read.push(name.clone());
            continue;
        }
        let parts = name.split(|octet| *octet == b'/').filter(|part| !part.is_empty());
        read.extend(parts.map(|part| Cow::Owned(part.to_vec())));
    }
    (!read.iter().any(|name| is_climbing(name))).then_some(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to(text: &str) -> To {
        text.parse().unwrap()
    }

    #[test]
    fn an_upstream_is_an_address_with_or_without_a_port_and_a_path() {
        assert_eq!(to("http://192.0.2.9").address, ([192, 0, 2, 9], 80).into());
        assert_eq!(to("http://192.0.2.9:8080/a/").path.as_deref(), Some("/a/"));
        assert_eq!(to("http://192.0.2.9:8080").path, None);
        assert_eq!(to("http://[2001:db8::1]").authority(), "[2001:db8::1]");
        assert_eq!(to("http://[2001:db8::1]:81/").authority(), "[2001:db8::1]:81");
        assert_eq!(to("http://192.0.2.9:80").authority(), "192.0.2.9");
        for wrong in [
            "",
            "192.0.2.9",
            "https://192.0.2.9",
            "http://",
            "http://backend:80",
            "http://192.0.2.9:0",
            "http://0.0.0.0",
            "http://224.0.0.1",
            "http://192.0.2.9:80a",
            "http://u@192.0.2.9",
            "http://192.0.2.9?x",
            "http://192.0.2.9/a?x",
            "http://192.0.2.9/a b",
            "http://192.0.2.9/../b",
            "http://192.0.2.9/a\r\nb",
            "http://2001:db8::1",
        ] {
            assert!(wrong.parse::<To>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_target_is_below_the_path_of_the_upstream() {
        for (at, depth, path, expected) in [
            ("http://192.0.2.9/prefix/", 1, "/app/a%20b", "/prefix/a%20b"),
            ("http://192.0.2.9/prefix", 1, "/app/a", "/prefix/a"),
            ("http://192.0.2.9/prefix/", 1, "/app/", "/prefix/"),
            ("http://192.0.2.9/prefix/", 1, "/app", "/prefix"),
            ("http://192.0.2.9/prefix/", 1, "//%61pp//x//y", "/prefix/x//y"),
            ("http://192.0.2.9/prefix/", 1, "/app/a%2fb", "/prefix/a%2fb"),
            ("http://192.0.2.9/", 1, "/app", "/"),
            ("http://192.0.2.9/", 1, "/app//evil", "/evil"),
            ("http://192.0.2.9/", 0, "/", "/"),
            ("http://192.0.2.9/", 0, "/a/", "/a/"),
            ("http://192.0.2.9/x/y", 2, "/a/b/c", "/x/y/c"),
            ("http://192.0.2.9", 1, "/app/a", "/app/a"),
            ("http://192.0.2.9", 0, "//a", "/a"),
            ("http://192.0.2.9", 0, "", "/"),
        ] {
            assert_eq!(to(at).target(path, None, depth), expected, "{at} {path}");
        }
        assert_eq!(to("http://192.0.2.9/p/").target("/app/a", Some("b=c&d"), 1), "/p/a?b=c&d");
        assert_eq!(to("http://192.0.2.9/p/").target("/app/a", Some(""), 1), "/p/a?");
    }

    #[test]
    fn a_location_of_the_upstream_becomes_one_of_ours() {
        for (at, ours, location, expected) in [
            ("http://192.0.2.9:81/p/", "/app/", "http://192.0.2.9:81/p/x?y#z", Some("/app/x?y#z")),
            ("http://192.0.2.9:81/p/", "/app/", "HTTP://192.0.2.9:81/p", Some("/app")),
            ("http://192.0.2.9/p/", "/app/", "http://192.0.2.9:80/p/x", Some("/app/x")),
            ("http://192.0.2.9:81/p/", "/app/", "http://site.example/p/x", Some("/app/x")),
            ("http://192.0.2.9:81/p/", "/app/", "https://site.example/p/x", None),
            ("http://192.0.2.9:81/p/", "/app/", "http://192.0.2.9:82/p/x", None),
            ("http://192.0.2.9:81/p/", "/app/", "http://192.0.2.9:81.evil.example/p/x", None),
            ("http://192.0.2.9:81/p/", "/app/", "http://other.example/", None),
            ("http://192.0.2.9:81/p/", "/app/", "/p/dir/", Some("/app/dir/")),
            ("http://192.0.2.9:81/p/", "/app/", "/elsewhere", None),
            ("http://192.0.2.9:81/p/", "/app/", "/private", None),
            ("http://192.0.2.9:81/", "/app/", "/dir/", Some("/app/dir/")),
            ("http://192.0.2.9:81/", "/app/", "/app/dir/", None),
            ("http://192.0.2.9:81/", "/app/", "/", Some("/app/")),
            ("http://192.0.2.9:81/p/", "/", "/p/", Some("/")),
            ("http://192.0.2.9:81/p/", "/", "http://192.0.2.9:81/p", Some("/")),
            ("http://192.0.2.9:81/", "/app/", "x/y", None),
            ("http://192.0.2.9:81/", "/app/", "//other.example/", None),
            ("http://192.0.2.9:81", "/app/", "http://192.0.2.9:81/app/x", Some("/app/x")),
            ("http://192.0.2.9:81", "/app/", "http://192.0.2.9:81//evil.example", Some("/evil.example")),
            ("http://192.0.2.9:81", "/app/", "/app/x", None),
        ] {
            assert_eq!(to(at).location(ours, "site.example", location).as_deref(), expected, "{at} {ours} {location}");
        }
    }

    #[test]
    fn names_are_those_that_any_upstream_could_read() {
        let read = |names: &[&'static str]| {
            let names: Names<'_> = names.iter().map(|name| name.as_bytes().into()).collect();
            let read = names_upstream(&names)?;
            Some(read.iter().map(|name| String::from_utf8(name.to_vec()).unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(read(&["a", "b"]).unwrap(), ["a", "b"]);
        assert_eq!(read(&["a/b//c", "d"]).unwrap(), ["a", "b", "c", "d"]);
        assert_eq!(read(&["...", ".hidden", "a;b"]).unwrap(), ["...", ".hidden", "a;b"]);
        for climbing in [&["a", "..", "b"][..], &["."], &["a/../b"], &["..;x"], &["a/..;/b"], &["a/."]] {
            assert_eq!(read(climbing), None, "{climbing:?}");
        }
    }

    proptest! {
        #[test]
        fn any_path_and_location_is_taken(path in "/?[/%a-f0-9.;é]{0,20}", place in "(http://)?[a-z0-9.:/?#é]{0,30}", depth in 0usize..4) {
            let to = to("http://192.0.2.9/p/");
            prop_assert!(to.target(&path, None, depth).starts_with("/p"));
            if let Some(location) = to.location("/app/", "a.example", &place) {
                prop_assert!(location.starts_with("/app"));
            }
        }
    }
}
