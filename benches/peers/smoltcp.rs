//! smoltcp over a TAP, doing the work of its own benchmark: one socket that sends as fast as it can, and one that
//! receives. Port numbers and address are those of our daemon's chargen and discard, so that one client serves both.
//!
//! Buffers have 65,535 bytes and there is no congestion control, as in the benchmark that comes with it.

use crate::lab::{Namespace, Running};
use crate::site;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Medium, TunTapInterface, wait};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use std::os::fd::AsRawFd;

const BUFFER: usize = 65_535;

/// A smoltcp process at 192.0.2.2 of a namespace whose kernel is 192.0.2.1.
pub struct Smoltcp {
    _running: Running,
    namespace: Namespace,
}

impl Smoltcp {
    /// Starts it.
    pub fn start() -> Smoltcp {
        let namespace = site::namespace();
        let this = std::env::current_exe().unwrap();
        let words = ["setpriv", "--pdeathsig", "KILL", this.to_str().unwrap(), "smoltcp", "tap0"];
        let mut running = Running::start(namespace.command(&words), "smoltcp", namespace.folder().join("smoltcp"));
        running.wait_for_line("ready");
        namespace.run("ip address add 192.0.2.1/24 dev tap0 && ip link set tap0 up");
        Smoltcp { _running: running, namespace }
    }

    /// The namespace of its kernel side, where the client runs.
    pub fn client(&self) -> &Namespace {
        &self.namespace
    }
}

/// The program: serves on a TAP for ever.
pub fn serve(tap: &str) -> ! {
    let mut device = TunTapInterface::new(tap, Medium::Ethernet).unwrap();
    let mut config = Config::new(EthernetAddress([0x02, 0, 0, 0, 0, 0x02]).into());
    config.random_seed = std::process::id().into();
    let mut interface = Interface::new(config, &mut device, Instant::now());
    interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(IpAddress::v4(192, 0, 2, 2), 24)).unwrap());
    let mut sockets = SocketSet::new(Vec::new());
    let sender = sockets.add(socket());
    let receiver = sockets.add(socket());
    println!("ready");
    loop {
        let now = Instant::now();
        interface.poll(now, &mut device, &mut sockets);
        send(&mut sockets, sender);
        receive(&mut sockets, receiver);
        let delay = interface.poll_delay(now, &sockets);
        if delay.is_none_or(|delay| delay.total_micros() > 0) {
            wait(device.as_raw_fd(), delay).unwrap();
        }
    }
}

fn socket() -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    socket.set_congestion_control(tcp::CongestionControl::None);
    socket
}

fn send(sockets: &mut SocketSet, handle: SocketHandle) {
    let socket = sockets.get_mut::<tcp::Socket>(handle);
    if !socket.is_open() {
        socket.listen(19).unwrap();
    }
    while socket.can_send() {
        socket.send(|room| (room.len(), ())).unwrap();
    }
}

fn receive(sockets: &mut SocketSet, handle: SocketHandle) {
    let socket = sockets.get_mut::<tcp::Socket>(handle);
    if !socket.is_open() {
        socket.listen(9).unwrap();
    }
    while socket.can_recv() {
        socket.recv(|data| (data.len(), ())).unwrap();
    }
    if socket.state() == tcp::State::CloseWait {
        socket.close();
    }
}
