//! What two ends agree on: versions, keys, names, protocols, sessions that go on, certificates of clients.

use super::fixtures::{Client, Made, Outcome, client_config, made, meet, read, read_to_end, settings, write};
use crate::application::testing::Bench;
use crate::presentation::tls::certificates::{CertificateError, Identity};
use crate::presentation::tls::key_log::Lines;
use crate::presentation::tls::settings::{ClientAuth, Profile, ServerTls, Settings, provider};
use crate::presentation::tls::stream::Agreement;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

/// Shakes hands and says a word.
fn shake(
    bench: &mut Bench,
    (tls, protocols): (&ServerTls, &[&str]),
    client: &Arc<ClientConfig>,
    name: &str,
) -> (Client, Outcome<Agreement>) {
    // Each thread has an acceptor of its own.
    let acceptor = tls.acceptor(protocols, bench.clock());
    let (mut client, outcome) = meet(bench, &acceptor, client, name, 1 << 20, |mut stream| async move {
        write(&mut stream, "welcome").await?;
        Ok(stream.agreement().unwrap())
    });
    client.turn(bench);
    (client, outcome)
}

#[track_caller]
fn agreed(bench: &mut Bench, tls: &ServerTls, client: &Arc<ClientConfig>) -> Agreement {
    let (mut client, outcome) = shake(bench, (tls, &[]), client, "host.example");
    assert_eq!(client.error, None);
    assert_eq!(client.heard(), b"welcome");
    outcome.take().unwrap().unwrap()
}

fn client(made: &[&Made], versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    client_config(made, versions).into()
}

#[test]
fn keys_are_agreed_on_so_that_a_quantum_computer_learns_nothing() {
    let (mut bench, host) = (Bench::default(), made(&["host.example"]));
    let tls = ServerTls::new(settings(&[&host])).unwrap();
    let agreement = agreed(&mut bench, &tls, &client(&[&host], rustls::ALL_VERSIONS));
    assert_eq!(agreement.version, "TLSv1_3");
    assert_eq!(agreement.key_exchange.as_deref(), Some("X25519MLKEM768"));
    assert_eq!(agreement.server_name.as_deref(), Some("host.example"));
    assert!(!agreement.is_resumed && !agreement.is_client_certified);
}

#[test]
fn our_order_of_cipher_suites_counts() {
    let (mut bench, host) = (Bench::default(), made(&["host.example"]));
    let tls = ServerTls::new(settings(&[&host])).unwrap();
    for (version, expected) in [(&TLS13, "TLS_AES_128_GCM_SHA256"), (&TLS12, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")]
    {
        let mut turned = provider();
        turned.cipher_suites.reverse();
        let mut roots = RootCertStore::empty();
        roots.add(host.der.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(turned.into()).with_protocol_versions(&[version]).unwrap();
        let turned = builder.with_root_certificates(roots).with_no_client_auth();
        assert_eq!(agreed(&mut bench, &tls, &turned.into()).cipher_suite, expected);
    }
}

#[test]
fn the_modern_profile_is_tls_1_3_alone() {
    let (mut bench, host) = (Bench::default(), made(&["host.example"]));
    let old = client(&[&host], &[&TLS12]);
    let tls = ServerTls::new(settings(&[&host])).unwrap();
    let agreement = agreed(&mut bench, &tls, &old);
    assert_eq!(agreement.version, "TLSv1_2");
    assert!(agreement.cipher_suite.starts_with("TLS_ECDHE_"), "{agreement:?}");
    let tls = ServerTls::new(Settings { profile: Profile::Modern, ..settings(&[&host]) }).unwrap();
    let (client, outcome) = shake(&mut bench, (&tls, &[]), &old, "host.example");
    assert_eq!(client.error, Some(rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)));
    drop(client);
    bench.run();
    assert_eq!(outcome.take().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
fn a_protocol_is_chosen_or_the_client_is_refused() {
    let (mut bench, host) = (Bench::default(), made(&["host.example"]));
    let tls = ServerTls::new(settings(&[&host])).unwrap();
    let mut asking = |protocols: &[&str]| {
        let mut config = client_config(&[&host], rustls::ALL_VERSIONS);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let (mut client, outcome) = shake(&mut bench, (&tls, &["h2", "http/1.1"]), &config.into(), "host.example");
        let error = client.error.take();
        drop(client);
        bench.run();
        (outcome.take().unwrap().ok().and_then(|agreement| agreement.protocol), error)
    };
    assert_eq!(asking(&["http/1.1", "h2"]).0.as_deref(), Some(b"h2".as_slice()), "by our order");
    assert_eq!(asking(&[]), (None, None), "who asks for nothing is served");
    let refused = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
    assert_eq!(asking(&["pop3"]), (None, Some(refused)));
}

#[test]
fn each_name_gets_its_certificate_and_everybody_else_the_first() {
    let (mut bench, hosts) =
        (Bench::default(), [made(&["a.example", "192.0.2.2"]), made(&["*.b.example", "B.example"])]);
    let [first, second] = &hosts;
    let tls = ServerTls::new(settings(&[first, second])).unwrap();
    let mut shown = |name: &str| -> CertificateDer<'static> {
        let config = client(&[first, second], rustls::ALL_VERSIONS);
        let (client, _) = shake(&mut bench, (&tls, &[]), &config, name);
        client.tls.peer_certificates().map_or_else(|| client.tls_error(), |shown| shown[0].clone())
    };
    assert_eq!(shown("a.example"), first.der);
    assert_eq!(shown("b.example"), second.der);
    assert_eq!(shown("www.b.example"), second.der);
    assert_eq!(shown("WWW.B.EXAMPLE"), second.der);
    assert_eq!(shown("192.0.2.2"), first.der, "addresses are not named");
    let is_for = |name: &str| second.identity().is_for(name);
    assert!(!is_for("a.b.b.example"), "a star is one label");
    assert!(!is_for("xb.example") && !is_for("example"));
}

impl Client {
    #[track_caller]
    fn tls_error(&self) -> ! {
        panic!("no certificate was shown: {:?}", self.error)
    }
}

#[test]
fn certificates_are_replaced_between_two_connections() {
    let (mut bench, old, new) = (Bench::default(), made(&["host.example"]), made(&["host.example"]));
    let tls = ServerTls::new(settings(&[&old])).unwrap();
    let acceptor = tls.acceptor(&[], bench.clock());
    let config = client(&[&old], rustls::ALL_VERSIONS);
    let (mut before, _) = meet(&mut bench, &acceptor, &config, "host.example", 1 << 20, |mut stream| async move {
        let word = read(&mut stream, 100).await?;
        write(&mut stream, word).await?;
        read_to_end(&mut stream).await
    });
    before.turn(&mut bench);
    tls.certificates().replace(vec![new.identity()]);
    let (after, _) = shake(&mut bench, (&tls, &[]), &client(&[&new], rustls::ALL_VERSIONS), "host.example");
    assert_eq!(after.tls.peer_certificates().unwrap()[0], new.der);
    before.say(&mut bench, b"still here");
    assert_eq!(before.heard(), b"still here");
}

#[test]
fn a_session_goes_on_on_any_thread_and_with_any_version() {
    let (mut bench, host) = (Bench::default(), made(&["host.example"]));
    for version in [&TLS12, &TLS13] {
        let tls = ServerTls::new(settings(&[&host])).unwrap();
        let config = client(&[&host], &[version]);
        assert!(!agreed(&mut bench, &tls, &config).is_resumed);
        assert!(agreed(&mut bench, &tls, &config).is_resumed, "{version:?}");
    }
    let tls = ServerTls::new(Settings { resumption: false, ..settings(&[&host]) }).unwrap();
    let config = client(&[&host], rustls::ALL_VERSIONS);
    assert!(!agreed(&mut bench, &tls, &config).is_resumed);
    assert!(!agreed(&mut bench, &tls, &config).is_resumed, "where that is off");
}

#[test]
fn clients_show_certificates_where_they_must() {
    let (mut bench, host, alice, mallory) =
        (Bench::default(), made(&["host.example"]), made(&["alice"]), made(&["mallory"]));
    let with = |client: Option<&Made>| -> Arc<ClientConfig> {
        let mut config = client_config(&[&host], rustls::ALL_VERSIONS);
        if let Some(made) = client {
            let builder = ClientConfig::builder_with_provider(Arc::new(provider()));
            let builder = builder.with_protocol_versions(&[&TLS12]).unwrap();
            let mut roots = rustls::RootCertStore::empty();
            roots.add(host.der.clone()).unwrap();
            let builder = builder.with_root_certificates(roots);
            config = builder.with_client_auth_cert(vec![made.der.clone()], made.key_der.clone_key()).unwrap();
        }
        config.into()
    };
    let mut certified = |client_auth, who: Option<&Made>| {
        let client_roots = vec![alice.der.clone()];
        let tls = ServerTls::new(Settings { client_auth, client_roots, ..settings(&[&host]) }).unwrap();
        let (client, outcome) = shake(&mut bench, (&tls, &[]), &with(who), "host.example");
        drop(client);
        bench.run();
        outcome.take().unwrap().map(|agreement| agreement.is_client_certified).map_err(|error| error.kind())
    };
    assert_eq!(certified(ClientAuth::Required, Some(&alice)), Ok(true));
    assert_eq!(certified(ClientAuth::Required, None), Err(ErrorKind::InvalidData));
    assert_eq!(certified(ClientAuth::Required, Some(&mallory)), Err(ErrorKind::InvalidData));
    assert_eq!(certified(ClientAuth::Optional, None), Ok(false));
    assert_eq!(certified(ClientAuth::Optional, Some(&alice)), Ok(true));
    assert_eq!(certified(ClientAuth::Optional, Some(&mallory)), Err(ErrorKind::InvalidData));
    assert_eq!(certified(ClientAuth::None, Some(&mallory)), Ok(false));
    let nobody = Settings { client_auth: ClientAuth::Required, ..settings(&[&host]) };
    assert!(ServerTls::new(nobody).is_err(), "nobody could sign them");
}

#[test]
fn secrets_are_told_where_that_is_asked_for() {
    let (mut bench, host) = (Bench::default(), made(&["host.example"]));
    let told = Arc::new(Mutex::new(String::new()));
    let place = told.clone();
    let key_log = Some(Lines::new(Box::new(move |line| place.lock().unwrap().push_str(line))));
    let tls = ServerTls::new(Settings { key_log, ..settings(&[&host]) }).unwrap();
    agreed(&mut bench, &tls, &client(&[&host], &[&TLS13]));
    let lines = std::mem::take(&mut *told.lock().unwrap());
    let mut labels: Vec<&str> = lines.lines().map(|line| line.split(' ').next().unwrap()).collect();
    labels.sort_unstable();
    let handshake = ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"];
    let traffic = ["CLIENT_TRAFFIC_SECRET_0", "EXPORTER_SECRET", "SERVER_TRAFFIC_SECRET_0"];
    assert!(handshake.iter().chain(&traffic).all(|label| labels.contains(label)), "{lines}");
    agreed(&mut bench, &tls, &client(&[&host], &[&TLS12]));
    let line = told.lock().unwrap().clone();
    let parts: Vec<&str> = line.trim_end().split(' ').collect();
    assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("CLIENT_RANDOM", 64, 96), "{line}");
}

#[test]
fn what_is_no_certificate_with_its_key_is_told_apart() {
    let (host, other, provider) = (made(&["host.example"]), made(&["host.example"]), provider());
    let from = |certificate: &str, key: &str, names: &[String]| {
        Identity::from_pem(&provider, certificate.as_bytes(), key.as_bytes(), names).map(|made| made.names().to_vec())
    };
    assert_eq!(from(&host.certificate, &host.key, &[]), Ok(vec!["host.example".to_owned()]));
    assert_eq!(from(&host.certificate, &host.key, &["Other".to_owned()]), Ok(vec!["other".to_owned()]));
    assert_eq!(from("", &host.key, &[]), Err(CertificateError::NoCertificate));
    assert_eq!(from(&host.key, &host.key, &[]), Err(CertificateError::NoCertificate));
    assert_eq!(from(&host.certificate, &host.certificate, &[]), Err(CertificateError::NoKey));
    assert_eq!(from(&host.certificate, &other.key, &[]), Err(CertificateError::KeyOfAnother));
    let torn = &host.certificate[..host.certificate.len() / 2];
    assert!(matches!(
        from(torn, &host.key, &[]),
        Err(CertificateError::BadCertificate(_) | CertificateError::NoCertificate)
    ));
    assert_eq!(from(&made(&[]).certificate, &host.key, &[]), Err(CertificateError::NoNames));
}
