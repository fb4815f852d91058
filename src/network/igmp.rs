//! Multicast group membership, the host's side: telling the routers of a link which groups we listen to.
//!
//! Implements IGMPv3 (RFC 3376) for hosts that join a group whatever the source ("any-source multicast": EXCLUDE mode
//! with no sources), and the older versions towards older queriers (§7.2.1; RFC 2236 §3, RFC 1112). One [`Membership`] per
//! interface; the messages themselves are in [`message`].
//!
//! A join or leave is reported at once and once more within a second (§5.1, Robustness Variable 2); a query is answered after a
//! random part of the time it allows (§5.2). Not here: source filters, the router's side.

pub mod message;

use crate::base::drops::DropReason;
use crate::base::limits;
use crate::base::random::Random;
use crate::base::time::{Duration, Instant};
use crate::datalink::InterfaceId;
use crate::network::ipv4::Ipv4;
use crate::network::options::{self, ROUTER_ALERT_OPTION};
use crate::network::packet::{Datagram, TransportHeader, protocol};
use crate::physical::frame::Body;
use message::{Query, Received, Record, RecordType};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

#[cfg(test)]
mod tests;

/// All hosts: always joined, never reported (RFC 3376 §6).
pub const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// All routers: where an IGMPv2 leave goes (RFC 2236 §3).
const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// All IGMPv3 routers: where reports go (RFC 3376 §4.2.14).
const IGMPV3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
/// How often a change is reported (RFC 3376 §8.1).
const ROBUSTNESS: u8 = 2;
/// The longest wait before a change is reported again (RFC 3376 §8.11).
const UNSOLICITED_REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The same for the older versions (RFC 2236 §8.10).
const OLD_UNSOLICITED_REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// How long an older querier is remembered: Robustness x Query Interval + Query Response Interval (RFC 3376 §8.12).
const OLDER_VERSION_QUERIER_PRESENT: Duration = Duration::from_secs(2 * 125 + 10);
/// What an IGMPv1 query means by its zero (RFC 2236 §4).
const V1_RESPONSE_TIME: Duration = Duration::from_secs(10);
/// Groups told of in one report, so that it fits any link that fits 576 bytes.
const RECORDS_PER_REPORT: usize = 64;
/// Internetwork Control (RFC 3376 §4: the type of service is 0xc0).
const TRAFFIC_CLASS: u8 = 0xc0;

/// The version spoken, that of the oldest querier heard lately (RFC 3376 §7.2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// RFC 1112.
    V1,
    /// RFC 2236.
    V2,
    /// RFC 3376.
    V3,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    Join,
    Leave,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    /// How many sockets hold it. Zero: left, and still to be reported.
    holders: usize,
    /// A change that is still to be reported so many times, next at the given moment.
    change: Option<(Change, u8, Instant)>,
    /// When a query is to be answered.
    response: Option<Instant>,
    /// IGMPv2: the last report of this group was ours, so that a leave is worth sending (RFC 2236 §3).
    last_reporter: bool,
}

/// The groups of one interface.
#[derive(Clone, Debug)]
pub struct Membership {
    interface: InterfaceId,
    source: Ipv4Addr,
    groups: BTreeMap<Ipv4Addr, Group>,
    v1_until: Instant,
    v2_until: Instant,
    /// When a general query is to be answered by IGMPv3.
    general_response: Option<Instant>,
    transmit: VecDeque<Datagram>,
    random: Random,
}

impl Membership {
    /// Only [`ALL_SYSTEMS`] is joined.
    pub fn new(interface: InterfaceId, random: &mut Random) -> Self {
        Membership {
            interface,
            source: Ipv4Addr::UNSPECIFIED,
            groups: BTreeMap::new(),
            v1_until: Instant::ZERO,
            v2_until: Instant::ZERO,
            general_response: None,
            transmit: VecDeque::new(),
            random: random.fork(),
        }
    }

    /// The address reports are sent from; 0.0.0.0 while there is none (RFC 3376 §4.2.13).
    pub fn set_source(&mut self, source: Ipv4Addr) {
        self.source = source;
    }

    /// Joins a group, once more if it is joined. False if it is no group or there are too many.
    pub fn join(&mut self, group: Ipv4Addr, now: Instant) -> bool {
        if !group.is_multicast() {
            return false;
        }
        if group == ALL_SYSTEMS {
            return true;
        }
        if !self.groups.contains_key(&group) && self.groups.len() >= limits::GROUPS {
            return false;
        }
        let entry = self.groups.entry(group).or_insert(Group {
            holders: 0,
            change: None,
            response: None,
            last_reporter: false,
        });
        entry.holders += 1;
        if entry.holders == 1 {
            entry.change = Some((Change::Join, ROBUSTNESS, now));
            self.handle_timeout(now);
        }
        true
    }

    /// Leaves a group; it is left when all who joined it have left. False if it was not joined.
    pub fn leave(&mut self, group: Ipv4Addr, now: Instant) -> bool {
        if group == ALL_SYSTEMS {
            return true;
        }
        let Some(entry) = self.groups.get_mut(&group).filter(|entry| entry.holders > 0) else { return false };
        entry.holders -= 1;
        if entry.holders == 0 {
            entry.response = None;
            entry.change = Some((Change::Leave, ROBUSTNESS, now));
            self.handle_timeout(now);
        }
        true
    }

    /// True if packets to `group` are for us.
    pub fn is_member(&self, group: Ipv4Addr) -> bool {
        group == ALL_SYSTEMS || self.groups.get(&group).is_some_and(|entry| entry.holders > 0)
    }

    /// The joined groups in order, without [`ALL_SYSTEMS`].
    pub fn groups(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.groups.iter().filter(|(_, entry)| entry.holders > 0).map(|(group, _)| *group)
    }

    /// The version that is spoken.
    pub fn version(&self, now: Instant) -> Version {
        if now < self.v1_until {
            Version::V1
        } else if now < self.v2_until {
            Version::V2
        } else {
            Version::V3
        }
    }

    /// Takes in an IGMP packet.
    ///
    /// # Errors
    /// [`DropReason::IgmpMalformed`], also for queries that no router of this link can have sent (RFC 3376 §9.1).
    pub fn receive(&mut self, ip: &Ipv4, now: Instant) -> Result<(), DropReason> {
        match message::parse(&ip.payload())? {
            Received::Query(query) => {
                let alerts = options::check(ip.options()).is_ok_and(|seen| seen.router_alert);
                let to_us_all = query.group.is_unspecified() && !query.is_v3() && ip.destination != ALL_SYSTEMS;
                // IGMPv1 knew no Router Alert.
                if ip.ttl != 1 || (!alerts && !query.is_v1()) || to_us_all {
                    return Err(DropReason::IgmpMalformed);
                }
                self.handle_query(query, now);
            }
            Received::Report(group) if self.version(now) < Version::V3 => {
                // RFC 2236 §3: somebody else's report makes ours superfluous.
                if let Some(entry) = self.groups.get_mut(&group) {
                    entry.response = None;
                    entry.last_reporter = false;
                    if matches!(entry.change, Some((Change::Join, _, _))) {
                        entry.change = None;
                    }
                }
            }
            Received::Report(_) | Received::Other => {}
        }
        Ok(())
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.version(now) == Version::V3 {
            self.report_changes(now);
            self.respond(now);
        } else {
            self.report_the_old_way(now);
        }
        self.groups.retain(|_, entry| entry.holders > 0 || entry.change.is_some());
    }

    /// When [`Membership::handle_timeout`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.groups
            .values()
            .flat_map(|entry| [entry.response, entry.change.map(|(_, _, at)| at)])
            .chain([self.general_response])
            .flatten()
            .min()
    }

    /// The next message to send, until `None`.
    pub fn poll_transmit(&mut self) -> Option<Datagram> {
        self.transmit.pop_front()
    }

    fn handle_query(&mut self, query: Query, now: Instant) {
        if query.is_v1() {
            self.v1_until = now + OLDER_VERSION_QUERIER_PRESENT;
        } else if !query.is_v3() {
            self.v2_until = now + OLDER_VERSION_QUERIER_PRESENT;
        }
        if self.version(now) < Version::V3 {
            // RFC 3376 §7.2.1: changing to an older version cancels what was pending of the newer one.
            self.general_response = None;
        }
        let longest = if query.is_v1() { V1_RESPONSE_TIME } else { query.max_response };
        let at = now + self.random.duration(Duration::ZERO, longest);
        // RFC 3376 §5.2 rule 1: a general answer that comes sooner covers this query too.
        if self.general_response.is_some_and(|general| general <= at) {
            return;
        }
        if query.group.is_unspecified() && self.version(now) == Version::V3 {
            self.general_response = Some(at);
            return;
        }
        let interval = longest;
        for (group, entry) in &mut self.groups {
            let asked = query.group.is_unspecified() || query.group == *group;
            if entry.holders == 0 || !asked {
                continue;
            }
            let at =
                if query.group.is_unspecified() { now + self.random.duration(Duration::ZERO, interval) } else { at };
            entry.response = Some(entry.response.map_or(at, |pending| pending.min(at)));
        }
    }

    /// RFC 3376 §5.1: all changes that are due in one report.
    fn report_changes(&mut self, now: Instant) {
        let mut records = Vec::new();
        for (group, entry) in &mut self.groups {
            let Some((change, left, at)) = entry.change else { continue };
            if now < at {
                continue;
            }
            let kind = match change {
                Change::Join => RecordType::ChangeToExclude,
                Change::Leave => RecordType::ChangeToInclude,
            };
            records.push(Record { kind, group: *group });
            let again = now + self.random.duration(Duration::from_millis(1), UNSOLICITED_REPORT_INTERVAL);
            entry.change = (left > 1).then_some((change, left - 1, again));
        }
        self.send_records(&records);
    }

    /// RFC 3376 §5.2: the state of what was asked for.
    fn respond(&mut self, now: Instant) {
        let general = self.general_response.is_some_and(|at| at <= now);
        if general {
            self.general_response = None;
        }
        let mut records = Vec::new();
        for (group, entry) in &mut self.groups {
            let asked = entry.response.is_some_and(|at| at <= now);
            if asked || general {
                entry.response = None;
            }
            if (asked || general) && entry.holders > 0 {
                records.push(Record { kind: RecordType::IsExclude, group: *group });
            }
        }
        self.send_records(&records);
    }

    /// RFC 2236 §3: one report per group, to the group itself; a leave to all routers.
    fn report_the_old_way(&mut self, now: Instant) {
        let version = self.version(now);
        let mut messages: Vec<(Ipv4Addr, [u8; 8])> = Vec::new();
        let report = if version == Version::V1 { message::V1_REPORT } else { message::V2_REPORT };
        for (group, entry) in &mut self.groups {
            if entry.response.is_some_and(|at| at <= now) {
                entry.response = None;
                entry.last_reporter = true;
                messages.push((*group, message::emit_old(report, *group)));
            }
            match entry.change {
                Some((Change::Join, left, at)) if at <= now => {
                    entry.last_reporter = true;
                    messages.push((*group, message::emit_old(report, *group)));
                    let again = now + self.random.duration(Duration::from_millis(1), OLD_UNSOLICITED_REPORT_INTERVAL);
                    entry.change = (left > 1).then_some((Change::Join, left - 1, again));
                }
                Some((Change::Leave, _, at)) if at <= now => {
                    // A leave is sent once, and IGMPv1 has none.
                    if version == Version::V2 && entry.last_reporter {
                        messages.push((ALL_ROUTERS, message::emit_old(message::V2_LEAVE, *group)));
                    }
                    entry.change = None;
                }
                _ => {}
            }
        }
        for (destination, bytes) in messages {
            self.send(destination, &bytes);
        }
    }

    fn send_records(&mut self, records: &[Record]) {
        // RFC 3376 §4.2.16: what does not fit one report goes into more.
        for records in records.chunks(RECORDS_PER_REPORT) {
            self.send(IGMPV3_ROUTERS, &message::emit_report(records));
        }
    }

    fn send(&mut self, destination: Ipv4Addr, bytes: &[u8]) {
        self.transmit.push_back(Datagram {
            hop_limit: 1,
            traffic_class: TRAFFIC_CLASS,
            options: SmallVec::from_slice(&ROUTER_ALERT_OPTION),
            interface: Some(self.interface),
            ..Datagram::new(
                IpAddr::V4(self.source),
                IpAddr::V4(destination),
                protocol::IGMP,
                TransportHeader::from_slice(bytes),
                Body::new(),
            )
        });
    }
}
