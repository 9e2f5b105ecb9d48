//! The only door to the outside: files, directories, clock, threads, randomness.
//!
//! Three implementations of one trait: `posix` (the operating system), `simulated` (memory, deterministic, gives
//! crash images) and `faulty` (wraps another and makes the n-th operation fail). Everything else in the crate
//! goes through `Env`; clippy bans `std::fs`, `std::thread::spawn`, `Instant::now` and `SystemTime::now` elsewhere.
//!
//! Durability contract, which the engine is built on and `simulated` enforces:
//! - bytes written to a file survive a process crash at once, and a power loss only after `sync_data`;
//! - a created, renamed or removed directory entry survives a power loss only after `sync_dir` of its directory;
//! - a failed `sync_data` may have dropped the unsynced bytes: the file must not be trusted again;
//! - what is read past the page cache (`OpenMode::ReadDirect`) is what the device holds. Bytes written through the page
//!   cache are brought there first, unless a sync of them has failed: then they are in the page cache alone.

use crate::base::Result;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

mod action;
pub mod aligned;
pub mod buffers;
pub mod direct;
pub mod faulty;
pub mod memory;
pub mod paged;
pub mod posix;
mod random;
pub mod read_only;
pub mod simulated;

#[cfg(test)]
mod tests;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A new empty file for reading and writing; an existing one of the name is emptied.
    Create,
    /// As `Create`, then `capacity` bytes are allocated on the device, read as zeros, and writes go through a
    /// shared mapping (no system call an append). Where the file system cannot allocate ahead or map, it is a
    /// plain `Create` instead and `is_mapped` tells; a full device is an error here, never a later SIGBUS.
    CreateMapped {
        /// Bytes allocated and mapped. Writing past them is an error.
        capacity: u64,
    },
    /// As `Read`, past the page cache (O_DIRECT). Where the file system cannot, it is a plain `Read` instead, now or
    /// from the first read on; `File::alignment` tells.
    ReadDirect,
    /// As `ReadWrite`, past the page cache, with the same exception.
    ReadWriteDirect,
    /// As `Create`, past the page cache, with the same exception.
    CreateDirect,
}

impl OpenMode {
    /// Whether it is past the page cache where that is possible.
    pub fn is_direct(self) -> bool {
        matches!(self, OpenMode::ReadDirect | OpenMode::ReadWriteDirect | OpenMode::CreateDirect)
    }

    /// Whether the file may be changed.
    pub fn is_for_writing(self) -> bool {
        !matches!(self, OpenMode::Read | OpenMode::ReadDirect)
    }
}

/// An open file. All methods may be called from several threads at once; overlapping writes are the caller's
/// business. Errors name the file.
pub trait File: Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize>;
    /// Writes all of `parts`, one after the other, at `offset`. After an error any prefix may have been written.
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()>;
    /// As `write_at`, where a sync of just this is to follow. Through a mapping the system notes what is dirty by
    /// folios, which may be 2 MiB long, and a sync writes all of them.
    fn write_for_sync(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        self.write_at(offset, parts)
    }
    /// Makes the bytes and the length durable (fdatasync).
    fn sync_data(&self) -> Result<()>;
    /// Makes the first `len` bytes of a file whose length is durable so too; others perhaps.
    fn sync_first(&self, len: u64) -> Result<()> {
        let _ = len;
        self.sync_data()
    }
    /// Cuts or extends (with zeros) the file. A mapped file may be cut only when no more is written to it.
    fn truncate(&self, len: u64) -> Result<()>;
    /// The length in bytes.
    fn len(&self) -> Result<u64>;
    /// True if the file is empty.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }
    /// What offset, length and memory of each read and write have to be multiples of, a power of two: more than 1 for
    /// a file that is read and written past the page cache. Another one is an error. A read that ends at the file's
    /// end is short, a write cannot be. It may fall to 1 for good, never rise.
    fn alignment(&self) -> usize {
        1
    }
    /// Whether writes go through a mapping.
    fn is_mapped(&self) -> bool {
        false
    }
    /// Whether bytes that were written and synced are written over where they stand, with no need of space that a full
    /// device does not have.
    fn is_written_in_place(&self) -> bool {
        true
    }
    /// Makes `[from, to)` of a mapped file cheap to write (faults its pages in). A hint.
    fn populate(&self, from: u64, to: u64) {
        let _ = (from, to);
    }
    /// Says that `[from, to)` of a mapped file is written: its pages need not stay in this process. A hint; the bytes
    /// stay as they are.
    fn release(&self, from: u64, to: u64) {
        let _ = (from, to);
    }
    /// Tells the system that `[offset, offset + len)` will be read soon. A hint.
    fn will_need(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }
    /// As `read_at`, if all of it is in memory: `None` if the device would have to be waited for, where that is not
    /// known, and at the end of the file. `buf` may hold anything then.
    fn read_if_in_memory(&self, offset: u64, buf: &mut [u8]) -> Result<Option<usize>> {
        self.read_at(offset, buf).map(Some)
    }
    /// Has the system begin to write what is not synced from `offset` on, `len` bytes of it or (0) all, without
    /// waiting: a sync that follows has less to do. An error counts as a failed sync: the system may tell it once.
    fn begin_sync(&self, offset: u64, len: u64) -> Result<()> {
        let _ = (offset, len);
        Ok(())
    }
    /// Tells the system to forget cached pages, so that the next read is of the device. A hint.
    fn drop_cache(&self) {}
    /// Behaves as the page cache does when the device refuses a sync: the bytes written since the last sync stay
    /// readable but count as clean, so no later sync makes them durable. `faulty` calls it at a sync it makes
    /// fail; only `simulated` can do it.
    fn lose_unsynced(&self) {}
    /// The whole file as mapped memory for reading, where the implementation can and `len` is fixed from now on.
    fn map_for_reading(&self) -> Option<Arc<dyn AsRef<[u8]> + Send + Sync>> {
        None
    }
    /// The file's path, for messages.
    fn path(&self) -> &Path;
    /// Reads exactly `buf.len()` bytes; a short file is a `Corruption` naming file and offset.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let got = self.read_at(offset, buf)?;
        if got < buf.len() {
            return Err(ends_early(self.path(), offset, buf.len(), got));
        }
        Ok(())
    }
}

#[cold]
fn ends_early(path: &Path, offset: u64, wanted: usize, got: usize) -> crate::base::Error {
    let message = format!("file ends early: wanted {wanted} bytes, got {got}; restore it from a backup");
    crate::base::Error::corruption(path, offset, message)
}

/// Free and total bytes of a file system.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Bytes an unprivileged process may still write.
    pub available: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Held while a database is open; dropping it lets go.
pub trait FileLock: Send + Sync {}

/// A thread that was spawned.
pub trait Joinable: Send {
    /// Waits until it ends.
    fn join(self: Box<Self>);
}

/// The outside world.
pub trait Env: Send + Sync + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>>;
    /// Renames a file, replacing one of the new name.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> Result<()>;
    /// Names in a directory (not sorted, without `.` and `..`).
    fn list(&self, dir: &Path) -> Result<Vec<String>>;
    /// Makes a directory and those above it.
    fn create_dir_all(&self, dir: &Path) -> Result<()>;
    /// Makes the directory's entries durable.
    fn sync_dir(&self, dir: &Path) -> Result<()>;
    /// Whether something of this name exists.
    fn exists(&self, path: &Path) -> bool;
    /// The length of a file by name.
    fn file_len(&self, path: &Path) -> Result<u64>;
    /// Takes the database lock. If another process or this one holds it: `Busy` is not the kind but `Io` with
    /// subcode `Locked`, as RocksDB's, and the message names the path and the holder's pid.
    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>>;
    /// Space on the file system of `dir`.
    fn space(&self, dir: &Path) -> Result<Space>;

    /// Monotonic time since some fixed point.
    fn now(&self) -> Duration;
    /// Seconds since 1970.
    fn unix_seconds(&self) -> u64;
    /// Sleeps, or advances the simulated clock.
    fn sleep(&self, duration: Duration);
    /// A random number.
    fn random(&self) -> u64;

    /// Starts a thread. Not called where `runs_inline`. It stands back `nice` levels (of `nice(2)`) behind those that
    /// this function did not start, where both want the processor, and no less than the thread that starts it; as far
    /// as the system can and allows, without an error.
    fn spawn(&self, name: &str, nice: u8, body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Joinable>>;
    /// True in the simulated environment: there are no background threads; whoever schedules background work
    /// runs it before returning, so that one seed gives one history.
    fn runs_inline(&self) -> bool {
        false
    }
}

/// The environment of the process: the operating system.
pub fn default_env() -> Arc<dyn Env> {
    posix::PosixEnv::shared()
}

/// Reads a whole file of at most `limit` bytes.
pub fn read_file(env: &dyn Env, path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = env.open(path, OpenMode::Read)?;
    let len = file.len()?;
    if len > limit {
        return Err(crate::base::Error::corruption(
            path,
            0,
            format!("{len} bytes long, expected at most {limit}"),
        ));
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Replaces `path` by a file with these bytes, atomically and durably: temporary file, sync, rename, sync of the
/// directory (R7).
pub fn write_file_atomically(env: &dyn Env, path: &Path, temporary: &Path, bytes: &[u8]) -> Result<()> {
    let file = env.open(temporary, OpenMode::Create)?;
    file.write_at(0, &[IoSlice::new(bytes)])?;
    file.sync_data()?;
    drop(file);
    env.rename(temporary, path)?;
    env.sync_dir(path.parent().unwrap_or(Path::new(".")))
}
