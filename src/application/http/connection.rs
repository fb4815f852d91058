//! One HTTP connection: drives hyper, holds the deadlines, and closes so that the last answer arrives.
//!
//! hyper's own timeout for heads closes without a word; the one here answers 408 when part of a request
//! has come (RFC 9110 §15.5.9), and closes silently when none has. After the last answer our side is
//! closed and what the client still sends is read and thrown away for a moment (RFC 9112 §9.6): closing
//! with unread data would send a reset, which can destroy the answer on its way.

use super::access_log::Entry;
use super::answer::{Body, Ticket, http_date};
use super::progress::{Late, Progress, Watched};
use super::{Config, Site, guard};
use crate::application::server::{Connection, Shutdown};
use crate::base::time::{Duration, Instant};
use crate::session::clock::{Alarm, Clock, within};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBuf, Write};
use hyper::server::conn::http1::Builder;
use hyper::service::Service;
use hyper::{Request, Response};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

/// How long a client that was answered for the last time may go on sending.
const LINGER: Duration = Duration::from_secs(2);
/// The smallest buffer hyper works with.
const SMALLEST_BUFFER: usize = 8 << 10;

/// Serves a connection until it ends.
pub async fn serve_connection<S>(stream: S, site: Rc<Site>, shutdown: &Shutdown) -> io::Result<()>
where
    S: Read + Write + Connection + Unpin,
{
    let (clock, peer) = (Rc::clone(&site.clock), stream.peer());
    let progress = Rc::new(Progress::new(Rc::clone(&clock)));
    let mut connection = builder(&site.config).serve_connection(
        Watched { stream, progress: Rc::clone(&progress) },
        Requests { site: Rc::clone(&site), peer, progress: Rc::clone(&progress) },
    );
    let mut stop = pin!(shutdown.requested());
    let mut stopping = false;
    let mut alarm = Waiting::default();
    let end = poll_fn(|cx| {
        if !stopping && stop.as_mut().poll(cx).is_ready() {
            stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
            return Poll::Ready(Ok(result));
        }
        match progress.deadline(&site.config) {
            Some((deadline, late)) => alarm.poll(&*clock, deadline, cx).map(|()| Err(late)),
            None => Poll::Pending,
        }
    })
    .await;
    match end {
        Ok(result) => {
            let mut stream = connection.into_parts().io.stream;
            linger(&mut stream, &*clock, b"").await;
            result.map_err(io::Error::other)
        }
        Err(late) => {
            let parts = connection.into_parts();
            let mut stream = parts.io.stream;
            match late {
                Late::Write => {
                    stream.abort();
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Late::Idle if parts.read_buf.is_empty() => linger(&mut stream, &*clock, b"").await,
                Late::Idle | Late::Request => linger(&mut stream, &*clock, too_slow(&*clock).as_bytes()).await,
            }
            Ok(())
        }
    }
}

fn builder(config: &Config) -> Builder {
    let mut builder = Builder::new();
    builder
        .half_close(true)
        // The deadlines are held here, and the date comes from the service's clock.
        .header_read_timeout(None)
        .auto_date_header(false)
        .max_buf_size(config.header_limit.max(SMALLEST_BUFFER))
        .max_header_size(config.header_limit);
    builder
}

/// The answer to a request that did not come to its end (RFC 9110 §15.5.9).
fn too_slow(clock: &dyn Clock) -> String {
    let date = http_date(clock.unix_time()).map(|date| format!("date: {date}\r\n")).unwrap_or_default();
    format!("HTTP/1.1 408 Request Timeout\r\n{date}content-length: 0\r\nconnection: close\r\n\r\n")
}

/// Sends the last words, closes our side, and reads what comes until the client closes its own.
async fn linger<S: Read + Write + Unpin>(stream: &mut S, clock: &dyn Clock, mut last_words: &[u8]) {
    let close = poll_fn(|cx| {
        while !last_words.is_empty() {
            match Pin::new(&mut *stream).poll_write(cx, last_words) {
                Poll::Ready(Ok(n)) if n > 0 => last_words = last_words.get(n..).unwrap_or_default(),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        match Pin::new(&mut *stream).poll_shutdown(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
        let mut scratch = [0; 4_096];
        // So many reads in one turn, then others first.
        for _ in 0..16 {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(cx, buffer.unfilled()) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    let _ = within(clock, LINGER, close).await;
}

/// An alarm that is set anew only when it must ring earlier; when it rings too early it is set again.
#[derive(Default)]
struct Waiting(Option<(Instant, Alarm)>);

impl Waiting {
    fn poll(&mut self, clock: &dyn Clock, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if deadline <= clock.now() {
                return Poll::Ready(());
            }
            match &mut self.0 {
                Some((at, alarm)) if *at <= deadline => match alarm.as_mut().poll(cx) {
                    Poll::Ready(()) => self.0 = None,
                    Poll::Pending => return Poll::Pending,
                },
                other => *other = Some((deadline, clock.sleep_until(deadline))),
            }
        }
    }
}

/// The requests of one connection.
struct Requests {
    site: Rc<Site>,
    peer: SocketAddr,
    progress: Rc<Progress>,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Body>;
    type Error = Infallible;
    // hyper's way to give the stream back wants a future that can be moved.
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.progress.on_head();
        let entry = Entry::new(self.peer, &request);
        let ticket = Ticket::new(Rc::clone(&self.progress), Rc::clone(&self.site.clock), entry);
        let (site, progress) = (Rc::clone(&self.site), Rc::clone(&self.progress));
        Box::pin(async move {
            let response = guard::answer(&site, &progress, request).await;
            Ok(ticket.attach(response))
        })
    }
}
