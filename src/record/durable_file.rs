//! A file that is appended by one thread and synced by others.
//!
//! Invariants:
//! - S1 a failed sync is final (R6): the kernel may have dropped the unsynced bytes and forgotten the failure, so
//!   a second fsync that "succeeds" proves nothing. Syncs are serialised so that none can slip past a failure.
//! - S2 `durable_len` never exceeds what an fdatasync that began after those bytes were written has covered.

use super::HEADER_LEN;
use crate::base::error::Subcode;
use crate::base::{Error, Result};
use crate::env::File;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A file with the length that was appended, the length that is durable, and the first failed sync.
pub struct DurableFile {
    file: Arc<dyn File>,
    appended: AtomicU64,
    durable: AtomicU64,
    failed: AtomicBool,
    /// What is not durable is nobody's any more.
    abandoned: AtomicBool,
    /// Bytes that are nobody's follow those that were appended.
    reused: bool,
    /// Held while syncing.
    failure: Mutex<Option<Error>>,
}

impl DurableFile {
    /// Wraps `file`, of which `appended` bytes are written and `durable` are known to be durable.
    pub fn new(file: Arc<dyn File>, appended: u64, durable: u64) -> Self {
        DurableFile {
            file,
            appended: AtomicU64::new(appended),
            durable: AtomicU64::new(durable),
            failed: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            reused: false,
            failure: Mutex::new(None),
        }
    }

    /// Wraps `file`, which is written to from its beginning again. What else is in it is not made durable.
    pub fn reused(file: Arc<dyn File>) -> Self {
        DurableFile { reused: true, ..DurableFile::new(file, 0, 0) }
    }

    /// The file.
    #[inline]
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Tells that the file's first `len` bytes have been written. Only the appending thread calls this.
    #[inline]
    pub fn set_appended(&self, len: u64) {
        self.appended.store(len, Ordering::Release);
    }

    /// Bytes that have been written.
    #[inline]
    pub fn appended_len(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    /// Bytes that are known to be durable.
    #[inline]
    pub fn durable_len(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Whether a sync has failed: the file takes no more appends.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// The failed sync.
    #[cold]
    pub fn failure(&self) -> Option<Error> {
        self.failure.lock().clone()
    }

    /// After a failed sync, when everything of value in the bytes after `durable_len` stands elsewhere: syncs have
    /// nothing left to do. The file still takes no appends.
    pub fn abandon_tail(&self) {
        debug_assert!(self.has_failed());
        self.abandoned.store(true, Ordering::Release);
    }

    /// Whether `abandon_tail` was called.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Has the system begin to write what a `sync` that follows will wait for; false if there is nothing.
    pub fn begin_sync(&self) -> bool {
        let appended = self.appended_len();
        let wanted = self.durable_len() < appended && !self.has_failed();
        // Not beside a `sync`, which would find nothing to do and not hear of an error here. The next one tells it.
        if wanted
            && let Some(mut failure) = self.failure.try_lock()
            && failure.is_none()
            && let Err(error) = self.file.begin_sync(0, appended)
        {
            *failure = Some(self.final_failure(error));
        }
        wanted
    }

    /// Nothing is appended or synced from now on.
    fn final_failure(&self, error: Error) -> Error {
        self.failed.store(true, Ordering::Release);
        error
            .context("sync failed: whether the last writes are durable is known at the next open")
            .with_subcode(Subcode::SyncUnknown)
    }

    /// Makes everything appended before the call durable. `Ok(true)` if that took an fdatasync, `Ok(false)` if
    /// another call had covered it. A failure has the subcode `SyncUnknown` and is the answer ever after.
    pub fn sync(&self) -> Result<bool> {
        let target = self.appended_len();
        if self.durable_len() >= target && !self.has_failed() {
            return Ok(false);
        }
        if self.abandoned.load(Ordering::Acquire) {
            return Ok(false);
        }
        let mut failure = self.failure.lock();
        if let Some(error) = &*failure {
            return Err(error.clone());
        }
        if self.durable_len() >= target {
            return Ok(false);
        }
        let covered = self.appended_len();
        // With the zeros behind the last record.
        let first = covered + HEADER_LEN as u64;
        let synced = if self.reused { self.file.sync_first(first) } else { self.file.sync_data() };
        match synced {
            Ok(()) => {
                self.durable.store(covered, Ordering::Release);
                Ok(true)
            }
            Err(error) => {
                let error = self.final_failure(error);
                *failure = Some(error.clone());
                Err(error)
            }
        }
    }
}
