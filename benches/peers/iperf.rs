//! iperf3: the server, and what a client of it reports.

use crate::lab::{Namespace, Running, eventually};
use crate::processor;
use serde_json::Value;
use std::time::Duration;

/// A running iperf3 server.
pub struct Iperf(Running);

impl Iperf {
    /// Starts it.
    pub fn start(namespace: &Namespace) -> Iperf {
        let running = namespace.start("exec iperf3 -s");
        eventually("iperf3 listens", || namespace.run("ss -Hltn").contains(":5201"));
        Iperf(running)
    }

    /// Processor time that it has used.
    pub fn processor_time(&self) -> Duration {
        processor::time_of_group(self.0.pid())
    }
}

/// What went from a client in `namespace` to the server.
pub struct Transfer {
    pub bytes: f64,
    /// As the server saw it.
    pub bits_per_second: f64,
}

/// Sends for so long, in pieces of `piece` bytes.
pub fn send(namespace: &Namespace, to: &str, run: Duration, piece: usize) -> Transfer {
    // Its times are whole seconds.
    let seconds = run.as_secs().max(1);
    let said = namespace.run(&format!("iperf3 -c {to} -t {seconds} -l {piece} -J"));
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("iperf3: {error}: {said}"));
    let received = &said["end"]["sum_received"];
    let figure = |name: &str| received[name].as_f64().filter(|figure| *figure > 0.0);
    match (figure("bytes"), figure("bits_per_second")) {
        (Some(bytes), Some(bits_per_second)) => Transfer { bytes, bits_per_second },
        _ => panic!("iperf3 measured nothing: {said}"),
    }
}
