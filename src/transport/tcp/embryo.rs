//! A half-open connection: SYN-RECEIVED of a passive open, in less than 256 bytes.
//!
//! ```text
//!   LISTEN ── SYN ──► Embryo ── ACK of our SYN ──► Connection
//!                      │  ▲
//!                      │  └─ its SYN again, our timer: SYN-ACK again (RFC 6298: 1 s, doubling)
//!                      └──── RST, SYN in the window, too many SYN-ACKs: back to LISTEN
//! ```
//!
//! What arrives is checked as RFC 9293 §3.10.7.4 says for SYN-RECEIVED, with RFC 5961 §3 for resets and
//! RFC 7323 §5.3 for timestamps. Data or FIN on the SYN is not taken: our SYN-ACK does not acknowledge it,
//! and the peer sends it again once the connection is open.

use crate::base::drops::DropReason;
use crate::base::seq::Seq;
use crate::base::time::{Duration, Instant};
use crate::network::packet::Datagram;
use crate::physical::frame::Body;
use crate::transport::Context;
use crate::transport::tcp::config::Config;
use crate::transport::tcp::connection::ecn::{Agreement, Mode, initial_ace, initial_options};
use crate::transport::tcp::connection::{Handshake, TimestampClock, WindowScale};
use crate::transport::tcp::ends::Ends;
use crate::transport::tcp::options::{FastOpenCookie, Options, Timestamps};
use crate::transport::tcp::segment::{Flags, Header, Segment, emit};
use crate::transport::tcp::table::ListenerId;
use std::net::SocketAddr;

/// The first RTO (RFC 6298 (2.1)).
const INITIAL_RTO: Duration = Duration::from_secs(1);

/// A half-open connection.
#[derive(Debug)]
pub(super) struct Embryo {
    pub(super) listener: ListenerId,
    /// What the two SYNs said, to be handed over.
    handshake: Handshake,
    /// The Fast Open cookie that the peer asked for.
    cookie: Option<FastOpenCookie>,
    /// The window that our SYN-ACK announced.
    window: u16,
    /// When the SYN-ACK was sent first.
    sent_at: Instant,
    /// When it is sent again.
    deadline: Instant,
    retransmits: u8,
}

/// What a segment means for the half-open connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It acknowledges our SYN: the connection is open, and the segment is for it.
    Complete,
    /// It is the peer's SYN again: so is our SYN-ACK.
    Again,
    /// It is not acceptable: answer `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`, within the rate of challenges.
    Challenge(DropReason),
    /// It acknowledges something we never sent: answer `<SEQ=SEG.ACK><CTL=RST>`.
    Reset,
    /// It ends the half-open connection.
    Listen,
    /// It is dropped without an answer.
    Drop(DropReason),
}

impl Embryo {
    pub(super) fn new(listener: ListenerId, handshake: Handshake, config: &Config, now: Instant) -> Self {
        let deadline = now + INITIAL_RTO;
        Embryo {
            listener,
            handshake,
            cookie: None,
            window: config.syn_window(),
            sent_at: now,
            deadline,
            retransmits: 0,
        }
    }

    /// Gives the peer a Fast Open cookie with each SYN-ACK (RFC 7413 §4.1.2).
    pub(super) fn with_cookie(self, cookie: Option<FastOpenCookie>) -> Self {
        Embryo { cookie, ..self }
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.handshake.local
    }

    pub(super) fn remote(&self) -> SocketAddr {
        self.handshake.remote
    }

    pub(super) fn ends(&self) -> Ends {
        Ends::new(self.handshake.local, self.handshake.remote)
    }

    /// The peer's SYN came again, perhaps because of what our answer, or itself, had of ECN (RFC 3168 §6.1.1.1, RFC 9768
    /// §3.1.5). False if it can't be one of the same host.
    pub(super) fn on_syn_again(&mut self, syn: &Segment, config: &Config) -> bool {
        self.handshake.ecn.on_syn_again(config.ecn, syn)
    }

    /// When [`Embryo::on_timeout`] is due.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// RFC 9293 §3.10.7.4 in the RFC's order, for SYN-RECEIVED after a passive open.
    pub(super) fn receive(&self, segment: &Segment, now: Instant) -> Verdict {
        let rcv_nxt = self.handshake.irs + 1;
        let flags = segment.flags;
        if flags.syn() && !flags.ack() && !flags.rst() && segment.seq == self.handshake.irs {
            return Verdict::Again;
        }
        // First, the sequence number.
        if !self.is_acceptable(segment) {
            return if flags.rst() {
                Verdict::Drop(DropReason::TcpOutOfWindow)
            } else {
                Verdict::Challenge(DropReason::TcpOutOfWindow)
            };
        }
        // RFC 7323 §5.3 R1.
        if let (Some(clock), Some(timestamps), false) =
            (self.handshake.timestamps, segment.options.timestamps, flags.rst())
            && clock.is_old(timestamps.value, now)
        {
            return Verdict::Challenge(DropReason::TcpPaws);
        }
        // Second, RST; RFC 5961 §3.2: only at exactly RCV.NXT.
        if flags.rst() {
            return if segment.seq == rcv_nxt { Verdict::Listen } else { Verdict::Challenge(DropReason::TcpBadReset) };
        }
        // Fourth, SYN: after a passive open the connection returns to LISTEN.
        if flags.syn() {
            return Verdict::Listen;
        }
        // Fifth, ACK.
        if !flags.ack() {
            return Verdict::Drop(DropReason::TcpNoAck);
        }
        if segment.ack == self.handshake.iss + 1 { Verdict::Complete } else { Verdict::Reset }
    }

    /// RFC 9293 table 6; our window is never zero, since no data was taken.
    fn is_acceptable(&self, segment: &Segment) -> bool {
        let (start, window) = (self.handshake.irs + 1, u32::from(self.window));
        let last = segment.seq + segment.len().saturating_sub(1);
        segment.seq.in_window(start, window) || (!segment.is_empty() && last.in_window(start, window))
    }

    /// The timer ran out: sets it again and says whether the SYN-ACK is to be sent again, or given up.
    pub(super) fn on_timeout(&mut self, config: &Config, now: Instant) -> bool {
        if u32::from(self.retransmits) >= config.syn_retries {
            return false;
        }
        self.retransmits = self.retransmits.saturating_add(1);
        self.handshake.syn_ack_retransmitted = true;
        self.handshake.ecn.on_timeout(self.retransmits);
        // RFC 6298 (5.5): back off.
        let backoff = INITIAL_RTO.saturating_mul(1 << self.retransmits.min(16));
        self.deadline = now + backoff.min(config.max_rto);
        true
    }

    /// The SYN-ACK, the first or again, with the options it was first sent with.
    pub(super) fn syn_ack(&self, config: &Config, cx: &Context<'_>) -> Datagram {
        let timestamps = self.handshake.timestamps.map(|clock| clock.option(cx.now));
        syn_ack(&self.handshake, timestamps, self.cookie, config, cx)
    }

    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`.
    pub(super) fn challenge(&self, config: &Config, now: Instant) -> Datagram {
        let Handshake { local, remote, iss, irs, timestamps, window_scale, .. } = self.handshake;
        let window = self.window >> window_scale.map_or(0, |scale| scale.ours);
        // RFC 9768 §3.2.2: whatever has no SYN has the field, and nothing was counted yet.
        let ace = if self.handshake.ecn.mode == Mode::Accurate { initial_ace() } else { 0 };
        let flags = Flags::ACK.with_ace(ace);
        let header = Header { local, remote, seq: iss + 1, ack: irs + 1, flags, window, urgent: 0 };
        let options = Options { timestamps: timestamps.map(|clock| clock.option(now)), ..Options::default() };
        with_config(emit(&header, &options, Body::new(), None), config)
    }

    /// True if an ICMP error quotes our SYN-ACK (RFC 5927 §4.1).
    pub(super) fn has_sent(&self, seq: Seq) -> bool {
        seq == self.handshake.iss
    }

    /// What the connection starts from, when the ACK arrives at `now`.
    pub(super) fn into_handshake(self, now: Instant) -> Handshake {
        // Karn: what was sent twice measures nothing (RFC 6298 §3).
        let rtt = (self.retransmits == 0).then(|| now.since(self.sent_at));
        Handshake { rtt, ..self.handshake }
    }
}

/// What the peer's SYN and our SYN-ACK agree on: each option is in force only if both have it (RFC 7323
/// §2.2, §3.2; RFC 2018 §2).
pub(super) fn handshake_of_syn(
    local: SocketAddr,
    remote: SocketAddr,
    iss: Seq,
    syn: &Segment,
    timestamp_offset: u32,
    config: &Config,
    now: Instant,
) -> Handshake {
    let offered = &syn.options;
    Handshake {
        local,
        remote,
        iss,
        irs: syn.seq,
        peer_mss: offered.mss,
        window_scale: scales(offered.window_scale, config),
        sack: config.sack && offered.sack_permitted,
        timestamps: offered.timestamps.filter(|_| config.timestamps).map(|peer| TimestampClock {
            offset: timestamp_offset,
            recent: peer.value,
            recent_at: now,
        }),
        ecn: Agreement::with(config.ecn, syn),
        window: syn.window,
        rtt: None,
        syn_ack_retransmitted: false,
    }
}

/// The shifts of both sides, if the peer offered one and we do.
pub(super) fn scales(theirs: Option<u8>, config: &Config) -> Option<WindowScale> {
    theirs.filter(|_| config.window_scale).map(|theirs| WindowScale { ours: config.receive_window_scale(), theirs })
}

/// `<SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>` with the options agreed on.
pub(super) fn syn_ack(
    handshake: &Handshake,
    timestamps: Option<Timestamps>,
    fast_open: Option<FastOpenCookie>,
    config: &Config,
    cx: &Context<'_>,
) -> Datagram {
    let Handshake { local, remote, iss, irs, window_scale, sack, ecn, .. } = *handshake;
    let flags = Flags::SYN | Flags::ACK | ecn.answer();
    // RFC 7323 §2.2: the window of a SYN is never scaled.
    let header = Header { local, remote, seq: iss, ack: irs + 1, flags, window: config.syn_window(), urgent: 0 };
    let mut options = Options {
        mss: Some(config.mss_for(remote.ip(), cx.paths.mtu_to(remote.ip()))),
        window_scale: window_scale.map(|scale| scale.ours),
        sack_permitted: sack,
        timestamps,
        fast_open,
        ..Options::default()
    };
    if ecn.mode == Mode::Accurate && !ecn.is_without_option {
        options.add_accurate_ecn(&initial_options());
    }
    with_config(emit(&header, &options, Body::new(), None), config)
}

fn with_config(mut datagram: Datagram, config: &Config) -> Datagram {
    datagram.hop_limit = config.hop_limit;
    datagram.traffic_class = config.class(0);
    datagram
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::tcp::config;
    use crate::transport::tcp::segment::Flags;

    const IRS: Seq = Seq(1000);
    const ISS: Seq = Seq(u32::MAX);

    fn embryo() -> Embryo {
        let sockets = (SocketAddr::from(([192, 0, 2, 2], 80)), SocketAddr::from(([192, 0, 2, 9], 4000)));
        let timestamps = Some(Timestamps { value: 500, echo: 0 });
        let options = Options { mss: Some(1460), window_scale: Some(7), timestamps, ..Options::default() };
        let syn = Segment { seq: IRS, flags: Flags::SYN, window: 1000, options, ..Segment::default() };
        let config = Config::default();
        let handshake = handshake_of_syn(sockets.0, sockets.1, ISS, &syn, 0, &config, Instant::ZERO);
        Embryo::new(ListenerId::default(), handshake, &config, Instant::ZERO)
    }

    fn verdict(seq: Seq, flags: Flags, ack: Seq) -> Verdict {
        embryo().receive(&Segment { seq, flags, ack, ..Segment::default() }, Instant::ZERO)
    }

    #[test]
    fn a_half_open_connection_takes_less_than_256_bytes() {
        assert!(size_of::<Embryo>() < 256, "{}", size_of::<Embryo>());
    }

    fn flags_of_answer(ecn: config::Ecn, syns: &[Flags]) -> Flags {
        let sockets = (SocketAddr::from(([192, 0, 2, 2], 80)), SocketAddr::from(([192, 0, 2, 9], 4000)));
        let config = Config { ecn, ..Config::default() };
        let syn = |flags: &Flags| Segment { seq: IRS, flags: Flags::SYN | *flags, ..Segment::default() };
        let first = syn(&syns[0]);
        let handshake = handshake_of_syn(sockets.0, sockets.1, ISS, &first, 0, &config, Instant::ZERO);
        let mut embryo = Embryo::new(ListenerId::default(), handshake, &config, Instant::ZERO);
        assert!(syns[1..].iter().all(|flags| embryo.on_syn_again(&syn(flags), &config)));
        let mut world = crate::transport::tcp::connection::tests::world::World::new(1);
        let answer = embryo.syn_ack(&config, &world.cx());
        crate::transport::tcp::connection::tests::world::segment(&answer).flags
    }

    #[test]
    fn a_syn_that_asks_for_ecn_is_answered_as_configured() {
        // RFC 3168 §6.1.1; RFC 9768 §3.1.1, and §3.1.3 for flags that ask for what nobody knows.
        let (asks, plain) = (Flags::ECE | Flags::CWR, Flags::SYN | Flags::ACK);
        assert_eq!(flags_of_answer(config::Ecn::Passive, &[asks]), plain | Flags::ECE);
        assert_eq!(flags_of_answer(config::Ecn::On, &[asks]), plain | Flags::ECE);
        assert_eq!(flags_of_answer(config::Ecn::Off, &[asks]), plain);
        assert_eq!(flags_of_answer(config::Ecn::On, &[Flags::NONE]), plain);
        for asks in [asks | Flags::AE, Flags::ECE] {
            assert_eq!(flags_of_answer(config::Ecn::Passive, &[asks]), plain | Flags::CWR);
            assert_eq!(flags_of_answer(config::Ecn::Off, &[asks]), plain);
        }
    }

    #[test]
    fn a_syn_that_comes_again_without_asking_gets_no_ecn() {
        // RFC 3168 §6.1.1.1.
        let asks = Flags::ECE | Flags::CWR;
        assert_eq!(flags_of_answer(config::Ecn::Passive, &[asks, Flags::NONE]), Flags::SYN | Flags::ACK);
        assert_eq!(flags_of_answer(config::Ecn::Passive, &[asks, asks]), Flags::SYN | Flags::ACK | Flags::ECE);
    }

    #[test]
    fn the_ack_of_our_syn_completes_it() {
        assert_eq!(verdict(IRS + 1, Flags::ACK, ISS + 1), Verdict::Complete);
        assert_eq!(verdict(IRS + 1, Flags::ACK | Flags::FIN, ISS + 1), Verdict::Complete);
    }

    #[test]
    fn an_ack_of_something_else_is_reset() {
        // RFC 9293 §3.10.7.4, fifth, SYN-RECEIVED.
        assert_eq!(verdict(IRS + 1, Flags::ACK, ISS), Verdict::Reset);
        assert_eq!(verdict(IRS + 1, Flags::ACK, ISS + 2), Verdict::Reset);
    }

    #[test]
    fn the_same_syn_again_is_answered_again() {
        assert_eq!(verdict(IRS, Flags::SYN, Seq(0)), Verdict::Again);
    }

    #[test]
    fn a_syn_in_the_window_returns_to_listen_and_one_outside_is_challenged() {
        // RFC 9293 §3.10.7.4, fourth.
        assert_eq!(verdict(IRS + 7, Flags::SYN, Seq(0)), Verdict::Listen);
        assert_eq!(verdict(IRS - 7, Flags::SYN, Seq(0)), Verdict::Challenge(DropReason::TcpOutOfWindow));
    }

    #[test]
    fn a_reset_counts_only_at_the_exact_number() {
        // RFC 5961 §3.2; RFC 9293 §3.10.7.4, second.
        assert_eq!(verdict(IRS + 1, Flags::RST, Seq(0)), Verdict::Listen);
        assert_eq!(verdict(IRS + 2, Flags::RST, Seq(0)), Verdict::Challenge(DropReason::TcpBadReset));
        assert_eq!(verdict(IRS, Flags::RST, Seq(0)), Verdict::Drop(DropReason::TcpOutOfWindow));
    }

    #[test]
    fn a_segment_without_ack_is_dropped() {
        assert_eq!(verdict(IRS + 1, Flags::FIN, Seq(0)), Verdict::Drop(DropReason::TcpNoAck));
    }

    #[test]
    fn a_timestamp_from_before_the_syn_is_challenged() {
        let mut ack = Segment { seq: IRS + 1, flags: Flags::ACK, ack: ISS + 1, ..Segment::default() };
        ack.options.timestamps = Some(Timestamps { value: 499, echo: 0 });
        assert_eq!(embryo().receive(&ack, Instant::ZERO), Verdict::Challenge(DropReason::TcpPaws));
        ack.options.timestamps = Some(Timestamps { value: 500, echo: 0 });
        assert_eq!(embryo().receive(&ack, Instant::ZERO), Verdict::Complete);
    }

    #[test]
    fn the_syn_ack_is_repeated_with_backoff_for_at_least_three_minutes() {
        // RFC 9293 MUST-23, RFC 6298 (5.5).
        let mut embryo = embryo();
        let config = Config::default();
        let mut sent = Vec::new();
        loop {
            let now = embryo.deadline();
            if !embryo.on_timeout(&config, now) {
                assert!(now >= Instant::from_secs(180), "{now}");
                break;
            }
            sent.push(now.as_millis() / 1000);
        }
        assert_eq!(sent, [1, 3, 7, 15, 31, 63, 127]);
        assert_eq!(embryo.into_handshake(Instant::from_secs(200)).rtt, None);
    }

    #[test]
    fn a_syn_ack_sent_once_measures_the_round_trip() {
        let handshake = embryo().into_handshake(Instant::from_millis(30));
        assert_eq!((handshake.rtt, handshake.syn_ack_retransmitted), (Some(Duration::from_millis(30)), false));
    }
}
