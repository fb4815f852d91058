//! The command line, and the plan it makes.

use crate::crowd::Past;
use crate::site::Documents;
use clap::{Parser, Subcommand, ValueEnum};
use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::Duration;

/// Runs tapstack and its peers alternately and prints a table of ratios. Needs root.
#[derive(Parser)]
#[command(bin_name = "scripts/bench")]
pub struct Arguments {
    /// Less than two minutes: three rounds, short ones, of smaller transfers and crowds
    #[arg(long)]
    quick: bool,
    /// How often each side runs (5; 3 with --quick), after one run that does not count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Only these rows of the table, for example 1,5,6
    #[arg(long, value_name = "ROWS", value_delimiter = ',')]
    only: Vec<u32>,
    /// Where all figures go
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    pub json: PathBuf,
    /// Where the files to serve are made, for the time of the run
    #[arg(long, value_name = "FOLDER", default_value = "/var/tmp")]
    files: PathBuf,
    /// The congestion control of all kernel senders, ours and the peers': reno, cubic, bbr (the machine's own)
    #[arg(long, value_name = "NAME")]
    pub congestion: Option<String>,
    /// In place of the rows: our TCP and Linux's as senders over bad lines, both with this congestion control
    #[arg(long, value_name = "ALGORITHM", num_args = 0..=1, default_missing_value = "cubic")]
    pub loss: Option<Algorithm>,
    /// With --loss: so many seeds for each line (5; 2 with --quick)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// With --loss: only the lines of the table that contain this text, such as "100 ms"; or "shares" alone
    #[arg(long, value_name = "TEXT")]
    pub lines: Option<String>,
    /// What cargo calls every benchmark with
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    pub part: Option<Part>,
}

/// What the two senders use.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Algorithm {
    Cubic,
    /// Version 1, which both have
    Bbr,
    /// Our version 3 against Linux's version 1
    Bbr3,
    /// CUBIC, then BBR
    Both,
}

/// A congestion control as our configuration and the kernel call it.
#[derive(Clone, Copy)]
pub struct Names {
    pub ours: &'static str,
    pub linux: &'static str,
}

impl Names {
    /// Both, where they are not the same.
    pub fn title(self) -> String {
        if self.ours == self.linux { self.ours.to_owned() } else { format!("{} / {}", self.ours, self.linux) }
    }
}

impl Algorithm {
    /// What is compared, one after the other.
    pub fn names(self) -> &'static [Names] {
        const CUBIC: Names = Names { ours: "cubic", linux: "cubic" };
        const BBR: Names = Names { ours: "bbr1", linux: "bbr" };
        match self {
            Algorithm::Cubic => &[CUBIC],
            Algorithm::Bbr => &[BBR],
            Algorithm::Bbr3 => &[Names { ours: "bbr", linux: "bbr" }],
            Algorithm::Both => &[CUBIC, BBR],
        }
    }
}

/// What this program plays in a process of its own.
#[derive(Subcommand)]
pub enum Part {
    /// smoltcp, on a TAP that it creates
    #[command(hide = true)]
    Smoltcp {
        /// The name of the TAP
        tap: String,
    },
    /// Clients that connect and then say nothing
    #[command(hide = true)]
    Crowd {
        /// What they do before
        past: Past,
        /// How many
        members: usize,
    },
}

/// How much is measured.
pub struct Plan {
    pub quick: bool,
    pub rounds: u32,
    /// How many seeds, where there are seeds and the command line says so.
    pub seeds: Option<u64>,
    /// How long one run lasts where time is what ends it.
    pub run: Duration,
    /// The size of the file that is downloaded.
    pub download_bytes: u64,
    /// How many idle connections.
    pub crowd: usize,
    /// What kernel senders use, if not the machine's own.
    pub congestion: Option<String>,
    /// Where the files to serve are.
    pub files: PathBuf,
    documents: OnceCell<Documents>,
}

impl Plan {
    /// The files to serve, made when they are first wanted.
    pub fn documents(&self) -> &Documents {
        self.documents.get_or_init(|| Documents::new(&self.files, self.download_bytes))
    }
}

impl Arguments {
    /// True if this row is to be run.
    pub fn wants(&self, row: u32) -> bool {
        self.only.is_empty() || self.only.contains(&row)
    }

    /// What to measure.
    pub fn plan(&self) -> Plan {
        let (rounds, millis, download_bytes, crowd) =
            if self.quick { (3, 500, 256 << 20, 20_000) } else { (5, 3_000, 1 << 30, 100_000) };
        Plan {
            quick: self.quick,
            rounds: self.rounds.unwrap_or(rounds),
            seeds: self.seeds,
            run: Duration::from_millis(millis),
            download_bytes,
            crowd,
            congestion: self.congestion.clone(),
            files: self.files.clone(),
            documents: OnceCell::new(),
        }
    }
}
