//! A client that does nothing but shake hands: TLS 1.3, X25519, AES-128-GCM, from one thread, and without a look at the
//! certificate, so that it is the server's work that takes the time.
//!
//! Each connection ends in order: close_notify, and then the server's end, which proves that it has taken the Finished.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme};
use std::io::ErrorKind::WouldBlock;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many connections there are at once.
const AT_ONCE: usize = 32;

/// How a session begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anew.
    Full,
    /// From a ticket, but for the first ones.
    Resumed,
}

/// What was done.
pub struct Shaken {
    pub count: u64,
    time: Duration,
}

impl Shaken {
    /// Handshakes a second.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }
}

/// Shakes hands with the server at `address` for so long.
pub fn shake(address: &str, kind: Kind, run: Duration) -> Shaken {
    let (address, config) = (address.parse().unwrap(), Arc::new(config(kind)));
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(AT_ONCE);
    let mut clients: Vec<Client> = (0..AT_ONCE).map(|place| Client::new(address, &config, &poll, place)).collect();
    let (start, mut count, mut as_wanted) = (Instant::now(), 0, 0);
    while start.elapsed() < run {
        poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
        assert!(!events.is_empty(), "the server has nothing to say");
        for event in &events {
            let client = &mut clients[event.token().0];
            if client.go_on() {
                as_wanted += u64::from(client.tls.handshake_kind() == Some(kind.handshake()));
                count += 1;
                *client = Client::new(address, &config, &poll, event.token().0);
            }
        }
    }
    let time = start.elapsed();
    // The first of all have no ticket, and nginx refuses one in ten of its own, under one key within a second.
    assert!(as_wanted as f64 >= 0.75 * count as f64, "{as_wanted} of {count} handshakes were as wanted");
    Shaken { count, time }
}

impl Kind {
    fn handshake(self) -> HandshakeKind {
        match self {
            Kind::Full => HandshakeKind::Full,
            Kind::Resumed => HandshakeKind::Resumed,
        }
    }
}

fn config(kind: Kind) -> ClientConfig {
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    if kind == Kind::Full {
        config.resumption = Resumption::disabled();
    }
    config
}

/// A connection, from its SYN to the server's end.
struct Client {
    stream: TcpStream,
    tls: ClientConnection,
    has_ended: bool,
}

impl Client {
    fn new(address: SocketAddr, config: &Arc<ClientConfig>, poll: &Poll, place: usize) -> Client {
        let mut stream = TcpStream::connect(address).unwrap();
        poll.registry().register(&mut stream, Token(place), Interest::READABLE | Interest::WRITABLE).unwrap();
        let name = ServerName::IpAddress(address.ip().into());
        Client { stream, tls: ClientConnection::new(config.clone(), name).unwrap(), has_ended: false }
    }

    /// Does what can be done without waiting; true at the server's end.
    fn go_on(&mut self) -> bool {
        loop {
            while self.tls.wants_write() {
                match self.tls.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if matches!(error.kind(), WouldBlock | std::io::ErrorKind::NotConnected) => {
                        return false;
                    }
                    Err(error) => panic!("writing: {error}"),
                }
            }
            if !self.tls.is_handshaking() && !self.has_ended {
                self.tls.send_close_notify();
                self.has_ended = true;
                continue;
            }
            match self.tls.read_tls(&mut self.stream) {
                Ok(0) => {
                    assert!(self.has_ended, "the server left during the handshake");
                    return true;
                }
                Ok(_) => self.tls.process_new_packets().map(drop).unwrap(),
                Err(error) if error.kind() == WouldBlock => return false,
                Err(error) => panic!("reading: {error}"),
            }
        }
    }
}

/// Takes every certificate and every signature.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
