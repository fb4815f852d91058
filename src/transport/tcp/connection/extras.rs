//! What few connections have, made when it is first needed: one pointer in those that never need it.

use super::Connection;
use super::ecn::Accurate;
use super::fast_open::FastOpen;
use super::path_search::PathSearch;
use super::user_timeout::UserTimeout;
use crate::base::bucket::Bucket;
use crate::base::seq::Seq;
use crate::transport::tcp::metrics::Metrics;

/// What few connections have, or have for a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Extras {
    /// What earlier connections to the same host have learned, until it is used.
    pub(super) recalled: Option<Metrics>,
    /// All segments are signed (RFC 5925).
    pub(super) is_authenticated: bool,
    /// An opening with data on the SYN (RFC 7413).
    pub(super) fast_open: Option<FastOpen>,
    /// A search for the path MTU without ICMP (RFC 4821).
    pub(super) path_search: Option<PathSearch>,
    /// What both sides say of their patience (RFC 5482).
    pub(super) user_timeout: Option<UserTimeout>,
    /// Accurate ECN (RFC 9768), while that is agreed on.
    pub(super) accurate: Option<Box<Accurate>>,
    /// Limits challenge ACKs (RFC 5961 §7), once there was one.
    pub(super) challenges: Option<Bucket>,
    pub(super) urgent: Urgent,
}

/// The urgent pointers (RFC 9293 §3.8.5): the first octet each way that is not urgent, while there are urgent ones
/// (RFC 9293 MUST-62).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Urgent {
    /// SND.UP.
    pub(super) snd_up: Option<Seq>,
    /// RCV.UP.
    pub(super) rcv_up: Option<Seq>,
}

impl Extras {
    fn is_empty(&self) -> bool {
        let Extras { recalled, is_authenticated, fast_open, path_search, user_timeout, accurate, challenges, urgent } =
            self;
        !is_authenticated
            && recalled.is_none()
            && fast_open.is_none()
            && path_search.is_none()
            && user_timeout.is_none()
            && accurate.is_none()
            && challenges.is_none()
            && urgent.snd_up.is_none()
            && urgent.rcv_up.is_none()
    }
}

impl Connection {
    /// To be changed, and made if there are none.
    pub(super) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// The urgent pointers.
    pub(super) fn urgent(&self) -> Urgent {
        self.extras.as_ref().map_or(Urgent::default(), |extras| extras.urgent)
    }

    /// All segments will be signed: each by itself, with room left for the option.
    pub(in crate::transport::tcp) fn authenticate(&mut self) {
        self.extras().is_authenticated = true;
    }

    /// True if all segments are signed.
    pub(super) fn is_authenticated(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.is_authenticated)
    }

    /// Lets go of what holds nothing.
    pub(super) fn shed_extras(&mut self) {
        self.extras.take_if(|extras| extras.is_empty());
    }
}
