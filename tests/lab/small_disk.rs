//! A disk that is soon full.

use std::path::PathBuf;
use std::process::Command;

/// A file system of 256 KiB in memory, gone when this is dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one.
    pub fn at(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k,mode=755", "small"]).arg(&folder).status();
        assert!(mounted.unwrap().success());
        SmallDisk(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
