//! A scan that reads values ahead of its caller.
//!
//! 1. The caller moves and reads values one by one. When it has read the values of a few entries in a row from the
//!    value log, the next move takes a batch: the scan runs ahead over the entries that follow, and their keys and
//!    pointers are copied. From then on the caller moves within the batch, and behind its end is where the scan stands.
//! 2. The pointers of a batch are sorted by place and read together (`value_log::ReadAhead`), but no value is read
//!    before one is asked for. Batches double in size up to a limit, and are small again after a seek, a turn, or an
//!    entry whose value was not wanted.
//! 3. A turn, or a seek, drops the batch; a turn puts the scan beside the entry shown.
//!
//! Moves take batches and `value` does not, so a key lent stays where it is until the next move.
//!
//! What comes ahead can fail, end, or be far away behind deleted entries. A batch ends there: an error is told when the
//! caller has come to it, and a long search is put off until then.
//!
//! Of a batch in which something expires nothing is shown in a later second than it was taken in: the scan goes back to
//! the entry shown and judges anew.
//!
//! Invariant H1: with and without batches the caller sees the same keys, values and errors at the same moves.

use super::ReadMode;
use super::pinned::PinnedValue;
use super::scan::{Direction, ScanIterator, Stored};
use crate::base::{Result, ValuePointer};
use crate::value_log::ReadAhead;
use std::ops::Range;

/// Values read in a row after which batches are taken.
const READS_BEFORE_BATCH: u32 = 3;
/// Entries of the first batch.
const FIRST_BATCH: usize = 4;
/// Entries of the largest.
const LARGEST_BATCH: usize = 2048;
/// A batch ends with the record that reaches this.
const BATCH_BYTES: u64 = 1 << 20;
/// A batch ends when so much has been copied: keys, pointers and values that are not in the value log.
const COPIED_BYTES: usize = 256 << 10;
/// A larger batch belongs to a long scan, whose values push nothing out of the cache.
const SHORT_SCAN_BATCH: usize = 64;
/// Entries not shown that are passed in search of the next one for a batch.
const PATIENCE: usize = 1000;

/// An entry of a batch, in its bytes.
struct Entry {
    key: Range<usize>,
    value: Range<usize>,
    is_pointer: bool,
}

/// Entries that the scan has passed and the caller has not.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// The one shown; none if it is behind the last.
    at: usize,
}

impl Batch {
    #[inline]
    fn current(&self) -> Option<&Entry> {
        self.entries.get(self.at)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.at = 0;
    }

    fn push(&mut self, key: &[u8], value: &[u8], is_pointer: bool) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.entries.push(Entry { key: start..middle, value: middle..self.bytes.len(), is_pointer });
    }
}

/// Which values of a batch are kept in the cache.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    /// Those that are dear to read again.
    Large,
    None,
}

/// Where the value of the batch's entry is, once it was asked for.
enum Shown {
    Nothing,
    Ahead,
    Pinned(PinnedValue),
}

/// Moves over the visible entries, both ways.
pub struct Scan {
    /// Stands behind the batch, if there is one.
    entries: ScanIterator,
    batch: Batch,
    /// The second in which the batch was taken, if something in it expires.
    judged_at: Option<u64>,
    ahead: ReadAhead,
    shown: Shown,
    direction: Direction,
    /// Separated values read in a row, up to the entry before this one.
    reads: u32,
    /// Whether this entry's value was asked for.
    asked: bool,
    /// Entries of the next batch.
    batch_len: usize,
    kept: Kept,
}

impl Scan {
    /// Over what `entries` shows; not positioned.
    pub fn new(entries: ScanIterator) -> Scan {
        Scan {
            entries,
            batch: Batch::default(),
            judged_at: None,
            ahead: ReadAhead::default(),
            shown: Shown::Nothing,
            direction: Direction::Forward,
            reads: 0,
            asked: false,
            batch_len: FIRST_BATCH,
            kept: Kept::All,
        }
    }

    /// Whether it stands on an entry.
    #[inline]
    pub fn valid(&self) -> bool {
        self.batch.current().is_some() || self.entries.valid()
    }

    /// What went wrong, if anything.
    pub fn status(&self) -> Result<()> {
        match self.batch.current() {
            Some(_) => Ok(()),
            None => self.entries.status(),
        }
    }

    /// The key shown; until the next move.
    #[inline]
    pub fn key(&self) -> &[u8] {
        match self.batch.current() {
            Some(entry) => &self.batch.bytes[entry.key.clone()],
            None => self.entries.key(),
        }
    }

    /// The value shown; until the next move. Reads the value log on first use; after a failed read it is not valid.
    pub fn value(&mut self) -> &[u8] {
        let Some(entry) = self.batch.current() else {
            self.asked = true;
            return self.entries.value();
        };
        let value = entry.value.clone();
        if !entry.is_pointer {
            return &self.batch.bytes[value];
        }
        if !self.asked {
            self.asked = true;
            match self.read() {
                Ok(shown) => self.shown = shown,
                Err(error) => {
                    self.drop_batch();
                    self.entries.fail(error);
                }
            }
        }
        match &self.shown {
            Shown::Nothing => &[],
            Shown::Ahead => self.ahead.value(),
            Shown::Pinned(value) => value,
        }
    }

    /// The value of the batch's entry.
    fn read(&mut self) -> Result<Shown> {
        let (entry, fold) = (&self.batch.entries[self.batch.at], self.entries.fold());
        let (key, pointer) = (&self.batch.bytes[entry.key.clone()], &self.batch.bytes[entry.value.clone()]);
        let kept = match self.kept {
            Kept::All => true,
            Kept::Large => self.ahead.is_large(self.batch.at),
            Kept::None => false,
        };
        if self.ahead.read(&fold.value_log, self.batch.at, fold.column_family, key, kept) {
            return Ok(Shown::Ahead);
        }
        let mode = ReadMode { fill_cache: kept, ..self.entries.mode() };
        fold.resolve(key, pointer, mode).map(Shown::Pinned)
    }

    /// In a short scan all that is read, as the caller wishes. A long one keeps what the cache has room for.
    fn kept_of_batch(&self, value_bytes: u64) -> Kept {
        let cache_has_room = || self.entries.fold().value_log.cache_has_room(value_bytes);
        match self.entries.mode().fill_cache {
            true if self.batch_len <= SHORT_SCAN_BATCH => Kept::All,
            true if cache_has_room() => Kept::Large,
            _ => Kept::None,
        }
    }

    /// To the first entry within the bounds.
    pub fn seek_to_first(&mut self) {
        self.start(Direction::Forward);
        self.entries.seek_to_first();
    }

    /// To the last entry within the bounds.
    pub fn seek_to_last(&mut self) {
        self.start(Direction::Backward);
        self.entries.seek_to_last();
    }

    /// To the first entry at or after `target`.
    pub fn seek(&mut self, target: &[u8]) {
        self.start(Direction::Forward);
        self.entries.seek(target);
    }

    /// To the last entry at or before `target`.
    pub fn seek_for_prev(&mut self, target: &[u8]) {
        self.start(Direction::Backward);
        self.entries.seek_for_prev(target);
    }

    /// One on. Only when valid.
    pub fn next(&mut self) {
        self.go(Direction::Forward);
    }

    /// One back. Only when valid.
    pub fn prev(&mut self) {
        self.go(Direction::Backward);
    }

    fn start(&mut self, direction: Direction) {
        self.drop_batch();
        self.direction = direction;
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        (self.reads, self.asked, self.batch_len) = (0, false, FIRST_BATCH);
    }

    fn drop_batch(&mut self) {
        if !self.batch.entries.is_empty() {
            self.batch.clear();
            self.ahead.clear();
            self.shown = Shown::Nothing;
        }
    }

    fn go(&mut self, direction: Direction) {
        if !self.valid() {
            return;
        }
        if direction != self.direction {
            return self.turn(direction);
        }
        if self.batch.current().is_some()
            && self.judged_at.is_some_and(|then| self.entries.fold().clock.now() > then)
        {
            return self.turn(direction);
        }
        self.count_read();
        if self.batch.current().is_some() {
            self.shown = Shown::Nothing;
            self.ahead.pass(self.batch.at);
            self.batch.at += 1;
            if self.batch.current().is_some() {
                return;
            }
            self.entries.resume();
        } else {
            self.entries.step(direction, usize::MAX);
        }
        if self.reads >= READS_BEFORE_BATCH && self.entries.valid() && self.entries.mode().allow_io {
            self.take_batch();
        }
    }

    /// Notes whether the value of the entry that is left was wanted.
    fn count_read(&mut self) {
        let is_separated = match self.batch.current() {
            Some(entry) => entry.is_pointer,
            None => self.entries.is_separated(),
        };
        match (is_separated, self.asked) {
            (true, true) => self.reads = self.reads.saturating_add(1),
            (true, false) => self.begin_anew(),
            // In no case is there anything to be read ahead.
            (false, _) => {}
        }
        self.asked = false;
    }

    fn turn(&mut self, direction: Direction) {
        self.direction = direction;
        self.begin_anew();
        match self.batch.current() {
            None => self.entries.step(direction, usize::MAX),
            Some(entry) => self.entries.go_beside(&self.batch.bytes[entry.key.clone()], direction),
        }
        self.drop_batch();
    }

    /// Runs ahead from the entry that `entries` stands on.
    fn take_batch(&mut self) {
        self.batch.clear();
        self.ahead.clear();
        let now = self.entries.fold().clock.now();
        let (mut bytes, mut value_bytes) = (0, 0);
        while self.batch.entries.len() < self.batch_len
            && bytes < BATCH_BYTES
            && self.batch.bytes.len() < COPIED_BYTES
            && self.entries.valid()
        {
            let key = self.entries.key();
            let pointer = match self.entries.stored() {
                Stored::Pointer(encoded) => {
                    self.batch.push(key, encoded, true);
                    ValuePointer::decode(encoded)
                }
                Stored::Value(value) => {
                    self.batch.push(key, value, false);
                    None
                }
            };
            if let Some(pointer) = &pointer {
                bytes += u64::from(pointer.record_len);
                value_bytes += u64::from(pointer.value_len);
            }
            self.ahead.push(pointer);
            self.entries.step(self.direction, PATIENCE);
        }
        self.judged_at = self.entries.take_meets_expiring().then_some(now);
        self.ahead.plan(&self.entries.fold().value_log);
        self.kept = self.kept_of_batch(value_bytes);
        self.batch_len = (2 * self.batch_len).min(LARGEST_BATCH);
    }
}
