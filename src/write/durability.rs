//! When writes become durable: syncs the value log, then the WAL, for everybody who waits at once.
//!
//! 1. A write that asks for durability says so under the commit lock (`request`): from then on nothing from it on
//!    becomes visible (the barrier of `publish`) until a sync has covered it.
//! 2. Whoever needs durability and finds no sync running does it himself, for all that is logged by then. Appends
//!    go on meanwhile. Those who come while a sync runs wait; the next sync is for all of them, done by the log
//!    thread where there is one (pipelined), else by one of them.
//!    A sync that others are about to need waits for them a little (`gather`).
//! 3. The log thread also syncs what nobody waits for: asynchronous writes, which it calls back, and the interval.
//!
//! Invariant W1: a sync first covers every segment with unsynced values, then the WAL.
//! A failed sync is final: nothing after the last good one becomes visible, every waiter gets the error, and no file
//! is synced again (a second fsync would lie).

use super::callback::{Callback, call, closed};
use super::gather::Gathering;
use super::publish::{Publisher, Ticket};
use crate::base::error::Subcode;
use crate::base::{Error, ErrorKind, Result, SequenceNumber};
use crate::env::Env;
use crate::value_log::ValueLog;
use crate::wal::{DurableMark, WalPosition, WalSyncer};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

thread_local! {
    /// Whose log thread this is, while it runs a callback.
    static CALLING: Cell<usize> = const { Cell::new(0) };
}

#[derive(Default)]
struct State {
    /// A sync has covered everything up to here.
    durable: SequenceNumber,
    durable_position: WalPosition,
    /// Writes that wait for durability: first and last sequence number, oldest first.
    requests: VecDeque<(SequenceNumber, SequenceNumber)>,
    /// Asynchronous writes by their last sequence number, oldest first.
    callbacks: VecDeque<(SequenceNumber, Callback)>,
    /// Logs with possibly unsynced bytes, oldest first; the last is the active one.
    logs: Vec<WalSyncer>,
    /// Somebody syncs.
    syncing: bool,
    /// Threads that wait for the sync after the one that runs.
    sync_waiters: usize,
    gathering: Gathering,
    failure: Option<Error>,
    /// The log thread runs a callback and serves nobody.
    calling: bool,
    /// How often `recovered` has begun anew: what a sync of before ends with is of no interest then.
    epoch: u64,
    stop: bool,
    /// Nobody syncs any more.
    ended: bool,
}

/// Syncs and publishes.
pub struct Durability {
    env: Arc<dyn Env>,
    value_log: Arc<ValueLog>,
    /// The log thread syncs for those who wait.
    pipelined: AtomicBool,
    publisher: Publisher,
    state: Mutex<State>,
    /// Signalled when `visible` or `durable` moves, on failure and at the end.
    moved: Condvar,
    /// Threads that wait for `moved`.
    waiting: AtomicUsize,
    /// Signalled for the log thread.
    wanted: Condvar,
    /// The log thread sleeps until the first unsynced write.
    sleeps_until_write: AtomicBool,
    /// There is a failure: nothing more is logged.
    failed: AtomicBool,
    durable: AtomicU64,
    marks: AtomicU64,
    syncs: AtomicU64,
    shared_syncs: AtomicU64,
}

impl Durability {
    /// With everything up to `last` durable and visible.
    pub fn new(env: Arc<dyn Env>, value_log: Arc<ValueLog>, last: SequenceNumber) -> Arc<Durability> {
        Arc::new(Durability {
            env,
            value_log,
            pipelined: AtomicBool::new(false),
            publisher: Publisher::new(last),
            state: Mutex::new(State { durable: last, ..State::default() }),
            moved: Condvar::new(),
            waiting: AtomicUsize::new(0),
            wanted: Condvar::new(),
            sleeps_until_write: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            durable: AtomicU64::new(last),
            marks: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            shared_syncs: AtomicU64::new(0),
        })
    }

    /// What readers see: everything up to here.
    #[inline]
    pub fn visible(&self) -> SequenceNumber {
        self.publisher.visible()
    }

    /// What a power loss cannot take.
    pub fn durable(&self) -> SequenceNumber {
        self.durable.load(Ordering::Acquire)
    }

    /// WAL syncs done.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Waits for durability that another thread's sync ended.
    pub fn shared_syncs(&self) -> u64 {
        self.shared_syncs.load(Ordering::Relaxed)
    }

    /// A number that changes with `mark`.
    #[inline]
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

    /// A new log file becomes the active one. Before anything is appended to it.
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

    /// Refuses what comes after a failure: it could never be durable.
    #[inline]
    pub(super) fn check(&self) -> Result<()> {
        if self.failed.load(Ordering::Relaxed) { self.failure().map_or(Ok(()), Err) } else { Ok(()) }
    }

    /// Shows `look` the failure, if there is one that `recovered` has not ended. It must not block.
    pub fn with_failure(&self, look: impl FnOnce(&Error)) {
        if let Some(failure) = &self.state.lock().failure {
            look(failure);
        }
    }

    /// A group stays half inserted: only the log has it whole.
    pub fn is_broken(&self) -> bool {
        self.publisher.is_broken()
    }

    /// Whether this thread is the log thread, in a callback.
    pub fn is_calling(&self) -> bool {
        CALLING.get() == std::ptr::from_ref(self).addr()
    }

    /// Everything up to here is in the log.
    #[inline]
    fn logged(&self) -> SequenceNumber {
        self.publisher.ticketed()
    }

    /// Everything up to `last` is in the log: a place in the order of publication. Under the commit lock.
    #[inline]
    pub(super) fn ticket(&self, last: SequenceNumber) -> Ticket {
        let ticket = self.publisher.ticket(last);
        if self.sleeps_until_write.load(Ordering::SeqCst) {
            // The first unsynced write: the interval begins.
            let _state = self.state.lock();
            self.sleeps_until_write.store(false, Ordering::SeqCst);
            self.wanted.notify_one();
        }
        ticket
    }

    /// The write `first..=last` is not to be seen before it is durable. Under the commit lock, before its ticket.
    pub(super) fn request(&self, first: SequenceNumber, last: SequenceNumber) {
        debug_assert!(first <= last, "a request that no sync would answer");
        let mut state = self.state.lock();
        state.requests.push_back((first, last));
        if state.requests.len() == 1 {
            self.publisher.set_barrier(Some(first));
        }
    }

    /// The group is in the memtables. Returns whether it is visible; if not, `wait` for it.
    #[inline]
    pub(super) fn inserted(&self, ticket: Ticket) -> bool {
        let done = self.publisher.done(ticket);
        self.wake_if(done.moved);
        done.visible
    }

    /// A group is half inserted and stays so.
    #[cold]
    pub(super) fn give_up(&self, error: Error) {
        self.publisher.give_up();
        let mut state = self.state.lock();
        self.failed.store(true, Ordering::Relaxed);
        // A group that is half inserted is worse than a sync that failed: it cannot be repaired.
        state.failure = Some(error);
        self.moved.notify_all();
        self.wanted.notify_all();
    }

    /// Waits until everything up to `last`, which has a ticket, is in the memtables.
    pub(super) fn wait_until_inserted(&self, last: SequenceNumber) {
        self.wake_if(self.publisher.wait_until_inserted(last));
    }

    /// Waits until no group is half inserted. Under the commit lock.
    pub fn drain(&self) {
        self.wake_if(self.publisher.drain());
    }

    /// This thread moved `visible`, perhaps over what others wait for.
    #[inline]
    fn wake_if(&self, moved: bool) {
        if moved && self.waiting.load(Ordering::SeqCst) > 0 {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        let _state = self.state.lock();
        self.moved.notify_all();
    }

    /// Waits until everything up to `sequence` is visible, or the sync it depends on has failed.
    pub fn wait(&self, sequence: SequenceNumber) -> Result<()> {
        if self.visible() >= sequence || self.publisher.spin_until_visible(sequence) {
            return Ok(());
        }
        let mut state = self.state.lock();
        // Before the look: who moves `visible` afterwards sees it.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let outcome = loop {
            if self.visible() >= sequence {
                break Ok(());
            }
            if let Some(error) = gone(&state) {
                break Err(error);
            }
            self.moved.wait(&mut state);
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        outcome
    }

    /// Makes everything logged before the call durable. Concurrent calls share syncs.
    pub fn sync(&self) -> Result<()> {
        match self.failure() {
            Some(failure) => Err(failure),
            // Nobody is made to wait for writers here: this thread may hold the commit lock, which they need.
            None => self.share_sync(self.logged(), &self.pipelined, false),
        }
    }

    /// Makes everything up to `sequence`, which is logged, durable: by a sync of this thread or of another.
    pub fn sync_until(&self, sequence: SequenceNumber) -> Result<()> {
        self.share_sync(sequence, &self.pipelined, true)
    }

    /// As `sync_until`; who had to wait does not lead while `leave_to_others` says so and the log thread is not in a
    /// callback, which may wait for those who wait here. `gathers`: who would lead waits for those about to come.
    fn share_sync(
        &self,
        sequence: SequenceNumber,
        leave_to_others: &AtomicBool,
        gathers: bool,
    ) -> Result<()> {
        let mut state = self.state.lock();
        let (mut waited, mut gathered) = (false, false);
        loop {
            if state.durable >= sequence {
                self.shared_syncs.fetch_add(u64::from(waited), Ordering::Relaxed);
                return Ok(());
            }
            if let Some(error) = gone(&state) {
                return Err(error);
            }
            let left_to_others = waited && leave_to_others.load(Ordering::Relaxed) && !state.calling;
            if !state.syncing && !left_to_others {
                let pending = state.requests.len();
                if gathers && let Some(limit) = state.gathering.wait(pending, self.env.now(), gathered) {
                    gathered = self.moved.wait_for(&mut state, limit).timed_out();
                    continue;
                }
                let epoch = state.epoch;
                let outcome = self.lead(state);
                state = self.state.lock();
                if outcome.is_ok() || state.epoch == epoch {
                    return outcome;
                }
                continue;
            }
            waited = true;
            state.sync_waiters += 1;
            if !state.syncing {
                // The log thread may have gone to sleep while this one gathered, or led in its place.
                self.wanted.notify_one();
            }
            self.moved.wait(&mut state);
            state.sync_waiters -= 1;
        }
    }

    /// Syncs everything logged by now.
    fn lead(&self, mut state: MutexGuard<'_, State>) -> Result<()> {
        state.syncing = true;
        let epoch = state.epoch;
        // In this order: a log is added before anything in it is logged.
        let logged = self.logged();
        let logs = state.logs.clone();
        drop(state);
        let began = self.env.now();
        if self.value_log.begin_sync() {
            // Side by side with the segments': only the waiting is in order, as the system may write anything anyway.
            logs.iter().for_each(WalSyncer::begin_sync);
        }
        // W1: everything logged had its values appended before, so this covers every pointer the WAL sync covers.
        let outcome = self.value_log.sync(None).and_then(|()| logs.iter().try_for_each(WalSyncer::sync));
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.syncing = false;
        if state.sync_waiters > 0 {
            self.wanted.notify_one();
        }
        match outcome {
            Ok(()) => {
                let asked = state.requests.len();
                self.synced(&mut state, logged, logs.last());
                let left = state.requests.len();
                state.gathering.synced(self.env.now().saturating_sub(began), asked - left, left);
                Ok(())
            }
            // Of files that are given up: what was in them is in tables.
            Err(error) if state.epoch != epoch => {
                // One of those who wait for the next sync leads it.
                self.moved.notify_all();
                Err(error)
            }
            Err(error) => Err(self.fail_locked(&mut state, error)),
        }
    }

    /// A sync has covered everything up to `logged`, and `active` up to where it is durable.
    fn synced(&self, state: &mut State, logged: SequenceNumber, active: Option<&WalSyncer>) {
        if logged >= state.durable {
            // Not after a sync that `recovered` overtook.
            state.durable = logged;
            if let Some(log) = active {
                state.durable_position = state.durable_position.max(log.durable());
                let number = log.number();
                state.logs.retain(|log| log.number() >= number);
            }
        }
        self.publish_durable(state);
    }

    /// Tells everybody of `state.durable`.
    fn publish_durable(&self, state: &mut State) {
        while state.requests.front().is_some_and(|(_, last)| *last <= state.durable) {
            state.requests.pop_front();
        }
        self.publisher.set_barrier(state.requests.front().map(|(first, _)| *first));
        self.durable.fetch_max(state.durable, Ordering::Release);
        self.publisher.republish();
        self.marks.fetch_add(1, Ordering::Release);
        self.moved.notify_all();
        if !state.callbacks.is_empty() {
            self.wanted.notify_all();
        }
    }

    /// Records a failure that makes further durability impossible; every waiter gets it.
    pub fn fail(&self, error: Error) -> Error {
        self.fail_locked(&mut self.state.lock(), error)
    }

    fn fail_locked(&self, state: &mut State, error: Error) -> Error {
        let error = error.with_subcode(Subcode::SyncUnknown).context(
            "sync failed: whether the write is durable is known only after the next open; the database is \
             read-only now",
        );
        self.failed.store(true, Ordering::Relaxed);
        let first = state.failure.get_or_insert(error).clone();
        self.moved.notify_all();
        self.wanted.notify_all();
        first
    }

    /// After everything inserted was made durable in tables (resume): syncing starts again with new logs. Under the
    /// commit lock, with no group half inserted.
    pub fn recovered(&self, position: WalPosition) {
        let mut state = self.state.lock();
        state.failure = None;
        state.epoch += 1;
        self.failed.store(false, Ordering::Relaxed);
        state.logs.retain(|log| log.number() >= position.log);
        state.durable = self.publisher.inserted();
        state.durable_position = position;
        self.publish_durable(&mut state);
    }

    /// After replay: everything up to `last` is in tables.
    pub fn set_recovered(&self, last: SequenceNumber) {
        let mut state = self.state.lock();
        state.durable = last;
        self.publisher.reset(last);
        self.durable.store(last, Ordering::Release);
    }

    /// Calls `callback` in the log thread once everything up to `last`, which is logged, is durable.
    pub(super) fn call_when_durable(&self, last: SequenceNumber, callback: Callback) {
        let mut state = self.state.lock();
        if state.ended {
            let outcome = if last <= state.durable { Ok(()) } else { Err(closed()) };
            drop(state);
            return call(callback, outcome);
        }
        let after = state.callbacks.iter().rposition(|(other, _)| *other <= last).map_or(0, |at| at + 1);
        state.callbacks.insert(after, (last, callback));
        self.wanted.notify_one();
    }

    /// Calls `callback` in the log thread once everything logged by now is durable.
    pub fn call_when_logged_is_durable(&self, callback: Callback) {
        self.call_when_durable(self.logged(), callback);
    }

    /// Does the log thread's work of the moment, where there is none. The callbacks are told of a failure too.
    pub fn sync_and_call_back(&self) -> Result<()> {
        let synced = self.sync();
        let mut state = self.state.lock();
        while let Some((callback, outcome)) = next_call(&mut state) {
            MutexGuard::unlocked(&mut state, || call(callback, outcome));
        }
        synced
    }

    /// Ends the log thread, after what somebody waits for.
    pub fn stop(&self) {
        self.state.lock().stop = true;
        self.wanted.notify_all();
    }

    /// Nobody syncs any more: what is not visible now stays so, and who waits for it is told.
    pub fn end(&self) {
        let (callbacks, durable) = {
            let mut state = self.state.lock();
            state.ended = true;
            self.moved.notify_all();
            (std::mem::take(&mut state.callbacks), state.durable)
        };
        for (last, callback) in callbacks {
            call(callback, if last <= durable { Ok(()) } else { Err(closed()) });
        }
    }

    /// The log thread's body: syncs for asynchronous writes and calls back, and with `interval` also syncs that often
    /// while there are unsynced writes. `failed` hears of a sync of its own that failed: nobody else may come by.
    pub fn run_log_thread(&self, interval: Option<Duration>, pipelined: bool, failed: &dyn Fn(&Error)) {
        self.pipelined.store(pipelined, Ordering::Relaxed);
        let mut last_sync = self.env.now();
        let mut state = self.state.lock();
        loop {
            if let Some((callback, outcome)) = next_call(&mut state) {
                state.calling = true;
                CALLING.set(std::ptr::from_ref(self).addr());
                if state.sync_waiters > 0 {
                    // They were left to this thread: now one of them leads.
                    self.moved.notify_all();
                }
                MutexGuard::unlocked(&mut state, || call(callback, outcome));
                CALLING.set(0);
                state.calling = false;
                continue;
            }
            let wanted = match self.next_sync(&state, interval, last_sync) {
                NextSync::Now => None,
                NextSync::After(wait) => Some(wait),
                NextSync::Never if state.stop => return self.stop_pipelining(&state),
                NextSync::Never => {
                    self.sleep_until_wanted(&mut state, interval.is_some());
                    continue;
                }
            };
            match wanted {
                Some(_) if state.stop => return self.stop_pipelining(&state),
                Some(wait) => {
                    self.wanted.wait_for(&mut state, wait);
                }
                None => {
                    let target = self.logged();
                    MutexGuard::unlocked(&mut state, || {
                        if let Err(error) = self.share_sync(target, &AtomicBool::new(false), true) {
                            failed(&error);
                        }
                    });
                    last_sync = self.env.now();
                }
            }
        }
    }

    /// From now on those who wait sync for themselves.
    fn stop_pipelining(&self, _state: &State) {
        self.pipelined.store(false, Ordering::Relaxed);
        self.moved.notify_all();
    }

    fn next_sync(&self, state: &State, interval: Option<Duration>, last_sync: Duration) -> NextSync {
        if state.failure.is_some() {
            return NextSync::Never;
        }
        // Those who wait for what is durable by now only need to be let run.
        let dirty = self.logged() > state.durable;
        let waited_for = dirty && state.sync_waiters > 0 && self.pipelined.load(Ordering::Relaxed);
        if !state.callbacks.is_empty() || waited_for {
            return NextSync::Now;
        }
        match interval.filter(|_| dirty) {
            None => NextSync::Never,
            Some(interval) => {
                let elapsed = self.env.now().saturating_sub(last_sync);
                if elapsed >= interval { NextSync::Now } else { NextSync::After(interval - elapsed) }
            }
        }
    }

    fn sleep_until_wanted(&self, state: &mut MutexGuard<'_, State>, for_writes: bool) {
        if for_writes {
            self.sleeps_until_write.store(true, Ordering::SeqCst);
            if self.logged() > state.durable && state.failure.is_none() {
                self.sleeps_until_write.store(false, Ordering::SeqCst);
                return;
            }
        }
        self.wanted.wait(state);
    }
}

/// What the log thread has to sync.
enum NextSync {
    Now,
    After(Duration),
    Never,
}

/// The oldest callback whose outcome is known.
fn next_call(state: &mut State) -> Option<(Callback, Result<()>)> {
    let (last, _) = state.callbacks.front()?;
    let outcome = if *last <= state.durable { Ok(()) } else { Err(state.failure.clone()?) };
    state.callbacks.pop_front().map(|(_, callback)| (callback, outcome))
}

/// Why what is waited for will not come.
fn gone(state: &State) -> Option<Error> {
    state.failure.clone().or_else(|| state.ended.then(closed))
}

#[cfg(test)]
#[path = "durability_tests.rs"]
mod tests;
