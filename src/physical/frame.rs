//! Frames as devices take and give them: bytes plus what the device may still do, or has already done.
//!
//! A frame may be a *super-segment*: one Ethernet, IP and TCP header with up to 64 KiB of payload and the
//! size to cut it to beside it. The metadata is that of the virtio-net header, so that a device that
//! offloads takes it as it is.

use bytes::Bytes;
use smallvec::SmallVec;
use std::io;

/// What is known of the transport checksum of a received frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReceivedChecksum {
    /// Nothing: the stack verifies it.
    #[default]
    Unverified,
    /// The device vouches for it, or the frame never left this machine and carries only the
    /// pseudo-header's sum.
    Vouched,
}

/// A frame as it came from a device.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The whole frame from the Ethernet destination on, without FCS.
    pub bytes: Bytes,
    /// What the device says of the transport checksum.
    pub checksum: ReceivedChecksum,
    /// For a super-segment, the payload bytes of each segment it stands for.
    pub segment_size: Option<u16>,
}

impl Frame {
    /// A plain frame, nothing vouched for.
    pub fn plain(bytes: impl Into<Bytes>) -> Self {
        Frame { bytes: bytes.into(), ..Frame::default() }
    }
}

/// A checksum that is left to the device: the field at `start + offset` holds the sum of the
/// pseudo-header; the device adds everything from `start` to the end of the frame and complements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartialChecksum {
    /// Where the covered bytes start, from the beginning of the frame.
    pub start: u16,
    /// Where in them the checksum field stands.
    pub offset: u16,
}

/// The parts of a payload, in order, each as the application gave it. Nothing is copied to join them.
pub type Body = SmallVec<[Bytes; 2]>;

/// The headers of a frame, written front to back: Ethernet, VLAN, IP with options and TCP with options fit.
pub type Head = SmallVec<[u8; 160]>;

/// A frame on its way to a device: headers in one piece, payload as it lies in memory.
#[derive(Clone, Debug, Default)]
pub struct OutFrame {
    /// All headers, from the Ethernet destination on.
    pub head: Head,
    /// The payload.
    pub body: Body,
    /// The transport checksum that is still to be completed, if any.
    pub checksum: Option<PartialChecksum>,
    /// For a super-segment, the payload bytes of each segment to cut it into. The head is repeated for
    /// each, with lengths, identification, sequence number and flags adjusted.
    pub segment_size: Option<u16>,
    /// Each segment of a super-segment keeps its CWR flag, which is a bit of a field there (RFC 9768 §3.2.2); otherwise
    /// the first alone has it (RFC 3168 §6.1.2).
    pub keeps_cwr: bool,
}

impl OutFrame {
    /// The length of the whole frame in bytes.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.iter().map(Bytes::len).sum::<usize>()
    }

    /// True if there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which device a frame came from or goes to: its place in the list of devices.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeviceId(pub u16);

/// Something that carries frames. Neither call blocks.
pub trait Device {
    /// The next received frame, or `None` if there is none at the moment.
    ///
    /// # Errors
    /// What the operating system says. The device may recover; the caller decides.
    fn receive(&mut self) -> io::Result<Option<Frame>>;

    /// Takes one frame. `Ok(false)`: there is no room for it, or not for all of its segments, at the moment; it is
    /// to be offered again before any other, and goes on where it stopped.
    ///
    /// # Errors
    /// What the operating system says; the frame is lost.
    fn transmit(&mut self, frame: &OutFrame) -> io::Result<bool>;
}
