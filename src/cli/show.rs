//! `tapstack show`: asks the running daemon over its control socket.

use crate::cli::plot;
use crate::cli::table::{self, Table, cell};
use crate::daemon::config::default_control_path;
use crate::daemon::control::{Request, ask};
use crate::daemon::failure::Failure;
use crate::transport::tcp::trace::Point;
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::path::PathBuf;

/// What to ask whom.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// What to show
    what: What,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// With trace: as a picture of the congestion windows over time
    #[arg(long, conflicts_with = "json")]
    svg: bool,
    /// With sockets: a second line with what TCP knows of the connection
    #[arg(long, short)]
    info: bool,
    /// The daemon's control socket
    #[arg(long, value_name = "PATH", conflicts_with = "tap")]
    control: Option<PathBuf>,
    /// The daemon's first TAP
    #[arg(long, value_name = "NAME", default_value = "tap0")]
    tap: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// TCP and UDP sockets
    Sockets,
    /// Interfaces with their addresses and traffic
    Interfaces,
    /// Neighbours and whether they answer
    Neighbours,
    /// Routes
    Routes,
    /// What is counted
    Counters,
    /// Received packets that were dropped, by reason
    Drops,
    /// Packets that were dropped on their way out, by reason
    Lost,
    /// What became of the others: with the drops they add up to all frames received
    Outcomes,
    /// Bounds, and how much of each is used
    Limits,
    /// What acknowledgments did to each connection, if the configuration says `tcp.trace = true`
    Trace,
}

impl What {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

impl Show {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let path = self.control.clone().unwrap_or_else(|| default_control_path(&self.tap));
        let answer = ask(&path, &Request::Show(self.what.name()))?;
        if self.json {
            super::print(&format!("{answer:#}\n"));
            return Ok(());
        }
        if self.svg {
            let points = serde_json::from_value::<Vec<Point>>(answer)
                .map_err(|_| Failure::Usage("only the trace is a picture: tapstack show trace --svg".to_owned()))?;
            super::print(&plot::svg(&points));
            return Ok(());
        }
        super::print(&match self.what {
            What::Sockets => sockets(&answer, self.info),
            _ => table::render(&answer),
        });
        Ok(())
    }
}

/// The columns of `ss`, and with `info` its second line.
const COLUMNS: [(&str, &str); 6] = [
    ("PROTO", "protocol"),
    ("STATE", "state"),
    ("RECV-Q", "receive_queue"),
    ("SEND-Q", "send_queue"),
    ("LOCAL", "local"),
    ("PEER", "remote"),
];

/// Where the lines of `info` begin and end.
const INDENT: &str = "         ";
const WIDTH: usize = 118;

fn sockets(answer: &Value, info: bool) -> String {
    let Value::Array(sockets) = answer else { return table::render(answer) };
    let mut table = Table::new(&COLUMNS.map(|(heading, _)| heading));
    for socket in sockets {
        table.row(COLUMNS.iter().map(|(_, key)| cell(socket.get(key).unwrap_or(&Value::Null))).collect());
    }
    let text = table.render();
    if !info {
        return text;
    }
    let mut lines = text.lines();
    let mut with_info = lines.next().unwrap_or_default().to_owned() + "\n";
    for (line, socket) in lines.zip(sockets) {
        with_info.push_str(line);
        with_info.push('\n');
        with_info.push_str(&wrapped(&details(socket)));
    }
    with_info
}

/// Words in indented lines, so that those of several sockets can be looked through.
fn wrapped(words: &[String]) -> String {
    let mut text = String::new();
    let mut room = 0;
    for word in words {
        if word.len() + 1 > room {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(INDENT);
            room = WIDTH - INDENT.len();
        } else {
            text.push(' ');
        }
        text.push_str(word);
        room = room.saturating_sub(word.len() + 1);
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// Everything about a socket that has no column: of a TCP connection in the order and words of `ss -i`.
fn details(socket: &Value) -> Vec<String> {
    let Value::Object(fields) = socket else { return Vec::new() };
    let mut parts = Vec::new();
    let mut said: Vec<&str> = Vec::new();
    let mut say = |label: &str, keys: &[&'static str], show: fn(&Value) -> String| {
        said.extend(keys);
        let known: Vec<String> =
            keys.iter().filter_map(|key| fields.get(*key)).filter(|value| !value.is_null()).map(show).collect();
        if known.iter().any(|text| !text.is_empty()) {
            parts.push(format!("{label}{}", known.join("/")));
        }
    };
    say("", &["ecn"], ecn);
    say("", &["ecn_seen"], ecn_seen);
    say("", &["congestion"], cell);
    say("", &["recovery"], cell);
    say("wscale:", &["send_window_scale", "receive_window_scale"], cell);
    say("rto:", &["rto_us"], millis);
    say("backoff:", &["backoff"], cell);
    say("rtt:", &["srtt_us", "rttvar_us"], millis);
    say("minrtt:", &["min_rtt_us"], millis);
    say("ato:", &["ato_us"], millis);
    say("mss:", &["mss_bytes"], cell);
    say("pmtu:", &["path_mtu_bytes"], cell);
    say("rcvmss:", &["receive_mss_bytes"], cell);
    say("advmss:", &["advertised_mss_bytes"], cell);
    say("cwnd:", &["cwnd_bytes"], cell);
    say("ssthresh:", &["ssthresh_bytes"], cell);
    say("bytes_sent:", &["bytes_sent"], cell);
    say("bytes_retrans:", &["bytes_retransmitted"], cell);
    say("bytes_acked:", &["bytes_acked"], cell);
    say("bytes_received:", &["bytes_received"], cell);
    say("segs_out:", &["segments_sent"], cell);
    say("segs_in:", &["segments_received"], cell);
    say("data_segs_out:", &["data_segments_sent"], cell);
    say("data_segs_in:", &["data_segments_received"], cell);
    say("lastsnd:", &["last_data_sent_ago_us"], millis);
    say("lastrcv:", &["last_data_received_ago_us"], millis);
    say("lastack:", &["last_ack_received_ago_us"], millis);
    say("pacing_rate:", &["pacing_rate_bytes"], cell);
    say("delivery_rate:", &["delivery_rate_bytes"], cell);
    say("delivered:", &["delivered_segments"], cell);
    say("delivered_ce:", &["delivered_ce_segments"], cell);
    say("received_ce:", &["received_ce_segments"], cell);
    say("in_flight:", &["in_flight_bytes"], cell);
    say("unacked:", &["unacked_segments"], cell);
    say("retrans:", &["resent_segments", "retransmissions"], cell);
    say("lost:", &["lost_segments"], cell);
    say("sacked:", &["sacked_segments"], cell);
    say("timeouts:", &["timeouts"], cell);
    say("reordering:", &["reordering_segments"], cell);
    say("reord_seen:", &["reorderings_seen"], cell);
    say("dsack_dups:", &["dsack_duplicates"], cell);
    say("notsent:", &["not_sent_bytes"], cell);
    say("rcv_space:", &["receive_buffer_bytes"], cell);
    say("rcv_ooopack:", &["out_of_order_segments"], cell);
    say("snd_wnd:", &["send_window_bytes"], cell);
    say("rcv_wnd:", &["receive_window_bytes"], cell);
    let has_column = |key: &str| COLUMNS.iter().any(|(_, column)| *column == key);
    let others = fields.iter().filter(|(key, value)| {
        !has_column(key) && !said.contains(&key.as_str()) && !value.is_null() && !value.is_array()
    });
    parts.extend(others.map(|(key, value)| format!("{key}:{}", cell(value))));
    if let Some(Value::Array(timers)) = fields.get("timers")
        && !timers.is_empty()
    {
        let names: Vec<String> = timers.iter().filter_map(|timer| timer.get("name")).map(cell).collect();
        parts.push(format!("timers:{}", names.join(",")));
    }
    parts
}

/// Which ECN it is, in a word of `ss -i`; nothing if there is none.
fn ecn(value: &Value) -> String {
    let word = match value.as_str() {
        Some("accurate") => "accecn",
        Some("classic") => "ecn",
        _ => "",
    };
    word.to_owned()
}

fn ecn_seen(value: &Value) -> String {
    if value == &Value::Bool(true) { "ecnseen".to_owned() } else { String::new() }
}

/// Microseconds as milliseconds.
fn millis(value: &Value) -> String {
    value.as_f64().map_or_else(|| cell(value), |micros| format!("{}ms", micros / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sockets_look_like_those_of_ss() {
        let answer = json!([
            {"protocol": "tcp", "state": "LISTEN", "receive_queue": 0, "send_queue": 1024, "local": "0.0.0.0:80", "remote": null},
            {"protocol": "tcp", "state": "ESTAB", "receive_queue": 0, "send_queue": 7, "local": "192.0.2.2:80",
             "remote": "192.0.2.1:40000", "timers": [{"name": "retransmit", "due_us": 7}], "rto_us": 200_000,
             "congestion": "newreno", "srtt_us": 1250, "rttvar_us": 500, "cwnd_bytes": 14480, "ssthresh_bytes": null, "news": 1},
        ]);
        let text = sockets(&answer, true);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "PROTO  STATE   RECV-Q  SEND-Q  LOCAL         PEER");
        assert_eq!(lines[1], "tcp    LISTEN       0    1024  0.0.0.0:80    -");
        assert_eq!(lines[2], "tcp    ESTAB        0       7  192.0.2.2:80  192.0.2.1:40000");
        assert_eq!(lines[3].trim(), "newreno rto:200ms rtt:1.25ms/0.5ms cwnd:14480 news:1 timers:retransmit");
        assert_eq!(sockets(&answer, false).lines().count(), 3);
    }

    #[test]
    fn what_is_known_of_a_connection_is_cut_into_lines_between_words() {
        let words: Vec<String> = (0..40).map(|n| format!("word_{n}:{}", n * n)).collect();
        let text = wrapped(&words);
        assert!(text.lines().all(|line| line.starts_with("         word_") && line.len() <= 118), "{text}");
        assert_eq!(text.split_whitespace().collect::<Vec<_>>(), words);
        assert!(text.lines().count() < 6, "{text}");
        assert_eq!(wrapped(&[]), "");
    }
}
