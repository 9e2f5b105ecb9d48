//! When writes become durable and visible: syncs the value log, then the WAL, and publishes sequence numbers.
//!
//! The committer reports each group it has put into WAL and memtables (`inserted`). A group that asked for
//! durability, and every group after it, becomes visible when a sync has covered it; without a pending request a
//! group is visible at once. Who syncs is a setting: a log thread (`run_log_thread`), with later groups appended
//! meanwhile, or the committing thread itself.
//!
//! Invariant W1: a sync first covers every segment with unsynced values, then the WAL.
//! A failed sync is final: nothing after the last good one becomes visible, every waiter gets the error, and no file
//! is synced again (a second fsync would lie).

use crate::base::error::Subcode;
use crate::base::{Error, ErrorKind, Result, SequenceNumber};
use crate::env::Env;
use crate::value_log::ValueLog;
use crate::wal::{DurableMark, WalPosition, WalSyncer};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Default)]
struct State {
    /// Everything up to here is in WAL and memtables.
    inserted: SequenceNumber,
    /// Where the log stood then.
    position: WalPosition,
    /// Somebody waits for durability up to here.
    requested: SequenceNumber,
    /// A sync has covered everything up to here.
    durable: SequenceNumber,
    durable_position: WalPosition,
    /// Logs with possibly unsynced bytes, oldest first; the last is the active one.
    logs: Vec<WalSyncer>,
    failure: Option<Error>,
    stop: bool,
    /// Nobody syncs any more.
    ended: bool,
}

/// Syncs and publishes.
pub struct Durability {
    env: Arc<dyn Env>,
    value_log: Arc<ValueLog>,
    state: Mutex<State>,
    /// Signalled when `visible` moves, on failure and at the end.
    published: Condvar,
    /// Signalled for the log thread.
    wanted: Condvar,
    /// One sync at a time.
    syncing: Mutex<()>,
    visible: AtomicU64,
    durable: AtomicU64,
    marks: AtomicU64,
    syncs: AtomicU64,
}

impl Durability {
    /// With everything up to `last` durable and visible.
    pub fn new(env: Arc<dyn Env>, value_log: Arc<ValueLog>, last: SequenceNumber) -> Arc<Durability> {
        Arc::new(Durability {
            env,
            value_log,
            state: Mutex::new(State { inserted: last, requested: last, durable: last, ..State::default() }),
            published: Condvar::new(),
            wanted: Condvar::new(),
            syncing: Mutex::new(()),
            visible: AtomicU64::new(last),
            durable: AtomicU64::new(last),
            marks: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
        })
    }

    /// What readers see: everything up to here.
    pub fn visible(&self) -> SequenceNumber {
        self.visible.load(Ordering::Acquire)
    }

    /// What a power loss cannot take.
    pub fn durable(&self) -> SequenceNumber {
        self.durable.load(Ordering::Acquire)
    }

    /// WAL syncs done.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// A number that changes with `mark`.
    pub fn mark_version(&self) -> u64 {
        self.marks.load(Ordering::Acquire)
    }

    /// What is known durable now, to be written into the next WAL frame (R3).
    pub fn mark(&self) -> DurableMark {
        let wal = self.state.lock().durable_position;
        DurableMark { wal, segments: self.value_log.durable_marks() }
    }

    /// Refuses a write whose values a failed sync left in doubt: `resume` rewrites what memtables hold, but not what
    /// was still on its way (W1).
    pub fn check_segments(&self, mut segments: impl Iterator<Item = u64>) -> Result<()> {
        match segments.find(|segment| self.value_log.is_abandoned(*segment)) {
            None => Ok(()),
            Some(segment) => Err(Error::new(
                ErrorKind::TryAgain,
                format!(
                    "the value was written to segment {segment:06} before its sync failed: write it again"
                ),
            )),
        }
    }

    /// A new log file becomes the active one.
    pub fn add_log(&self, log: WalSyncer) {
        self.state.lock().logs.push(log);
    }

    /// Log files below `number` are gone: all they held is in tables.
    pub fn forget_logs_below(&self, number: u64) {
        self.state.lock().logs.retain(|log| log.number() >= number);
    }

    /// The failure that stopped syncing, if any.
    pub fn failure(&self) -> Option<Error> {
        self.state.lock().failure.clone()
    }

    /// A group up to `last` is in WAL and memtables, the log standing at `position`. Returns whether it is visible
    /// already; if not, `wait` for it. Calls come in the order of sequence numbers.
    pub fn inserted(&self, last: SequenceNumber, position: WalPosition, wants_sync: bool) -> bool {
        let mut state = self.state.lock();
        if state.inserted <= state.durable {
            // The first unsynced write: where there is an interval, it begins.
            self.wanted.notify_one();
        }
        state.inserted = last;
        state.position = position;
        if wants_sync {
            state.requested = last;
        }
        if state.requested > state.durable {
            self.wanted.notify_one();
            return false;
        }
        self.visible.store(last, Ordering::Release);
        // A flush may wait for a group whose memtable was sealed by a later batch of the same group.
        self.published.notify_all();
        true
    }

    /// Waits until everything up to `sequence` is visible, or the sync it depends on has failed.
    pub fn wait(&self, sequence: SequenceNumber) -> Result<()> {
        let mut state = self.state.lock();
        while self.visible() < sequence {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.ended {
                let message = "the database was closed before the write was synced: whether it is durable is known \
                               at the next open";
                return Err(
                    Error::new(ErrorKind::ShutdownInProgress, message).with_subcode(Subcode::SyncUnknown)
                );
            }
            self.published.wait(&mut state);
        }
        Ok(())
    }

    /// Makes everything inserted before the call durable, in this thread. Concurrent calls share syncs.
    pub fn sync(&self) -> Result<()> {
        let wanted = self.state.lock().inserted;
        let _one = self.syncing.lock();
        let (inserted, position, logs) = {
            let state = self.state.lock();
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.durable >= wanted && state.requested <= state.durable {
                return Ok(());
            }
            (state.inserted, state.position, state.logs.clone())
        };
        // W1: everything inserted had its values appended before, so this covers every pointer the WAL sync covers.
        let outcome = self.value_log.sync(None).and_then(|()| logs.iter().try_for_each(WalSyncer::sync));
        self.syncs.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Ok(()) => {
                self.synced(inserted, position);
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn synced(&self, inserted: SequenceNumber, position: WalPosition) {
        let mut state = self.state.lock();
        if inserted >= state.durable {
            // Not after a sync that `recovered` overtook.
            state.durable = inserted;
            state.durable_position = position;
        }
        state.logs.retain(|log| log.number() >= position.log);
        let visible = if state.requested <= inserted { state.inserted } else { inserted };
        self.durable.fetch_max(inserted, Ordering::Release);
        self.visible.fetch_max(visible, Ordering::Release);
        self.marks.fetch_add(1, Ordering::Release);
        self.published.notify_all();
    }

    /// Records a failure that makes further durability impossible; every waiter gets it.
    pub fn fail(&self, error: Error) -> Error {
        let error = error.with_subcode(Subcode::SyncUnknown).context(
            "sync failed: whether the write is durable is known only after the next open; the database is \
             read-only now",
        );
        let mut state = self.state.lock();
        let first = state.failure.get_or_insert(error).clone();
        self.published.notify_all();
        self.wanted.notify_all();
        first
    }

    /// After everything inserted was made durable in tables (resume): syncing starts again with new logs.
    pub fn recovered(&self, position: WalPosition) {
        let mut state = self.state.lock();
        state.failure = None;
        state.logs.retain(|log| log.number() >= position.log);
        state.requested = state.inserted;
        state.durable = state.inserted;
        state.durable_position = position;
        self.durable.store(state.inserted, Ordering::Release);
        self.visible.fetch_max(state.inserted, Ordering::Release);
        self.marks.fetch_add(1, Ordering::Release);
        self.published.notify_all();
    }

    /// After replay: everything up to `last` is in tables.
    pub fn set_recovered(&self, last: SequenceNumber) {
        let mut state = self.state.lock();
        (state.inserted, state.requested, state.durable) = (last, last, last);
        self.visible.store(last, Ordering::Release);
        self.durable.store(last, Ordering::Release);
    }

    /// Ends the log thread, after the sync that somebody waits for.
    pub fn stop(&self) {
        self.state.lock().stop = true;
        self.wanted.notify_all();
    }

    /// Nobody syncs any more: what is not visible now stays so, and who waits for it is told.
    pub fn end(&self) {
        self.state.lock().ended = true;
        self.published.notify_all();
    }

    /// The log thread's body: syncs whenever somebody waits, and with `interval` also that often while there are
    /// unsynced writes.
    pub fn run_log_thread(&self, interval: Option<Duration>) {
        let mut last_sync = self.env.now();
        loop {
            {
                let mut state = self.state.lock();
                loop {
                    if state.failure.is_none() && state.requested > state.durable {
                        break;
                    }
                    if state.stop {
                        return;
                    }
                    let dirty = state.inserted > state.durable && state.failure.is_none();
                    match interval.filter(|_| dirty) {
                        None => self.wanted.wait(&mut state),
                        Some(interval) => {
                            let elapsed = self.env.now().saturating_sub(last_sync);
                            if elapsed >= interval {
                                break;
                            }
                            self.wanted.wait_for(&mut state, interval - elapsed);
                        }
                    }
                }
            }
            // A failure is kept in the state, where every waiter finds it.
            let _ = self.sync();
            last_sync = self.env.now();
        }
    }
}
