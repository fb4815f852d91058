//! Trains: datagrams of one length to one destination that go through the floors below as one, and are cut apart
//! by the device, or by the kernel at the other end of the TAP.
//!
//! ```text
//!   queue:  | 1400 | 1400 | 1400 | 600 | 1400 ...
//!           '------- one train -------'  the last may be shorter, and ends it
//! ```
//!
//! On the wire there are only the datagrams. The head of a train has the length of all of it, in its own field and in the
//! pseudo-header, as the kernel has it for what it calls UDP segmentation offload.

use super::datagram::{self, HEADER_LEN};
use super::socket::Queue;
use crate::network::packet::Datagram;
use bytes::Bytes;

/// The most datagrams of one train: what every kernel with UDP segmentation takes.
const MOST: usize = 64;

/// A datagram and those that followed it in the queue and may travel with it, and how many they are. None of them
/// may need to be fragmented for `mtu`.
pub(super) fn couple(first: Datagram, queue: &mut Queue<Datagram>, mtu: u16) -> (Datagram, usize) {
    let size = first.payload_len() - first.header.len();
    let head = if first.source.is_ipv4() { 20 + first.options.len() } else { 40 };
    if size == 0 || head + HEADER_LEN + size > usize::from(mtu) || first.checksum_offset.is_none() {
        return (first, 1);
    }
    let (mut train, mut total, mut count) = (first, size, 1);
    let mut is_last = false;
    while count < MOST && !is_last {
        let next = queue.pop_if(|next| {
            let len = next.payload_len() - next.header.len();
            is_last = len < size;
            len > 0 && len <= size && total + len <= datagram::MAX_PAYLOAD && travels_with(next, &train)
        });
        let Some(next) = next else { break };
        total += next.payload_len() - next.header.len();
        train.body.extend(next.body);
        count += 1;
    }
    if count > 1 {
        train.segment_size = u16::try_from(size).ok();
        datagram::set_length(&mut train);
    }
    (train, count)
}

/// True if nothing but the payload distinguishes the two.
fn travels_with(next: &Datagram, train: &Datagram) -> bool {
    let ports = |datagram: &Datagram| datagram.header.first_chunk::<4>().copied();
    let way = |datagram: &Datagram| (datagram.source, datagram.destination, datagram.interface, datagram.hop_limit);
    way(next) == way(train)
        && ports(next) == ports(train)
        && (next.traffic_class, next.dont_fragment) == (train.traffic_class, train.dont_fragment)
        && next.options == train.options
        && next.checksum_offset == train.checksum_offset
}

/// The datagrams that a received train stands for. They are copied out of it, so that one that nobody reads does not
/// keep all of the train.
pub(super) fn datagrams(payload: Bytes, segment_size: Option<u16>) -> impl Iterator<Item = Bytes> {
    let size = segment_size.map(usize::from).filter(|size| *size > 0 && *size < payload.len());
    let mut rest = Some(payload);
    std::iter::from_fn(move || {
        let mut next = rest.take()?;
        let Some(size) = size else { return Some(next) };
        if next.len() > size {
            rest = Some(next.split_off(size));
        }
        Some(Bytes::copy_from_slice(&next))
    })
}
