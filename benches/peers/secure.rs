//! Rows 14 to 17: the same certificate, TLS 1.3, cipher suite and group on both sides.

use crate::arguments::Plan;
use crate::download::{download, http, per_gigabyte};
use crate::handshakes::{self, Kind};
use crate::lab::{DAEMON, Namespace};
use crate::nginx::Nginx;
use crate::requests::wrk;
use crate::row::Duel;
use crate::site::Site;
use crate::veth::{SERVER, Veth};
use std::time::Duration;

/// What a client of OpenSSL's offers where it can't be told on the command line.
const OPENSSL: &str = "openssl_conf = all\n[all]\nssl_conf = tls\n[tls]\nsystem_default = offered\n\
    [offered]\nMinProtocol = TLSv1.3\nCiphersuites = TLS_AES_128_GCM_SHA256\nGroups = X25519\n";

/// A large file.
pub fn set_up_download(plan: &Plan) -> Result<Duel, String> {
    let bytes = plan.documents().large_bytes;
    let curl = |address: &str| {
        format!("-k --tlsv1.3 --tls13-ciphers TLS_AES_128_GCM_SHA256 --curves X25519 https://{address}")
    };
    Ok(duel(plan, move |client, address, time| {
        let before = time();
        let speed = download(client, &curl(address), bytes);
        vec![speed, per_gigabyte(time() - before, bytes as f64)]
    }))
}

/// 64 connections that stay.
pub fn set_up_keep_alive(plan: &Plan) -> Result<Duel, String> {
    let run = plan.run;
    Ok(duel(plan, move |client, address, time| {
        client.write("openssl.cnf", OPENSSL);
        let before = time();
        let counted = wrk(client, "OPENSSL_CONF=openssl.cnf", "", &format!("https://{address}"), run);
        vec![counted.rate, (time() - before).as_secs_f64() / counted.requests]
    }))
}

/// Each session begins anew.
pub fn set_up_full(plan: &Plan) -> Result<Duel, String> {
    Ok(set_up_handshakes(plan, Kind::Full))
}

/// Each session goes on from one before it.
pub fn set_up_resumed(plan: &Plan) -> Result<Duel, String> {
    Ok(set_up_handshakes(plan, Kind::Resumed))
}

fn set_up_handshakes(plan: &Plan, kind: Kind) -> Duel {
    let run = plan.run;
    duel(plan, move |client, address, time| {
        let before = time();
        let shaken = client.inside(|| handshakes::shake(&format!("{address}:443"), kind, run));
        vec![shaken.rate(), (time() - before).as_secs_f64() / shaken.count as f64]
    })
}

/// Both servers with one certificate. `work` is given the client's namespace, the server's address, and the processor
/// time that the server has used.
fn duel(plan: &Plan, work: impl Fn(&Namespace, &str, &dyn Fn() -> Duration) -> Vec<f64> + Clone + 'static) -> Duel {
    let documents = plan.documents().path();
    let veth = Veth::new();
    veth.server().run(&format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=bench \
         -addext subjectAltName=IP:{DAEMON} -keyout key.pem -out certificate.pem 2>&1"
    ));
    let folder = veth.server().folder().display().to_string();
    let tables = http(documents).replace("[http]", "[http]\ntls_listen = [443]")
        + &format!("[[tls.certificates]]\ncertificate = \"{folder}/certificate.pem\"\nkey = \"{folder}/key.pem\"\n");
    let site = Site::new("", &tables);
    let ours = {
        let work = work.clone();
        move || work(site.client(), DAEMON, &|| site.processor_time())
    };
    let directives = format!(
        "ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem; \
         ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:sessions:16m;"
    );
    let nginx = Nginx::start_secure(veth.server(), documents, &directives);
    let peer = move || work(veth.client(), SERVER, &|| nginx.processor_time());
    Duel { ours: Box::new(ours), peer: Some(Box::new(peer)) }
}
