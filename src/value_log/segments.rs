//! The segments of a value log: their files, and who holds them.
//!
//! A segment lives in three steps: found at open or created; held by any number of owners of its one handle;
//! obsolete when it is sealed and the last owner lets go. The open segment of a queue is held by the queue.
//!
//! Reads past the page cache go through a second descriptor, which the first of them opens. Values are appended
//! through the page cache, so invariant P1: of a segment of this open only pages that are durable to their end are read
//! past it. What is not durable may be in the page cache alone, for good if a sync fails, and is needed then
//! (`rescue`); what is on its way to the device need not be waited for.

use super::format::{self, SEGMENT_HEADER_LEN, SegmentHeader};
use super::lifetimes::Lifetimes;
use super::{SegmentClass, SegmentInfo};
use crate::base::error::{ErrorKind, Subcode};
use crate::base::file_name::{self, FileKind, path_of};
use crate::base::{Error, Result};
use crate::env::aligned::PAGE;
use crate::env::direct::DirectIo;
use crate::env::{Env, File, OpenMode};
use crate::record::DurableFile;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

type Obsolete = Arc<Mutex<Vec<u64>>>;

/// Keeps a segment's file from being removed. Held by memtables, table metadata and writes in flight.
/// When the last one of a sealed segment goes, the segment's number is queued for removal.
pub struct SegmentHandle {
    number: u64,
    obsolete: Obsolete,
}
/// A shared hold on a segment.
pub type SegmentRef = Arc<SegmentHandle>;

impl SegmentHandle {
    /// The segment's file number.
    #[inline]
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl std::fmt::Debug for SegmentHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "segment {}", self.number)
    }
}

impl Drop for SegmentHandle {
    fn drop(&mut self) {
        // The queue that appends to a segment holds it until it is sealed, so this one is.
        self.obsolete.lock().push(self.number);
    }
}

enum Hold {
    Never,
    /// Handed out; once the handle is gone it never comes back (V4).
    Once(Weak<SegmentHandle>),
    Removed,
    /// Its file could not be removed: the next open tries again.
    Stuck,
}

/// Who writes a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filler {
    /// Writers, through a queue: logs point into it, and their syncs cover it (W1).
    Queue,
    /// A copier: only tables point into it, once it has synced what they point to.
    Copier,
}

/// A segment's file.
pub(super) struct Segment {
    pub number: u64,
    pub file: DurableFile,
    /// For reads past the page cache.
    direct: OnceLock<Arc<dyn File>>,
    sealed: AtomicBool,
    /// Created since open, not found.
    pub created: bool,
    pub class: SegmentClass,
    filler: Filler,
    /// When it was created, by the clock of bytes, and when its values were written, on average.
    pub created_at: u64,
    birth: AtomicU64,
    /// Flushes and compactions that have written values to it which no installed table refers to yet.
    arriving: AtomicU32,
    /// Where it ended when there was none of them.
    arrived_len: AtomicU64,
    since: Duration,
    header_damaged: bool,
    hold: Mutex<Hold>,
    /// What an earlier open left is durable, and is read from the device.
    pub settled: Mutex<bool>,
}

impl Segment {
    pub fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// A flush or a compaction begins to write to it. Until `has_arrived` that counts as one whose tables are not
    /// installed.
    pub fn expect(&self) {
        if self.arriving.fetch_add(1, Ordering::AcqRel) == 0 {
            self.arrived_len.store(self.file.appended_len(), Ordering::Release);
        }
    }

    /// Whether something is expected, and its length without that.
    fn arrival(&self) -> (bool, u64) {
        match self.arriving.load(Ordering::Acquire) > 0 {
            true => (true, self.arrived_len.load(Ordering::Acquire)),
            false => (false, self.file.appended_len()),
        }
    }

    pub fn has_arrived(&self) {
        let before = self.arriving.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "segment {}: nothing was expected", self.number);
    }

    /// What the bytes before `end` are read through (P1).
    #[inline]
    pub fn reader(&self, env: &dyn Env, direct: &DirectIo, end: u64) -> &Arc<dyn File> {
        if direct.reads() { self.direct_reader(env, direct, end) } else { self.file.file() }
    }

    fn direct_reader(&self, env: &dyn Env, direct: &DirectIo, end: u64) -> &Arc<dyn File> {
        let plain = self.file.file();
        if self.created {
            // In this order: what is appended after the first look makes the second one stricter only.
            let sealed = self.sealed.load(Ordering::Acquire);
            let durable = self.file.durable_len();
            let is_whole = sealed && durable == self.file.appended_len();
            if end.next_multiple_of(PAGE as u64) > durable && !is_whole {
                return plain;
            }
        }
        if let Some(file) = self.direct.get() {
            return file;
        }
        // Without descriptors to spare it goes on as it was.
        direct.open(env, plain.path()).map_or(plain, |file| self.direct.get_or_init(|| file))
    }

    pub fn birth(&self) -> u64 {
        self.birth.load(Ordering::Relaxed)
    }

    /// Says when the values in it were written, on average.
    pub fn set_birth(&self, birth: u64) {
        self.birth.store(birth, Ordering::Relaxed);
    }

    fn holders(&self) -> usize {
        match &*self.hold.lock() {
            Hold::Once(handle) => handle.strong_count(),
            Hold::Never | Hold::Removed | Hold::Stuck => 0,
        }
    }

    fn is_held(&self) -> bool {
        matches!(&*self.hold.lock(), Hold::Once(handle) if handle.strong_count() > 0)
    }

    fn is_leaving(&self) -> bool {
        match &*self.hold.lock() {
            Hold::Once(handle) => handle.strong_count() == 0,
            Hold::Removed => true,
            Hold::Never | Hold::Stuck => false,
        }
    }
}

/// All segments by number.
pub(super) struct Registry {
    dir: PathBuf,
    segments: RwLock<BTreeMap<u64, Arc<Segment>>>,
    obsolete: Obsolete,
}

impl Registry {
    /// Finds the segments in `dir`. Gives the bytes of all too.
    pub fn open(env: &dyn Env, dir: &Path, database: &[u8; 16]) -> Result<(Registry, u64)> {
        let mut segments = BTreeMap::new();
        // Opening writes nothing; `create` makes the directory.
        for name in names_in(env, dir)? {
            if let Some(FileKind::Segment(number)) = file_name::parse(&name) {
                let file = env.open(&dir.join(&name), OpenMode::Read)?;
                segments.insert(number, found_segment(file, number, database, env.now())?);
            }
        }
        let mut bytes: u64 = 0;
        for segment in segments.values_mut() {
            // The best that is known: they were written one after another.
            segment.created_at = Lifetimes::time_of_found(bytes);
            segment.set_birth(segment.created_at);
            bytes = bytes.saturating_add(segment.file.appended_len());
        }
        let segments = segments.into_iter().map(|(number, segment)| (number, Arc::new(segment))).collect();
        let obsolete = Arc::default();
        Ok((Registry { dir: dir.to_path_buf(), segments: RwLock::new(segments), obsolete }, bytes))
    }

    pub fn path(&self, number: u64) -> PathBuf {
        path_of(&self.dir, FileKind::Segment(number))
    }

    /// Creates a segment with a durable header and directory entry (V3), at `now` of the clock of bytes. One that a
    /// copier fills is synced by whoever has it filled, when it names it, and by nobody else.
    pub fn create(
        &self,
        env: &dyn Env,
        number: u64,
        database: &[u8; 16],
        (class, filler): (SegmentClass, Filler),
        now: u64,
    ) -> Result<(Arc<Segment>, SegmentRef)> {
        let (path, temporary) = (self.path(number), path_of(&self.dir, FileKind::Temporary(number)));
        let file = match self.create_file(
            env,
            &format::encode_segment_header(database, number, class),
            &temporary,
            &path,
        ) {
            Ok(file) => file,
            Err(error) => {
                // Nothing points into it; if it stays, the next open sweeps it.
                let _ = env.remove_file(&temporary);
                let _ = env.remove_file(&path);
                return Err(error);
            }
        };
        let handle = Arc::new(SegmentHandle { number, obsolete: self.obsolete.clone() });
        let segment = Arc::new(Segment {
            number,
            file: DurableFile::new(file, SEGMENT_HEADER_LEN, SEGMENT_HEADER_LEN),
            direct: OnceLock::new(),
            sealed: AtomicBool::new(false),
            created: true,
            class,
            filler,
            created_at: now,
            birth: AtomicU64::new(now),
            arriving: AtomicU32::new(0),
            arrived_len: AtomicU64::new(0),
            since: env.now(),
            header_damaged: false,
            hold: Mutex::new(Hold::Once(Arc::downgrade(&handle))),
            settled: Mutex::new(true),
        });
        self.segments.write().insert(number, segment.clone());
        Ok((segment, handle))
    }

    /// The file gets its name when its header is durable: what has the name and another identity was misplaced.
    fn create_file(
        &self,
        env: &dyn Env,
        header: &[u8],
        temporary: &Path,
        path: &Path,
    ) -> Result<Arc<dyn File>> {
        env.create_dir_all(&self.dir)?;
        let file = env.open(temporary, OpenMode::Create)?;
        file.write_at(0, &[std::io::IoSlice::new(header)])?;
        file.sync_data()?;
        drop(file);
        env.rename(temporary, path)?;
        env.sync_dir(&self.dir)?;
        // Under its own name, for messages.
        env.open(path, OpenMode::ReadWrite)
    }

    #[inline]
    pub fn get(&self, number: u64) -> Option<Arc<Segment>> {
        self.segments.read().get(&number).cloned()
    }

    pub fn hold(&self, number: u64) -> Option<SegmentRef> {
        let segment = self.get(number)?;
        let mut hold = segment.hold.lock();
        match &*hold {
            Hold::Once(handle) => handle.upgrade(),
            Hold::Removed | Hold::Stuck => None,
            Hold::Never => {
                let handle = Arc::new(SegmentHandle { number, obsolete: self.obsolete.clone() });
                *hold = Hold::Once(Arc::downgrade(&handle));
                Some(handle)
            }
        }
    }

    /// The segments with bytes that are not durable, among the named ones or all.
    pub fn unsynced(&self, numbers: Option<&[u64]>) -> Vec<Arc<Segment>> {
        let segments = self.segments.read();
        let is_unsynced = |segment: &&Arc<Segment>| {
            let file = &segment.file;
            file.appended_len() > file.durable_len() || (file.has_failed() && !file.is_abandoned())
        };
        match numbers {
            Some(numbers) => numbers
                .iter()
                .filter_map(|number| segments.get(number))
                .filter(is_unsynced)
                .cloned()
                .collect(),
            None => {
                segments.values().filter(|s| s.filler == Filler::Queue).filter(is_unsynced).cloned().collect()
            }
        }
    }

    pub fn failed(&self) -> Vec<(u64, u64)> {
        let segments = self.segments.read();
        let failed =
            segments.values().filter(|segment| segment.file.has_failed() && !segment.file.is_abandoned());
        failed.map(|segment| (segment.number, segment.file.durable_len())).collect()
    }

    pub fn durable_marks(&self) -> Vec<(u64, u64)> {
        let segments = self.segments.read();
        let marks = segments.values().map(|segment| (segment, segment.file.durable_len()));
        // Marks are about what logs point to.
        let known = marks.filter(|(segment, durable)| {
            (segment.created || *durable > 0) && segment.filler == Filler::Queue
        });
        known.map(|(segment, durable)| (segment.number, durable)).collect()
    }

    pub fn take_obsolete(&self) -> Vec<u64> {
        std::mem::take(&mut *self.obsolete.lock())
    }

    pub fn has_obsolete(&self) -> bool {
        !self.obsolete.lock().is_empty()
    }

    pub fn unheld(&self) -> Vec<u64> {
        let segments = self.segments.read();
        let unheld = segments.values().filter(|segment| matches!(*segment.hold.lock(), Hold::Never));
        unheld.map(|segment| segment.number).collect()
    }

    pub fn damaged_headers(&self) -> Vec<u64> {
        let segments = self.segments.read();
        segments.values().filter(|segment| segment.header_damaged).map(|segment| segment.number).collect()
    }

    pub fn infos(&self, now: u64) -> Vec<SegmentInfo> {
        let segments = self.segments.read();
        let info = |segment: &Arc<Segment>| {
            let (is_arriving, arrived_len) = segment.arrival();
            SegmentInfo {
                number: segment.number,
                len: segment.file.appended_len(),
                arrived_len,
                sealed: segment.sealed.load(Ordering::Acquire),
                is_leaving: segment.is_leaving(),
                class: segment.class,
                age: now.saturating_sub(segment.created_at),
                holders: segment.holders(),
                is_arriving,
                since: segment.since,
            }
        };
        segments.values().map(info).collect()
    }

    pub fn remove(&self, env: &dyn Env, number: u64) -> Result<u64> {
        let path = self.path(number);
        let Some(segment) = self.get(number) else {
            return Err(Error::not_found("no such value-log segment").in_file(&path));
        };
        if segment.is_held() {
            return Err(
                Error::new(ErrorKind::Busy, "the segment is held: values in it are in use").in_file(&path)
            );
        }
        *segment.hold.lock() = Hold::Removed;
        match env.remove_file(&path) {
            Err(error) if error.subcode() != Subcode::MissingFile => {
                *segment.hold.lock() = Hold::Stuck;
                return Err(error);
            }
            _ => {}
        }
        self.segments.write().remove(&number);
        Ok(segment.file.appended_len())
    }
}

/// The names in `dir`; none if there is no such directory.
fn names_in(env: &dyn Env, dir: &Path) -> Result<Vec<String>> {
    match env.list(dir) {
        Err(error) if error.subcode() == Subcode::MissingFile => Ok(Vec::new()),
        listed => listed,
    }
}

/// The identity of the database that the segments in `dir` belong to, from the first whole header; `None` if there
/// is none.
pub fn database_of(env: &dyn Env, dir: &Path) -> Result<Option<[u8; 16]>> {
    let mut numbers: Vec<u64> = names_in(env, dir)?
        .iter()
        .filter_map(|name| match file_name::parse(name) {
            Some(FileKind::Segment(number)) => Some(number),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    for number in numbers {
        let file = env.open(&path_of(dir, FileKind::Segment(number)), OpenMode::Read)?;
        let mut bytes = [0; SEGMENT_HEADER_LEN as usize];
        if file.read_at(0, &mut bytes)? == bytes.len()
            && let SegmentHeader::Known { database, .. } = format::decode_segment_header(&bytes, number)
        {
            return Ok(Some(database));
        }
    }
    Ok(None)
}

/// A segment of an earlier open. What of it is durable is not known: the next sync that covers it finds out.
fn found_segment(file: Arc<dyn File>, number: u64, database: &[u8; 16], since: Duration) -> Result<Segment> {
    let mut len = file.len()?;
    let mut header_damaged = true;
    let mut class = SegmentClass::New;
    if len < SEGMENT_HEADER_LEN {
        // Cut since it was created: there is no record in it.
        len = 0;
    } else {
        let mut bytes = [0; SEGMENT_HEADER_LEN as usize];
        file.read_exact_at(0, &mut bytes)?;
        let header = format::decode_segment_header(&bytes, number);
        if let SegmentHeader::Known { class: known, .. } = &header {
            class = *known;
        }
        header_damaged = check_segment_header(header, &*file, database)?;
    }
    Ok(Segment {
        number,
        file: DurableFile::new(file, len, 0),
        direct: OnceLock::new(),
        sealed: AtomicBool::new(true),
        created: false,
        class,
        filler: if class.is_copies() { Filler::Copier } else { Filler::Queue },
        created_at: 0,
        birth: AtomicU64::new(0),
        arriving: AtomicU32::new(0),
        arrived_len: AtomicU64::new(0),
        since,
        header_damaged,
        hold: Mutex::new(Hold::Never),
        settled: Mutex::new(false),
    })
}

/// Whether the header is damaged; an error if it is whole and the file has no business here.
fn check_segment_header(header: SegmentHeader, file: &dyn File, database: &[u8; 16]) -> Result<bool> {
    let refuse = |what: String| Err(Error::corruption(file.path(), 0, what));
    match header {
        SegmentHeader::Damaged => Ok(true),
        SegmentHeader::Known { database: own, .. } if own == *database => Ok(false),
        SegmentHeader::Known { .. } => {
            refuse("this segment belongs to another database; put the right file in its place".into())
        }
        SegmentHeader::OfSegment(claimed) => refuse(format!(
            "this is segment {claimed}: the file was renamed or copied; put the right file in its place"
        )),
        SegmentHeader::Newer(version) => {
            let what =
                format!("segment format {version} is newer than this build knows; open with a newer version");
            Err(Error::corruption(file.path(), 0, what).with_subcode(Subcode::NewerFormat))
        }
    }
}
