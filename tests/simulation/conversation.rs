//! One TCP conversation between two hosts: what each side writes, reads and how it ends, and what must have
//! come of it.

use crate::sim::{HostId, World, stream};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tapstack::base::random::Random;
use tapstack::base::time::{Duration, Instant};
use tapstack::session::clock::{Late, within};
use tapstack::session::net::Net;
use tapstack::session::tcp::{ListenOptions, ReadHalf, TcpListener, TcpStream, WriteHalf};
use tapstack::transport::tcp::config::Config;

/// What one side does.
#[derive(Clone, Debug)]
pub struct Side {
    /// Bytes it has to send.
    pub total: u64,
    /// The most it writes or reads at once.
    pub write_size: u64,
    pub read_size: u64,
    /// How often it rests, in writes or reads, and for how long at most.
    pub write_pause: (f64, Duration),
    pub read_pause: (f64, Duration),
    /// Reads everything the peer has before it writes a byte.
    pub listens_first: bool,
    /// Closes its side not before this moment: for both sides to close at once.
    pub close_at: Instant,
    pub nodelay: bool,
}

/// How the conversation ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Both sides read to the end.
    Orderly,
    /// The client resets, after it has written `wrote` and read `read` bytes.
    ClientAborts { wrote: u64, read: u64 },
    /// The server does.
    ServerAborts { wrote: u64, read: u64 },
    /// The client drops the stream, with whatever it has not read.
    ClientDrops { wrote: u64, read: u64 },
    /// The server does.
    ServerDrops { wrote: u64, read: u64 },
}

/// A conversation.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub client: HostId,
    pub server: HostId,
    pub address: SocketAddr,
    pub client_config: Config,
    pub server_config: Config,
    pub starts: Duration,
    pub ask: Side,
    pub answer: Side,
    pub ending: Ending,
    pub key: u64,
}

/// What a side saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub connected: bool,
    pub written: u64,
    pub read: u64,
    /// The peer's FIN was read.
    pub end: bool,
    pub closed_its_side: bool,
    pub read_error: Option<io::ErrorKind>,
    pub write_error: Option<io::ErrorKind>,
    /// Tasks that have ended; two when the side is through.
    pub tasks_ended: u32,
}

/// What both saw.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub client: Rc<RefCell<Seen>>,
    pub server: Rc<RefCell<Seen>>,
    pub refused: Rc<RefCell<Option<io::ErrorKind>>>,
}

impl Outcome {
    /// True when nobody does anything any more.
    pub fn is_over(&self) -> bool {
        self.refused.borrow().is_some()
            || (self.client.borrow().tasks_ended == 2 && self.server.borrow().tasks_ended == 2)
    }
}

impl Conversation {
    fn role(&self, of_client: bool) -> Option<(bool, u64, u64)> {
        match (self.ending, of_client) {
            (Ending::ClientAborts { wrote, read }, true) | (Ending::ServerAborts { wrote, read }, false) => {
                Some((true, wrote, read))
            }
            (Ending::ClientDrops { wrote, read }, true) | (Ending::ServerDrops { wrote, read }, false) => {
                Some((false, wrote, read))
            }
            _ => None,
        }
    }

    /// Starts both sides.
    pub fn start(&self, world: &World) -> Outcome {
        let outcome = Outcome::default();
        let server_net = world.net(self.server);
        let options = ListenOptions { config: Some(self.server_config.clone()), ..ListenOptions::default() };
        let listener = TcpListener::bind_with(&server_net, self.address, options).unwrap();
        {
            let (plan, seen, net) = (self.clone(), outcome.server.clone(), server_net.clone());
            server_net.spawn(async move {
                // Who resets at once may do so before its ACK completed the handshake.
                let stream = within(&net, Duration::from_secs(7200), listener.accept()).await;
                drop(listener);
                match stream {
                    Ok(stream) => plan.play(&net, stream.unwrap(), false, &seen).await,
                    Err(Late) => seen.borrow_mut().tasks_ended = 2,
                }
            });
        }
        let (plan, seen, net) = (self.clone(), outcome.client.clone(), world.net(self.client));
        let refused = outcome.refused.clone();
        world.net(self.client).spawn(async move {
            net.sleep(plan.starts).await;
            match TcpStream::connect_with(&net, None, plan.address, Some(plan.client_config.clone())).await {
                Ok(stream) => plan.play(&net, stream, true, &seen).await,
                Err(error) => *refused.borrow_mut() = Some(error.kind()),
            }
        });
        outcome
    }

    async fn play(&self, net: &Net, stream: TcpStream, is_client: bool, seen: &Rc<RefCell<Seen>>) {
        seen.borrow_mut().connected = true;
        let (own, peer) = if is_client { (&self.ask, &self.answer) } else { (&self.answer, &self.ask) };
        let (own_key, peer_key) = if is_client { (self.key, !self.key) } else { (!self.key, self.key) };
        stream.set_nodelay(own.nodelay);
        let player = Player {
            net: net.clone(),
            side: own.clone(),
            own_key,
            peer_key,
            peer_total: peer.total,
            seen: seen.clone(),
            random: Random::from_seed(self.key ^ u64::from(is_client)),
        };
        match self.role(is_client) {
            Some((abort, wrote, read)) => player.break_off(stream, abort, wrote, read).await,
            None => player.converse(stream).await,
        }
    }

    /// Panics unless the outcome is what TCP promises.
    pub fn check(&self, outcome: &Outcome) {
        let (client, server) = (outcome.client.borrow(), outcome.server.borrow());
        assert_eq!(*outcome.refused.borrow(), None, "the open failed: {self:#?}");
        for (who, own, from, from_side) in
            [("client", &client, &server, &self.answer), ("server", &server, &client, &self.ask)]
        {
            let complain = || format!("{who}: {own:#?}\npeer: {from:#?}\n{self:#?}");
            assert!(own.read <= from.written, "read what was never written: {}", complain());
            if own.end {
                assert!(from.closed_its_side || self.ending != Ending::Orderly, "an end nobody made: {}", complain());
                assert_eq!(own.read, from.written, "the end came before the bytes: {}", complain());
            }
            if self.ending == Ending::Orderly {
                assert!(own.connected, "{}", complain());
                assert_eq!(own.read_error, None, "{}", complain());
                assert_eq!(own.write_error, None, "{}", complain());
                assert!(own.end, "{}", complain());
                assert_eq!(own.read, from_side.total, "{}", complain());
            }
        }
    }
}

struct Player {
    net: Net,
    side: Side,
    own_key: u64,
    peer_key: u64,
    peer_total: u64,
    seen: Rc<RefCell<Seen>>,
    random: Random,
}

impl Player {
    /// Writes everything and reads to the end.
    async fn converse(mut self, stream: TcpStream) {
        let (mut read, write) = stream.into_split();
        let mut reader = Player {
            net: self.net.clone(),
            side: self.side.clone(),
            seen: self.seen.clone(),
            random: self.random.fork(),
            ..self
        };
        if self.side.listens_first {
            reader.read_until(&mut read, u64::MAX).await;
            reader.seen.borrow_mut().tasks_ended += 1;
            self.write_and_close(write).await;
            drop(read);
        } else {
            self.net.clone().spawn(async move {
                reader.read_until(&mut read, u64::MAX).await;
                reader.seen.borrow_mut().tasks_ended += 1;
            });
            self.write_and_close(write).await;
        }
        self.seen.borrow_mut().tasks_ended += 1;
    }

    /// Writes a little, reads a little, and goes without a word or with a reset.
    async fn break_off(mut self, stream: TcpStream, abort: bool, wrote: u64, read: u64) {
        let (mut reading, mut writing) = stream.into_split();
        self.write_until(&mut writing, wrote.min(self.side.total)).await;
        let read = read.min(self.peer_total);
        self.read_until(&mut reading, read).await;
        if abort {
            writing.abort();
        }
        drop((reading, writing));
        self.seen.borrow_mut().tasks_ended = 2;
    }

    async fn write_and_close(&mut self, mut write: WriteHalf) {
        if self.write_until(&mut write, self.side.total).await {
            self.net.sleep_until(self.side.close_at).await;
            write.shutdown_write();
            self.seen.borrow_mut().closed_its_side = true;
        }
    }

    async fn rest(&mut self, (how_often, at_most): (f64, Duration)) {
        if self.random.chance(how_often) {
            let pause = self.random.duration(Duration::ZERO, at_most);
            self.net.sleep(pause).await;
        }
    }

    /// True if all was taken.
    async fn write_until(&mut self, write: &mut WriteHalf, total: u64) -> bool {
        let mut written = 0;
        while written < total {
            self.rest(self.side.write_pause).await;
            let len = (1 + self.random.below(self.side.write_size)).min(total - written);
            // Counted before: the peer may read it before the last byte is taken.
            self.seen.borrow_mut().written += len;
            if let Err(error) = write.write_bytes(stream::bytes(self.own_key, written, len as usize)).await {
                self.seen.borrow_mut().write_error = Some(error.kind());
                return false;
            }
            written += len;
        }
        true
    }

    async fn read_until(&mut self, read: &mut ReadHalf, total: u64) {
        loop {
            let so_far = self.seen.borrow().read;
            if so_far >= total {
                return;
            }
            self.rest(self.side.read_pause).await;
            let max = (1 + self.random.below(self.side.read_size)).min(total - so_far);
            match read.read_bytes(max as usize).await {
                Ok(bytes) if bytes.is_empty() => {
                    self.seen.borrow_mut().end = true;
                    return;
                }
                Ok(bytes) => {
                    stream::check(self.peer_key, so_far, &bytes);
                    assert!(bytes.len() as u64 <= max, "more than was asked for");
                    self.seen.borrow_mut().read += bytes.len() as u64;
                }
                Err(error) => {
                    self.seen.borrow_mut().read_error = Some(error.kind());
                    return;
                }
            }
        }
    }
}
