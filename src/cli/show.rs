//! `tapstack show`: asks the running daemon over its control socket.

use crate::cli::table::{self, Table, cell};
use crate::daemon::config::default_control_path;
use crate::daemon::control::{Request, ask};
use crate::daemon::failure::Failure;
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
    /// Dropped packets by reason
    Drops,
    /// Bounds, and how much of each is used
    Limits,
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
        let details = details(socket);
        if !details.is_empty() {
            with_info.push_str("         ");
            with_info.push_str(&details);
            with_info.push('\n');
        }
    }
    with_info
}

/// Everything about a socket that has no column, as `key:value`.
fn details(socket: &Value) -> String {
    let Value::Object(fields) = socket else { return String::new() };
    let has_column = |key: &str| COLUMNS.iter().any(|(_, column)| *column == key);
    fields
        .iter()
        .filter(|(key, value)| !has_column(key) && !value.is_null())
        .map(|(key, value)| format!("{key}:{}", cell(value)))
        .collect::<Vec<_>>()
        .join(" ")
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
             "remote": "192.0.2.1:40000", "cwnd": 10, "rtt": "1.2ms"},
        ]);
        let text = sockets(&answer, true);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "PROTO  STATE   RECV-Q  SEND-Q  LOCAL         PEER");
        assert_eq!(lines[1], "tcp    LISTEN       0    1024  0.0.0.0:80    -");
        assert_eq!(lines[2], "tcp    ESTAB        0       7  192.0.2.2:80  192.0.2.1:40000");
        assert_eq!(lines[3].trim(), "cwnd:10 rtt:1.2ms");
        assert_eq!(sockets(&answer, false).lines().count(), 3);
    }
}
