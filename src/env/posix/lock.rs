//! The database lock: a file that one process, and one database in it, holds.
//!
//! 1. Open or create the file.
//! 2. Look its inode up among the locks of this process.
//! 3. Take an open-file-description lock, which other processes respect and which dies with the holder.
//! 4. Check that the path still names this file.
//! 5. Write our pid into it, for the message others get.
//!
//! Invariants:
//! - L1: the lock belongs to the open file description, so closing another descriptor of the same file (which
//!   would drop a classic POSIX lock) does not let go.
//! - L2: only the process that took the lock unlocks it. A forked child shares the description; when it drops its
//!   copy it only closes, which lets go of nothing. The holder unlocks explicitly, so a child that still has a copy
//!   does not keep the database locked.

use super::action;
use crate::base::{Error, Result};
use crate::env::FileLock;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Device and inode: what a file is, whatever path led to it.
type FileIdentity = (u64, u64);

/// Locks of this process, and the pid that took each (a forked child inherits the table, not the locks).
static HELD: Mutex<BTreeMap<FileIdentity, u32>> = Mutex::new(BTreeMap::new());

/// How often a file that is replaced while we lock it is tried again.
const ATTEMPTS: usize = 16;

/// The lock, held.
pub(super) struct PosixLock {
    file: fs::File,
    identity: FileIdentity,
    /// L2: who took it.
    pid: u32,
}

impl FileLock for PosixLock {}

impl PosixLock {
    /// Takes the lock of `path`, or says who holds it.
    pub(super) fn take(path: &Path) -> Result<PosixLock> {
        let failed = |error: io::Error| Error::io(path, action::LOCK, &error);
        let mut held = HELD.lock();
        for _ in 0..ATTEMPTS {
            let mut options = fs::OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = options.open(path).map_err(failed)?;
            let identity = identity_of(&file.metadata().map_err(failed)?);
            let pid = std::process::id();
            if held.get(&identity) == Some(&pid) {
                return Err(action::locked(path, Some(pid)));
            }
            match set_lock(&file, libc::F_WRLCK) {
                Ok(()) => {}
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                    return Err(action::locked(path, read_pid(&file)));
                }
                Err(error) => return Err(failed(error)),
            }
            // Someone may have removed the file between our open and our lock: then we hold a lock nobody sees.
            if fs::metadata(path).is_ok_and(|found| identity_of(&found) == identity) {
                // Only for messages: a database on a full device must still open.
                let _ = write_pid(&file, pid);
                held.insert(identity, pid);
                return Ok(PosixLock { file, identity, pid });
            }
        }
        Err(Error::new(crate::base::ErrorKind::Busy, "the lock file is replaced all the time; try again")
            .in_file(path))
    }
}

#[cfg(test)]
impl PosixLock {
    /// The descriptor that carries the lock.
    pub(super) fn descriptor(&self) -> std::os::fd::RawFd {
        self.file.as_raw_fd()
    }
}

impl Drop for PosixLock {
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            return; // L2
        }
        let mut held = HELD.lock();
        // Failing would mean a bad descriptor; the close that follows lets go as well.
        let _ = set_lock(&self.file, libc::F_UNLCK);
        held.remove(&self.identity);
    }
}

fn identity_of(metadata: &fs::Metadata) -> FileIdentity {
    (metadata.dev(), metadata.ino())
}

/// Sets (F_WRLCK) or clears (F_UNLCK) the open-file-description lock on the whole file, without waiting.
pub(super) fn set_lock(file: &fs::File, kind: i32) -> io::Result<()> {
    // SAFETY: all zeros is a valid `flock`, a plain struct of numbers. Zero start and length mean the whole file,
    // and the pid must be 0 for locks of open file descriptions.
    let mut request: libc::flock = unsafe { std::mem::zeroed() };
    request.l_type = kind as libc::c_short;
    request.l_whence = libc::SEEK_SET as libc::c_short;
    loop {
        // SAFETY: the descriptor is open and `request` outlives the call.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &request) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn write_pid(file: &fs::File, pid: u32) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(format!("{pid}\n").as_bytes(), 0)
}

/// The holder's pid, unless it is just being written.
fn read_pid(file: &fs::File) -> Option<u32> {
    let mut bytes = [0; 16];
    let got = file.read_at(&mut bytes, 0).ok()?;
    std::str::from_utf8(&bytes[..got]).ok()?.trim().parse().ok()
}
