//! TCP sockets for tasks: [`TcpListener`] and [`TcpStream`].
//!
//! A stream hands received bytes up as they lie in memory ([`TcpStream::read_bytes`]) and takes bytes to
//! send without a copy ([`TcpStream::write_bytes`]); the ecosystem's traits, which lend a slice, cost one
//! copy. Dropping a stream closes it: what was written is delivered and acknowledged in the background, but
//! data that nobody read is answered with a reset (RFC 9293 §3.6.1, MUST-12; RFC 2525 §2.17).

use crate::base::time::Duration;
use crate::session::connection::Connection;
use crate::session::io_traits::{Sink, Source, reads, writes};
use crate::session::net::Net;
use crate::session::wakers::Direction;
use crate::transport::tcp::config::Config;
use crate::transport::tcp::connection::Read;
use crate::transport::tcp::ends::Ends;
use crate::transport::tcp::info::Info;
use crate::transport::tcp::table::{ConnectionId, ListenerId};
use bytes::Bytes;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The most that one call takes from a lent slice: a super-segment's worth, so that a large slice is not
/// copied whole only to be refused.
const COPY_AT_ONCE: usize = 64 << 10;

/// How a listener listens.
#[derive(Clone, Debug, Default)]
pub struct ListenOptions {
    /// Connections that may wait for [`TcpListener::accept`]; the stack's default if `None`.
    pub backlog: Option<usize>,
    /// TCP's knobs for the connections accepted; the stack's defaults if `None`.
    pub config: Option<Config>,
}

/// A socket that accepts connections.
#[derive(Debug)]
pub struct TcpListener {
    net: Net,
    id: ListenerId,
    local: SocketAddr,
}

impl TcpListener {
    /// Listens on `local`; an unspecified address means all of ours.
    ///
    /// # Errors
    /// `AddrInUse` if somebody listens there already, `PermissionDenied` for a reserved port that the
    /// configuration does not name, `AddrNotAvailable` for an address that is not ours.
    pub fn bind(net: &Net, local: SocketAddr) -> io::Result<Self> {
        Self::bind_with(net, local, ListenOptions::default())
    }

    /// Listens on `local` with options.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind_with(net: &Net, local: SocketAddr, options: ListenOptions) -> io::Result<Self> {
        let id = net.with_stack(|stack| stack.tcp_listen(local, options.backlog, options.config))?;
        Ok(TcpListener { net: net.clone(), id, local })
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// None at present; the type leaves room for limits.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// The next connection, if one waits.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        match self.net.with_stack(|stack| stack.tcp_accept(self.id)) {
            Some((id, local, peer)) => Poll::Ready(Ok(TcpStream::new(self.net.clone(), id, local, peer))),
            None => {
                self.net.wakers(|wakers| wakers.wait_listener(self.id, cx.waker()));
                Poll::Pending
            }
        }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The stack it listens on.
    pub fn net(&self) -> &Net {
        &self.net
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let (now, id) = (self.net.now(), self.id);
        self.net.with_stack(|stack| stack.tcp_close_listener(now, id));
        self.net.wakers(|wakers| wakers.forget_listener(id));
    }
}

/// The connection behind a stream and its halves; closed when the last of them is dropped.
#[derive(Debug)]
struct Socket {
    net: Net,
    id: ConnectionId,
    ends: Ends,
}

impl Socket {
    fn poll_read(&self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Bytes>> {
        let now = self.net.now();
        match self.net.with_stack(|stack| stack.tcp_read(now, self.id, max)) {
            Ok(Read::Data(bytes)) => Poll::Ready(Ok(bytes)),
            Ok(Read::End) => Poll::Ready(Ok(Bytes::new())),
            Ok(Read::WouldBlock) => {
                self.net.wakers(|wakers| wakers.wait_stream(self.id, Direction::Read, cx.waker()));
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let now = self.net.now();
        match self.net.with_stack(|stack| stack.tcp_write(now, self.id, data)) {
            Ok(0) => {
                self.net.wakers(|wakers| wakers.wait_stream(self.id, Direction::Write, cx.waker()));
                Poll::Pending
            }
            Ok(taken) => Poll::Ready(Ok(taken)),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    fn poll_write_slice(&self, cx: &mut Context<'_>, slice: &[u8]) -> Poll<io::Result<usize>> {
        let room = self.net.with_stack(|stack| stack.tcp_send_room(self.id)).unwrap_or(0);
        let chunk = slice.get(..slice.len().min(COPY_AT_ONCE).min(room.max(1))).unwrap_or(slice);
        self.poll_write(cx, &mut Bytes::copy_from_slice(chunk))
    }

    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.net.with_stack(|stack| stack.tcp_is_connected(self.id)) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => {
                self.net.wakers(|wakers| wakers.wait_stream(self.id, Direction::Write, cx.waker()));
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    fn shutdown_write(&self) {
        let now = self.net.now();
        self.net.with_stack(|stack| stack.tcp_shutdown_write(now, self.id));
    }

    fn abort(&self) {
        let now = self.net.now();
        self.net.with_stack(|stack| stack.tcp_abort(now, self.id));
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let (now, id) = (self.net.now(), self.id);
        self.net.with_stack(|stack| stack.tcp_close(now, id));
        self.net.wakers(|wakers| wakers.forget_stream(id));
    }
}

/// One TCP connection.
#[derive(Debug)]
pub struct TcpStream {
    socket: Socket,
}

impl TcpStream {
    fn new(net: Net, id: ConnectionId, local: SocketAddr, peer: SocketAddr) -> Self {
        TcpStream { socket: Socket { net, id, ends: Ends::new(local, peer) } }
    }

    /// Connects to `remote` from a port and address of the stack's choice (RFC 6056).
    ///
    /// # Errors
    /// `ConnectionRefused`, `TimedOut`, `HostUnreachable`, or `AddrNotAvailable` when no port is free.
    pub async fn connect(net: &Net, remote: SocketAddr) -> io::Result<Self> {
        Self::connect_with(net, None, remote, None).await
    }

    /// Connects to `remote`, from `local` if given, with TCP's knobs if given.
    ///
    /// # Errors
    /// As [`TcpStream::connect`].
    pub async fn connect_with(
        net: &Net,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        config: Option<Config>,
    ) -> io::Result<Self> {
        let now = net.now();
        let (id, local) = net.with_stack(|stack| stack.tcp_connect(now, local, remote, config))?;
        let stream = TcpStream::new(net.clone(), id, local, remote);
        poll_fn(|cx| stream.socket.poll_connected(cx)).await?;
        Ok(stream)
    }

    /// Connects to `remote` and sends `data` first: with the SYN where the peer has given us a Fast Open cookie (RFC 7413),
    /// otherwise as soon as the connection is open. With the SYN it may arrive twice, so that it must be a request that
    /// may be repeated.
    ///
    /// # Errors
    /// As [`TcpStream::connect`] and [`TcpStream::write_bytes`].
    pub async fn connect_with_data(
        net: &Net,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        config: Option<Config>,
        mut data: Bytes,
    ) -> io::Result<Self> {
        let now = net.now();
        let (id, local) = net.with_stack(|stack| stack.tcp_connect_with_data(now, local, remote, config, &mut data))?;
        let mut stream = TcpStream::new(net.clone(), id, local, remote);
        poll_fn(|cx| stream.socket.poll_connected(cx)).await?;
        stream.write_bytes(data).await?;
        Ok(stream)
    }

    /// The next received bytes, at most `max`, as they lie in memory. Empty: the peer closed its side.
    ///
    /// # Errors
    /// `ConnectionReset`, `TimedOut` and the like; what had arrived and was not read is lost with the
    /// connection (RFC 9293 §3.10.7.4).
    pub async fn read_bytes(&mut self, max: usize) -> io::Result<Bytes> {
        poll_fn(|cx| self.socket.poll_read(cx, max)).await
    }

    /// Queues all of `data` for sending, without copying it, as fast as the peer takes it.
    ///
    /// # Errors
    /// `BrokenPipe` after [`TcpStream::shutdown_write`], `ConnectionReset`, `TimedOut` and the like.
    pub async fn write_bytes(&mut self, mut data: Bytes) -> io::Result<()> {
        while !data.is_empty() {
            poll_fn(|cx| self.socket.poll_write(cx, &mut data)).await?;
        }
        Ok(())
    }

    /// As [`TcpStream::read_bytes`], for a task that polls by itself.
    ///
    /// # Errors
    /// As [`TcpStream::read_bytes`].
    pub fn poll_read_bytes(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Bytes>> {
        self.socket.poll_read(cx, max)
    }

    /// Takes what there is room for off the front of `data`, without copying it, and says how much.
    ///
    /// # Errors
    /// As [`TcpStream::write_bytes`].
    pub fn poll_write_bytes(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<usize>> {
        self.socket.poll_write(cx, data)
    }

    /// Says that nothing more will be written; reading goes on (half-close, RFC 9293 §3.6).
    pub fn shutdown_write(&mut self) {
        self.socket.shutdown_write();
    }

    /// Resets the connection.
    pub fn abort(&mut self) {
        self.socket.abort();
    }

    /// Turns Nagle's algorithm off (`true`) or on (RFC 9293 §3.7.4).
    pub fn set_nodelay(&self, nodelay: bool) {
        let now = self.socket.net.now();
        self.socket.net.with_stack(|stack| stack.tcp_set_nodelay(now, self.socket.id, nodelay));
    }

    /// Sends keepalives after `idle` without traffic, or none (RFC 9293 §3.8.4).
    pub fn set_keepalive(&self, idle: Option<Duration>) {
        let now = self.socket.net.now();
        self.socket.net.with_stack(|stack| stack.tcp_set_keepalive(now, self.socket.id, idle));
    }

    /// How long what was sent may stay unacknowledged before the connection is given up, or for ever (RFC 9293
    /// MUST-21).
    pub fn set_user_timeout(&self, timeout: Option<Duration>) {
        let now = self.socket.net.now();
        self.socket.net.with_stack(|stack| stack.tcp_set_user_timeout(now, self.socket.id, timeout));
    }

    /// The most that is announced to the peer from now on, beside what the receive buffer allows; what was announced
    /// already stays.
    pub fn set_window_clamp(&self, octets: Option<u32>) {
        let now = self.socket.net.now();
        self.socket.net.with_stack(|stack| stack.tcp_set_window_clamp(now, self.socket.id, octets));
    }

    /// How many bytes may wait to be sent for the first time before the stream takes no more (TCP_NOTSENT_LOWAT of
    /// Linux): little, for an application that decides late what is worth sending. One segment at least.
    pub fn set_notsent_lowat(&self, octets: Option<u32>) {
        let now = self.socket.net.now();
        self.socket.net.with_stack(|stack| stack.tcp_set_notsent_lowat(now, self.socket.id, octets));
    }

    /// DSCP and ECN of what is sent from now on (RFC 9293 MUST-48).
    pub fn set_traffic_class(&self, class: u8) {
        let now = self.socket.net.now();
        self.socket.net.with_stack(|stack| stack.tcp_set_traffic_class(now, self.socket.id, class));
    }

    /// The hop limit of what is sent from now on (RFC 9293 MUST-49).
    pub fn set_hop_limit(&self, hop_limit: u8) {
        let now = self.socket.net.now();
        self.socket.net.with_stack(|stack| stack.tcp_set_hop_limit(now, self.socket.id, hop_limit));
    }

    /// Says that everything written so far is urgent (RFC 9293 MUST-30). New protocols should not need it
    /// (RFC 6093 §5).
    pub fn mark_urgent(&mut self) {
        let now = self.socket.net.now();
        self.socket.net.with_stack(|stack| stack.tcp_mark_urgent(now, self.socket.id));
    }

    /// Waits until the peer says that data is urgent, and gives how many of the bytes to be read are, arrived or
    /// not (RFC 9293 MUST-32, MUST-33). They stay in their place among the others (RFC 6093 §3.4).
    ///
    /// # Errors
    /// What ended the connection, if it ends first.
    pub async fn urgent(&self) -> io::Result<u32> {
        poll_fn(|cx| match self.socket.net.with_stack(|stack| stack.tcp_urgent_ahead(self.socket.id)) {
            Ok(0) => {
                self.socket.net.wakers(|wakers| wakers.wait_stream(self.socket.id, Direction::Urgent, cx.waker()));
                Poll::Pending
            }
            Ok(ahead) => Poll::Ready(Ok(ahead)),
            Err(error) => Poll::Ready(Err(error.into())),
        })
        .await
    }

    /// The connection's figures: state, windows, round-trip time, retransmissions.
    pub fn info(&self) -> Option<Info> {
        self.socket.net.with_stack(|stack| stack.tcp_info(self.socket.id))
    }

    /// Our address and port.
    pub fn local_addr(&self) -> SocketAddr {
        self.socket.ends.local()
    }

    /// The peer's address and port.
    pub fn peer_addr(&self) -> SocketAddr {
        self.socket.ends.remote()
    }

    /// The stack it belongs to.
    pub fn net(&self) -> &Net {
        &self.socket.net
    }

    /// Two halves for two tasks. The connection closes when both are dropped; dropping the writing half
    /// closes that side.
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        let socket = Rc::new(self.socket);
        (ReadHalf { socket: Rc::clone(&socket) }, WriteHalf { socket })
    }
}

/// The reading half of a stream.
#[derive(Debug)]
pub struct ReadHalf {
    socket: Rc<Socket>,
}

impl ReadHalf {
    /// As [`TcpStream::read_bytes`].
    ///
    /// # Errors
    /// As [`TcpStream::read_bytes`].
    pub async fn read_bytes(&mut self, max: usize) -> io::Result<Bytes> {
        poll_fn(|cx| self.socket.poll_read(cx, max)).await
    }
}

/// The writing half of a stream.
#[derive(Debug)]
pub struct WriteHalf {
    socket: Rc<Socket>,
}

impl WriteHalf {
    /// As [`TcpStream::write_bytes`].
    ///
    /// # Errors
    /// As [`TcpStream::write_bytes`].
    pub async fn write_bytes(&mut self, mut data: Bytes) -> io::Result<()> {
        while !data.is_empty() {
            poll_fn(|cx| self.socket.poll_write(cx, &mut data)).await?;
        }
        Ok(())
    }

    /// As [`TcpStream::abort`].
    pub fn abort(&mut self) {
        self.socket.abort();
    }

    /// As [`TcpStream::shutdown_write`].
    pub fn shutdown_write(&mut self) {
        self.socket.shutdown_write();
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        self.socket.shutdown_write();
    }
}

impl Connection for TcpStream {
    fn peer(&self) -> SocketAddr {
        self.peer_addr()
    }

    fn poll_read_bytes(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        self.socket.poll_read(cx, most)
    }

    fn poll_write_bytes(&mut self, cx: &mut Context<'_>, octets: &mut Bytes) -> Poll<io::Result<usize>> {
        self.socket.poll_write(cx, octets)
    }

    fn poll_shutdown_write(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.shutdown_write();
        Poll::Ready(Ok(()))
    }

    fn abort(&mut self) {
        self.socket.abort();
    }
}

/// What the traits below have in common: something with a [`Socket`].
trait HasSocket {
    fn socket(&self) -> &Socket;
}

impl HasSocket for TcpStream {
    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl HasSocket for ReadHalf {
    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl HasSocket for WriteHalf {
    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl<T: HasSocket> Source for T {
    fn poll_octets(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        self.socket().poll_read(cx, most)
    }
}

impl<T: HasSocket> Sink for T {
    fn poll_slice(&mut self, cx: &mut Context<'_>, slice: &[u8]) -> Poll<io::Result<usize>> {
        self.socket().poll_write_slice(cx, slice)
    }

    fn poll_flushed(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_closed(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().shutdown_write();
        Poll::Ready(Ok(()))
    }
}

reads!(TcpStream);
reads!(ReadHalf);
writes!(TcpStream);
writes!(WriteHalf);
