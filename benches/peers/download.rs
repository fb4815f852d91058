//! Row 1: a large file by curl.

use crate::arguments::Plan;
use crate::lab::{DAEMON, Namespace};
use crate::nginx::Nginx;
use crate::row::Duel;
use crate::site::Site;
use crate::veth::{SERVER, Veth};
use std::time::Duration;

/// The daemon's HTTP against nginx.
pub fn set_up(plan: &Plan) -> Result<Duel, String> {
    let (documents, bytes) = (plan.documents().path(), plan.documents().large_bytes);
    let site = Site::new("", &http(documents));
    let ours = move || {
        let before = site.processor_time();
        let speed = download(site.client(), &format!("http://{DAEMON}"), bytes);
        vec![speed, per_gigabyte(site.processor_time() - before, bytes as f64)]
    };
    let veth = Veth::new();
    let nginx = Nginx::start(veth.server(), documents, "");
    let peer = move || {
        let before = nginx.processor_time();
        let speed = download(veth.client(), &format!("http://{SERVER}"), bytes);
        vec![speed, per_gigabyte(nginx.processor_time() - before, bytes as f64)]
    };
    Ok(Duel { ours: Box::new(ours), peer: Some(Box::new(peer)) })
}

/// The table that switches HTTP on for these files.
pub fn http(root: &std::path::Path) -> String {
    format!("[http]\nroot = \"{}\"\n", root.display())
}

/// Processor time for each 10^9 bytes.
pub fn per_gigabyte(time: Duration, bytes: f64) -> f64 {
    time.as_secs_f64() / (bytes / 1e9)
}

/// What curl measures, in bits a second. `from` is a URL without its path, with options before it if need be.
pub fn download(client: &Namespace, from: &str, bytes: u64) -> f64 {
    let said = client.run(&format!(
        "curl -sS --noproxy '*' -o /dev/null -w '%{{http_code}} %{{size_download}} %{{time_total}}' {from}/large"
    ));
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words[..2], ["200", &bytes.to_string()], "curl: {said}");
    bytes as f64 * 8.0 / words[2].parse::<f64>().unwrap()
}
