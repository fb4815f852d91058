//! Certificates made on the spot, a client, and a server's end to be talked to.

use crate::application::testing::{Bench, Pipe, pipe};
use crate::base::time::Duration;
use crate::presentation::tls::certificates::{Certificates, Identity};
use crate::presentation::tls::settings::{Acceptor, ClientAuth, Profile, ServerTls, Settings, provider};
use crate::presentation::tls::stream::TlsStream;
use crate::session::connection::Connection;
use bytes::Bytes;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::time_provider::DefaultTimeProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

/// How long a handshake may take in these tests.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A certificate that signs itself, with its key, as PEM.
pub(crate) struct Made {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) der: CertificateDer<'static>,
    pub(super) key_der: PrivateKeyDer<'static>,
}

pub(crate) fn made(names: &[&str]) -> Made {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    let key_der = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    Made { certificate: cert.pem(), key: signing_key.serialize_pem(), der: cert.der().clone(), key_der }
}

impl Made {
    pub(super) fn identity(&self) -> Identity {
        Identity::from_pem(&provider(), self.certificate.as_bytes(), self.key.as_bytes(), &[]).unwrap()
    }
}

pub(crate) fn settings(made: &[&Made]) -> Settings {
    Settings {
        profile: Profile::Intermediate,
        certificates: Arc::new(Certificates::new(made.iter().map(|made| made.identity()).collect())),
        client_auth: ClientAuth::None,
        client_roots: Vec::new(),
        resumption: true,
        handshake_timeout: PATIENCE,
        key_log: None,
        calendar: Arc::new(DefaultTimeProvider),
    }
}

/// A client that trusts these, and offers these versions.
pub(crate) fn client_config(made: &[&Made], versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    made.iter().for_each(|made| roots.add(made.der.clone()).unwrap());
    let builder = ClientConfig::builder_with_provider(Arc::new(provider())).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(8);
    config
}

/// The client's end.
pub(crate) struct Client {
    pub(super) tls: ClientConnection,
    pub(crate) pipe: Pipe,
    /// Ciphertext from the server, each time something came.
    pub(super) seen: Vec<u8>,
    heard: Vec<u8>,
    pub(super) error: Option<rustls::Error>,
}

impl Client {
    pub(crate) fn new(config: &Arc<ClientConfig>, name: &str, pipe: Pipe) -> Self {
        let tls = ClientConnection::new(config.clone(), name.to_owned().try_into().unwrap()).unwrap();
        Client { tls, pipe, seen: Vec::new(), heard: Vec::new(), error: None }
    }

    /// Everything that it has to say.
    pub(super) fn ciphertext(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut octets).unwrap();
        }
        octets
    }

    /// Takes what has come; what it says of it.
    pub(super) fn listen(&mut self) {
        let octets = self.pipe.take();
        self.seen.extend_from_slice(&octets);
        let mut octets = octets.as_slice();
        while !octets.is_empty() && self.error.is_none() {
            if self.tls.read_tls(&mut octets).unwrap() == 0 {
                break;
            }
            self.error = self.tls.process_new_packets().err();
            self.hear();
        }
    }

    /// Plaintext; rustls keeps no more than a record of it.
    fn hear(&mut self) {
        match self.tls.reader().read_to_end(&mut self.heard) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => panic!("{error}"),
            _ => {}
        }
    }

    /// Speaks and listens until nothing moves.
    pub(crate) fn turn(&mut self, bench: &mut Bench) {
        loop {
            let octets = self.ciphertext();
            self.pipe.put(&octets);
            bench.run();
            let before = self.seen.len();
            self.listen();
            if octets.is_empty() && self.seen.len() == before {
                return;
            }
        }
    }

    /// Says something.
    pub(crate) fn say(&mut self, bench: &mut Bench, octets: &[u8]) {
        self.tls.set_buffer_limit(None);
        self.tls.writer().write_all(octets).unwrap();
        self.turn(bench);
    }

    /// Encrypts something, for those who send it themselves.
    pub(crate) fn seal(&mut self, octets: &[u8]) -> Vec<u8> {
        self.tls.writer().write_all(octets).unwrap();
        self.ciphertext()
    }

    /// What it has heard since the last time.
    pub(crate) fn heard(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.heard)
    }
}

/// What a task of the server's came to.
pub(super) type Outcome<T> = Rc<RefCell<Option<io::Result<T>>>>;

/// A client and a server between whom `room` octets fit each way; `converse` gets the server's end after the handshake.
pub(super) fn meet<T: 'static, F: Future<Output = io::Result<T>> + 'static>(
    bench: &mut Bench,
    acceptor: &Acceptor,
    client: &Arc<ClientConfig>,
    name: &str,
    room: usize,
    converse: impl FnOnce(TlsStream<Pipe>) -> F + 'static,
) -> (Client, Outcome<T>) {
    let (ours, theirs) = pipe(room);
    let acceptor = acceptor.clone();
    let outcome = bench.spawn(async move { converse(TlsStream::accept(theirs, &acceptor).await?).await });
    (Client::new(client, name, ours), outcome)
}

/// An ordinary acceptor, and a client's configuration for it.
pub(crate) fn ordinary(bench: &Bench) -> (Acceptor, Arc<ClientConfig>) {
    let host = made(&["host.example"]);
    let tls = ServerTls::new(settings(&[&host])).unwrap();
    (tls.acceptor(&[], bench.clock()), client_config(&[&host], rustls::ALL_VERSIONS).into())
}

pub(super) async fn read(stream: &mut TlsStream<Pipe>, most: usize) -> io::Result<Bytes> {
    poll_fn(|cx| stream.poll_read_bytes(cx, most)).await
}

pub(super) async fn read_to_end(stream: &mut TlsStream<Pipe>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let octets = read(stream, usize::MAX).await?;
        if octets.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&octets);
    }
}

pub(super) async fn write(stream: &mut TlsStream<Pipe>, octets: impl Into<Bytes>) -> io::Result<()> {
    let mut octets = octets.into();
    while !octets.is_empty() {
        poll_fn(|cx| stream.poll_write_bytes(cx, &mut octets)).await?;
    }
    Ok(())
}

pub(super) async fn close(stream: &mut TlsStream<Pipe>) -> io::Result<()> {
    poll_fn(|cx| stream.poll_shutdown_write(cx)).await
}
