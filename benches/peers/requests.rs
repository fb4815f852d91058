//! Rows 5 and 6: wrk asks for a small file.

use crate::arguments::Plan;
use crate::download::http;
use crate::lab::{DAEMON, Namespace};
use crate::nginx::Nginx;
use crate::row::Duel;
use crate::site::Site;
use crate::veth::{SERVER, Veth};
use std::time::Duration;

/// 64 connections that stay.
pub fn set_up_keep_alive(plan: &Plan) -> Result<Duel, String> {
    Ok(set_up(plan, "", ""))
}

/// The same, and nginx need not look whether the file has changed.
pub fn set_up_cached(plan: &Plan) -> Result<Duel, String> {
    Ok(set_up(plan, "", "open_file_cache max=100;"))
}

/// A connection for each request.
pub fn set_up_close(plan: &Plan) -> Result<Duel, String> {
    Ok(set_up(plan, "-H 'Connection: close'", ""))
}

fn set_up(plan: &Plan, flags: &'static str, directives: &str) -> Duel {
    let (documents, run) = (plan.documents().path(), plan.run);
    let site = Site::new("", &http(documents));
    let ours = move || vec![wrk(site.client(), "", flags, &format!("http://{DAEMON}"), run).rate];
    let veth = Veth::new();
    let nginx = Nginx::start(veth.server(), documents, directives);
    let peer = move || {
        let _ = &nginx;
        vec![wrk(veth.client(), "", flags, &format!("http://{SERVER}"), run).rate]
    };
    Duel { ours: Box::new(ours), peer: Some(Box::new(peer)) }
}

/// What wrk counted.
pub struct Counted {
    pub requests: f64,
    /// Each second.
    pub rate: f64,
}

/// Asks for the page; `environment` is what stands before the command, `at` a URL without its path.
pub fn wrk(client: &Namespace, environment: &str, flags: &str, at: &str, run: Duration) -> Counted {
    // Its times are whole seconds.
    let seconds = run.as_secs().max(1);
    let said = client.run(&format!("{environment} wrk -t1 -c64 -d{seconds}s {flags} {at}/index.html"));
    let is_bad = |line: &str| line.contains("Non-2xx") || line.contains("Socket errors");
    assert!(!said.lines().any(is_bad), "wrk: {said}");
    let number = |word: &str| word.trim().parse::<f64>().ok().filter(|number| *number > 0.0);
    let rate = said.lines().find_map(|line| number(line.strip_prefix("Requests/sec:")?));
    let requests = said.lines().find_map(|line| number(line.split_once(" requests in ")?.0));
    match (requests, rate) {
        (Some(requests), Some(rate)) => Counted { requests, rate },
        _ => panic!("wrk: {said}"),
    }
}
