//! Cookies (RFC 6265, and what its revision says of prefixes and SameSite): one for a session, one for the form of who has
//! none yet.
//!
//! `__Host-` is a promise that browsers hold us to: only this host set it, over TLS, for the whole host; no neighbour in
//! the domain can put one in its place. No script can read it, and no other site's form brings it along.

use crate::session::login::Token;
use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};

/// The cookies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::application::http) enum Cookie {
    /// The token of a session.
    Session,
    /// A token that belongs to no session: what the login form is bound to.
    Form,
}

impl Cookie {
    fn name(self) -> &'static str {
        match self {
            Cookie::Session => "__Host-tapstack",
            Cookie::Form => "__Host-tapstack-form",
        }
    }

    /// True for the name of one of them.
    pub(in crate::application::http) fn is_ours(name: &[u8]) -> bool {
        [Cookie::Session, Cookie::Form].iter().any(|own| own.name().as_bytes() == name)
    }

    /// The token that a request brings. Of several the first counts.
    pub(in crate::application::http) fn of(self, headers: &HeaderMap) -> Option<Token> {
        let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
        let mut pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == self.name())?;
        Token::parse(value)
    }

    /// Has the browser keep a token until it is closed.
    pub(super) fn set(self, token: &Token, headers: &mut HeaderMap) {
        self.write(&token.text(), "", headers);
    }

    /// Has the browser forget it.
    pub(super) fn clear(self, headers: &mut HeaderMap) {
        self.write("", "; Max-Age=0", headers);
    }

    fn write(self, value: &str, more: &str, headers: &mut HeaderMap) {
        let text = format!("{}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{more}", self.name());
        if let Ok(mut value) = HeaderValue::from_str(&text) {
            value.set_sensitive(true);
            headers.append(SET_COOKIE, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    fn brought(fields: &[&str]) -> HeaderMap {
        fields.iter().map(|field| (COOKIE, HeaderValue::from_str(field).unwrap())).collect()
    }

    #[test]
    fn a_token_comes_back_from_among_others() {
        let token = Token::draw(&mut Random::from_seed(1));
        let text = token.text();
        for fields in [
            vec![format!("__Host-tapstack={text}")],
            vec![format!("a=b; __Host-tapstack={text};c=d")],
            vec!["a=b".into(), format!("__Host-tapstack={text}")],
            vec![format!("__Host-tapstack={text}; __Host-tapstack=x")],
        ] {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            assert_eq!(Cookie::Session.of(&brought(&fields)), Some(token.clone()), "{fields:?}");
            assert_eq!(Cookie::Form.of(&brought(&fields)), None);
        }
        for field in ["", "__Host-tapstack", "__Host-tapstack=", "tapstack=x", "__Host-tapstack=\"x\""] {
            assert_eq!(Cookie::Session.of(&brought(&[field])), None, "{field}");
        }
    }

    #[test]
    fn a_cookie_is_for_this_host_alone_and_for_no_script() {
        let token = Token::draw(&mut Random::from_seed(1));
        let mut headers = HeaderMap::new();
        Cookie::Session.set(&token, &mut headers);
        Cookie::Form.clear(&mut headers);
        let set: Vec<&str> = headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
        let expected = format!("__Host-tapstack={}; Path=/; Secure; HttpOnly; SameSite=Lax", token.text());
        assert_eq!(set, [&expected, "__Host-tapstack-form=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"]);
    }
}
