//! The names that scripts have for numbers, and the fields of `struct tcp_info`.

macro_rules! symbols {
    ($($name:ident)*) => {
        &[$((stringify!($name), libc::$name as i64)),*]
    };
}

const SYMBOLS: &[(&str, i64)] = symbols! {
    AF_INET AF_INET6 AF_UNSPEC SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_NONBLOCK IPPROTO_TCP IPPROTO_UDP IPPROTO_IP IPPROTO_ICMP
    SOL_SOCKET SOL_TCP SO_REUSEADDR SO_KEEPALIVE SO_LINGER SO_RCVBUF SO_SNDBUF SO_ERROR SO_TYPE SO_ACCEPTCONN
    SO_BROADCAST SO_TIMESTAMPING SO_DOMAIN SO_PROTOCOL
    TCP_NODELAY TCP_CORK TCP_MAXSEG TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_SYNCNT TCP_LINGER2 TCP_USER_TIMEOUT
    TCP_QUICKACK TCP_CONGESTION TCP_NOTSENT_LOWAT TCP_INFO TCP_DEFER_ACCEPT TCP_FASTOPEN
    IP_TOS IP_TTL IP_MTU IP_MTU_DISCOVER IP_PMTUDISC_DO IP_RECVERR
    MSG_PEEK MSG_DONTWAIT MSG_WAITALL MSG_TRUNC MSG_OOB MSG_MORE MSG_ERRQUEUE MSG_FASTOPEN
    O_RDWR O_NONBLOCK F_GETFL F_SETFL FIONREAD FIONBIO
    SHUT_RD SHUT_WR SHUT_RDWR
    POLLIN POLLOUT POLLERR POLLHUP POLLRDHUP POLLNVAL
    EPOLLIN EPOLLOUT EPOLLERR EPOLLHUP EPOLLRDHUP EPOLLET EPOLLONESHOT EPOLL_CTL_ADD EPOLL_CTL_MOD EPOLL_CTL_DEL
    SPLICE_F_NONBLOCK
    EAGAIN EINPROGRESS EALREADY EISCONN ENOTCONN ECONNREFUSED ECONNRESET ECONNABORTED EPIPE EADDRINUSE EADDRNOTAVAIL
    ETIMEDOUT EBADF EINVAL ENOPROTOOPT EOPNOTSUPP ENOTSOCK EHOSTUNREACH EAFNOSUPPORT EPROTONOSUPPORT EDESTADDRREQ
    EMSGSIZE ENOENT EEXIST ESPIPE ENOTTY ESOCKTNOSUPPORT EWOULDBLOCK
};

/// Those that the C library's headers have not, or under another name.
const MORE: [(&str, i64); 16] = [
    ("SOL_IP", 0),
    ("NULL", 0),
    ("SIOCINQ", 0x541b),
    ("SIOCOUTQ", 0x5411),
    ("SIOCOUTQNSD", 0x894b),
    ("TCP_ESTABLISHED", 1),
    ("TCP_SYN_SENT", 2),
    ("TCP_SYN_RECV", 3),
    ("TCP_FIN_WAIT1", 4),
    ("TCP_FIN_WAIT2", 5),
    ("TCP_TIME_WAIT", 6),
    ("TCP_CLOSE", 7),
    ("TCP_CLOSE_WAIT", 8),
    ("TCP_LAST_ACK", 9),
    ("TCP_LISTEN", 10),
    ("TCP_CLOSING", 11),
];

/// The number of a name, or of several joined with `|`.
pub(crate) fn number(text: &str) -> i64 {
    text.split('|')
        .map(|name| {
            let name = name.trim();
            let known = SYMBOLS.iter().chain(&MORE).find(|(known, _)| *known == name).map(|(_, number)| *number);
            known.or_else(|| name.parse().ok()).unwrap_or_else(|| panic!("no number is named {name:?}"))
        })
        .fold(0, |all, one| all | one)
}

/// The fields of `struct tcp_info` in their order, by their size in octets.
const FIELDS: [(usize, &str); 7] = [
    (1, "state ca_state retransmits probes backoff options wscales app_limited"),
    (
        4,
        "rto ato snd_mss rcv_mss unacked sacked lost retrans fackets last_data_sent last_ack_sent last_data_recv \
         last_ack_recv pmtu rcv_ssthresh rtt rttvar snd_ssthresh snd_cwnd advmss reordering rcv_rtt rcv_space total_retrans",
    ),
    (8, "pacing_rate max_pacing_rate bytes_acked bytes_received"),
    (4, "segs_out segs_in notsent_bytes min_rtt data_segs_in data_segs_out"),
    (8, "delivery_rate busy_time rwnd_limited sndbuf_limited"),
    (4, "delivered delivered_ce"),
    (8, "bytes_sent bytes_retrans"),
];
const LAST_FIELDS: [(usize, &str); 2] =
    [(4, "dsack_dups reord_seen rcv_ooopack snd_wnd rcv_wnd rehash"), (2, "total_rto total_rto_recoveries")];

/// A field of `struct tcp_info`, with or without `tcpi_`.
pub(crate) fn tcp_info(octets: &[u8], name: &str) -> u64 {
    let name = name.strip_prefix("tcpi_").unwrap_or(name);
    match name {
        "snd_wscale" => return tcp_info(octets, "wscales") & 0xf,
        "rcv_wscale" => return tcp_info(octets, "wscales") >> 4,
        _ => {}
    }
    let mut at = 0;
    for (size, names) in FIELDS.iter().chain(&LAST_FIELDS) {
        for field in names.split_whitespace() {
            if field == name {
                let mut value = [0; 8];
                value[..*size].copy_from_slice(&octets[at..at + size]);
                return u64::from_ne_bytes(value);
            }
            at += size;
        }
    }
    panic!("tcp_info has no {name}")
}
