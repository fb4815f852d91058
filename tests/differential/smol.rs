//! smoltcp as an endpoint: one interface, one TCP socket, frames in two queues.

use crate::endpoint::{Endpoint, Final, Opening, Read, Write};
use crate::script::Knobs;
use bytes::Bytes;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
use std::cell::Cell;
use std::collections::VecDeque;
use tapstack::base::time::Instant;

/// Frames that arrived and frames to be sent.
struct Queues {
    received: VecDeque<Bytes>,
    sent: VecDeque<Bytes>,
    mtu: usize,
}

struct Received(Bytes);
struct Sending<'a>(&'a mut VecDeque<Bytes>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.push_back(frame.into());
        result
    }
}

impl Device for Queues {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received, Sending<'_>)> {
        Some((Received(self.received.pop_front()?), Sending(&mut self.sent)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + 14;
        capabilities
    }
}

thread_local! {
    /// smoltcp asks a plain function for its timestamps.
    static NOW_MILLIS: Cell<u32> = const { Cell::new(0) };
}

/// A smoltcp interface with one socket.
pub struct SmolEndpoint {
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    queues: Queues,
}

fn smol(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(i64::try_from(now.as_micros()).unwrap())
}

impl SmolEndpoint {
    pub fn new(last: u8, knobs: &Knobs, seed: u64) -> Self {
        // It leaves the options out of the MSS and drops what is too long for its device: see `departures`.
        let mtu = usize::from(knobs.mtu) + if knobs.timestamps { 12 } else { 0 };
        let mut queues = Queues { received: VecDeque::new(), sent: VecDeque::new(), mtu };
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, last])));
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut queues, smol(Instant::from_secs(1)));
        interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(IpAddress::v4(192, 0, 2, last), 24)).unwrap());
        let buffer = |len| SocketBuffer::new(vec![0; len]);
        let mut socket = Socket::new(buffer(knobs.receive_buffer), buffer(knobs.send_buffer));
        socket.set_nagle_enabled(knobs.nagle);
        socket.set_ack_delay(
            knobs.delayed_ack.map(|delay| smoltcp::time::Duration::from_micros(delay.as_micros() as u64)),
        );
        socket.set_congestion_control(CongestionControl::Reno);
        if knobs.timestamps {
            socket.set_tsval_generator(Some(|| NOW_MILLIS.get()));
        }
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        SmolEndpoint { interface, sockets, socket, queues }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }
}

impl Endpoint for SmolEndpoint {
    fn listen(&mut self, port: u16) {
        self.socket().listen(port).unwrap();
    }

    fn connect(&mut self, local_port: u16, remote: [u8; 4], remote_port: u16) {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.socket);
        socket
            .connect(
                self.interface.context(),
                (IpAddress::from(std::net::Ipv4Addr::from(remote)), remote_port),
                local_port,
            )
            .unwrap();
    }

    fn opening(&mut self) -> Opening {
        match self.socket().state() {
            State::Listen | State::SynSent | State::SynReceived => Opening::Pending,
            State::Closed => Opening::Failed,
            _ => Opening::Open,
        }
    }

    fn read(&mut self, max: usize) -> Read {
        let mut room = vec![0; max];
        match self.socket().recv_slice(&mut room) {
            Ok(0) => Read::WouldBlock,
            Ok(len) => Read::Data(Bytes::copy_from_slice(&room[..len])),
            Err(RecvError::Finished) => Read::End,
            Err(RecvError::InvalidState) => Read::Failed,
        }
    }

    fn write(&mut self, data: &Bytes) -> Write {
        match self.socket().send_slice(data) {
            Ok(0) => Write::WouldBlock,
            Ok(len) => Write::Taken(len),
            Err(_) => Write::Failed,
        }
    }

    fn shutdown_write(&mut self) {
        self.socket().close();
    }

    fn abort(&mut self) {
        self.socket().abort();
    }

    fn close(&mut self) {
        self.socket().close();
    }

    fn state(&mut self) -> Final {
        match self.socket().state() {
            // A listener is no connection.
            State::Closed | State::Listen => Final::Closed,
            State::TimeWait => Final::TimeWait,
            _ => Final::Other("open"),
        }
    }

    fn run(&mut self, _: Instant) {}

    fn receive(&mut self, _: Instant, frame: Bytes) {
        self.queues.received.push_back(frame);
        // The answer is made by the next poll, like that of a device with a ring.
    }

    fn transmit(&mut self, now: Instant, out: &mut Vec<Bytes>) {
        NOW_MILLIS.set(now.as_millis() as u32);
        self.interface.poll(smol(now), &mut self.queues, &mut self.sockets);
        out.extend(self.queues.sent.drain(..));
    }

    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let next = self.interface.poll_at(smol(now), &self.sockets)?;
        Some(Instant::from_micros(u64::try_from(next.total_micros()).unwrap_or(0)))
    }
}
