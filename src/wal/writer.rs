//! Appends frames to one log file and syncs it.

use super::format::{self, FIRST_FRAME, KIND_CONTINUATION, KIND_FRAME, KIND_FRAME_WITH_MARK, KIND_HEADER};
use super::{DurableMark, WalHeader, WalPosition};
use crate::base::file_name::{FileKind, path_of};
use crate::base::{Error, Result};
use crate::env::{Env, OpenMode};
use crate::record::{DurableFile, HEADER_LEN, RecordWriter, Way};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Room that `has_room` leaves for a mark. A longer one is left out near the end of a mapped file.
const MARK_ROOM: u64 = 1024;

/// Written pages of a mapped log are let go so many bytes at a time.
const RELEASED_AT_ONCE: u64 = 1 << 20;

/// A log with fewer bytes than this in no sync, though it was synced before, is synced often.
const SYNCED_OFTEN: u64 = 128 << 10;

/// Zeros put behind what is written to a new file and synced, at once: where they stand, a sync has nothing to note in
/// the file system, which takes longer than they do.
const CLEARED_AT_ONCE: u64 = 256 << 10;

/// How a log file is written.
#[derive(Clone, Copy, Debug)]
pub struct WalWriterOptions {
    /// Map a preallocated file; plain writes otherwise, or where it cannot be mapped.
    pub mapped: bool,
    /// Bytes preallocated, and how long the file may grow when mapped. For a frame that does not fit, rotate to a
    /// file of at least `WalWriterOptions::capacity_for`.
    pub capacity: u64,
    /// Bytes populated at once when mapped.
    pub buffer_size: u64,
}

impl WalWriterOptions {
    /// Where the records after the header begin.
    pub const START: u64 = FIRST_FRAME;

    /// The capacity a new file needs to have room for a frame with a payload of `len` bytes.
    pub fn capacity_for(len: usize) -> u64 {
        FIRST_FRAME + HEADER_LEN as u64 + MARK_ROOM + len as u64
    }
}

/// Appends frames to one log file. One thread appends at a time (`&mut`); the syncer syncs through a `WalSyncer`.
pub struct WalWriter {
    records: RecordWriter,
    path: Arc<PathBuf>,
    /// How long the file may grow, where it is mapped.
    capacity: Option<u64>,
    buffer_size: u64,
    /// Has given up its name.
    is_put_by: bool,
    /// Up to here the mapping was populated.
    populated: Arc<AtomicU64>,
    /// Up to here its pages were let go.
    released: Arc<AtomicU64>,
    /// The last frame was written for a sync.
    was_for_sync: bool,
    /// Reused to encode marks.
    mark: Vec<u8>,
}

/// Syncs a log file from another thread while appends go on.
#[derive(Clone)]
pub struct WalSyncer {
    file: Arc<DurableFile>,
    path: Arc<PathBuf>,
    number: u64,
}

/// Makes pages of a mapped log ready from another thread while appends go on, and lets written ones go. One thread at
/// a time does.
#[derive(Clone)]
pub struct WalPages {
    file: Arc<DurableFile>,
    capacity: u64,
    piece: u64,
    populated: Arc<AtomicU64>,
    released: Arc<AtomicU64>,
}

impl WalWriter {
    /// Creates the file with its header. It gets its name when the header is durable, and the name is durable when
    /// this returns (R7): a log file without a whole header was damaged, never torn (L3).
    pub fn create(
        env: &dyn Env,
        dir: &Path,
        header: &WalHeader,
        options: WalWriterOptions,
    ) -> Result<WalWriter> {
        let temporary = path_of(dir, FileKind::Temporary(header.number));
        let path = path_of(dir, FileKind::Wal(header.number));
        let created = WalWriter::create_as(env, &temporary, &path, header, options).and_then(|writer| {
            env.sync_dir(dir)?;
            Ok(writer)
        });
        if created.is_err() {
            // Replay passes over a log without frames; removing it only keeps the directory tidy.
            let _ = env.remove_file(&temporary);
            let _ = env.remove_file(&path);
        }
        created
    }

    /// As `create`, in the file of `old`, a log that is not needed any more and that nobody else holds (`put_by` and
    /// `is_free`); `header` says that it is made ahead. Its blocks are written and its pages are in memory.
    ///
    /// What the old log left there is no part of this one: all records after the header are bound to a salt drawn now,
    /// and zeros follow each.
    pub fn create_in(env: &dyn Env, dir: &Path, header: &WalHeader, old: WalWriter) -> Result<WalWriter> {
        let path = path_of(dir, FileKind::Wal(header.number));
        let temporary = old.path.clone();
        let created = WalWriter::create_over(env, &path, header, old).and_then(|writer| {
            env.sync_dir(dir)?;
            Ok(writer)
        });
        if created.is_err() {
            let _ = env.remove_file(&temporary);
            let _ = env.remove_file(&path);
        }
        created
    }

    fn create_over(env: &dyn Env, path: &Path, header: &WalHeader, old: WalWriter) -> Result<WalWriter> {
        assert!(old.is_free() && old.is_put_by, "a log's file is used again when nobody needs the log");
        let (capacity, buffer_size) = (old.capacity, old.buffer_size);
        let file = old.records.file().file().clone();
        // Nobody finds the old log under its name any more, whatever the system lost from here on.
        env.sync_dir(path.parent().unwrap_or(Path::new(".")))?;
        let salt = env.random().max(1);
        let mut records = RecordWriter::over(file, header.number, capacity.unwrap_or(0));
        records.append(KIND_HEADER, &[&format::encode_header(header, salt)])?;
        records.sync()?;
        records.bind_to(salt);
        env.rename(&old.path, path)?;
        Ok(WalWriter::new(records, path, capacity, buffer_size))
    }

    /// Takes its name from a full log that is not needed any more, so that its file can be used again (`create_in`).
    /// Whoever looks for the log finds it gone before its bytes change.
    pub fn put_by(&mut self, env: &dyn Env, dir: &Path) -> Result<()> {
        let temporary = path_of(dir, FileKind::Temporary(self.records.number()));
        env.rename(&self.path, &temporary)?;
        self.path = Arc::new(temporary);
        self.is_put_by = true;
        Ok(())
    }

    /// Whether nobody else syncs the file or makes its pages ready, and syncs of it do not fail.
    pub fn is_free(&self) -> bool {
        Arc::strong_count(self.records.file()) == 1 && !self.has_failed()
    }

    /// Whether a sync of the file has failed.
    pub fn has_failed(&self) -> bool {
        self.records.file().has_failed()
    }

    fn new(records: RecordWriter, path: &Path, capacity: Option<u64>, buffer_size: u64) -> WalWriter {
        let path = Arc::new(path.to_path_buf());
        let (populated, released) = (Arc::default(), Arc::default());
        WalWriter {
            records,
            path,
            capacity,
            buffer_size,
            is_put_by: false,
            populated,
            released,
            was_for_sync: false,
            mark: Vec::new(),
        }
    }

    fn create_as(
        env: &dyn Env,
        temporary: &Path,
        path: &Path,
        header: &WalHeader,
        options: WalWriterOptions,
    ) -> Result<WalWriter> {
        let capacity = options.capacity.max(WalWriterOptions::capacity_for(0));
        let mode = if options.mapped { OpenMode::CreateMapped { capacity } } else { OpenMode::Create };
        let file = env.open(temporary, mode)?;
        let capacity = file.is_mapped().then_some(capacity);
        let mut records = RecordWriter::new(file, header.number, 0);
        records.append(KIND_HEADER, &[&format::encode_header(header, 0)])?;
        records.sync()?;
        env.rename(temporary, path)?;
        Ok(WalWriter::new(records, path, capacity, options.buffer_size))
    }

    /// Takes a file into use that was made with `Previous::ToldLater`: `previous` is where the log before it ended.
    /// Before any frame. After an error the file is not to be used.
    pub fn continue_from(&mut self, previous: WalPosition) -> Result<()> {
        assert!(self.records.offset() == FIRST_FRAME, "a log continues another from its beginning");
        let payload = format::encode_continuation(previous);
        self.records.append(KIND_CONTINUATION, &[&payload]).map_err(|error| error.in_file(&self.path))?;
        Ok(())
    }

    /// Appends one frame; the payload is the concatenation of `parts`. Returns the position after it. After a
    /// failed write or sync the writer is finished: every later append is the same error. Without room in a mapped
    /// file (see `has_room`) nothing is written and it is `InvalidArgument`.
    #[inline]
    pub fn append(&mut self, parts: &[&[u8]], mark: Option<&DurableMark>) -> Result<WalPosition> {
        self.append_frame(parts, mark, false)
    }

    /// As `append`; `for_sync`: a sync is to follow at once.
    #[inline]
    pub fn append_frame(
        &mut self,
        parts: &[&[u8]],
        mark: Option<&DurableMark>,
        for_sync: bool,
    ) -> Result<WalPosition> {
        self.was_for_sync = self.capacity.is_some() && (for_sync || self.is_synced_often());
        let end = match mark {
            None => self.append_record(KIND_FRAME, parts)?,
            Some(mark) => self.append_with_mark(parts, mark)?,
        };
        Ok(WalPosition { log: self.records.number(), offset: end })
    }

    #[inline]
    fn append_record(&mut self, kind: u8, parts: &[&[u8]]) -> Result<u64> {
        if let Some(capacity) = self.capacity {
            let len: usize = parts.iter().map(|part| part.len()).sum();
            if self.end_with(len) > capacity {
                return Err(self.no_room(len));
            }
        }
        let way = self.way(parts);
        // The file was opened under its temporary name.
        self.records.append_in(way, kind, parts).map_err(|error| error.in_file(&self.path))
    }

    fn append_with_mark(&mut self, parts: &[&[u8]], mark: &DurableMark) -> Result<u64> {
        let mut bytes = std::mem::take(&mut self.mark);
        bytes.clear();
        format::encode_mark(mark, &mut bytes);
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let fits = self.capacity.is_none_or(|capacity| self.end_with(len + bytes.len()) <= capacity);
        let end = if !fits {
            // A mark only says sooner what a later one says again; the frame must not fail for it.
            self.append_record(KIND_FRAME, parts)
        } else if let [part] = parts {
            self.append_record(KIND_FRAME_WITH_MARK, &[&bytes, part])
        } else {
            let mut pieces = Vec::with_capacity(parts.len() + 1);
            pieces.push(&bytes[..]);
            pieces.extend_from_slice(parts);
            self.append_record(KIND_FRAME_WITH_MARK, &pieces)
        };
        self.mark = bytes;
        end
    }

    /// Through the mapping, or with a call where a sync is to write just that.
    #[inline]
    fn way(&self, parts: &[&[u8]]) -> Way {
        match self.capacity {
            Some(capacity) if self.was_for_sync => {
                let len: usize = parts.iter().map(|part| part.len()).sum();
                Way::ForSync { cleared: self.end_with(len).next_multiple_of(CLEARED_AT_ONCE).min(capacity) }
            }
            _ => Way::Any,
        }
    }

    /// Whether the file was synced not long before its end.
    #[inline]
    fn is_synced_often(&self) -> bool {
        let durable = self.durable_len();
        durable > FIRST_FRAME && self.records.offset() - durable < SYNCED_OFTEN
    }

    /// Whether the last frame was written with a call, though the file is mapped: pages need not be made ready.
    pub fn was_for_sync(&self) -> bool {
        self.was_for_sync
    }

    /// Where a frame with `len` bytes would end.
    #[inline]
    fn end_with(&self, len: usize) -> u64 {
        (self.records.offset() + HEADER_LEN as u64).saturating_add(len as u64)
    }

    #[cold]
    fn no_room(&self, len: usize) -> Error {
        Error::invalid_argument(format!(
            "no room for {len} bytes in log {}: rotate first",
            self.records.number()
        ))
    }

    /// What makes its pages ready ahead; `None` if it is not mapped.
    pub fn pages(&self) -> Option<WalPages> {
        self.capacity.map(|capacity| WalPages {
            file: self.records.file().clone(),
            capacity,
            piece: self.buffer_size.max(1),
            populated: self.populated.clone(),
            released: self.released.clone(),
        })
    }

    /// Whether the file can hold a later log (`put_by`): one that may grow to `capacity`, and that can be written over
    /// however full the device is.
    pub fn is_reusable(&self, capacity: u64) -> bool {
        self.capacity == Some(capacity) && self.records.file().file().is_written_in_place()
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a frame with a payload of `len` bytes still fits (always true when not mapped).
    #[inline]
    pub fn has_room(&self, len: usize) -> bool {
        self.capacity.is_none_or(|capacity| self.end_with(len).saturating_add(MARK_ROOM) <= capacity)
    }

    /// The position after the last frame.
    #[inline]
    pub fn position(&self) -> WalPosition {
        WalPosition { log: self.records.number(), offset: self.records.offset() }
    }

    /// Up to where the file is durable.
    #[inline]
    pub fn durable_len(&self) -> u64 {
        self.records.file().durable_len()
    }

    /// A handle that syncs.
    pub fn syncer(&self) -> WalSyncer {
        WalSyncer {
            file: self.records.file().clone(),
            path: self.path.clone(),
            number: self.records.number(),
        }
    }

    /// Cuts the preallocated rest off, and what a failed append left, and lets its pages go. Does not sync.
    pub fn finish(self) -> Result<WalPosition> {
        let position = self.position();
        let file = self.records.file().file();
        file.release(self.released.load(Ordering::Relaxed), self.capacity.unwrap_or(0));
        if file.is_mapped() || file.len()? != position.offset {
            file.truncate(position.offset).map_err(|error| error.in_file(&self.path))?;
        }
        Ok(position)
    }
}

impl WalSyncer {
    /// Has the system begin to write what a `sync` that follows will wait for.
    pub fn begin_sync(&self) {
        self.file.begin_sync();
    }

    /// Makes everything appended before the call durable. A failure is final for the file (R6): every later call
    /// is the same error, with subcode `SyncUnknown`, and so is every later append.
    pub fn sync(&self) -> Result<()> {
        self.file.sync().map(|_| ()).map_err(|error| error.in_file(&self.path))
    }

    /// The file's number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether nobody else holds the file, so that it is closed and unmapped with this.
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.file) == 1
    }

    /// Where the file is durable up to.
    pub fn durable(&self) -> WalPosition {
        WalPosition { log: self.number, offset: self.file.durable_len() }
    }
}

impl WalPages {
    /// Populates up to `to`, in whole pieces, and lets go what is written.
    pub fn populate(&self, to: u64) {
        let to = to.min(self.capacity).next_multiple_of(self.piece).min(self.capacity);
        // What is written already needs nothing, and may have been let go.
        let mut from = self.populated().max(self.file.appended_len());
        while from < to {
            // From the end of a piece to that of the next.
            let end = (from / self.piece + 1).saturating_mul(self.piece).min(to);
            self.file.file().populate(from, end);
            self.populated.store(end, Ordering::Relaxed);
            from = end;
        }
        self.release();
    }

    /// Written pages stay in the page cache; mapped, they would count as this process's memory too.
    fn release(&self) {
        let written = self.file.appended_len();
        let (from, to) = (self.released(), written - written % RELEASED_AT_ONCE);
        if from < to {
            self.file.file().release(from, to);
            self.released.store(to, Ordering::Relaxed);
        }
    }

    /// Up to where pages were let go.
    pub fn released(&self) -> u64 {
        self.released.load(Ordering::Relaxed)
    }

    /// Up to where it was populated.
    pub fn populated(&self) -> u64 {
        self.populated.load(Ordering::Relaxed)
    }

    /// How long the file may grow.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Bytes populated at once.
    pub fn piece(&self) -> u64 {
        self.piece
    }
}
