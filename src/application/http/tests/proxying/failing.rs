//! Upstreams that break off, say nonsense, go away or take their time, and clients that do.

use super::*;

#[test]
fn an_answer_that_breaks_off_is_not_made_whole() {
    for (head, piece) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", "abc"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\nnonsense\r\n"),
    ] {
        let (mut house, backends) = passing(settings());
        let (client, end) = house.connect();
        house.say(&client, GET);
        backends.put(0, head.to_owned() + piece);
        backends.finish(0);
        let answer = house.say(&client, "");
        assert!(answer.contains("abc") && !answer.ends_with("0\r\n\r\n"), "{answer}");
        assert!(end.borrow().as_ref().unwrap().is_err() && client.is_finished());
    }
}

#[test]
fn what_is_no_answer_is_a_bad_gateway() {
    for answer in [
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ] {
        let (mut house, backends) = passing(settings());
        let (client, _end) = house.connect();
        house.say(&client, GET);
        backends.put(0, answer);
        // It is not the client's connection that is wrong.
        assert_eq!(codes(&house.say(&client, "")), [502], "{answer}");
        assert_eq!(codes(&house.say(&client, "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")), [200]);
        assert!(backends.is_closed(0));
    }
    let (mut house, backends) = passing(settings());
    let (client, _end) = house.connect();
    house.say(&client, GET);
    backends.put(0, "HTTP/1.1 100 Continue\r\n\r\n".repeat(17));
    assert_eq!(codes(&house.say(&client, "")), [502]);
}

#[test]
fn a_connection_that_waited_and_went_is_replaced_for_what_may_be_repeated() {
    let (mut house, backends) = passing(settings());
    let (client, _end) = house.connect();
    house.say(&client, GET);
    backends.put(0, OK);
    house.say(&client, "");
    // It goes when the request is on its way.
    house.say(&client, GET);
    assert_eq!(backends.count(), 1);
    backends.finish(0);
    assert_eq!(house.say(&client, ""), "");
    assert_eq!(backends.count(), 2);
    backends.put(1, OK);
    assert_eq!(codes(&house.say(&client, "")), [200]);
    // One that went before is not even tried.
    backends.finish(1);
    house.bench.run();
    assert!(backends.is_closed(1));
    house.say(&client, GET);
    assert_eq!(backends.count(), 3);
    // Once something came, the request is not repeated.
    backends.put(2, "HTTP/1.1 2");
    backends.finish(2);
    assert_eq!(codes(&house.say(&client, "")), [502]);
    assert_eq!(backends.count(), 3);
}

#[test]
fn what_may_not_be_repeated_has_a_connection_of_its_own_and_is_asked_once() {
    let (mut house, backends) = passing(settings());
    let (client, _end) = house.connect();
    house.say(&client, GET);
    backends.put(0, OK);
    house.say(&client, "");
    house.say(&client, "POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(backends.count(), 2);
    assert!(backends.text(1).ends_with("\r\ncontent-length: 0\r\n\r\n"));
    backends.finish(1);
    assert_eq!(codes(&house.say(&client, "")), [502]);
    assert_eq!(backends.count(), 2);
}

fn two() -> Settings {
    let to = ["http://192.0.2.8:8080", "http://192.0.2.9:8080"].map(|to| to.parse().unwrap());
    Settings { to: to.into(), kept: 0, ..settings() }
}

#[test]
fn upstreams_have_their_turns_and_another_steps_in_for_one_that_fails() {
    let (mut house, backends) = passing(two());
    let (client, _end) = house.connect();
    let ask = |house: &mut House, request: &str| {
        let before = backends.count();
        let mut answer = house.say(&client, request);
        if backends.count() > before {
            backends.put(before, OK);
        }
        answer.push_str(&house.say(&client, ""));
        (status(&answer), (before..backends.count()).map(|index| backends.address(index)).collect::<Vec<_>>())
    };
    assert_eq!(ask(&mut house, GET), (200, vec![at(8)]));
    assert_eq!(ask(&mut house, GET), (200, vec![at(9)]));
    // Nothing was said where nobody was reached: whatever it is goes to the next.
    backends.fate(8, Some(Fate::Refused));
    let post = "POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(ask(&mut house, post), (200, vec![at(9)]));
    assert_eq!(ask(&mut house, GET), (200, vec![at(9)]));
    assert_eq!(ask(&mut house, GET), (200, vec![at(9)]));
    // Three failures, also with others between them: it is out, and tried again when the time is over.
    assert_eq!(ask(&mut house, GET), (200, vec![at(9)]));
    assert_eq!(ask(&mut house, GET), (200, vec![at(9)]));
    backends.fate(8, None);
    assert_eq!([ask(&mut house, GET).1, ask(&mut house, GET).1], [[at(9)], [at(9)]]);
    house.bench.pass(Duration::from_secs(11));
    let asked: Vec<_> = (0..2).flat_map(|_| ask(&mut house, GET).1).collect();
    assert!(asked.contains(&at(8)) && asked.contains(&at(9)));
    // With nobody there it is a bad gateway, and the connection goes on.
    backends.fate(8, Some(Fate::Refused));
    backends.fate(9, Some(Fate::Refused));
    assert_eq!(ask(&mut house, GET), (502, vec![]));
    assert_eq!(status(&house.ask("GET /a.txt", "")), 200);
}

#[test]
fn a_request_that_is_lost_goes_to_one_other_if_it_may() {
    let (mut house, backends) = passing(Settings {
        to: ["7", "8", "9"].map(|last| format!("http://192.0.2.{last}:8080").parse().unwrap()).into(),
        kept: 0,
        ..settings()
    });
    let (client, _end) = house.connect();
    house.say(&client, GET);
    backends.finish(0);
    assert_eq!(house.say(&client, ""), "");
    backends.finish(1);
    assert_eq!(codes(&house.say(&client, "")), [502]);
    assert_eq!(backends.count(), 2);
}

#[test]
fn an_upstream_has_so_much_time_for_each_step() {
    let (mut house, backends) = passing(settings());
    let (client, end) = house.connect();
    backends.fate(9, Some(Fate::Silent));
    house.say(&client, GET);
    house.bench.pass(Duration::from_millis(4_900));
    assert_eq!(client.text(), "");
    house.bench.pass(Duration::from_millis(200));
    assert_eq!(codes(&client.text()), [504]);
    backends.fate(9, None);
    house.say(&client, GET);
    house.bench.pass(Duration::from_secs(59));
    assert_eq!(client.text(), "");
    house.bench.pass(Duration::from_secs(2));
    assert_eq!(codes(&client.text()), [504]);
    assert!(backends.is_closed(0));
    // A body may take as long as it likes, as long as something of it comes.
    house.say(&client, GET);
    backends.put(1, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..10 {
        backends.put(1, "3\r\none\r\n");
        house.bench.pass(Duration::from_secs(59));
        assert!(client.text().ends_with("3\r\none\r\n"));
    }
    house.bench.pass(Duration::from_secs(2));
    assert!(client.is_finished() && end.borrow().as_ref().unwrap().is_err());
}

#[test]
fn an_upstream_that_takes_nothing_is_given_up() {
    let (mut house, backends) = passing(settings());
    let (client, _end) = house.connect();
    house.say(&client, "POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
    client.put("a".repeat(400_000));
    house.bench.pass(Duration::from_secs(61));
    let answer = client.text();
    assert_eq!((status(&answer), header(&answer, "connection")), (504, Some("close")));
    assert!(backends.is_closed(0));
}

#[test]
fn an_answer_that_comes_before_the_body_ends_it() {
    let (mut house, backends) = passing(settings());
    let (client, _end) = house.connect();
    let ask = "POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\nExpect: 100-continue\r\n\r\n";
    // The client is told to go on only when we want more of it.
    assert_eq!(house.say(&client, ask), "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(!backends.text(0).contains("expect"));
    client.put("a".repeat(1_000));
    house.bench.run();
    backends.put(0, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let answer = house.say(&client, "");
    assert_eq!((status(&answer), body(&answer), header(&answer, "connection")), (403, "no", Some("close")));
    house.bench.run();
    assert!(backends.is_closed(0));
}

#[test]
fn a_body_is_bounded_whether_its_length_is_said_or_not() {
    let (mut house, backends) = passing(Settings { body_limit: 10, ..settings() });
    assert_eq!(status(&house.ask_with("POST /app/", "Content-Length: 11\r\n", "")), 413);
    assert_eq!(backends.count(), 0);
    let answer =
        house.ask_with("POST /app/", "Transfer-Encoding: chunked\r\n", "a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n");
    assert_eq!((status(&answer), header(&answer, "connection")), (413, Some("close")));
    assert!(backends.is_closed(0));
    assert!(!backends.text(0).ends_with("0\r\n\r\n"));
}

#[test]
fn a_client_that_goes_takes_its_request_with_it() {
    let (mut house, backends) = passing(settings());
    // While the answer is waited for.
    let (client, end) = house.connect();
    house.say(&client, GET);
    drop(client);
    house.bench.run();
    assert!(backends.is_closed(0) && end.borrow().is_some());
    // While its body is waited for.
    let (client, _) = house.connect();
    house.say(&client, GET);
    backends.put(1, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    house.say(&client, "");
    drop(client);
    house.bench.run();
    assert!(backends.is_closed(1));
    // While the body of the request comes, which is not to look whole.
    let (client, _) = house.connect();
    house.say(&client, "POST /app/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    drop(client);
    house.bench.run();
    assert!(backends.is_closed(2) && !backends.text(2).ends_with("0\r\n\r\n"));
    // One that only says the next thing early is there.
    let (client, _) = house.connect();
    house.say(&client, GET.to_owned() + "GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    backends.put(3, OK);
    assert_eq!(codes(&house.say(&client, "")), [200, 200]);
}

#[test]
fn connections_are_bounded_and_kept_for_a_time() {
    let (mut house, backends) = passing(Settings { connections: 2, kept: 1, ..settings() });
    let clients = [(); 3].map(|()| house.connect().0);
    for client in &clients {
        house.say(client, GET);
    }
    assert_eq!(backends.count(), 2);
    house.bench.run();
    // The third had none.
    let (client, _) = house.connect();
    assert_eq!(codes(&house.say(&client, GET)), [503]);
    backends.put(0, OK);
    backends.put(1, OK);
    house.bench.run();
    assert!(backends.is_closed(0) != backends.is_closed(1), "one is kept");
    house.bench.pass(Duration::from_secs(31));
    assert!(backends.is_closed(0) && backends.is_closed(1));
    // One that waits makes room for what can't have it.
    let (mut house, backends) = passing(Settings { connections: 1, ..settings() });
    let (client, _end) = house.connect();
    house.say(&client, GET);
    backends.put(0, OK);
    house.say(&client, "");
    house.say(&client, "POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    backends.put(1, OK);
    assert_eq!(codes(&house.say(&client, "")), [200]);
    assert!(backends.is_closed(0));
    // None is left when the service ends.
    house.shutdown.ask();
    house.bench.run();
    assert!(backends.is_closed(1));
}
