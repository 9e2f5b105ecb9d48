//! Values that will be asked for one after another, brought in together.
//!
//! 1. `push` takes pointers in the order in which a scan will come to them, `plan` sorts them by their place and joins
//!    neighbours, with small gaps between them, into runs.
//! 2. `read` reads a run with one call when the first of its values is asked for, and checks each record by itself,
//!    just as a single read does. What does not pass is left to a single read, which tries again and says what is
//!    wrong: a damaged record, or a run that cannot be read, hurts nobody but whom it concerns.
//! 3. The first run that is not in memory has all of them announced to the system, so that the device fetches what
//!    comes later while the scan works on what has come. While all are in memory that costs nothing.
//!
//! Past the page cache nobody fetches what was announced. There a call waits for the device, so runs are longer, with
//! longer gaps and longer records in them, and nothing is announced.
//!
//! The caller says which values are put into the cache: those of a long scan would push out what point reads need, and
//! be gone themselves before the scan comes round again.
//!
//! Invariant A1: whatever `push` was given, `read` gives the value of the pointer and the key it is asked for, or none.

use super::format::{self, RECORD_HEADER_LEN, SEGMENT_HEADER_LEN};
use super::segments::Segment;
use super::{ValueBytes, ValueLog, reader};
use crate::base::compression::decompress_into;
use crate::base::{Codec, Result, ValuePointer};
use crate::env::File;
use crate::env::aligned::{AlignedBuffer, read_around};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A gap that is read and thrown away: about what a system call costs.
const GAP_READ: u64 = 4 << 10;
/// A gap that the device may as well bring: about what a request costs it.
const GAP_ANNOUNCED: u64 = 16 << 10;
/// Longest run of several records. It is read into one buffer, which should stay in the processor's cache.
const RUN_MAX: u64 = 128 << 10;
/// A longer record is read alone: the call is little of what that takes.
const JOINED_MAX: u32 = 16 << 10;
/// The same three past the page cache, where a call costs what the device takes for it.
const GAP_READ_DIRECT: u64 = 64 << 10;
const RUN_MAX_DIRECT: u64 = 512 << 10;
const JOINED_MAX_DIRECT: u32 = 128 << 10;
/// For values from this size on the cache is always asked: one that it has not costs much more than the question.
const LARGE: u32 = 4 << 10;
/// Of smaller values it is asked for one of so many, unless it had half of those asked for in the plan before.
const LOOKUP_STRIDE: usize = 8;
/// Longer buffers are given back.
const KEPT_LEN: usize = 1 << 20;
/// Buffers that are kept for later runs.
const KEPT_BUFFERS: usize = 64;

/// No run.
const ALONE: u32 = u32::MAX;

struct Planned {
    /// `None` keeps the place of an entry without one.
    pointer: Option<ValuePointer>,
    run: u32,
}

struct Run {
    segment: Arc<Segment>,
    /// What it is read through.
    file: Arc<dyn File>,
    offset: u64,
    end: u64,
    /// Records that the scan has not passed.
    left: u32,
    /// Whether others may join.
    open: bool,
    state: RunState,
    bytes: AlignedBuffer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RunState {
    NotRead,
    /// Its bytes begin here in the buffer.
    Read(usize),
    Failed,
}

/// What may be read with one call.
struct Limits {
    gap: u64,
    run: u64,
    record: u32,
}

const CACHED: Limits = Limits { gap: GAP_READ, run: RUN_MAX, record: JOINED_MAX };
const DIRECT: Limits = Limits { gap: GAP_READ_DIRECT, run: RUN_MAX_DIRECT, record: JOINED_MAX_DIRECT };

/// By whether the file is read past the page cache.
fn limits(file: &dyn File) -> &'static Limits {
    if file.alignment() > 1 { &DIRECT } else { &CACHED }
}

/// Where the value read last is.
enum Shown {
    Nothing,
    InRun(usize, Range<usize>),
    Restored(usize),
    Cached(ValueBytes),
}

/// Reads ahead of one scan. One thread at a time.
pub struct ReadAhead {
    planned: Vec<Planned>,
    runs: Vec<Run>,
    order: Vec<u32>,
    shown: Shown,
    restored: Vec<u8>,
    spare: Vec<AlignedBuffer>,
    /// Small values that the cache was asked for, and had, in this plan.
    asked: u32,
    found: u32,
    /// Whether it is asked for all.
    looks_up_all: bool,
    /// Whether the system was told about the runs.
    announced: bool,
}

impl Default for ReadAhead {
    fn default() -> Self {
        ReadAhead {
            planned: Vec::new(),
            runs: Vec::new(),
            order: Vec::new(),
            shown: Shown::Nothing,
            restored: Vec::new(),
            spare: Vec::new(),
            asked: 0,
            found: 0,
            looks_up_all: true,
            announced: false,
        }
    }
}

impl ReadAhead {
    /// Forgets what was planned.
    pub fn clear(&mut self) {
        self.shown = Shown::Nothing;
        self.announced = false;
        self.planned.clear();
        while let Some(run) = self.runs.pop() {
            self.keep(run.bytes);
        }
    }

    /// The next entry of the scan, and the pointer it has, if any.
    pub fn push(&mut self, pointer: Option<ValuePointer>) {
        self.planned.push(Planned { pointer, run: ALONE });
    }

    /// Makes runs of all that was pushed.
    pub fn plan(&mut self, log: &ValueLog) {
        if self.asked > 0 {
            self.looks_up_all = 2 * self.found >= self.asked;
            (self.asked, self.found) = (0, 0);
        }
        let place = |planned: &Planned| planned.pointer.map(|pointer| (pointer.segment, pointer.offset));
        self.order.clear();
        let with_pointer = self.planned.iter().enumerate().filter(|(_, planned)| planned.pointer.is_some());
        self.order.extend(with_pointer.map(|(index, _)| index as u32));
        let planned = &self.planned;
        self.order.sort_unstable_by_key(|index| place(&planned[*index as usize]));
        let mut segment: Option<Arc<Segment>> = None;
        for at in 0..self.order.len() {
            let index = self.order[at] as usize;
            let Some(pointer) = self.planned[index].pointer else { continue };
            if segment.as_ref().is_none_or(|segment| segment.number != pointer.segment) {
                segment = log.registry.get(pointer.segment);
            }
            let Some(segment) = &segment else { continue };
            // Before anything is allocated.
            let reaches_out = pointer.end() > segment.file.appended_len();
            if reaches_out
                || pointer.offset < SEGMENT_HEADER_LEN
                || (pointer.record_len as usize) < RECORD_HEADER_LEN
            {
                continue;
            }
            let file = log.reader(segment, pointer.end());
            self.planned[index].run = self.join(segment, file, &pointer);
        }
    }

    /// The run that the record belongs to: the last one, or a new one.
    fn join(&mut self, segment: &Arc<Segment>, file: &Arc<dyn File>, pointer: &ValuePointer) -> u32 {
        let limits = limits(&**file);
        if let Some(run) = self.runs.last_mut()
            && run.open
            && run.segment.number == pointer.segment
            && Arc::ptr_eq(&run.file, file)
            && pointer.record_len <= limits.record
            && pointer.offset <= run.end + limits.gap
            && pointer.end() - run.offset <= limits.run
        {
            run.end = run.end.max(pointer.end());
            run.left += 1;
        } else {
            self.runs.push(Run {
                segment: Arc::clone(segment),
                file: Arc::clone(file),
                offset: pointer.offset,
                end: pointer.end(),
                left: 1,
                open: pointer.record_len <= limits.record,
                state: RunState::NotRead,
                bytes: AlignedBuffer::new(),
            });
        }
        self.runs.len() as u32 - 1
    }

    /// Tells the system what will be read: the run that is waited for, then all, but for those past the page cache.
    #[cold]
    fn announce(&mut self, first: usize) {
        self.announced = true;
        let tell = |run: &Run, end: u64| {
            if run.file.alignment() == 1 {
                run.file.will_need(run.offset, end - run.offset);
            }
        };
        tell(&self.runs[first], self.runs[first].end);
        let near = |a: &Run, b: &Run| Arc::ptr_eq(&a.file, &b.file) && b.offset <= a.end + GAP_ANNOUNCED;
        for runs in self.runs.chunk_by(near) {
            tell(&runs[0], runs[runs.len() - 1].end);
        }
    }

    /// Reads the value of the entry pushed as number `index`, which is that of `key`, and puts it into the cache if it
    /// is to be `kept`; false if that has to be done without this. It is `value` then, until the next call.
    pub fn read(&mut self, log: &ValueLog, index: usize, column_family: u32, key: &[u8], kept: bool) -> bool {
        self.shown = Shown::Nothing;
        let Planned { pointer: Some(pointer), run: number } = self.planned[index] else { return false };
        let Some(run) = self.runs.get(number as usize) else { return false };
        if pointer.record_len > limits(&*run.file).record {
            return false;
        }
        if (kept || self.looks_up(index, &pointer))
            && let Some(value) = self.look_up(log, &pointer, column_family, key)
        {
            self.shown = Shown::Cached(value);
            return true;
        }
        let number = number as usize;
        let Some(start) = self.fetch(number) else { return false };
        let run = &self.runs[number];
        let start = start + (pointer.offset - run.offset) as usize;
        let record = &run.bytes.as_slice()[start..start + pointer.record_len as usize];
        let Ok(header) = format::check_record(record, &pointer, column_family, key) else { return false };
        let value = RECORD_HEADER_LEN + key.len()..record.len();
        if kept {
            let Some(value) = reader::keep(log, &pointer, record, &header) else { return false };
            self.shown = Shown::Cached(value);
        } else if header.codec == Codec::None {
            self.shown = Shown::InRun(number, start + value.start..start + value.end);
        } else {
            let len = header.value_len as usize;
            if self.restored.len() < len {
                self.restored.resize(len, 0);
            }
            if !decompress_into(header.codec, &record[value], &mut self.restored[..len]) {
                return false;
            }
            self.shown = Shown::Restored(len);
        }
        log.values_read.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Whether the cache is to be asked for a value that is not to be kept there.
    fn looks_up(&self, index: usize, pointer: &ValuePointer) -> bool {
        self.looks_up_all || pointer.value_len >= LARGE || index.is_multiple_of(LOOKUP_STRIDE)
    }

    /// The value if the cache has it.
    fn look_up(
        &mut self,
        log: &ValueLog,
        pointer: &ValuePointer,
        column_family: u32,
        key: &[u8],
    ) -> Option<ValueBytes> {
        let value = reader::cached(log, pointer, column_family, key);
        if pointer.value_len < LARGE {
            self.asked += 1;
            self.found += u32::from(value.is_some());
        }
        value
    }

    /// Whether the value of the entry pushed as number `index` is dearer to read than to find in the cache.
    pub fn is_large(&self, index: usize) -> bool {
        self.planned[index].pointer.is_some_and(|pointer| pointer.value_len >= LARGE)
    }

    /// The value read last.
    pub fn value(&self) -> &[u8] {
        match &self.shown {
            Shown::Nothing => &[],
            Shown::InRun(number, range) => &self.runs[*number].bytes.as_slice()[range.clone()],
            Shown::Restored(len) => &self.restored[..*len],
            Shown::Cached(value) => value.as_slice(),
        }
    }

    /// The scan has left the entry pushed as number `index`.
    pub fn pass(&mut self, index: usize) {
        self.shown = Shown::Nothing;
        let run = self.planned[index].run;
        let Some(run) = self.runs.get_mut(run as usize) else { return };
        run.left -= 1;
        if run.left == 0 {
            let bytes = std::mem::take(&mut run.bytes);
            run.state = RunState::NotRead;
            self.keep(bytes);
        }
        if self.restored.len() > KEPT_LEN {
            self.restored = Vec::new();
        }
    }

    /// Makes sure that the run's bytes are there, and tells where in the buffer they begin.
    fn fetch(&mut self, number: usize) -> Option<usize> {
        let run = &self.runs[number];
        if run.state == RunState::NotRead {
            let len = (run.end - run.offset) as usize;
            let mut bytes = self.spare.pop().unwrap_or_default();
            let got = self.read_run(number, len, &mut bytes);
            let run = &mut self.runs[number];
            run.bytes = bytes;
            run.state = match got {
                Ok(range) if range.len() == len => RunState::Read(range.start),
                _ => RunState::Failed,
            };
        }
        match self.runs[number].state {
            RunState::Read(start) => Some(start),
            RunState::NotRead | RunState::Failed => None,
        }
    }

    fn read_run(&mut self, number: usize, len: usize, bytes: &mut AlignedBuffer) -> Result<Range<usize>> {
        let run = &self.runs[number];
        let (file, offset) = (&run.file, run.offset);
        if !self.announced && file.alignment() == 1 {
            if let Some(got) = file.read_if_in_memory(offset, bytes.take(len, 1))? {
                return Ok(0..got);
            }
            self.announce(number);
        }
        read_around(&*self.runs[number].file, offset, len, bytes)
    }

    fn keep(&mut self, bytes: AlignedBuffer) {
        if (1..=KEPT_LEN).contains(&bytes.capacity()) && self.spare.len() < KEPT_BUFFERS {
            self.spare.push(bytes);
        }
    }
}
