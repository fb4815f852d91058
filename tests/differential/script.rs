//! A conversation as a seed draws it, for any two stacks to play.

use crate::player::{End, Report};
use tapstack::base::random::Random;
use tapstack::base::time::{Duration, Instant};
use tapstack::physical::cable::Faults;

/// One thing an application does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Write(usize),
    /// Reads so many bytes, or to the end if that comes first.
    Read(usize),
    ReadToEnd,
    Pause(Duration),
    /// Waits for a moment that both sides know.
    Until(Instant),
    Shutdown,
}

/// How a side goes when it has done its steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// Lets go of a connection that is closed both ways.
    Orderly,
    /// Resets it.
    Abort,
    /// Lets go of it with the peer's data unread.
    Drop,
}

/// What a side does.
#[derive(Clone, Debug)]
pub struct Side {
    pub writer: Vec<Step>,
    pub reader: Vec<Step>,
    /// The writer starts when the reader is through.
    pub reads_first: bool,
    pub leave: Leave,
}

/// What may be chosen for a stack.
#[derive(Clone, Debug)]
pub struct Knobs {
    pub receive_buffer: usize,
    pub send_buffer: usize,
    pub nagle: bool,
    pub delayed_ack: Option<Duration>,
    pub timestamps: bool,
    pub mtu: u16,
}

/// How the connection is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    ToListener,
    /// Nobody listens.
    ToNobody,
    /// Both sides connect at the same moment (RFC 9293 MUST-10).
    Simultaneous,
}

/// A conversation.
#[derive(Clone, Debug)]
pub struct Script {
    pub seed: u64,
    pub open: Open,
    pub sides: [Side; 2],
    pub knobs: [Knobs; 2],
    pub faults: Faults,
    /// The line is perfect and the order of events leaves only one final state.
    pub is_exact: bool,
    /// What a side gets depends on how much was under way when the other reset it.
    pub is_hasty: bool,
}

fn knobs(random: &mut Random, mtu: u16) -> Knobs {
    let buffer = |random: &mut Random| [2 << 10, 4 << 10, 8 << 10, 32 << 10, 128 << 10][random.below(5) as usize];
    Knobs {
        receive_buffer: buffer(random),
        send_buffer: buffer(random),
        nagle: random.chance(0.5),
        delayed_ack: random.chance(0.5).then_some(Duration::from_millis(10 + random.below(100))),
        timestamps: random.chance(0.5),
        mtu,
    }
}

fn faults(random: &mut Random, perfect: bool) -> Faults {
    let delay = Duration::from_micros(1 + random.below(50_000));
    if perfect {
        return Faults { delay, ..Faults::default() };
    }
    let some = |random: &mut Random, most: f64| random.below(100) as f64 / 100.0 * most;
    Faults {
        delay,
        loss: some(random, 0.06),
        duplicate: some(random, 0.05),
        reorder: some(random, 0.05),
        jitter: if random.chance(0.5) { delay / 2 } else { Duration::ZERO },
        ..Faults::default()
    }
}

/// Random steps that write `total` bytes.
fn writes(random: &mut Random, total: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut left = total;
    while left > 0 {
        let most = if random.chance(0.5) { 200 } else { 5_000 }.max(total / 20) as u64;
        let len = (1 + random.below(most) as usize).min(left);
        steps.push(Step::Write(len));
        left -= len;
        if random.chance(0.1) {
            steps.push(Step::Pause(Duration::from_millis(random.below(3000))));
        }
    }
    steps
}

fn reads(random: &mut Random, total: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..random.below(5) {
        steps.push(Step::Read(1 + random.below(total as u64 + 1) as usize / 4));
        if random.chance(0.5) {
            steps.push(Step::Pause(Duration::from_millis(random.below(1500))));
        }
    }
    steps.push(Step::ReadToEnd);
    steps
}

fn written(steps: &[Step]) -> u64 {
    let each = steps.iter().map(|step| if let Step::Write(len) = step { *len as u64 } else { 0 });
    each.sum()
}

impl Script {
    /// The conversation of a seed.
    pub fn draw(seed: u64) -> Script {
        let mut random = Random::from_seed(seed);
        let random = &mut random;
        let size = |random: &mut Random| match random.below(5) {
            0 => 0,
            1 | 2 => random.below(500) as usize,
            _ => random.below(12_000) as usize,
        };
        let totals = [size(random), size(random)];
        let side = |random: &mut Random, own: usize, peer: usize| {
            let mut writer = writes(random, own);
            writer.push(Step::Shutdown);
            Side { writer, reader: reads(random, peer), reads_first: false, leave: Leave::Orderly }
        };
        let sides = [side(random, totals[0], totals[1]), side(random, totals[1], totals[0])];
        let kind = random.below(100);
        let perfect = kind >= 60;
        let mtu = [576, 1500, 9000][random.below(3) as usize];
        let mut script = Script {
            seed,
            open: Open::ToListener,
            sides,
            knobs: [knobs(random, mtu), knobs(random, mtu)],
            faults: faults(random, perfect),
            is_exact: false,
            is_hasty: false,
        };
        let who = random.below(2) as usize;
        let settled = Step::Pause(Duration::from_secs(60));
        match kind {
            // Any order of closing on a bad line, or one side after the other.
            0..60 => script.sides[who].reads_first = random.chance(0.4),
            60..70 => {
                script.sides[who].reads_first = true;
                script.is_exact = true;
            }
            // Both close at once, when all is said.
            70..76 => {
                for side in &mut script.sides {
                    side.writer = vec![Step::Write(100), Step::Until(Instant::from_secs(60)), Step::Shutdown];
                    side.reader = vec![Step::ReadToEnd];
                }
                script.is_exact = true;
            }
            // A reset when all is said and read.
            76..84 => {
                let peer = written(&script.sides[1 - who].writer) as usize;
                script.sides[1 - who].writer.pop();
                script.sides[who].writer.pop();
                script.sides[who].reader = vec![Step::Read(peer), settled];
                script.sides[who].writer.push(settled);
                script.sides[who].leave = Leave::Abort;
                script.is_exact = true;
            }
            // A reset in the middle of it.
            84..90 => {
                script.sides[who].writer.pop();
                script.sides[who].reader = Vec::new();
                script.sides[who].leave = Leave::Abort;
                script.is_hasty = true;
            }
            // Gone without reading.
            90..93 => {
                script.sides[who].writer.pop();
                script.sides[who].reader = vec![Step::Until(Instant::from_secs(60))];
                script.sides[who].leave = Leave::Drop;
                let later = Step::Until(Instant::from_secs(50));
                script.sides[1 - who].writer = vec![Step::Write(1_000), later, Step::Write(1_000)];
                script.sides[1 - who].reader = vec![Step::ReadToEnd];
            }
            93..96 => script.open = Open::ToNobody,
            _ => {
                script.open = Open::Simultaneous;
                script.sides[who].reads_first = true;
                script.is_exact = true;
            }
        }
        script
    }

    /// The bytes a side writes if nothing goes wrong.
    pub fn total(&self, side: usize) -> u64 {
        written(&self.sides[side].writer)
    }

    /// True if both sides close in order.
    pub fn is_orderly(&self) -> bool {
        self.open != Open::ToNobody && self.sides.iter().all(|side| side.leave == Leave::Orderly)
    }

    /// Panics unless this is what TCP promises, whoever plays.
    pub fn check(&self, reports: &[Report; 2]) {
        for (own, report) in reports.iter().enumerate() {
            let complain = || format!("side {own}: {reports:#?}\n{self:#?}");
            assert!(report.read <= self.total(1 - own), "{}", complain());
            if self.is_orderly() {
                assert_eq!(report.end, End::Eof, "{}", complain());
                assert_eq!(report.read, self.total(1 - own), "{}", complain());
                assert!(!report.write_failed && report.finished, "{}", complain());
            }
        }
    }
}
