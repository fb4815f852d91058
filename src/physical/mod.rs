//! Floor 1, the physical layer: where frames enter and leave the process.
//!
//! OSI meant voltages, plugs and the timing of bits. In this house it is whatever carries whole Ethernet
//! frames: the TAP device, the in-memory cable with its faults, and the capture file that listens on
//! either. In come [`frame::OutFrame`]s, out go [`frame::Frame`]s; a device that can't offload cuts
//! super-segments and completes checksums here ([`segmentation`]), so that there is one path above.
//!
//! This floor never looks at an address and never decides whether a frame is wanted. Segmentation reads
//! the IP and TCP headers of what it cuts because a network card does; that is the one thing it knows of
//! the floors above.

pub mod cable;
pub mod capture;
pub mod frame;
pub mod host_side;
pub mod segmentation;
pub mod tap;
