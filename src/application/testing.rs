//! What the unit tests of this floor stand on: a pipe instead of a connection, a clock that is turned by
//! hand, and an executor that runs until nothing moves.

use crate::base::time::{Duration, Instant};
use crate::session::clock::{AlarmId, Clock};
use futures_executor::{LocalPool, LocalSpawner};
use futures_util::task::LocalSpawnExt;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Default)]
struct Lane {
    octets: VecDeque<u8>,
    room: usize,
    finished: bool,
    broken: bool,
    /// Octets that came in buffers which somebody else holds as well, so without a copy.
    shared: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Lane {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

/// One end of a pipe in both directions. Dropping it ends both.
pub(crate) struct Pipe {
    incoming: Rc<RefCell<Lane>>,
    outgoing: Rc<RefCell<Lane>>,
    is_encrypted: bool,
}

/// A pipe that holds up to `room` octets each way.
pub(crate) fn pipe(room: usize) -> (Pipe, Pipe) {
    let lane = || Rc::new(RefCell::new(Lane { room, ..Lane::default() }));
    let (one, other) = (lane(), lane());
    let end = |incoming, outgoing| Pipe { incoming, outgoing, is_encrypted: false };
    (end(one.clone(), other.clone()), end(other, one))
}

impl Pipe {
    /// The same end, taken for one that nobody can read along.
    pub(crate) fn encrypted(mut self) -> Self {
        self.is_encrypted = true;
        self
    }

    /// Everything that is there to read; for the test's own end.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut lane = self.incoming.borrow_mut();
        let octets = lane.octets.drain(..).collect();
        lane.wake();
        octets
    }

    /// Reads a little of what is there; for the test's own end.
    pub(crate) fn sip(&self, octets: usize) {
        let mut lane = self.incoming.borrow_mut();
        let octets = octets.min(lane.octets.len());
        lane.octets.drain(..octets);
        lane.wake();
    }

    /// Like [`Pipe::take`], as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.take()).unwrap()
    }

    /// Sends, whatever the room; for the test's own end.
    pub(crate) fn put(&self, octets: impl AsRef<[u8]>) {
        let mut lane = self.outgoing.borrow_mut();
        lane.octets.extend(octets.as_ref());
        lane.wake();
    }

    /// Ends our direction, like a FIN.
    pub(crate) fn finish(&self) {
        let mut lane = self.outgoing.borrow_mut();
        lane.finished = true;
        lane.wake();
    }

    /// Octets that the other end sent without a copy.
    pub(crate) fn shared(&self) -> usize {
        self.incoming.borrow().shared
    }

    /// Octets that we sent and the other end has not taken.
    pub(crate) fn untaken(&self) -> usize {
        self.outgoing.borrow().octets.len()
    }

    /// True if the other end sends no more.
    pub(crate) fn is_finished(&self) -> bool {
        self.incoming.borrow().finished
    }

    /// True if the other end is gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.outgoing.borrow().broken
    }

    fn poll_take(&self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Vec<u8>>> {
        let mut lane = self.incoming.borrow_mut();
        if lane.octets.is_empty() && !lane.finished {
            lane.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = most.min(lane.octets.len());
        let octets = lane.octets.drain(..most).collect();
        lane.wake();
        Poll::Ready(Ok(octets))
    }

    fn poll_put(&self, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let mut lane = self.outgoing.borrow_mut();
        if lane.broken || lane.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = lane.room.saturating_sub(lane.octets.len()).min(octets.len());
        if room == 0 && !octets.is_empty() {
            lane.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        lane.octets.extend(&octets[..room]);
        lane.wake();
        Poll::Ready(Ok(room))
    }
}

impl crate::application::server::Connection for Pipe {
    fn peer(&self) -> std::net::SocketAddr {
        ([192, 0, 2, 7], 40_000).into()
    }
    fn poll_read_bytes(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<bytes::Bytes>> {
        self.poll_take(cx, most).map_ok(Into::into)
    }
    fn poll_write_bytes(&mut self, cx: &mut Context<'_>, octets: &mut bytes::Bytes) -> Poll<io::Result<usize>> {
        let is_shared = !octets.is_unique();
        self.poll_put(cx, octets).map_ok(|n| {
            self.outgoing.borrow_mut().shared += if is_shared { n } else { 0 };
            bytes::Buf::advance(octets, n);
            n
        })
    }
    fn poll_shutdown_write(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
    fn abort(&mut self) {
        self.outgoing.borrow_mut().octets.clear();
    }
}

impl crate::application::http::facts::Facts for Pipe {
    fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }
    fn tcp(&self) -> Option<crate::application::http::facts::TcpFacts> {
        Some(crate::application::http::facts::TcpFacts {
            rtt_us: Some(1_500),
            min_rtt_us: Some(1_000),
            cwnd: 14_480,
            retransmits: 2,
            bytes_acked: 77,
            bytes_received: 55,
            delivery_rate: None,
        })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.finish();
        let mut lane = self.incoming.borrow_mut();
        lane.broken = true;
        lane.wake();
    }
}

impl futures_io::AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_take(cx, into.len()).map_ok(|octets| {
            into[..octets.len()].copy_from_slice(&octets);
            octets.len()
        })
    }
}

impl tokio::io::AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_take(cx, into.remaining()).map_ok(|octets| into.put_slice(&octets))
    }
}

impl tokio::io::AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_put(cx, from)
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

impl futures_io::AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_put(cx, from)
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

/// A clock that stands still until it is turned. It begins on 2026-11-22 12:00:00 UTC.
#[derive(Default)]
pub(crate) struct HandClock {
    now: Cell<Instant>,
    calendar: Cell<Option<Duration>>,
    alarms: RefCell<Vec<(Instant, AlarmId, Waker)>>,
    set: Cell<u32>,
}

impl HandClock {
    fn turn(&self, to: Instant) {
        self.now.set(to);
        let rung: Vec<_> = self.alarms.borrow_mut().extract_if(.., |(deadline, ..)| *deadline <= to).collect();
        rung.into_iter().for_each(|(.., waker)| waker.wake());
    }
}

/// Shared by the test and what it tests.
#[derive(Clone, Default)]
pub(crate) struct SharedClock(Rc<HandClock>);

impl SharedClock {
    /// Lets the calendar begin at another time.
    pub(crate) fn set_calendar(&self, since_1970: Duration) {
        self.0.calendar.set(Some(since_1970));
    }
}

impl Clock for SharedClock {
    fn now(&self) -> Instant {
        self.0.now.get()
    }
    fn unix_time(&self) -> Duration {
        self.0.calendar.get().unwrap_or(Duration::from_secs(1_795_348_800)) + self.now().since(Instant::ZERO)
    }
    fn set_alarm(&self, deadline: Instant, waker: &Waker) -> AlarmId {
        self.0.set.set(self.0.set.get() + 1);
        let id = AlarmId(NonZeroU32::new(self.0.set.get()).unwrap());
        self.0.alarms.borrow_mut().push((deadline, id, waker.clone()));
        id
    }
    fn hand_over(&self, alarm: AlarmId, waker: &Waker) {
        let mut alarms = self.0.alarms.borrow_mut();
        alarms.iter_mut().filter(|(_, id, _)| *id == alarm).for_each(|(.., known)| known.clone_from(waker));
    }
    fn cancel(&self, alarm: AlarmId) {
        self.0.alarms.borrow_mut().retain(|(_, id, _)| *id != alarm);
    }
}

/// Tasks and their clock.
#[derive(Default)]
pub(crate) struct Bench {
    pool: LocalPool,
    pub(crate) clock: SharedClock,
}

impl Bench {
    pub(crate) fn clock(&self) -> Rc<dyn Clock> {
        Rc::new(self.clock.clone())
    }

    pub(crate) fn spawner(&self) -> LocalSpawner {
        self.pool.spawner()
    }

    /// Starts a task; its output can be looked at when it is done.
    pub(crate) fn spawn<T: 'static>(&mut self, task: impl Future<Output = T> + 'static) -> Rc<RefCell<Option<T>>> {
        let done = Rc::new(RefCell::new(None));
        let place = done.clone();
        let task = async move {
            let output = task.await;
            *place.borrow_mut() = Some(output);
        };
        self.spawner().spawn_local(task).unwrap();
        self.run();
        done
    }

    /// Runs until every task waits for something.
    pub(crate) fn run(&mut self) {
        self.pool.run_until_stalled();
    }

    /// Runs one task that can go on.
    pub(crate) fn run_one(&mut self) {
        self.pool.try_run_one();
    }

    /// Lets `time` pass, stopping at each alarm on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.clock.now() + time;
        self.run();
        loop {
            let next = self.clock.0.alarms.borrow().iter().map(|(at, ..)| *at).filter(|at| *at <= end).min();
            let Some(next) = next else { break };
            self.clock.0.turn(next);
            self.run();
        }
        self.clock.0.turn(end);
        self.run();
    }
}
