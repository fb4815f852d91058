//! The local authority: what signs the certificate of a host that was given none.
//!
//! Who trusts it, trusts whatever is signed with its key; so it is made where it is used, its key stays there, and nobody
//! is made to trust it who did not ask for that. It signs hosts, no further authorities.

use super::certificates::{CertificateError, chain};
use super::description::Description;
use crate::base::time::Duration;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use x509_parser::time::ASN1Time;

const DAY: Duration = Duration::from_secs(86_400);
/// How long an authority is good.
const AUTHORITY_DAYS: u32 = 3_650;
/// How long a host's certificate is good: no longer than Mozilla's profiles allow, `modern` being the strictest. It is
/// made anew by itself, while the daemon runs.
const HOST_DAYS: u32 = 90;
/// The clock of a client may be behind ours.
const BACKDATED: Duration = Duration::from_secs(3_600);
/// A certificate that ends within so many days is made anew.
pub const RENEWAL_DAYS: u32 = 30;

/// An authority with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Description,
}

fn failed(error: impl std::fmt::Display) -> CertificateError {
    CertificateError::BadKey(error.to_string())
}

/// The moment `since_1970` plus so much, to the second.
fn set_validity(params: &mut CertificateParams, since_1970: Duration, days: u32) -> Result<(), CertificateError> {
    let moment = |since_1970: Duration| {
        let seconds = i64::try_from(since_1970.as_secs()).map_err(failed)?;
        ASN1Time::from_timestamp(seconds).map(|time| time.to_datetime()).map_err(failed)
    };
    let begin = since_1970.saturating_sub(BACKDATED);
    params.not_before = moment(begin)?;
    params.not_after = moment(begin + DAY * days)?;
    Ok(())
}

impl Authority {
    /// A new one called `name`, as the PEM text to keep: its key, and its certificate.
    ///
    /// # Errors
    /// No key can be made.
    pub fn make(name: &str, since_1970: Duration) -> Result<String, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, since_1970, AUTHORITY_DAYS)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(key.serialize_pem() + &certificate.pem())
    }

    /// The one that was kept.
    ///
    /// # Errors
    /// It is none.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let chain = chain(text.as_bytes())?;
        let der = chain.first().ok_or(CertificateError::NoCertificate)?;
        let key = KeyPair::from_pem(text).map_err(failed)?;
        let certificate = Description::of(der)?;
        let issuer = Issuer::from_ca_cert_der(der, key).map_err(failed)?;
        Ok(Authority { issuer, certificate })
    }

    /// What its certificate says.
    pub fn certificate(&self) -> &Description {
        &self.certificate
    }

    /// A certificate for a host of these names and addresses, as the PEM text to keep: its key, and its certificate.
    ///
    /// # Errors
    /// One of the names can't be one.
    pub fn issue(&self, names: &[String], since_1970: Duration) -> Result<String, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, names.first().map_or("host", String::as_str));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, since_1970, HOST_DAYS)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(key.serialize_pem() + &certificate.pem())
    }
}

/// True if `certificate` is to be made anew at the moment `since_1970`: it ends soon, or has not begun.
pub fn is_due(certificate: &Description, since_1970: Duration) -> bool {
    let now = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
    let soon = now.saturating_add(i64::from(RENEWAL_DAYS) * 86_400);
    certificate.not_after < soon || certificate.not_before > now
}
