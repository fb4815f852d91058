//! A scene as a table: what happens when. Each line is a moment in milliseconds since the script began, and one of
//!
//! ```text
//! 0    write 5000                  the user writes
//! 100  < ack 1000 sack 2000:3000   an ACK arrives; `echo 40` echoes the timestamp of moment 40
//! 202  > P. 4000:5000              this is sent, as tcpdump would write it, without what it acknowledges
//! 202  is Recovery                 what recovery is doing
//! ```
//!
//! Every segment that is sent must stand in the script, at its moment and in its order.

use super::scene::*;
use crate::base::time::Instant;
use crate::transport::tcp::config::Config;
use crate::transport::tcp::options::{Options, Timestamps};
use crate::transport::tcp::segment::{Flags, Segment};
use std::collections::VecDeque;

/// What was sent, and when.
type Sent = VecDeque<(u64, String)>;

impl Scene {
    /// Established with a round trip of 100 ms behind it: SRTT and the least RTT are 100 ms, the RTO is 300 ms. A full
    /// segment has 1000 octets.
    pub(super) fn far(config: Config) -> Scene {
        let timestamps = config.timestamps.then(Timestamps::default);
        let mss = if config.timestamps { 1012 } else { 1000 };
        let options = Options { mss: Some(mss), sack_permitted: config.sack, timestamps, ..Options::default() };
        let mut scene = Scene::syn_sent_with(config);
        scene.drain();
        scene.world.now += ms(100);
        let timestamps = scene
            .connection
            .agreed
            .timestamps
            .map(|clock| Timestamps { value: 1, echo: clock.value(scene.world.now - ms(100)) });
        let options = Options { timestamps: timestamps.filter(|_| options.timestamps.is_some()), ..options };
        scene.send(Segment { flags: Flags::SYN | Flags::ACK, ack: OURS, options, ..peer_syn() });
        scene.drain();
        assert_eq!(scene.connection.mss(), 1000);
        scene
    }

    pub(super) fn far_with_sack() -> Scene {
        Scene::far(Config { sack: true, ..Scene::config() })
    }

    pub(super) fn far_with_timestamps() -> Scene {
        Scene::far(Config { sack: true, timestamps: true, ..Scene::config() })
    }

    /// Plays it.
    #[track_caller]
    pub(super) fn play(&mut self, script: &str) {
        let start = self.world.now;
        let mut sent = Sent::new();
        self.note(start, &mut sent);
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (at, what) = line.split_once(' ').unwrap();
            let at: u64 = at.parse().unwrap();
            self.advance(start, at, &mut sent);
            let (verb, rest) = what.trim().split_once(' ').unwrap();
            if verb == ">" {
                let expected = Some((at, rest.trim().to_owned()));
                assert_eq!(sent.pop_front(), expected, "at `{line}`; then {sent:?}");
                continue;
            }
            assert!(sent.is_empty(), "before `{line}`: {sent:?}");
            match verb {
                "write" => {
                    let len: usize = rest.parse().unwrap();
                    assert_eq!(self.write(len), len);
                }
                "<" => drop(self.send(self.arrival(start, rest))),
                "is" => assert_eq!(format!("{:?}", self.connection.ca_state()), rest, "at `{line}`"),
                _ => panic!("what is `{line}`?"),
            }
            self.note(start, &mut sent);
        }
        assert!(sent.is_empty(), "at the end: {sent:?}");
    }

    /// Timers up to the moment `at`.
    fn advance(&mut self, start: Instant, at: u64, sent: &mut Sent) {
        let end = start + ms(at);
        // A timer may be due within the millisecond that a line names.
        let last = end + ms(1) - std::time::Duration::from_nanos(1);
        while let Some(due) = self.connection.deadline().filter(|due| *due <= last) {
            self.world.now = self.world.now.max(due);
            self.connection.handle_timeout(&mut self.world.cx());
            self.check();
            self.note(start, sent);
        }
        self.world.now = self.world.now.max(end);
    }

    fn note(&mut self, start: Instant, sent: &mut Sent) {
        let at = self.world.now.since(start).as_millis() as u64;
        sent.extend(self.pull().iter().map(|segment| (at, show(segment).replace(" ack 0", ""))));
    }

    fn arrival(&self, start: Instant, text: &str) -> Segment {
        let mut segment = peer(0, 0);
        let mut blocks = Vec::new();
        let words: Vec<&str> = text.split_whitespace().collect();
        for pair in words.chunks(2) {
            match pair[0] {
                "ack" => segment.ack = OURS + pair[1].parse::<u32>().unwrap(),
                "sack" => {
                    let (from, to) = pair[1].split_once(':').unwrap();
                    blocks.push((from.parse().unwrap(), to.parse().unwrap()));
                }
                "echo" => {
                    let clock = self.connection.agreed.timestamps.unwrap();
                    let at = start + ms(pair[1].parse().unwrap());
                    segment = segment.ts(1, clock.value(at));
                }
                word => panic!("what is `{word}` in `{text}`?"),
            }
        }
        segment.sack(&blocks)
    }
}
