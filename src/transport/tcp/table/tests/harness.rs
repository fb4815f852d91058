//! A table with everything around it, and segments in short notation.

use super::super::*;
use crate::base::counters::Counters;
pub(super) use crate::base::time::Duration;
use crate::datalink::InterfaceId;
use crate::network::packet::{Paths, protocol};
use crate::physical::frame::{Body, ReceivedChecksum};
use crate::transport::tcp::options::{Options, Timestamps};
use crate::transport::tcp::segment::{Flags, Header, emit};
use bytes::Bytes;

pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub(super) const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
pub(super) const WWW: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(SERVER, 80));
pub(super) const PEER: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(CLIENT, 40_000));

pub(super) const S: Flags = Flags::SYN;
pub(super) const A: Flags = Flags::ACK;
pub(super) const R: Flags = Flags::RST;
pub(super) const F: Flags = Flags::FIN;
pub(super) const SA: Flags = Flags::SYN.with(Flags::ACK);
pub(super) const RA: Flags = Flags::RST.with(Flags::ACK);
pub(super) const FA: Flags = Flags::FIN.with(Flags::ACK);

pub(super) struct Lan(pub(super) Ipv4Addr);

impl Paths for Lan {
    fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        (destination != IpAddr::from([198, 51, 100, 1])).then_some(self.0.into())
    }
    fn mtu_to(&self, _destination: IpAddr) -> u16 {
        1500
    }
    fn is_local(&self, address: IpAddr) -> bool {
        address == IpAddr::V4(self.0)
    }
}

pub(super) struct Host {
    pub(super) tcp: Tcp,
    pub(super) now: Instant,
    pub(super) counters: Counters,
    random: Random,
    lan: Lan,
}

impl Host {
    pub(super) fn new(address: Ipv4Addr, seed: u64) -> Self {
        Host::with(address, seed, Config::default(), limits::TCP_TIME_WAITS)
    }

    pub(super) fn with(address: Ipv4Addr, seed: u64, config: Config, time_waits: usize) -> Self {
        let mut random = Random::from_seed(seed);
        let tcp = Tcp::with_time_waits(time_waits, &mut random, config);
        Host { tcp, now: Instant::from_secs(1000), counters: Counters::default(), random, lan: Lan(address) }
    }

    pub(super) fn server() -> Self {
        Host::new(SERVER, 1)
    }

    pub(super) fn call<R>(&mut self, call: impl FnOnce(&mut Tcp, &mut Context<'_>) -> R) -> R {
        let Host { tcp, now, counters, random, lan } = self;
        call(tcp, &mut Context { now: *now, random, counters, paths: lan, may_refuse: true })
    }

    pub(super) fn listen(&mut self, backlog: usize) -> ListenerId {
        self.call(|tcp, cx| tcp.listen(WWW, backlog, None, cx)).unwrap()
    }

    pub(super) fn receive(&mut self, packet: &Packet) -> Outcome {
        self.call(|tcp, cx| tcp.receive(packet, cx))
    }

    /// Everything that waits to be sent, as the peer would read it.
    pub(super) fn sent(&mut self) -> Vec<Segment> {
        std::iter::from_fn(|| self.transmit()).map(|datagram| read(&datagram)).collect()
    }

    /// The only segment that waits to be sent.
    pub(super) fn reply(&mut self) -> Segment {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    pub(super) fn transmit(&mut self) -> Option<Datagram> {
        self.call(|tcp, cx| tcp.poll_transmit(cx))
    }

    /// Lets time pass, with every timeout at its time; gives what was sent.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<Segment> {
        let end = self.now + time;
        let mut sent = Vec::new();
        while let Some(next) = self.tcp.deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.call(|tcp, cx| tcp.handle_timeout(cx));
            sent.extend(self.sent());
        }
        self.now = end;
        sent
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.tcp.poll_event()).collect()
    }

    /// The handshake from `remote`; gives our ISS.
    pub(super) fn handshake(&mut self, remote: SocketAddr, irs: Seq) -> Seq {
        assert_eq!(self.receive(&syn(remote, irs).packet()), Outcome::Answered);
        let iss = self.reply().seq;
        self.receive(&from(remote, A).seq(irs + 1).ack(iss + 1).packet());
        iss
    }

    /// A connection from `remote`, accepted; gives our ISS with it.
    pub(super) fn accepted(&mut self, listener: ListenerId, remote: SocketAddr, irs: Seq) -> (ConnectionId, Seq) {
        let iss = self.handshake(remote, irs);
        let (id, peer) = self.tcp.accept(listener).unwrap();
        assert_eq!(peer, remote);
        (id, iss)
    }

    /// A connection from `remote` that we close first; gives our ISS. The table is left with a TIME-WAIT record.
    pub(super) fn time_wait(&mut self, listener: ListenerId, remote: SocketAddr, irs: Seq) -> Seq {
        let (id, iss) = self.accepted(listener, remote, irs);
        self.call(|tcp, cx| tcp.close(id, cx));
        assert_eq!(self.reply().flags.without(Flags::PSH), FA);
        self.receive(&from(remote, FA).seq(irs + 1).ack(iss + 2).packet());
        assert_eq!(self.reply().ack, irs + 2);
        iss
    }

    pub(super) fn is_empty(&self) -> bool {
        let tcp = &self.tcp;
        tcp.owners.is_empty() && tcp.connections.is_empty() && tcp.embryos.is_empty() && tcp.time_waits.len() == 0
    }
}

/// A segment to be received.
#[derive(Clone)]
pub(super) struct Draft {
    header: Header,
    options: Options,
    data: Bytes,
}

/// A segment from `remote` to the server's port 80.
pub(super) fn from(remote: SocketAddr, flags: Flags) -> Draft {
    let header = Header { local: remote, remote: WWW, seq: Seq(0), ack: Seq(0), flags, window: 60_000, urgent: 0 };
    Draft { header, options: Options::default(), data: Bytes::new() }
}

/// A SYN without options.
pub(super) fn syn(remote: SocketAddr, irs: Seq) -> Draft {
    from(remote, S).seq(irs)
}

impl Draft {
    pub(super) fn seq(mut self, seq: Seq) -> Self {
        self.header.seq = seq;
        self
    }
    pub(super) fn ack(mut self, ack: Seq) -> Self {
        self.header.ack = ack;
        self
    }
    pub(super) fn data(mut self, data: &'static [u8]) -> Self {
        self.data = Bytes::from_static(data);
        self
    }
    pub(super) fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }
    pub(super) fn stamp(mut self, value: u32, echo: u32) -> Self {
        self.options.timestamps = Some(Timestamps { value, echo });
        self
    }
    pub(super) fn packet(self) -> Packet {
        let body = if self.data.is_empty() { Body::new() } else { Body::from_iter([self.data]) };
        carry(&emit(&self.header, &self.options, body, None))
    }
}

/// What the network makes of a datagram.
pub(super) fn carry(datagram: &Datagram) -> Packet {
    let mut payload = datagram.header.to_vec();
    datagram.body.iter().for_each(|part| payload.extend_from_slice(part));
    Packet {
        source: datagram.source,
        destination: datagram.destination,
        protocol: protocol::TCP,
        hop_limit: 64,
        traffic_class: datagram.traffic_class,
        cast: Cast::Unicast,
        payload: payload.into(),
        datagram: Bytes::new(),
        checksum: ReceivedChecksum::Vouched,
        segment_size: datagram.segment_size,
        interface: InterfaceId(0),
    }
}

/// The packets that a device makes of a super-segment: FIN and PSH stand on the last.
pub(super) fn cut(datagram: &Datagram) -> Vec<Packet> {
    let Some(size) = datagram.segment_size else { return vec![carry(datagram)] };
    let Segment { seq, ack, flags, window, urgent, options, payload, .. } = read(datagram);
    let ports = [0, 2].map(|at| u16::from_be_bytes([datagram.header[at], datagram.header[at + 1]]));
    let (local, remote) = ((datagram.source, ports[0]).into(), (datagram.destination, ports[1]).into());
    let mut packets = Vec::new();
    let mut from = 0;
    while from < payload.len() {
        let to = payload.len().min(from + usize::from(size));
        let flags = if to < payload.len() { flags.without(Flags::FIN | Flags::PSH) } else { flags };
        let header = Header { local, remote, seq: seq + from as u32, ack, flags, window, urgent };
        packets.push(carry(&emit(&header, &options, Body::from_iter([payload.slice(from..to)]), None)));
        from = to;
    }
    packets
}

pub(super) fn read(datagram: &Datagram) -> Segment {
    Segment::parse(&carry(datagram)).unwrap().2
}

pub(super) fn peer(port: u16) -> SocketAddr {
    (CLIENT, port).into()
}
