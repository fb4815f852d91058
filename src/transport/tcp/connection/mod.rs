//! One TCP connection: RFC 9293's transmission control block and its state machine.
//!
//! [`Connection`] is told of segments, timeouts, ICMP errors and the calls of its user; it is asked for
//! segments to send, for its next deadline and for what became possible. It never sends by itself, keeps
//! no clock and knows no table.
//!
//! | file | question it answers |
//! |---|---|
//! | `arrives`, `syn_sent`, `acknowledgment`, `text` | what does a segment that arrives mean (RFC 9293 §3.10.7)? |
//! | `calls` | what does the user want (§3.10.1 to §3.10.6)? |
//! | `fast_open` | what does data on a SYN mean (RFC 7413)? |
//! | `timeouts`, `timers` | what happens when nothing does (§3.10.8)? |
//! | `path_error` | what does ICMP mean for it (§3.9.2.2)? |
//! | `path_search` | and what if nobody sends any (RFC 4821)? |
//! | `user_timeout` | what do the two say of their patience (RFC 5482)? |
//! | `output` | is there anything to say, and what? |
//! | `recovery`, `detection` | which octets are lost? |
//! | `congestion` | how many may be out? |
//! | `pacing` | when? |
//! | `delivery` | how fast do they arrive? |
//! | `ecn` | what do routers say before they drop? |
//! | `flight` | what is out? |
//! | `rtt` | how long does it take? |
//! | `snd`, `rcv` | the sequence variables |
//! | `send_buffer`, `receive_buffer` | the octets |
//! | `autotuning` | how many octets may be kept? |
//! | `handshake` | what the SYNs agreed on |
//! | `invariants` | what is true at any time |
//! | `snapshot` | what is told of it |
//!
//! Not here: LISTEN and half-open connections (a listener's), TIME-WAIT beyond the moment it is entered
//! ([`Connection::time_wait`] hands the facts to a smaller record), security and compartment (RFC 9293
//! §3.10.7.4 third step; no such labels exist on our networks).

mod acknowledgment;
mod arrives;
mod autotuning;
mod calls;
pub mod congestion;
mod delivery;
mod detection;
pub(in crate::transport::tcp) mod ecn;
mod extras;
mod fast_open;
mod flight;
pub mod handshake;
pub mod interface;
mod invariants;
mod output;
mod pacing;
mod path_error;
mod path_search;
mod rcv;
mod receive_buffer;
mod recovery;
mod rtt;
mod send_buffer;
mod snapshot;
mod snd;
mod syn_sent;
#[cfg(test)]
pub(in crate::transport::tcp) mod tests;
mod text;
mod timeouts;
mod timers;
mod traffic;
mod user_timeout;

pub use ecn::{Agreement, Codepoint, Mode};
pub use handshake::{Handshake, TimestampClock, WindowScale};
pub use interface::{Error, Read, Readiness, TimeWaitFacts};
pub use recovery::CaState;

use crate::base::counters::Counter;
use crate::base::prefetch::prefetch;
use crate::base::seq::Seq;
use crate::base::time::Instant;
use crate::network::packet::PathErrorKind;
use crate::transport::Context;
use crate::transport::tcp::config::{Config, Recall};
use crate::transport::tcp::ends::Ends;
use crate::transport::tcp::metrics::Metrics;
use crate::transport::tcp::mss::default_mss;
use crate::transport::tcp::options::TIMESTAMPS_LEN;
use crate::transport::tcp::state::State;
use autotuning::ReceiveSize;
use congestion::{Controller, Start, Validation};
use ecn::Ecn;
use extras::Extras;
use flight::Room;
use handshake::Agreed;
use output::Pending;
use pacing::Pacing;
use rcv::Rcv;
use receive_buffer::ReceiveBuffer;
use recovery::Recovery;
use rtt::Rtt;
use send_buffer::SendBuffer;
use snd::Snd;
use std::net::SocketAddr;
use std::rc::Rc;
use timers::{Timer, Timers};
use traffic::Tally;

/// Challenge ACKs, and ACKs in answer to unacceptable segments without data, that one connection sends in a
/// second (RFC 5961 §7 leaves the number open).
const CHALLENGES_PER_SECOND: u32 = 10;

/// A TCP connection.
///
/// The contract: `receive`, `handle_timeout`, `handle_path_error` and the user's calls are *mutations*. After
/// each, the owner drains [`poll_transmit`](Self::poll_transmit) as far as the device has room (or keeps the
/// connection in line while [`has_output`](Self::has_output)), takes the [`Readiness`], and sees to it that
/// `handle_timeout` is called at [`deadline`](Self::deadline) or later; calling it early does nothing.
#[derive(Debug)]
pub struct Connection {
    ends: Ends,
    config: Rc<Config>,
    state: State,
    snd: Snd,
    rcv: Rcv,
    agreed: Agreed,
    output: SendBuffer,
    receive_size: ReceiveSize,
    input: ReceiveBuffer,
    flight: Room,
    rtt: Rtt,
    recovery: Recovery,
    congestion: Controller,
    usage: Validation,
    pacing: Pacing,
    ecn: Ecn,
    extras: Option<Box<Extras>>,
    timers: Timers,
    pending: Pending,
    liveness: Liveness,
    user: User,
    totals: Totals,
}

/// What the connection knows of its user.
#[derive(Clone, Debug, Default)]
struct User {
    readiness: Readiness,
    /// Why the connection failed.
    error: Option<Error>,
    /// A write found no room; the user waits for [`Readiness::WRITABLE`].
    wants_room: bool,
    /// What had arrived was flushed before it was read: the peer's FIN is no end of the stream any more.
    has_lost_data: bool,
    /// The user let go of the connection and will not read.
    is_gone: bool,
    /// Small segments wait until the user says so.
    corked: bool,
}

/// Signs of life, and patience.
#[derive(Clone, Debug)]
struct Liveness {
    /// When something last arrived.
    heard_at: Instant,
    /// When the peer last acknowledged something, or showed that it lives while its window is closed.
    progress_at: Instant,
    /// When data was last sent.
    sent_at: Instant,
    /// Keepalives sent since something last arrived.
    keepalives: u16,
    /// Window probes sent since the window was last open.
    probes: u16,
    /// What ICMP said and must not abort the connection (RFC 9293 SHLD-25, MUST-56).
    soft_error: Option<PathErrorKind>,
}

/// Sums since the connection began.
#[derive(Clone, Debug, Default)]
struct Totals {
    bytes_sent: u64,
    bytes_acked: u64,
    bytes_received: u64,
    traffic: Tally,
}

impl Connection {
    /// An active OPEN (RFC 9293 §3.10.1): SYN-SENT, with the SYN to be pulled.
    pub fn connect(
        local: SocketAddr,
        remote: SocketAddr,
        iss: Seq,
        config: Rc<Config>,
        cx: &mut Context,
    ) -> Connection {
        cx.counters.count(Counter::TcpActiveOpens);
        let mut connection = Connection::new(local, remote, iss, config, cx);
        if connection.config.timestamps {
            // Until the peer agrees this is only the clock of our SYN.
            let offset = cx.random.next_u32();
            connection.agreed.timestamps = Some(TimestampClock { offset, recent: 0, recent_at: cx.now });
        }
        connection.start_user_timeout();
        connection.enter(State::SynSent);
        connection.pending.syn = true;
        connection.flight.on_sent(crate::base::ranges::Range::starting(iss, 1), cx.now);
        connection.arm_timers(cx.now);
        connection
    }

    /// A passive OPEN whose SYN-ACK was sent by a half-open record: SYN-RECEIVED. The owner gives it the ACK
    /// that completes the handshake with [`receive`](Self::receive) next.
    pub fn accepted(handshake: Handshake, config: Rc<Config>, cx: &mut Context) -> Connection {
        let rtt = handshake.rtt;
        let mut connection = Connection::begun(handshake, config, cx);
        // The half-open record took the sample, or there is none to take.
        connection.flight.on_probed();
        if let Some(rtt) = rtt {
            connection.rtt.on_sample(rtt);
            connection.timers.stop(Timer::Retransmit);
            connection.arm_timers(cx.now);
        }
        connection
    }

    /// SYN-RECEIVED after what `handshake` says.
    fn begun(handshake: Handshake, config: Rc<Config>, cx: &mut Context) -> Connection {
        let Handshake { local, remote, iss, irs, .. } = handshake;
        let mut connection = Connection::new(local, remote, iss, config, cx);
        connection.agreed =
            Agreed { window_scale: handshake.window_scale, sack: handshake.sack, timestamps: handshake.timestamps };
        connection.on_peer_syn(irs, handshake.peer_mss, cx.now);
        connection.snd.set_window(irs, iss, u32::from(handshake.window));
        connection.flight.on_sent(crate::base::ranges::Range::starting(iss, 1), cx.now);
        connection.snd.syn_was_lost = handshake.syn_ack_retransmitted;
        connection.agree_as_responder(handshake.ecn);
        connection.start_user_timeout();
        connection.enter(State::SynReceived);
        connection.arm_timers(cx.now);
        connection
    }

    fn new(local: SocketAddr, remote: SocketAddr, iss: Seq, config: Rc<Config>, cx: &mut Context) -> Connection {
        let path_mss = config.mss_for(remote.ip(), cx.paths.mtu_to(remote.ip()));
        let peer_mss = default_mss(remote.ip());
        let mut rcv = Rcv::new(Seq::default(), u32::from(config.syn_window()), path_mss);
        rcv.edge = rcv.nxt;
        let receive_size = ReceiveSize::new(&config, rcv.edge, cx.now);
        Connection {
            ends: Ends::new(local, remote),
            state: State::Closed,
            snd: Snd { is_direct: cx.paths.is_direct(remote.ip()), ..Snd::new(iss, peer_mss, path_mss) },
            rcv,
            agreed: Agreed::default(),
            output: SendBuffer::new(iss + 1),
            receive_size,
            input: ReceiveBuffer::default(),
            flight: Room::default(),
            rtt: Rtt::new(),
            recovery: Recovery::default(),
            congestion: congestion::start(
                &config,
                Start { now: cx.now, mss: u32::from(peer_mss), syn_was_lost: false, ..Start::default() },
            ),
            usage: Validation::default(),
            pacing: Pacing::default(),
            ecn: Ecn::default(),
            extras: None,
            timers: Timers::new(),
            pending: Pending::default(),
            liveness: Liveness {
                heard_at: cx.now,
                progress_at: cx.now,
                sent_at: cx.now,
                keepalives: 0,
                probes: 0,
                soft_error: None,
            },
            user: User::default(),
            totals: Totals::default(),
            config,
        }
    }

    /// The peer's SYN is known: receive variables and SendMSS (RFC 9293 MUST-15).
    fn on_peer_syn(&mut self, irs: Seq, mss: Option<u16>, now: Instant) {
        self.rcv = Rcv::new(irs, u32::from(self.config.syn_window()), self.snd.path_mss);
        self.rcv.quick_acks = self.config.quick_acks;
        self.receive_size = ReceiveSize::new(&self.config, self.rcv.edge, now);
        self.snd.peer_mss = mss.unwrap_or(default_mss(self.remote().ip())).max(crate::transport::tcp::mss::MIN_MSS);
    }

    /// Changes the state; the only place that does.
    fn enter(&mut self, state: State) {
        debug_assert!(self.state.may_become(state), "no way leads from {} to {state}", self.state);
        self.state = state;
        match state {
            State::Established => self.user.readiness.add(Readiness::CONNECTED | Readiness::WRITABLE),
            State::TimeWait => {
                self.user.readiness.add(Readiness::CLOSED);
                self.release_sender();
            }
            State::Closed => {
                self.user.readiness.add(Readiness::CLOSED | Readiness::READABLE | Readiness::WRITABLE);
                self.release_sender();
                self.timers.stop_all();
            }
            _ => {}
        }
    }

    /// Nothing will be sent or sent again: let go of what that took.
    fn release_sender(&mut self) {
        self.output.clear();
        self.flight.clear();
        self.recovery = Recovery::default();
    }

    /// The connection is over because of `error`: all queues are flushed (RFC 9293 §3.10.7.4, second step).
    fn fail(&mut self, error: Error, cx: &mut Context) {
        match (self.state, error) {
            (State::Closed, _) => return,
            (State::SynSent | State::SynReceived, _) => cx.counters.count(Counter::TcpAttemptFails),
            (_, Error::Reset) => cx.counters.count(Counter::TcpEstabResets),
            (_, Error::TimedOut | Error::Unreachable) => cx.counters.count(Counter::TcpAbortOnTimeout),
            _ => {}
        }
        self.user.error = Some(error);
        self.user.readiness.add(Readiness::ERROR);
        self.user.has_lost_data = self.input.ready_len() > 0;
        self.input.clear();
        self.pending = Pending { reset: self.pending.reset.take(), ..Pending::default() };
        self.enter(State::Closed);
    }

    /// The octets of options that every segment carries.
    fn options_len(&self) -> usize {
        let timestamps = if self.agreed.timestamps.is_some() { TIMESTAMPS_LEN } else { 0 };
        timestamps + usize::from(self.reserved_options())
    }

    /// Eff.snd.MSS (RFC 9293 §3.7.1).
    fn mss(&self) -> u32 {
        self.snd.effective_mss(self.options_len())
    }

    /// The next octet the user will read.
    fn read_seq(&self) -> Seq {
        self.rcv.nxt - self.input.ready_len() as u32 - u32::from(self.rcv.is_finished())
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Asks for what [`Connection::deadline`] looks at.
    pub(in crate::transport::tcp) fn foresee_deadline(&self) {
        prefetch(&self.timers);
    }

    /// Both ends.
    pub(in crate::transport::tcp) fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Our end.
    pub fn local(&self) -> SocketAddr {
        self.ends.local()
    }

    /// The other end.
    pub fn remote(&self) -> SocketAddr {
        self.ends.remote()
    }

    /// Why the connection failed, if it did.
    pub fn error(&self) -> Option<Error> {
        self.user.error
    }

    /// The last ICMP error that did not end the connection (RFC 9293 MUST-47, SHLD-25).
    pub fn soft_error(&self) -> Option<PathErrorKind> {
        self.liveness.soft_error
    }

    /// True if what is out was sent again often enough that the path may be at fault (R1; RFC 9293 SHLD-9).
    pub fn is_suspect(&self) -> bool {
        self.rtt.backoff >= timeouts::R1
    }

    /// What became possible since the last call.
    pub fn take_readiness(&mut self) -> Readiness {
        std::mem::take(&mut self.user.readiness)
    }

    /// True once the connection is CLOSED and has nothing more to send.
    pub fn is_finished(&self) -> bool {
        self.state == State::Closed && self.pending.reset.is_none()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// What a smaller record needs to take over in TIME-WAIT.
    pub fn time_wait(&self) -> Option<TimeWaitFacts> {
        if self.state != State::TimeWait {
            return None;
        }
        let (window, edge) = self.announcement();
        Some(TimeWaitFacts {
            local: self.local(),
            remote: self.remote(),
            snd_nxt: self.snd.nxt,
            rcv_nxt: self.rcv.nxt,
            rcv_wnd: edge - self.rcv.nxt,
            window,
            timestamps: self.agreed.timestamps,
            ace: self.accurate().map_or(0, |accurate| accurate.ace()),
            deadline: self.timers.due(Timer::Close).unwrap_or(Instant::ZERO),
            duration: self.config.time_wait,
        })
    }

    /// What earlier connections to the same host have learned.
    pub(in crate::transport::tcp) fn recall(&mut self, metrics: Option<Metrics>) {
        if let Some(metrics) = metrics.filter(|_| self.config.recall != Recall::Off) {
            self.extras().recalled = Some(metrics);
        }
    }

    /// What the next connection to the same host may begin with, if this one has learned anything.
    pub(in crate::transport::tcp) fn metrics(&self, now: Instant) -> Option<Metrics> {
        let srtt = self.rtt.srtt().filter(|_| self.totals.bytes_acked > 0)?;
        let ssthresh = self.congestion.window().ssthresh;
        Some(Metrics {
            srtt,
            rttvar: self.rtt.rttvar(),
            ssthresh: (ssthresh != u32::MAX).then_some(ssthresh),
            noted_at: now,
        })
    }
}
