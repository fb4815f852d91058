//! `[tls]`: what is offered to clients that come encrypted or become so, and what is shown to them.

use super::{Spanned, unwritten};
use crate::daemon::units::Period;
use crate::presentation::tls::settings::{ClientAuth, Profile};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[tls]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// What is shown; the first to everybody who names nobody that is here. Without any, one is made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<TlsCertificate>,
    /// Names of the certificate that is made, beside the addresses; by default the name of the machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<Spanned<String>>,
    /// Which clients are served.
    pub profile: Profile,
    /// Sessions may go on later.
    pub resumption: bool,
    /// Mail conversations that begin in the clear may go on encrypted.
    pub starttls: bool,
    /// How long a handshake may take.
    pub handshake_timeout: Period,
    /// Whether clients show certificates.
    pub client_auth: Spanned<ClientAuth>,
    /// Who signs those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<Spanned<PathBuf>>,
    /// A file that the secrets of all sessions are written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_log: Option<PathBuf>,
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            certificates: Vec::new(),
            names: Vec::new(),
            profile: Profile::default(),
            resumption: true,
            starttls: true,
            handshake_timeout: Period::from_secs(10),
            client_auth: unwritten(ClientAuth::default()),
            client_ca: None,
            key_log: None,
        }
    }
}

impl Tls {
    /// The paths in it.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let certificates = self.certificates.iter_mut();
        let of_certificates = certificates.flat_map(|made| [made.certificate.as_mut(), made.key.as_mut()]);
        of_certificates.chain(self.client_ca.as_mut().map(Spanned::as_mut)).chain(&mut self.key_log)
    }
}

/// An entry of `tls.certificates`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsCertificate {
    /// The certificate and those that lead to its authority, PEM.
    pub certificate: Spanned<PathBuf>,
    /// Its private key, PEM.
    pub key: Spanned<PathBuf>,
    /// Whom it is for, instead of whom it says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}
