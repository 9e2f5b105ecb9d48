//! Checks the values that a replayed log names before the replay comes to them, in several threads.
//!
//! 1. `push` takes pointers in the order in which the replay will come to them, as far as the log can be seen ahead.
//!    Neighbours of a segment are joined into runs.
//! 2. A run that is long enough is handed over. Threads take runs from the oldest on; each reads its run with one call
//!    into a buffer that it keeps, and checks every record in it as `ValueLog::verify` does. Before a segment's first
//!    run is read the segment is synced and dropped from the page cache (R5); the other threads go on with other
//!    segments meanwhile.
//! 3. `verify` gives the verdict on a record. Who asks does not wait idly: it takes runs itself. Where there are no
//!    threads (`Env::runs_inline`) it is the only one that does, and only when a record is asked for.
//!
//! Invariant A2: the outcome is that of `ValueLog::verify`. What was checked here and is whole counts as whole.
//! Everything else is asked of `ValueLog::verify`, when the replay comes to it: a record that is torn, cannot be read,
//! or was never pushed. So a replay that ends early has seen no error of what comes after its end.

use super::ValueLog;
use super::format;
use super::reader;
use super::segments::Segment;
use crate::base::{Result, ValuePointer};
use crate::env::Joinable;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

/// Bytes of a run of several records, at most.
const RUN_BYTES: u64 = 512 << 10;
/// A longer gap between two records ends a run.
const GAP: u64 = 16 << 10;
/// Bytes and records that wait for `verify`, at most.
const AHEAD_BYTES: u64 = 64 << 20;
const AHEAD_RECORDS: usize = 1 << 15;
/// Runs that grow at once: more segments than that are not open for append, as a rule.
const GROWING: usize = 64;
/// Threads besides the one that asks.
const THREADS: usize = 4;

/// Where a log names a value: a record of a batch in a frame. Ordered as the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPlace {
    /// The log's number.
    pub log: u64,
    /// Where the frame starts.
    pub offset: u64,
    /// The record's number in the batch.
    pub record: u32,
}

/// Checks ahead of one replay. One thread at a time.
pub struct VerifyAhead {
    shared: Arc<Shared>,
    threads: Option<Vec<Box<dyn Joinable>>>,
    awaited: VecDeque<Awaited>,
    /// Bytes of records in `awaited`.
    bytes: u64,
    /// Runs that are awaited, the oldest first; the first has the number `first_run`.
    runs: VecDeque<Slot>,
    first_run: u64,
    /// The segments that have a run to which more may be added, and its number.
    growing: Vec<(u64, u64)>,
    buffer: Vec<u8>,
}

/// A record that was pushed and not asked for yet.
struct Awaited {
    place: LogPlace,
    run: u64,
    index: u32,
    len: u32,
}

/// A run, and how many of its records have not been asked for.
struct Slot {
    run: Stage,
    awaited: u32,
}

enum Stage {
    Growing(Run),
    HandedOver(Arc<Run>),
}

/// Records of a segment that are read together.
struct Run {
    segment: Arc<Segment>,
    offset: u64,
    end: u64,
    records: Vec<Record>,
    keys: Vec<u8>,
    /// Which records are whole.
    whole: OnceLock<Vec<bool>>,
}

struct Record {
    pointer: ValuePointer,
    column_family: u32,
    /// In the run's keys.
    key: Range<usize>,
}

/// What the threads share.
struct Shared {
    value_log: Arc<ValueLog>,
    queue: Mutex<Queue>,
    /// A run was queued, or no more will come.
    queued: Condvar,
    /// A run was checked.
    checked: Condvar,
}

#[derive(Default)]
struct Queue {
    runs: VecDeque<Arc<Run>>,
    ended: bool,
}

impl VerifyAhead {
    /// For a replay of logs that point into `value_log`.
    pub fn new(value_log: &Arc<ValueLog>) -> VerifyAhead {
        let (value_log, queue) = (Arc::clone(value_log), Mutex::default());
        let shared = Arc::new(Shared { value_log, queue, queued: Condvar::new(), checked: Condvar::new() });
        VerifyAhead {
            shared,
            threads: None,
            awaited: VecDeque::new(),
            bytes: 0,
            runs: VecDeque::new(),
            first_run: 0,
            growing: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Whether more should be pushed: false when enough waits for `verify`.
    pub fn has_room(&self) -> bool {
        self.bytes < AHEAD_BYTES && self.awaited.len() < AHEAD_RECORDS
    }

    /// A record that `verify` will perhaps be asked about. Places ascend.
    pub fn push(&mut self, place: LogPlace, pointer: &ValuePointer, column_family: u32, key: &[u8]) {
        debug_assert!(self.awaited.back().is_none_or(|last| last.place < place));
        let Some(segment) = self.shared.value_log.registry.get(pointer.segment) else { return };
        if reader::check_reach(&segment, pointer).is_err() {
            return;
        }
        let number = self.growing_run(segment, pointer);
        let slot = &mut self.runs[(number - self.first_run) as usize];
        let Stage::Growing(run) = &mut slot.run else { unreachable!("it was found growing") };
        let start = run.keys.len();
        run.keys.extend_from_slice(key);
        run.records.push(Record { pointer: *pointer, column_family, key: start..run.keys.len() });
        run.end = pointer.end();
        slot.awaited += 1;
        let (index, len) = (run.records.len() as u32 - 1, pointer.record_len);
        let is_long = run.end - run.offset >= RUN_BYTES;
        self.awaited.push_back(Awaited { place, run: number, index, len });
        self.bytes += u64::from(len);
        if is_long {
            self.hand_over(number);
        }
    }

    /// Whether the record `pointer` names is whole and belongs to `key`. Errors are I/O errors only. Places ascend;
    /// what was pushed for one before `place` is forgotten.
    pub fn verify(
        &mut self,
        place: LogPlace,
        pointer: &ValuePointer,
        column_family: u32,
        key: &[u8],
    ) -> Result<bool> {
        while self.awaited.front().is_some_and(|first| first.place < place) {
            self.forget_first();
        }
        if let Some(&Awaited { place: first, run, index, .. }) = self.awaited.front()
            && first == place
        {
            let is_whole = self.outcome(run)[index as usize];
            self.forget_first();
            if is_whole {
                return Ok(true);
            }
        }
        self.shared.value_log.verify(pointer, column_family, key)
    }

    /// The number of a run that takes the record.
    fn growing_run(&mut self, segment: Arc<Segment>, pointer: &ValuePointer) -> u64 {
        let growing = self.growing.iter().position(|(segment, _)| *segment == pointer.segment);
        if let Some((_, number)) = growing.map(|at| self.growing[at]) {
            if let Stage::Growing(run) = &self.runs[(number - self.first_run) as usize].run
                && (run.end..=run.end + GAP).contains(&pointer.offset)
                && pointer.end() - run.offset <= RUN_BYTES
            {
                return number;
            }
            self.hand_over(number);
        } else if self.growing.len() >= GROWING {
            self.hand_over(self.growing[0].1);
        }
        let number = self.first_run + self.runs.len() as u64;
        let (offset, end) = (pointer.offset, pointer.offset);
        let (records, keys, whole) = (Vec::new(), Vec::new(), OnceLock::new());
        let run = Stage::Growing(Run { segment, offset, end, records, keys, whole });
        self.runs.push_back(Slot { run, awaited: 0 });
        self.growing.push((pointer.segment, number));
        number
    }

    /// Lets the threads have a run.
    fn hand_over(&mut self, number: u64) {
        self.growing.retain(|(_, growing)| *growing != number);
        let slot = &mut self.runs[(number - self.first_run) as usize];
        let Stage::Growing(run) = &mut slot.run else { return };
        let (offset, end, whole) = (run.offset, run.end, OnceLock::new());
        let (records, keys) = (std::mem::take(&mut run.records), std::mem::take(&mut run.keys));
        let run = Arc::new(Run { segment: Arc::clone(&run.segment), offset, end, records, keys, whole });
        slot.run = Stage::HandedOver(Arc::clone(&run));
        self.shared.queue.lock().runs.push_back(run);
        self.shared.queued.notify_one();
        if self.threads.is_none() {
            self.threads = Some(self.start_threads());
        }
    }

    /// Without threads all is done by who asks.
    fn start_threads(&self) -> Vec<Box<dyn Joinable>> {
        let env = &self.shared.value_log.env;
        if env.runs_inline() {
            return Vec::new();
        }
        let start = |number| {
            let shared = Arc::clone(&self.shared);
            let body = move || {
                if number == 0 {
                    // The device writes what the later segments need while the first one is read.
                    shared.value_log.begin_sync();
                }
                shared.work();
            };
            env.spawn("auradb-verify", 0, Box::new(body)).ok()
        };
        (0..num_cpus::get().min(THREADS)).map_while(start).collect()
    }

    /// Which records of a run are whole.
    fn outcome(&mut self, number: u64) -> &[bool] {
        self.hand_over(number);
        let Stage::HandedOver(run) = &self.runs[(number - self.first_run) as usize].run else {
            unreachable!("it was handed over")
        };
        self.shared.wait_for(run, &mut self.buffer)
    }

    fn forget_first(&mut self) {
        let Some(first) = self.awaited.pop_front() else { return };
        self.bytes -= u64::from(first.len);
        self.runs[(first.run - self.first_run) as usize].awaited -= 1;
        while let Some(Slot { run, awaited: 0 }) = self.runs.front() {
            let number = self.first_run;
            if matches!(run, Stage::Growing(_)) {
                self.growing.retain(|(_, growing)| *growing != number);
            }
            self.runs.pop_front();
            self.first_run += 1;
        }
    }
}

impl Drop for VerifyAhead {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.runs.clear();
        queue.ended = true;
        drop(queue);
        self.shared.queued.notify_all();
        for thread in self.threads.take().into_iter().flatten() {
            thread.join();
        }
    }
}

impl Shared {
    /// Checks runs until no more will come.
    fn work(&self) {
        let mut buffer = Vec::new();
        let mut queue = self.queue.lock();
        while !queue.ended {
            match queue.runs.pop_front() {
                Some(run) => {
                    drop(queue);
                    self.check(&run, &mut buffer);
                    queue = self.queue.lock();
                    self.checked.notify_all();
                }
                None => self.queued.wait(&mut queue),
            }
        }
    }

    /// Which records of a run that was handed over are whole; until that is known, checks this run or others.
    fn wait_for<'r>(&self, run: &'r Arc<Run>, buffer: &mut Vec<u8>) -> &'r [bool] {
        loop {
            let mut queue = self.queue.lock();
            if let Some(whole) = run.whole.get() {
                return whole;
            }
            let own = queue.runs.iter().position(|queued| Arc::ptr_eq(queued, run));
            match own.and_then(|own| queue.runs.remove(own)).or_else(|| queue.runs.pop_front()) {
                Some(next) => {
                    drop(queue);
                    self.check(&next, buffer);
                }
                None => self.checked.wait(&mut queue),
            }
        }
    }

    /// A panic counts as not whole: it comes again, in the thread that asks.
    fn check(&self, run: &Run, buffer: &mut Vec<u8>) {
        let checked = catch_unwind(AssertUnwindSafe(|| run.check(&self.value_log, buffer)));
        let whole = checked.unwrap_or_else(|_| vec![false; run.records.len()]);
        assert!(run.whole.set(whole).is_ok(), "a run is checked by who took it from the queue");
    }
}

impl Run {
    fn check(&self, value_log: &ValueLog, buffer: &mut Vec<u8>) -> Vec<bool> {
        let len = (self.end - self.offset) as usize;
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let bytes = &mut buffer[..len];
        let is_read = reader::settle(value_log, &self.segment, self.offset).is_ok()
            && self.segment.file.file().read_at(self.offset, bytes).is_ok_and(|got| got == len);
        let is_whole = |Record { pointer, column_family, key }: &Record| {
            let start = (pointer.offset - self.offset) as usize;
            let record = &bytes[start..start + pointer.record_len as usize];
            format::check_record(record, pointer, *column_family, &self.keys[key.clone()]).is_ok()
        };
        self.records.iter().map(|record| is_read && is_whole(record)).collect()
    }
}
