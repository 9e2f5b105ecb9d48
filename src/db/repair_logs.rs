//! What a repair does with the logs: as they are if every byte of them is good, else their whole writes in new logs.
//!
//! 1. A log that cannot be this database's (another identity, another number, no log at all) is put aside.
//! 2. The others are replayed in the strictest mode, values included. If that works, they stay.
//! 3. If not, or if one is missing, mode `SkipCorrupted` shows what is whole; it is written to new logs, whose lengths
//!    the manifest seals. The old ones are renamed once the new manifest, which does not need them, is durable.
//!
//! A crash after new logs were begun leaves old and new ones: their batches have the same sequence numbers, and replay
//! shows each number once.

use super::recovery::wal_files;
use crate::base::error::Subcode;
use crate::base::file_name::{FileKind, path_of};
use crate::base::{Result, SequenceNumber, ValuePointer};
use crate::batch::{self, BatchIter, Record};
use crate::env::Env;
use crate::value_log::ValueLog;
use crate::version::VersionEdit;
use crate::wal::{self, RecoveryMode, WalFile, WalHeader, WalPosition, WalWriter, WalWriterOptions};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a repair knows when it comes to the logs.
pub(super) struct LogRepair<'a> {
    pub(super) env: &'a Arc<dyn Env>,
    pub(super) dir: &'a Path,
    pub(super) database: [u8; 16],
    pub(super) value_log: &'a ValueLog,
    pub(super) next_file_number: &'a AtomicU64,
    /// Bytes at which a new log is closed.
    pub(super) max_file_size: u64,
}

/// Logs to keep, and how.
pub(super) struct KeptLogs {
    /// Says which logs the next open needs.
    pub(super) edits: Vec<VersionEdit>,
    /// Numbers of logs to put aside once the edits are durable.
    pub(super) replaced: Vec<u64>,
}

/// What the manifest said of the logs.
#[derive(Default)]
pub(super) struct NamedLogs {
    pub(super) min_wal: u64,
    /// Each must be there.
    pub(super) expected: Vec<u64>,
    pub(super) sealed: Vec<(u64, u64)>,
}

impl LogRepair<'_> {
    /// The highest id of a column family that the whole writes in these logs name.
    pub(super) fn highest_family(&self, numbers: &[u64]) -> Result<u32> {
        let (files, _) = self.own_files(numbers, &[])?;
        let mut highest = 0;
        let mode = RecoveryMode::SkipCorrupted;
        wal::replay(&**self.env, &files, self.database, mode, &mut |frame| {
            if let Ok(records) = BatchIter::over(frame.payload) {
                let families = records.map_while(Result::ok).filter_map(|record| family_of(&record));
                highest = families.fold(highest, u32::max);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(highest)
    }

    /// Decides what becomes of the logs of these numbers (ascending). `flushed` says up to where each family's writes
    /// are in tables; `copy` asks for new logs in any case.
    pub(super) fn keep(
        &self,
        numbers: &[u64],
        named: &NamedLogs,
        flushed: &HashMap<u32, SequenceNumber>,
        copy: bool,
    ) -> Result<KeptLogs> {
        let is_missing = named.expected.iter().any(|number| !numbers.contains(number));
        let (files, foreign) = self.own_files(numbers, &named.sealed)?;
        if !copy && !is_missing && foreign.is_empty() && self.all_good(&files, flushed)? {
            return Ok(KeptLogs { edits: as_they_are(numbers, named), replaced: Vec::new() });
        }
        Ok(KeptLogs { edits: self.copy_whole_writes(&files, flushed)?, replaced: numbers.to_vec() })
    }

    /// The logs that can be replayed, and the numbers of those that are not logs of this database.
    fn own_files(&self, numbers: &[u64], sealed: &[(u64, u64)]) -> Result<(Vec<WalFile>, Vec<u64>)> {
        let (mut own, mut foreign) = (Vec::new(), Vec::new());
        for file in wal_files(self.dir, numbers.to_vec(), sealed) {
            let alone = std::slice::from_ref(&file);
            let mode = RecoveryMode::SkipCorrupted;
            let look =
                &mut |_: &wal::ReplayFrame<'_>| Ok(ControlFlow::Break("only its header matters".into()));
            match wal::replay(&**self.env, alone, self.database, mode, look) {
                Ok(_) => own.push(file),
                Err(error) if error.is_corruption() && error.subcode() != Subcode::NewerFormat => {
                    foreign.push(file.number);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((own, foreign))
    }

    fn all_good(&self, files: &[WalFile], flushed: &HashMap<u32, SequenceNumber>) -> Result<bool> {
        let mut check = Check { value_log: self.value_log, flushed, last_sequence: 0 };
        let mode = RecoveryMode::AbsoluteConsistency;
        match wal::replay(&**self.env, files, self.database, mode, &mut |frame| check.frame(frame.payload)) {
            Ok(report) => Ok(report.ended_early.is_none()),
            Err(error) if error.is_corruption() && error.subcode() != Subcode::NewerFormat => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn copy_whole_writes(
        &self,
        files: &[WalFile],
        flushed: &HashMap<u32, SequenceNumber>,
    ) -> Result<Vec<VersionEdit>> {
        let first = self.next_file_number.fetch_add(1, Ordering::Relaxed);
        let mut copy = Copy { repair: self, next: first, writer: None, previous: None, sealed: Vec::new() };
        let mut check = Check { value_log: self.value_log, flushed, last_sequence: 0 };
        let mode = RecoveryMode::SkipCorrupted;
        wal::replay(&**self.env, files, self.database, mode, &mut |frame| {
            let verdict = check.frame(frame.payload)?;
            if verdict.is_continue() {
                copy.append(frame.payload)?;
            }
            Ok(verdict)
        })?;
        copy.close_log()?;
        let sealed = copy.sealed;
        let mut edits = vec![VersionEdit { min_wal: Some(first), ..VersionEdit::default() }];
        edits.extend(sealed.iter().map(|&(number, _)| started(number)));
        edits.push(VersionEdit { sealed_wals: sealed, ..VersionEdit::default() });
        Ok(edits)
    }

    /// Renames logs to `*.log.damaged`.
    pub(super) fn put_aside(&self, numbers: &[u64]) -> Result<()> {
        for number in numbers {
            let path = path_of(self.dir, FileKind::Wal(*number));
            self.env.rename(&path, &path.with_extension("log.damaged"))?;
        }
        if numbers.is_empty() { Ok(()) } else { self.env.sync_dir(self.dir) }
    }
}

fn started(number: u64) -> VersionEdit {
    VersionEdit { started_wal: Some(number), ..VersionEdit::default() }
}

fn as_they_are(numbers: &[u64], named: &NamedLogs) -> Vec<VersionEdit> {
    let mut edits = vec![VersionEdit { min_wal: Some(named.min_wal), ..VersionEdit::default() }];
    edits.extend(numbers.iter().copied().map(started));
    edits.push(VersionEdit { sealed_wals: named.sealed.clone(), ..VersionEdit::default() });
    edits
}

fn family_of(record: &Record<'_>) -> Option<u32> {
    match record {
        Record::Put { column_family, .. }
        | Record::Pointer { column_family, .. }
        | Record::PutWithTtl { column_family, .. }
        | Record::Expiring { column_family, .. }
        | Record::Delete { column_family, .. }
        | Record::SingleDelete { column_family, .. }
        | Record::Merge { column_family, .. }
        | Record::RangeDelete { column_family, .. } => Some(*column_family),
        Record::LogData(_) => None,
    }
}

/// Judges batches as recovery would.
struct Check<'a> {
    value_log: &'a ValueLog,
    flushed: &'a HashMap<u32, SequenceNumber>,
    last_sequence: SequenceNumber,
}

impl Check<'_> {
    fn frame(&mut self, payload: &[u8]) -> Result<ControlFlow<String>> {
        let (first, count) = match batch::decode_header(payload) {
            Ok(header) => header,
            Err(error) => return Ok(ControlFlow::Break(error.to_string())),
        };
        if first <= self.last_sequence {
            let last = self.last_sequence;
            return Ok(ControlFlow::Break(format!("batch {first} after {last}: the log runs backwards")));
        }
        if let Some(what) = self.bad_record(payload, first)? {
            return Ok(ControlFlow::Break(what));
        }
        self.last_sequence = first.saturating_add(u64::from(count)).saturating_sub(1).max(self.last_sequence);
        Ok(ControlFlow::Continue(()))
    }

    /// What is wrong with the batch's records: malformed, or with a value that is needed and not whole.
    fn bad_record(&self, payload: &[u8], first: SequenceNumber) -> Result<Option<String>> {
        let records = match BatchIter::over(payload) {
            Ok(records) => records,
            Err(error) => return Ok(Some(error.to_string())),
        };
        let mut sequence = first;
        for record in records {
            let record = match record {
                Ok(record) => record,
                Err(error) => return Ok(Some(error.to_string())),
            };
            if let Err(error) = record.applied() {
                return Ok(Some(error.to_string()));
            }
            if let Some((column_family, key, pointer)) = record.pointer()
                && self.flushed.get(&column_family).is_some_and(|flushed| sequence > *flushed)
            {
                let whole = match ValuePointer::decode(pointer) {
                    Some(pointer) => self.value_log.verify(&pointer, column_family, key)?,
                    None => false,
                };
                if !whole {
                    return Ok(Some("a value is not whole".to_string()));
                }
            }
            sequence += u64::from(!matches!(record, Record::LogData(_)));
        }
        Ok(None)
    }
}

/// Writes new logs, each of which continues the one before.
struct Copy<'a> {
    repair: &'a LogRepair<'a>,
    next: u64,
    writer: Option<WalWriter>,
    previous: Option<WalPosition>,
    sealed: Vec<(u64, u64)>,
}

impl Copy<'_> {
    fn append(&mut self, payload: &[u8]) -> Result<()> {
        let limit = self.repair.max_file_size;
        if self.writer.as_ref().is_some_and(|writer| writer.position().offset >= limit) {
            self.close_log()?;
            self.next = self.repair.next_file_number.fetch_add(1, Ordering::Relaxed);
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            empty => {
                let (database, number) = (self.repair.database, self.next);
                let header = WalHeader { database, number, previous: self.previous.into() };
                let options = WalWriterOptions { mapped: false, capacity: 0, buffer_size: 0 };
                empty.insert(WalWriter::create(&**self.repair.env, self.repair.dir, &header, options)?)
            }
        };
        writer.append(&[payload], None).map(|_| ())
    }

    /// Makes the log being written durable.
    fn close_log(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let syncer = writer.syncer();
        let end = writer.finish()?;
        syncer.sync()?;
        self.previous = Some(end);
        self.sealed.push((end.log, end.offset));
        Ok(())
    }
}
