//! What TCP answers on behalf of no connection: a bounded queue, and the rates of the answers that a
//! stranger can provoke at will.

use crate::base::bucket::Bucket;
use crate::base::counters::{Counter, Counters};
use crate::base::limits;
use crate::base::time::Instant;
use crate::network::packet::Datagram;
use crate::transport::tcp::reset::reset_for;
use crate::transport::tcp::segment::Segment;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Answers that wait for the device: resets, SYN-ACKs, the ACKs of TIME-WAIT.
#[derive(Debug)]
pub(super) struct Replies {
    queue: VecDeque<Datagram>,
    resets: Bucket,
    /// RFC 5961 §7: challenge ACKs in all.
    challenges: Bucket,
}

impl Replies {
    pub(super) fn new() -> Self {
        let bucket = |rate: u32| Bucket::new(rate, rate);
        Replies {
            queue: VecDeque::new(),
            resets: bucket(limits::TCP_RESETS_PER_SECOND),
            challenges: bucket(limits::TCP_CHALLENGE_ACKS_PER_SECOND),
        }
    }

    /// Queues an answer; false if the queue is full.
    pub(super) fn push(&mut self, datagram: Datagram, counters: &mut Counters) -> bool {
        if self.queue.len() >= limits::TCP_REPLIES {
            return false;
        }
        counters.count(Counter::TcpOutSegs);
        self.queue.push_back(datagram);
        true
    }

    /// Queues the reset that answers `segment`, if it may be answered and the rate allows it.
    pub(super) fn reset(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        segment: &Segment,
        now: Instant,
        counters: &mut Counters,
    ) -> bool {
        let Some(reset) = reset_for(local, remote, segment) else { return false };
        if !self.resets.take(now) || !self.push(reset, counters) {
            return false;
        }
        counters.count(Counter::TcpOutRsts);
        true
    }

    /// Takes one challenge ACK from what all connections together may send (RFC 5961 §7).
    pub(super) fn may_challenge(&mut self, now: Instant) -> bool {
        self.challenges.take(now)
    }

    /// Queues a challenge ACK, if the rate allows it.
    pub(super) fn challenge(&mut self, ack: Datagram, now: Instant, counters: &mut Counters) {
        let is_sent = self.may_challenge(now) && self.push(ack, counters);
        counters.count(if is_sent { Counter::TcpChallengeAck } else { Counter::TcpChallengeAckSkipped });
    }

    pub(super) fn pop(&mut self) -> Option<Datagram> {
        self.queue.pop_front()
    }
}
