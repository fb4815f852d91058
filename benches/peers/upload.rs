//! Row 2: one bulk sender.

use crate::arguments::Plan;
use crate::download::per_gigabyte;
use crate::iperf::{self, Iperf};
use crate::lab::DAEMON;
use crate::load;
use crate::row::Duel;
use crate::site::Site;
use crate::veth::{SERVER, Veth};

/// What iperf3 writes at once if it is not told otherwise; ours does the same.
const PIECE: usize = 128 << 10;

/// The daemon's discard service against iperf3.
pub fn set_up(plan: &Plan) -> Result<Duel, String> {
    let run = plan.run;
    let site = Site::new("", "");
    let ours = move || {
        let before = site.processor_time();
        let moved = load::write(site.client().connect(&format!("{DAEMON}:9")), PIECE, run);
        vec![moved.bits_per_second(), per_gigabyte(site.processor_time() - before, moved.bytes as f64)]
    };
    let veth = Veth::new();
    let server = Iperf::start(veth.server());
    let peer = move || {
        let before = server.processor_time();
        let moved = iperf::send(veth.client(), SERVER, run, PIECE);
        vec![moved.bits_per_second, per_gigabyte(server.processor_time() - before, moved.bytes)]
    };
    Ok(Duel { ours: Box::new(ours), peer: Some(Box::new(peer)) })
}
