//! Plays a conversation between two endpoints in virtual time.

use crate::endpoint::{Endpoint, Final, Opening, Read, Write};
use crate::script::{Leave, Open, Script, Side, Step};
use crate::sim::film::Film;
use crate::sim::stream;
use bytes::Bytes;
use std::collections::VecDeque;
use tapstack::base::time::{Duration, Instant};
use tapstack::physical::cable::Cable;

/// How the reading ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The peer closed.
    Eof,
    /// A reset or the like.
    Failed,
    /// It was still waiting, or had stopped by itself.
    Open,
}

/// What an application saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    pub opened: bool,
    pub read: u64,
    pub end: End,
    pub write_failed: bool,
    /// All steps are done.
    pub finished: bool,
    /// Some seconds after both applications were through.
    pub state: Final,
    /// Ten minutes later.
    pub last_state: Final,
}

/// A list of steps at work.
struct Hand {
    steps: VecDeque<Step>,
    wait_until: Instant,
}

impl Hand {
    fn new(steps: &[Step]) -> Self {
        Hand { steps: steps.iter().copied().collect(), wait_until: Instant::ZERO }
    }

    fn is_through(&self) -> bool {
        self.steps.is_empty()
    }

    /// True while it rests.
    fn rests(&mut self, now: Instant) -> bool {
        if self.wait_until > now {
            return true;
        }
        self.wait_until = match self.steps.front() {
            Some(Step::Pause(pause)) => now + *pause,
            Some(Step::Until(moment)) => *moment,
            _ => return false,
        };
        self.steps.pop_front();
        self.rests(now)
    }
}

struct Player {
    endpoint: Box<dyn Endpoint>,
    side: Side,
    writer: Hand,
    reader: Hand,
    opening: Opening,
    own_key: u64,
    peer_key: u64,
    written: u64,
    read: u64,
    end: End,
    write_failed: bool,
    has_left: bool,
}

impl Player {
    fn new(endpoint: Box<dyn Endpoint>, side: &Side, own_key: u64, peer_key: u64) -> Self {
        Player {
            endpoint,
            side: side.clone(),
            writer: Hand::new(&side.writer),
            reader: Hand::new(&side.reader),
            opening: Opening::Pending,
            own_key,
            peer_key,
            written: 0,
            read: 0,
            end: End::Open,
            write_failed: false,
            has_left: false,
        }
    }

    fn is_through(&self) -> bool {
        self.has_left || self.opening == Opening::Failed
    }

    /// Goes on as far as it can.
    fn act(&mut self, now: Instant) {
        if self.opening == Opening::Pending {
            self.opening = self.endpoint.opening();
        }
        if self.opening != Opening::Open || self.has_left {
            return;
        }
        while self.read_step(now) {}
        if !self.side.reads_first || self.reader.is_through() {
            while self.write_step(now) {}
        }
        // What writing provoked may have something to read: a next turn comes with the next frame.
        if self.writer.is_through() && self.reader.is_through() && !self.rests(now) {
            self.has_left = true;
            match self.side.leave {
                Leave::Abort => self.endpoint.abort(),
                Leave::Orderly | Leave::Drop => self.endpoint.close(),
            }
        }
    }

    fn rests(&self, now: Instant) -> bool {
        self.writer.wait_until > now || self.reader.wait_until > now
    }

    /// One step of reading; false when there is nothing to be done at the moment.
    fn read_step(&mut self, now: Instant) -> bool {
        if self.reader.rests(now) {
            return false;
        }
        let max = match self.reader.steps.front() {
            None => return false,
            Some(Step::Read(len)) => *len,
            Some(_) => usize::MAX,
        };
        if max == 0 {
            self.reader.steps.pop_front();
            return true;
        }
        match self.endpoint.read(max.min(4096)) {
            Read::WouldBlock => false,
            Read::Data(bytes) => {
                stream::check(self.peer_key, self.read, &bytes);
                self.read += bytes.len() as u64;
                if let Some(Step::Read(left)) = self.reader.steps.front_mut() {
                    *left -= bytes.len();
                }
                true
            }
            end => {
                self.end = if end == Read::End { End::Eof } else { End::Failed };
                self.reader.steps.clear();
                false
            }
        }
    }

    fn write_step(&mut self, now: Instant) -> bool {
        if self.writer.rests(now) {
            return false;
        }
        match self.writer.steps.front_mut() {
            Some(Step::Write(0)) => {
                self.writer.steps.pop_front();
                true
            }
            Some(Step::Write(left)) => {
                let data: Bytes = stream::bytes(self.own_key, self.written, *left);
                match self.endpoint.write(&data) {
                    Write::WouldBlock => false,
                    Write::Taken(len) => {
                        self.written += len as u64;
                        *left -= len;
                        true
                    }
                    Write::Failed => {
                        self.write_failed = true;
                        self.writer.steps.clear();
                        false
                    }
                }
            }
            Some(Step::Shutdown) => {
                self.endpoint.shutdown_write();
                self.writer.steps.pop_front();
                true
            }
            _ => false,
        }
    }

    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let rests = [self.writer.wait_until, self.reader.wait_until].into_iter().filter(|until| *until > now);
        rests.chain(self.endpoint.deadline(now)).min()
    }
}

/// Steps after which a conversation counts as endless.
const MOST_STEPS: u32 = 2_000_000;
/// Longer than any conversation takes.
const LIMIT: Duration = Duration::from_secs(3600);

struct Game {
    now: Instant,
    players: [Player; 2],
    /// From each player to the other.
    cables: [Cable; 2],
    film: Film,
    steps: u32,
}

impl Game {
    /// Everything that can happen now happens.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for from in 0..2 {
                while let Some(frame) = self.cables[from].receive(self.now) {
                    moved = true;
                    self.film.take(self.now, &frame);
                    self.players[1 - from].endpoint.receive(self.now, frame);
                }
            }
            for (player, cable) in self.players.iter_mut().zip(&mut self.cables) {
                player.endpoint.run(self.now);
                player.act(self.now);
                let mut out = Vec::new();
                player.endpoint.transmit(self.now, &mut out);
                for frame in out {
                    moved = true;
                    cable.send(frame, self.now);
                }
            }
            self.steps += 1;
            assert!(self.steps < MOST_STEPS, "the conversation does not end");
            if !moved {
                return;
            }
        }
    }

    fn deadline(&mut self) -> Option<Instant> {
        let cables = self.cables.iter().filter_map(Cable::deadline).min();
        let players = self.players.iter_mut().filter_map(|player| player.deadline(self.now)).min();
        match (cables, players) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Runs until both players are through (if asked), or for `limit`.
    fn run(&mut self, limit: Duration, until_through: bool) {
        let end = self.now + limit;
        loop {
            self.settle();
            if until_through && self.players.iter().all(Player::is_through) {
                return;
            }
            match self.deadline() {
                // What was due has been done by now: smoltcp keeps on asking while it waits for ARP.
                Some(next) if next <= self.now => self.now += Duration::from_millis(1),
                Some(next) if next <= end => self.now = next,
                _ => break,
            }
        }
        self.now = end;
    }
}

/// Plays `script`, filmed, and reports what client and server saw.
pub fn play(script: &Script, [client, server]: [Box<dyn Endpoint>; 2], film: Film) -> [Report; 2] {
    let (ask, answer) = (script.seed, !script.seed);
    let mut game = Game {
        now: Instant::from_secs(1),
        players: [
            Player::new(client, &script.sides[0], ask, answer),
            Player::new(server, &script.sides[1], answer, ask),
        ],
        cables: [
            Cable::new(script.faults.clone(), script.seed),
            Cable::new(script.faults.clone(), script.seed ^ 0x5eed),
        ],
        film,
        steps: 0,
    };
    for player in &mut game.players {
        player.endpoint.run(game.now);
    }
    let [client, server] = &mut game.players;
    match script.open {
        Open::ToListener => server.endpoint.listen(80),
        Open::ToNobody => server.opening = Opening::Failed,
        Open::Simultaneous => server.endpoint.connect(80, [192, 0, 2, 1], 5000),
    }
    client.endpoint.connect(5000, [192, 0, 2, 2], 80);
    game.run(LIMIT, true);
    game.run(Duration::from_secs(3), false);
    let states = [0, 1].map(|side| game.players[side].endpoint.state());
    game.run(Duration::from_secs(600), false);
    [0, 1].map(|side| {
        let player = &mut game.players[side];
        Report {
            opened: player.opening == Opening::Open,
            read: player.read,
            end: player.end,
            write_failed: player.write_failed,
            finished: player.is_through(),
            state: states[side],
            last_state: player.endpoint.state(),
        }
    })
}
