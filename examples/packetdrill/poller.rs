//! What `epoll` is asked to watch. What is ready, every file says itself.

use crate::errno::Errno;
use std::collections::BTreeMap;

/// One watched descriptor.
#[derive(Clone, Debug)]
struct Interest {
    events: u32,
    data: u64,
    /// What was last reported, for those who want to hear of changes only: the mask and the octets to be read.
    told: Option<(u32, usize)>,
    is_spent: bool,
}

/// An `epoll` descriptor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Poller {
    interests: BTreeMap<i32, Interest>,
}

impl Poller {
    pub(crate) fn control(&mut self, operation: i32, fd: i32, events: u32, data: u64) -> Result<(), Errno> {
        let interest = Interest { events, data, told: None, is_spent: false };
        let is_known = self.interests.contains_key(&fd);
        match operation {
            libc::EPOLL_CTL_ADD if is_known => return Err(Errno(libc::EEXIST)),
            libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL if !is_known => return Err(Errno(libc::ENOENT)),
            libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD => {
                self.interests.insert(fd, interest);
            }
            libc::EPOLL_CTL_DEL => {
                self.interests.remove(&fd);
            }
            _ => return Err(Errno(libc::EINVAL)),
        }
        Ok(())
    }

    /// A descriptor is closed.
    pub(crate) fn forget(&mut self, fd: i32) {
        self.interests.remove(&fd);
    }

    pub(crate) fn watched(&self) -> Vec<i32> {
        self.interests.keys().copied().collect()
    }

    /// What to report of `fd` that is ready for `mask` with so many octets to be read.
    pub(crate) fn report(&mut self, fd: i32, mask: u32, octets: usize) -> Option<(u32, u64)> {
        let interest = self.interests.get_mut(&fd)?;
        let always = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
        let mask = mask & (interest.events | always);
        let is_edge = interest.events & libc::EPOLLET as u32 != 0;
        let is_new = interest.told != Some((mask, octets));
        if is_edge {
            interest.told = Some((mask, octets));
        }
        if mask == 0 || interest.is_spent || (is_edge && !is_new) {
            return None;
        }
        interest.is_spent = interest.events & libc::EPOLLONESHOT as u32 != 0;
        Some((mask, interest.data))
    }
}
