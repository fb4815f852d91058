//! The pages of people who have an account: a login that lasts, their mail, their sessions, their password.
//!
//! ```text
//!   PREFIX login    form ─► entrance ─► a new token, in a cookie ─► where one came from
//!          logout, logout-everywhere                                (forms, each with its word)
//!          .        sessions          password
//!          mail/    fifty to a page   mail/ID   one, as text   mail/ID/part/N, mail/ID/source   as files
//!          style.css                  mail/ID/delete
//! ```
//!
//! They are answered over TLS alone; in the clear they lead there. A page shows nothing of anybody before the cookie was
//! looked up, which is done in the database with each request: a session that was ended, or whose account is no more, is
//! locked, has another password or is not for the web, is none at once. What waits for the disk does so on the threads for
//! that. [`form`] tells forms of our own from others, [`frame`] what browsers may do with a page.
//!
//! Not here: who may see other paths ([`super::realms`], which takes the same cookie).

mod account;
mod cookie;
mod form;
mod frame;
mod letter;
mod login;
mod mail;

pub(super) use cookie::Cookie;
pub(super) use form::is_of_our_own;

use self::form::{Form, over_tls};
use self::frame::{Frame, Place, Reader, go_to, retry_after};
use super::Site;
use super::answer::{self, closing};
use super::body::Body;
use super::guard::{Asker, Names};
use super::host::PathPrefix;
use super::incoming::Incoming;
use super::realms;
use super::wire::Fault;
use crate::application::mailbox::Mailboxes;
use crate::session::login::{Login, Logins, Token, Trouble};
use crate::session::rights::Service;
use http::header::HeaderMap;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

const METHODS: &str = "GET, HEAD, POST";

/// The pages.
pub struct Pages {
    /// Where they are, with a slash at either end.
    prefix: String,
    path: PathPrefix,
    port: u16,
    logins: Logins,
    mailboxes: Mailboxes,
    /// Octets of messages and files that are in memory for answers.
    held: Arc<AtomicU64>,
}

impl Pages {
    /// Pages under `prefix`, which begins and ends with a slash, of a server that speaks TLS at `port`.
    pub fn new(prefix: &str, port: u16, logins: Logins, mailboxes: Mailboxes) -> Self {
        let path = PathPrefix::new(prefix);
        Pages { prefix: prefix.to_owned(), path, port, logins, mailboxes, held: Arc::default() }
    }

    /// True if a path is one of theirs.
    pub(super) fn are_at(&self, names: &Names<'_>) -> bool {
        self.path.covers(names)
    }

    /// Where to log in for `head`, and come back to it.
    pub(super) fn login_for(&self, head: &Parts, is_encrypted: bool) -> Response<Body> {
        if !is_encrypted {
            return self.over_tls(head);
        }
        let next = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let next = percent_encoding::utf8_percent_encode(next, percent_encoding::NON_ALPHANUMERIC);
        go_to(&format!("{}login?next={next}", self.prefix))
    }

    /// The same request over TLS. A form that came in the clear is not sent again: what it said is known already.
    fn over_tls(&self, head: &Parts) -> Response<Body> {
        let status = match head.method {
            Method::GET | Method::HEAD => StatusCode::TEMPORARY_REDIRECT,
            _ => StatusCode::SEE_OTHER,
        };
        over_tls(head, self.port)
            .map_or_else(|| answer::status(StatusCode::FORBIDDEN), |place| answer::redirect(status, &place))
    }

    /// Who has a session, if anybody.
    pub(super) async fn visitor(&self, site: &Site, headers: &HeaderMap) -> Result<Option<Visitor>, Trouble> {
        let (Some(token), Some(login)) = (Cookie::Session.of(headers), &site.login) else { return Ok(None) };
        let Some(session) = self.logins.find(&token, site.clock.unix_time()).await? else { return Ok(None) };
        let accounts = login.entrance().verifier().accounts();
        let holds =
            accounts.admits(&session.account, Service::Web) && accounts.mark(&session.account) == Some(session.mark);
        Ok(holds.then_some(Visitor { word: token.form_word(), token, session }))
    }
}

/// Somebody who has a session.
pub(super) struct Visitor {
    token: Token,
    /// What the session's forms bring.
    word: String,
    session: Login,
}

impl Visitor {
    /// Whose session it is.
    pub(super) fn account(&self) -> &str {
        &self.session.account
    }
}

/// A request for a page.
struct Visit<'a> {
    site: &'a Site,
    pages: &'a Pages,
    login: &'a realms::Login,
    asker: Asker,
    head: &'a Parts,
}

/// Answers a request for one of the pages; and who it was that asked.
///
/// # Errors
/// The body does not come.
pub(super) async fn answer(
    (site, pages, login): (&Site, &Pages, &realms::Login),
    asker: Asker,
    head: &Parts,
    names: &Names<'_>,
    is_folder: bool,
    body: &mut impl Incoming,
) -> Result<(Response<Body>, Option<String>), Fault> {
    let visit = Visit { site, pages, login, asker, head };
    let is_form = head.method == Method::POST;
    let form = match is_form && asker.is_encrypted {
        true => Form::read(&head.headers, body).await?,
        false if body.discard(site.config.body_limit).await? => Some(Form::default()),
        false => None,
    };
    let Some(form) = form else {
        let advice = "That was no form of these pages, or it was too long. Go back and try again.";
        let response = visit.problem(StatusCode::PAYLOAD_TOO_LARGE, "Not a form", advice);
        return Ok((if body.is_ended() { response } else { closing(response) }, None));
    };
    match head.method {
        _ if !asker.is_encrypted => return Ok((pages.over_tls(head), None)),
        Method::GET | Method::HEAD | Method::POST => {}
        Method::OPTIONS => return Ok((answer::options(METHODS), None)),
        _ => return Ok((answer::method_not_allowed(METHODS), None)),
    }
    if is_form && !is_of_our_own(head) {
        let advice = "Another site had your browser send this, so nothing was done. \
                      If it was you, do it again on the pages here.";
        return Ok((visit.problem(StatusCode::FORBIDDEN, "Not sent from here", advice), None));
    }
    let rest: Vec<&str> =
        names.iter().skip(pages.path.depth()).map(|name| std::str::from_utf8(name).unwrap_or("?")).collect();
    if let ([], false) | (["mail"], false) = (rest.as_slice(), is_folder) {
        let path = format!("{}{}", pages.prefix, if rest.is_empty() { "" } else { "mail/" });
        return Ok((go_to(&path), None));
    }
    if let (["style.css"], false) = (rest.as_slice(), is_form) {
        return Ok((frame::style(), None));
    }
    let visitor = match pages.visitor(site, &head.headers).await {
        Ok(visitor) => visitor,
        Err(trouble) => return Ok((visit.trouble(&trouble), None)),
    };
    if rest == ["login"] {
        let account = visitor.as_ref().map(|visitor| visitor.account().to_owned());
        return Ok((if is_form { visit.log_in(&form, visitor).await } else { visit.login_page(visitor) }, account));
    }
    let Some(visitor) = visitor else {
        return Ok((if is_form { visit.session_is_over() } else { pages.login_for(head, true) }, None));
    };
    if is_form && !visitor.token.is_form_word(form.field("word")) {
        let advice = "The form is of an earlier session, so nothing was done. Go back, reload the page and try again.";
        let response = visit.frame(&visitor, Place::Other, "Out of date").problem(StatusCode::FORBIDDEN, advice);
        return Ok((response, Some(visitor.account().to_owned())));
    }
    let response = match (rest.as_slice(), is_form) {
        ([], false) => visit.account_page(&visitor).await,
        (["logout"], true) => visit.log_out(&visitor).await,
        (["logout-everywhere"], true) => visit.log_out_everywhere(&visitor).await,
        (["password"], false) => visit.password_page(&visitor, StatusCode::OK, None),
        (["password"], true) => visit.change_password(&visitor, &form).await,
        (["mail"], false) => visit.mail_page(&visitor).await,
        (["mail", id], false) => visit.letter_page(&visitor, id).await,
        (["mail", id, "source"], false) => visit.source(&visitor, id).await,
        (["mail", id, "part", number], false) => visit.part(&visitor, id, number).await,
        (["mail", id, "delete"], false) => visit.deletion_page(&visitor, id).await,
        (["mail", id, "delete"], true) => visit.delete(&visitor, id).await,
        _ => visit.not_found(&visitor),
    };
    Ok((response, Some(visitor.account().to_owned())))
}

impl<'a> Visit<'a> {
    fn frame<'f>(&'f self, visitor: &'f Visitor, place: Place, title: &'f str) -> Frame<'f> {
        let reader = Some(Reader { account: visitor.account(), word: &visitor.word });
        Frame { prefix: &self.pages.prefix, reader, place, title }
    }

    /// A frame for somebody who is not logged in.
    fn outside<'f>(&'f self, title: &'f str) -> Frame<'f> {
        Frame { prefix: &self.pages.prefix, reader: None, place: Place::Other, title }
    }

    /// The path of a page.
    fn path(&self, rest: &str) -> String {
        format!("{}{rest}", self.pages.prefix)
    }

    fn problem(&self, status: StatusCode, title: &str, advice: &str) -> Response<Body> {
        self.outside(title).problem(status, advice)
    }

    fn not_found(&self, visitor: &Visitor) -> Response<Body> {
        let advice = "There is no such page.";
        self.frame(visitor, Place::Other, "Not found").problem(StatusCode::NOT_FOUND, advice)
    }

    fn session_is_over(&self) -> Response<Body> {
        let advice = "Your session is over, so nothing was done. Log in again, and then do it once more.";
        self.problem(StatusCode::FORBIDDEN, "Session over", advice)
    }

    fn busy(&self) -> Response<Body> {
        let advice = "The server has too much to do right now. Try again in a moment.";
        retry_after(self.problem(StatusCode::SERVICE_UNAVAILABLE, "Busy", advice), "2")
    }

    fn broken(&self) -> Response<Body> {
        let advice = "Something is wrong on the server, and its log says what. \
                      Try again later, or tell whoever runs it.";
        self.problem(StatusCode::INTERNAL_SERVER_ERROR, "Trouble", advice)
    }

    fn trouble(&self, trouble: &Trouble) -> Response<Body> {
        match trouble {
            Trouble::Busy => self.busy(),
            Trouble::Database(error) => {
                log::warn!(target: "tapstack::http", "the login sessions can't be used: {error}");
                self.broken()
            }
        }
    }
}
