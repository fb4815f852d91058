//! The local authority: what it signs is believed by who trusts it, and by nobody else.

use super::fixtures::{made, meet, settings, write};
use crate::application::testing::Bench;
use crate::base::time::Duration;
use crate::presentation::tls::authority::{Authority, is_due};
use crate::presentation::tls::certificates::{Certificates, Identity, chain};
use crate::presentation::tls::description::Description;
use crate::presentation::tls::settings::{ServerTls, Settings, provider};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::sync::Arc;

/// 2026-11-22 12:00:00 UTC.
const NOW: Duration = Duration::from_secs(1_795_348_800);
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
struct At(Duration);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0))
    }
}

/// What a client says who trusts `authority` and looks at its calendar at the moment `now`.
fn verdict(authority: &str, host: &str, name: &str, now: Duration) -> Result<(), CertificateError> {
    let mut bench = Bench::default();
    let identity = Identity::from_pem(&provider(), host.as_bytes(), host.as_bytes(), &[]).unwrap();
    let certificates = Arc::new(Certificates::new(vec![identity]));
    let tls = ServerTls::new(Settings { certificates, ..settings(&[&made(&["other.example"])]) }).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(chain(authority.as_bytes()).unwrap().remove(0)).unwrap();
    let builder = ClientConfig::builder_with_details(Arc::new(provider()), Arc::new(At(now)));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = Arc::new(builder.with_no_client_auth());
    let acceptor = tls.acceptor(&[], bench.clock());
    let (mut client, _) =
        meet(
            &mut bench,
            &acceptor,
            &config,
            name,
            1 << 20,
            |mut stream| async move { write(&mut stream, "welcome").await },
        );
    client.turn(&mut bench);
    match client.error {
        None => Ok(()),
        Some(rustls::Error::InvalidCertificate(error)) => Err(error),
        Some(error) => panic!("{error}"),
    }
}

#[test]
fn what_the_authority_signs_is_good_for_its_names_and_its_time() {
    let kept = Authority::make("the authority", NOW).unwrap();
    let authority = Authority::from_pem(&kept).unwrap();
    let names: Vec<String> = ["192.0.2.2", "2001:db8::2", "host.example"].map(str::to_owned).into();
    let host = authority.issue(&names, NOW).unwrap();
    for name in &names {
        assert_eq!(verdict(&kept, &host, name, NOW), Ok(()), "{name}");
    }
    assert!(matches!(
        verdict(&kept, &host, "other.example", NOW),
        Err(CertificateError::NotValidForNameContext { .. })
    ));
    assert_eq!(verdict(&kept, &host, "host.example", NOW + DAY * 89), Ok(()));
    let late = verdict(&kept, &host, "host.example", NOW + DAY * 90);
    assert!(matches!(late, Err(CertificateError::ExpiredContext { .. })), "{late:?}");
    let other = Authority::make("the authority", NOW).unwrap();
    assert!(verdict(&other, &host, "host.example", NOW).is_err(), "another of the same name");
    let of = |text: &str| Description::of(&chain(text.as_bytes()).unwrap()[0]).unwrap();
    assert!(of(&host).is_issued_by(authority.certificate()));
    assert!(!of(&host).is_issued_by(&of(&other)));
    assert_eq!(of(&host).names, names);
}

#[test]
fn certificates_are_due_before_they_end() {
    let authority = Authority::from_pem(&Authority::make("the authority", NOW).unwrap()).unwrap();
    let host = authority.issue(&["host.example".to_owned()], NOW).unwrap();
    let host = Description::of(&chain(host.as_bytes()).unwrap()[0]).unwrap();
    assert!(!is_due(&host, NOW) && !is_due(&host, NOW + DAY * 59));
    assert!(is_due(&host, NOW + DAY * 60));
    assert!(is_due(&host, NOW - DAY), "the clock was wrong when it was made");
    assert!(!is_due(authority.certificate(), NOW + DAY * 3_600));
    assert!(is_due(authority.certificate(), NOW + DAY * 3_630));
}
