//! Two tables on a bad line: many connections that open, talk, close and break off at once. Whatever is not
//! broken off arrives whole, every wait is ended by an event, and in the end nothing is left.

use super::super::*;
use super::harness::*;
use crate::transport::tcp::config::Keepalive;
use crate::transport::tcp::connection::{Error, Read};
use bytes::Bytes;
use std::collections::BTreeMap;

const CONNECTIONS: usize = 60;

/// What one end of a conversation still has to do.
struct Talk {
    outgoing: Bytes,
    received: Vec<u8>,
    /// Breaks off when it has received so much.
    break_at: Option<usize>,
    is_server: bool,
    is_shut: bool,
    result: Option<Result<(), Error>>,
}

impl Talk {
    fn client(outgoing: Bytes, break_at: Option<usize>) -> Self {
        Talk { outgoing, received: Vec::new(), break_at, is_server: false, is_shut: false, result: None }
    }

    fn server() -> Self {
        Talk { is_server: true, ..Talk::client(Bytes::new(), None) }
    }

    /// Does what can be done now: the client sends all, closes its side and reads the echo; the server reads to the
    /// end and sends back what it read. True once it has let go of the connection.
    fn drive(&mut self, id: ConnectionId, host: &mut Host) -> bool {
        let finished = self.talk(id, host);
        let Some(result) = finished else { return false };
        self.result = Some(result);
        if result == Err(Error::Aborted) {
            host.call(|tcp, cx| tcp.abort(id, cx));
        } else {
            host.call(|tcp, cx| tcp.close(id, cx));
        }
        true
    }

    fn talk(&mut self, id: ConnectionId, host: &mut Host) -> Option<Result<(), Error>> {
        loop {
            match host.call(|tcp, cx| tcp.read(id, 5_000, cx)) {
                Ok(Read::Data(data)) => {
                    self.received.extend_from_slice(&data);
                    if self.break_at.is_some_and(|limit| self.received.len() > limit) {
                        return Some(Err(Error::Aborted));
                    }
                }
                Ok(Read::End) if self.is_server && !self.is_shut => {
                    self.outgoing = Bytes::from(std::mem::take(&mut self.received));
                    self.is_shut = true;
                }
                Ok(Read::End) if self.is_server => break,
                Ok(Read::End) => return Some(Ok(())),
                Ok(Read::WouldBlock) => break,
                Err(error) => return Some(Err(error)),
            }
        }
        while !self.outgoing.is_empty() {
            match host.call(|tcp, cx| tcp.write(id, &mut self.outgoing, cx)) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        if self.is_server {
            return self.is_shut.then_some(Ok(()));
        }
        if !std::mem::replace(&mut self.is_shut, true) {
            host.call(|tcp, cx| tcp.shutdown_write(id, cx)).unwrap();
        }
        None
    }
}

/// A line that loses, delays, reorders and doubles.
struct Line {
    random: Random,
    on_the_way: BTreeMap<(Instant, u64), (usize, Packet)>,
    count: u64,
}

impl Line {
    fn take(&mut self, to: usize, datagram: &Datagram, now: Instant) {
        for packet in cut(datagram) {
            let copies = if self.random.chance(0.02) { 2 } else { 1 };
            for _ in 0..copies {
                if self.random.chance(0.05) {
                    continue;
                }
                let delay = self.random.duration(Duration::from_millis(1), Duration::from_millis(15));
                self.count += 1;
                self.on_the_way.insert((now + delay, self.count), (to, packet.clone()));
            }
        }
    }
}

fn run(seed: u64) {
    let keepalive = Keepalive { idle: Duration::from_secs(60), interval: Duration::from_secs(5), count: 9 };
    let config =
        Config { keepalive: Some(keepalive), send_buffer: 20_000, receive_buffer: 30_000, ..Config::default() };
    let mut random = Random::from_seed(seed);
    let mut hosts = [SERVER, CLIENT].map(|address| Host::with(address, random.next_u64(), config.clone(), 1 << 18));
    let listener = hosts[0].listen(CONNECTIONS);
    let mut talks: [BTreeMap<ConnectionId, Talk>; 2] = [BTreeMap::new(), BTreeMap::new()];
    let mut sent: BTreeMap<ConnectionId, Bytes> = BTreeMap::new();
    let mut done = Vec::new();
    let mut line = Line { random: random.fork(), on_the_way: BTreeMap::new(), count: 0 };
    let start = hosts[0].now;
    let mut opens: Vec<Instant> =
        (0..CONNECTIONS).map(|_| start + random.duration(Duration::ZERO, Duration::from_secs(3))).collect();
    opens.sort_unstable_by(|a, b| b.cmp(a));

    for step in 0.. {
        assert!(step < 3_000_000, "seed {seed}: no end at {}, {} talks open", hosts[0].now, talks[1].len());
        let now = hosts[0].now;
        while opens.last().is_some_and(|at| *at <= now) {
            opens.pop();
            let mut data = vec![0; random.below(60_000) as usize];
            random.fill(&mut data);
            let break_at = random.chance(0.2).then(|| random.below(data.len() as u64 + 1) as usize);
            let id = hosts[1].call(|tcp, cx| tcp.connect(None, WWW, None, cx)).unwrap();
            sent.insert(id, data.clone().into());
            talks[1].insert(id, Talk::client(data.into(), break_at));
        }
        for n in [0, 1] {
            while let Some(event) = hosts[n].tcp.poll_event() {
                match event {
                    Event::Acceptable(which) => {
                        assert_eq!(which, listener);
                        while let Some((id, _)) = hosts[n].tcp.accept(listener) {
                            let mut talk = Talk::server();
                            if !talk.drive(id, &mut hosts[n]) {
                                talks[n].insert(id, talk);
                            }
                        }
                    }
                    Event::Connection(id, _) => {
                        let Some(talk) = talks[n].get_mut(&id) else { continue };
                        if talk.drive(id, &mut hosts[n]) {
                            let talk = talks[n].remove(&id).unwrap();
                            if n == 1 {
                                done.push((id, talk));
                            }
                        }
                    }
                }
            }
            while let Some(datagram) = hosts[n].transmit() {
                line.take(1 - n, &datagram, now);
            }
        }
        for host in &hosts {
            host.tcp.check_invariants().unwrap_or_else(|broken| panic!("seed {seed}, step {step}: {broken}"));
        }
        let arrival = line.on_the_way.keys().next().map(|(at, _)| *at);
        let deadlines = hosts.iter().filter_map(|host| host.tcp.deadline());
        let Some(next) = deadlines.chain(arrival).chain(opens.last().copied()).min() else { break };
        for host in &mut hosts {
            host.now = host.now.max(next);
            host.call(|tcp, cx| tcp.handle_timeout(cx));
        }
        while let Some(entry) = line.on_the_way.first_entry().filter(|entry| entry.key().0 <= next) {
            let (to, packet) = entry.remove();
            hosts[to].receive(&packet);
        }
    }

    assert_eq!(done.len(), CONNECTIONS, "seed {seed}");
    let whole = done.iter().filter(|(_, talk)| talk.result == Some(Ok(()))).count();
    assert!(whole > CONNECTIONS / 2 && line.count > 1_000, "seed {seed}: {whole} whole, {} packets", line.count);
    assert!(hosts.iter().all(|host| host.counters.of(Counter::TcpRetransSegs) > 0), "seed {seed}");
    for (id, talk) in done {
        match talk.result {
            Some(Ok(())) => assert!(talk.received == sent[&id], "seed {seed}: another stream came back"),
            result => {
                assert!(talk.break_at.is_some() && result == Some(Err(Error::Aborted)), "seed {seed}: {result:?}")
            }
        }
    }
    for host in &hosts {
        assert!(host.is_empty() && host.tcp.timers.is_empty(), "seed {seed}: something is left");
        assert!(host.tcp.turns.is_empty() && host.tcp.events.is_empty(), "seed {seed}");
    }
    assert!(talks.iter().all(BTreeMap::is_empty), "seed {seed}");
}

#[test]
fn many_connections_on_a_bad_line_all_arrive_and_all_end() {
    for seed in 0..40 {
        run(seed);
    }
}
