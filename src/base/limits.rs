//! Every bound on what the outside can make the stack keep, in one place.

use crate::base::time::Duration;

/// Large buffers a thread keeps for their next use: 4 MiB of them.
pub const FREE_BUFFERS: usize = 64;

/// Frames on their way through one direction of a simulated cable.
pub const CABLE_FRAMES: usize = 1 << 16;

/// Neighbours kept in all; the least recently used that is not static makes room.
pub const NEIGHBOURS: usize = 4_096;
/// Packets waiting for one neighbour's address (RFC 1122 §2.3.2.2 asks for at least one).
pub const NEIGHBOUR_QUEUE_PACKETS: usize = 64;
/// Bytes waiting for one neighbour's address.
pub const NEIGHBOUR_QUEUE_BYTES: usize = 256 << 10;
/// Bytes waiting for all neighbours' addresses together.
pub const NEIGHBOUR_TOTAL_BYTES: usize = 4 << 20;

/// Bytes of fragments kept for all datagrams together.
pub const REASSEMBLY_BYTES: usize = 4 << 20;
/// Fragments of one datagram: 64 KiB cut for 1,500 bytes and each piece again for 576 make 135.
pub const REASSEMBLY_FRAGMENTS: usize = 256;
/// Datagrams being put together at once.
pub const REASSEMBLY_DATAGRAMS: usize = 1_024;
/// How long the first fragment waits for the last (RFC 1122 §3.3.2 asks for 60 to 120 s; RFC 791's own
/// 15 s is what bounds memory; Linux keeps 30 s).
pub const REASSEMBLY_TIMEOUT: Duration = Duration::from_secs(30);

/// Destinations whose path MTU is remembered.
pub const PATH_MTUS: usize = 4_096;
/// ICMP errors a second, and at once.
pub const ICMP_ERRORS_PER_SECOND: u32 = 1_000;
/// ICMP errors that may be sent in one burst.
pub const ICMP_ERRORS_BURST: u32 = 50;
/// Multicast groups joined on one interface.
pub const GROUPS: usize = 256;

/// Frames waiting for a device, the stack's own and forwarded ones.
pub const TRANSMIT_QUEUE: usize = 4_096;
/// Bytes waiting for a device.
pub const TRANSMIT_QUEUE_BYTES: usize = 16 << 20;

/// Datagrams waiting in one UDP socket.
pub const UDP_QUEUE_DATAGRAMS: usize = 1_024;
/// Bytes waiting in one UDP socket.
pub const UDP_QUEUE_BYTES: usize = 1 << 20;
/// UDP sockets.
pub const UDP_SOCKETS: usize = 65_536;

/// TCP connections of all states, TIME-WAIT not counted.
pub const TCP_CONNECTIONS: usize = 1 << 20;
/// Half-open connections of one listener before SYN cookies take over.
pub const TCP_EMBRYOS: usize = 1_024;
/// Accepted connections that wait for the application, by default.
pub const TCP_BACKLOG: usize = 1_024;
/// Points of traced connections; the oldest makes room.
pub const TCP_TRACE_POINTS: usize = 1 << 16;
/// Connections in TIME-WAIT; the oldest makes room.
pub const TCP_TIME_WAITS: usize = 1 << 18;
/// Bytes one connection may keep for its application to read, out-of-order data included, once its path needs it.
pub const TCP_RECEIVE_BUFFER: usize = 4 << 20;
/// Bytes one connection takes from its application before they are acknowledged, once its path needs it; as much again while
/// the peer has that beyond a gap.
pub const TCP_SEND_BUFFER: usize = 4 << 20;
/// What both begin with.
pub const TCP_INITIAL_BUFFER: usize = 128 << 10;
/// Bytes of them that were never sent.
pub const TCP_UNSENT: usize = 512 << 10;
/// Connections that one listener has opened by a Fast Open cookie and that have yet to prove that their peer is there
/// (RFC 7413 §5.1).
pub const TCP_FAST_OPEN_PENDING: usize = 256;
/// Servers whose Fast Open cookies are remembered.
pub const TCP_FAST_OPEN_SERVERS: usize = 4_096;
/// Connections whose numbers are kept to sign their segments (RFC 5925).
pub const TCP_AUTHENTICATED: usize = 1 << 16;
/// Ranges of out-of-order data one connection keeps.
pub const TCP_OUT_OF_ORDER_RANGES: usize = 256;
/// Records of what one connection has out; SACK blocks of a hostile peer cannot split them further.
pub const TCP_FLIGHT_RECORDS: usize = 4_096;
/// Hosts whose round-trip time earlier connections have left behind.
pub const TCP_METRICS: usize = 4_096;
/// Challenge ACKs a second in all (RFC 5961 §7).
pub const TCP_CHALLENGE_ACKS_PER_SECOND: u32 = 1_000;
/// Resets a second for segments that belong to nothing.
pub const TCP_RESETS_PER_SECOND: u32 = 10_000;
/// Answers that belong to no connection (resets, SYN-ACKs, ACKs of TIME-WAIT) waiting for the device.
pub const TCP_REPLIES: usize = 4_096;

/// Messages that wait for the stack of another queue; each may hold on to a frame of 64 KiB.
pub const SIBLING_MESSAGES: usize = 512;

/// Clients of the control socket at once.
pub const CONTROL_CLIENTS: usize = 16;
/// Bytes of one request to the control socket.
pub const CONTROL_REQUEST: usize = 4_096;

/// Octets of a file that HTTP keeps.
pub const HTTP_KEPT_FILE: usize = 64 << 10;
/// Files that HTTP keeps.
pub const HTTP_KEPT_FILES: usize = 4_096;
/// Octets of all files that HTTP keeps.
pub const HTTP_KEPT_OCTETS: usize = 16 << 20;

/// TLS sessions kept for clients without tickets; the oldest makes room.
pub const TLS_SESSIONS: usize = 4_096;
/// Bodies that HTTP packs at once; each takes some mebibytes. Beyond that, answers go out as they are.
pub const HTTP_PACKED_AT_ONCE: usize = 32;
/// Logins over HTTP that are remembered for a minute.
pub const HTTP_PROOFS: usize = 1_024;
/// Streams of one HTTP/2 connection at once (RFC 9113 §6.5.2 asks for at least 100).
pub const HTTP2_STREAMS: u32 = 128;
/// Octets of all answers of one HTTP/2 connection that are framed and not with the stack; a piece more may be.
pub const HTTP2_UNSENT: usize = 256 << 10;
/// Clients of HTTP that are remembered for their rate, beyond those that are connected.
pub const HTTP_CLIENTS: usize = 4_096;
/// Names in one list of a folder.
pub const HTTP_LISTED: usize = 4_096;
