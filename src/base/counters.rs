//! What the stack counts besides drops, under the names that Linux's `nstat` uses where it has one.

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The names of the counters.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum Counter {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Counter {
            /// All counters, in the order of the floors.
            pub const ALL: &'static [Counter] = &[$(Counter::$name,)+];

            /// The counter's name in output.
            pub fn label(self) -> &'static str {
                match self { $(Counter::$name => stringify!($name),)+ }
            }

            /// What is counted, for a person.
            pub fn describe(self) -> &'static str {
                match self { $(Counter::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

counters! {
    // Datalink
    /// ARP requests answered.
    ArpRequestsAnswered,
    /// ARP requests sent, retries included.
    ArpRequestsSent,
    /// Address conflicts seen (RFC 5227).
    ArpConflicts,
    // Network
    /// IP packets received.
    IpInReceives,
    /// IP packets delivered to a transport.
    IpInDelivers,
    /// IP packets sent by this host.
    IpOutRequests,
    /// IP packets forwarded.
    IpForwDatagrams,
    /// Fragments received.
    IpReasmReqds,
    /// Datagrams put together again.
    IpReasmOKs,
    /// Datagrams whose reassembly failed.
    IpReasmFails,
    /// Datagrams cut into fragments.
    IpFragOKs,
    /// Fragments made.
    IpFragCreates,
    /// ICMP messages received.
    IcmpInMsgs,
    /// ICMP messages sent.
    IcmpOutMsgs,
    /// ICMP errors not sent because of the rate limit.
    IcmpOutRateLimited,
    /// IGMP reports and leaves sent.
    IgmpOutReports,
    // Transport
    /// UDP datagrams delivered.
    UdpInDatagrams,
    /// UDP datagrams sent.
    UdpOutDatagrams,
    /// TCP connections opened by us.
    TcpActiveOpens,
    /// TCP connections opened by others.
    TcpPassiveOpens,
    /// Connection attempts that failed.
    TcpAttemptFails,
    /// Established connections that were reset.
    TcpEstabResets,
    /// TCP segments received.
    TcpInSegs,
    /// TCP segments sent, retransmissions not included.
    TcpOutSegs,
    /// TCP segments retransmitted.
    TcpRetransSegs,
    /// Resets sent.
    TcpOutRsts,
    /// Retransmission timeouts.
    TcpTimeouts,
    /// Fast retransmissions.
    TcpFastRetrans,
    /// Challenge ACKs sent (RFC 5961).
    TcpChallengeAck,
    /// Challenge ACKs not sent because of the rate limit.
    TcpChallengeAckSkipped,
    /// SYN cookies sent.
    TcpSyncookiesSent,
    /// SYN cookies that came back and checked.
    TcpSyncookiesRecv,
    /// SYN cookies that came back and did not check.
    TcpSyncookiesFailed,
    /// SYNs dropped because the accept queue was full.
    TcpListenOverflows,
    /// Connections that ended by the keepalive or user timeout.
    TcpAbortOnTimeout,
    /// Connections that we opened with data on the SYN (RFC 7413).
    TcpFastOpenActive,
    /// Data on our SYN that was not taken.
    TcpFastOpenActiveFail,
    /// Connections opened by a SYN with a good cookie.
    TcpFastOpenPassive,
    /// SYNs with a cookie that was not good.
    TcpFastOpenPassiveFail,
    /// SYNs that asked for a cookie.
    TcpFastOpenCookieReqd,
    /// Good cookies that were not honoured because too many connections were pending.
    TcpFastOpenListenOverflow,
    /// Segments not sent because nothing is known to sign them with (RFC 5925).
    TcpAOUnsignable,
    /// Probes of the path MTU that arrived (RFC 4821).
    TcpMTUPSuccess,
    /// Probes of the path MTU that were lost.
    TcpMTUPFail,
    /// Zero-window probes sent.
    TcpWinProbe,
    /// Keepalives sent.
    TcpKeepAlive,
    /// Delayed ACKs sent.
    TcpDelayedACKs,
    /// Segments dropped by PAWS.
    TcpPawsEstab,
    /// TIME-WAIT connections reused by a new SYN (RFC 6191).
    TcpTimeWaitRecycled,
    /// Bytes received out of order and kept.
    TcpOfoQueue,
    /// Tail loss probes sent (RFC 8985).
    TcpLossProbes,
    /// Losses that a tail loss probe repaired.
    TcpLossProbeRecovery,
    /// Duplicates told to peers (RFC 2883).
    TcpDSACKSent,
    /// Duplicates that peers told of.
    TcpDSACKRecv,
    /// Packets that peers told us were marked (RFC 9768).
    TcpDeliveredCE,
    /// Fast recoveries that were a mistake and taken back (RFC 4015).
    TcpFullUndo,
    /// Retransmission timeouts that were a mistake and taken back (RFC 5682, RFC 4015).
    TcpSpuriousRtos,
    /// Retransmission timeouts because a peer took back what it had selectively acknowledged.
    TcpSACKReneging,
}

/// The counts.
#[derive(Clone, Debug)]
pub struct Counters(Vec<u64>);

impl Default for Counters {
    fn default() -> Self {
        Counters(vec![0; Counter::ALL.len()])
    }
}

impl Counters {
    /// Counts one.
    pub fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts `n`.
    pub fn add(&mut self, counter: Counter, n: u64) {
        if let Some(slot) = self.0.get_mut(counter as usize) {
            *slot += n;
        }
    }

    /// The count so far.
    pub fn of(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// All counters with their counts, in the order of the floors.
    pub fn all(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        Counter::ALL.iter().map(|counter| (*counter, self.of(*counter)))
    }
}
