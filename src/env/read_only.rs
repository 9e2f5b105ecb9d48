//! Wraps an environment so that nothing can be changed through it: what opens a database for reading goes through
//! this, and so writes nothing at all by construction.
//!
//! What would change something is `Io` with subcode `ReadOnly`. Syncs are left out, with success: they matter to
//! one who goes on to rely on what he read, and disturb one who is writing at the same time.

use super::{Env, File, FileLock, Joinable, OpenMode, Space};
use crate::base::error::Subcode;
use crate::base::{Error, ErrorKind, Result};
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The environment that only reads.
pub struct ReadOnlyEnv {
    inner: Arc<dyn Env>,
}

struct ReadOnlyFile {
    inner: Arc<dyn File>,
}

impl ReadOnlyEnv {
    /// What reads through `inner` and never writes.
    pub fn new(inner: Arc<dyn Env>) -> Arc<ReadOnlyEnv> {
        Arc::new(ReadOnlyEnv { inner })
    }
}

#[cold]
fn refused(path: &Path) -> Error {
    let message = "the database is open for reading only";
    Error::new(ErrorKind::Io, message).with_subcode(Subcode::ReadOnly).in_file(path)
}

impl File for ReadOnlyFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.inner.read_at(offset, buf)
    }

    fn write_at(&self, _: u64, _: &[IoSlice<'_>]) -> Result<()> {
        Err(refused(self.path()))
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }

    fn sync_first(&self, _: u64) -> Result<()> {
        Ok(())
    }

    fn truncate(&self, _: u64) -> Result<()> {
        Err(refused(self.path()))
    }

    fn len(&self) -> Result<u64> {
        self.inner.len()
    }

    fn alignment(&self) -> usize {
        self.inner.alignment()
    }

    fn will_need(&self, offset: u64, len: u64) {
        self.inner.will_need(offset, len);
    }

    fn read_if_in_memory(&self, offset: u64, buf: &mut [u8]) -> Result<Option<usize>> {
        self.inner.read_if_in_memory(offset, buf)
    }

    fn drop_cache(&self) {
        self.inner.drop_cache();
    }

    fn map_for_reading(&self) -> Option<Arc<dyn AsRef<[u8]> + Send + Sync>> {
        self.inner.map_for_reading()
    }

    fn path(&self) -> &Path {
        self.inner.path()
    }
}

impl Env for ReadOnlyEnv {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        match mode {
            _ if mode.is_for_writing() => Err(refused(path)),
            _ => Ok(Arc::new(ReadOnlyFile { inner: self.inner.open(path, mode)? })),
        }
    }

    fn rename(&self, from: &Path, _: &Path) -> Result<()> {
        Err(refused(from))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        Err(refused(path))
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        Err(refused(path))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        Err(refused(dir))
    }

    fn sync_dir(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner.exists(path)
    }

    fn file_len(&self, path: &Path) -> Result<u64> {
        self.inner.file_len(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>> {
        Err(refused(path))
    }

    fn space(&self, dir: &Path) -> Result<Space> {
        self.inner.space(dir)
    }

    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn unix_seconds(&self) -> u64 {
        self.inner.unix_seconds()
    }

    fn sleep(&self, duration: Duration) {
        self.inner.sleep(duration);
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }

    fn spawn(&self, name: &str, nice: u8, body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Joinable>> {
        self.inner.spawn(name, nice, body)
    }

    fn runs_inline(&self) -> bool {
        self.inner.runs_inline()
    }
}
