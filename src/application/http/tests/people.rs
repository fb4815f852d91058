//! The pages of people: logins that last, forms, mail, passwords, roles; and what is refused.

use super::*;
use crate::application::mailbox::Mailboxes;
use crate::session::account_book::{AccountBook, Change, Entry};
use crate::session::accounts::{self, Accounts};
use crate::session::database::Database;
use crate::session::entrance::Entrance;
use crate::session::login::{Logins, Policy};
use crate::session::rights::{Rights, Service};
use crate::session::throttle::SharedThrottle;
use crate::session::verifier::Verifier;
use base64ct::{Base64, Encoding};
use std::sync::Arc;

/// A browser's cookies by their names.
#[derive(Clone, Default)]
struct Jar(Vec<(String, String)>);

impl Jar {
    fn field(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { String::new() } else { format!("Cookie: {}\r\n", pairs.join("; ")) }
    }

    fn keep(&mut self, answer: &str) {
        let head = answer.split("\r\n\r\n").next().unwrap();
        for set in head.lines().filter_map(|line| line.strip_prefix("set-cookie: ")) {
            assert!(set.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{set}");
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            assert!(name.starts_with("__Host-"), "{set}");
            self.0.retain(|(known, _)| known != name);
            if !set.contains("Max-Age=0") {
                self.0.push((name.into(), value.into()));
            }
        }
    }
}

struct Lounge {
    house: House,
    verifier: Verifier,
    database: Arc<Database>,
}

const LETTER: &str = "From: Bob <bob@example.org>\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\nContent-Type: multipart/mixed; boundary=b\n\n\
--b\nContent-Type: text/plain\n\n<b>hello</b>\n--b\nContent-Type: text/html; name=a.html\nContent-Disposition: attachment\n\n\
<script>x</script>\n--b--\n";

fn lounge() -> Lounge {
    let mut house = house();
    let mail = house.folder.path().join("mail/alice");
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(mail.join(folder)).unwrap();
    }
    fs::write(mail.join("new/1700000000.a"), LETTER).unwrap();
    fs::write(mail.join("new/1700000001.b"), "Subject: later\n\ntext\n").unwrap();
    fs::create_dir(house.www().join("staff")).unwrap();
    house.write("staff/a", b"secret");
    let database = Arc::new(Database::in_memory().unwrap());
    let made_at = Duration::from_secs(1);
    let mut known: Vec<(String, String)> = Vec::new();
    for (name, password) in [("alice", "wonderland"), ("bob", "builder"), ("carol", "mailonly")] {
        let hash = accounts::tests::cheap_hash(password);
        known.push((name.into(), hash.clone()));
        let entry = Entry {
            name: name.into(),
            password: hash,
            scram: None,
            is_locked: false,
            made_at,
            rights: Rights::default(),
        };
        AccountBook(&database).add(&entry).unwrap();
    }
    let staff = Rights { roles: vec!["staff".into()], services: None };
    let mail_only = Rights { roles: Vec::new(), services: Some(vec![Service::Pop3]) };
    let accounts = Accounts::new(known).unwrap().with_rights("bob", staff).with_rights("carol", mail_only);
    let verifier = Verifier::inline(accounts.with_book("alice"));
    let realm = |path: &str, by_form| Realm {
        path: PathPrefix::new(path),
        name: "staff".into(),
        accounts: Vec::new(),
        roles: vec!["staff".into()],
        by_form,
    };
    let host = Host {
        root: Some(Root::open(&house.www()).unwrap()),
        realms: vec![realm("/staff", true), realm("/sub dir", false), realm("/-/", true)],
        ..Host::default()
    };
    let clock = house.bench.clock();
    let throttle = SharedThrottle::default();
    let entrance = Entrance::new(clock.clone(), verifier.clone(), throttle, Random::from_seed(3), Service::Web);
    let login = Login::new(clock, entrance, Random::from_seed(2));
    let logins = Logins::new(Arc::clone(&database), Errands::inline(), Policy::default());
    let mailboxes = Mailboxes::new(house.folder.path().join("mail/{user}"));
    let pages = Pages::new("/-/account/", 443, logins, mailboxes);
    let hosts = Hosts { default: host, ..Hosts::default() };
    house.site = Rc::new(house.anew(hosts).with_login(login).with_pages(pages));
    Lounge { house, verifier, database }
}

impl Lounge {
    fn raw(&mut self, request: String) -> String {
        let (ours, theirs) = pipe(1 << 16);
        let (site, shutdown) = (self.house.site.clone(), self.house.shutdown.clone());
        let _end = self.house.bench.spawn(async move { serve_connection(theirs.encrypted(), site, &shutdown).await });
        self.house.say(&ours, request)
    }

    fn ask(&mut self, jar: &mut Jar, line: &str, headers: &str) -> String {
        let answer = self.raw(format!("{line} HTTP/1.1\r\nHost: a\r\n{}{headers}\r\n", jar.field()));
        jar.keep(&answer);
        answer
    }

    fn page(&mut self, jar: &mut Jar, path: &str) -> String {
        self.ask(jar, &format!("GET /-/account/{path}"), "")
    }

    fn post(&mut self, jar: &mut Jar, path: &str, headers: &str, form: &str) -> String {
        let length = form.len();
        let answer = self.raw(format!(
            "POST /-/account/{path} HTTP/1.1\r\nHost: a\r\n{}{headers}Content-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}\r\n\r\n{form}",
            jar.field()
        ));
        jar.keep(&answer);
        answer
    }

    /// Logs in as somebody; what was answered.
    fn log_in(&mut self, jar: &mut Jar, name: &str, password: &str) -> String {
        let page = self.page(jar, "login");
        self.post(jar, "login", "", &format!("word={}&name={name}&password={password}", word(&page)))
    }
}

/// The word of a page's first form.
fn word(page: &str) -> &str {
    let rest = page.split_once("name=\"word\" value=\"").unwrap_or_else(|| panic!("{page}")).1;
    rest.split('"').next().unwrap()
}

/// The path of the first message on a page, below that of the pages.
fn first_letter(list: &str) -> String {
    let rest = list.split_once("<td><a href=\"/-/account/mail/").unwrap_or_else(|| panic!("{list}")).1;
    format!("mail/{}", rest.split('"').next().unwrap())
}

#[test]
fn a_login_lasts_and_ends() {
    let (mut lounge, mut jar) = (lounge(), Jar::default());
    let answer = lounge.page(&mut jar, "mail/");
    let place = header(&answer, "location").unwrap().to_owned();
    assert_eq!((status(&answer), place.as_str()), (303, "/-/account/login?next=%2F%2D%2Faccount%2Fmail%2F"));
    assert_eq!(status(&lounge.log_in(&mut jar, "alice", "wrong")), 403);
    let answer = lounge.log_in(&mut jar, "alice", "wonderland");
    lounge.house.bench.pass(Duration::from_secs(2));
    assert_eq!(answer, "", "it stands in the queue");
    let answer = lounge.log_in(&mut jar, "alice", "wonderland");
    assert_eq!((status(&answer), header(&answer, "location")), (303, Some("/-/account/mail/")), "{answer}");
    assert_eq!(jar.0.len(), 1, "that of the form is gone");
    let list = lounge.page(&mut jar, "mail/");
    assert!(list.find("later").unwrap() < list.find("Grüße").unwrap(), "{list}");
    let answer = lounge.page(&mut jar, "login");
    assert_eq!((status(&answer), header(&answer, "location")), (303, Some("/-/account/mail/")), "no need to");
    let before = jar.clone();
    let answer = lounge.post(&mut jar, "logout", "", &format!("word={}", word(&list)));
    assert_eq!((status(&answer), header(&answer, "location")), (303, Some("/-/account/login")));
    assert!(jar.0.is_empty());
    assert_eq!(status(&lounge.page(&mut before.clone(), "mail/")), 303, "the token is worth nothing more");
}

#[test]
fn what_a_browser_brought_along_before_is_worth_nothing_after_a_login() {
    let (mut lounge, mut jar) = (lounge(), Jar::default());
    lounge.log_in(&mut jar, "bob", "builder");
    let bobs = jar.clone();
    let answer = lounge.page(&mut Jar::default(), "login");
    let mut both = Jar::default();
    both.keep(&answer);
    both.0.extend(bobs.0.clone());
    let form = format!("word={}&name=alice&password=wonderland", word(&answer));
    assert_eq!(status(&lounge.post(&mut both, "login", "", &form)), 303);
    assert_ne!(both.0, bobs.0);
    assert!(lounge.page(&mut both, "").contains("Account of alice"));
    assert_eq!(status(&lounge.page(&mut bobs.clone(), "")), 303, "it was closed");
}

#[test]
fn forms_of_others_are_refused() {
    let (mut lounge, mut jar) = (lounge(), Jar::default());
    let page = lounge.page(&mut jar, "login");
    let form = format!("word={}&name=alice&password=wonderland", word(&page));
    for (headers, form) in [
        ("Sec-Fetch-Site: cross-site\r\n", form.as_str()),
        ("Sec-Fetch-Site: same-site\r\n", &form),
        ("Origin: https://b\r\n", &form),
        ("Origin: null\r\n", &form),
        ("", "word=x&name=alice&password=wonderland"),
        ("", "name=alice&password=wonderland"),
    ] {
        let answer = lounge.post(&mut jar, "login", headers, form);
        assert_eq!(status(&answer), 403, "{headers} {form}");
        assert!(!jar.0.iter().any(|(name, _)| name == "__Host-tapstack"));
    }
    assert_eq!(status(&lounge.post(&mut Jar::default(), "login", "", &form)), 403, "without the cookie");
    let ours = "Sec-Fetch-Site: same-origin\r\nOrigin: https://a\r\n";
    assert_eq!(status(&lounge.post(&mut jar, "login", ours, &form)), 303);
    let letter = first_letter(&lounge.page(&mut jar, "mail/"));
    for path in ["logout", "logout-everywhere", "password", &format!("{letter}/delete")] {
        assert_eq!(status(&lounge.post(&mut jar, path, "", "word=x")), 403, "{path}");
        let word = word(&lounge.page(&mut jar, "")).to_owned();
        let answer = lounge.post(&mut jar, path, "Origin: https://b\r\n", &format!("word={word}"));
        assert_eq!(status(&answer), 403, "{path}");
    }
    assert_eq!(status(&lounge.page(&mut jar, &letter)), 200, "nothing was done");
}

#[test]
fn one_goes_on_to_where_one_came_from_and_nowhere_else() {
    for (next, expected) in [
        ("%2Fstaff%2Fa%3Fb", "/staff/a?b"),
        ("https%3A%2F%2Fevil.example%2F", "/-/account/mail/"),
        ("%2F%2Fevil.example%2F", "/-/account/mail/"),
        ("%2F%5Cevil.example%2F", "/-/account/mail/"),
        ("%2Fa%0D%0ASet-Cookie%3A%20x%3Dy", "/-/account/mail/"),
    ] {
        let (mut lounge, mut jar) = (lounge(), Jar::default());
        let page = lounge.page(&mut jar, &format!("login?next={next}"));
        assert!(!page.contains("evil"), "{page}");
        let form = format!("word={}&name=bob&password=builder&next={next}", word(&page));
        let answer = lounge.post(&mut jar, "login", "", &form);
        assert_eq!(header(&answer, "location"), Some(expected), "{answer}");
    }
}

#[test]
fn in_the_clear_they_lead_to_where_nobody_reads_along() {
    let mut lounge = lounge();
    let answer = lounge.house.ask("GET /-/account/mail/?page=2", "");
    let place = Some("https://a/-/account/mail/?page=2");
    assert_eq!((status(&answer), header(&answer, "location")), (307, place));
    let answer = lounge.house.ask_with("POST /-/account/login", "Content-Length: 3\r\n", "a=b");
    assert_eq!((status(&answer), header(&answer, "location")), (303, Some("https://a/-/account/login")));
    assert_eq!(header(&answer, "set-cookie"), None);
    // Nor does a session count there.
    let mut jar = Jar::default();
    lounge.log_in(&mut jar, "bob", "builder");
    assert_eq!(status(&lounge.house.ask("GET /staff/a", &jar.field())), 401);
    assert_eq!(status(&lounge.ask(&mut jar, "GET /staff/a", "")), 200);
}

#[test]
fn a_session_ends_with_the_right_to_it() {
    let (mut lounge, mut jar) = (lounge(), Jar::default());
    lounge.log_in(&mut jar, "alice", "wonderland");
    assert_eq!(status(&lounge.page(&mut jar, "")), 200);
    let without = |services| Rights { roles: Vec::new(), services: Some(services) };
    let accounts = Accounts::clone(&lounge.verifier.accounts());
    for (changed, expected) in [
        (accounts.clone().with_rights("alice", without(vec![Service::Pop3])), 303),
        (accounts.clone(), 200),
        (accounts.clone().with_password("alice", &accounts::tests::cheap_hash("other"), None).unwrap(), 303),
        (accounts.clone(), 200),
        (accounts::tests::cheap(&[("bob", "builder")]), 303),
        (accounts.clone(), 200),
    ] {
        lounge.verifier.replace(changed);
        assert_eq!(status(&lounge.page(&mut jar.clone(), "")), expected);
    }
    AccountBook(&lounge.database).change("alice", &Change::Lock(true)).unwrap();
    assert_eq!(status(&lounge.page(&mut jar, "")), 303);
    assert_eq!(status(&lounge.log_in(&mut Jar::default(), "carol", "mailonly")), 403, "she is for POP3 alone");
}

#[test]
fn a_session_is_over_after_two_hours_without_use() {
    let (mut lounge, mut jar) = (lounge(), Jar::default());
    lounge.log_in(&mut jar, "alice", "wonderland");
    lounge.house.bench.pass(Duration::from_secs(7_200));
    assert_eq!(status(&lounge.page(&mut jar, "")), 200);
    lounge.house.bench.pass(Duration::from_secs(7_201));
    assert_eq!(status(&lounge.page(&mut jar, "")), 303);
}

#[test]
fn guessing_is_made_to_wait_and_told_so() {
    let (mut lounge, mut jar) = (lounge(), Jar::default());
    let page = lounge.page(&mut jar, "login");
    let form = format!("word={}&name=alice&password=wrong", word(&page));
    for _ in 0..6 {
        lounge.post(&mut jar, "login", "", &form);
        lounge.house.bench.pass(Duration::from_secs(40));
    }
    // What one failure costs is half a minute by now: beyond a minute of queue nobody waits.
    for _ in 0..3 {
        lounge.post(&mut jar, "login", "", &form);
    }
    let answer = lounge.post(&mut jar, "login", "", &form);
    assert_eq!((status(&answer), header(&answer, "retry-after")), (429, Some("60")), "{answer}");
    assert!(answer.contains("Wait a minute"));
}

#[test]
fn a_message_is_read_and_its_file_is_kept_and_not_shown() {
    let (mut lounge, mut jar) = (lounge(), Jar::default());
    lounge.log_in(&mut jar, "alice", "wonderland");
    let list = lounge.page(&mut jar, "mail/");
    let second = list.rsplit_once("<a href=\"/-/account/mail/").unwrap().1.split('"').next().unwrap();
    let letter = format!("mail/{second}");
    let page = lounge.page(&mut jar, &letter);
    assert!(page.contains("<bdi>Grüße</bdi>") && page.contains("<pre>&lt;b&gt;hello&lt;/b&gt;</pre>"), "{page}");
    let policy = header(&page, "content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self'"));
    assert_eq!(
        ["cache-control", "x-content-type-options", "referrer-policy", "x-frame-options"]
            .map(|name| header(&page, name)),
        [Some("no-store"), Some("nosniff"), Some("same-origin"), Some("DENY")]
    );
    let answer = lounge.page(&mut jar, &format!("{letter}/part/1"));
    assert_eq!(body(&answer), "<script>x</script>");
    assert_eq!(header(&answer, "content-type"), Some("application/octet-stream"));
    let disposition = header(&answer, "content-disposition").unwrap();
    assert_eq!(disposition, "attachment; filename=\"a.html\"; filename*=UTF-8''a%2Ehtml");
    assert!(header(&answer, "content-security-policy").unwrap().contains("sandbox"));
    let answer = lounge.page(&mut jar, &format!("{letter}/source"));
    assert_eq!((body(&answer), header(&answer, "content-type")), (LETTER, Some("message/rfc822")));
    for path in [format!("{letter}/part/9"), format!("{letter}/part/x"), format!("{letter}/x"), "mail/x".into()] {
        assert_eq!(status(&lounge.page(&mut jar, &path)), 404, "{path}");
    }
    assert_eq!(status(&lounge.page(&mut jar, "mail")), 303);
    assert_eq!(status(&lounge.ask(&mut jar, "PUT /-/account/mail/", "")), 405);
}

#[test]
fn nobody_reads_what_is_of_another() {
    let (mut lounge, mut alice, mut bob) = (lounge(), Jar::default(), Jar::default());
    lounge.log_in(&mut alice, "alice", "wonderland");
    lounge.log_in(&mut bob, "bob", "builder");
    let letter = first_letter(&lounge.page(&mut alice, "mail/"));
    assert!(lounge.page(&mut bob, "mail/").contains("There is no mail here."));
    for path in [letter.clone(), format!("{letter}/source"), format!("{letter}/part/0"), format!("{letter}/delete")] {
        assert_eq!(status(&lounge.page(&mut alice, &path)), 200, "{path}");
        assert_eq!(status(&lounge.page(&mut bob, &path)), 404, "{path}");
    }
    let word = word(&lounge.page(&mut bob, "")).to_owned();
    assert_eq!(status(&lounge.post(&mut bob, &format!("{letter}/delete"), "", &format!("word={word}"))), 404);
    assert_eq!(status(&lounge.page(&mut alice, &letter)), 200);
}

#[test]
fn deleting_asks_first_and_what_is_gone_is_said_to_be() {
    let (mut lounge, mut jar) = (lounge(), Jar::default());
    lounge.log_in(&mut jar, "alice", "wonderland");
    let letter = first_letter(&lounge.page(&mut jar, "mail/"));
    let question = lounge.page(&mut jar, &format!("{letter}/delete"));
    assert!(question.contains("Delete this message?") && question.contains("later"));
    let form = format!("word={}", word(&question));
    let answer = lounge.post(&mut jar, &format!("{letter}/delete"), "", &form);
    assert_eq!((status(&answer), header(&answer, "location")), (303, Some("/-/account/mail/?done=delete")));
    let gone = lounge.page(&mut jar, &letter);
    assert!(status(&gone) == 404 && gone.contains("not here any more"), "{gone}");
    assert_eq!(status(&lounge.post(&mut jar, &format!("{letter}/delete"), "", &form)), 404);
    let mail = lounge.house.folder.path().join("mail/alice/new");
    assert_eq!(fs::read_dir(mail).unwrap().count(), 1);
}

#[test]
fn a_message_that_is_too_large_for_a_page_is_a_file() {
    let (mut lounge, mut jar) = (lounge(), Jar::default());
    let large = format!("Subject: large\n\n{}", "x".repeat(8 << 20));
    fs::write(lounge.house.folder.path().join("mail/alice/new/1800000000.c"), &large).unwrap();
    lounge.log_in(&mut jar, "alice", "wonderland");
    let letter = first_letter(&lounge.page(&mut jar, "mail/"));
    let page = lounge.page(&mut jar, &letter);
    assert!(page.contains("8.0 MiB, which is too much for a page") && page.len() < 10_000, "{page}");
    assert_eq!(body(&lounge.page(&mut jar, &format!("{letter}/source"))).len(), large.len());
}

#[test]
fn the_list_has_fifty_to_a_page() {
    let (mut lounge, mut jar) = (lounge(), Jar::default());
    for number in 0..60 {
        let name = format!("mail/alice/cur/18000000{number:02}.c:2,S");
        fs::write(lounge.house.folder.path().join(name), format!("Subject: number {number}\n\n")).unwrap();
    }
    lounge.log_in(&mut jar, "alice", "wonderland");
    let first = lounge.page(&mut jar, "mail/");
    assert_eq!(first.matches("<tr><td>").count(), 50);
    assert!(first.contains("number 59<") && first.contains("number 10<") && !first.contains("number 9<"));
    assert!(
        first.contains("Page 1 of 2") && first.contains("?page=2\" rel=\"next\"") && !first.contains("rel=\"prev\"")
    );
    let second = lounge.page(&mut jar, "mail/?page=2");
    assert!(second.matches("<tr><td>").count() == 12 && second.contains("?page=1\" rel=\"prev\""));
    for page in ["0", "x", "-1", "99999999999999999999", "7"] {
        assert_eq!(status(&lounge.page(&mut jar, &format!("mail/?page={page}"))), 200, "{page}");
    }
}

#[test]
fn a_password_is_changed_by_who_knows_it_and_ends_the_other_sessions() {
    let (mut lounge, mut jar, mut other) = (lounge(), Jar::default(), Jar::default());
    lounge.log_in(&mut jar, "alice", "wonderland");
    lounge.log_in(&mut other, "alice", "wonderland");
    assert_eq!(lounge.page(&mut jar, "").matches("192.0.2.7").count(), 2);
    let page = lounge.page(&mut jar, "password");
    let word = word(&page).to_owned();
    for (form, code) in [
        ("old=wonderland&new=short&again=short", 422),
        ("old=wonderland&new=looking-glass&again=looking-glas", 422),
        ("old=wrong&new=looking-glass&again=looking-glass", 403),
    ] {
        let answer = lounge.post(&mut jar, "password", "", &format!("word={word}&{form}"));
        assert_eq!(status(&answer), code, "{form}: {answer}");
        lounge.house.bench.pass(Duration::from_secs(3));
    }
    assert_eq!(status(&lounge.page(&mut other, "")), 200);
    let form = format!("word={word}&old=wonderland&new=looking-glass&again=looking-glass");
    let before = jar.clone();
    let answer = lounge.post(&mut jar, "password", "", &form);
    assert_eq!((status(&answer), header(&answer, "location")), (303, Some("/-/account/?done=password")), "{answer}");
    assert!(lounge.page(&mut jar, "?done=password").contains("Your password is changed"));
    assert_eq!(status(&lounge.page(&mut other, "")), 303);
    assert_eq!(status(&lounge.page(&mut before.clone(), "")), 303, "the token of before is none either");
    assert_eq!(status(&lounge.log_in(&mut Jar::default(), "alice", "looking-glass")), 303);
    let stored = AccountBook(&lounge.database).entries().unwrap().remove(0);
    assert!(Accounts::new([(stored.name, stored.password)]).unwrap().verify("alice", b"looking-glass"));
    // What the configuration says of an account is not the account's to change.
    let mut bob = Jar::default();
    lounge.log_in(&mut bob, "bob", "builder");
    assert!(lounge.page(&mut bob, "password").contains("one of the server's configuration"));
}

#[test]
fn logging_out_everywhere_ends_all_sessions() {
    let (mut lounge, mut jar, mut other) = (lounge(), Jar::default(), Jar::default());
    lounge.log_in(&mut jar, "alice", "wonderland");
    lounge.log_in(&mut other, "alice", "wonderland");
    let word = word(&lounge.page(&mut jar, "")).to_owned();
    assert_eq!(status(&lounge.post(&mut jar, "logout-everywhere", "", &format!("word={word}"))), 303);
    assert!(jar.0.is_empty());
    assert_eq!(status(&lounge.page(&mut other, "")), 303);
}

#[test]
fn a_realm_takes_a_session_and_its_role_and_shows_a_form_to_people() {
    let (mut lounge, mut alice, mut bob) = (lounge(), Jar::default(), Jar::default());
    let html = "Accept: text/html,*/*;q=0.8\r\n";
    let answer = lounge.ask(&mut Jar::default(), "GET /staff/a?b=c", html);
    let place = Some("/-/account/login?next=%2Fstaff%2Fa%3Fb%3Dc");
    assert_eq!((status(&answer), header(&answer, "location")), (303, place));
    // Programs are asked as ever, and so is everybody where the realm does not say otherwise.
    assert_eq!(status(&lounge.ask(&mut Jar::default(), "GET /staff/a", "Accept: */*\r\n")), 401);
    assert_eq!(status(&lounge.ask(&mut Jar::default(), "GET /sub%20dir/", html)), 401);
    lounge.log_in(&mut alice, "alice", "wonderland");
    lounge.log_in(&mut bob, "bob", "builder");
    for path in ["/staff/a", "/sub%20dir/", "/-/", "/-/state.json"] {
        assert_eq!(status(&lounge.ask(&mut alice, &format!("GET {path}"), html)), 403, "{path}");
        assert_eq!(status(&lounge.ask(&mut bob, &format!("GET {path}"), html)), 200, "{path}");
    }
    let basic = format!("Authorization: Basic {}\r\n", Base64::encode_string(b"bob:builder"));
    assert_eq!(status(&lounge.ask(&mut Jar::default(), "GET /staff/a", &basic)), 200);
    // A session that is over is nobody's, and a password beside it counts.
    let stale = format!("Cookie: __Host-tapstack={}\r\n", "A".repeat(43));
    assert_eq!(status(&lounge.ask(&mut Jar::default(), "GET /staff/a", &format!("{stale}{html}"))), 303);
    assert_eq!(status(&lounge.ask(&mut Jar::default(), "GET /staff/a", &format!("{stale}{basic}"))), 200);
    // Another site does not act by it.
    let length = "Content-Length: 0\r\n";
    let foreign = format!("{length}Sec-Fetch-Site: cross-site\r\n");
    assert_eq!(status(&lounge.ask(&mut bob, "POST /-/sink", &foreign)), 401);
    assert_eq!(status(&lounge.ask(&mut bob, "POST /-/sink", length)), 200);
}

#[test]
fn without_any_account_there_are_no_pages() {
    let mut lounge = lounge();
    lounge.verifier.replace(accounts::tests::cheap(&[]));
    for path in ["/-/account/login", "/-/account/", "/-/"] {
        let answer = lounge.ask(&mut Jar::default(), &format!("GET {path}"), "Accept: text/html\r\n");
        assert_eq!(status(&answer), 401, "{path} is in the realm of the state page, which leads nowhere");
    }
}

#[test]
fn what_is_no_form_is_refused() {
    let (mut lounge, mut jar) = (lounge(), Jar::default());
    let head = |kind: &str, length: usize| {
        format!("POST /-/account/login HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n")
    };
    let answer = lounge.raw(head("text/plain", 3) + "a=b");
    assert_eq!(status(&answer), 413);
    let answer = lounge.raw(head("application/x-www-form-urlencoded", 20_000) + &"a".repeat(20_000));
    assert_eq!(status(&answer), 413);
    assert_eq!(status(&lounge.page(&mut jar, "style.css")), 200);
    assert!(lounge.page(&mut jar, "login").contains("<html lang=\"en\">"));
}
