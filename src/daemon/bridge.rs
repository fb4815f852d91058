//! A [`Line`] between two TAPs, in real time: the bad network that the test machines' kernel can't be.

use crate::base::time::{Duration, Instant};
use crate::daemon::clock::Clock;
use crate::daemon::failure::Failure;
use crate::daemon::port::{FileCapture, Port};
use crate::daemon::signals::Signals;
use crate::daemon::sleep::{be_punctual, sleep};
use crate::physical::cable::{Cable, CableCounts, Faults, Line};
use crate::physical::frame::{Body, OutFrame};
use crate::physical::host_side::HostSettings;
use crate::physical::tap::TapOptions;
use mio::{Events, Poll, Token};
use std::io::ErrorKind;

/// What to run.
#[derive(Clone, Debug)]
pub struct BridgeConfig {
    /// The TAPs at the two ends.
    pub taps: [String; 2],
    /// The MTU of both.
    pub mtu: u16,
    /// What the line does, in each direction.
    pub faults: Faults,
    /// What decides it.
    pub seed: u64,
    /// Stop after this many frames.
    pub frames: Option<u64>,
    /// Stop after this time.
    pub time: Option<Duration>,
}

const SIGNALS: Token = Token(0);
const FIRST_PORT: usize = 1;
/// Frames read from one TAP before the other gets its turn.
const BATCH: usize = 256;

/// Runs until a signal or a limit ends it; `on_ready` is called when both TAPs are up. Returns the counts of
/// both directions.
///
/// # Errors
/// A TAP can't be had, or goes away.
pub fn run(
    config: &BridgeConfig,
    capture: Option<&FileCapture>,
    on_ready: impl FnOnce(),
) -> Result<[CableCounts; 2], Failure> {
    be_punctual();
    let clock = Clock::start();
    let failed = |error| Failure::running(format!("the event loop can't wait: {error}"));
    let mut poll = Poll::new().map_err(failed)?;
    let mut signals = Signals::register(poll.registry(), SIGNALS)?;
    let host = HostSettings { address: None, mtu: config.mtu };
    let [first, second] = &config.taps;
    let open = |name: &str| Port::open(name, TapOptions::default(), Some(host), capture, clock);
    let mut ends = [open(first)?, open(second)?];
    for (index, end) in ends.iter().enumerate() {
        end.register(poll.registry(), Token(FIRST_PORT + index)).map_err(failed)?;
    }
    let mut line = Line::new(&config.faults, config.seed);
    let stop_at = config.time.map(|time| clock.now() + time);
    on_ready();
    let mut events = Events::with_capacity(16);
    loop {
        let timeout = wait(&line, &ends, stop_at, clock.now());
        match sleep(&mut poll, &mut events, timeout) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(failed(error)),
            _ => {}
        }
        for event in &events {
            match event.token() {
                SIGNALS if signals.requests().count() > 0 => return Ok(counts(&line)),
                token => {
                    if let Some(end) = token.0.checked_sub(FIRST_PORT).and_then(|index| ends.get_mut(index)) {
                        end.on_event(event);
                    }
                }
            }
        }
        let now = clock.now();
        let [first, second] = &mut ends;
        carry(first, &mut line.forth, second, now)?;
        carry(second, &mut line.back, first, now)?;
        if let Some(capture) = capture {
            capture.lock().flush();
        }
        let sent = line.forth.counts().sent + line.back.counts().sent;
        if stop_at.is_some_and(|at| at <= now) || config.frames.is_some_and(|frames| sent >= frames) {
            return Ok(counts(&line));
        }
    }
}

fn counts(line: &Line) -> [CableCounts; 2] {
    [line.forth.counts(), line.back.counts()]
}

fn wait(line: &Line, ends: &[Port; 2], stop_at: Option<Instant>, now: Instant) -> Option<Duration> {
    if ends.iter().any(Port::may_read) {
        return Some(Duration::ZERO);
    }
    line.deadline().into_iter().chain(stop_at).min().map(|at| at.since(now))
}

/// Puts into the cable what came, and takes out of it what has arrived.
fn carry(from: &mut Port, cable: &mut Cable, to: &mut Port, now: Instant) -> Result<(), Failure> {
    for _ in 0..BATCH {
        let Some(frame) = from.receive()? else { break };
        cable.send(frame.bytes, now);
    }
    to.flush();
    while let Some(bytes) = cable.receive(now) {
        // What the other end can't take is lost, as on any line.
        to.transmit(OutFrame { body: Body::from_iter([bytes]), ..OutFrame::default() });
    }
    Ok(())
}
