//! The behaviour of the table, in virtual time, on packets built by hand and between two tables.

mod active;
mod authenticated;
mod bounds;
mod cookies;
mod fast_open;
mod harness;
mod many;
mod passive;
mod time_wait;
