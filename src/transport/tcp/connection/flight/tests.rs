//! The record of what is out.
