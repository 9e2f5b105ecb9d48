//! For tests: a simulated machine that says it has threads, so that waiting is not left out.

use super::SimEnv;
use crate::base::Result;
use crate::env::{Env, File, FileLock, Joinable, OpenMode, Space};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The simulated machine, where who has to wait sleeps on its clock.
pub(crate) struct Waiting {
    inner: Arc<SimEnv>,
    at_sleep: Box<dyn Fn(Duration) + Send + Sync>,
}

impl Waiting {
    /// Over `inner`. `at_sleep` is called before each sleep, with its length.
    pub(crate) fn new(inner: Arc<SimEnv>, at_sleep: impl Fn(Duration) + Send + Sync + 'static) -> Waiting {
        Waiting { inner, at_sleep: Box::new(at_sleep) }
    }
}

impl Env for Waiting {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        self.inner.open(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        self.inner.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.inner.remove_dir(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.inner.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        self.inner.create_dir_all(dir)
    }
    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.inner.sync_dir(dir)
    }
    fn exists(&self, path: &Path) -> bool {
        self.inner.exists(path)
    }
    fn file_len(&self, path: &Path) -> Result<u64> {
        self.inner.file_len(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>> {
        self.inner.lock(path)
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
        (self.at_sleep)(duration);
        self.inner.sleep(duration);
    }
    fn random(&self) -> u64 {
        self.inner.random()
    }
    fn spawn(&self, name: &str, nice: u8, body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Joinable>> {
        self.inner.spawn(name, nice, body)
    }
}
