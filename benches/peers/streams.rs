//! Rows 3 and 4: the work of smoltcp's benchmark, and row 10: two flows and two queues.

use crate::arguments::Plan;
use crate::lab::{DAEMON, Namespace};
use crate::load;
use crate::row::{Duel, Side};
use crate::site::Site;
use crate::smoltcp::Smoltcp;
use std::time::Duration;

/// What the client writes at once.
const PIECE: usize = 1 << 20;

/// As the daemon is by default; and once more from a sender that does not pace itself, where the receiver is the limit.
pub fn set_up(plan: &Plan) -> Result<Duel, String> {
    let run = plan.run;
    Ok(against_smoltcp("", move |client| {
        let unpaced = client.connect(&format!("{DAEMON}:9"));
        rustix::net::sockopt::set_tcp_congestion(&unpaced, "reno").unwrap();
        let unpaced = load::write(unpaced, PIECE, run).bits_per_second();
        [both_ways(client, run), vec![unpaced]].concat()
    }))
}

/// Without the kernel's offloads, which smoltcp has none of.
pub fn set_up_without_offload(plan: &Plan) -> Result<Duel, String> {
    let run = plan.run;
    Ok(against_smoltcp("offload = false", move |client| both_ways(client, run)))
}

fn against_smoltcp(interface: &str, work: impl Fn(&Namespace) -> Vec<f64> + Clone + 'static) -> Duel {
    let site = Site::new(interface, "");
    let on_us = work.clone();
    let ours = move || on_us(site.client());
    let smoltcp = Smoltcp::start();
    let peer = move || work(smoltcp.client());
    Duel { ours: Box::new(ours), peer: Some(Box::new(peer)) }
}

/// The stack sends, then it receives.
fn both_ways(client: &Namespace, run: Duration) -> Vec<f64> {
    let sends = load::read(client.connect(&format!("{DAEMON}:19")), run);
    let receives = load::write(client.connect(&format!("{DAEMON}:9")), PIECE, run);
    vec![sends.bits_per_second(), receives.bits_per_second()]
}

/// Two flows over two queues against two flows over one.
pub fn set_up_queues(plan: &Plan) -> Result<Duel, String> {
    let two = Site::try_new("queues = 2", "")?;
    let one = Site::new("queues = 1", "");
    let run = plan.run;
    let side = move |site: Site| -> Side { Box::new(move || two_flows(&site, run)) };
    Ok(Duel { ours: side(two), peer: Some(side(one)) })
}

/// What two flows carry together in each direction.
fn two_flows(site: &Site, run: Duration) -> Vec<f64> {
    let together = |port: u16, work: fn(std::net::TcpStream, Duration) -> load::Moved| {
        let flows = on_queues_of_their_own(site, port);
        let flows = flows.map(|stream| std::thread::spawn(move || work(stream, run)));
        flows.map(|flow| flow.join().unwrap().bits_per_second()).iter().sum()
    };
    vec![together(19, load::read), together(9, |stream, run| load::write(stream, PIECE, run))]
}

/// Two flows that the kernel put on different queues, where there are several.
fn on_queues_of_their_own(site: &Site, port: u16) -> [std::net::TcpStream; 2] {
    let connect = || site.client().connect(&format!("{DAEMON}:{port}"));
    let queue_of = |flow: &std::net::TcpStream| {
        let end = flow.local_addr().unwrap().to_string();
        let connections = site.daemon().connections();
        connections.iter().find(|socket| socket["remote"] == end.as_str()).and_then(|socket| socket["queue"].as_u64())
    };
    let first = connect();
    let queue = queue_of(&first);
    // Each has an even chance; the kernel's hash is not ours to choose.
    let second = (0..64).map(|_| connect()).find(|flow| queue.is_none() || queue_of(flow) != queue);
    [first, second.expect("64 flows in a row on one queue")]
}
