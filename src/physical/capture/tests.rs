//! The file's shape byte by byte, what tshark reads from it, and a disk that fills up.

use super::*;
use crate::physical::frame::{Body, Head};
use bytes::Bytes;
use std::collections::VecDeque;

/// An ARP request from 192.0.2.2 for 192.0.2.1.
const ARP: &[u8] = &[
    255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 192, 0, 2, 2, 0, 0,
    0, 0, 0, 0, 192, 0, 2, 1,
];

/// Blocks of a capture: type and content between the lengths, which are checked.
fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let u32_at = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut blocks = Vec::new();
    while !file.is_empty() {
        let len = u32_at(file, 4) as usize;
        assert_eq!(len % 4, 0);
        assert_eq!(u32_at(file, len - 4) as usize, len, "the length stands at both ends");
        blocks.push((u32_at(file, 0), file[8..len - 4].to_vec()));
        file = &file[len..];
    }
    blocks
}

#[test]
fn a_capture_is_made_of_section_interface_and_packet_blocks() {
    let mut capture = Capture::new(Vec::new()).unwrap();
    let interface = capture.add_interface("tap0").unwrap();
    let time = Duration::new(1_700_000_000, 123_456_789);
    capture.write_frame(interface, time, Direction::Outbound, &[&ARP[..14], &ARP[14..]], Some("why"));
    let blocks = blocks(&capture.into_inner());
    let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [SECTION_HEADER, INTERFACE_DESCRIPTION, ENHANCED_PACKET]);
    let packet = &blocks[2].1;
    let word = |at: usize| u32::from_le_bytes(packet[at..at + 4].try_into().unwrap());
    assert_eq!(word(0), 0);
    assert_eq!(u128::from(word(4)) << 32 | u128::from(word(8)), time.as_nanos());
    assert_eq!((word(12), word(16)), (42, 42));
    assert_eq!(&packet[20..62], ARP);
    assert_eq!(packet[64..], [1, 0, 3, 0, b'w', b'h', b'y', 0, 2, 0, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn secrets_stand_before_the_packets_of_their_turn() {
    let mut capture = Capture::new(Vec::new()).unwrap().with_secrets();
    let interface = capture.add_interface("tap0").unwrap();
    let packet = |capture: &mut Capture<Vec<u8>>, direction| {
        capture.write_frame(interface, Duration::from_secs(1), direction, &[ARP], None);
    };
    packet(&mut capture, Direction::Inbound);
    capture.write_secrets("CLIENT_RANDOM 00 00\n");
    packet(&mut capture, Direction::Outbound);
    capture.flush();
    packet(&mut capture, Direction::Inbound);
    let blocks = blocks(&capture.into_inner());
    let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
    let packets = [ENHANCED_PACKET; 3];
    assert_eq!(kinds, [&[SECTION_HEADER, INTERFACE_DESCRIPTION, DECRYPTION_SECRETS], packets.as_slice()].concat());
    assert_eq!(blocks[2].1, b"KSLT\x14\0\0\0CLIENT_RANDOM 00 00\n");
}

#[test]
fn tshark_reads_names_times_directions_and_comments() {
    if std::process::Command::new("tshark").arg("--version").output().is_err() {
        return; // The namespace tests install it and read captures of the daemon with it.
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut capture = Capture::new(file.reopen().unwrap()).unwrap();
    let first = capture.add_interface("tap0").unwrap();
    let second = capture.add_interface("tap1").unwrap();
    let time = Duration::new(1_700_000_000, 123_456_789);
    capture.write_frame(first, time, Direction::Inbound, &[ARP], None);
    capture.write_frame(second, time, Direction::Outbound, &[ARP], Some("seed 7"));
    capture.flush();
    let fields = ["frame.interface_name", "frame.time_epoch", "frame.packet_flags_direction", "frame.comment"];
    let mut command = std::process::Command::new("tshark");
    command.arg("-r").arg(file.path()).args(["-T", "fields", "-E", "separator=;"]);
    fields.iter().for_each(|field| {
        command.args(["-e", field]);
    });
    command.args(["-e", "arp.dst.proto_ipv4"]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(';').collect()).collect();
    assert_eq!(lines.len(), 2, "{text} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines[0][0], "tap0");
    assert!(lines[0][1].contains("23.456789") || lines[0][1].contains("1700000000.123456789"), "{text}");
    assert!(lines[0][2].ends_with('1') && lines[1][2].ends_with('2'), "{text}");
    assert_eq!((lines[1][0], lines[1][3], lines[1][4]), ("tap1", "seed 7", "192.0.2.1"));
}

/// A device that gives what it has and takes as long as there is room.
struct Stub {
    incoming: VecDeque<Frame>,
    room: usize,
    taken: Vec<OutFrame>,
}

impl Device for Stub {
    fn receive(&mut self) -> io::Result<Option<Frame>> {
        Ok(self.incoming.pop_front())
    }

    fn transmit(&mut self, frame: &OutFrame) -> io::Result<bool> {
        if self.taken.len() < self.room {
            self.taken.push(frame.clone());
            return Ok(true);
        }
        Ok(false)
    }
}

fn out_frame() -> OutFrame {
    let head = Head::from_slice(&ARP[..14]);
    OutFrame { head, body: Body::from_iter([Bytes::from_static(&ARP[14..])]), ..OutFrame::default() }
}

#[test]
fn a_captured_device_records_what_was_received_and_what_was_taken() {
    let capture = SharedCapture::new(Capture::new(Vec::new()).unwrap());
    let stub = Stub { incoming: [Frame::plain(ARP)].into(), room: 1, taken: Vec::new() };
    let interface = capture.lock().add_interface("tap0").unwrap();
    let mut device = Captured::new(stub, interface, capture.clone(), Arc::new(|| Duration::from_secs(1)));
    assert!(device.receive().unwrap().is_some());
    assert!(device.receive().unwrap().is_none());
    assert!(device.transmit(&out_frame()).unwrap());
    assert!(!device.transmit(&out_frame()).unwrap(), "what the device has no room for is not captured");
    drop(device);
    let file = Arc::into_inner(capture.0).unwrap().into_inner().unwrap().into_inner();
    let packets: Vec<_> = blocks(&file).into_iter().filter(|(kind, _)| *kind == ENHANCED_PACKET).collect();
    assert_eq!(packets.len(), 2);
    assert!(packets.iter().all(|(_, content)| &content[20..62] == ARP));
}

/// A disk with room for so many bytes.
struct Disk(usize);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0 -= bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_ends_the_capture_and_not_the_traffic() {
    let capture = SharedCapture::new(Capture::new(Disk(250)).unwrap());
    let stub = Stub { incoming: VecDeque::new(), room: 100, taken: Vec::new() };
    let interface = capture.lock().add_interface("tap0").unwrap();
    let mut device = Captured::new(stub, interface, capture.clone(), Arc::new(|| Duration::ZERO));
    for _ in 0..100 {
        assert!(device.transmit(&out_frame()).unwrap());
    }
    assert!(!capture.lock().is_writing());
    assert_eq!(device.device().taken.len(), 100);
}
