//! Turns a caller's batch into what is logged: big values go to the value log, pointers take their place; what expires
//! is told when.
//!
//! Runs in the caller's thread outside every lock, in one pass over the batch that also checks it: its form, that its
//! column families exist, that those with merge operands have an operator. Nothing else reaches the log. A batch
//! without a big value and without a TTL is borrowed as it is; another one is rewritten in a buffer that the caller
//! keeps. All TTLs of a batch, its records' own and those of the families, count from one second.
//!
//! A short batch that is durable when its write returns keeps its values (`BigValues::Kept`): one sync of the log is
//! enough for it, where a separated value takes one of its segment before that (W1). The flush separates them.
//!
//! Big values are gathered and appended in groups (`ValueGroup`); the records after the first value of a group wait
//! until it is appended, for they are logged in the batch's order.

use super::few::Few;
use crate::base::expiry::EXPIRY_LEN;
use crate::base::{EntryKind, Error, Result};
use crate::batch::{BatchIter, PackedOperations, Record, Rewrite, WriteBatch};
use crate::memtable::write_buffer::Hold;
use crate::value_log::{SegmentRef, ValueGroup, ValueLog};
use std::ops::Range;
use std::sync::Arc;

/// Records that wait for the values before them, at most: as many bytes of memory as a group of values takes.
const WAITING: usize = 2048;

/// What a column family asks of the records written to it.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Values of at least so many bytes are separated.
    pub separate_from: u64,
    /// Whether it has a merge operator.
    pub can_merge: bool,
    /// Seconds after which what is written without a TTL of its own expires; 0 = never.
    pub ttl: u64,
}

/// Where the big values of a batch go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BigValues {
    /// Into the value log, before the batch is logged.
    Separated,
    /// Into the log and the memtable with their batch, until the flush separates them.
    Kept,
}

/// The column families, for who writes to them.
pub trait FamilyRules {
    /// The rules of a family; `None` if there is no such family.
    fn rules(&self, column_family: u32) -> Option<Rules>;
    /// The error for a merge operand in a family without an operator.
    fn cannot_merge(&self, column_family: u32) -> Error;
    /// Seconds since 1970, for TTLs.
    fn unix_seconds(&self) -> u64;
}

/// A batch ready to commit.
pub struct Prepared<'a> {
    /// The bytes to log; the sequence field is filled in at commit.
    pub bytes: &'a [u8],
    /// Column families touched, each once.
    pub families: Few<u32>,
    /// Holds on the segments that its pointers name, by number.
    pub holds: Few<(u64, Hold)>,
    /// Counted records.
    pub count: u32,
    /// Bytes that the user wrote.
    pub user_bytes: usize,
}

/// Separates values of batches.
pub struct Separator {
    value_log: Arc<ValueLog>,
}

impl Separator {
    /// Over a value log.
    pub fn new(value_log: Arc<ValueLog>) -> Self {
        Separator { value_log }
    }

    /// Prepares a batch, in `buffer` if it has to be rewritten. On an error some values may have been appended
    /// already: they are garbage that nothing points to, and go with their segment.
    pub fn prepare<'a>(
        &self,
        batch: &'a WriteBatch,
        buffer: &'a mut Vec<u8>,
        families: &dyn FamilyRules,
        big_values: BigValues,
    ) -> Result<Prepared<'a>> {
        let mut touched = Touched::new(families, big_values);
        let mut rewrite = Rewrite::new(batch, buffer);
        let mut separation = Separation::new(&self.value_log, batch.count() as usize);
        let mut log = |place: Range<usize>, logged: Option<Logged<'_>>| {
            if let Some(Logged { column_family, kind, key, expiry, stored }) = logged {
                rewrite.replace(place, column_family, kind, key, expiry, stored);
            }
            Ok(())
        };
        let mut records = BatchIter::over(batch.data())?;
        let mut start = records.offset();
        while let Some(record) = records.next() {
            let record = record?;
            if !touched.is_logged_as_is(&record)
                && let Some(change) = touched.admit(&record)?
            {
                separation.take(start..records.offset(), Some(change), &mut log)?;
            }
            start = records.offset();
        }
        let holds = separation.finish(&mut log)?;
        let (count, user_bytes) = (batch.count(), batch.data().len());
        Ok(Prepared { bytes: rewrite.finish(), families: touched.seen, holds, count, user_bytes })
    }

    /// As `prepare`, straight from the caller's packed operations; `batch` is where the batch is built. All of them are
    /// checked before the first value is appended; an error names the operation.
    pub fn prepare_packed<'a>(
        &self,
        operations: &PackedOperations<'_>,
        batch: &'a mut WriteBatch,
        families: &dyn FamilyRules,
        big_values: BigValues,
    ) -> Result<Prepared<'a>> {
        let mut touched = Touched::new(families, big_values);
        let mut unchecked = operations.clone();
        // How much shorter the batch is than the operations; those that expire are longer.
        let (mut start, mut separated, mut expiring) = (0, 0, 0);
        while let Some(record) = unchecked.next() {
            let record = record?;
            let number = unchecked.number() - 1;
            let misplaced = |error: Error| error.context(PackedOperations::describe(number, start));
            if let Some(change) = touched.admit(&record).map_err(misplaced)? {
                separated += if change.separate { change.value.len() } else { 0 };
                expiring += EXPIRY_LEN;
            }
            start = unchecked.offset();
        }
        batch.clear();
        batch.reserve(operations.data().len() - separated + expiring);
        let mut separation = Separation::new(&self.value_log, unchecked.number());
        let mut log = |record: Record<'_>, logged: Option<Logged<'_>>| match logged {
            Some(Logged { column_family, kind, key, expiry, stored }) => {
                batch.put_entry(column_family, kind, key, expiry, stored)
            }
            None => batch.append_record(record),
        };
        for record in operations.clone() {
            let record = record?;
            let change = touched.admit(&record)?;
            separation.take(record, change, &mut log)?;
        }
        let holds = separation.finish(&mut log)?;
        let (count, user_bytes) = (batch.count(), operations.data().len());
        Ok(Prepared { bytes: batch.data(), families: touched.seen, holds, count, user_bytes })
    }
}

/// The column families that a batch touches.
struct Touched<'f> {
    families: &'f dyn FamilyRules,
    big_values: BigValues,
    seen: Few<u32>,
    /// Those of the record before: most batches stay in one family.
    last: Option<(u32, Rules)>,
    /// When TTLs begin, once one was met.
    now: Option<u64>,
}

impl<'f> Touched<'f> {
    fn new(families: &'f dyn FamilyRules, big_values: BigValues) -> Touched<'f> {
        Touched { families, big_values, seen: Few::None, last: None, now: None }
    }

    /// True for most records, puts of short values into the family of the record before: `admit` would give nothing.
    #[inline]
    fn is_logged_as_is(&self, record: &Record<'_>) -> bool {
        match (record, self.last) {
            (Record::Put { column_family, value, .. }, Some((last, rules))) => {
                last == *column_family && rules.ttl == 0 && (value.len() as u64) < rules.separate_from
            }
            _ => false,
        }
    }

    /// Refuses a record that its family does not take. Gives what takes the place of one that is not logged as it is.
    #[inline]
    fn admit<'a>(&mut self, record: &Record<'a>) -> Result<Option<Change<'a>>> {
        match *record {
            Record::Put { column_family, key, value } => {
                let rules = self.rules(column_family)?;
                let separate = value.len() as u64 >= rules.separate_from;
                if !separate && rules.ttl == 0 {
                    return Ok(None);
                }
                let expiry = self.expiry(rules.ttl);
                return Ok(Some(Change {
                    column_family,
                    kind: EntryKind::Put,
                    key,
                    value,
                    separate,
                    expiry,
                }));
            }
            Record::PutWithTtl { column_family, key, value, ttl } => {
                let separate = value.len() as u64 >= self.rules(column_family)?.separate_from;
                let expiry = self.expiry(ttl);
                return Ok(Some(Change {
                    column_family,
                    kind: EntryKind::Put,
                    key,
                    value,
                    separate,
                    expiry,
                }));
            }
            Record::Delete { column_family, .. }
            | Record::SingleDelete { column_family, .. }
            | Record::RangeDelete { column_family, .. } => _ = self.rules(column_family)?,
            Record::Merge { column_family, key, operand } => {
                let rules = self.rules(column_family)?;
                if !rules.can_merge {
                    return Err(self.families.cannot_merge(column_family));
                }
                if rules.ttl > 0 {
                    let (kind, expiry) = (EntryKind::Merge, self.expiry(rules.ttl));
                    let value = operand;
                    return Ok(Some(Change { column_family, kind, key, value, separate: false, expiry }));
                }
            }
            Record::LogData(_) => {}
            Record::Pointer { .. } => return Err(foreign_pointer()),
            Record::Expiring { .. } => return Err(foreign_expiry()),
        }
        Ok(None)
    }

    /// When an entry with this TTL expires.
    fn expiry(&mut self, ttl: u64) -> Option<u64> {
        (ttl > 0).then(|| {
            self.now.get_or_insert_with(|| self.families.unix_seconds()).saturating_add(ttl).saturating_add(1)
        })
    }

    #[inline]
    fn rules(&mut self, column_family: u32) -> Result<Rules> {
        match self.last {
            Some((last, rules)) if last == column_family => Ok(rules),
            _ => self.look_up(column_family),
        }
    }

    fn look_up(&mut self, column_family: u32) -> Result<Rules> {
        let mut rules = self.families.rules(column_family).ok_or_else(|| unknown_family(column_family))?;
        if self.big_values == BigValues::Kept {
            rules.separate_from = u64::MAX;
        }
        if !self.seen.contains(&column_family) {
            self.seen.push(column_family);
        }
        self.last = Some((column_family, rules));
        Ok(rules)
    }
}

/// What is logged in the place of a record.
#[derive(Clone, Copy)]
struct Change<'a> {
    column_family: u32,
    /// Put or Merge.
    kind: EntryKind,
    key: &'a [u8],
    value: &'a [u8],
    /// Whether the value goes to the value log.
    separate: bool,
    expiry: Option<u64>,
}

/// An entry that is logged in the place of a record.
struct Logged<'a> {
    column_family: u32,
    kind: EntryKind,
    key: &'a [u8],
    expiry: Option<u64>,
    /// The value or operand, or a pointer.
    stored: &'a [u8],
}

/// Puts the big values of a batch into the value log, and logs its records in their order. `T` is what `log`, which
/// every call is given, knows a record by; it is told what takes the record's place, if anything does.
struct Separation<'l, 'a, T> {
    value_log: &'l ValueLog,
    values: ValueGroup<'a>,
    /// The first has its value in `values`.
    waiting: Vec<(T, Option<Change<'a>>)>,
    /// Records of the batch.
    records: usize,
    holds: Few<(u64, Hold)>,
}

impl<'l, 'a, T> Separation<'l, 'a, T> {
    /// For a batch of `records`.
    fn new(value_log: &'l ValueLog, records: usize) -> Separation<'l, 'a, T> {
        let (values, waiting) = (ValueGroup::new(records), Vec::new());
        Separation { value_log, values, waiting, records, holds: Few::None }
    }

    /// Takes the next record, which `change` takes the place of.
    #[inline]
    fn take(
        &mut self,
        record: T,
        change: Option<Change<'a>>,
        log: &mut impl FnMut(T, Option<Logged<'_>>) -> Result<()>,
    ) -> Result<()> {
        if let Some(Change { column_family, key, value, separate: true, .. }) = change {
            if !self.values.takes(key.len() + value.len()) {
                self.append(log)?;
            }
            self.values.push(self.value_log, column_family, key, value)?;
        } else {
            if self.waiting.len() >= WAITING {
                self.append(log)?;
            }
            if self.waiting.is_empty() {
                return log(record, change.as_ref().map(|change| change.logged(change.kind, change.value)));
            }
        }
        if self.waiting.capacity() == 0 {
            self.waiting.reserve_exact(self.records.min(WAITING));
        }
        self.waiting.push((record, change));
        Ok(())
    }

    /// Appends the values, and logs what waited for them.
    fn append(&mut self, log: &mut impl FnMut(T, Option<Logged<'_>>) -> Result<()>) -> Result<()> {
        self.values.append(self.value_log, &mut |segment| hold(&mut self.holds, segment))?;
        let mut appended = 0;
        for (record, change) in self.waiting.drain(..) {
            match change {
                Some(change) if change.separate => {
                    let pointer = self.values.pointer(appended).to_bytes();
                    log(record, Some(change.logged(EntryKind::Pointer, &pointer)))?;
                    appended += 1;
                }
                change => {
                    log(record, change.as_ref().map(|change| change.logged(change.kind, change.value)))?;
                }
            }
        }
        self.values.clear();
        Ok(())
    }

    /// Appends and logs the rest. Gives holds on all segments that pointers name.
    fn finish(
        mut self,
        log: &mut impl FnMut(T, Option<Logged<'_>>) -> Result<()>,
    ) -> Result<Few<(u64, Hold)>> {
        if !self.waiting.is_empty() {
            self.append(log)?;
        }
        Ok(self.holds)
    }
}

impl Change<'_> {
    fn logged<'s>(&'s self, kind: EntryKind, stored: &'s [u8]) -> Logged<'s> {
        let Change { column_family, key, expiry, .. } = *self;
        Logged { column_family, kind, key, expiry, stored }
    }
}

fn hold(holds: &mut Few<(u64, Hold)>, segment: SegmentRef) {
    let number = segment.number();
    if !holds.iter().any(|(held, _)| *held == number) {
        holds.push((number, segment));
    }
}

/// The error for a column family id that names none.
pub fn unknown_family(column_family: u32) -> Error {
    Error::invalid_argument(format!(
        "Invalid column family specified in write batch: no column family has the id {column_family}; it was \
         dropped or belongs to another database"
    ))
}

fn foreign_expiry() -> Error {
    Error::invalid_argument(
        "write batch: holds a time of expiry; only the engine makes those: put with a TTL instead",
    )
}

fn foreign_pointer() -> Error {
    Error::invalid_argument(
        "write batch: holds a value-log pointer; only the engine makes those: put the value itself",
    )
}

#[cfg(test)]
#[path = "separate_tests.rs"]
mod tests;
