//! From the logs that a crash or a close left behind to a database whose every entry is in a table.
//!
//! 1. Each log is synced before it is read: what is replayed is on the device (R5).
//! 2. Frames are replayed in order; entries their family has already flushed are skipped. A pointer that is not known
//!    to be durable is checked against the value log before anything of its batch is taken: a breach ends the log
//!    there if it may be torn, and is `Corruption` if it was synced (W1, R2). The values of frames that follow are
//!    checked meanwhile, in other threads (`VerifyAhead`).
//! 3. What was replayed is flushed to tables; one edit then retires all old logs. Until that edit is durable, every
//!    step can be repeated from the start: a second crash in recovery changes nothing (fault 20).

use super::family::Family;
use super::open::{Found, counters_edit};
use super::state::Engine;
use crate::base::file_name::{FileKind, path_of};
use crate::base::{Error, ErrorKind, Result, SequenceNumber, ValuePointer};
use crate::batch::{self, Applied, BatchIter, Record};
use crate::env::OpenMode;
use crate::memtable::write_buffer::{Hold, WriteBuffer};
use crate::read::ReadView;
use crate::value_log::{LogPlace, VerifyAhead};
use crate::version::ManifestState;
use crate::wal::{
    self, DurableMark, FramesAhead, RecoveryMode, ReplayFrame, ReplayReport, ReplayVisitor, WalFile,
    WalPosition,
};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What replay builds for one family.
struct Replayed {
    family: Arc<Family>,
    flushed: SequenceNumber,
    buffer: Arc<WriteBuffer>,
}

struct Replay<'a> {
    engine: &'a Arc<Engine>,
    families: HashMap<u32, Replayed>,
    last_sequence: SequenceNumber,
    batches: u64,
    values: VerifyAhead,
}

/// Replays the logs found and gives a report in words, empty if there was nothing to tell.
pub(super) fn replay_logs(engine: &Arc<Engine>, state: &ManifestState, found: &Found) -> Result<String> {
    let (files, missing_logs) = log_files(engine, state, found)?;
    if !engine.read_only {
        for file in &files {
            engine.env.open(&file.path, OpenMode::ReadWrite)?.sync_data()?;
        }
    }
    let flushed: HashMap<u32, SequenceNumber> = engine
        .versions
        .column_families()
        .into_iter()
        .map(|family| (family.id, family.flushed_sequence))
        .collect();
    let families = engine
        .all_families()
        .into_iter()
        .map(|family| {
            let flushed = flushed.get(&family.id).copied().unwrap_or(0);
            let buffer = new_buffer(engine, &family);
            (family.id, Replayed { family, flushed, buffer })
        })
        .collect();
    let last_sequence = engine.durability.visible();
    // A segment that one replayed memtable no longer needs may be named again by a later frame.
    let all_segments: Vec<_> = engine
        .value_log
        .segments()
        .iter()
        .filter_map(|segment| engine.value_log.hold(segment.number))
        .collect();
    let values = VerifyAhead::new(&engine.value_log);
    let mut replay = Replay { engine, families, last_sequence: 0, batches: 0, values };
    let mode = engine.options.recovery_mode;
    let report = wal::replay_to(&mut replay, &*engine.env, &files, state.database, mode)?;
    let last_sequence = last_sequence.max(replay.last_sequence);
    replay.finish(last_sequence)?;
    if !engine.read_only {
        let edit = counters_edit(last_sequence, engine.next_file_number.load(Ordering::Relaxed));
        engine.versions.apply(vec![edit], &engine.value_log)?;
    }
    drop(all_segments);
    Ok(in_words(&report, &missing_logs))
}

/// What was lost, for the info log and `Health`; empty if nothing was.
fn in_words(report: &ReplayReport, missing_logs: &[u64]) -> String {
    let mut words = Vec::new();
    if !missing_logs.is_empty() {
        let names: Vec<String> = missing_logs.iter().map(|number| format!("{number:06}.log")).collect();
        words.push(format!("missing, with all writes in them: {}", names.join(", ")));
    }
    if let Some((position, reason)) = &report.ended_early {
        words.push(format!(
            "log {:06} ended at byte {}: {reason}; {} bytes after the last whole write were dropped, {} writes kept",
            position.log, position.offset, report.dropped_bytes, report.frames
        ));
    }
    words.join("; ")
}

/// The logs to replay, ascending, and the numbers of those that the manifest names and that are not there: only
/// mode `SkipCorrupted` goes on without them.
fn log_files(engine: &Engine, state: &ManifestState, found: &Found) -> Result<(Vec<WalFile>, Vec<u64>)> {
    let dir = &engine.directories.wal;
    let mut numbers: Vec<u64> = found
        .files
        .iter()
        .filter_map(|(at, kind)| match kind {
            FileKind::Wal(number) if at == dir && *number >= state.min_wal => Some(*number),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    let missing_logs = expected_logs(state).into_iter().filter(|number| !numbers.contains(number));
    let missing_logs: Vec<u64> = missing_logs.collect();
    if let Some(first) = missing_logs.first()
        && engine.options.recovery_mode != RecoveryMode::SkipCorrupted
    {
        let path = path_of(dir, FileKind::Wal(*first));
        return Err(missing(
            &path,
            "a log file that holds writes not yet in tables (mode SkipCorrupted opens without it)",
        ));
    }
    Ok((wal_files(dir, numbers, &state.sealed_wals), missing_logs))
}

/// The logs that the manifest names, ascending.
pub(super) fn expected_logs(state: &ManifestState) -> Vec<u64> {
    let sealed = state.sealed_wals.iter().map(|(number, _)| number);
    let mut numbers: Vec<u64> =
        state.live_wals.iter().chain(sealed).copied().filter(|number| *number >= state.min_wal).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The log files of these numbers, as replay wants them.
pub(super) fn wal_files(dir: &Path, numbers: Vec<u64>, sealed: &[(u64, u64)]) -> Vec<WalFile> {
    let sealed: HashMap<u64, u64> = sealed.iter().copied().collect();
    let file = |number| WalFile {
        number,
        path: path_of(dir, FileKind::Wal(number)),
        sealed_len: sealed.get(&number).copied(),
    };
    numbers.into_iter().map(file).collect()
}

fn missing(path: &Path, what: &str) -> Error {
    Error::new(
        ErrorKind::Corruption,
        format!("is missing: {what}; restore it, or run repair to go on without it"),
    )
    .in_file(path)
    .with_subcode(crate::base::error::Subcode::MissingFile)
}

impl ReplayVisitor for Replay<'_> {
    /// One frame: a batch.
    fn frame(&mut self, frame: &ReplayFrame<'_>) -> Result<ControlFlow<String>> {
        let payload = frame.payload;
        let (first, count) = batch::decode_header(payload)?;
        if first <= self.last_sequence {
            let last = self.last_sequence;
            return Ok(ControlFlow::Break(format!("batch {first} after {last}: the log runs backwards")));
        }
        let mut holds: Vec<(u32, u64, Hold)> = Vec::new();
        if let Some(breach) = self.check_pointers(frame, first, &mut holds)? {
            return Ok(ControlFlow::Break(breach));
        }
        for (family, segment, hold) in &holds {
            self.families[family].buffer.keep(*segment, hold);
        }
        self.insert(payload, first)?;
        self.last_sequence = (first + u64::from(count)).saturating_sub(1).max(self.last_sequence);
        self.batches += 1;
        self.flush_full()?;
        Ok(ControlFlow::Continue(()))
    }

    /// Lets the values of frames that follow be checked. Whatever is wrong with a frame is found when it is shown.
    fn look_ahead(&mut self, frames: &mut FramesAhead<'_>) {
        while self.values.has_room()
            && let Some(frame) = frames.next()
        {
            let Ok((first, _)) = batch::decode_header(frame.payload) else { return };
            let Ok(named) = named_values(&self.families, frame.payload, first) else { return };
            for named in named.map_while(Result::ok) {
                if let Some(pointer) = named.pointer
                    && !is_durable(frame.durable, &pointer)
                {
                    let place = place_of(frame.position, named.record);
                    self.values.push(place, &pointer, named.column_family, named.key);
                }
            }
        }
    }
}

impl Replay<'_> {
    /// Checks every pointer that is still needed; gives the reason if one names a value that is not there.
    fn check_pointers(
        &mut self,
        frame: &ReplayFrame<'_>,
        first: SequenceNumber,
        holds: &mut Vec<(u32, u64, Hold)>,
    ) -> Result<Option<String>> {
        for named in named_values(&self.families, frame.payload, first)? {
            let Named { record, column_family, key, pointer } = named?;
            let Some(pointer) = pointer else {
                return Ok(Some("a value pointer is malformed".to_string()));
            };
            let place = place_of(frame.position, record);
            if !is_durable(frame.durable, &pointer)
                && !self.values.verify(place, &pointer, column_family, key)?
            {
                return Ok(Some(format!(
                    "the value at {:06}.vlog @ {} is not whole",
                    pointer.segment, pointer.offset
                )));
            }
            match self.engine.value_log.hold(pointer.segment) {
                Some(hold) => holds.push((column_family, pointer.segment, hold)),
                None => {
                    let path =
                        path_of(&self.engine.directories.value_log, FileKind::Segment(pointer.segment));
                    return Err(missing(&path, "a value-log segment that a logged write points into"));
                }
            }
        }
        Ok(None)
    }

    fn needs(&self, family: u32, sequence: SequenceNumber) -> bool {
        is_needed(&self.families, family, sequence)
    }

    fn insert(&mut self, payload: &[u8], first: SequenceNumber) -> Result<()> {
        let mut sequence = first;
        for record in BatchIter::over(payload)? {
            match record?.applied()? {
                Applied::Entry(family, kind, key, stored) => {
                    if self.needs(family, sequence) {
                        self.families[&family].buffer.insert(sequence, kind, key, stored);
                    }
                }
                Applied::RangeDelete(family, start, end) => {
                    if self.needs(family, sequence) {
                        self.families[&family].buffer.delete_range(sequence, start, end);
                    }
                }
                Applied::Nothing => continue,
            }
            sequence += 1;
        }
        Ok(())
    }

    /// Flushes memtables that have reached their size, and the largest if all together have reached theirs, so that
    /// recovery needs no more memory than running.
    fn flush_full(&mut self) -> Result<()> {
        if self.engine.read_only {
            return Ok(());
        }
        let largest = self.largest_if_too_much().unwrap_or(usize::MAX);
        for replayed in self.families.values_mut() {
            let bytes = replayed.buffer.memory_bytes();
            if replayed.buffer.is_full(replayed.family.seal_at()) || bytes >= largest {
                let full = std::mem::replace(&mut replayed.buffer, new_buffer(self.engine, &replayed.family));
                replayed.flushed = full.last_sequence();
                flush(self.engine, vec![(Arc::clone(&replayed.family), vec![full])])?;
            }
        }
        Ok(())
    }

    /// The size of the largest memtable, if it is to be flushed for the manager's cap: when those of other databases
    /// fill it, small tables of this one would help little.
    fn largest_if_too_much(&self) -> Option<usize> {
        let manager = self.engine.memtables.manager();
        if !manager.enabled() {
            return None;
        }
        let buffers = || self.families.values().map(|replayed| &replayed.buffer);
        let all: u64 = buffers().map(|buffer| buffer.allocated_bytes() as u64).sum();
        if manager.is_too_much(all) { buffers().map(|buffer| buffer.memory_bytes()).max() } else { None }
    }

    /// The rest goes to tables; when reading only, it stays in memory and is shown from there.
    fn finish(self, last_sequence: SequenceNumber) -> Result<()> {
        drop(self.values);
        self.engine.committer.lock().last_sequence = last_sequence;
        self.engine.durability.set_recovered(last_sequence);
        let full = self.families.into_values().filter(|replayed| !replayed.buffer.is_empty());
        if self.engine.read_only {
            for Replayed { family, buffer, .. } in full {
                let version = Arc::clone(&family.view().version);
                family.set_view(ReadView { active: buffer, sealed: Vec::new(), version });
            }
            return Ok(());
        }
        let mut work: Vec<_> = full.map(|replayed| (replayed.family, vec![replayed.buffer])).collect();
        work.sort_by_key(|(family, _)| family.id);
        if work.is_empty() { Ok(()) } else { flush(self.engine, work) }
    }
}

/// A value that a record of a batch names.
struct Named<'a> {
    /// The record's number in the batch.
    record: u32,
    column_family: u32,
    key: &'a [u8],
    /// `None` if it is malformed.
    pointer: Option<ValuePointer>,
}

/// The values that a batch names, as far as its families have not flushed them.
fn named_values<'a>(
    families: &'a HashMap<u32, Replayed>,
    payload: &'a [u8],
    first: SequenceNumber,
) -> Result<impl Iterator<Item = Result<Named<'a>>>> {
    let mut next = first;
    Ok(BatchIter::over(payload)?.zip(0..).filter_map(move |(record, number)| {
        let record = match record {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        let sequence = next;
        next = next.saturating_add(u64::from(!matches!(record, Record::LogData(_))));
        let (column_family, key, pointer) = record.pointer()?;
        is_needed(families, column_family, sequence)
            .then(|| Ok(Named { record: number, column_family, key, pointer: ValuePointer::decode(pointer) }))
    }))
}

fn is_needed(families: &HashMap<u32, Replayed>, family: u32, sequence: SequenceNumber) -> bool {
    families.get(&family).is_some_and(|replayed| sequence > replayed.flushed)
}

/// Whether a mark says that the value was durable.
fn is_durable(durable: &DurableMark, pointer: &ValuePointer) -> bool {
    let synced = durable.segments.binary_search_by_key(&pointer.segment, |(segment, _)| *segment);
    synced.is_ok_and(|at| durable.segments[at].1 >= pointer.end())
}

fn place_of(frame: WalPosition, record: u32) -> LogPlace {
    LogPlace { log: frame.log, offset: frame.offset, record }
}

/// A memtable to replay into. No writer has its flush asked for (it is in no view), so that none is to be told to: it
/// would be another database's, and a small one.
fn new_buffer(engine: &Engine, family: &Family) -> Arc<WriteBuffer> {
    let buffer = engine.new_buffer(family);
    buffer.leave();
    buffer
}

/// Flushes replayed memtables. Their segments were written by an earlier process: they are synced by name (W2).
fn flush(engine: &Engine, work: Vec<(Arc<Family>, Vec<Arc<WriteBuffer>>)>) -> Result<()> {
    let mut segments: Vec<u64> =
        work.iter().flat_map(|(_, buffers)| buffers).flat_map(|buffer| buffer.held()).collect();
    segments.sort_unstable();
    segments.dedup();
    for segment in segments {
        let path = path_of(&engine.directories.value_log, FileKind::Segment(segment));
        engine.env.open(&path, OpenMode::ReadWrite)?.sync_data()?;
    }
    engine.flush_buffers(&work)
}

/// Removes what nothing refers to: logs before the first needed one, tables of no version, segments nobody holds,
/// older manifests, temporary files. Files of no known name are left alone.
pub(super) fn sweep(engine: &Engine) -> Result<()> {
    let found = Found::look(&*engine.env, &engine.directories)?;
    let tables = engine.versions.live_tables();
    let manifest = engine.versions.manifest_number();
    // After a failed switch CURRENT may name any of them.
    let manifest_is_known = !engine.versions.manifest_failed();
    let first_new = engine.next_file_number.load(Ordering::Relaxed);
    for (dir, kind) in found.files {
        let directories = &engine.directories;
        let dead = match kind {
            FileKind::Wal(number) => dir == directories.wal && number < first_new,
            FileKind::Table(number) => dir == directories.sst && tables.binary_search(&number).is_err(),
            FileKind::Manifest(number) => dir == directories.db && number != manifest && manifest_is_known,
            FileKind::Temporary(_) => true,
            _ => false,
        };
        if dead {
            engine.env.remove_file(&path_of(&dir, kind))?;
        }
    }
    // With no manifest to replay nothing was held, else what nobody needs was let go after the replay.
    for segment in engine.value_log.unheld_segments() {
        engine.value_log.remove(segment)?;
    }
    engine.remove_obsolete_files();
    Ok(())
}
