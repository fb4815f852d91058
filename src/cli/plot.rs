//! The congestion window over time as a picture (SVG 1.1), from the points of `tapstack show trace`.
//!
//! One panel for each connection: the window as a line, what was in the network as an area below it, the end of slow start
//! dashed, and recovery and time-outs as bands behind.

use crate::transport::tcp::trace::Point;
use std::fmt::Write;

const WIDTH: f64 = 900.0;
/// Of one panel, its title and its axis.
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 30.0;
/// More points than there are pixels show nothing more.
const MOST_POINTS: usize = 1800;
/// Marks on an axis, at least.
const MARKS: f64 = 4.0;

/// A picture of the points of each connection, in the order in which they first occur.
pub fn svg(points: &[Point]) -> String {
    let mut flows: Vec<Vec<&Point>> = Vec::new();
    for point in points {
        let ends = |flow: &&mut Vec<&Point>| {
            flow.first().is_some_and(|first| (first.local, first.remote) == (point.local, point.remote))
        };
        match flows.iter_mut().find(ends) {
            Some(flow) => flow.push(point),
            None => flows.push(vec![point]),
        }
    }
    let height = HEIGHT * flows.len().max(1) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for (index, flow) in flows.iter().enumerate() {
        panel(&mut svg, flow, index as f64 * HEIGHT);
    }
    svg.push_str("</svg>\n");
    svg
}

/// How figures become places.
struct Scale {
    start: u64,
    seconds: f64,
    most: f64,
    /// The top of the panel.
    y: f64,
}

impl Scale {
    fn x(&self, at_us: u64) -> f64 {
        LEFT + at_us.saturating_sub(self.start) as f64 / 1e6 / self.seconds * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, bytes: f64) -> f64 {
        self.y + HEIGHT - BOTTOM - (bytes / self.most).min(1.0) * (HEIGHT - TOP - BOTTOM)
    }
}

fn panel(svg: &mut String, flow: &[&Point], y: f64) {
    let (Some(first), Some(last)) = (flow.first(), flow.last()) else { return };
    let most = flow.iter().map(|point| point.cwnd_bytes.max(point.in_flight_bytes)).max().unwrap_or_default();
    let seconds = (last.at_us.saturating_sub(first.at_us) as f64 / 1e6).max(1e-6);
    let scale = Scale { start: first.at_us, seconds, most: f64::from(most.max(1)) * 1.05, y };
    // Writing to a string does not fail.
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.0}\">{}: {} to {}: congestion window in KiB over seconds</text>",
        y + 18.0,
        first.congestion,
        first.local,
        first.remote
    );
    bands(svg, flow, &scale);
    axes(svg, &scale);
    let step = flow.len().div_ceil(MOST_POINTS).max(1);
    let thin: Vec<&Point> = flow.iter().step_by(step).copied().collect();
    let base = scale.y(0.0);
    let in_flight = steps(&scale, thin.iter().map(|point| (point.at_us, Some(point.in_flight_bytes))));
    let _ = writeln!(
        svg,
        "<path d=\"M{:.1} {base:.1}{} V{base:.1} Z\" fill=\"#9ecae1\" fill-opacity=\"0.6\"/>",
        scale.x(first.at_us),
        in_flight.replacen('M', " L", 1)
    );
    let ssthresh = steps(&scale, thin.iter().map(|point| (point.at_us, point.ssthresh_bytes)));
    let _ = writeln!(svg, "<path d=\"{ssthresh}\" fill=\"none\" stroke=\"#888888\" stroke-dasharray=\"4 3\"/>");
    let cwnd = steps(&scale, thin.iter().map(|point| (point.at_us, Some(point.cwnd_bytes))));
    let _ = writeln!(svg, "<path d=\"{cwnd}\" fill=\"none\" stroke=\"#08519c\" stroke-width=\"1.5\"/>");
}

/// A line that keeps its height until the next point; nothing where there is no figure.
fn steps(scale: &Scale, points: impl Iterator<Item = (u64, Option<u32>)>) -> String {
    let (mut path, mut is_down) = (String::new(), false);
    for (at, bytes) in points {
        let Some(bytes) = bytes else {
            is_down = false;
            continue;
        };
        let (x, y) = (scale.x(at), scale.y(f64::from(bytes)));
        let _ = if is_down { write!(path, "H{x:.1}V{y:.1}") } else { write!(path, "M{x:.1} {y:.1}") };
        is_down = true;
    }
    path
}

/// When something was being repaired.
fn bands(svg: &mut String, flow: &[&Point], scale: &Scale) {
    let mut points = flow.iter().peekable();
    while let Some(point) = points.next() {
        let colour = match &*point.recovery {
            "recovery" => "#fee391",
            "loss" => "#fcae91",
            _ => continue,
        };
        let mut end = point.at_us;
        while let Some(next) = points.peek() {
            end = next.at_us;
            if next.recovery != point.recovery {
                break;
            }
            points.next();
        }
        let (from, to) = (scale.x(point.at_us), scale.x(end));
        let _ = writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
            scale.y + TOP,
            (to - from).max(1.0),
            HEIGHT - TOP - BOTTOM
        );
    }
}

fn axes(svg: &mut String, scale: &Scale) {
    let (bottom, right) = (scale.y(0.0), WIDTH - RIGHT);
    let _ = writeln!(
        svg,
        "<path d=\"M{LEFT} {:.1}V{bottom:.1}H{right}\" fill=\"none\" stroke=\"#000000\"/>",
        scale.y + TOP
    );
    for (mark, text) in marks(scale.most / 1024.0) {
        let y = scale.y(mark * 1024.0);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#dddddd\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    for (mark, text) in marks(scale.seconds) {
        let x = scale.x(scale.start + (mark * 1e6) as u64);
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>", bottom + 16.0);
    }
}

/// Round figures up to `most`, evenly spread.
fn marks(most: f64) -> Vec<(f64, String)> {
    let mut step = 1e-3;
    for factor in [2.0, 2.5, 2.0].into_iter().cycle().take(60) {
        if most / (step * factor) < MARKS {
            break;
        }
        step *= factor;
    }
    let digits = if step < 0.01 {
        3
    } else if step < 0.1 {
        2
    } else if step < 1.0 {
        1
    } else {
        0
    };
    let count = (most / step).floor().clamp(0.0, 20.0) as u32;
    (0..=count).map(|n| (f64::from(n) * step, format!("{:.digits$}", f64::from(n) * step))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_us: u64, remote: &str, recovery: &'static str, cwnd_bytes: u32) -> Point {
        Point {
            at_us,
            local: "192.0.2.2:80".parse().unwrap(),
            remote: remote.parse().unwrap(),
            state: "ESTABLISHED".into(),
            recovery: recovery.into(),
            congestion: "cubic".into(),
            cwnd_bytes,
            ssthresh_bytes: (at_us > 0).then_some(20_000),
            in_flight_bytes: cwnd_bytes / 2,
            srtt_us: None,
            pacing_rate_bytes: None,
            acked_bytes: 0,
            retransmitted_bytes: 0,
        }
    }

    #[test]
    fn every_connection_has_a_panel_and_every_repair_a_band() {
        let one = "192.0.2.1:4000";
        let points = [
            point(0, one, "open", 14_000),
            point(0, "192.0.2.1:4001", "open", 14_000),
            point(100_000, one, "recovery", 40_000),
            point(150_000, one, "recovery", 30_000),
            point(200_000, one, "open", 30_000),
            point(300_000, one, "loss", 1_448),
        ];
        let svg = svg(&points);
        assert_eq!(svg.matches("congestion window in KiB").count(), 2);
        assert_eq!(svg.matches("#fee391").count(), 1, "one recovery");
        assert_eq!(svg.matches("#fcae91").count(), 1, "one timeout");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn axes_have_round_figures() {
        let texts = |most| marks(most).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(texts(10.0), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(texts(0.5), ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(texts(340.0), ["0", "50", "100", "150", "200", "250", "300"]);
    }

    #[test]
    fn nothing_is_a_picture_too() {
        assert!(svg(&[]).ends_with("</svg>\n"));
    }
}
