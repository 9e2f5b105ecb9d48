//! The commit: sequence numbers, WAL, memtables, one group at a time.
//!
//! A writer that finds the commit lock free commits by itself: one lock, no allocation, no system call beyond the
//! log's own. Otherwise it leaves its batch in the queue; whoever holds the lock next commits everything queued
//! as one group with one sync. Lock order: commit lock, then the engine's state lock.
//!
//! Invariant W5: WAL order is sequence order, and memtables hold a batch only after the WAL does.

use super::durability::Durability;
use super::separate::{Prepared, unknown_family};
use crate::base::{EntryKind, InternalComparator, Result, SequenceNumber};
use crate::batch::{BatchIter, Record};
use crate::config::SyncPolicy;
use crate::env::Env;
use crate::memtable::write_buffer::{Hold, WriteBuffer};
use crate::wal::{WalHeader, WalPosition, WalWriter, WalWriterOptions};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Room a frame needs besides its payload: header, mark, alignment.
const FRAME_ROOM: usize = 4096;

/// Where a column family's writes go.
pub struct FamilyTarget {
    /// The memtable that takes writes.
    pub active: Arc<WriteBuffer>,
    /// Bytes at which it is sealed.
    pub seal_at: u64,
    /// Order of its keys.
    pub order: InternalComparator,
    /// Whether it has a merge operator.
    pub can_merge: bool,
}

/// A log file that may still be needed.
#[derive(Clone, Copy, Debug)]
pub struct LiveWal {
    /// Its number.
    pub number: u64,
    /// The last sequence number in it.
    pub last_sequence: SequenceNumber,
    /// Its length.
    pub len: u64,
}

/// What the commit lock guards.
pub struct CommitState {
    /// The log being written; none before the first write after an open or a failed append.
    wal: Option<WalWriter>,
    /// Where the log before the next one ended.
    previous: Option<WalPosition>,
    /// Logs not retired, oldest first; the last is the active one.
    pub wals: VecDeque<LiveWal>,
    /// Column families by id.
    pub families: HashMap<u32, FamilyTarget>,
    /// The last sequence number handed out.
    pub last_sequence: SequenceNumber,
    mark_version: u64,
    writes_since_sync: u64,
    last_sync: Duration,
}

/// How the log is written.
pub struct WalSettings {
    /// The outside.
    pub env: Arc<dyn Env>,
    /// Where log files live.
    pub dir: PathBuf,
    /// The database's identity.
    pub database: [u8; 16],
    /// Bytes at which a new file starts.
    pub max_file_size: u64,
    /// Whether files are mapped.
    pub mapped: bool,
    /// Bytes populated at once.
    pub buffer_size: u64,
    /// When the log is synced by itself.
    pub policy: SyncPolicy,
    /// Whether a log thread syncs; otherwise the committing thread does.
    pub log_thread: bool,
    /// Bytes of all logs above which the families holding the oldest are sealed.
    pub max_total_size: AtomicU64,
}

/// What the committer needs of the engine around it.
pub trait Owner {
    /// Replaces the family's active memtable by an empty one and queues it for flush. Called under the commit lock.
    fn seal(&self, state: &mut CommitState, family: u32) -> Result<()>;
    /// A number for a new log file. Refuses where `log_started` could not succeed, before there is a file.
    fn next_log_number(&self) -> Result<u64>;
    /// A log file was created and is about to take writes: its number is made durable, so that its loss is noticed.
    fn log_started(&self, number: u64) -> Result<()>;
    /// Has a memtable flushed if all together take too much memory. Called under the commit lock.
    fn keep_memory_within_limit(&self, state: &mut CommitState) -> Result<()>;
    /// Refuses when the engine takes no writes.
    fn check_writable(&self) -> Result<()>;
}

/// How one batch is committed.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommitOptions {
    /// Durable before it returns.
    pub sync: bool,
    /// Not logged.
    pub disable_wal: bool,
}

/// Counts since open.
#[derive(Debug, Default)]
pub struct CommitStats {
    /// Batches committed.
    pub batches: AtomicU64,
    /// Entries committed.
    pub entries: AtomicU64,
    /// Bytes of batches as logged.
    pub batch_bytes: AtomicU64,
    /// Batches committed by another thread's group.
    pub grouped: AtomicU64,
}

struct Item<'a> {
    bytes: &'a [u8],
    families: &'a [u32],
    holds: &'a [(u64, Hold)],
    count: u32,
    options: CommitOptions,
}

struct Request {
    bytes: Vec<u8>,
    families: Vec<u32>,
    holds: Vec<(u64, Hold)>,
    count: u32,
    options: CommitOptions,
    done: AtomicBool,
    outcome: Mutex<Option<Result<Committed>>>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug)]
struct Committed {
    last: SequenceNumber,
    visible: bool,
}

/// Commits batches.
pub struct Committer {
    state: Mutex<CommitState>,
    queue: Mutex<VecDeque<Arc<Request>>>,
    queued: AtomicUsize,
    durability: Arc<Durability>,
    settings: WalSettings,
    /// Counts.
    pub stats: CommitStats,
}

impl Committer {
    /// A committer that goes on after `last_sequence`.
    pub fn new(
        settings: WalSettings,
        durability: Arc<Durability>,
        last_sequence: SequenceNumber,
    ) -> Committer {
        Committer {
            state: Mutex::new(CommitState {
                wal: None,
                previous: None,
                wals: VecDeque::new(),
                families: HashMap::new(),
                last_sequence,
                mark_version: 0,
                writes_since_sync: 0,
                last_sync: settings.env.now(),
            }),
            queue: Mutex::new(VecDeque::new()),
            queued: AtomicUsize::new(0),
            durability,
            settings,
            stats: CommitStats::default(),
        }
    }

    /// The state, with no commit running.
    pub fn lock(&self) -> MutexGuard<'_, CommitState> {
        self.state.lock()
    }

    /// How the log is written.
    pub fn settings(&self) -> &WalSettings {
        &self.settings
    }

    /// Commits a batch and returns its last sequence number once it is visible (and durable, if it asked).
    pub fn commit(
        &self,
        prepared: Prepared<'_>,
        options: CommitOptions,
        owner: &dyn Owner,
    ) -> Result<SequenceNumber> {
        let committed = if self.queued.load(Ordering::Acquire) == 0
            && let Some(mut state) = self.state.try_lock()
        {
            let item = Item {
                bytes: &prepared.bytes,
                families: &prepared.families,
                holds: &prepared.holds,
                count: prepared.count,
                options,
            };
            self.commit_alone(&mut state, &item, owner)?
        } else {
            self.commit_queued(prepared, options, owner)?
        };
        if !committed.visible {
            self.durability.wait(committed.last)?;
        }
        Ok(committed.last)
    }

    fn commit_alone(&self, state: &mut CommitState, item: &Item<'_>, owner: &dyn Owner) -> Result<Committed> {
        owner.check_writable()?;
        let last = self.put_one(state, item, owner)?;
        let visible = self.finish_group(state, 1, item.options.sync)?;
        Ok(Committed { last, visible })
    }

    fn commit_queued(
        &self,
        prepared: Prepared<'_>,
        options: CommitOptions,
        owner: &dyn Owner,
    ) -> Result<Committed> {
        let request = Arc::new(Request {
            bytes: prepared.bytes.into_owned(),
            families: prepared.families,
            holds: prepared.holds,
            count: prepared.count,
            options,
            done: AtomicBool::new(false),
            outcome: Mutex::new(None),
        });
        self.queued.fetch_add(1, Ordering::AcqRel);
        self.queue.lock().push_back(Arc::clone(&request));
        let mut state = self.state.lock();
        if !request.done.load(Ordering::Acquire) {
            let group: Vec<Arc<Request>> = self.queue.lock().drain(..).collect();
            self.queued.fetch_sub(group.len(), Ordering::AcqRel);
            self.commit_group(&mut state, &group, owner);
        }
        drop(state);
        let outcome = request.outcome.lock().take();
        outcome.expect("whoever took the request out of the queue has answered it")
    }

    fn commit_group(&self, state: &mut CommitState, group: &[Arc<Request>], owner: &dyn Owner) {
        let mut results: Vec<Result<SequenceNumber>> = Vec::with_capacity(group.len());
        let (mut good, mut sync) = (0, false);
        for request in group {
            let item = Item {
                bytes: &request.bytes,
                families: &request.families,
                holds: &request.holds,
                count: request.count,
                options: request.options,
            };
            let result = owner.check_writable().and_then(|()| self.put_one(state, &item, owner));
            if result.is_ok() {
                good += 1;
                sync |= request.options.sync;
            }
            results.push(result);
        }
        let finished = if good > 0 { self.finish_group(state, good, sync) } else { Ok(true) };
        self.stats.grouped.fetch_add(group.len().saturating_sub(1) as u64, Ordering::Relaxed);
        for (request, result) in group.iter().zip(results) {
            let outcome = match (&finished, result) {
                (_, Err(error)) => Err(error),
                (Ok(visible), Ok(last)) => Ok(Committed { last, visible: *visible }),
                (Err(error), Ok(_)) => Err(error.clone()),
            };
            *request.outcome.lock() = Some(outcome);
            request.done.store(true, Ordering::Release);
        }
    }

    /// Logs and inserts one batch.
    fn put_one(&self, state: &mut CommitState, item: &Item<'_>, owner: &dyn Owner) -> Result<SequenceNumber> {
        self.durability.check_segments(item.holds.iter().map(|(segment, _)| *segment))?;
        for family in item.families {
            let target = state.families.get(family).ok_or_else(|| unknown_family(*family))?;
            if target.active.memory_bytes() as u64 >= target.seal_at && !target.active.is_empty() {
                owner.seal(state, *family)?;
            }
        }
        owner.keep_memory_within_limit(state)?;
        let first = state.last_sequence + 1;
        if !item.options.disable_wal {
            self.append(state, first, item.bytes, owner)?;
        }
        state.last_sequence += u64::from(item.count);
        if let Some(live) = state.wals.back_mut() {
            live.last_sequence = state.last_sequence;
        }
        insert(state, first, item)?;
        self.stats.batches.fetch_add(1, Ordering::Relaxed);
        self.stats.entries.fetch_add(item.count.into(), Ordering::Relaxed);
        self.stats.batch_bytes.fetch_add(item.bytes.len() as u64, Ordering::Relaxed);
        Ok(state.last_sequence)
    }

    /// Decides on the sync, does it where this thread is to, and publishes. Returns whether the group is visible.
    fn finish_group(&self, state: &mut CommitState, writes: u64, asked: bool) -> Result<bool> {
        state.writes_since_sync += writes;
        let env = &self.settings.env;
        let due = match self.settings.policy {
            SyncPolicy::EveryWrite => true,
            SyncPolicy::EveryNWrites(n) => state.writes_since_sync >= n,
            SyncPolicy::EveryNMs(ms) if !self.settings.log_thread => {
                env.now().saturating_sub(state.last_sync) >= Duration::from_millis(ms)
            }
            SyncPolicy::EveryNMs(_) | SyncPolicy::Manual => false,
        };
        // After a failed append there is no active log, but there may be one with unsynced writes.
        let sync = (asked || due) && (state.wal.is_some() || state.previous.is_some());
        if sync {
            state.writes_since_sync = 0;
        }
        let position = state.wal.as_ref().map_or(state.previous.unwrap_or_default(), WalWriter::position);
        let visible = self.durability.inserted(state.last_sequence, position, sync);
        if sync && !self.settings.log_thread {
            state.last_sync = env.now();
            self.durability.sync()?;
            return Ok(true);
        }
        Ok(visible)
    }

    fn append(
        &self,
        state: &mut CommitState,
        first: SequenceNumber,
        bytes: &[u8],
        owner: &dyn Owner,
    ) -> Result<()> {
        let needs_new = match &state.wal {
            None => true,
            Some(wal) => {
                !wal.has_room(bytes.len() + FRAME_ROOM)
                    || wal.position().offset >= self.settings.max_file_size
            }
        };
        if needs_new {
            self.rotate(state, bytes.len() + FRAME_ROOM, owner)?;
        }
        let version = self.durability.mark_version();
        let mark = (version != state.mark_version).then(|| self.durability.mark());
        let wal = state.wal.as_mut().expect("rotate made one");
        let sequence = first.to_le_bytes();
        match wal.append(&[&sequence, &bytes[8..]], mark.as_ref()) {
            Ok(position) => {
                state.mark_version = version;
                let live = state.wals.back_mut().expect("the active log is listed");
                live.len = position.offset;
                Ok(())
            }
            Err(error) => {
                // The frame may be half there. The next log says where this one ended, so replay ignores it.
                state.previous = Some(wal.position());
                state.wal = None;
                Err(error.context("write-ahead log: the write was not applied; a new log file is tried next"))
            }
        }
    }

    /// Starts a new log file with room for `room` bytes at least.
    fn rotate(&self, state: &mut CommitState, room: usize, owner: &dyn Owner) -> Result<()> {
        self.seal_holders_of_oldest_log(state, owner)?;
        if let Some(wal) = state.wal.take() {
            state.previous = Some(wal.position());
            wal.finish()?;
        }
        let header = WalHeader {
            database: self.settings.database,
            number: owner.next_log_number()?,
            previous: state.previous,
        };
        let options = WalWriterOptions {
            mapped: self.settings.mapped,
            capacity: self.settings.max_file_size.max(room as u64) + FRAME_ROOM as u64,
            buffer_size: self.settings.buffer_size,
        };
        let wal = WalWriter::create(&*self.settings.env, &self.settings.dir, &header, options)?;
        owner.log_started(header.number)?;
        self.durability.add_log(wal.syncer());
        let position = wal.position();
        let last_sequence = state.last_sequence;
        state.wals.push_back(LiveWal { number: position.log, last_sequence, len: position.offset });
        state.wal = Some(wal);
        Ok(())
    }

    /// Above the bound on all logs together, seals the memtables that keep the oldest log alive.
    fn seal_holders_of_oldest_log(&self, state: &mut CommitState, owner: &dyn Owner) -> Result<()> {
        let total: u64 = state.wals.iter().map(|wal| wal.len).sum();
        let limit = self.settings.max_total_size.load(Ordering::Relaxed);
        let Some(oldest) = state.wals.front().filter(|_| limit > 0 && total > limit).copied() else {
            return Ok(());
        };
        let holders: Vec<u32> = state
            .families
            .iter()
            .filter(|(_, target)| target.active.first_sequence() <= oldest.last_sequence)
            .map(|(id, _)| *id)
            .collect();
        holders.into_iter().try_for_each(|family| owner.seal(state, family))
    }

    /// The active log is given up (after a failure): the next write starts a new file.
    pub fn abandon_log(&self, state: &mut CommitState) {
        if let Some(wal) = state.wal.take() {
            state.previous = Some(wal.position());
        }
    }

    /// Gives up all logs, whose entries are in tables: the next one starts a history of its own. Returns their numbers.
    pub fn forget_logs(&self, state: &mut CommitState) -> Vec<u64> {
        state.wal = None;
        state.previous = None;
        state.wals.drain(..).map(|wal| wal.number).collect()
    }

    /// Cuts the preallocated rest off the active log, for a clean close. Gives the logs still needed.
    pub fn finish_log(&self, state: &mut CommitState) -> Result<Vec<(u64, u64)>> {
        if let Some(wal) = state.wal.take() {
            state.previous = Some(wal.finish()?);
        }
        Ok(state.wals.iter().map(|wal| (wal.number, wal.len)).collect())
    }

    /// The first log that is still needed when `oldest_unflushed` is the smallest unflushed sequence number; `None`
    /// if there is no log at all.
    pub fn first_needed_log(&self, state: &CommitState, oldest_unflushed: SequenceNumber) -> Option<u64> {
        let needed = state.wals.iter().find(|wal| wal.last_sequence >= oldest_unflushed);
        needed.or(state.wals.back()).map(|wal| wal.number)
    }

    /// Takes the logs before `first_needed`; the last one always stays.
    pub fn retire_logs(&self, state: &mut CommitState, first_needed: u64) -> Vec<u64> {
        let mut retired = Vec::new();
        while state.wals.len() > 1 && state.wals[0].number < first_needed {
            retired.extend(state.wals.pop_front().map(|wal| wal.number));
        }
        if let Some(last) = retired.last() {
            self.durability.forget_logs_below(last + 1);
        }
        retired
    }
}

/// Inserts a batch, which is in the log and was checked before.
fn insert(state: &CommitState, first: SequenceNumber, item: &Item<'_>) -> Result<()> {
    for family in item.families {
        let target = &state.families[family];
        for (number, hold) in item.holds {
            target.active.keep(*number, hold);
        }
        if item.options.disable_wal {
            target.active.note_unlogged(first);
        }
    }
    let mut sequence = first;
    let mut last: Option<(u32, &FamilyTarget)> = None;
    for record in BatchIter::over(item.bytes)? {
        let (family, kind, key, value) = match record? {
            Record::Put { column_family, key, value } => (column_family, EntryKind::Put, key, value),
            Record::Pointer { column_family, key, pointer } => {
                (column_family, EntryKind::Pointer, key, pointer)
            }
            Record::Delete { column_family, key } => (column_family, EntryKind::Delete, key, &[][..]),
            Record::SingleDelete { column_family, key } => {
                (column_family, EntryKind::SingleDelete, key, &[][..])
            }
            Record::Merge { column_family, key, operand } => (column_family, EntryKind::Merge, key, operand),
            Record::RangeDelete { column_family, start, end } => {
                (column_family, EntryKind::RangeDelete, start, end)
            }
            Record::LogData(_) => continue,
        };
        let target = match last {
            Some((id, target)) if id == family => target,
            _ => {
                let target = state.families.get(&family).ok_or_else(|| unknown_family(family))?;
                last = Some((family, target));
                target
            }
        };
        match kind {
            EntryKind::RangeDelete => target.active.delete_range(sequence, key, value),
            kind => target.active.insert(sequence, kind, key, value),
        }
        sequence += 1;
    }
    Ok(())
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
