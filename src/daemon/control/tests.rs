//! The socket's file, and clients good and bad.

use super::*;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream as StdStream;

/// What a request asks to be shown.
fn what(request: Request) -> String {
    match request {
        Request::Show(what) => what,
        Request::Reload => "reload".into(),
    }
}

struct Fixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
    poll: mio::Poll,
    socket: ControlSocket,
    /// What is not answered yet.
    later: Vec<Ticket>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let poll = mio::Poll::new().unwrap();
        let socket = ControlSocket::bind(&path, poll.registry(), Token(5)).unwrap();
        Fixture { _folder: folder, path, poll, socket, later: Vec::new() }
    }

    /// Handles what is there to handle.
    fn turn(&mut self) {
        let mut events = mio::Events::with_capacity(16);
        self.poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
        for event in &events {
            if event.token() == Token(5) {
                self.socket.accept(self.poll.registry(), Instant::ZERO);
            } else {
                assert!(self.socket.owns(event.token()));
                let later = &mut self.later;
                let echo = |ticket, request: Request| match what(request).as_str() {
                    "long" => Some(Response::Ok("x".repeat(4 << 20).into())),
                    "later" => {
                        later.push(ticket);
                        None
                    }
                    what => Some(Response::Ok(what.into())),
                };
                self.socket.serve(event.token(), Instant::ZERO, echo);
            }
        }
    }
}

#[test]
fn an_answer_may_come_later_and_what_was_asked_since_is_answered_after_it() {
    let mut fixture = Fixture::new();
    let mut client = StdStream::connect(&fixture.path).unwrap();
    client.write_all(b"{\"show\":\"later\"}\n{\"show\":\"routes\"}\n").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    for _ in 0..3 {
        fixture.turn();
    }
    let [ticket] = fixture.later[..] else { panic!("{:?}", fixture.later) };
    assert!(fixture.socket.awaits(ticket));
    let echo = |_, request: Request| Some(Response::Ok(what(request).into()));
    fixture.socket.answer(ticket, &Response::Ok("at last".into()), Instant::ZERO, echo);
    assert!(!fixture.socket.awaits(ticket), "it is answered once");
    let lines: Vec<String> = BufReader::new(client).lines().map(Result::unwrap).collect();
    assert_eq!(lines, ["{\"ok\":\"at last\"}", "{\"ok\":\"routes\"}"]);
}

#[test]
fn nobody_awaits_the_answer_to_a_client_that_is_gone() {
    let mut fixture = Fixture::new();
    let mut client = StdStream::connect(&fixture.path).unwrap();
    client.write_all(b"{\"show\":\"later\"}\n").unwrap();
    for _ in 0..3 {
        fixture.turn();
    }
    let ticket = fixture.later[0];
    fixture.socket.handle_timeout(Instant::ZERO + PATIENCE);
    assert!(!fixture.socket.awaits(ticket));
    fixture.socket.answer(ticket, &Response::Ok("too late".into()), Instant::ZERO, |_, _| None);
}

#[test]
fn a_request_is_answered_and_owner_and_group_may_ask() {
    let mut fixture = Fixture::new();
    assert_eq!(fs::metadata(&fixture.path).unwrap().permissions().mode() & 0o777, 0o660);
    let path = fixture.path.clone();
    let asker = std::thread::spawn(move || ask(&path, &Request::Show("routes".into())));
    while !asker.is_finished() {
        fixture.turn();
    }
    assert_eq!(asker.join().unwrap().unwrap(), "routes");
}

#[test]
fn a_long_answer_is_sent_as_the_client_takes_it() {
    let mut fixture = Fixture::new();
    let path = fixture.path.clone();
    let asker = std::thread::spawn(move || ask(&path, &Request::Show("long".into())));
    while !asker.is_finished() {
        fixture.turn();
    }
    assert_eq!(asker.join().unwrap().unwrap().as_str().unwrap().len(), 4 << 20);
}

#[test]
fn what_is_not_understood_is_answered_with_an_error() {
    let mut fixture = Fixture::new();
    let mut client = StdStream::connect(&fixture.path).unwrap();
    client.write_all(b"{\"destroy\":1}\nnot json\n").unwrap();
    for _ in 0..3 {
        fixture.turn();
    }
    let lines: Vec<String> = BufReader::new(client).lines().take(2).map(Result::unwrap).collect();
    assert!(lines[0].contains("unknown variant `destroy`"), "{}", lines[0]);
    assert!(lines[1].contains("not understood"), "{}", lines[1]);
}

#[test]
fn a_client_that_sends_too_much_or_waits_too_long_is_let_go() {
    let mut fixture = Fixture::new();
    let mut talker = StdStream::connect(&fixture.path).unwrap();
    let idler = StdStream::connect(&fixture.path).unwrap();
    talker.write_all(&vec![b'x'; limits::CONTROL_REQUEST + 1]).unwrap();
    for _ in 0..3 {
        fixture.turn();
    }
    assert_eq!(fixture.socket.clients.iter().flatten().count(), 1);
    assert_eq!(fixture.socket.deadline(), Some(Instant::ZERO + PATIENCE));
    fixture.socket.handle_timeout(Instant::ZERO + PATIENCE);
    assert_eq!(fixture.socket.deadline(), None);
    drop(idler);
}

#[test]
fn more_clients_than_there_is_room_for_are_turned_away() {
    let mut fixture = Fixture::new();
    let clients: Vec<_> =
        (0..limits::CONTROL_CLIENTS + 3).map(|_| StdStream::connect(&fixture.path).unwrap()).collect();
    fixture.turn();
    assert_eq!(fixture.socket.clients.iter().flatten().count(), limits::CONTROL_CLIENTS);
    drop(clients);
    fixture.turn();
    fixture.turn();
    assert_eq!(fixture.socket.clients.iter().flatten().count(), 0);
}

#[test]
fn the_socket_of_a_dead_daemon_is_replaced_and_that_of_a_live_one_is_not() {
    let mut fixture = Fixture::new();
    let complaint = bind(&fixture.path).unwrap_err().to_string();
    assert!(complaint.contains("another tapstack listens there: stop it first"), "{complaint}");
    // A daemon that was killed leaves its socket behind.
    let path = fixture.path.with_file_name("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert!(bind(&path).is_ok());
    // And one that stopped in order does not.
    fixture.turn();
    let path = fixture.path.clone();
    drop(fixture.socket);
    assert!(!path.exists());
}

#[test]
fn a_file_in_the_way_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    fs::write(&path, "precious").unwrap();
    assert!(bind(&path).unwrap_err().to_string().contains("no socket"));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn asking_where_nobody_listens_says_what_to_do() {
    let complaint = ask(Path::new("/nowhere/x.sock"), &Request::Show("routes".into())).unwrap_err();
    assert_eq!(complaint.status(), 1);
    assert!(complaint.to_string().contains("is it running?"), "{complaint}");
}
