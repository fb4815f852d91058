//! `tapstack cable`: a bad line between two TAPs.

use crate::base::random::Random;
use crate::cli::table::Table;
use crate::daemon::bridge::{self, BridgeConfig};
use crate::daemon::failure::Failure;
use crate::daemon::port::create_capture;
use crate::daemon::units::{ByteCount, Percent, Period, Rate};
use crate::physical::cable::{CableCounts, DEFAULT_QUEUE, Faults};
use crate::physical::tap;
use clap::Args;
use std::path::PathBuf;

/// The line and its ends.
#[derive(Debug, Args)]
pub(super) struct CableArguments {
    /// The TAP at one end; created if it does not exist
    #[arg(value_name = "TAP-A")]
    first: String,
    /// The TAP at the other end
    #[arg(value_name = "TAP-B")]
    second: String,
    /// The share of frames that is lost
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    loss: Percent,
    /// The share of frames that arrives twice
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    duplicate: Percent,
    /// The share of frames of which one bit is flipped
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    corrupt: Percent,
    /// The share of frames that is held back until others have passed
    #[arg(long, value_name = "SHARE", default_value = "0%")]
    reorder: Percent,
    /// How long a frame takes
    #[arg(long, value_name = "TIME", default_value = "0")]
    delay: Period,
    /// How much longer or shorter it may take
    #[arg(long, value_name = "TIME", default_value = "0")]
    jitter: Period,
    /// Keep frames in order in spite of jitter
    #[arg(long)]
    keep_order: bool,
    /// Bits a second in each direction; unlimited by default
    #[arg(long)]
    rate: Option<Rate>,
    /// Bytes that may wait for a line whose rate is limited
    #[arg(long, value_name = "BYTES", default_value_t = ByteCount(DEFAULT_QUEUE as u64))]
    queue: ByteCount,
    /// Bytes that wait from which on packets are marked that can be (ECN), if the rate is limited; none are by default
    #[arg(long, value_name = "BYTES")]
    mark: Option<ByteCount>,
    /// What decides all of it; drawn and printed if not given
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The MTU of both TAPs
    #[arg(long, value_name = "BYTES", default_value_t = 1500, value_parser = clap::value_parser!(u16).range(68..))]
    mtu: u16,
    /// Write every frame to this pcapng file, as it enters and as it leaves
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Stop after so many frames
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Stop after this time
    #[arg(long = "for", value_name = "TIME")]
    time: Option<Period>,
}

impl CableArguments {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let config = self.config()?;
        let capture = self.pcap.as_deref().map(|path| create_capture(path, false)).transpose()?;
        let counts = bridge::run(&config, capture.as_ref(), || super::print("ready\n"))?;
        super::print(&report(&config, &counts));
        Ok(())
    }

    fn config(&self) -> Result<BridgeConfig, Failure> {
        for name in [&self.first, &self.second] {
            tap::check_name(name).map_err(Failure::Usage)?;
        }
        if self.first == self.second {
            return Err(Failure::Usage(format!("a cable needs two ends: {}: name two different TAPs", self.first)));
        }
        let seed = match self.seed {
            Some(seed) => seed,
            None => {
                let mut key = [0; 32];
                getrandom::fill(&mut key).map_err(|error| {
                    Failure::running(format!("no seed can be drawn: {error}: give one with --seed"))
                })?;
                // Short enough to be typed.
                Random::from_key(key).below(1 << 32)
            }
        };
        let faults = Faults {
            loss: self.loss.0,
            duplicate: self.duplicate.0,
            corrupt: self.corrupt.0,
            reorder: self.reorder.0,
            delay: self.delay.0,
            jitter: self.jitter.0,
            keep_order: self.keep_order,
            rate: self.rate.map(|rate| rate.0),
            mark: self.mark.map(|mark| usize::try_from(mark.0).unwrap_or(usize::MAX)),
            queue: usize::try_from(self.queue.0).unwrap_or(usize::MAX),
        };
        let taps = [self.first.clone(), self.second.clone()];
        let time = self.time.map(|time| time.0);
        Ok(BridgeConfig { taps, mtu: self.mtu, faults, seed, frames: self.count, time })
    }
}

fn report(config: &BridgeConfig, counts: &[CableCounts; 2]) -> String {
    let mut table = Table::new(&[
        "FROM",
        "TO",
        "SENT",
        "BYTES",
        "DELIVERED",
        "BYTES",
        "LOST",
        "MARKED",
        "QUEUE DROPS",
        "DUPLICATED",
        "CORRUPTED",
        "REORDERED",
    ]);
    let [first, second] = &config.taps;
    for (from, to, counts) in [first, second].into_iter().zip([second, first]).zip(counts).map(|((a, b), c)| (a, b, c))
    {
        let numbers = [
            counts.sent,
            counts.sent_bytes,
            counts.delivered,
            counts.delivered_bytes,
            counts.lost,
            counts.marked,
            counts.queue_drops,
            counts.duplicated,
            counts.corrupted,
            counts.reordered,
        ];
        let mut row = vec![from.clone(), to.clone()];
        row.extend(numbers.iter().map(u64::to_string));
        table.row(row);
    }
    format!("{}seed {}\n", table.render(), config.seed)
}
