//! Spoils recorded frames: bits, lengths, offsets, flags and options, with checksums made right half of the time
//! so that the damage gets past them.

use crate::sim::wire::{self, ETHERNET};
use tapstack::base::random::Random;

/// Numbers at which code goes wrong.
const EDGES: [u32; 14] = [0, 1, 2, 3, 4, 5, 7, 8, 0x7f, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];

fn below(random: &mut Random, bound: usize) -> usize {
    random.below(bound as u64) as usize
}

/// Spoils `frame` in one to three ways.
pub fn mutate(random: &mut Random, frame: &mut Vec<u8>) {
    for _ in 0..1 + below(random, 3) {
        once(random, frame);
    }
    if random.chance(0.5) {
        wire::fix_checksums(frame);
    }
}

fn once(random: &mut Random, frame: &mut Vec<u8>) {
    if frame.is_empty() {
        return;
    }
    let len = frame.len();
    match below(random, 12) {
        0 => flip_bits(random, frame),
        1 => frame.truncate(below(random, len)),
        2 => {
            for _ in 0..1 + below(random, 64) {
                frame.push(random.next_u32() as u8);
            }
        }
        3 => set_edge(random, frame, 0),
        4 => set_edge(random, frame, ETHERNET),
        5 => ip_field(random, frame),
        6..10 => transport_field(random, frame),
        10 => repeat(random, frame),
        _ => {
            // Some bytes that mean nothing.
            let at = below(random, len);
            for byte in frame[at..].iter_mut().take(16) {
                *byte = random.next_u32() as u8;
            }
        }
    }
}

fn flip_bits(random: &mut Random, frame: &mut [u8]) {
    for _ in 0..1 + below(random, 8) {
        let bit = below(random, frame.len() * 8);
        frame[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Writes a number that invites mistakes somewhere after `from`.
fn set_edge(random: &mut Random, frame: &mut [u8], from: usize) {
    let Some(room) = frame.len().checked_sub(from + 4).filter(|room| *room > 0) else { return };
    let at = from + below(random, room.min(80));
    let value = EDGES[below(random, EDGES.len())].to_be_bytes();
    match below(random, 3) {
        0 => frame[at] = value[3],
        1 => frame[at..at + 2].copy_from_slice(&value[2..]),
        _ => frame[at..at + 4].copy_from_slice(&value),
    }
}

fn ip_field(random: &mut Random, frame: &mut [u8]) {
    if frame.len() < ETHERNET + 20 {
        return;
    }
    let len = frame.len() - ETHERNET;
    let packet = &mut frame[ETHERNET..];
    match below(random, 8) {
        0 => packet[0] = random.next_u32() as u8,
        1 => packet[0] = 0x40 | (random.next_u32() as u8 & 15),
        2 => {
            let near = (len as u32).wrapping_add(random.next_u32() % 9).wrapping_sub(4) as u16;
            packet[2..4].copy_from_slice(&near.to_be_bytes());
        }
        3 => packet[2..4].copy_from_slice(&random.next_u16().to_be_bytes()),
        4 => packet[6..8].copy_from_slice(&random.next_u16().to_be_bytes()),
        5 => packet[8] = below(random, 3) as u8,
        6 => packet[9] = [1, 2, 6, 17, 41, 0, 255][below(random, 7)],
        _ => {
            let at = 12 + below(random, 8);
            packet[at] = [0, 127, 224, 255, 1, 2][below(random, 6)];
        }
    }
}

/// Damages what stands where the TCP header is; other protocols have something there too.
fn transport_field(random: &mut Random, frame: &mut [u8]) {
    let start = ETHERNET + usize::from(frame.get(ETHERNET).copied().unwrap_or(0) & 15) * 4;
    let Some(header) = frame.get_mut(start..).filter(|header| header.len() >= 20) else { return };
    let add = |field: &mut [u8], value: u32| {
        let number = wire::u32_at(field, 0).wrapping_add(value);
        field[..4].copy_from_slice(&number.to_be_bytes());
    };
    let near = random.next_u32() % 4096;
    let near = if random.chance(0.5) { near } else { near.wrapping_neg() };
    match below(random, 10) {
        0 => header[13] = random.next_u32() as u8,
        1 => header[13] ^= 1 << below(random, 8),
        2 => add(&mut header[4..8], near),
        3 => add(&mut header[4..8], EDGES[below(random, EDGES.len())]),
        4 => add(&mut header[8..12], near),
        5 => add(&mut header[8..12], EDGES[below(random, EDGES.len())]),
        6 => header[14..16].copy_from_slice(&[0, random.next_u32() as u8 % 3]),
        7 => header[12] = random.next_u32() as u8,
        8 => {
            header[13] |= wire::URG;
            header[18..20].copy_from_slice(&(near as u16).to_be_bytes());
        }
        _ => {
            let end = (usize::from(header[12] >> 4) * 4).clamp(20, header.len());
            if end > 20 {
                let at = 20 + below(random, end - 20);
                header[at] = [0, 1, 2, 3, 4, 5, 8, 10, 40, 255][below(random, 10)];
            }
        }
    }
}

/// Doubles a part of the frame in place.
fn repeat(random: &mut Random, frame: &mut Vec<u8>) {
    let from = below(random, frame.len());
    let len = below(random, frame.len() - from).min(256);
    let part = frame[from..from + len].to_vec();
    frame.splice(from..from, part);
}
