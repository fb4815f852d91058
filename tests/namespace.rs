//! The daemon in network namespaces with real programs and the kernel's own TCP at the other end.
//!
//! One file for each thing to talk about; `lab` is where it happens. All of it needs root (or a user namespace, see
//! `lab`) and the programs that `scripts/test` installs. `TAPSTACK_BIN` names another program to test than the one
//! that was just built, a release build for instance.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test stops at the first thing that is not as it should be, and says what it saw"
)]
#![expect(clippy::disallowed_methods, reason = "real programs take real time")]
#![expect(unreachable_pub, reason = "what the lab offers its tests")]

mod lab;

#[path = "namespace/accurate_ecn.rs"]
mod namespace_accurate_ecn;
#[path = "namespace/adversity.rs"]
mod namespace_adversity;
#[path = "namespace/bad_input.rs"]
mod namespace_bad_input;
#[path = "namespace/bad_line.rs"]
mod namespace_bad_line;
#[path = "namespace/daemon.rs"]
mod namespace_daemon;
#[path = "namespace/fast_open.rs"]
mod namespace_fast_open;
#[path = "namespace/files.rs"]
mod namespace_files;
#[path = "namespace/forwarding.rs"]
mod namespace_forwarding;
#[path = "namespace/http.rs"]
mod namespace_http;
#[path = "namespace/http2.rs"]
mod namespace_http2;
#[path = "namespace/icmp.rs"]
mod namespace_icmp;
#[path = "namespace/mail.rs"]
mod namespace_mail;
#[path = "namespace/mail_encrypted.rs"]
mod namespace_mail_encrypted;
#[path = "namespace/mail_kills.rs"]
mod namespace_mail_kills;
#[path = "namespace/many.rs"]
mod namespace_many;
#[path = "namespace/offload.rs"]
mod namespace_offload;
#[path = "namespace/people.rs"]
mod namespace_people;
#[path = "namespace/pop3.rs"]
mod namespace_pop3;
#[path = "namespace/proxy.rs"]
mod namespace_proxy;
#[path = "namespace/queues.rs"]
mod namespace_queues;
#[path = "namespace/services.rs"]
mod namespace_services;
#[path = "namespace/tls.rs"]
mod namespace_tls;
#[path = "namespace/tls_scan.rs"]
mod namespace_tls_scan;
