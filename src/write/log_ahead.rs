//! What can be done for the log before or after its writer needs it done: pages made ready, the next file made, the
//! one before cut, unmapped and closed.
//!
//! 1. The writer, under the commit lock, looks at one number after each append (`CommitState`'s `ask_at`). Past it,
//!    `ask` says up to where pages should be ready and, from the middle of a file on, that the next one is wanted.
//! 2. The helper (`run`, a thread; `work_now` where there is none) does what was asked for, pages first: the writer
//!    is close behind.
//! 3. At rotation the writer hands over the full file (`finished`) and takes the next one (`take`). If that is being
//!    made just then it waits; if it could not be made there is none, and the writer makes one and meets the error.
//! 4. Full files of the usual size are left as they are, some of them: when the log in one is not needed any more
//!    (`put_by`), the file waits to be the next one. Its blocks are written and its pages mapped, so that nothing has
//!    to be allocated, zeroed or noted by the file system. The others are cut, unmapped and closed.
//!
//! How far ahead pages are made ready follows from how much is written between two syncs: a quarter of it, at least
//! one piece (`wal.buffer_size`), at most `MOST_PIECES`. Pages made ready are dirty, so each sync writes them too, with
//! all else in their folios; a log that is synced often is therefore written with calls, and none are made ready.
//!
//! Invariant A1: a file that is ready is durable with its name and noted in the manifest, and it is used for no
//! other log than the one that was written to when it was asked for, or one that followed a failure of that.
//! Invariant A2: a file is used again only when the manifest durably says that its log is not needed, its name is gone,
//! and nobody else holds it.
//! The lock here is a leaf: nothing is taken and nothing is done under it.

use crate::base::{Error, ErrorKind, Result};
use crate::env::Env;
use crate::wal::{WalPages, WalSyncer, WalWriter};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

/// The most pieces made ready ahead.
const MOST_PIECES: u64 = 128;
/// How often the helper looks whether a file that is not needed any more can be closed.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The log file after the one being written.
#[derive(Default)]
enum Next {
    /// Not asked for, taken, or not to be had.
    #[default]
    None,
    Wanted,
    Making,
    Ready(WalWriter),
}

#[derive(Default)]
struct State {
    /// Pages to make ready, and up to where.
    pages: Option<(WalPages, u64)>,
    /// Bytes at the beginning of the next file to make ready.
    next_bytes: u64,
    next: Next,
    /// To be cut to their length.
    finished: Vec<WalWriter>,
    /// Full files left as they are, whose logs may still be needed; oldest first.
    full: Vec<WalWriter>,
    /// Files of logs that are not needed any more, to be used again.
    spare: Vec<WalWriter>,
    /// Files that may be needed by a sync; with the last hold on one it is unmapped and closed.
    held: Vec<WalSyncer>,
    /// Files below this number are not needed.
    retired_below: u64,
    /// Files that were made and not used.
    unused: Vec<u64>,
    stop: bool,
}

/// Work that the log's writer leaves to others.
pub struct LogAhead {
    state: Mutex<State>,
    /// How many files are kept to be used again.
    recycled_files: usize,
    /// How long files are that can be.
    capacity: u64,
    /// Signalled for the helper.
    wanted: Condvar,
    /// Signalled when the next file was made, or was not.
    made: Condvar,
}

/// Makes the next log file: durable, and known to the manifest.
pub type MakeNext<'a> = &'a dyn Fn() -> Result<WalWriter>;

/// What the helper does next.
enum Work {
    Populate(WalPages, u64),
    Finish(WalWriter),
    Make,
    Close(Vec<WalSyncer>),
}

impl LogAhead {
    /// Keeps up to `recycled_files` files that can grow to `capacity`.
    pub(super) fn new(recycled_files: usize, capacity: u64) -> LogAhead {
        LogAhead {
            state: Mutex::default(),
            recycled_files,
            capacity,
            wanted: Condvar::new(),
            made: Condvar::new(),
        }
    }

    /// The log is written up to `end`, of which `unsynced` bytes are in no sync; `half` says that the next file should
    /// be made. Returns when to ask again.
    pub(super) fn ask(&self, pages: Option<WalPages>, end: u64, unsynced: u64, half: Option<u64>) -> u64 {
        let past_half = half.is_none_or(|half| end >= half);
        let next_look = half.filter(|_| !past_half).unwrap_or(u64::MAX);
        let mut state = self.state.lock();
        if state.stop {
            return u64::MAX;
        }
        if past_half && half.is_some() && matches!(state.next, Next::None) {
            state.next = Next::Wanted;
        }
        let Some(pages) = pages else { return next_look };
        let ahead = distance(unsynced, pages.piece());
        let target = end.saturating_add(ahead);
        let capacity = pages.capacity();
        state.next_bytes = target.saturating_sub(capacity);
        let ready = pages.populated().max(target);
        if pages.populated() < target.min(capacity) {
            state.pages = Some((pages, target));
        }
        let again = (ready - ahead / 2).max(end + 1);
        again.min(next_look.max(end + 1))
    }

    /// A file that takes no more frames.
    pub(super) fn finished(&self, log: WalWriter) {
        let reusable = self.recycled_files > 0 && log.is_reusable(self.capacity);
        let mut state = self.state.lock();
        state.pages = None;
        // One more than are kept: its log is needed until the next one is well under way.
        if reusable && state.full.len() + state.spare.len() <= self.recycled_files && !state.stop {
            state.full.push(log);
        } else {
            state.finished.push(log);
        }
    }

    /// The log `number` is not needed any more, as the manifest durably says. True if its file is kept to be used again
    /// and has given up its name; if not, the file is to be removed.
    pub(super) fn put_by(&self, number: u64, env: &dyn Env, dir: &Path) -> bool {
        let mut state = self.state.lock();
        let full = state.full.iter().position(|log| log.position().log == number);
        let Some(at) = full.filter(|_| state.spare.len() < self.recycled_files && !state.stop) else {
            return false;
        };
        let mut log = state.full.remove(at);
        let put_by = MutexGuard::unlocked(&mut state, || log.put_by(env, dir).is_ok());
        if put_by {
            state.spare.push(log);
        } else {
            state.held.push(log.syncer());
        }
        put_by
    }

    /// A file to be used again, if there is one. Those that can be no more are removed.
    pub(super) fn take_spare(&self, env: &dyn Env) -> Option<WalWriter> {
        let mut state = self.state.lock();
        let is_usable = |log: &WalWriter| !log.has_failed() && log.is_reusable(self.capacity);
        let (usable, spoilt): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.spare).into_iter().partition(is_usable);
        state.spare = usable;
        let free = state.spare.iter().position(WalWriter::is_free);
        let spare = free.map(|at| state.spare.remove(at));
        for log in spoilt {
            // What cannot be removed is swept at the next open.
            let _ = env.remove_file(log.path());
            state.held.push(log.syncer());
        }
        spare
    }

    /// Removes the files that wait to be used again: for their space, or at the end.
    pub(super) fn remove_spares(&self, env: &dyn Env) {
        let spares = std::mem::take(&mut self.state.lock().spare);
        for spare in spares {
            // What cannot be removed is swept at the next open.
            let _ = env.remove_file(spare.path());
        }
    }

    /// Cuts what is full and was left as it is.
    pub(super) fn cut_full(&self) {
        let full = std::mem::take(&mut self.state.lock().full);
        // If one cannot be cut, the rest is zeros or an older log, which replay knows of.
        full.into_iter().for_each(|log| drop(log.finish()));
    }

    /// The next file, if it was made in time. Under the commit lock: nobody asks for another meanwhile.
    pub(super) fn take(&self) -> Option<WalWriter> {
        let mut state = self.state.lock();
        while matches!(state.next, Next::Making) {
            self.made.wait(&mut state);
        }
        state.next_bytes = 0;
        match std::mem::take(&mut state.next) {
            Next::Ready(log) => Some(log),
            _ => None,
        }
    }

    /// A file that the manifest knows was made for nothing; it is removed with the logs of its age.
    pub(super) fn not_used(&self, number: u64) {
        self.state.lock().unused.push(number);
    }

    /// Takes the numbers of unused files below `number`.
    pub(super) fn take_unused_below(&self, number: u64) -> Vec<u64> {
        let mut state = self.state.lock();
        let (taken, kept) = state.unused.iter().partition(|unused| **unused < number);
        state.unused = kept;
        taken
    }

    /// Files below `number` are not needed any more: they are closed as soon as nobody syncs them.
    pub(super) fn retired_below(&self, number: u64) {
        let mut state = self.state.lock();
        state.retired_below = number.max(state.retired_below);
        let full = std::mem::take(&mut state.full).into_iter();
        let (gone, needed): (Vec<_>, Vec<_>) = full.partition(|log| log.position().log < number);
        state.full = needed;
        state.held.extend(gone.iter().map(WalWriter::syncer));
        self.wanted.notify_one();
    }

    /// Lets the helper look. After `ask` and `finished`, without the commit lock.
    pub(super) fn wake(&self) {
        self.wanted.notify_one();
    }

    /// Ends the helper, after it has cut what is finished. Nothing is made any more.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.stop = true;
        state.pages = None;
        self.wanted.notify_one();
    }

    /// The helper's body.
    pub(super) fn run(&self, make: MakeNext<'_>) {
        let mut state = self.state.lock();
        loop {
            if let Some(work) = next_work(&mut state, false) {
                self.perform(&mut state, work, make);
                continue;
            }
            if state.stop {
                return state.held.clear();
            }
            let below = state.retired_below;
            if state.held.iter().any(|log| log.number() < below) {
                self.wanted.wait_for(&mut state, LOOK_AGAIN);
            } else {
                self.wanted.wait(&mut state);
            }
        }
    }

    /// Does what there is to do, where no helper runs.
    pub(super) fn work_now(&self, make: MakeNext<'_>) {
        let mut state = self.state.lock();
        while let Some(work) = next_work(&mut state, true) {
            self.perform(&mut state, work, make);
        }
    }

    fn perform(&self, state: &mut MutexGuard<'_, State>, work: Work, make: MakeNext<'_>) {
        match work {
            Work::Populate(pages, to) => MutexGuard::unlocked(state, || {
                pages.populate(to);
                drop(pages);
            }),
            // If it cannot be cut, the rest is zeros or an older log, which replay knows of.
            Work::Finish(log) => MutexGuard::unlocked(state, || drop(log.finish())),
            Work::Close(logs) => MutexGuard::unlocked(state, || drop(logs)),
            Work::Make => {
                let made = MutexGuard::unlocked(state, || {
                    // A panic must not leave the writer waiting.
                    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| Err(panicked()))
                });
                // Without one, the writer makes one and meets the error.
                state.next = made.map_or(Next::None, Next::Ready);
                self.made.notify_all();
            }
        }
    }
}

/// Takes the most urgent piece of work. With `close_all` no file is kept open for the helper to close.
fn next_work(state: &mut State, close_all: bool) -> Option<Work> {
    if let Some((pages, to)) = state.pages.take() {
        return Some(Work::Populate(pages, to));
    }
    if let Next::Ready(next) = &state.next
        && let Some(pages) = next.pages()
        && pages.populated() < state.next_bytes
        && !state.stop
    {
        return Some(Work::Populate(pages, state.next_bytes));
    }
    if matches!(state.next, Next::Wanted) && !state.stop {
        state.next = Next::Making;
        return Some(Work::Make);
    }
    if let Some(log) = state.finished.pop() {
        state.held.push(log.syncer());
        return Some(Work::Finish(log));
    }
    let closes = |log: &WalSyncer| close_all || log.is_last();
    if state.held.iter().any(closes) {
        let (close, keep) = std::mem::take(&mut state.held).into_iter().partition(closes);
        state.held = keep;
        return Some(Work::Close(close));
    }
    None
}

/// How far ahead of a log with so many bytes in no sync.
fn distance(unsynced: u64, piece: u64) -> u64 {
    (unsynced / 4).clamp(piece, piece.saturating_mul(MOST_PIECES))
}

#[cold]
fn panicked() -> Error {
    Error::new(ErrorKind::Internal, "panic while the next log file was made; report this")
}
