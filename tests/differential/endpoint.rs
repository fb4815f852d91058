//! What a conversation needs of a stack, whoever wrote it.

use bytes::Bytes;
use tapstack::base::time::Instant;

/// How far an open has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    Pending,
    Open,
    Failed,
}

/// What a read gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    Data(Bytes),
    WouldBlock,
    /// The peer's FIN.
    End,
    /// A reset or the like.
    Failed,
}

/// What a write gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Write {
    Taken(usize),
    WouldBlock,
    Failed,
}

/// Where a connection is at the end of the conversation, as far as the two stacks can be compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Final {
    Closed,
    TimeWait,
    Other(&'static str),
}

/// A stack with one connection.
pub trait Endpoint {
    fn listen(&mut self, port: u16);
    fn connect(&mut self, local_port: u16, remote: [u8; 4], remote_port: u16);
    fn opening(&mut self) -> Opening;
    fn read(&mut self, max: usize) -> Read;
    fn write(&mut self, data: &Bytes) -> Write;
    fn shutdown_write(&mut self);
    fn abort(&mut self);
    /// The application lets go.
    fn close(&mut self);
    fn state(&mut self) -> Final;

    /// Does what is due.
    fn run(&mut self, now: Instant);
    fn receive(&mut self, now: Instant, frame: Bytes);
    fn transmit(&mut self, now: Instant, out: &mut Vec<Bytes>);
    fn deadline(&mut self, now: Instant) -> Option<Instant>;
}
