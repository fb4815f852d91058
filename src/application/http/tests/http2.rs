//! HTTP/2 over a pipe: frame by frame, by a client, and side by side with HTTP/1.1.

mod answers;
mod bounds;
mod frames;
mod vectors;
mod vectors_hpack;
