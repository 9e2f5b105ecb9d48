//! Direct I/O: which files are read and written past the page cache, and how bytes of any length are written so.
//!
//! - `DirectIo` is what a database wants, and notes what the file system made of it. Where that refuses, files are
//!   ordinary ones, and all works as without.
//! - `AlignedWriter` writes a file front to back: whole blocks, of which the last is filled up with zeros and cut.
//! - `write_around` appends to a file that others append to through the page cache: whole blocks go past it.

use super::aligned::{AlignedBuffer, PAGE};
use super::{Env, File, OpenMode};
use crate::base::Result;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Bytes that `write_around` writes past the page cache with one call.
const PIECE: usize = 512 << 10;

/// What is done past the page cache.
#[derive(Debug, Default)]
pub struct DirectIo {
    reads: bool,
    writes: bool,
    opened: AtomicU64,
    refused: AtomicU64,
    first_refused: OnceLock<PathBuf>,
}

impl DirectIo {
    /// Reads of tables and segments, and what background work writes, past the page cache or not.
    pub fn new(reads: bool, writes: bool) -> Arc<DirectIo> {
        Arc::new(DirectIo { reads, writes, ..DirectIo::default() })
    }

    /// Whether reads are to be direct.
    #[inline]
    pub fn reads(&self) -> bool {
        self.reads
    }

    /// Whether what background work writes is to be direct.
    #[inline]
    pub fn writes(&self) -> bool {
        self.writes
    }

    /// Opens an existing file for reading.
    pub fn open(&self, env: &dyn Env, path: &Path) -> Result<Arc<dyn File>> {
        self.open_as(env, path, if self.reads { OpenMode::ReadDirect } else { OpenMode::Read })
    }

    /// Creates a file for background work to write.
    pub fn create(&self, env: &dyn Env, path: &Path) -> Result<Arc<dyn File>> {
        self.open_as(env, path, if self.writes { OpenMode::CreateDirect } else { OpenMode::Create })
    }

    /// A second descriptor of an existing file for background work to write past the page cache; `None` if that is
    /// not wanted, or not possible.
    pub fn open_for_writing(&self, env: &dyn Env, path: &Path) -> Option<Arc<dyn File>> {
        let open = || self.open_as(env, path, OpenMode::ReadWriteDirect).ok();
        self.writes.then(open).flatten().filter(|file| file.alignment() > 1)
    }

    fn open_as(&self, env: &dyn Env, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let file = env.open(path, mode)?;
        if mode.is_direct() && file.alignment() > 1 {
            self.opened.fetch_add(1, Ordering::Relaxed);
        } else if mode.is_direct() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let _ = self.first_refused.set(path.to_path_buf());
        }
        Ok(file)
    }

    /// How many files were opened past the page cache.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// How many the file system would not have opened so: they are ordinary ones.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The first of those.
    pub fn first_refused(&self) -> Option<&Path> {
        self.first_refused.get().map(PathBuf::as_path)
    }
}

/// Writes a file that was opened with `CreateDirect`, front to back. Dropped before `finish` it leaves less than it was
/// given.
pub struct AlignedWriter {
    file: Arc<dyn File>,
    block: usize,
    buffer: AlignedBuffer,
    /// Bytes written with one call: some blocks.
    write_len: usize,
    /// Bytes in the buffer, and where in the file they belong.
    staged: usize,
    offset: u64,
}

impl AlignedWriter {
    /// Writes to `file`, about `write_len` bytes with one call.
    pub fn new(file: Arc<dyn File>, write_len: usize) -> AlignedWriter {
        let block = file.alignment().max(PAGE);
        let write_len = write_len.max(1).next_multiple_of(block);
        AlignedWriter { file, block, buffer: AlignedBuffer::new(), write_len, staged: 0, offset: 0 }
    }

    /// Appends `bytes`. After an error the writer must not be used again.
    pub fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.write_len - self.staged));
            let buffer = self.buffer.take(self.write_len, self.block);
            buffer[self.staged..self.staged + now.len()].copy_from_slice(now);
            self.staged += now.len();
            if self.staged == self.write_len {
                self.write(self.write_len)?;
                self.staged = 0;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Writes what is left. The file is as long as what was appended; it is not synced.
    pub fn finish(&mut self) -> Result<()> {
        let (len, end) = (self.staged, self.offset + self.staged as u64);
        if len == 0 {
            return Ok(());
        }
        let whole = len.next_multiple_of(self.block);
        self.buffer.take(self.write_len, self.block)[len..whole].fill(0);
        self.write(whole)?;
        self.staged = 0;
        if whole > len { self.file.truncate(end) } else { Ok(()) }
    }

    /// Writes the first `len` bytes of the buffer.
    fn write(&mut self, len: usize) -> Result<()> {
        let bytes = self.buffer.take(len, self.block);
        self.file.write_at(self.offset, &[IoSlice::new(bytes)])?;
        self.offset += len as u64;
        Ok(())
    }
}

/// Writes `bytes` at `offset` of a file of that length: whole blocks through `direct`, past the page cache, from memory
/// of `staging`; what lies before and behind them through `plain`. Neither writes to a block of the other, so a page in
/// the page cache never differs from what was written past it.
pub fn write_around(
    plain: &dyn File,
    direct: &dyn File,
    offset: u64,
    bytes: &[u8],
    staging: &mut AlignedBuffer,
) -> Result<()> {
    let block = direct.alignment().max(PAGE) as u64;
    let end = offset + bytes.len() as u64;
    let (first, last) = (offset.next_multiple_of(block), end - end % block);
    if last <= first {
        return plain.write_at(offset, &[IoSlice::new(bytes)]);
    }
    let (head, rest) = bytes.split_at((first - offset) as usize);
    let (whole, tail) = rest.split_at((last - first) as usize);
    if !head.is_empty() {
        plain.write_at(offset, &[IoSlice::new(head)])?;
    }
    let mut at = first;
    for piece in whole.chunks(PIECE.next_multiple_of(block as usize)) {
        let memory = staging.take(piece.len(), block as usize);
        memory.copy_from_slice(piece);
        direct.write_at(at, &[IoSlice::new(memory)])?;
        at += piece.len() as u64;
    }
    if !tail.is_empty() {
        plain.write_at(last, &[IoSlice::new(tail)])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::faulty::{Failure, Fault, FaultyEnv, OperationClass, Selection};
    use super::super::random::Random;
    use super::super::simulated::SimEnv;
    use super::*;

    #[test]
    fn what_is_wanted_decides_how_files_are_opened() {
        let (env, path) = (SimEnv::new(1), Path::new("/a"));
        for (reads, writes) in [(false, false), (true, false), (false, true), (true, true)] {
            let direct = DirectIo::new(reads, writes);
            assert_eq!(direct.create(&*env, path).unwrap().alignment() > 1, writes);
            assert_eq!(direct.open(&*env, path).unwrap().alignment() > 1, reads);
            assert_eq!(direct.open_for_writing(&*env, path).is_some(), writes);
            assert_eq!(direct.opened(), 2 * u64::from(writes) + u64::from(reads));
            assert_eq!((direct.refused(), direct.first_refused()), (0, None));
        }
        env.set_direct_alignment(1);
        let direct = DirectIo::new(true, true);
        assert!(direct.open_for_writing(&*env, path).is_none());
        assert_eq!(direct.open(&*env, path).unwrap().alignment(), 1);
        assert_eq!((direct.opened(), direct.refused(), direct.first_refused()), (0, 2, Some(path)));
        assert!(direct.open(&*env, Path::new("/b")).is_err() && direct.refused() == 2);
    }

    #[test]
    fn files_of_any_length_are_written_in_whole_blocks() {
        let (env, path) = (SimEnv::new(1), Path::new("/a"));
        for seed in 0..60 {
            let mut random = Random::new(seed);
            env.set_direct_alignment([1, 512, 4096, 16384][seed as usize % 4]);
            let file = env.open(path, OpenMode::CreateDirect).unwrap();
            let mut writer = AlignedWriter::new(file.clone(), 1 + random.below(40_000) as usize);
            let mut all = Vec::new();
            for _ in 0..random.below(30) {
                let mut bytes =
                    vec![0; random.below(if seed.is_multiple_of(3) { 60_000 } else { 4097 }) as usize];
                random.fill(&mut bytes);
                writer.append(&bytes).unwrap();
                all.extend_from_slice(&bytes);
            }
            writer.finish().unwrap();
            assert!(env.read_raw(path) == all, "seed {seed}");
            assert_eq!(file.len().unwrap(), all.len() as u64, "seed {seed}");
        }
    }

    #[test]
    fn appends_around_the_page_cache_meet_those_through_it() {
        let (env, path) = (SimEnv::new(1), Path::new("/a"));
        for seed in 0..40 {
            let mut random = Random::new(seed);
            env.set_direct_alignment([1, 512, 4096, 16384][seed as usize % 4]);
            let plain = env.open(path, OpenMode::Create).unwrap();
            let direct = env.open(path, OpenMode::ReadWriteDirect).unwrap();
            let (mut all, mut staging) = (Vec::new(), AlignedBuffer::new());
            for _ in 0..20 {
                let longest = [100, 5000, 20_000, PIECE as u64 + 9000][random.below(4) as usize];
                let mut bytes = vec![0; 1 + random.below(longest) as usize];
                random.fill(&mut bytes);
                let offset = all.len() as u64;
                if random.below(4) == 0 {
                    plain.write_at(offset, &[IoSlice::new(&bytes)]).unwrap();
                } else {
                    write_around(&*plain, &*direct, offset, &bytes, &mut staging).unwrap();
                }
                all.extend_from_slice(&bytes);
            }
            assert!(env.read_raw(path) == all, "seed {seed}");
        }
    }

    #[test]
    fn a_failed_write_is_told() {
        let env = FaultyEnv::new(SimEnv::new(1));
        let path = Path::new("/a");
        for nth in 0..4 {
            let plain = env.open(path, OpenMode::Create).unwrap();
            let direct = env.open(path, OpenMode::ReadWriteDirect).unwrap();
            let selection = Selection::of(&[OperationClass::Write]);
            let failure = Failure::ShortWrite(libc::ENOSPC);
            env.plan().arm(Fault { selection, nth, failure, lasting: false });
            let bytes = vec![7; 2 * PIECE];
            let outcome = write_around(&*plain, &*direct, 10, &bytes, &mut AlignedBuffer::new());
            assert_eq!(outcome.unwrap_err().errno(), Some(libc::ENOSPC), "write {nth}");
            let mut writer = AlignedWriter::new(env.open(path, OpenMode::CreateDirect).unwrap(), 8192);
            env.plan().arm(Fault {
                selection: Selection::of(&[OperationClass::Write, OperationClass::Truncate]),
                nth,
                failure,
                lasting: false,
            });
            let outcome = writer.append(&[7; 17_000]).and_then(|()| writer.finish());
            assert_eq!(outcome.err().and_then(|error| error.errno()), Some(libc::ENOSPC), "operation {nth}");
        }
    }
}
