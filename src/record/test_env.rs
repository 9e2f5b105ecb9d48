//! A small environment in memory for the tests of the log modules: files are shared byte vectors, and the next
//! write, sync or directory sync can be made to fail.

use crate::base::{Error, Result};
use crate::env::{Env, File, FileLock, Joinable, OpenMode, Space};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

type Bytes = Arc<Mutex<Vec<u8>>>;

/// Failures to come and counts of what happened.
#[derive(Default)]
pub struct Faults {
    /// The next write keeps only so many bytes and fails.
    pub tear_next_write: Mutex<Option<usize>>,
    /// The next file sync fails; the one after it would succeed, as on Linux.
    pub fail_next_sync: AtomicBool,
    /// The next directory sync fails.
    pub fail_next_dir_sync: AtomicBool,
    /// So many reads fail.
    pub fail_reads: AtomicU64,
    /// So many reads of more than a header give a flipped bit.
    pub flip_reads: AtomicU64,
    /// What is read has to come from the device.
    pub is_cold: AtomicBool,
    /// Bytes announced.
    pub announced: AtomicU64,
    /// File syncs.
    pub syncs: AtomicU64,
    /// Directory syncs.
    pub dir_syncs: AtomicU64,
}

/// The environment.
#[derive(Default)]
pub struct TestEnv {
    files: Mutex<BTreeMap<PathBuf, Bytes>>,
    /// What goes wrong.
    pub faults: Arc<Faults>,
}

struct TestFile {
    path: PathBuf,
    bytes: Bytes,
    mapped: Option<u64>,
    faults: Arc<Faults>,
}

fn eio(path: &Path, action: &str) -> Error {
    Error::io(path, action, &io::Error::from_raw_os_error(libc::EIO))
}

fn take_one(count: &AtomicU64) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl TestEnv {
    pub fn new() -> Arc<TestEnv> {
        Arc::new(TestEnv::default())
    }
    /// The bytes of a file.
    pub fn bytes(&self, path: &Path) -> Vec<u8> {
        self.files.lock()[path].lock().clone()
    }
    /// Takes a file away.
    pub fn remove(&self, path: &Path) {
        self.files.lock().remove(path).expect("the file is there");
    }
    /// Changes the bytes of a file that is open.
    pub fn put_over(&self, path: &Path, bytes: &[u8]) {
        self.files.lock()[path].lock().copy_from_slice(bytes);
    }
    /// Puts a file of these bytes.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        self.files.lock().insert(path.to_path_buf(), Arc::new(Mutex::new(bytes)));
    }
}

impl File for TestFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        if take_one(&self.faults.fail_reads) {
            return Err(eio(&self.path, "read"));
        }
        let bytes = self.bytes.lock();
        let from = (offset as usize).min(bytes.len());
        let len = buf.len().min(bytes.len() - from);
        buf[..len].copy_from_slice(&bytes[from..from + len]);
        if len > 0 && take_one(&self.faults.flip_reads) {
            buf[len - 1] ^= 1;
        }
        Ok(len)
    }
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        let tear = self.faults.tear_next_write.lock().take();
        let mut data: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        data.truncate(tear.unwrap_or(usize::MAX));
        let mut bytes = self.bytes.lock();
        let end = offset as usize + data.len();
        if self.mapped.is_some_and(|capacity| end as u64 > capacity) {
            return Err(Error::invalid_argument("past the mapping"));
        }
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(&data);
        if tear.is_some() { Err(eio(&self.path, "write")) } else { Ok(()) }
    }
    fn read_if_in_memory(&self, offset: u64, buf: &mut [u8]) -> Result<Option<usize>> {
        match self.faults.is_cold.load(Ordering::SeqCst) {
            true => Ok(None),
            false => self.read_at(offset, buf).map(Some),
        }
    }
    fn will_need(&self, _offset: u64, len: u64) {
        self.faults.announced.fetch_add(len, Ordering::SeqCst);
    }
    fn sync_data(&self) -> Result<()> {
        self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        if self.faults.fail_next_sync.swap(false, Ordering::SeqCst) {
            return Err(eio(&self.path, "sync"));
        }
        Ok(())
    }
    fn truncate(&self, len: u64) -> Result<()> {
        self.bytes.lock().resize(len as usize, 0);
        Ok(())
    }
    fn len(&self) -> Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }
    fn is_mapped(&self) -> bool {
        self.mapped.is_some()
    }
    fn path(&self) -> &Path {
        &self.path
    }
}

impl Env for TestEnv {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let mut files = self.files.lock();
        let mut mapped = None;
        let bytes = match mode {
            OpenMode::Read | OpenMode::ReadWrite | OpenMode::ReadDirect | OpenMode::ReadWriteDirect => files
                .get(path)
                .cloned()
                .ok_or_else(|| Error::io(path, "open", &io::Error::from_raw_os_error(libc::ENOENT)))?,
            OpenMode::Create | OpenMode::CreateDirect | OpenMode::CreateMapped { .. } => {
                let mut bytes = Vec::new();
                if let OpenMode::CreateMapped { capacity } = mode {
                    mapped = Some(capacity);
                    bytes.resize(capacity as usize, 0);
                }
                let bytes = Arc::new(Mutex::new(bytes));
                files.insert(path.to_path_buf(), bytes.clone());
                bytes
            }
        };
        Ok(Arc::new(TestFile { path: path.to_path_buf(), bytes, mapped, faults: self.faults.clone() }))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut files = self.files.lock();
        let bytes = files.remove(from).ok_or_else(|| eio(from, "rename"))?;
        files.insert(to.to_path_buf(), bytes);
        Ok(())
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        let gone = self.files.lock().remove(path);
        gone.map(|_| ()).ok_or_else(|| Error::io(path, "remove", &io::Error::from_raw_os_error(libc::ENOENT)))
    }
    fn remove_dir(&self, _: &Path) -> Result<()> {
        Ok(())
    }
    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let files = self.files.lock();
        let inside = files.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.map(|path| path.file_name().unwrap().to_str().unwrap().to_string()).collect())
    }
    fn create_dir_all(&self, _: &Path) -> Result<()> {
        Ok(())
    }
    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.faults.dir_syncs.fetch_add(1, Ordering::SeqCst);
        if self.faults.fail_next_dir_sync.swap(false, Ordering::SeqCst) {
            return Err(eio(dir, "sync directory"));
        }
        Ok(())
    }
    fn exists(&self, path: &Path) -> bool {
        self.files.lock().contains_key(path)
    }
    fn file_len(&self, path: &Path) -> Result<u64> {
        Ok(self.bytes(path).len() as u64)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>> {
        Err(eio(path, "lock"))
    }
    fn space(&self, _: &Path) -> Result<Space> {
        Ok(Space { available: 1 << 40, total: 1 << 40 })
    }
    fn now(&self) -> Duration {
        Duration::ZERO
    }
    fn unix_seconds(&self) -> u64 {
        0
    }
    fn sleep(&self, _: Duration) {}
    fn random(&self) -> u64 {
        4
    }
    fn spawn(&self, _: &str, _: u8, _: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Joinable>> {
        Err(Error::not_implemented("threads in the test environment"))
    }
}

/// A generator of numbers for tests, the same for the same seed.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }
    /// So many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 40) as u8).collect()
    }
}
