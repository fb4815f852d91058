//! Coming in and going out.
//!
//! Before there is a session the login form is bound to a cookie of its own, so that no other site can log anybody in. A
//! login draws a new token and never takes one over: what a browser brought along before is worth nothing after it.

use super::form::{Form, safe_next};
use super::frame::{Hidden, go_to, retry_after};
use super::{Cookie, Visit, Visitor};
use crate::application::http::body::Body;
use crate::presentation::html::Escaped;
use crate::session::entrance::Entry;
use crate::session::login::{Login, Token, Trouble};
use http::header::USER_AGENT;
use http::{Response, StatusCode};
use std::fmt::Write;

/// What is asked to be said before the form.
struct Said<'a> {
    status: StatusCode,
    text: Option<&'a str>,
    name: &'a str,
    next: &'a str,
}

impl Visit<'_> {
    fn draw(&self) -> Token {
        Token::draw(&mut self.site.random.borrow_mut())
    }

    /// The form; who has a session already goes on.
    pub(super) fn login_page(&self, visitor: Option<Visitor>) -> Response<Body> {
        let query = Form::parse(self.head.uri.query().unwrap_or_default());
        let next = query.field("next");
        match visitor {
            Some(_) => go_to(&self.next(next)),
            None => self.form(&Said { status: StatusCode::OK, text: None, name: "", next }),
        }
    }

    /// Where to go on to.
    fn next(&self, next: &str) -> String {
        safe_next(next).map_or_else(|| self.path("mail/"), str::to_owned)
    }

    fn form(&self, said: &Said<'_>) -> Response<Body> {
        let brought = Cookie::Form.of(&self.head.headers);
        let token = brought.clone().unwrap_or_else(|| self.draw());
        let mut response = self.outside("Log in").page(said.status, |out| {
            out.push_str("<div class=\"sheet narrow\">\n<h1>Log in</h1>\n");
            if let Some(text) = said.text {
                writeln!(out, "<p class=\"note bad\" role=\"alert\">{}</p>", Escaped(text))?;
            }
            // Who mistyped a password goes on with that.
            let (first, second) = if said.name.is_empty() { (" autofocus", "") } else { ("", " autofocus") };
            write!(
                out,
                "<form method=\"post\" action=\"{}login\">\n{}<input type=\"hidden\" name=\"next\" value=\"{}\">\n\
                 <label for=\"name\">Name</label>\n<input id=\"name\" name=\"name\" value=\"{}\" required maxlength=\"64\" \
                 autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\"{first}>\n\
                 <label for=\"password\">Password</label>\n<input id=\"password\" name=\"password\" type=\"password\" \
                 required autocomplete=\"current-password\"{second}>\n<button>Log in</button>\n</form>\n</div>\n",
                Escaped(&self.pages.prefix),
                Hidden(&token.form_word()),
                Escaped(safe_next(said.next).unwrap_or_default()),
                Escaped(said.name),
            )
        });
        if brought.is_none() {
            Cookie::Form.set(&token, response.headers_mut());
        }
        response
    }

    /// Lets in who knows the password. `visitor` is who the browser was before.
    pub(super) async fn log_in(&self, form: &Form, visitor: Option<Visitor>) -> Response<Body> {
        let (name, next) = (form.field("name"), form.field("next"));
        let again = |status, text| self.form(&Said { status, text: Some(text), name, next });
        let is_ours = Cookie::Form.of(&self.head.headers).is_some_and(|token| token.is_form_word(form.field("word")));
        if !is_ours {
            let text = "The form was out of date, or your browser keeps no cookies, which a login takes. \
                        Allow cookies for this site and log in again.";
            return again(StatusCode::FORBIDDEN, text);
        }
        let entrance = self.login.entrance();
        // Taken before the password is looked at: if it is another by then, the session is none.
        let mark = entrance.verifier().accounts().mark(name);
        match entrance.by_password(self.asker.peer, name, form.field("password").as_bytes()).await {
            Entry::Admitted => {}
            Entry::Refused => {
                log::debug!(target: "tapstack::http", "{}: login as {name:?} refused", self.asker.peer);
                let text = "Name and password don't belong together, or the account is not for this. Try again.";
                return again(StatusCode::FORBIDDEN, text);
            }
            Entry::Busy => {
                let text = "Too many are logging in right now. Try again in a moment.";
                return retry_after(again(StatusCode::SERVICE_UNAVAILABLE, text), "2");
            }
            Entry::Throttled => {
                let text = "Too many attempts to log in failed from where you are. Wait a minute and try again.";
                return retry_after(again(StatusCode::TOO_MANY_REQUESTS, text), "60");
            }
        }
        if let Some(visitor) = visitor
            && let Err(trouble) = self.pages.logins.close(&visitor.token).await
        {
            return self.trouble(&trouble);
        }
        match self.open(name, mark.unwrap_or_default()).await {
            Ok(token) => {
                let mut response = go_to(&self.next(next));
                Cookie::Session.set(&token, response.headers_mut());
                Cookie::Form.clear(response.headers_mut());
                response
            }
            Err(trouble) => self.trouble(&trouble),
        }
    }

    /// Opens a session of a token that nobody had before.
    pub(super) async fn open(&self, account: &str, mark: [u8; 32]) -> Result<Token, Trouble> {
        let token = self.draw();
        let agent = self.head.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let now = self.site.clock.unix_time();
        let (account, address, agent) = (account.to_owned(), self.asker.peer.to_string(), agent.to_owned());
        let login = Login { account, address, agent, opened_at: now, used_at: now, mark };
        self.pages.logins.open(&token, login).await?;
        Ok(token)
    }

    pub(super) async fn log_out(&self, visitor: &Visitor) -> Response<Body> {
        match self.pages.logins.close(&visitor.token).await {
            Ok(()) => self.out(),
            Err(trouble) => self.trouble(&trouble),
        }
    }

    pub(super) async fn log_out_everywhere(&self, visitor: &Visitor) -> Response<Body> {
        match self.pages.logins.close_all(visitor.account()).await {
            Ok(_) => self.out(),
            Err(trouble) => self.trouble(&trouble),
        }
    }

    fn out(&self) -> Response<Body> {
        let mut response = go_to(&self.path("login"));
        Cookie::Session.clear(response.headers_mut());
        response
    }
}
