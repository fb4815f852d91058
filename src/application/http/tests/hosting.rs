//! Virtual hosts and what each of them has: redirects, lists, fall-backs, error pages, fields, other origins.

use super::*;
use http::header::{CONTENT_SECURITY_POLICY, HeaderName, SERVER};
use http::{HeaderValue, StatusCode};

/// A site whose default host is `make` of a root with some files.
fn with_host(make: impl FnOnce(Root) -> Host) -> House {
    with_hosts(|root| Hosts { default: make(root), ..Hosts::default() })
}

fn with_hosts(make: impl FnOnce(Root) -> Hosts) -> House {
    let mut house = house();
    let hosts = make(Root::open(&house.www()).unwrap());
    house.site = Rc::new(house.anew(hosts));
    house
}

#[test]
fn each_name_has_its_own_files_and_the_default_takes_the_rest() {
    let other = TempDir::new().unwrap();
    fs::write(other.path().join("a.txt"), "other").unwrap();
    let mut house = with_hosts(|root| {
        let host = Host { root: Some(Root::open(other.path()).unwrap()), ..Host::default() };
        Hosts { default: Host { root: Some(root), ..Host::default() }, named: [("b.example".into(), host)].into() }
    });
    for (host, target, expected) in [
        ("b.example", "/a.txt", "other"),
        ("B.EXAMPLE:8080", "/a.txt", "other"),
        ("a.example", "/a.txt", "0123456789"),
        ("192.0.2.2", "/a.txt", "0123456789"),
        ("a.example", "http://b.example/a.txt", "other"),
        ("b.example", "http://a.example/a.txt", "0123456789"),
    ] {
        let answer = house.raw(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(body(&answer), expected, "{host} {target}");
    }
    assert_eq!(body(&house.raw("GET /a.txt HTTP/1.0\r\n\r\n")), "0123456789");
}

#[test]
fn what_is_elsewhere_is_said_before_anything_is_looked_for() {
    let mut house = with_host(|root| {
        let redirect = |from, to, status| Redirect::new(from, to, StatusCode::from_u16(status).unwrap());
        let redirects = vec![redirect("/a.txt", "/b.txt", 302), redirect("/old/*", "https://{host}/new/*", 308)];
        Host { root: Some(root), redirects, ..Host::default() }
    });
    let answer = house.ask("GET /a.txt?x", "");
    assert_eq!((status(&answer), header(&answer, "location")), (302, Some("/b.txt?x")));
    let answer = house.ask("HEAD /old/b/c", "");
    assert_eq!((status(&answer), header(&answer, "location")), (308, Some("https://a/new/b/c")));
    // The body of what is sent elsewhere is read, and the connection goes on.
    let (pipe, _end) = house.connect();
    let post = "POST /old/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(house.say(&pipe, format!("{post}{post}")).matches("HTTP/1.1 308").count(), 2);
}

#[test]
fn the_first_index_that_is_there_is_shown() {
    let mut house = with_host(|root| {
        let index = vec!["index.htm".to_owned(), "a.txt".to_owned(), "index.html".to_owned()];
        Host { root: Some(root.in_manner(Manner { index, ..Manner::default() })), ..Host::default() }
    });
    assert_eq!(body(&house.ask("GET /", "")), "0123456789");
    assert_eq!(body(&house.ask("GET /sub%20dir/", "")), "sub");
}

fn listed() -> House {
    with_host(|root| {
        let root = root.in_manner(Manner { index: vec![], listing: true, ..Manner::default() });
        Host { root: Some(root), ..Host::default() }
    })
}

#[test]
fn a_folder_shows_what_is_in_it_safely() {
    let mut house = listed();
    house.write("<b>&\"'.txt", b"x");
    house.write("javascript:alert(1)", b"x");
    house.write(".hidden", b"x");
    std::os::unix::fs::symlink("/etc/passwd", house.www().join("link")).unwrap();
    let page = house.ask("GET /", "");
    assert_eq!((status(&page), header(&page, "content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(header(&page, "content-security-policy"), Some("default-src 'none'; style-src 'unsafe-inline'"));
    let text = body(&page);
    assert!(text.contains("<a href=\"./%3Cb%3E%26%22%27.txt\">&lt;b&gt;&amp;&quot;&#39;.txt</a>"), "{text}");
    assert!(text.contains("<a href=\"./javascript%3Aalert%281%29\">javascript:alert(1)</a>"), "{text}");
    assert!(text.contains("<a href=\"./sub%20dir/\">sub dir/</a>"), "{text}");
    assert!(!text.contains("hidden") && !text.contains("link") && !text.contains("../"), "{text}");
    assert!(text.find("sub dir").unwrap() < text.find("a.txt").unwrap(), "folders come first");
    assert!(body(&house.ask("GET /sub%20dir/", "")).contains("<h1>/sub dir/</h1>"));
    assert_eq!(body(&house.ask("HEAD /", "")), "");
    assert_eq!(status(&house.ask("DELETE /", "")), 405);
    assert_eq!(status(&house.ask("GET /a.txt/", "")), 404, "a file is no folder");
    assert_eq!(status(&house.ask("GET /.git/", "")), 404);
}

#[test]
fn a_list_is_json_for_who_asks_for_it() {
    let mut house = listed();
    for (accept, is_json) in [
        ("application/json", true),
        ("application/json;q=0.9, text/plain", true),
        ("text/html, application/json", false),
        ("*/*", false),
    ] {
        let answer = house.ask("GET /", &format!("Accept: {accept}\r\n"));
        assert_eq!(header(&answer, "content-type").unwrap().starts_with("application/json"), is_json, "{accept}");
        assert_eq!(header(&answer, "vary"), Some("accept"));
        if is_json {
            let list: Value = serde_json::from_str(body(&answer)).unwrap();
            assert_eq!(list[0]["name"], "sub dir");
            assert_eq!((&list[1]["name"], &list[1]["size"]), (&json!("a.txt"), &json!(10)));
        }
    }
}

#[test]
fn where_there_is_no_file_pages_that_route_by_themselves_get_theirs() {
    let mut house = with_host(|root| Host { root: Some(root), fallback: Some("index.html".into()), ..Host::default() });
    for path in ["/somewhere", "/some/where/", "/index.html"] {
        let answer = house.ask(&format!("GET {path}"), "");
        assert_eq!((status(&answer), body(&answer)), (200, "<p>hello"), "{path}");
    }
    assert_eq!(status(&house.ask("POST /somewhere", "")), 404);
    assert_eq!(status(&house.ask("GET /-/somewhere.json", "")), 404, "what is ours is not theirs");
    assert_eq!(status(&house.ask("GET /a%00", "")), 400);
}

#[test]
fn an_error_has_its_page_and_keeps_its_status_and_fields() {
    let mut house = with_host(|root| Host {
        root: Some(root),
        error_pages: vec![
            (StatusCode::NOT_FOUND, "index.html".into()),
            (StatusCode::METHOD_NOT_ALLOWED, "gone".into()),
        ],
        ..Host::default()
    });
    let answer = house.ask("GET /missing", "");
    assert_eq!((status(&answer), body(&answer)), (404, "<p>hello"));
    assert_eq!(header(&answer, "content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(header(&answer, "etag"), None);
    assert_eq!(status(&house.ask("HEAD /missing", "")), 404);
    let answer = house.ask("PUT /a.txt", "");
    assert_eq!((status(&answer), header(&answer, "allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn every_answer_has_the_fields_of_its_host_unless_it_says_otherwise() {
    let mut house = with_host(|root| {
        let field = |name: HeaderName, value| (name, HeaderValue::from_static(value));
        Host {
            root: Some(root),
            headers: vec![
                field(HeaderName::from_static("x-own"), "yes"),
                field(CONTENT_SECURITY_POLICY, "frame-ancestors 'self'"),
            ],
            secure_headers: vec![field(SERVER, "only over TLS")],
            ..Host::default()
        }
    });
    for (line, expected) in [("GET /a.txt", 200), ("GET /missing", 404), ("OPTIONS *", 204), ("PROPFIND /", 501)] {
        let answer = house.ask(line, "");
        assert_eq!((status(&answer), header(&answer, "x-own")), (expected, Some("yes")), "{line}");
        assert_eq!(header(&answer, "content-security-policy"), Some("frame-ancestors 'self'"));
        assert!(!answer.contains("only over TLS"));
    }
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    assert_eq!(header(&house.ask("GET /-/", ""), "content-security-policy"), Some(policy));
}

#[test]
fn pages_of_other_origins_may_read_what_they_are_allowed_to() {
    let mut house = with_host(|root| {
        let cors = Cors { origins: vec!["https://app.example".into()], max_age: Duration::from_secs(60) };
        Host { root: Some(root), cors: Some(cors), ..Host::default() }
    });
    let answer = house.ask("GET /a.txt", "Origin: https://app.example\r\n");
    assert_eq!(header(&answer, "access-control-allow-origin"), Some("https://app.example"));
    assert!(answer.contains("vary: origin\r\n"), "{answer}");
    let answer = house.ask("GET /a.txt", "Origin: https://evil.example\r\n");
    assert_eq!((status(&answer), header(&answer, "access-control-allow-origin")), (200, None));
    let preflight = "Access-Control-Request-Method: PUT\r\n";
    let answer = house.ask("OPTIONS /a.txt", &format!("Origin: https://app.example\r\n{preflight}"));
    assert_eq!((status(&answer), header(&answer, "access-control-max-age")), (204, Some("60")));
    assert_eq!(header(&answer, "access-control-allow-methods"), Some("GET, HEAD, PUT, DELETE"));
    let answer = house.ask("OPTIONS /a.txt", &format!("Origin: https://evil.example\r\n{preflight}"));
    assert_eq!((status(&answer), header(&answer, "access-control-allow-methods")), (204, None));
    let mut house = with_host(|root| {
        let cors = Cors { origins: vec!["*".into()], max_age: Duration::ZERO };
        Host { root: Some(root), cors: Some(cors), ..Host::default() }
    });
    let answer = house.ask("GET /a.txt", "Origin: https://any.example\r\n");
    assert_eq!(header(&answer, "access-control-allow-origin"), Some("*"));
}
