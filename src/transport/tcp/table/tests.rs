//! The behaviour of the table, in virtual time, on packets built by hand and between two tables.

mod harness;

mod passive;
