//! Plays a script: what arrives is handed in at its time, what leaves is compared in order, calls that block are made
//! on a thread of their own, as packetdrill does.

use super::object::Object;
use super::script::{Event, IcmpSpec, Line, Packet, Quoted, SegmentSpec, Time};
use super::symbols::{number, tcp_info};
use super::syscalls::{self, Outcome, PORT};
use super::wire::{self, FLAGS, ICMP, TCP, Tcp, TcpOption, UDP};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

/// How far from its time something may happen, in microseconds: packetdrill's default.
const TOLERANCE: i64 = 4_000;
/// Where the numbers of the peer begin that scripts count from zero, so near the wrap that most scripts cross it.
const PEER_ISN: u32 = u32::MAX - 5_000;
/// The port of the first peer that opens a connection.
const FIRST_PEER: u16 = 40_000;

/// A connection as the script sees it.
#[derive(Clone, Copy, Debug)]
struct Talk {
    local_port: u16,
    remote_port: u16,
    /// Our initial sequence number, once it was seen.
    isn: Option<u32>,
    /// What our timestamps are ahead of the script's, once one was seen.
    timestamps: Option<u32>,
}

/// A call that blocks.
struct Blocked {
    line: Line,
    end: i64,
    done: Receiver<(Outcome, i64)>,
}

pub(crate) struct Player {
    object: Object,
    start: i64,
    /// When the last event happened, counted from `start`.
    last: i64,
    talks: BTreeMap<u16, Talk>,
    current: u16,
    datagram_port: Option<u16>,
    blocked: Option<Blocked>,
    /// The socket that `%{ }%` is about.
    socket: i64,
}

fn flags_text(flags: u16) -> String {
    FLAGS.iter().filter(|(_, bit)| flags & bit != 0).map(|(letter, _)| *letter).collect()
}

impl Player {
    pub(crate) fn new(object: Object) -> Self {
        let start = object.time();
        let first = Talk { local_port: PORT, remote_port: FIRST_PEER, isn: None, timestamps: None };
        Player {
            object,
            start,
            last: 0,
            talks: BTreeMap::from([(FIRST_PEER, first)]),
            current: FIRST_PEER,
            datagram_port: None,
            blocked: None,
            socket: 0,
        }
    }

    fn talk(&mut self) -> &mut Talk {
        self.talks.get_mut(&self.current).unwrap()
    }

    fn now(&self) -> i64 {
        self.object.time() - self.start
    }

    /// Plays all of it. What differs is a panic that names the line.
    pub(crate) fn play(mut self, lines: &[Line]) {
        for line in lines {
            if let Err(difference) = self.step(line) {
                panic!("line {}: {difference}", line.number);
            }
        }
        self.join(None).unwrap_or_else(|difference| panic!("{difference}"));
        self.object.free();
    }

    fn step(&mut self, line: &Line) -> Result<(), String> {
        let now = self.now();
        let due = match line.time {
            Time::Any => now,
            Time::At(at) => at,
            Time::After(after) | Time::From(after, _) => now.max(self.last) + after,
        };
        if let Event::Leaves(packet) = &line.event {
            let (at, octets) = self.object.receive();
            let at = at - self.start;
            self.last = at;
            self.compare(packet, &octets).map_err(|what| format!("{what}\n  at {at} µs"))?;
            let is_in_time = line.time == Time::Any || (at - due).abs() <= TOLERANCE;
            return if is_in_time { Ok(()) } else { Err(format!("left at {at} µs, not at {due} µs")) };
        }
        self.object.sleep_until(self.start + due);
        self.last = due;
        self.join(Some(line))?;
        match &line.event {
            Event::Arrives(packet) => {
                let packet = self.build(packet);
                self.object.send(&packet);
                Ok(())
            }
            Event::Assert(text) => self.assert_all(text),
            Event::Call { name, arguments, .. } if name == "peer" => {
                let super::script::Value::Int(number) = arguments[0] else { return Err("peer(number)".to_owned()) };
                self.current = FIRST_PEER + number as u16 - 1;
                let fresh = Talk { local_port: PORT, remote_port: self.current, isn: None, timestamps: None };
                self.talks.entry(self.current).or_insert(fresh);
                Ok(())
            }
            Event::Call { .. } => self.call(line, due),
            Event::Leaves(_) => unreachable!("handled above"),
        }
    }

    fn call(&mut self, line: &Line, due: i64) -> Result<(), String> {
        let Event::Call { name, arguments, .. } = &line.event else { return Ok(()) };
        if let Time::From(from, to) = line.time {
            let (object, name, arguments) = (self.object, name.clone(), arguments.clone());
            let (tell, done) = channel();
            let (tell_thread, thread) = channel();
            std::thread::spawn(move || {
                // SAFETY: it has no arguments, and no way to fail.
                tell_thread.send(unsafe { libc::gettid() }).unwrap();
                let outcome = syscalls::call(&object, &name, &arguments);
                let at = object.time();
                // A script that failed meanwhile does not listen any more.
                let _ = tell.send((outcome, at));
            });
            let thread = thread.recv().unwrap();
            self.blocked = Some(Blocked { line: line.clone(), end: due + to - from, done });
            self.await_block(thread);
            return Ok(());
        }
        let outcome = syscalls::call(&self.object, name, arguments);
        let took = self.now() - due;
        self.judge(line, outcome)?;
        if took.abs() > TOLERANCE { Err(format!("it blocked for {took} µs")) } else { Ok(()) }
    }

    /// Until the thread sleeps or is done.
    fn await_block(&mut self, thread: i32) {
        let state = format!("/proc/self/task/{thread}/stat");
        loop {
            let sleeps = std::fs::read_to_string(&state)
                .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S')));
            let is_done = std::fs::metadata(&state).is_err();
            if sleeps || is_done {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Takes the result of a blocked call: at the end and before the next one blocks, waiting for it.
    fn join(&mut self, next: Option<&Line>) -> Result<(), String> {
        let Some(blocked) = &self.blocked else { return Ok(()) };
        let must = next.is_none_or(|line| matches!(line.event, Event::Call { .. } | Event::Assert(_)));
        let result =
            if must { blocked.done.recv().map_err(|_| TryRecvError::Disconnected) } else { blocked.done.try_recv() };
        match result {
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => Err(format!("line {}: the call came to nothing", blocked.line.number)),
            Ok((outcome, at)) => {
                let Some(Blocked { line, end, .. }) = self.blocked.take() else { return Ok(()) };
                self.judge(&line, outcome).map_err(|what| format!("line {}: {what}", line.number))?;
                let at = at - self.start;
                if (at - end).abs() > TOLERANCE {
                    return Err(format!("line {}: it returned at {at} µs, not at {end} µs", line.number));
                }
                Ok(())
            }
        }
    }

    fn judge(&mut self, line: &Line, outcome: Outcome) -> Result<(), String> {
        let Event::Call { name, result, errno, .. } = &line.event else { return Ok(()) };
        let wanted = Outcome { result: *result, errno: errno.as_deref().map_or(0, number) };
        if outcome != wanted {
            let text = std::io::Error::from_raw_os_error(outcome.errno as i32);
            return Err(format!("{name} gives {outcome:?} ({text}), not {wanted:?}"));
        }
        if matches!(name.as_str(), "socket" | "accept") && outcome.result >= 0 {
            self.socket = outcome.result;
        }
        Ok(())
    }

    fn assert_all(&mut self, text: &str) -> Result<(), String> {
        let info = syscalls::tcp_info(&self.object, self.socket);
        let text = text.strip_prefix("assert").ok_or("only assertions")?;
        for part in text.split(" and ") {
            let words: Vec<&str> = part.split_whitespace().collect();
            let [field, operator, value] = words[..] else { return Err(format!("not understood: {part}")) };
            let (got, value) = (tcp_info(&info, field) as i64, number(value));
            let holds = match operator {
                "==" => got == value,
                "!=" => got != value,
                "<" => got < value,
                "<=" => got <= value,
                ">" => got > value,
                ">=" => got >= value,
                _ => return Err(format!("not understood: {operator}")),
            };
            if !holds {
                return Err(format!("{field} is {got}: {part}"));
            }
        }
        Ok(())
    }

    fn build(&mut self, packet: &Packet) -> Vec<u8> {
        match packet {
            Packet::Tcp(spec) => self.build_segment(spec).packet(),
            Packet::Udp(len) => wire::udp(PORT, self.datagram_port.unwrap_or(PORT), *len),
            Packet::Icmp(IcmpSpec { quoted, kind, code, mtu }) => {
                let [high, low] = mtu.to_be_bytes();
                let talk = *self.talk();
                let quote = match quoted {
                    Quoted::Nothing => Vec::new(),
                    Quoted::Tcp(seq, len) => {
                        let mut transport = [talk.local_port, talk.remote_port].map(u16::to_be_bytes).concat();
                        transport.extend(talk.isn.unwrap_or(0).wrapping_add(*seq).to_be_bytes());
                        wire::quote(TCP, 20 + len, &transport)
                    }
                    Quoted::Udp(len) => {
                        let port = self.datagram_port.unwrap_or(PORT);
                        let transport = [port, PORT, (8 + len) as u16, 0].map(u16::to_be_bytes).concat();
                        wire::quote(UDP, 8 + len, &transport)
                    }
                };
                wire::icmp(*kind, *code, [0, 0, high, low], &quote)
            }
        }
    }

    fn build_segment(&mut self, spec: &SegmentSpec) -> Tcp {
        let talk = *self.talk();
        let isn = talk.isn.unwrap_or(0);
        let ours = |number: u32| isn.wrapping_add(number);
        let options = spec.options.clone().unwrap_or_default().into_iter().map(|option| match option {
            TcpOption::Timestamps(value, echo) => {
                TcpOption::Timestamps(value, echo.wrapping_add(talk.timestamps.filter(|_| echo != 0).unwrap_or(0)))
            }
            TcpOption::Sack(blocks) => {
                TcpOption::Sack(blocks.into_iter().map(|(start, end)| (ours(start), ours(end))).collect())
            }
            other => other,
        });
        Tcp {
            source: talk.remote_port,
            destination: talk.local_port,
            seq: PEER_ISN.wrapping_add(spec.seq),
            ack: spec.ack.map_or(0, ours),
            flags: spec.flags,
            ecn: spec.ecn.unwrap_or(0),
            window: spec.window.unwrap_or(0),
            urgent: spec.urgent,
            options: options.collect(),
            len: spec.len,
        }
    }

    fn compare(&mut self, wanted: &Packet, octets: &[u8]) -> Result<(), String> {
        let protocol = octets[9];
        let expected = match wanted {
            Packet::Tcp(_) => TCP,
            Packet::Udp(_) => UDP,
            Packet::Icmp(_) => ICMP,
        };
        if protocol != expected {
            return Err(format!("a packet of protocol {protocol} left: {octets:?}"));
        }
        match wanted {
            Packet::Tcp(spec) => {
                let segment = Tcp::parse(octets);
                self.learn(&segment);
                let seen = self.seen(&segment, spec);
                if seen == *spec { Ok(()) } else { Err(format!("wanted {}\n  left   {}", show(spec), show(&seen))) }
            }
            Packet::Udp(len) => {
                let payload = wire::payload(octets, UDP);
                self.datagram_port = Some(u16::from_be_bytes([payload[0], payload[1]]));
                let left = payload.len() - 8;
                if left == *len { Ok(()) } else { Err(format!("a datagram of {left} octets left")) }
            }
            Packet::Icmp(spec) => {
                let payload = wire::payload(octets, ICMP);
                if (payload[0], payload[1]) == (spec.kind, spec.code) {
                    return Ok(());
                }
                Err(format!("ICMP of type {} and code {} left", payload[0], payload[1]))
            }
        }
    }

    /// Which connection a segment of ours is of, and where its numbers begin.
    fn learn(&mut self, segment: &Tcp) {
        let is_syn = segment.flags & 0x02 != 0;
        let fresh = Talk { local_port: 0, remote_port: segment.destination, isn: None, timestamps: None };
        self.talks.entry(segment.destination).or_insert(fresh);
        self.current = segment.destination;
        let talk = self.talk();
        talk.local_port = segment.source;
        if is_syn {
            talk.isn = Some(segment.seq);
        }
    }

    /// What left, in the numbers of the script; what it does not ask for is as it has it.
    fn seen(&mut self, segment: &Tcp, spec: &SegmentSpec) -> SegmentSpec {
        let talk = self.talk();
        // A reset in answer to somebody unknown has no numbers but the peer's.
        let isn = talk.isn.unwrap_or(0);
        let script_value = spec.options.iter().flatten().find_map(|option| match option {
            TcpOption::Timestamps(value, _) => Some(*value),
            _ => None,
        });
        let options = segment.options.iter().map(|option| match option {
            TcpOption::Timestamps(value, echo) => {
                let known = script_value.map(|script| value.wrapping_sub(script));
                let offset = *talk.timestamps.get_or_insert(known.unwrap_or(0));
                TcpOption::Timestamps(value.wrapping_sub(offset), *echo)
            }
            TcpOption::Sack(blocks) => TcpOption::Sack(
                blocks.iter().map(|(start, end)| (start.wrapping_sub(PEER_ISN), end.wrapping_sub(PEER_ISN))).collect(),
            ),
            other => other.clone(),
        });
        let options = options.collect();
        SegmentSpec {
            flags: segment.flags,
            ecn: spec.ecn.map(|_| segment.ecn),
            seq: segment.seq.wrapping_sub(isn),
            len: segment.len,
            ack: (segment.flags & 0x10 != 0).then(|| segment.ack.wrapping_sub(PEER_ISN)),
            window: spec.window.map(|_| segment.window),
            urgent: if segment.flags & 0x20 != 0 { segment.urgent } else { 0 },
            options: spec.options.as_ref().map(|_| options),
        }
    }
}

fn show(spec: &SegmentSpec) -> String {
    let mut text =
        format!("{} {}:{}({})", flags_text(spec.flags), spec.seq, spec.seq.wrapping_add(spec.len as u32), spec.len);
    for (name, number) in [("ack", spec.ack), ("win", spec.window.map(u32::from))] {
        if let Some(number) = number {
            let _ = write!(text, " {name} {number}");
        }
    }
    let _ = write!(text, " urg {} ecn {:?} {:?}", spec.urgent, spec.ecn, spec.options);
    text
}
