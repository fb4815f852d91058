//! The table: what is compared, and what is asked of it.

use crate::row::{Demand, Line, Row, Unit};
use crate::{crowd, download, requests, round_trip, router, secure, streams, upload};

use Demand::{AtLeast, AtMost, AtMostItself, Reported};

const fn line(label: &'static str, what: &'static str, unit: Unit, demand: Demand) -> Line {
    Line { label, what, unit, demand }
}

/// Rows 9 and 12 are no comparison: 9 is `cargo bench --bench connections`, 12 is `cargo test --test allocations`.
pub const ROWS: &[Row] = &[
    Row {
        number: 1,
        work: "a large file by curl",
        peer: "nginx",
        lines: &[
            line("1", "download by curl / nginx over veth", Unit::BitsPerSecond, AtLeast(1.5)),
            line("1 cpu", "processor time of the server", Unit::ProcessorPerGigabyte, Reported),
        ],
        once: false,
        set_up: download::set_up,
    },
    Row {
        number: 2,
        work: "a bulk sender to the discard service",
        peer: "iperf3",
        lines: &[
            line("2", "upload to discard / iperf3 over veth", Unit::BitsPerSecond, AtLeast(1.2)),
            line("2 cpu", "processor time of the receiver", Unit::ProcessorPerGigabyte, Reported),
        ],
        once: false,
        set_up: upload::set_up,
    },
    Row {
        number: 3,
        work: "one stream over a TAP",
        peer: "smoltcp",
        lines: &[
            line("3 out", "the stack sends / smoltcp", Unit::BitsPerSecond, AtLeast(20.0)),
            line("3 in", "the stack receives / smoltcp", Unit::BitsPerSecond, AtLeast(5.0)),
            line("3 reno", "the same, from a sender without pacing", Unit::BitsPerSecond, AtLeast(5.0)),
        ],
        once: false,
        set_up: streams::set_up,
    },
    Row {
        number: 4,
        work: "one stream over a TAP without offloads",
        peer: "smoltcp",
        lines: &[
            line("4 out", "it sends, offload off / smoltcp", Unit::BitsPerSecond, AtLeast(1.5)),
            line("4 in", "it receives, offload off / smoltcp", Unit::BitsPerSecond, AtLeast(1.3)),
        ],
        once: false,
        set_up: streams::set_up_without_offload,
    },
    Row {
        number: 5,
        work: "wrk, 64 keep-alive connections, a file of 612 bytes",
        peer: "nginx",
        lines: &[line("5", "wrk, 64 keep-alive / nginx over veth", Unit::PerSecond, AtLeast(1.3))],
        once: false,
        set_up: requests::set_up_keep_alive,
    },
    Row {
        number: 5,
        work: "the same, and nginx keeps the file open for a minute",
        peer: "nginx",
        lines: &[line("5 cache", "the same / nginx, open_file_cache", Unit::PerSecond, Reported)],
        once: false,
        set_up: requests::set_up_cached,
    },
    Row {
        number: 6,
        work: "wrk, a connection for each request",
        peer: "nginx",
        lines: &[line("6", "wrk, connection a request / nginx", Unit::PerSecond, AtLeast(1.3))],
        once: false,
        set_up: requests::set_up_close,
    },
    Row {
        number: 7,
        work: "one byte there and back over TCP",
        peer: "kernel",
        lines: &[
            line("7", "round trip p50 / kernel over veth", Unit::Seconds, AtMost(1.3)),
            line("7 p99", "round trip p99", Unit::Seconds, Reported),
        ],
        once: false,
        set_up: round_trip::set_up_tcp,
    },
    Row {
        number: 8,
        work: "memory of idle connections",
        peer: "",
        lines: &[
            line("8", "memory per idle echo connection", Unit::Bytes, AtMostItself(1024.0)),
            line("8 http", "memory per idle HTTP connection", Unit::Bytes, AtMostItself(1024.0)),
        ],
        once: true,
        set_up: crowd::set_up,
    },
    Row {
        number: 10,
        work: "two flows over two queues",
        peer: "one queue",
        lines: &[
            line("10 out", "two flows sent, 2 queues / 1 queue", Unit::BitsPerSecond, Reported),
            line("10 in", "two flows received, 2 queues / 1", Unit::BitsPerSecond, Reported),
        ],
        once: false,
        set_up: streams::set_up_queues,
    },
    Row {
        number: 11,
        work: "bulk TCP through a router",
        peer: "kernel",
        lines: &[line("11", "forwarding TAP to TAP / veth to veth", Unit::BitsPerSecond, AtLeast(0.8))],
        once: false,
        set_up: router::set_up,
    },
    Row {
        number: 13,
        work: "ping, and one byte over UDP",
        peer: "kernel",
        lines: &[
            line("13 ping", "ping p50 / kernel over veth", Unit::Seconds, Reported),
            line("13 udp", "UDP echo p50 / kernel over veth", Unit::Seconds, Reported),
        ],
        once: false,
        set_up: round_trip::set_up_datagrams,
    },
    Row {
        number: 14,
        work: "a large file by curl over TLS",
        peer: "nginx",
        lines: &[
            line("14", "HTTPS download / nginx over veth", Unit::BitsPerSecond, AtLeast(1.0)),
            line("14 cpu", "processor time of the server", Unit::ProcessorPerGigabyte, Reported),
        ],
        once: false,
        set_up: secure::set_up_download,
    },
    Row {
        number: 15,
        work: "wrk over TLS, 64 keep-alive connections, a file of 612 bytes",
        peer: "nginx",
        lines: &[
            line("15", "wrk over TLS, 64 keep-alive / nginx", Unit::PerSecond, AtLeast(1.0)),
            line("15 cpu", "processor time for a request", Unit::Seconds, Reported),
        ],
        once: false,
        set_up: secure::set_up_keep_alive,
    },
    Row {
        number: 16,
        work: "full TLS handshakes",
        peer: "nginx",
        lines: &[
            line("16", "full handshakes / nginx", Unit::PerSecond, AtLeast(0.9)),
            line("16 cpu", "processor time for a full handshake", Unit::Seconds, Reported),
        ],
        once: false,
        set_up: secure::set_up_full,
    },
    Row {
        number: 17,
        work: "TLS sessions that go on",
        peer: "nginx",
        lines: &[
            line("17", "resumed handshakes / nginx", Unit::PerSecond, Reported),
            line("17 cpu", "processor time for a resumed one", Unit::Seconds, Reported),
        ],
        once: false,
        set_up: secure::set_up_resumed,
    },
];
