//! What a certificate says, for people and for whoever decides whether it is still good (RFC 5280).

use super::certificates::CertificateError;
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::IpAddr;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What a certificate says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Host names and addresses (RFC 5280 §4.2.1.6). Its common name is none of them (RFC 9525 §6.3).
    pub names: Vec<String>,
    /// Good from then on, in seconds since 1970.
    pub not_before: i64,
    /// And until then.
    pub not_after: i64,
    /// SHA-256 of all of it.
    pub fingerprint: String,
    /// The names of its key and of that which signed it.
    key: Option<Vec<u8>>,
    issuer_key: Option<Vec<u8>>,
}

impl Description {
    /// Reads a certificate.
    ///
    /// # Errors
    /// It is none.
    pub fn of(der: &[u8]) -> Result<Self, CertificateError> {
        let bad = |error: &dyn fmt::Display| CertificateError::BadCertificate(error.to_string());
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| bad(&error))?;
        let names = parsed.subject_alternative_name().map_err(|error| bad(&error))?;
        let mut description = Description {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names: names.iter().flat_map(|names| &names.value.general_names).filter_map(name).collect(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            fingerprint: fingerprint(der),
            key: None,
            issuer_key: None,
        };
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(key) => description.key = Some(key.0.to_vec()),
                ParsedExtension::AuthorityKeyIdentifier(key) => {
                    description.issuer_key = key.key_identifier.as_ref().map(|key| key.0.to_vec());
                }
                _ => {}
            }
        }
        Ok(description)
    }

    /// True if it says that `authority` signed it.
    pub fn is_issued_by(&self, authority: &Description) -> bool {
        self.issuer == authority.subject && self.issuer_key.is_some() && self.issuer_key == authority.key
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => address(octets).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

fn fingerprint(der: &[u8]) -> String {
    let octets: Vec<String> = Sha256::digest(der).iter().map(|octet| format!("{octet:02X}")).collect();
    octets.join(":")
}
