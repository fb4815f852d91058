//! tapstack as an endpoint: the sockets of tasks, polled by hand.

use crate::endpoint::{Endpoint, Final, Opening, Read, Write};
use crate::script::Knobs;
use crate::sim;
use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tapstack::base::random::Random;
use tapstack::base::time::Instant;
use tapstack::physical::frame::{DeviceId, Frame};
use tapstack::physical::segmentation::Segments;
use tapstack::session::host::Host;
use tapstack::session::tcp::{ListenOptions, TcpListener, TcpStream};
use tapstack::stack::Stack;
use tapstack::transport::tcp::config::Config;

/// A host with one connection.
pub struct TapEndpoint {
    host: Host,
    config: Config,
    address: [u8; 4],
    listener: Option<TcpListener>,
    connecting: Option<Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>>,
    failed: bool,
    stream: Option<TcpStream>,
}

impl TapEndpoint {
    pub fn new(last: u8, knobs: &Knobs, seed: u64) -> Self {
        let config = Config {
            receive_buffer: knobs.receive_buffer,
            send_buffer: knobs.send_buffer,
            nagle: knobs.nagle,
            delayed_ack: knobs.delayed_ack,
            timestamps: knobs.timestamps,
            ..Config::default()
        };
        let mut made = sim::host(last);
        made.interfaces[0].mtu = knobs.mtu;
        let host = Host::new(Stack::new(made, Random::from_seed(seed)), sim::UNIX_ORIGIN);
        TapEndpoint {
            host,
            config,
            address: [192, 0, 2, last],
            listener: None,
            connecting: None,
            failed: false,
            stream: None,
        }
    }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl Endpoint for TapEndpoint {
    fn listen(&mut self, port: u16) {
        let local = SocketAddr::from((self.address, port));
        let options = ListenOptions { backlog: None, config: Some(self.config.clone()) };
        self.listener = Some(TcpListener::bind_with(self.host.net(), local, options).unwrap());
    }

    fn connect(&mut self, local_port: u16, remote: [u8; 4], remote_port: u16) {
        let (net, config) = (self.host.net().clone(), self.config.clone());
        let (local, remote) = (SocketAddr::from((self.address, local_port)), SocketAddr::from((remote, remote_port)));
        self.connecting =
            Some(Box::pin(async move { TcpStream::connect_with(&net, Some(local), remote, Some(config)).await }));
        self.opening();
    }

    fn opening(&mut self) -> Opening {
        if let Some(connecting) = &mut self.connecting
            && let Poll::Ready(opened) = connecting.as_mut().poll(&mut context())
        {
            self.connecting = None;
            self.failed = opened.is_err();
            self.stream = opened.ok();
        }
        if let Some(listener) = &self.listener
            && let Poll::Ready(accepted) = listener.poll_accept(&mut context())
        {
            self.stream = Some(accepted.unwrap());
            self.listener = None;
        }
        match (&self.stream, self.failed) {
            (Some(_), _) => Opening::Open,
            (None, true) => Opening::Failed,
            (None, false) => Opening::Pending,
        }
    }

    fn read(&mut self, max: usize) -> Read {
        let mut room = vec![0; max];
        match Pin::new(self.stream.as_mut().unwrap()).poll_read(&mut context(), &mut room) {
            Poll::Pending => Read::WouldBlock,
            Poll::Ready(Ok(0)) => Read::End,
            Poll::Ready(Ok(len)) => Read::Data(Bytes::copy_from_slice(&room[..len])),
            Poll::Ready(Err(_)) => Read::Failed,
        }
    }

    fn write(&mut self, data: &Bytes) -> Write {
        match Pin::new(self.stream.as_mut().unwrap()).poll_write(&mut context(), data) {
            Poll::Pending => Write::WouldBlock,
            Poll::Ready(Ok(len)) => Write::Taken(len),
            Poll::Ready(Err(_)) => Write::Failed,
        }
    }

    fn shutdown_write(&mut self) {
        self.stream.as_mut().unwrap().shutdown_write();
    }

    fn abort(&mut self) {
        self.stream.as_mut().unwrap().abort();
        self.stream = None;
    }

    fn close(&mut self) {
        self.stream = None;
    }

    fn state(&mut self) -> Final {
        self.host.net().with_stack(|stack| {
            let rows = stack.show_sockets();
            match rows.iter().find(|row| row.protocol == "tcp" && row.state != "LISTEN") {
                None => Final::Closed,
                Some(row) if row.state == "TIME-WAIT" => Final::TimeWait,
                Some(_) => Final::Other("open"),
            }
        })
    }

    fn run(&mut self, now: Instant) {
        self.host.run(now);
    }

    fn receive(&mut self, now: Instant, frame: Bytes) {
        self.host.receive(now, DeviceId(0), Frame::plain(frame));
    }

    fn transmit(&mut self, now: Instant, out: &mut Vec<Bytes>) {
        self.host.net().with_stack(|stack| stack.check_invariants()).unwrap();
        let mut buffer = Vec::new();
        while let Some((_, frame)) = self.host.poll_transmit(now) {
            for segment in Segments::of(&frame).unwrap() {
                buffer.clear();
                segment.write_into(&mut buffer);
                out.push(Bytes::copy_from_slice(&buffer));
            }
        }
    }

    fn deadline(&mut self, _: Instant) -> Option<Instant> {
        self.host.deadline()
    }
}
