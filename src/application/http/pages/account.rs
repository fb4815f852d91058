//! What people see of their own account: where they are logged in, and their password.

use super::form::Form;
use super::frame::{Hidden, Place, go_to};
use super::{Cookie, Visit, Visitor};
use crate::application::http::body::Body;
use crate::base::time::Duration;
use crate::presentation::html::Escaped;
use crate::session::account_book::{AccountBook, BookError, Change};
use crate::session::accounts::{AccountError, PASSWORD_LENGTH};
use crate::session::entrance::Entry;
use crate::session::login::Login;
use http::{Response, StatusCode};
use std::fmt::{self, Write};
use std::time::UNIX_EPOCH;

/// Characters of a new password.
const SHORTEST: usize = 8;
/// Characters shown of what a browser calls itself.
const AGENT: usize = 120;

/// Why a password stays as it is.
enum Unchanged {
    Book(BookError),
    Account(AccountError),
}

impl Visit<'_> {
    pub(super) async fn account_page(&self, visitor: &Visitor) -> Response<Body> {
        let now = self.site.clock.unix_time();
        let sessions = match self.pages.logins.list(visitor.account(), &visitor.token, now).await {
            Ok(sessions) => sessions,
            Err(trouble) => return self.trouble(&trouble),
        };
        let is_changed = Form::parse(self.head.uri.query().unwrap_or_default()).field("done") == "password";
        self.frame(visitor, Place::Account, "Account").page(StatusCode::OK, |out| {
            let prefix = Escaped(&self.pages.prefix);
            writeln!(out, "<h1>Account of {}</h1>", Escaped(visitor.account()))?;
            if is_changed {
                out.push_str("<p class=\"note good\" role=\"status\">Your password is changed, and your other sessions are ended.</p>\n");
            }
            out.push_str("<section class=\"sheet\">\n<h2 id=\"sessions\">Where you are logged in</h2>\n");
            out.push_str("<table aria-labelledby=\"sessions\"><thead><tr><th>From</th><th>Browser</th><th>Since</th><th>Last used</th></tr></thead>\n<tbody>\n");
            for (session, is_own) in &sessions {
                write_session(out, session, *is_own)?;
            }
            write!(
                out,
                "</tbody></table>\n<div class=\"row\"><form method=\"post\" action=\"{prefix}logout-everywhere\">{}\
                 <button class=\"danger\">Log out everywhere</button></form>\n\
                 <a class=\"button plain\" href=\"{prefix}password\">Change password</a></div>\n</section>\n",
                Hidden(&visitor.word)
            )
        })
    }

    /// The form for another password, with what is wrong about the last try.
    pub(super) fn password_page(&self, visitor: &Visitor, status: StatusCode, wrong: Option<&str>) -> Response<Body> {
        self.frame(visitor, Place::Account, "Change password").page(status, |out| {
            out.push_str("<div class=\"sheet narrow\">\n<h1>Change password</h1>\n");
            if !self.login.entrance().verifier().accounts().is_of_book(visitor.account()) {
                out.push_str(
                    "<p class=\"note\">This account is one of the server's configuration. \
                     Whoever runs the server can change its password there.</p>\n</div>\n",
                );
                return Ok(());
            }
            if let Some(wrong) = wrong {
                writeln!(out, "<p class=\"note bad\" role=\"alert\">{}</p>", Escaped(wrong))?;
            }
            write!(
                out,
                "<form method=\"post\" action=\"{}password\">\n{}\
                 <input type=\"text\" name=\"name\" value=\"{}\" autocomplete=\"username\" hidden readonly>\n\
                 <label for=\"old\">Password as it is</label>\n<input id=\"old\" name=\"old\" type=\"password\" required \
                 autocomplete=\"current-password\" autofocus>\n\
                 <label for=\"new\">New password</label>\n<input id=\"new\" name=\"new\" type=\"password\" required \
                 minlength=\"{SHORTEST}\" autocomplete=\"new-password\" aria-describedby=\"rule\">\n\
                 <p id=\"rule\" class=\"faint\">At least {SHORTEST} characters; a few words are easier to keep in mind.</p>\n\
                 <label for=\"again\">The new one again</label>\n<input id=\"again\" name=\"again\" type=\"password\" required \
                 minlength=\"{SHORTEST}\" autocomplete=\"new-password\">\n<button>Change password</button>\n</form>\n\
                 <p class=\"faint\">Your other sessions end; mail programs need the new password.</p>\n</div>\n",
                Escaped(&self.pages.prefix),
                Hidden(&visitor.word),
                Escaped(visitor.account()),
            )
        })
    }

    pub(super) async fn change_password(&self, visitor: &Visitor, form: &Form) -> Response<Body> {
        let again = |status, wrong| self.password_page(visitor, status, Some(wrong));
        let (old, new, account) = (form.field("old"), form.field("new"), visitor.account());
        let (entrance, unfit) = (self.login.entrance(), StatusCode::UNPROCESSABLE_ENTITY);
        if !entrance.verifier().accounts().is_of_book(account) {
            return again(StatusCode::FORBIDDEN, "");
        }
        if new.chars().count() < SHORTEST {
            return again(unfit, "The new password is too short.");
        }
        if new.len() > PASSWORD_LENGTH {
            return again(unfit, "The new password is too long.");
        }
        if new != form.field("again") {
            return again(unfit, "The new password was not typed the same way twice.");
        }
        match entrance.by_password(self.asker.peer, account, old.as_bytes()).await {
            Entry::Admitted => {}
            Entry::Refused => return again(StatusCode::FORBIDDEN, "The password as it is was not right."),
            Entry::Busy => return self.busy(),
            Entry::Throttled => {
                return again(StatusCode::TOO_MANY_REQUESTS, "Too many wrong passwords. Wait a minute and try again.");
            }
        }
        let mut salt = [0; 16];
        self.site.random.borrow_mut().fill(&mut salt);
        let (hash, scram) = match entrance.verifier().prepare(new.as_bytes(), salt).await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(error)) => {
                log::warn!(target: "tapstack::http", "{error}");
                return self.broken();
            }
            Err(_) => return self.busy(),
        };
        let (verifier, database, name) =
            (entrance.verifier().clone(), self.pages.logins.database(), account.to_owned());
        let changed = self.site.errands.send(move || {
            verifier.change(|accounts| {
                let changed = accounts.clone().with_password(&name, &hash, scram.as_deref());
                let changed = changed.map_err(Unchanged::Account)?;
                let change = Change::Password(hash, scram);
                AccountBook(&database).change(&name, &change).map_err(Unchanged::Book)?;
                Result::<_, Unchanged>::Ok(changed)
            })
        });
        match changed.await {
            Err(_) => return self.busy(),
            Ok(Err(unchanged)) => {
                log::warn!(target: "tapstack::http", "the password of {account:?} is not changed: {unchanged}");
                return self.broken();
            }
            Ok(Ok(())) => {}
        }
        log::info!(target: "tapstack::http", "{}: {account:?} has another password", self.asker.peer);
        let mark = entrance.verifier().accounts().mark(account).unwrap_or_default();
        match self.open(account, mark).await {
            Ok(token) => {
                let mut response = go_to(&self.path("?done=password"));
                Cookie::Session.set(&token, response.headers_mut());
                response
            }
            Err(trouble) => self.trouble(&trouble),
        }
    }
}

impl fmt::Display for Unchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unchanged::Book(error) => error.fmt(f),
            Unchanged::Account(error) => error.fmt(f),
        }
    }
}

fn write_session(out: &mut String, session: &Login, is_own: bool) -> fmt::Result {
    let agent: String = session.agent.chars().take(AGENT).collect();
    let agent = if agent.is_empty() { "unknown" } else { &agent };
    let own = if is_own { " <strong>(this one)</strong>" } else { "" };
    writeln!(
        out,
        "<tr><td>{}{own}</td><td>{}</td><td class=\"when\">{}</td><td class=\"when\">{}</td></tr>",
        Escaped(&session.address),
        Escaped(agent),
        moment(session.opened_at),
        moment(session.used_at)
    )
}

/// A moment to the minute, as `2 Nov 2026, 09:00 UTC`.
pub(super) fn moment(since_1970: Duration) -> String {
    // `Sun, 06 Nov 1994 08:49:37 GMT`: the form is fixed (RFC 9110 §5.6.7).
    let secs = since_1970.as_secs().min(crate::application::http::answer::LAST_DATE);
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs));
    let (day, time) = (date.get(5..16).unwrap_or_default(), date.get(17..22).unwrap_or_default());
    format!("{}, {time} UTC", day.trim_start_matches('0'))
}
