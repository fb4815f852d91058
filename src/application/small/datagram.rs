//! The small services over UDP.
//!
//! Two such services that answer each other never stop, and a question with a false source makes an
//! answer to someone who asked nothing. So sources that can't be one person asking are not answered:
//! broadcast, multicast and no address, port 0, and the ports where the other end may be a service that
//! answers everything; and neither is a question to all hosts, to which all would answer. And what may be longer than its question is limited in rate.

use super::{Small, daytime, pattern};
use crate::application::server::Shutdown;
use crate::base::bucket::Bucket;
use crate::session::clock::Clock;
use crate::transport::udp::Received;
use bytes::Bytes;
use futures_util::future::{Either, select};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;

/// Ports whose services answer any datagram: echo, daytime, quote of the day, chargen and time; and none.
const ANSWERING_PORTS: [u16; 6] = [0, 7, 13, 17, 19, 37];
/// Answers a second that may be longer than their questions.
const ANSWERS_PER_SECOND: u32 = 1_000;
/// The most characters in a chargen datagram (RFC 864).
const LONGEST: usize = 512;
/// The fewest: a line.
const SHORTEST: usize = 74;

/// A socket for datagrams.
pub trait Datagrams {
    /// The next datagram and everything known about it.
    fn receive(&self) -> impl Future<Output = io::Result<Received>>;
    /// Sends an answer, from the address that the question was sent to.
    fn reply(&self, answer: Bytes, to: &Received) -> io::Result<()>;
    /// True for an address of this host's own, false for one that it shares: a group or a broadcast.
    fn is_own(&self, address: IpAddr) -> bool;
}

/// Answers datagrams until asked to stop. Errors are about single datagrams, and go to the log.
pub async fn serve_datagrams<S: Datagrams>(service: Small, socket: &S, clock: &dyn Clock, shutdown: &Shutdown) {
    let mut bucket = Bucket::new(ANSWERS_PER_SECOND, ANSWERS_PER_SECOND / 10);
    let mut stop = pin!(shutdown.requested());
    loop {
        let received = match select(stop.as_mut(), pin!(socket.receive())).await {
            Either::Left(_) => return,
            Either::Right((received, _)) => received,
        };
        let sent = received.and_then(|question| {
            if !socket.is_own(question.destination.ip()) || !may_be_answered(question.source) {
                return Ok(());
            }
            match answer(service, &question.data, clock, &mut bucket) {
                Some(answer) => socket.reply(answer, &question),
                None => Ok(()),
            }
        });
        if let Err(error) = sent {
            log::debug!(target: "tapstack::small", "{service}: {error}");
        }
    }
}

/// The answer to a datagram, if it gets one.
fn answer(service: Small, question: &Bytes, clock: &dyn Clock, bucket: &mut Bucket) -> Option<Bytes> {
    match service {
        Small::Echo => Some(question.clone()),
        Small::Discard => None,
        Small::Daytime => bucket.take(clock.now()).then(|| daytime(clock)),
        // DEVIATION(RFC 864): the length is that of the question within bounds, not random, so that the
        // service is no lever.
        Small::Chargen => bucket.take(clock.now()).then(|| pattern().slice(..question.len().clamp(SHORTEST, LONGEST))),
    }
}

fn may_be_answered(from: SocketAddr) -> bool {
    let person = match from.ip() {
        IpAddr::V4(address) => !address.is_broadcast() && !address.is_multicast() && !address.is_unspecified(),
        IpAddr::V6(address) => !address.is_multicast() && !address.is_unspecified(),
    };
    person && !ANSWERING_PORTS.contains(&from.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::testing::Bench;
    use crate::datalink::InterfaceId;
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::task::{Poll, Waker};

    #[derive(Default)]
    struct Desk {
        inbox: RefCell<VecDeque<io::Result<Received>>>,
        outbox: RefCell<Vec<Bytes>>,
        waiting: RefCell<Option<Waker>>,
    }

    impl Datagrams for Rc<Desk> {
        async fn receive(&self) -> io::Result<Received> {
            poll_fn(|cx| match self.inbox.borrow_mut().pop_front() {
                Some(received) => Poll::Ready(received),
                None => {
                    *self.waiting.borrow_mut() = Some(cx.waker().clone());
                    Poll::Pending
                }
            })
            .await
        }
        fn reply(&self, answer: Bytes, _: &Received) -> io::Result<()> {
            self.outbox.borrow_mut().push(answer);
            Ok(())
        }
        fn is_own(&self, address: IpAddr) -> bool {
            address == OURS
        }
    }

    /// What a service sends back for these questions, and whether it ends when asked to.
    fn ask(service: Small, questions: impl IntoIterator<Item = (&'static str, &'static str)>) -> Vec<Bytes> {
        ask_at(OURS, service, questions)
    }

    fn ask_at(
        destination: IpAddr,
        service: Small,
        questions: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) -> Vec<Bytes> {
        let mut bench = Bench::default();
        let desk = Rc::new(Desk::default());
        let (clock, socket, shutdown) = (bench.clock(), desk.clone(), Shutdown::new());
        let stop = shutdown.clone();
        let done = bench.spawn(async move { serve_datagrams(service, &socket, &*clock, &stop).await });
        for (question, from) in questions {
            desk.inbox.borrow_mut().push_back(Ok(Received {
                data: Bytes::from(question),
                source: from.parse().unwrap(),
                destination: SocketAddr::new(destination, service.port()),
                interface: InterfaceId(0),
                hop_limit: 64,
                traffic_class: 0,
            }));
        }
        desk.inbox.borrow_mut().push_back(Err(io::ErrorKind::ConnectionRefused.into()));
        desk.waiting.take().into_iter().for_each(Waker::wake);
        bench.run();
        assert!(done.borrow().is_none(), "an error about one datagram ends nothing");
        shutdown.ask();
        bench.run();
        assert!(done.borrow().is_some());
        desk.outbox.take()
    }

    const OURS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
    const SOMEONE: &str = "192.0.2.7:40000";

    #[test]
    fn each_service_answers_in_its_way() {
        assert_eq!(ask(Small::Echo, [("hello", SOMEONE), ("", SOMEONE)]), ["hello", ""]);
        assert!(ask(Small::Discard, [("hello", SOMEONE)]).is_empty());
        assert_eq!(ask(Small::Daytime, [("", SOMEONE)]), ["Sun, 22 Nov 2026 12:00:00 GMT\r\n"]);
        let long: &'static str = "x".repeat(5_000).leak();
        let answers = ask(Small::Chargen, [("", SOMEONE), (&long[..100], SOMEONE), (long, SOMEONE)]);
        assert_eq!(answers.iter().map(Bytes::len).collect::<Vec<_>>(), [74, 100, 512]);
        assert!(answers[0].starts_with(b" !\"#") && answers[0].ends_with(b"fg\r\n"));
    }

    #[test]
    fn who_can_not_be_one_person_asking_is_not_answered() {
        for from in [
            "192.0.2.7:7",
            "192.0.2.7:13",
            "192.0.2.7:17",
            "192.0.2.7:19",
            "192.0.2.7:37",
            "192.0.2.7:0",
            "255.255.255.255:40000",
            "224.0.0.1:40000",
            "0.0.0.0:40000",
            "[ff02::1]:40000",
            "[::]:40000",
            "[2001:db8::1]:7",
        ] {
            for service in Small::ALL {
                assert!(ask(service, [("x", from)]).is_empty(), "{service} {from}");
            }
        }
    }

    #[test]
    fn a_question_to_all_hosts_is_not_answered() {
        for address in ["192.0.2.255", "255.255.255.255", "224.0.0.1"] {
            assert!(ask_at(address.parse().unwrap(), Small::Echo, [("x", SOMEONE)]).is_empty(), "{address}");
        }
    }

    #[test]
    fn answers_that_are_longer_than_their_questions_are_limited_in_rate() {
        for service in [Small::Chargen, Small::Daytime] {
            assert_eq!(ask(service, std::iter::repeat_n(("", SOMEONE), 500)).len(), 100, "{service}");
        }
        assert_eq!(ask(Small::Echo, std::iter::repeat_n(("", SOMEONE), 500)).len(), 500);
    }
}
