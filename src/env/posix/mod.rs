//! The operating system (Linux): plain files, through the page cache or past it, mapped files, the database lock,
//! threads, clock, randomness.
//!
//! All descriptors are close-on-exec. Interrupted and short system calls are finished here, so that callers see
//! whole operations or an error that names the path and what was being done.

#![allow(clippy::disallowed_methods, reason = "this is where the crate meets the operating system")]

mod direct;
mod file;
mod lock;
mod mapped_file;
mod thread;

#[cfg(test)]
mod tests;

use super::{Env, File, FileLock, Joinable, OpenMode, Space, action};
use crate::base::{Error, Result};
use std::ffi::CString;
use std::fs;
use std::hash::BuildHasher;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The operating system's environment.
pub struct PosixEnv {
    /// Where `now` counts from.
    started: Instant,
}

impl PosixEnv {
    /// The one of the process.
    pub fn shared() -> Arc<dyn Env> {
        static SHARED: OnceLock<Arc<PosixEnv>> = OnceLock::new();
        SHARED.get_or_init(|| Arc::new(PosixEnv { started: Instant::now() })).clone()
    }
}

impl Env for PosixEnv {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        match mode {
            OpenMode::CreateMapped { capacity } => mapped_file::create(path, capacity),
            plain => Ok(Arc::new(file::PosixFile::open(path, plain)?)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(|error| action::rename_failed(from, to, &error))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        fs::remove_file(path).map_err(|error| Error::io(path, action::REMOVE, &error))
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        fs::remove_dir(path).map_err(|error| Error::io(path, action::REMOVE_DIR, &error))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let failed = |error: io::Error| Error::io(dir, action::LIST, &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(or_here(dir)).map_err(failed)? {
            // The engine makes no name that is not UTF-8; those of others are none of its business.
            if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).map_err(|error| Error::io(dir, action::CREATE_DIR, &error))
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let synced = fs::File::open(or_here(dir)).and_then(|directory| directory.sync_all());
        match synced {
            // fsync(2): the file system has no such operation on directories; there is nothing to wait for.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            other => other.map_err(|error| Error::io(dir, action::SYNC_DIR, &error)),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok()
    }

    fn file_len(&self, path: &Path) -> Result<u64> {
        Ok(fs::metadata(path).map_err(|error| Error::io(path, action::LENGTH, &error))?.len())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>> {
        Ok(Box::new(lock::PosixLock::take(path)?))
    }

    fn space(&self, dir: &Path) -> Result<Space> {
        let name = CString::new(or_here(dir).as_os_str().as_bytes())
            .map_err(|_| action::refused(dir, action::SPACE, libc::EINVAL))?;
        let mut found = MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: `name` is a NUL-terminated string and `found` has room for the struct; both outlive the call.
        if unsafe { libc::statvfs(name.as_ptr(), found.as_mut_ptr()) } != 0 {
            return Err(Error::io(dir, action::SPACE, &io::Error::last_os_error()));
        }
        // SAFETY: statvfs returned 0, so it filled the struct in.
        let found = unsafe { found.assume_init() };
        Ok(Space {
            available: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    #[inline]
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn unix_seconds(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    /// Straight from the kernel, so that processes that were forked from one do not draw the same numbers.
    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        // SAFETY: the buffer is 8 writable bytes.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        if got == bytes.len() as isize {
            return u64::from_ne_bytes(bytes);
        }
        // A sandbox forbids the call: the standard library has ways to a seed of its own; time and pid tell
        // forked processes apart.
        let here_and_now = (self.started.elapsed(), SystemTime::now(), std::process::id());
        std::hash::RandomState::new().hash_one(here_and_now)
    }

    fn spawn(&self, name: &str, nice: u8, body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Joinable>> {
        thread::spawn(name, nice, body)
    }
}

/// The directory a relative path without one is in.
fn or_here(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}
