//! The commit: sequence numbers and the WAL in order, memtables side by side.
//!
//! 1. Under the commit lock, which is held for a copy of the batch into the log: sequence numbers, log, a ticket.
//! 2. Outside it: into the memtables, beside other writers.
//! 3. `publish` makes batches visible in the order of their tickets; `durability` syncs for all who asked.
//!
//! What the log needs made ready ahead, and what is left to do for one that is full, `log_ahead` does.
//!
//! No allocation, no system call beyond the log's own, and without contention no futex. Whoever needs all of it at
//! rest (sealing a memtable, a new family, close) takes the lock by `Committer::lock`, which waits until nothing is
//! half inserted. Lock order: commit lock, then the engine's state lock.
//!
//! Invariant W5: WAL order is sequence order, and memtables hold a batch only after the WAL does.
//! Invariant W6: a memtable is sealed only when nothing is half inserted, so a sealed one never changes.

use super::callback::Callback;
use super::durability::Durability;
use super::families::{Families, Targets};
use super::log_ahead::LogAhead;
use super::publish::Ticket;
use super::separate::{Prepared, unknown_family};
use super::stats::CommitStats;
use crate::base::error::Subcode;
use crate::base::{Error, ErrorKind, Result, SequenceNumber};
use crate::config::SyncPolicy;
use crate::env::Env;
use crate::wal::{MAX_PAYLOAD_LEN, Previous, WalHeader, WalPosition, WalWriter, WalWriterOptions};
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Room a frame needs besides its payload: header, mark, alignment.
const FRAME_ROOM: usize = 4096;

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
    /// The offset in the log at which `LogAhead` is asked again.
    ask_at: u64,
    /// The file after this log was asked for.
    asked_for_next: bool,
    /// Bytes of earlier logs that were in no sync when they were left.
    unsynced_before: u64,
    /// Logs not retired, oldest first; the last is the active one.
    pub wals: VecDeque<LiveWal>,
    /// Column families by id.
    pub families: Families,
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
    /// Files of logs no longer needed that are kept to be used again.
    pub recycled_files: usize,
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
    /// Whether a helper runs the committer's `help_log`; if not, writers do what it would do.
    fn has_log_helper(&self) -> bool;
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

/// A batch that is in the log and has its place in the order of publication.
struct Logged {
    first: SequenceNumber,
    last: SequenceNumber,
    ticket: Ticket,
    targets: Targets,
    /// Not to be acknowledged before it is durable.
    sync: bool,
    /// There is something to do for the log.
    wants_help: bool,
}

/// Commits batches.
pub struct Committer {
    state: Mutex<CommitState>,
    durability: Arc<Durability>,
    settings: WalSettings,
    ahead: LogAhead,
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
                ask_at: 0,
                asked_for_next: false,
                unsynced_before: 0,
                wals: VecDeque::new(),
                families: Families::default(),
                last_sequence,
                mark_version: 0,
                writes_since_sync: 0,
                last_sync: settings.env.now(),
            }),
            durability,
            ahead: LogAhead::new(settings.recycled_files, capacity_of(settings.max_file_size)),
            settings,
            stats: CommitStats::default(),
        }
    }

    /// The state, with no commit running: nothing is half logged or half inserted while the guard lives.
    pub fn lock(&self) -> MutexGuard<'_, CommitState> {
        let state = self.state.lock();
        self.durability.drain();
        state
    }

    /// How the log is written.
    pub fn settings(&self) -> &WalSettings {
        &self.settings
    }

    /// Commits a batch and returns its last sequence number once it is visible (and durable, if it asked).
    pub fn commit(
        &self,
        prepared: &Prepared<'_>,
        options: CommitOptions,
        owner: &dyn Owner,
    ) -> Result<SequenceNumber> {
        let logged = self.log(prepared, options, false, owner)?;
        let visible = self.insert(prepared, &logged)?;
        if logged.wants_help {
            self.have_log_helped(owner);
        }
        if logged.sync {
            self.durability.sync_until(logged.last)?;
        }
        if !visible {
            self.durability.wait(logged.last)?;
        }
        Ok(logged.last)
    }

    /// Commits a batch without waiting for the device; `callback` hears when it is durable, or that it will not be.
    /// An error here means that the batch was not applied and `callback` is never called.
    pub fn commit_asynchronously(
        &self,
        prepared: &Prepared<'_>,
        owner: &dyn Owner,
        callback: Callback,
    ) -> Result<SequenceNumber> {
        let logged = self.log(prepared, CommitOptions::default(), true, owner)?;
        let visible = self.insert(prepared, &logged)?;
        if logged.wants_help {
            self.have_log_helped(owner);
        }
        if !visible {
            // Behind others who are not done yet. Behind a synced write it becomes visible with that.
            self.durability.wait_until_inserted(logged.last);
        }
        self.durability.call_when_durable(logged.last, callback);
        Ok(logged.last)
    }

    /// Gives the batch its sequence numbers, logs it, and takes its place in the order of publication.
    fn log(
        &self,
        prepared: &Prepared<'_>,
        options: CommitOptions,
        asynchronous: bool,
        owner: &dyn Owner,
    ) -> Result<Logged> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        owner.check_writable()?;
        self.durability.check()?;
        if !options.disable_wal {
            check_length(prepared)?;
        }
        self.durability.check_segments(prepared.holds.iter().map(|(segment, _)| *segment))?;
        self.make_room(state, prepared, owner)?;
        let first = state.last_sequence + 1;
        let wants_help = if options.disable_wal {
            false
        } else {
            let for_sync = options.sync || self.settings.policy == SyncPolicy::EveryWrite;
            self.append(state, first, prepared.bytes, for_sync, owner)?;
            state.wal.as_ref().is_some_and(|wal| wal.position().offset >= state.ask_at)
                && self.ask_ahead(state)
        };
        let targets = state.families.targets(&prepared.families)?;
        if options.disable_wal {
            targets.note_unlogged(first);
        }
        // One at least, for log data alone too: a sync, and who waits for it, goes by sequence numbers.
        let last = state.last_sequence + u64::from(prepared.count.max(1));
        state.last_sequence = last;
        if let Some(live) = state.wals.back_mut() {
            live.last_sequence = last;
        }
        let due = self.sync_is_due(state);
        // After a failed append there is no active log, but there may be one with unsynced writes.
        let sync =
            (options.sync || due) && !asynchronous && (state.wal.is_some() || state.previous.is_some());
        if sync {
            state.writes_since_sync = 0;
            self.durability.request(first, last);
        }
        let ticket = self.durability.ticket(last);
        self.stats.count(prepared);
        Ok(Logged { first, last, ticket, targets, sync, wants_help })
    }

    /// Seals what is full. Later, nothing that is checked here can fail.
    fn make_room(&self, state: &mut CommitState, prepared: &Prepared<'_>, owner: &dyn Owner) -> Result<()> {
        for family in prepared.families.iter() {
            let target = state.families.get(*family).ok_or_else(|| unknown_family(*family))?;
            if target.active.is_full(target.seal_at) && !target.active.is_empty() {
                owner.seal(state, *family)?;
            }
        }
        owner.keep_memory_within_limit(state)
    }

    /// Whether the policy asks that the write just logged be synced.
    fn sync_is_due(&self, state: &mut CommitState) -> bool {
        match self.settings.policy {
            SyncPolicy::Manual => false,
            SyncPolicy::EveryWrite => true,
            SyncPolicy::EveryNWrites(n) => {
                state.writes_since_sync += 1;
                state.writes_since_sync >= n
            }
            SyncPolicy::EveryNMs(_) if self.settings.log_thread => false,
            SyncPolicy::EveryNMs(ms) => {
                let now = self.settings.env.now();
                let due = now.saturating_sub(state.last_sync) >= Duration::from_millis(ms);
                if due {
                    state.last_sync = now;
                }
                due
            }
        }
    }

    /// Puts a logged batch into the memtables, beside other batches. Returns whether it is visible.
    fn insert(&self, prepared: &Prepared<'_>, logged: &Logged) -> Result<bool> {
        let whole = GiveUpUnlessWhole(&self.durability);
        logged.targets.hold(prepared);
        logged.targets.insert(prepared.bytes, logged.first)?;
        std::mem::forget(whole);
        Ok(self.durability.inserted(logged.ticket))
    }

    fn append(
        &self,
        state: &mut CommitState,
        first: SequenceNumber,
        bytes: &[u8],
        for_sync: bool,
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
        match wal.append_frame(&[&sequence, &bytes[8..]], mark.as_ref(), for_sync) {
            Ok(position) => {
                state.mark_version = version;
                let live = state.wals.back_mut().expect("the active log is listed");
                live.len = position.offset;
                Ok(())
            }
            Err(error) => {
                // The frame may be half there. The next log says where this one ended, so replay ignores it, and it is
                // cut off here if that works, with what else the file has to spare: the device may be full.
                state.previous = Some(wal.position());
                drop(state.wal.take().map(WalWriter::finish));
                Err(error.context("write-ahead log: the write was not applied; a new log file is tried next"))
            }
        }
    }

    /// Starts a new log file with room for `room` bytes at least.
    fn rotate(&self, state: &mut CommitState, room: usize, owner: &dyn Owner) -> Result<()> {
        self.durability.drain();
        self.seal_holders_of_oldest_log(state, owner)?;
        if let Some(wal) = state.wal.take() {
            let position = wal.position();
            let durable = wal.durable_len();
            let unsynced = if durable > WalWriterOptions::START { 0 } else { state.unsynced_before };
            state.unsynced_before = unsynced.saturating_add(position.offset - durable);
            state.previous = Some(position);
            self.ahead.finished(wal);
        }
        let wal = match self.made_ahead(state, room)? {
            Some(wal) => wal,
            None => self.create_log(state.previous.into(), room, owner)?,
        };
        state.ask_at = 0;
        state.asked_for_next = false;
        self.durability.add_log(wal.syncer());
        let position = wal.position();
        let last_sequence = state.last_sequence;
        state.wals.push_back(LiveWal { number: position.log, last_sequence, len: position.offset });
        state.wal = Some(wal);
        Ok(())
    }

    /// The file that was made ahead, taken into use: a few bytes to write and nothing else.
    fn made_ahead(&self, state: &CommitState, room: usize) -> Result<Option<WalWriter>> {
        let Some(mut wal) = self.ahead.take() else { return Ok(None) };
        let number = wal.position().log;
        let fits = wal.has_room(room);
        let Some(previous) = state.previous.filter(|_| fits) else {
            self.ahead.not_used(number);
            return Ok(None);
        };
        if let Err(error) = wal.continue_from(previous) {
            self.ahead.not_used(number);
            return Err(
                error.context("write-ahead log: the write was not applied; a new log file is tried next")
            );
        }
        Ok(Some(wal))
    }

    /// Makes a log file: durable, and noted in the manifest.
    fn create_log(&self, previous: Previous, room: usize, owner: &dyn Owner) -> Result<WalWriter> {
        let header =
            WalHeader { database: self.settings.database, number: owner.next_log_number()?, previous };
        let options = WalWriterOptions {
            mapped: self.settings.mapped,
            capacity: capacity_of(self.settings.max_file_size.max(room as u64)),
            buffer_size: self.settings.buffer_size,
        };
        let (env, dir) = (&*self.settings.env, &self.settings.dir);
        let spare = if previous == Previous::ToldLater { self.ahead.take_spare(env) } else { None };
        let wal = match spare {
            Some(spare) => {
                let wal = WalWriter::create_in(env, dir, &header, spare)?;
                self.stats.recycled_logs.fetch_add(1, Ordering::Relaxed);
                wal
            }
            None => WalWriter::create(env, dir, &header, options)?,
        };
        if let Err(error) = owner.log_started(header.number) {
            // The manifest may name it or not, so it stays, without what was allocated for it.
            self.ahead.not_used(header.number);
            let _ = wal.finish();
            return Err(error);
        }
        Ok(wal)
    }

    /// Says what should be made ready for the log. Returns true: somebody is to do it, when no lock is held.
    #[cold]
    fn ask_ahead(&self, state: &mut CommitState) -> bool {
        let Some(wal) = &state.wal else { return false };
        let (end, durable) = (wal.position().offset, wal.durable_len());
        if durable > WalWriterOptions::START {
            state.unsynced_before = 0;
        }
        let unsynced = (end - durable).saturating_add(state.unsynced_before);
        let half = Some(self.settings.max_file_size / 2).filter(|_| !state.asked_for_next);
        state.asked_for_next |= half.is_some_and(|half| end >= half);
        // Frames written with a call need no pages; perhaps later ones do.
        let pages = wal.pages().filter(|_| !wal.was_for_sync());
        let again = if wal.was_for_sync() { end + self.settings.buffer_size.max(1) } else { u64::MAX };
        state.ask_at = self.ahead.ask(pages, end, unsynced, half).min(again);
        true
    }

    /// Does what was asked for, or lets the helper do it. Without locks.
    #[cold]
    fn have_log_helped(&self, owner: &dyn Owner) {
        if owner.has_log_helper() {
            self.ahead.wake();
        } else {
            self.ahead.work_now(&|| self.create_log(Previous::ToldLater, 0, owner));
        }
    }

    /// The body of the thread that makes ready what the log needs. `stop_log_helper` ends it.
    pub fn help_log(&self, owner: &dyn Owner) {
        self.ahead.run(&|| self.create_log(Previous::ToldLater, 0, owner));
    }

    /// Nothing is made ready any more, and the helper ends.
    pub fn stop_log_helper(&self) {
        self.ahead.stop();
    }

    /// The file of the log `number`, which the manifest durably says is not needed, is kept for the next log. False: it
    /// is to be removed.
    pub fn recycles(&self, number: u64) -> bool {
        self.ahead.put_by(number, &*self.settings.env, &self.settings.dir)
    }

    /// Removes the files that are kept for next logs: for their space, or at the end.
    pub fn remove_spare_logs(&self) {
        self.ahead.remove_spares(&*self.settings.env);
    }

    /// Files of retired logs were removed: they are closed too, which gives their space back.
    pub fn close_logs_below(&self, number: u64) {
        self.ahead.retired_below(number);
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
            .map(|(id, _)| id)
            .collect();
        holders.into_iter().try_for_each(|family| owner.seal(state, family))
    }

    /// The active log is given up (after a failure): the next write starts a new file.
    pub fn abandon_log(&self, state: &mut CommitState) {
        if let Some(unused) = self.ahead.take() {
            self.ahead.not_used(unused.position().log);
        }
        if let Some(wal) = state.wal.take() {
            state.previous = Some(wal.position());
        }
    }

    /// Gives up all logs, whose entries are in tables, after `abandon_log`: the next one starts a history of its own.
    /// Returns their numbers, and those of files that were made for nothing.
    pub fn forget_logs(&self, state: &mut CommitState) -> Vec<u64> {
        state.wal = None;
        state.previous = None;
        let mut numbers: Vec<u64> = state.wals.drain(..).map(|wal| wal.number).collect();
        numbers.extend(self.ahead.take_unused_below(u64::MAX));
        numbers
    }

    /// Cuts the preallocated rest off the active log, for a clean close. Gives the logs still needed.
    pub fn finish_log(&self, state: &mut CommitState) -> Result<Vec<(u64, u64)>> {
        self.ahead.cut_full();
        if let Some(wal) = state.wal.take() {
            state.previous = Some(wal.finish()?);
        }
        if let Some(unused) = self.ahead.take() {
            // Its header says that it continues this log; without a frame nobody minds it. What cannot be cut is zeros.
            let _ = unused.finish();
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
        retired.extend(self.ahead.take_unused_below(first_needed));
        retired
    }
}

/// How long a file can grow that is to hold so many bytes.
fn capacity_of(bytes: u64) -> u64 {
    bytes + FRAME_ROOM as u64
}

/// Refuses a batch that no record holds, before a log is made for it.
fn check_length(prepared: &Prepared<'_>) -> Result<()> {
    let longest = MAX_PAYLOAD_LEN - FRAME_ROOM as u64;
    if prepared.bytes.len() as u64 <= longest {
        return Ok(());
    }
    Err(Error::invalid_argument(format!(
        "a batch of {} bytes: the longest that can be logged is {longest}; write smaller batches",
        prepared.bytes.len()
    )))
}

/// Dropped when a batch could not be inserted whole (a defect of ours): no reader may see it or what follows.
struct GiveUpUnlessWhole<'a>(&'a Durability);

impl Drop for GiveUpUnlessWhole<'_> {
    fn drop(&mut self) {
        self.0.give_up(
            Error::new(
                ErrorKind::Aborted,
                "a batch is half inserted; the log has it whole: reopen the database",
            )
            .with_subcode(Subcode::Panic),
        );
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
