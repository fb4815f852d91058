//! What acknowledgments did to a connection, one point for each: for those who want to see TCP at work.
//!
//! Off unless [`Config::trace`](super::config::Config::trace) says so. The points of all connections that are traced stand in one ring, whose
//! bound is in [`crate::base::limits`]: the oldest make room.

use crate::base::limits::TCP_TRACE_POINTS;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// How a connection was just after a segment had arrived, or a timer had expired.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
pub struct Point {
    /// The time, in microseconds of the stack's.
    pub at_us: u64,
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The state (RFC 9293 §3.3.2).
    pub state: Cow<'static, str>,
    /// What recovery is doing: `open`, `disorder`, `recovery` or `loss`.
    pub recovery: Cow<'static, str>,
    /// The congestion control.
    pub congestion: Cow<'static, str>,
    /// The congestion window.
    pub cwnd_bytes: u32,
    /// Where slow start ends, once that is known.
    pub ssthresh_bytes: Option<u32>,
    /// Octets in the network.
    pub in_flight_bytes: u32,
    /// Smoothed round-trip time.
    pub srtt_us: Option<u64>,
    /// Octets a second at which data goes out, if it is paced.
    pub pacing_rate_bytes: Option<u64>,
    /// Octets acknowledged since the connection began.
    pub acked_bytes: u64,
    /// Octets sent again.
    pub retransmitted_bytes: u64,
}

/// The ring.
#[derive(Debug, Default)]
pub struct Trace {
    points: VecDeque<Point>,
}

impl Trace {
    /// Adds a point, unless nothing has changed but the time since the last one.
    pub(super) fn add(&mut self, point: Point) {
        if self.points.back().is_some_and(|last| Point { at_us: last.at_us, ..point.clone() } == *last) {
            return;
        }
        if self.points.len() >= TCP_TRACE_POINTS {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// The points, the oldest first.
    pub fn points(&self) -> impl ExactSizeIterator<Item = &Point> {
        self.points.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_us: u64, cwnd_bytes: u32) -> Point {
        Point {
            at_us,
            local: "192.0.2.2:80".parse().unwrap(),
            remote: "192.0.2.1:4000".parse().unwrap(),
            state: "ESTABLISHED".into(),
            recovery: "open".into(),
            congestion: "cubic".into(),
            cwnd_bytes,
            ssthresh_bytes: None,
            in_flight_bytes: 0,
            srtt_us: None,
            pacing_rate_bytes: None,
            acked_bytes: 0,
            retransmitted_bytes: 0,
        }
    }

    #[test]
    fn what_changes_nothing_is_no_point() {
        let mut trace = Trace::default();
        for (at, cwnd) in [(1, 10), (2, 10), (3, 11), (4, 10)] {
            trace.add(point(at, cwnd));
        }
        assert_eq!(trace.points().map(|point| point.at_us).collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn the_oldest_make_room() {
        let mut trace = Trace::default();
        for n in 0..TCP_TRACE_POINTS as u64 + 10 {
            trace.add(point(n, n as u32));
        }
        assert_eq!(trace.points().len(), TCP_TRACE_POINTS);
        assert_eq!(trace.points().next().map(|point| point.at_us), Some(10));
    }
}
