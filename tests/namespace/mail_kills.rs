//! The daemon is killed at random moments while mail comes in and is fetched. What was acknowledged is there, once.
//!
//! Twenty kills; `TAPSTACK_MAIL_KILLS=200` (`scripts/soak --mail-kills`) makes it so many.

use crate::lab::{DAEMON, Daemon, Lab, Namespace, SOON};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const SENDERS: u64 = 3;

/// What the clients were told.
#[derive(Default)]
struct Told {
    sent: AtomicU64,
    acknowledged: Mutex<BTreeSet<u64>>,
    /// QUIT was answered with +OK.
    deleted: Mutex<BTreeSet<u64>>,
    /// QUIT was sent, and no answer came.
    perhaps: Mutex<BTreeSet<u64>>,
    is_over: AtomicBool,
}

/// One connection in lines.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(namespace: &Namespace, port: u16) -> io::Result<Client> {
        let stream = namespace.try_connect(&format!("{DAEMON}:{port}"))?;
        stream.set_read_timeout(Some(Duration::from_millis(1_500)))?;
        let mut client = Client(BufReader::new(stream));
        client.line()?;
        Ok(client)
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line)
    }

    fn good(&mut self) -> io::Result<String> {
        let line = self.line()?;
        if line.starts_with("+OK") || line.starts_with('2') || line.starts_with("354") {
            Ok(line)
        } else {
            Err(io::Error::other(line))
        }
    }

    fn ask(&mut self, text: &str) -> io::Result<String> {
        self.put(&format!("{text}\r\n"))?;
        self.good()
    }
}

/// Sends messages, each once, whatever becomes of it.
fn send(namespace: &Namespace, told: &Told) -> io::Result<()> {
    let mut client = Client::connect(namespace, 25)?;
    client.ask("HELO client.example")?;
    while !told.is_over.load(Ordering::Relaxed) {
        let number = told.sent.fetch_add(1, Ordering::Relaxed);
        // Some are longer than what is kept in memory.
        let lines = if number.is_multiple_of(10) { 3_000 } else { 20 };
        client.put("MAIL FROM:<bob@example.com>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n")?;
        for _ in 0..3 {
            client.good()?;
        }
        client.put(&format!(
            "Subject: number {number} of {lines}\r\n\r\n{}end\r\n.\r\n",
            ("x".repeat(70) + "\r\n").repeat(lines)
        ))?;
        client.good()?;
        told.acknowledged.lock().unwrap().insert(number);
    }
    Ok(())
}

/// Fetches some mail and deletes it; every third time without QUIT.
fn fetch(namespace: &Namespace, told: &Told, round: u64) -> io::Result<()> {
    let mut client = Client::connect(namespace, 110)?;
    client.ask("USER alice")?;
    let welcome = client.ask("PASS wonderland")?;
    let count: usize = welcome.split(' ').nth(1).and_then(|count| count.parse().ok()).unwrap();
    let mut marked = BTreeSet::new();
    for message in 1..=count.min(20) {
        client.ask(&format!("TOP {message} 0"))?;
        loop {
            let line = client.line()?;
            if let Some(rest) = line.strip_prefix("Subject: number ") {
                marked.insert(rest.split(' ').next().unwrap().parse::<u64>().unwrap());
            }
            if line == ".\r\n" {
                break;
            }
        }
        client.ask(&format!("DELE {message}"))?;
    }
    if round.is_multiple_of(3) {
        return Ok(());
    }
    told.perhaps.lock().unwrap().extend(&marked);
    client.ask("QUIT")?;
    told.perhaps.lock().unwrap().retain(|number| !marked.contains(number));
    told.deleted.lock().unwrap().extend(marked);
    Ok(())
}

/// Does `work` again and again, whatever becomes of it.
fn go_on(told: &Told, mut work: impl FnMut(u64) -> io::Result<()>) {
    for round in 1.. {
        if told.is_over.load(Ordering::Relaxed) {
            return;
        }
        if work(round).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How often each message is in the Maildir.
fn found(root: &Path) -> BTreeMap<u64, u32> {
    let mut found = BTreeMap::new();
    for folder in ["new", "cur"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let subject = text.lines().find_map(|line| line.strip_prefix("Subject: number ")).unwrap();
            let (number, lines) = subject.split_once(" of ").unwrap();
            assert_eq!(text.matches("xxx\n").count().to_string(), lines, "half a message");
            assert!(text.ends_with("\nend\n"), "half a message");
            *found.entry(number.parse().unwrap()).or_insert(0) += 1;
        }
    }
    found
}

#[test]
fn every_mail_that_was_acknowledged_survives_kills_exactly_once() {
    let kills: u64 = std::env::var("TAPSTACK_MAIL_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let namespace = Namespace::new();
    let config = Lab::config() + "[smtp]\ndomains = [\"example.org\"]\nclient_rate = 0\n";
    let mut daemon = Daemon::start(&namespace, "daemon", &config, &[]);
    let told = Told::default();
    thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| go_on(&told, |_| send(&namespace, &told)));
        }
        scope.spawn(|| go_on(&told, |round| fetch(&namespace, &told, round)));
        for kill in 0..kills {
            // Any moment is as good as another; these are spread.
            thread::sleep(Duration::from_millis(60 + kill * 97 % 240));
            daemon.process().signal("KILL");
            daemon.process().wait(SOON);
            daemon = Daemon::start(&namespace, "daemon", &config, &[]);
        }
        thread::sleep(Duration::from_millis(300));
        told.is_over.store(true, Ordering::Relaxed);
    });
    let root = namespace.folder().join("mail/alice");
    let found = found(&root);
    let (acknowledged, deleted) = (told.acknowledged.into_inner().unwrap(), told.deleted.into_inner().unwrap());
    let perhaps = told.perhaps.into_inner().unwrap();
    for (number, count) in &found {
        assert_eq!(*count, 1, "message {number} is there {count} times");
        assert!(!deleted.contains(number), "message {number} was deleted, and is there");
    }
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|number| !found.contains_key(number) && !deleted.contains(number) && !perhaps.contains(number))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(acknowledged.len() as u64 > kills && !deleted.is_empty(), "{} acknowledged", acknowledged.len());
    eprintln!(
        "{kills} kills: {} sent, {} acknowledged, {} deleted, {} perhaps, {} there",
        told.sent.into_inner(),
        acknowledged.len(),
        deleted.len(),
        perhaps.len(),
        found.len()
    );
}
