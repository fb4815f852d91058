//! Which certificate is shown to whom (SNI, RFC 6066 §3; names by RFC 9525 §6.3).
//!
//! The first is for everybody who names nobody, or somebody who is not here. All of them can be replaced while
//! connections go on: those that have begun keep what they have.

use super::description::Description;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Why something is no certificate with its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CertificateError {
    /// The text has no certificate in it.
    NoCertificate,
    /// The certificate can't be read.
    BadCertificate(String),
    /// The text has no private key in it.
    NoKey,
    /// The key can't be read, or is of a kind that is not known.
    BadKey(String),
    /// The key is another's.
    KeyOfAnother,
    /// It is for nobody, and no names were given.
    NoNames,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertificateError::NoCertificate => f.write_str("there is no certificate in it: it must be PEM"),
            CertificateError::BadCertificate(reason) => write!(f, "the certificate can't be read: {reason}"),
            CertificateError::NoKey => f.write_str("there is no private key in it: it must be PEM, not encrypted"),
            CertificateError::BadKey(reason) => write!(f, "the private key can't be used: {reason}"),
            CertificateError::KeyOfAnother => f.write_str("the private key is not that of the certificate"),
            CertificateError::NoNames => f.write_str("the certificate names nobody: add names"),
        }
    }
}

impl std::error::Error for CertificateError {}

/// A certificate with its chain, its private key, and whom it is for.
#[derive(Clone, Debug)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    /// Lower case.
    names: Vec<String>,
}

impl Identity {
    /// From PEM texts; `names` instead of those in the certificate, if there are any.
    ///
    /// # Errors
    /// One of the texts is not what it should be, or they do not belong together.
    pub fn from_pem(
        provider: &CryptoProvider,
        certificate: &[u8],
        key: &[u8],
        names: &[String],
    ) -> Result<Self, CertificateError> {
        let chain = chain(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => CertificateError::NoKey,
            error => CertificateError::BadKey(error.to_string()),
        })?;
        let own = || Description::of(chain.first().ok_or(CertificateError::NoCertificate)?).map(|said| said.names);
        let names = if names.is_empty() { own()? } else { names.to_vec() };
        if names.is_empty() {
            return Err(CertificateError::NoNames);
        }
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => CertificateError::KeyOfAnother,
            error => CertificateError::BadKey(error.to_string()),
        })?;
        Ok(Identity { key: Arc::new(key), names: names.iter().map(|name| name.to_ascii_lowercase()).collect() })
    }

    /// Whom it is for: host names, which may begin with `*.`, and addresses.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The certificate itself, as DER.
    pub fn certificate(&self) -> &[u8] {
        self.key.cert.first().map_or(&[], |certificate| certificate.as_ref())
    }

    pub(super) fn is_for(&self, name: &str) -> bool {
        self.names.iter().any(|pattern| match pattern.strip_prefix("*.") {
            // One label, and not a part of one (RFC 9525 §6.3).
            Some(domain) => name.split_once('.').is_some_and(|(_, rest)| rest == domain),
            None => pattern == name,
        })
    }

    fn can_sign_for(&self, hello: &ClientHello<'_>) -> bool {
        self.key.key.choose_scheme(hello.signature_schemes()).is_some()
    }
}

/// The certificates of a PEM text.
///
/// # Errors
/// There is none, or one can't be read.
pub fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| CertificateError::BadCertificate(error.to_string()))?;
    if chain.is_empty() { Err(CertificateError::NoCertificate) } else { Ok(chain) }
}

/// All certificates of a host.
#[derive(Debug, Default)]
pub struct Certificates {
    // Taken once in a handshake, by threads that hardly meet: a list that is replaced as a whole.
    current: RwLock<Arc<[Identity]>>,
}

impl Certificates {
    /// These, the first for everybody else.
    pub fn new(identities: Vec<Identity>) -> Self {
        Certificates { current: RwLock::new(identities.into()) }
    }

    /// From the next handshake on these.
    pub fn replace(&self, identities: Vec<Identity>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = identities.into();
    }

    /// Those that are in use.
    pub fn current(&self) -> Arc<[Identity]> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let identities = self.current();
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let named = identities.iter().filter(|identity| name.as_ref().is_some_and(|name| identity.is_for(name)));
        // Two may be for the same name with keys of two kinds, of which the client may know one.
        let fitting = named.chain(identities.iter()).find(|identity| identity.can_sign_for(&hello));
        fitting.or(identities.first()).map(|identity| Arc::clone(&identity.key))
    }
}
