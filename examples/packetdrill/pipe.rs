//! A pipe of the object's own, for `splice`.

use crate::errno::Errno;
use libc::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

/// What a pipe holds, as Linux's.
const CAPACITY: usize = 64 << 10;

type Octets = RefCell<VecDeque<u8>>;

/// One end. Either notices when the other is gone.
#[derive(Debug)]
pub(crate) enum PipeEnd {
    Read { octets: Rc<Octets>, writer: Weak<()> },
    Write { octets: Weak<Octets>, _alive: Rc<()> },
}

/// Both ends, the one to read from first.
pub(crate) fn pipe() -> (PipeEnd, PipeEnd) {
    let (octets, alive) = (Rc::new(Octets::default()), Rc::new(()));
    let write = PipeEnd::Write { octets: Rc::downgrade(&octets), _alive: Rc::clone(&alive) };
    (PipeEnd::Read { octets, writer: Rc::downgrade(&alive) }, write)
}

impl PipeEnd {
    /// Up to `max` octets, none at the end; `None` while there are none.
    pub(crate) fn read(&mut self, max: usize) -> Option<Result<Vec<u8>, Errno>> {
        let PipeEnd::Read { octets, writer } = self else { return Some(Err(Errno(libc::EBADF))) };
        let mut octets = octets.borrow_mut();
        if octets.is_empty() {
            return (writer.strong_count() == 0 || max == 0).then(|| Ok(Vec::new()));
        }
        let len = max.min(octets.len());
        Some(Ok(octets.drain(..len).collect()))
    }

    /// Takes what there is room for; `None` if there is none.
    pub(crate) fn write(&mut self, data: &[u8]) -> Option<Result<usize, Errno>> {
        let PipeEnd::Write { octets, .. } = self else { return Some(Err(Errno(libc::EBADF))) };
        let Some(octets) = octets.upgrade() else { return Some(Err(Errno(libc::EPIPE))) };
        let mut octets = octets.borrow_mut();
        let len = data.len().min(CAPACITY - octets.len());
        octets.extend(data.iter().take(len));
        (len > 0 || data.is_empty()).then_some(Ok(len))
    }

    /// Octets that a write would take.
    pub(crate) fn room(&self) -> usize {
        match self {
            PipeEnd::Read { .. } => 0,
            PipeEnd::Write { octets, .. } => octets.upgrade().map_or(0, |octets| CAPACITY - octets.borrow().len()),
        }
    }

    /// Octets that a read would give.
    pub(crate) fn readable_bytes(&self) -> usize {
        match self {
            PipeEnd::Read { octets, .. } => octets.borrow().len(),
            PipeEnd::Write { .. } => 0,
        }
    }

    pub(crate) fn ready(&self) -> i16 {
        match self {
            PipeEnd::Read { octets, writer } => {
                let data = if octets.borrow().is_empty() { 0 } else { POLLIN | POLLRDNORM };
                let over = if writer.strong_count() == 0 { POLLHUP } else { 0 };
                data | over
            }
            PipeEnd::Write { octets, .. } if octets.strong_count() == 0 => POLLERR | POLLOUT,
            PipeEnd::Write { .. } if self.room() > 0 => POLLOUT | POLLWRNORM,
            PipeEnd::Write { .. } => 0,
        }
    }
}
