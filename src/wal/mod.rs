//! The write-ahead log: one file format, a writer, and replay that tells a torn tail from rot.

use crate::base::Result;
use crate::env::Env;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A byte in the log: file number, then offset. Ordered as the log was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct WalPosition {
    /// The file's number.
    pub log: u64,
    /// The offset in it.
    pub offset: u64,
}

/// What was known to be durable when a frame was written (R3): the log up to a position, and each value-log
/// segment up to an offset.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DurableMark {
    /// The log is durable up to here.
    pub wal: WalPosition,
    /// (segment, durable up to), ascending by segment.
    pub segments: Vec<(u64, u64)>,
}

/// The first bytes of a log file: ties it to its database and to the file before it (R1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalHeader {
    /// The database's identity.
    pub database: [u8; 16],
    /// This file's number.
    pub number: u64,
    /// Where the log before this one ended when this one was started; `None` for the first after an open.
    pub previous: Option<WalPosition>,
}

/// How a log file is written.
#[derive(Clone, Copy, Debug)]
pub struct WalWriterOptions {
    /// Map a preallocated file; plain writes otherwise, or where it cannot be mapped.
    pub mapped: bool,
    /// Bytes preallocated, and how long the file may grow when mapped.
    pub capacity: u64,
    /// Bytes populated ahead when mapped.
    pub buffer_size: u64,
}

/// Appends frames to one log file. One thread appends at a time (`&mut`); the syncer syncs through a `WalSyncer`.
pub struct WalWriter {
    _private: (),
}

/// Syncs a log file from another thread while appends go on.
#[derive(Clone)]
pub struct WalSyncer {
    _private: (),
}

impl WalWriter {
    /// Creates the file, writes its header and syncs the directory.
    pub fn create(
        env: &dyn Env,
        dir: &Path,
        header: &WalHeader,
        options: WalWriterOptions,
    ) -> Result<WalWriter> {
        todo!()
    }
    /// Appends one frame; the payload is the concatenation of `parts`. Returns the position after it. After an
    /// error the writer is finished: every later append is the same error.
    pub fn append(&mut self, parts: &[&[u8]], mark: Option<&DurableMark>) -> Result<WalPosition> {
        todo!()
    }
    /// Whether a frame with a payload of `len` bytes still fits (always true when not mapped).
    pub fn has_room(&self, len: usize) -> bool {
        todo!()
    }
    /// The position after the last frame.
    pub fn position(&self) -> WalPosition {
        todo!()
    }
    /// A handle that syncs.
    pub fn syncer(&self) -> WalSyncer {
        todo!()
    }
    /// Cuts the preallocated rest off. Does not sync.
    pub fn finish(self) -> Result<WalPosition> {
        todo!()
    }
}

impl WalSyncer {
    /// Makes everything appended before the call durable.
    pub fn sync(&self) -> Result<()> {
        todo!()
    }
    /// The file's number.
    pub fn number(&self) -> u64 {
        todo!()
    }
}

/// What to do at a bad frame. The numbers are RocksDB's `WALRecoveryMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryMode {
    /// Accept a torn tail of the last file only.
    TolerateCorruptedTail = 0,
    /// Any bad byte is an error.
    AbsoluteConsistency = 1,
    /// Stop at the first bad frame unless it is known to have been durable.
    PointInTime = 2,
    /// Leave bad frames out and go on.
    SkipCorrupted = 3,
}

/// A log file to replay.
#[derive(Clone, Debug)]
pub struct WalFile {
    /// Its number.
    pub number: u64,
    /// Its path.
    pub path: PathBuf,
    /// Its valid length, where the manifest sealed it at a clean close.
    pub sealed_len: Option<u64>,
}

/// One frame, as replay shows it.
pub struct ReplayFrame<'a> {
    /// Where it starts.
    pub position: WalPosition,
    /// The payload.
    pub payload: &'a [u8],
    /// Everything known durable from any valid frame of the whole log, also of later frames.
    pub durable: &'a DurableMark,
}

/// What replay found.
#[derive(Clone, Debug, Default)]
pub struct ReplayReport {
    /// Frames shown.
    pub frames: u64,
    /// Bytes after the last good frame that were not zero padding.
    pub dropped_bytes: u64,
    /// Where and why the log ended early, for the info log.
    pub ended_early: Option<(WalPosition, String)>,
}

/// Shows every frame of `files` (ascending numbers) in order. `visit` may break with a reason: the log ends before
/// that frame (a torn value); if the frame is known durable, that is a `Corruption` instead.
pub fn replay(
    env: &dyn Env,
    files: &[WalFile],
    database: [u8; 16],
    mode: RecoveryMode,
    visit: &mut dyn FnMut(&ReplayFrame<'_>) -> Result<ControlFlow<String>>,
) -> Result<ReplayReport> {
    todo!()
}
