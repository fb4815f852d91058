//! The table for people and the file with every figure.

use crate::arguments::Plan;
use crate::facts;
use crate::row::{Demand, Line, Outcome, Row, Unit};
use serde_json::{Value, json};
use std::path::Path;

/// Everything that came out of a run.
pub struct Report {
    machine: Value,
    plan: Value,
    lines: Vec<Value>,
    /// The cells of the table.
    cells: Vec<[String; 7]>,
    skipped: Vec<String>,
    failed: Vec<String>,
}

const HEADINGS: [&str; 7] = ["row", "work", "tapstack", "peer", "ratio (spread)", "demanded", "met"];

impl Report {
    /// An empty one, with the facts about the machine as it is before anything runs.
    pub fn new(plan: &Plan) -> Report {
        let plan = json!({
            "quick": plan.quick,
            "rounds": plan.rounds,
            "run_seconds": plan.run.as_secs_f64(),
            "download_bytes": plan.download_bytes,
            "congestion_control": plan.congestion,
            "files": plan.files,
            "idle_connections": plan.crowd,
        });
        let cells = vec![HEADINGS.map(str::to_owned)];
        Report { machine: facts::machine(), plan, lines: Vec::new(), cells, skipped: Vec::new(), failed: Vec::new() }
    }

    /// Takes in the lines of a row.
    pub fn add(&mut self, row: &Row, outcomes: Vec<Outcome>) {
        for (line, outcome) in row.lines.iter().zip(outcomes) {
            let verdict = Verdict::of(line, &outcome);
            let ratio = verdict.ratio.map(|(ratio, low, high)| json!({"median": ratio, "min": low, "max": high}));
            self.cells.push(verdict.cells(line));
            self.lines.push(json!({
                "row": line.label,
                "work": line.what,
                "unit": line.unit.name(),
                "peer_is": row.peer,
                "tapstack": outcome.ours,
                "peer": outcome.peer,
                "tapstack_median": verdict.ours,
                "peer_median": verdict.peer,
                "ratio": ratio,
                "demanded": demanded(line),
                "met": verdict.met,
            }));
        }
    }

    /// Notes a row that could not be run here.
    pub fn skip(&mut self, row: &Row, why: &str) {
        eprintln!("  skipped: {why}");
        self.skipped.push(format!("row {} ({}) was skipped: {why}", row.number, row.work));
    }

    /// Notes a row that went wrong.
    pub fn fail(&mut self, row: &Row) {
        eprintln!("  FAILED");
        self.failed.push(format!("row {} ({}) FAILED: see above", row.number, row.work));
    }

    /// True if a row went wrong.
    pub fn has_failures(&self) -> bool {
        !self.failed.is_empty()
    }

    /// The table, and what is missing from it.
    pub fn table(&self) -> String {
        let mut widths = [0; 7];
        for row in &self.cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        for row in &self.cells {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .enumerate()
                // Figures stand at the right of their column.
                .map(|(column, (cell, width))| match column {
                    2 | 3 => format!("{cell:>width$}"),
                    _ => format!("{cell:<width$}"),
                })
                .collect();
            text += cells.join("  ").trim_end();
            text.push('\n');
        }
        for line in self.skipped.iter().chain(&self.failed) {
            text += line;
            text.push('\n');
        }
        text
    }

    /// Writes all figures to `path`.
    pub fn write(&self, path: &Path) {
        let all = json!({
            "machine": self.machine,
            "plan": self.plan,
            "lines": self.lines,
            "skipped": self.skipped,
            "failed": self.failed,
        });
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).unwrap();
        }
        let text = serde_json::to_string_pretty(&all).unwrap() + "\n";
        std::fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// What the figures of a line come to.
struct Verdict {
    ours: f64,
    peer: Option<f64>,
    /// Of the medians, and the least and the greatest of a round.
    ratio: Option<(f64, f64, f64)>,
    met: Option<bool>,
}

impl Verdict {
    fn of(line: &Line, outcome: &Outcome) -> Verdict {
        let ours = median(&outcome.ours);
        let peer = (!outcome.peer.is_empty()).then(|| median(&outcome.peer));
        let ratio = peer.map(|peer| {
            let rounds = outcome.ours.iter().zip(&outcome.peer).map(|(ours, peer)| ours / peer);
            let (low, high) = rounds.fold((f64::MAX, f64::MIN), |(low, high), ratio| (low.min(ratio), high.max(ratio)));
            (ours / peer, low, high)
        });
        let met = match (line.demand, ratio) {
            (Demand::AtLeast(least), Some((ratio, ..))) => Some(ratio >= least),
            (Demand::AtMost(most), Some((ratio, ..))) => Some(ratio <= most),
            (Demand::AtMostItself(most), _) => Some(ours <= most),
            _ => None,
        };
        Verdict { ours, peer, ratio, met }
    }

    fn cells(&self, line: &Line) -> [String; 7] {
        let met = self.met.map_or("", |met| if met { "yes" } else { "NO" });
        [
            line.label.to_owned(),
            line.what.to_owned(),
            line.unit.text(self.ours),
            self.peer.map_or(String::new(), |peer| line.unit.text(peer)),
            self.ratio.map_or(String::new(), |(ratio, low, high)| format!("{ratio:.2} ({low:.2}-{high:.2})")),
            demanded(line),
            met.to_owned(),
        ]
    }
}

fn demanded(line: &Line) -> String {
    match line.demand {
        Demand::AtLeast(ratio) => format!(">= {ratio}"),
        Demand::AtMost(ratio) => format!("<= {ratio}"),
        Demand::AtMostItself(figure) if line.unit == Unit::Bytes => format!("<= {figure} B"),
        Demand::AtMostItself(figure) => format!("<= {figure}"),
        Demand::Reported => String::new(),
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}
