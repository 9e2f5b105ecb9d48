//! Who does background work, and when: a small pool of threads started on demand, flushes before compactions.
//!
//! A job is chosen under the state lock and run without it. Where the environment has no threads (simulation),
//! `run_inline` runs everything due in the thread that caused it.

use super::family::Family;
use super::garbage::CopyWork;
use super::state::{BackgroundState, Engine, LogHelper};
use crate::base::error::Subcode;
use crate::base::extension::LogLevel;
use crate::base::{Error, ErrorKind, Result};
use crate::compaction::{self, CompactionPlan};
use crate::config::SyncPolicy;
use crate::memtable::write_buffer::WriteBuffer;
use crate::read::ReadView;
use crate::version::Version;
use crate::write::throttle::Pressure;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long background work waits before it tries again after a failure that may end by itself.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Bytes of compaction debt at which writers begin to be slowed, as a multiple of level 1's target.
const DEBT_SLOW: f64 = 64.0;
/// The same for the strongest slowing.
const DEBT_STOP: f64 = 256.0;
/// So many small memtables that wait for a flush count as a full one, at most.
const LEAST_WEIGHT: u64 = 8;

/// One piece of background work.
pub(super) enum Job {
    /// Flush all sealed memtables of these families, in one edit.
    Flush(Vec<Arc<Family>>),
    /// Run a compaction.
    Compact(Arc<Family>, Arc<Version>, CompactionPlan),
    /// Copy values out of segments that are to be emptied.
    Copy(CopyWork),
    /// Rewrite a table that points to values which were copied.
    Repoint(Arc<Family>, CompactionPlan),
    /// Only remove what nobody holds any more, as every job does at its end.
    Remove,
}

/// A job that is marked as running.
pub(super) struct Begun {
    number: u64,
    pub(super) job: Job,
}

/// What kind of job has ended.
#[derive(Clone, Copy, PartialEq)]
enum Ended {
    Flush,
    Compaction,
    Copying,
    Repointing,
    Removal,
}

/// Memtables that wait for a flush, those counting little that were sealed with little in them: by the values behind
/// them, by hand or for the log.
fn waiting_memtables(view: &ReadView, seal_at: u64) -> u64 {
    let of = |buffer: &Arc<WriteBuffer>| {
        (buffer.memory_bytes() as u64).clamp(seal_at.div_ceil(LEAST_WEIGHT), seal_at)
    };
    view.sealed.iter().map(of).sum::<u64>() / seal_at
}

impl Engine {
    /// Compactions that may run at once.
    pub(super) fn compaction_slots(&self) -> usize {
        let threads = self.options.config.compaction.max_threads;
        match self.options.max_background_jobs {
            0 => threads,
            jobs => threads.min(jobs.saturating_sub(1).max(1)),
        }
    }

    /// The next job that is due. Marks it as running.
    pub(super) fn next_job(&self, state: &mut BackgroundState) -> Option<Begun> {
        let job = self.job_due(state)?;
        Some(Begun { number: state.garbage.begin_job(), job })
    }

    fn job_due(&self, state: &mut BackgroundState) -> Option<Job> {
        if !state.started || state.shutdown || self.read_only || !self.health.allows_background() {
            return None;
        }
        if state.retry_at.is_some_and(|at| self.env.now() < at) {
            return None;
        }
        if let Some(job) = self.next_flush(state) {
            return Some(job);
        }
        let job = self
            .next_compaction(state)
            .or_else(|| self.next_expired(state))
            .or_else(|| self.next_garbage_job(state));
        if job.is_none() {
            self.end_retries(state);
        }
        job
    }

    /// What failed for want of space is not to be done any more (its garbage collection was for somebody who gave up):
    /// no success will ever tell that there is room, so writes find out themselves.
    fn end_retries(&self, state: &mut BackgroundState) {
        let runs = state.flushes + state.compactions + state.manual > 0 || state.garbage.is_running();
        if state.retry_at.is_none() || state.hold_flushes || runs {
            return;
        }
        state.retry_at = None;
        if self.health.clear_soft() {
            self.log(LogLevel::Info, format_args!("nothing is left that failed: writes go on"));
            self.update_pressure(state);
        }
    }

    fn next_compaction(&self, state: &mut BackgroundState) -> Option<Job> {
        if !state.look_for_compactions || state.compactions >= self.compaction_slots() {
            return None;
        }
        for family in self.all_families() {
            if family.is_dropped() || family.options.read().disable_auto_compactions {
                continue;
            }
            let version = Arc::clone(&family.view().version);
            if let Some(plan) =
                compaction::pick(family.id, &version, &self.level_options(&family), &family.order)
            {
                state.compactions += 1;
                return Some(Job::Compact(family, version, plan));
            }
        }
        state.look_for_compactions = false;
        None
    }

    /// Starts the log thread, if it does not run yet.
    pub(super) fn start_log_thread(&self) -> Result<()> {
        let mut running = self.log_thread.lock();
        // After close nobody would join it.
        if running.is_some() || self.env.runs_inline() || self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let interval = match self.committer.settings().policy {
            SyncPolicy::EveryNMs(ms) => Some(Duration::from_millis(ms)),
            _ => None,
        };
        let pipelined = self.options.config.wal.async_writes;
        let durability = Arc::clone(&self.durability);
        let engine = self.myself.get().cloned().unwrap_or_default();
        let failed = move |failure: &Error| {
            if let Some(engine) = engine.upgrade() {
                engine.fail(failure);
            }
        };
        let body = Box::new(move || durability.run_log_thread(interval, pipelined, &failed));
        *running = Some(self.env.spawn("auradb-log", 0, body)?);
        Ok(())
    }

    /// Whether the log's helper runs, after starting it; false where there are no threads. After the close has
    /// begun there is nothing more for it to do.
    pub(super) fn start_log_helper(&self) -> bool {
        if self.env.runs_inline() {
            return false;
        }
        let mut helper = self.log_helper.lock();
        if matches!(*helper, LogHelper::NotStarted) {
            let Some(engine) = self.myself.get().and_then(std::sync::Weak::upgrade) else { return false };
            let body = Box::new(move || engine.committer.help_log(&*engine));
            match self.env.spawn("auradb-ahead", 0, body) {
                Ok(thread) => *helper = LogHelper::Running(thread),
                Err(_) => return false,
            }
        }
        true
    }

    /// Ends the log's helper.
    pub(super) fn stop_log_helper(&self) {
        self.committer.stop_log_helper();
        let helper = std::mem::replace(&mut *self.log_helper.lock(), LogHelper::Ended);
        if let LogHelper::Running(thread) = helper {
            thread.join();
        }
    }

    fn next_flush(&self, state: &mut BackgroundState) -> Option<Job> {
        let mut due: Vec<Arc<Family>> = self
            .all_families()
            .into_iter()
            .filter(|family| !family.is_dropped() && !state.flushing.contains(&family.id))
            .filter(|family| family.is_flush_due())
            .collect();
        if !self.options.atomic_flush {
            due.truncate(1);
        } else if !due.is_empty() && state.flushing.is_empty() {
            // One that was picked is sealed together with all others.
            due = self.all_families().into_iter().filter(|family| !family.is_dropped()).collect();
        } else if !state.flushing.is_empty() {
            return None;
        }
        if due.is_empty() || state.hold_flushes {
            return None;
        }
        state.flushing.extend(due.iter().map(|family| family.id));
        state.flushes += 1;
        Some(Job::Flush(due))
    }

    /// Runs a job and books its end.
    pub(super) fn run_job(&self, begun: Begun) {
        let Begun { number, job } = begun;
        let outcome = catch_unwind(AssertUnwindSafe(|| match &job {
            Job::Flush(families) => self.flush_sealed(families),
            Job::Compact(family, version, plan) => self.compact(family, version, plan),
            Job::Copy(work) => self.copy_values(work),
            Job::Repoint(family, plan) => self.repoint(family, plan),
            Job::Remove => Ok(()),
        }))
        .unwrap_or_else(|panic| Err(panic_error(&panic)));
        // The plan's hold on its inputs ends before anybody looks for the next one, and that on their version before
        // obsolete tables are removed.
        let ended = match &job {
            Job::Flush(_) => Ended::Flush,
            Job::Compact(..) => Ended::Compaction,
            Job::Copy(_) => Ended::Copying,
            Job::Repoint(..) => Ended::Repointing,
            Job::Remove => Ended::Removal,
        };
        let flushed = match job {
            Job::Flush(families) => families,
            other => {
                drop(other);
                Vec::new()
            }
        };
        self.tell_of_direct();
        let mut state = self.state.lock();
        state.garbage.end_job(number);
        for family in &flushed {
            state.flushing.remove(&family.id);
        }
        match ended {
            Ended::Flush => state.flushes -= 1,
            Ended::Compaction => state.compactions -= 1,
            Ended::Copying => state.garbage.copying = false,
            Ended::Repointing => state.garbage.repointing = false,
            Ended::Removal => {}
        }
        if ended != Ended::Removal {
            state.look_for_compactions = true;
            state.expiry_due = Some(0);
            self.book_outcome(&mut state, outcome);
        }
        self.update_pressure(&mut state);
        self.wake_workers(&mut state);
        drop(state);
        self.done.notify_all();
        if ended == Ended::Compaction {
            self.close_unheld_segments();
        }
        self.remove_obsolete_files();
    }

    fn book_outcome(&self, state: &mut BackgroundState, outcome: Result<()>) {
        match outcome {
            Ok(()) => {
                state.retry_at = None;
                if self.health.clear_soft() {
                    self.log(LogLevel::Info, format_args!("there is room again: writes go on"));
                }
            }
            // The family was dropped while the job ran, or the database closes.
            Err(error)
                if matches!(error.kind(), ErrorKind::ShutdownInProgress | ErrorKind::ColumnFamilyDropped) => {
            }
            Err(error) => {
                state.retry_at = Some(self.env.now() + RETRY_AFTER);
                self.fail(&error);
            }
        }
    }

    /// Lets a worker look for jobs, starting one if all are busy.
    pub(super) fn wake_workers(&self, state: &mut BackgroundState) {
        // Not while recovery flushes: a worker would keep an engine whose open fails.
        if self.env.runs_inline() || !state.started || state.shutdown || self.read_only {
            return;
        }
        // One for flushes and one for garbage collection, which compactions must not keep waiting.
        let wanted = self.compaction_slots() + 2;
        if state.idle_threads == 0 && state.threads.len() < wanted {
            let Some(engine) = self.myself.get().and_then(std::sync::Weak::upgrade) else { return };
            let nice = self.options.background_nice;
            match self.env.spawn("auradb-work", nice, Box::new(move || engine.worker())) {
                Ok(thread) => state.threads.push(thread),
                Err(error) if state.threads.is_empty() => self.health.fail(&error),
                Err(_) => {}
            }
        }
        self.work.notify_one();
    }

    fn worker(&self) {
        loop {
            let job = {
                let mut state = self.state.lock();
                loop {
                    if state.shutdown {
                        return;
                    }
                    if let Some(job) = self.next_job(&mut state) {
                        // There may be more to do for another thread.
                        self.wake_workers(&mut state);
                        break job;
                    }
                    state.idle_threads += 1;
                    match self.sleep_of_workers(&state) {
                        Some(rest) => _ = self.work.wait_for(&mut state, rest),
                        None => self.work.wait(&mut state),
                    }
                    state.idle_threads -= 1;
                }
            };
            self.run_job(job);
        }
    }

    /// Where there are no threads: runs everything due. Called without any lock.
    pub(super) fn run_inline(&self) {
        if !self.env.runs_inline() {
            return;
        }
        loop {
            let job = {
                let mut state = self.state.lock();
                // A simulated clock may stand still: there is no waiting, so trying again is for the next call.
                if state.retry_at.is_some() && self.health.failure().is_none() {
                    state.retry_at = None;
                }
                self.next_job(&mut state)
            };
            match job {
                Some(job) => self.run_job(job),
                None => return,
            }
        }
    }

    /// Sets how much writers are held back, from how far flushes and compactions are behind. Called under the state
    /// lock.
    pub(super) fn update_pressure(&self, state: &mut BackgroundState) {
        let mut pressure = Pressure { values: self.update_space(state).slow, ..Pressure::default() };
        if pressure.values > 0.0 {
            pressure.reason = "the value log nears its bound (max_space_amp): garbage collection is behind";
        }
        for family in self.all_families().iter().filter(|family| !family.is_dropped()) {
            let view = family.view();
            let waiting = waiting_memtables(&view, family.seal_at());
            let options = family.options.read();
            if waiting >= options.memtable.count.max(2) as u64 {
                pressure.stop = true;
                pressure.reason = "memtables are full: the flush is behind";
            }
            if options.disable_auto_compactions {
                continue;
            }
            let runs = view.version.level0_runs();
            // Below the trigger no compaction would ever end the wait.
            let slowdown = options.level0_slowdown.max(options.level0_trigger).max(1);
            let stop = options.level0_stop.max(slowdown);
            if runs >= slowdown {
                pressure.reason = "level 0 has many tables: compaction is behind";
            }
            if runs >= stop {
                pressure.stop = true;
            } else if runs >= slowdown {
                pressure.slow = pressure.slow.max((runs - slowdown + 1) as f64 / (stop - slowdown) as f64);
            }
            let level1 = options.level1_bytes.max(1) as f64;
            drop(options);
            let debt = compaction::debt_bytes(&view.version, &self.level_options(family), &family.order);
            let behind = (debt as f64 / level1 - DEBT_SLOW) / (DEBT_STOP - DEBT_SLOW);
            if behind > 0.0 && pressure.reason.is_empty() {
                pressure.reason = "levels are above their targets: compaction is behind";
            }
            pressure.slow = pressure.slow.max(behind);
        }
        if self.health.failure().is_some() || self.closed.load(Ordering::Acquire) {
            pressure = Pressure::default();
        }
        // Any table may be one that a relocation has to rewrite.
        self.rate_limiter.set_hurried(pressure.hurries());
        self.throttle.set(pressure);
    }

    /// Waits until `ready`, doing the work itself where there are no threads. Ends with the failure that stops
    /// background work, or when the database closes.
    pub(super) fn wait_until(&self, ready: &dyn Fn(&BackgroundState) -> bool) -> Result<()> {
        loop {
            self.run_inline();
            let mut state = self.state.lock();
            if ready(&state) {
                return Ok(());
            }
            self.check_open()?;
            if let Some(failure) = self.health.failure() {
                return Err(failure);
            }
            if self.env.runs_inline() {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "background work that was waited for is not due",
                ));
            }
            self.done.wait_for(&mut state, Duration::from_millis(100));
        }
    }

    /// Runs a caller's own work on files: not after the close has begun, which waits for it.
    pub(super) fn in_foreground<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        struct Leave<'a>(&'a Engine);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.state.lock().foreground -= 1;
                self.0.done.notify_all();
            }
        }
        let mut state = self.state.lock();
        self.check_open()?;
        state.foreground += 1;
        drop(state);
        let _leave = Leave(self);
        work()
    }

    /// Ends the worker threads, and waits for callers' work on files. Running jobs stop early where they can.
    pub(super) fn stop_workers(&self) {
        let threads = {
            let mut state = self.state.lock();
            state.shutdown = true;
            self.cancel.store(true, Ordering::Release);
            std::mem::take(&mut state.threads)
        };
        self.work.notify_all();
        self.done.notify_all();
        for thread in threads {
            thread.join();
        }
        let mut state = self.state.lock();
        while state.foreground > 0 {
            self.done.wait_for(&mut state, Duration::from_millis(20));
        }
    }
}

/// The error for a caught panic: the database turns read-only, the process lives.
pub(super) fn panic_error(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_string());
    Error::new(
        ErrorKind::Internal,
        format!("panic in background work: {text}; reopen the database and report this"),
    )
    .with_subcode(Subcode::Panic)
}
