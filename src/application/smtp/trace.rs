//! The fields that a message gets from us: where it came from, and whom to tell of trouble (RFC 5321 §4.4).

use super::address::Address;
use super::command::Greeting;
use crate::base::time::Duration;
use crate::presentation::tls::stream::Agreement;
use std::fmt::Write;
use std::net::IpAddr;

/// What is known of how a message came.
pub(super) struct Trace<'a> {
    pub(super) from: Option<&'a Address>,
    /// Named only when it is the only one: the others need not know.
    pub(super) recipient: Option<&'a Address>,
    pub(super) greeting: Greeting,
    /// Who the client says it is.
    pub(super) client: &'a str,
    pub(super) peer: IpAddr,
    /// How it was encrypted, if it was.
    pub(super) tls: Option<&'a Agreement>,
    /// The client has shown who it is.
    pub(super) is_authenticated: bool,
    pub(super) is_international: bool,
    /// Who we are.
    pub(super) host: &'a str,
    /// What the message is called here.
    pub(super) id: &'a str,
    pub(super) since_1970: Duration,
}

impl Trace<'_> {
    /// The fields, with LF at the end of their lines.
    pub(super) fn fields(&self) -> String {
        let mut text = String::new();
        let from = self.from.map(Address::to_string).unwrap_or_default();
        let peer = match self.peer {
            IpAddr::V4(peer) => format!("[{peer}]"),
            IpAddr::V6(peer) => format!("[IPv6:{peer}]"),
        };
        let recipient = self.recipient.map(|address| format!("\n\tfor <{address}>")).unwrap_or_default();
        // A string takes everything.
        let _ = write!(
            text,
            "Return-Path: <{from}>\nReceived: from {} ({peer})\n\tby {} with {} id {}{recipient}{};\n\t{}\n",
            self.client,
            self.host,
            self.protocol(),
            self.id,
            self.tls.map(clause).unwrap_or_default(),
            date(self.since_1970),
        );
        text
    }

    /// The registered name of how it came (RFC 3848, RFC 6531 §4.3).
    fn protocol(&self) -> String {
        let base = match (self.is_international, self.greeting) {
            (_, Greeting::Helo) => return "SMTP".into(),
            (false, Greeting::Ehlo) => "ESMTP",
            (false, Greeting::Lhlo) => "LMTP",
            (true, Greeting::Ehlo) => "UTF8SMTP",
            (true, Greeting::Lhlo) => "UTF8LMTP",
        };
        let encrypted = if self.tls.is_some() { "S" } else { "" };
        format!("{base}{encrypted}{}", if self.is_authenticated { "A" } else { "" })
    }
}

/// The clause that says how a message was encrypted on its way here (RFC 8314 §4.3); the version is a comment.
fn clause(tls: &Agreement) -> String {
    let group = tls.key_exchange.as_ref().map(|group| format!(" group {group}")).unwrap_or_default();
    format!("\n\ttls {}{group} ({})", tls.cipher_suite, tls.version.replace('_', "."))
}

/// The date as mail writes it (RFC 5322 §3.3).
fn date(since_1970: Duration) -> String {
    // HTTP writes the same but for the zone, and knows none before 1970 or after 9999.
    let most = Duration::from_secs(253_402_300_799);
    let text = httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH + since_1970.min(most));
    text.replace("GMT", "+0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_where_it_came_from() {
        let (from, to) = (Address::parse("bob@example.com").unwrap(), Address::parse("alice@example.org").unwrap());
        let mut trace = Trace {
            from: Some(&from),
            recipient: Some(&to),
            greeting: Greeting::Ehlo,
            client: "mail.example.com",
            peer: [192, 0, 2, 7].into(),
            tls: None,
            is_authenticated: true,
            is_international: false,
            host: "mail.example.org",
            id: "1.M2",
            since_1970: Duration::from_secs(1_795_348_800),
        };
        assert_eq!(
            trace.fields(),
            "Return-Path: <bob@example.com>\nReceived: from mail.example.com ([192.0.2.7])\n\
             \tby mail.example.org with ESMTPA id 1.M2\n\tfor <alice@example.org>;\n\tSun, 22 Nov 2026 12:00:00 +0000\n"
        );
        let tls = Agreement {
            version: "TLSv1_2".into(),
            cipher_suite: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".into(),
            key_exchange: Some("X25519".into()),
            protocol: None,
            server_name: None,
            is_resumed: false,
            is_client_certified: false,
        };
        let clause = "\n\ttls TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 group X25519 (TLSv1.2);\n\tSun, 22 Nov 2026";
        for (greeting, is_authenticated, is_international, name) in [
            (Greeting::Ehlo, false, false, "ESMTPS"),
            (Greeting::Ehlo, true, false, "ESMTPSA"),
            (Greeting::Lhlo, false, false, "LMTPS"),
            (Greeting::Ehlo, true, true, "UTF8SMTPSA"),
        ] {
            let trace = Trace { tls: Some(&tls), greeting, is_authenticated, is_international, ..trace };
            let fields = trace.fields();
            assert!(fields.contains(&format!(" with {name} id 1.M2\n")) && fields.contains(clause), "{fields}");
        }
        (trace.from, trace.recipient, trace.greeting) = (None, None, Greeting::Helo);
        trace.peer = "2001:db8::1".parse().unwrap();
        assert!(trace.fields().starts_with("Return-Path: <>\nReceived: from mail.example.com ([IPv6:2001:db8::1])"));
        assert!(trace.fields().contains("with SMTP id 1.M2;\n"));
    }
}
