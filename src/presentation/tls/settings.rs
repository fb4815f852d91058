//! What is offered to clients, once for all threads, and [`Acceptor`], which is that for one service.
//!
//! The profiles are Mozilla's: *intermediate* is TLS 1.3, and TLS 1.2 with forward secrecy and authenticated encryption;
//! *modern* is TLS 1.3 alone. In both the client's order of cipher suites counts, which knows what its processor is good
//! at, and of key exchanges the first is X25519MLKEM768: what is recorded today stays secret from a quantum computer.

use super::certificates::Certificates;
use super::key_log::Lines;
use crate::base::limits::TLS_SESSIONS;
use crate::base::time::Duration;
use crate::session::clock::Clock;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use std::sync::Arc;

/// Which clients are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Nearly all: TLS 1.2 and 1.3.
    #[default]
    Intermediate,
    /// Those of today: TLS 1.3.
    Modern,
}

impl Profile {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Profile::Intermediate => &VERSIONS,
            Profile::Modern => VERSIONS.split_at(1).0,
        }
    }
}

/// Whether clients show certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They are asked, and may have none; one that is not good ends the handshake.
    Optional,
    /// Without one there is no connection.
    Required,
}

/// What [`ServerTls`] is made of.
pub struct Settings {
    /// Which clients are served.
    pub profile: Profile,
    /// What is shown to them.
    pub certificates: Arc<Certificates>,
    /// Whether they show certificates.
    pub client_auth: ClientAuth,
    /// Who signs those.
    pub client_roots: Vec<CertificateDer<'static>>,
    /// Sessions may go on later, by tickets or by what is kept here.
    pub resumption: bool,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Where secrets are told, if anywhere.
    pub key_log: Option<Lines>,
    /// What the calendar says, for certificates and the age of tickets.
    pub calendar: Arc<dyn TimeProvider>,
}

/// What is offered, shared by the services and threads of a host, so that a session may go on at any of them.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    handshake_timeout: Duration,
}

/// The cryptography: aws-lc's, as rustls uses it, with the cipher suites in the order in which they are taken: AES-128 is
/// enough and the fastest, ChaCha20 is for those who have nothing else.
pub fn provider() -> CryptoProvider {
    use aws_lc_rs::cipher_suite::{
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256,
        TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    };
    let cipher_suites = vec![
        TLS13_AES_128_GCM_SHA256,
        TLS13_AES_256_GCM_SHA384,
        TLS13_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() }
}

impl ServerTls {
    /// As `settings` say.
    ///
    /// # Errors
    /// A root is none, client certificates are wanted and there is no root, or there is no randomness for ticket keys.
    pub fn new(settings: Settings) -> Result<Self, rustls::Error> {
        let provider = Arc::new(provider());
        let builder = ServerConfig::builder_with_details(Arc::clone(&provider), settings.calendar)
            .with_protocol_versions(settings.profile.versions())?;
        let builder = match settings.client_auth {
            ClientAuth::None => builder.with_no_client_auth(),
            wanted => {
                let mut roots = RootCertStore::empty();
                for root in settings.client_roots {
                    roots.add(root)?;
                }
                let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                if wanted == ClientAuth::Optional {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier = verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&settings.certificates) as _);
        // Our order counts, and not the client's.
        config.ignore_client_order = true;
        if settings.resumption {
            // Its keys are replaced every six hours, and what they made is good for twelve (RFC 5077 §5.5, RFC 8446 §8).
            config.ticketer = aws_lc_rs::Ticketer::new()?;
            // For TLS 1.2 clients that know no tickets.
            config.session_storage = ServerSessionMemoryCache::new(TLS_SESSIONS);
        } else {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        if let Some(lines) = settings.key_log {
            config.key_log = Arc::new(lines);
        }
        Ok(ServerTls {
            config: Arc::new(config),
            certificates: settings.certificates,
            handshake_timeout: settings.handshake_timeout,
        })
    }

    /// For one service on one thread. Who offers protocols (ALPN) and none of `protocols` is refused (RFC 7301 §3.2), so
    /// that nobody can lead a client of one service to another.
    pub fn acceptor(&self, protocols: &[&str], clock: Rc<dyn Clock>) -> Acceptor {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Acceptor { config: Arc::new(config), clock, handshake_timeout: self.handshake_timeout }
    }

    /// What is shown to clients.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }
}

/// Makes sessions for the connections of one service.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    clock: Rc<dyn Clock>,
    handshake_timeout: Duration,
}

impl Acceptor {
    pub(super) fn connection(&self) -> Result<ServerConnection, rustls::Error> {
        ServerConnection::new(Arc::clone(&self.config))
    }

    pub(super) fn clock(&self) -> Rc<dyn Clock> {
        Rc::clone(&self.clock)
    }

    pub(super) fn handshake_timeout(&self) -> Duration {
        self.handshake_timeout
    }
}
