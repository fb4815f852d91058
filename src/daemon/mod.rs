//! The daemon: the only clock and the only file descriptors.
