//! `--loss`: our TCP and Linux's as senders over the same bad line to the same kernel receiver.
//!
//! ```text
//!   sender's namespace                                          receiver's namespace
//!   tapstack run 192.0.2.2 -- tap0 -- bridge -- line0 ==cable== line1 192.0.2.1
//!   Linux        192.0.2.3 ----------/
//! ```
//!
//! The cable (`tapstack cable`) is the bottleneck: a rate, a delay, a queue of the bandwidth-delay product, and faults that a
//! seed decides. Each seed is a cable of its own, over which one sender and then the other sends for the same time. What
//! the receiver read in that time is the goodput; what was sent again is what each sender says of itself.
//!
//! Conditions that leave the processors idle run side by side; those with a full gigabit run alone.

use crate::arguments::{Names, Plan};
use crate::lab::{Cable, Daemon, Namespace, eventually};
use crate::load::{self, Moved};
use crate::report::median;
use crate::row;
use serde_json::{Value, json};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const OURS: &str = "192.0.2.2:19";
const LINUX: &str = "192.0.2.3:19";
const LOSSES: [f64; 4] = [0.0, 0.1, 1.0, 3.0];
const ROUND_TRIPS: [u64; 3] = [1, 20, 100];
const RATES: [u64; 2] = [100, 1000];
/// Conditions that run side by side.
const WORKERS: usize = 3;
/// What the seeds begin with.
const FIRST_SEED: u64 = 1;
/// What flows that share a line are given to find out about each other before their shares are measured.
const WARM_UP: Duration = Duration::from_secs(10);

/// In place of a line's text: only the shares.
const SHARES: &str = "shares";

/// How long a sender sends.
#[derive(Clone, Copy)]
struct Span {
    /// Before anything counts.
    warm_up: Duration,
    /// From then on.
    counted: Duration,
}

/// What the line does.
#[derive(Clone, Copy)]
struct Condition {
    /// In Mbit/s.
    rate: u64,
    /// In milliseconds.
    round_trip: u64,
    /// In per cent, in each direction.
    loss: f64,
    /// In per cent.
    reorder: f64,
}

impl Condition {
    fn all() -> impl Iterator<Item = Condition> {
        let lines = RATES.into_iter().flat_map(|rate| ROUND_TRIPS.map(|round_trip| (rate, round_trip)));
        lines.flat_map(|(rate, round_trip)| {
            let lossy = LOSSES.map(|loss| Condition { rate, round_trip, loss, reorder: 0.0 });
            lossy.into_iter().chain([Condition { rate, round_trip, loss: 0.0, reorder: 5.0 }])
        })
    }

    /// Much of the time passes waiting: where CUBIC meets losses it hardly sends.
    fn is_light(self, names: Names) -> bool {
        self.rate < 1000 || (names.linux == "cubic" && self.loss >= 1.0 && self.round_trip >= 20)
    }

    /// Bytes of the queue: the bandwidth-delay product, or a hundred full frames if that is more.
    fn queue(self) -> u64 {
        (self.rate * 1_000_000 / 8 * self.round_trip / 1_000).clamp(151_400, 8 << 20)
    }

    fn cable(self, seed: u64) -> String {
        format!(
            "--rate {}mbit --delay {}us --loss {}% --reorder {}% --queue {} --seed {seed}",
            self.rate,
            self.round_trip * 500,
            self.loss,
            self.reorder,
            self.queue(),
        )
    }

    fn text(self) -> String {
        let fault = if self.reorder > 0.0 { format!("{}% reordered", self.reorder) } else { format!("{}%", self.loss) };
        format!("{:>4} Mbit/s  {:>3} ms  {fault}", self.rate, self.round_trip)
    }
}

/// What one sender achieved.
#[derive(Clone, Copy)]
struct Achieved {
    /// Bits a second that the receiver read.
    goodput: f64,
    /// Of what was sent, the share that was sent again.
    again: f64,
    /// Bytes sent again.
    again_bytes: f64,
}

/// Two senders, and a receiver at the other end of whatever cable is laid.
struct Course {
    daemon: Daemon,
    sender: Namespace,
    receiver: Namespace,
    linux: TcpListener,
    names: Names,
}

impl Course {
    fn new(names: Names) -> Course {
        let (sender, receiver) = (Namespace::new(), Namespace::new());
        let config = format!(
            r#"
            daemon.grace = "1s"
            small = {{}}
            tcp.congestion = "{}"
            [[interface]]
            tap = "tap0"
            address = ["192.0.2.2/24"]
            up = true
            "#,
            names.ours
        );
        let daemon = Daemon::start(&sender, "daemon", &config, &[]);
        sender.run(
            "ip link add bridge type bridge && ip link set bridge up && ip address add 192.0.2.3/24 dev bridge
             ip link set tap0 master bridge
             sysctl -qw net.ipv4.tcp_no_metrics_save=1",
        );
        let linux = sender.listen(LINUX);
        Course { daemon, sender, receiver, linux, names }
    }

    /// A new cable, both of whose ends are connected.
    fn lay(&self, condition: Condition, seed: u64) -> Cable {
        let cable = Cable::lay(&self.sender, "line0", "line1", &condition.cable(seed));
        self.sender.run(&format!(
            // The queue before the cable is the cable's own.
            "ip link set line0 txqueuelen 50000 up master bridge && ip link set line1 netns {}",
            self.receiver.name()
        ));
        self.receiver.run(
            "ip link set line1 address 02:00:00:00:00:01 txqueuelen 50000 up && ip address add 192.0.2.1/24 dev line1",
        );
        cable
    }

    fn ours(&self, span: Span) -> Achieved {
        let stream = self.receiver.connect(OURS);
        let end = stream.local_addr().unwrap().to_string();
        let kept = stream.try_clone().unwrap();
        let moved = span.read(stream);
        let sockets = self.daemon.connections();
        let socket = sockets.iter().find(|socket| socket["remote"] == end.as_str());
        let again = socket.and_then(|socket| socket["bytes_retransmitted"].as_f64()).unwrap_or_default();
        drop(kept);
        eventually("our connection over", || !self.daemon.states().iter().any(|state| state == "ESTAB"));
        achieved(moved, again)
    }

    fn linux(&self, span: Span) -> Achieved {
        let is_over = Arc::new(AtomicBool::new(false));
        let (listener, algorithm) = (self.linux.try_clone().unwrap(), self.names.linux);
        let seen = is_over.clone();
        let server = std::thread::spawn(move || send_until(&listener, algorithm, &seen));
        let stream = self.receiver.connect(LINUX);
        let kept = stream.try_clone().unwrap();
        let moved = span.read(stream);
        let said = self.sender.run("ss -Hti state established sport = :19");
        let again = said.split_whitespace().find_map(|word| word.strip_prefix("bytes_retrans:")?.parse().ok());
        is_over.store(true, Ordering::Relaxed);
        drop(kept);
        server.join().unwrap();
        achieved(moved, again.unwrap_or_default())
    }

    /// Both at once over one bottleneck: our share.
    fn share(&self, span: Span) -> f64 {
        let (ours, theirs) = std::thread::scope(|scope| {
            let theirs = scope.spawn(|| self.linux(span));
            (self.ours(span), theirs.join().unwrap())
        });
        ours.goodput / (ours.goodput + theirs.goodput)
    }
}

impl Span {
    fn read(self, stream: TcpStream) -> Moved {
        if !self.warm_up.is_zero() {
            load::read(stream.try_clone().unwrap(), self.warm_up);
        }
        load::read(stream, self.counted)
    }
}

fn achieved(moved: Moved, again_bytes: f64) -> Achieved {
    let bytes = moved.bytes as f64;
    Achieved { goodput: moved.bits_per_second(), again: again_bytes / (bytes + again_bytes), again_bytes }
}

/// The other sender: accepts one connection and writes without end.
fn send_until(listener: &TcpListener, algorithm: &str, is_over: &AtomicBool) {
    let (mut stream, _) = listener.accept().unwrap();
    rustix::net::sockopt::set_tcp_congestion(&stream, algorithm).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let piece = vec![b'x'; 128 << 10];
    while !is_over.load(Ordering::Relaxed) {
        match stream.write(&piece) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    reset(stream);
}

/// Ends a connection without sending what is queued.
fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

/// What the seeds of a condition came to.
struct Figures {
    condition: Condition,
    ours: Vec<Achieved>,
    linux: Vec<Achieved>,
}

impl Figures {
    fn measure(course: &Course, condition: Condition, seeds: u64, run: Duration) -> Figures {
        let span = Span { warm_up: Duration::ZERO, counted: run };
        let mut figures = Figures { condition, ours: Vec::new(), linux: Vec::new() };
        for seed in FIRST_SEED..FIRST_SEED + seeds {
            for is_ours in [true, false] {
                if row::is_interrupted() {
                    return figures;
                }
                let cable = course.lay(condition, seed);
                if is_ours {
                    figures.ours.push(course.ours(span))
                } else {
                    figures.linux.push(course.linux(span))
                }
                cable.take_up();
            }
        }
        figures
    }

    fn medians(&self, of: impl Fn(&Achieved) -> f64) -> (f64, f64) {
        let median_of = |side: &[Achieved]| median(&side.iter().map(&of).collect::<Vec<_>>());
        (median_of(&self.ours), median_of(&self.linux))
    }

    fn goodput_ratio(&self) -> f64 {
        let (ours, linux) = self.medians(|achieved| achieved.goodput);
        ours / linux
    }

    /// Of the shares that were sent again; `None` where neither sent anything again worth mentioning.
    fn again_ratio(&self) -> Option<f64> {
        let (ours, linux) = self.medians(|achieved| achieved.again);
        (ours.max(linux) >= 1e-4).then(|| ours / linux.max(1e-5))
    }

    fn line(&self) -> String {
        let (ours, linux) = self.medians(|achieved| achieved.goodput / 1e6);
        let (ours_again, linux_again) = self.medians(|achieved| achieved.again * 100.0);
        let again = self.again_ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        format!(
            "{:<32}  {ours:>8.2}  {linux:>8.2}  {:>5.2}  {ours_again:>6.2} %  {linux_again:>6.2} %  {again:>6}",
            self.condition.text(),
            self.goodput_ratio(),
        )
    }

    fn json(&self) -> Value {
        let Condition { rate, round_trip, loss, reorder } = self.condition;
        let side = |side: &[Achieved]| {
            let seeds = side.iter().map(|a| json!({"goodput": a.goodput, "bytes_sent_again": a.again_bytes}));
            seeds.collect::<Vec<_>>()
        };
        json!({
            "rate_mbit": rate, "round_trip_ms": round_trip, "loss_percent": loss, "reorder_percent": reorder,
            "tapstack": side(&self.ours), "linux": side(&self.linux),
            "goodput_ratio": self.goodput_ratio(), "sent_again_ratio": self.again_ratio(),
        })
    }
}

/// Measures all conditions with one congestion control on both sides, and prints the table.
pub fn compete(plan: &Plan, names: Names, only: Option<&str>) -> Value {
    let (seeds, run) = if plan.quick { (2, Duration::from_secs(3)) } else { (5, Duration::from_secs(6)) };
    let seeds = plan.seeds.unwrap_or(seeds);
    let wanted = |condition: &Condition| only.is_none_or(|words| condition.text().contains(words));
    let (light, heavy): (Vec<_>, Vec<_>) =
        Condition::all().filter(wanted).enumerate().partition(|(_, condition)| condition.is_light(names));
    let figures = Mutex::new(Vec::new());
    let work = |conditions: &[(usize, Condition)], workers: usize| {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..workers.min(conditions.len()) {
                scope.spawn(|| {
                    let course = Course::new(names);
                    while let Some((place, condition)) = conditions.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let measured = Figures::measure(&course, *condition, seeds, run);
                        if row::is_interrupted() {
                            return;
                        }
                        eprintln!("  {}", measured.line());
                        figures.lock().unwrap().push((*place, measured));
                    }
                });
            }
        });
    };
    let title = names.title();
    eprintln!("{title}: {seeds} seeds, {} s for each sender", run.as_secs());
    work(&light, WORKERS);
    work(&heavy, 1);
    let mut figures = figures.into_inner().unwrap();
    figures.sort_by_key(|(place, _)| *place);
    let figures: Vec<Figures> = figures.into_iter().map(|(_, figures)| figures).collect();
    println!("{title}");
    if !figures.is_empty() {
        print_table(&figures);
    }
    let shares = if only.is_none_or(|words| words == SHARES) { shares(names, seeds, run * 10) } else { Vec::new() };
    let text: Vec<String> = shares.iter().map(|share| format!("{:.0} %", share * 100.0)).collect();
    if !text.is_empty() {
        println!("our share beside Linux on one line of 100 Mbit/s and 20 ms: {} (40 to 60 %)", text.join(", "));
    }
    println!();
    json!({
        "algorithm": title, "seeds": seeds, "seconds": run.as_secs_f64(),
        "lines": figures.iter().map(Figures::json).collect::<Vec<_>>(), "shares": shares,
    })
}

fn print_table(figures: &[Figures]) {
    println!(
        "{:<32}  {:>8}  {:>8}  {:>5}  {:>8}  {:>8}  {:>6}",
        "line: rate, round trip, loss", "tapstack", "Linux", "ratio", "again", "again", "ratio"
    );
    figures.iter().for_each(|figures| println!("{}", figures.line()));
    let goodput: Vec<f64> = figures.iter().map(Figures::goodput_ratio).collect();
    let again: Vec<f64> = figures.iter().filter_map(Figures::again_ratio).collect();
    let least = goodput.iter().copied().fold(f64::INFINITY, f64::min);
    println!("goodput, tapstack / Linux: median {:.2} (>= 1.0), least {least:.2} (>= 0.9)", median(&goodput));
    println!("sent again, tapstack / Linux: median {:.2} (<= 1.1)", median(&again));
}

fn shares(names: Names, seeds: u64, counted: Duration) -> Vec<f64> {
    let condition = Condition { rate: 100, round_trip: 20, loss: 0.0, reorder: 0.0 };
    let course = Course::new(names);
    let share = |seed| {
        let cable = course.lay(condition, seed);
        let share = course.share(Span { warm_up: WARM_UP, counted });
        cable.take_up();
        share
    };
    (FIRST_SEED..FIRST_SEED + seeds).take_while(|_| !row::is_interrupted()).map(share).collect()
}
