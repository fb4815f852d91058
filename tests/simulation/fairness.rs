//! How flows share a bottleneck: Jain's index of what each got, and how long the queue is in which all wait.

use crate::sim::{self, HostId, World, stream};
use crate::snapshots::assert_snapshot;
use std::cell::RefCell;
use std::fmt::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use tapstack::base::time::Duration;
use tapstack::datalink::InterfaceId;
use tapstack::physical::cable::Faults;
use tapstack::session::tcp::{ListenOptions, TcpListener, TcpStream};
use tapstack::stack::config::{Config as HostConfig, RouteConfig};
use tapstack::transport::tcp::config::{Algorithm, Config};

/// 20 Mbit/s: 1,650 full segments a second.
const RATE: u64 = 20_000_000;
/// Before it is measured, the flows get to know each other.
const WARM_UP: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_secs(10);

/// (sum x)^2 / (n sum x^2): 1 if all have the same, 1/n if one has all.
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = shares.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    sum * sum / (shares.len() as f64 * squares)
}

/// What came of it.
struct Shares {
    /// Megabits a second of each flow.
    rates: Vec<f64>,
    /// How long a frame waits in the bottleneck, on average.
    queue: Duration,
    /// Of the frames, those that did not fit the queue.
    dropped: f64,
}

/// Every flow sends until the end of time; what each has brought in is counted.
fn start(
    world: &World,
    from: HostId,
    to: HostId,
    server: SocketAddr,
    delay: Duration,
    tcp: &Config,
) -> Rc<RefCell<u64>> {
    let (read, seen) = (Rc::new(RefCell::new(0)), Rc::new(RefCell::new(0)));
    let net = world.net(to);
    let options = ListenOptions { backlog: None, config: Some(tcp.clone()) };
    let listener = TcpListener::bind_with(&net, server, options).unwrap();
    let count = Rc::clone(&read);
    net.clone().spawn(async move {
        let mut stream = listener.accept().await.unwrap();
        while let Ok(bytes) = stream.read_bytes(1 << 16).await {
            if bytes.is_empty() {
                break;
            }
            *count.borrow_mut() += bytes.len() as u64;
        }
    });
    let net = world.net(from);
    let tcp = tcp.clone();
    net.clone().spawn(async move {
        net.sleep(delay).await;
        let mut stream = TcpStream::connect_with(&net, None, server, Some(tcp)).await.unwrap();
        loop {
            let sent = *seen.borrow();
            if stream.write_bytes(stream::bytes(1, sent, 20_000)).await.is_err() {
                return;
            }
            *seen.borrow_mut() += 20_000;
        }
    });
    read
}

/// `flows` of one host to another over one cable of [`RATE`] with `rtt` and a queue of one bandwidth-delay product.
fn equal(flows: u16, congestion: Algorithm, rtt: Duration) -> Shares {
    let tcp = Config { congestion, ..Config::default() };
    let mut world = World::new(None);
    let hosts = [1, 2].map(|last| world.add(HostConfig { tcp: tcp.clone(), ..sim::host(last) }, u64::from(last)));
    let queue = (RATE as f64 / 8.0 * rtt.as_secs_f64()) as usize;
    let line = Faults { delay: rtt / 2, rate: Some(RATE), queue, ..Faults::default() };
    world.connect(hosts[0].plug(0), hosts[1].plug(0), &line, 42);
    let read: Vec<_> = (0..flows)
        .map(|n| {
            let server = SocketAddr::from(([192, 0, 2, 2], 2000 + n));
            start(&world, hosts[0], hosts[1], server, Duration::from_millis(97) * u32::from(n), &tcp)
        })
        .collect();
    measure(&mut world, hosts[0], hosts[0], &read, rtt)
}

/// Two flows whose round trips differ by `ratio`, each of a host of its own, over a router and one bottleneck.
fn unequal(ratio: u32, congestion: Algorithm, rtt: Duration) -> Shares {
    let tcp = Config { congestion, ..Config::default() };
    let mut world = World::new(None);
    let route = |to: &str, via: Option<[u8; 4]>| RouteConfig {
        to: to.parse().unwrap(),
        via: via.map(Into::into),
        interface: InterfaceId(0),
        metric: 1,
    };
    let nets = ["192.0.2.0", "198.51.100.0", "203.0.113.0"];
    let host = |net: &str, last: u8, gateway: [u8; 4]| HostConfig {
        interfaces: vec![sim::interface("eth0", 0, last, net)],
        routes: vec![route("0.0.0.0/0", Some(gateway))],
        tcp: tcp.clone(),
        ..sim::host(last)
    };
    let near = world.add(host(nets[0], 1, [192, 0, 2, 7]), 1);
    let far = world.add(host(nets[1], 1, [198, 51, 100, 7]), 2);
    let server = world.add(host(nets[2], 1, [203, 0, 113, 7]), 3);
    let router = world.add(
        HostConfig {
            interfaces: (0..3u16).map(|n| sim::interface(&format!("eth{n}"), n, 7, nets[usize::from(n)])).collect(),
            forwarding: true,
            ..sim::host(7)
        },
        4,
    );
    let queue = (RATE as f64 / 8.0 * rtt.as_secs_f64()) as usize;
    let bottleneck = Faults { delay: rtt / 4, rate: Some(RATE), queue, ..Faults::default() };
    world.connect(near.plug(0), router.plug(0), &Faults { delay: rtt / 4, ..Faults::default() }, 1);
    world.connect(far.plug(0), router.plug(1), &Faults { delay: rtt / 2 * ratio - rtt / 4, ..Faults::default() }, 2);
    world.connect(router.plug(2), server.plug(0), &bottleneck, 3);
    let address = |port: u16| SocketAddr::from(([203, 0, 113, 1], port));
    let read = [
        start(&world, near, server, address(2000), Duration::ZERO, &tcp),
        start(&world, far, server, address(2001), Duration::from_millis(500), &tcp),
    ];
    let mut shares = measure(&mut world, near, router, &read, rtt);
    shares.dropped = 0.0;
    shares
}

fn measure(world: &mut World, sender: HostId, _bottleneck: HostId, read: &[Rc<RefCell<u64>>], rtt: Duration) -> Shares {
    world.run_for(WARM_UP);
    let before: Vec<u64> = read.iter().map(|read| *read.borrow()).collect();
    let counts = world.cable_counts(sender.plug(0));
    let (mut queue, mut samples) = (Duration::ZERO, 0);
    for _ in 0..100 {
        world.run_for(MEASURED / 100);
        for row in world.stack(sender, |stack| stack.show_sockets()) {
            if let Some(srtt) = row.details.get("srtt_us").and_then(|srtt| srtt.as_u64()) {
                queue += Duration::from_micros(srtt).saturating_sub(rtt);
                samples += 1;
            }
        }
    }
    let after = world.cable_counts(sender.plug(0));
    let rates = read
        .iter()
        .zip(before)
        .map(|(read, before)| (*read.borrow() - before) as f64 * 8.0 / MEASURED.as_secs_f64() / 1e6);
    Shares {
        rates: rates.collect(),
        queue: queue / samples.max(1),
        dropped: (after.queue_drops - counts.queue_drops) as f64 / (after.sent - counts.sent) as f64,
    }
}

const ALL: [(Algorithm, &str); 4] =
    [(Algorithm::Cubic, "cubic"), (Algorithm::NewReno, "newreno"), (Algorithm::Bbr, "bbr"), (Algorithm::Bbr1, "bbr1")];

#[test]
fn eight_equal_cubic_flows_share_alike() {
    let shares = equal(8, Algorithm::Cubic, Duration::from_millis(40));
    let index = jain(&shares.rates);
    assert!(index >= 0.95, "Jain's index {index:.3} of {:.2?}", shares.rates);
    let sum: f64 = shares.rates.iter().sum();
    assert!(sum > 0.9 * RATE as f64 / 1e6, "{sum:.1} Mbit/s in all");
}

#[test]
fn flows_share_a_bottleneck_as_the_table_has_it() {
    let mut table = String::from(
        "Flows over one bottleneck of 20 Mbit/s with 40 ms and a queue of one bandwidth-delay product (40 ms).\n\
         Jain's index, megabits a second in all, how long a frame waits on average, percent that found the queue full.\n\n\
         control  flows   jain   Mbit/s  queue ms  dropped %\n",
    );
    for (congestion, name) in ALL {
        for flows in [2, 4, 8, 16] {
            let shares = equal(flows, congestion, Duration::from_millis(40));
            let (index, sum) = (jain(&shares.rates), shares.rates.iter().sum::<f64>());
            let queue = shares.queue.as_secs_f64() * 1e3;
            writeln!(
                table,
                "{name:<8} {flows:>5}  {index:>5.2}  {sum:>6.1}  {queue:>8.1}  {:>9.2}",
                shares.dropped * 100.0
            )
            .unwrap();
        }
    }
    assert_snapshot("fairness", &table);
}

#[test]
fn flows_with_unequal_round_trips_share_as_the_table_has_it() {
    let mut table = String::from(
        "Two flows over one bottleneck of 20 Mbit/s; one has a round trip of 20 ms, the other a multiple of that.\n\
         Megabits a second of each, and Jain's index.\n\n\
         control  ratio   20 ms  longer   jain\n",
    );
    for (congestion, name) in ALL {
        for ratio in [1, 2, 4, 8] {
            let shares = unequal(ratio, congestion, Duration::from_millis(20));
            let (index, rates) = (jain(&shares.rates), &shares.rates);
            writeln!(table, "{name:<8}   1:{ratio}  {:>6.1}  {:>6.1}  {index:>5.2}", rates[0], rates[1]).unwrap();
        }
    }
    assert_snapshot("round_trips", &table);
}
