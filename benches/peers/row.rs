//! A row of the table: two sides that do the same work in turns.

use crate::arguments::Plan;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    BitsPerSecond,
    PerSecond,
    Seconds,
    /// Seconds of processor time for 10^9 bytes.
    ProcessorPerGigabyte,
    Bytes,
}

/// What must come out.
#[derive(Clone, Copy)]
pub enum Demand {
    /// Our median is so many times the peer's, or more.
    AtLeast(f64),
    /// Our median is so many times the peer's, or less.
    AtMost(f64),
    /// Our median is this, or less; there is no peer.
    AtMostItself(f64),
    /// It is only reported.
    Reported,
}

/// One figure that a run yields, and a line of the table.
pub struct Line {
    /// Stands in the table's first column: the row's number, and a word if it has several lines.
    pub label: &'static str,
    pub what: &'static str,
    pub unit: Unit,
    pub demand: Demand,
}

/// One side of a row: does the work once and says a figure for each line.
pub type Side = Box<dyn FnMut() -> Vec<f64>>;

/// Both sides, set up.
pub struct Duel {
    pub ours: Side,
    pub peer: Option<Side>,
}

/// A row: what is done, against whom, and what is asked of it.
pub struct Row {
    pub number: u32,
    pub work: &'static str,
    /// Empty if there is none.
    pub peer: &'static str,
    pub lines: &'static [Line],
    /// A single round, without one that does not count, where it takes long and the next would hardly differ.
    pub once: bool,
    /// Sets both sides up, or says why the row cannot be run here.
    pub set_up: fn(&Plan) -> Result<Duel, String>,
}

/// What the rounds yielded for one line.
pub struct Outcome {
    pub ours: Vec<f64>,
    pub peer: Vec<f64>,
}

impl Row {
    /// Sets up, runs one round that does not count, and then the rounds that do.
    pub fn compete(&self, plan: &Plan) -> Result<Vec<Outcome>, String> {
        let Duel { mut ours, mut peer } = (self.set_up)(plan)?;
        let (first, rounds) = if self.once { (1, 1) } else { (0, plan.rounds) };
        let mut outcomes: Vec<Outcome> =
            self.lines.iter().map(|_| Outcome { ours: Vec::new(), peer: Vec::new() }).collect();
        for round in first..=rounds {
            let our_figures = self.run(&mut ours);
            let peer_figures = peer.as_mut().map(|peer| self.run(peer)).unwrap_or_default();
            self.say(round, rounds, &our_figures, &peer_figures);
            if round > 0 {
                for (index, outcome) in outcomes.iter_mut().enumerate() {
                    outcome.ours.extend(our_figures.get(index));
                    outcome.peer.extend(peer_figures.get(index));
                }
            }
        }
        Ok(outcomes)
    }

    fn run(&self, side: &mut Side) -> Vec<f64> {
        assert!(!is_interrupted(), "interrupted");
        // What the other side left to do (closing connections, freeing pages) is not this one's to pay.
        std::thread::sleep(Duration::from_millis(50));
        let figures = side();
        assert_eq!(figures.len(), self.lines.len(), "a figure for each line");
        figures
    }

    fn say(&self, round: u32, rounds: u32, ours: &[f64], peer: &[f64]) {
        let which = if round == 0 { "warm-up".to_owned() } else { format!("round {round}/{rounds}") };
        let text = |figures: &[f64]| {
            let figures = figures.iter().zip(self.lines).map(|(figure, line)| line.unit.text(*figure));
            figures.collect::<Vec<_>>().join(", ")
        };
        let peer = if peer.is_empty() { String::new() } else { format!(" | {}: {}", self.peer, text(peer)) };
        eprintln!("  {which:<9}  tapstack: {}{peer}", text(ours));
    }
}

impl Unit {
    /// A figure for people.
    pub fn text(self, figure: f64) -> String {
        match self {
            Unit::BitsPerSecond => format!("{:.2} Gbit/s", figure / 1e9),
            Unit::PerSecond => format!("{figure:.0}/s"),
            Unit::Seconds => format!("{:.1} us", figure * 1e6),
            Unit::ProcessorPerGigabyte => format!("{figure:.3} s/GB"),
            Unit::Bytes => format!("{figure:.0} B"),
        }
    }

    /// Its name in the file of all figures.
    pub fn name(self) -> &'static str {
        match self {
            Unit::BitsPerSecond => "bit/s",
            Unit::PerSecond => "1/s",
            Unit::Seconds => "s",
            Unit::ProcessorPerGigabyte => "s/GB",
            Unit::Bytes => "B",
        }
    }
}

fn interrupted() -> &'static Arc<AtomicBool> {
    static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    INTERRUPTED.get_or_init(Arc::default)
}

/// Ctrl-C ends the run between two measurements, so that namespaces and programs go; a second one ends it at once.
pub fn heed_interruptions() {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, interrupted().clone()).unwrap();
        signal_hook::flag::register(signal, interrupted().clone()).unwrap();
    }
}

/// True once the run is to end.
pub fn is_interrupted() -> bool {
    interrupted().load(Ordering::Relaxed)
}
