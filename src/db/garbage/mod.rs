//! Garbage collection of the value log.
//!
//! What is dead is known exactly and at no cost: each table's properties say how many bytes of which segment its
//! entries refer to, the manifest holds them, and the sum over the current tables changes with the very edit that adds
//! or drops a table. Whatever else a segment holds is dead, whoever dropped it: a flush or compaction that shadowed it,
//! a range deletion, a filter, a dropped family, a write that failed after its value was appended, a crash.
//!
//! 1. `space` (pure): how much is alive, where the bound lies, which segments are worth emptying.
//! 2. A segment that nothing refers to is removed at once (`Engine::remove_obsolete_files`): tables, memtables and
//!    writes under way hold what they point into.
//! 3. `relocate`: what is alive in the victims is copied to other segments, in key order; then every table that points
//!    into a victim is replaced by its copy with new pointers, by one edit each. Compactions do the same for what
//!    passes through them. What is written meanwhile plays no part: an entry stays what it is, and whoever still reads
//!    the old table keeps it and its segments.
//! 4. `histories`: what newer entries hide for good, without a compaction having met both, is not copied.
//! 5. `by_hand`: to collect everything now, and to verify every value.
//!
//! Invariants:
//! - G1: a copy is durable before a table points to it, and held until one does.
//! - G2: a victim goes only when no table and no memtable refers to it and the last reader has left; that holds at
//!   every crash, since what is referred to is told by tables and logs alone.
//! - G3: no entry is changed but for the place of its value; one that no read can reach any more (H1 to H3 of
//!   `histories`), or that has expired, becomes a deletion of the same sequence number.

mod by_hand;
mod histories;
#[cfg(test)]
mod histories_tests;
mod relocate;
pub(super) mod report;
#[cfg(test)]
mod simulation_tests;
pub(super) mod space;

use super::family::Family;
use super::state::{BackgroundState, Engine};
use crate::compaction::LevelOptions;
use crate::compaction::policy::HiddenBytes;
use crate::config::ValueLogConfig;
use crate::memtable::write_buffer::WriteBuffer;
use crate::read::ReadView;
use crate::value_log::{Copier, Relocation, SegmentInfo};
use crate::version::Version;
use parking_lot::Mutex;
use space::{Batch, Bound, Candidate, Limits, Space};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use by_hand::AskedFor;
pub(super) use relocate::CopyWork;

/// Bytes of tables rewritten for pointers cost this much less than what the relocation frees.
const FREED_TO_REWRITTEN: u64 = 8;
/// How often the space is looked at while values are written.
const LOOKS_A_SEGMENT: u64 = 8;
/// Writers do not wait longer than that for jobs to let go of a segment.
const JOBS_HOLD: Duration = Duration::from_secs(10);
/// Values copied in one relocation, at most: each takes some memory until the tables are rewritten.
const MOST_VALUES: u64 = 1 << 20;

/// Garbage collection of one engine.
pub(super) struct Garbage {
    /// Whether it starts by itself.
    pub(super) automatic: bool,
    pub(super) bound: Bound,
    pub(super) copier: Mutex<Copier>,
    /// Value-log bytes that the levels of all families may hide, and that a memtable may refer to.
    pub(super) hidden_budget: Arc<AtomicU64>,
    pub(super) memtable_limit: Arc<AtomicU64>,
    /// A batch of fewer bytes has no value that is separated.
    pub(super) least_threshold: AtomicU64,
    /// Bytes of values since the space was looked at.
    unseen: AtomicU64,
    /// The last copies did not fit onto the device.
    pub(super) no_room: AtomicBool,
    pub(super) stats: GarbageStats,
}

/// Counts since open.
#[derive(Default)]
pub(super) struct GarbageStats {
    /// Relocations begun.
    pub(super) relocations: AtomicU64,
    /// Values copied.
    pub(super) values: AtomicU64,
    /// Bytes of records copied.
    pub(super) copied: AtomicU64,
    /// Bytes of records that were not copied, as no read could reach them.
    pub(super) left_behind: AtomicU64,
    /// Bytes of tables written for new pointers.
    pub(super) tables: AtomicU64,
    /// Segments removed, and their bytes.
    pub(super) segments_removed: AtomicU64,
    pub(super) reclaimed: AtomicU64,
}

/// When to look at the space.
pub(super) enum Look {
    Later,
    /// Unless somebody has the state lock, who is likely to look too.
    IfFree,
    /// It was put off long enough.
    Now,
}

/// What is going on, under the state lock.
#[derive(Default)]
pub(super) struct GarbageWork {
    /// Something has changed since nothing was worth doing.
    pub(super) look: bool,
    /// Segments that are leaving go before anything is copied.
    pub(super) removes_first: bool,
    /// Values are being copied.
    pub(super) copying: bool,
    /// What `copied_bytes` of the value log will be when they are.
    pub(super) copied_then: u64,
    /// Segments of copies from this number on are what the relocation under way makes.
    pub(super) copies_from: u64,
    /// A table is being rewritten.
    pub(super) repointing: bool,
    /// Copied values, until every table refers to the copies.
    pub(super) relocation: Option<Arc<Relocation>>,
    /// Tables that were rewritten for it: what of the victims they still refer to could not be copied.
    pub(super) repointed: HashSet<u64>,
    /// Segments with values that could not be copied: left alone until the next open.
    pub(super) left_alone: BTreeSet<u64>,
    /// Somebody waits for all of it.
    pub(super) asked_for: Option<AskedFor>,
    /// Jobs that are running, by the order of their beginning: when they end they let go of old tables and of the
    /// segments behind them.
    jobs: BTreeSet<u64>,
    next_job: u64,
    /// Segments that nothing refers to any more, what `next_job` was when that was seen, and when.
    pinned: BTreeMap<u64, (u64, Duration)>,
    /// What was seen last.
    pub(super) space: Space,
    /// Writers are stopped until work that is due is done.
    pub(super) limits: Option<Limits>,
}

impl GarbageWork {
    /// A job begins. Gives its number, for `end_job`.
    pub(super) fn begin_job(&mut self) -> u64 {
        let number = self.next_job;
        self.next_job += 1;
        self.jobs.insert(number);
        number
    }

    /// A job has ended and let go of everything.
    pub(super) fn end_job(&mut self, number: u64) {
        self.jobs.remove(&number);
    }

    /// Whether a job that runs may hold `segment`, to which nothing refers: if it is older than that.
    fn job_may_hold(&self, segment: u64, now: Duration) -> bool {
        let Some(oldest) = self.jobs.first() else { return false };
        self.pinned
            .get(&segment)
            .is_none_or(|(next_job, since)| oldest < next_job && now.saturating_sub(*since) < JOBS_HOLD)
    }

    /// How long until no job counts any more as who holds a segment, where a relocation may wait for that.
    pub(super) fn wait_for_jobs(&self, now: Duration) -> Option<Duration> {
        let oldest = self.jobs.first().filter(|_| self.look)?;
        let held = self.pinned.values().filter(|(next_job, _)| oldest < next_job);
        held.filter_map(|(_, since)| (*since + JOBS_HOLD).checked_sub(now)).min()
    }

    /// Whether no table refers to `segment` only because it has been filled with copies a moment ago.
    fn is_coming(&self, segment: &SegmentInfo) -> bool {
        let relocates = self.copying || self.relocation.is_some();
        relocates && segment.class.is_copies() && segment.number >= self.copies_from
    }

    /// Whether something runs.
    pub(super) fn is_running(&self) -> bool {
        self.copying || self.repointing
    }

    /// Whether there may be something to do, or something runs.
    pub(super) fn is_pending(&self) -> bool {
        self.look || self.is_running() || self.relocation.is_some()
    }
}

/// A segment that nothing refers to and somebody holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pin {
    /// How long nothing has referred to it, as far as that was seen.
    pub(super) since: Duration,
    /// Whether jobs that run now may be who holds it.
    pub(super) by_jobs: bool,
}

impl Pin {
    fn text(self) -> String {
        let who = if self.by_jobs { "readers or running jobs" } else { "readers, or writes under way" };
        format!("pinned by {who} for {} s", self.since.as_secs())
    }
}

/// The value log and the tables at one moment.
pub(super) struct Survey {
    pub(super) space: Space,
    pub(super) candidates: Vec<Candidate>,
    /// Segments that nothing refers to and somebody holds, with their bytes.
    pinned: BTreeMap<u64, u64>,
    views: Vec<(Arc<Family>, Arc<ReadView>)>,
}

impl Garbage {
    pub(super) fn new(config: &ValueLogConfig) -> Garbage {
        let bound = Bound { factor: config.max_space_amp, segment: config.max_segment_size };
        let mut limits = bound.limits(&Space::default());
        if !config.garbage_collection {
            (limits.hidden, limits.memtable) = (u64::MAX, u64::MAX);
        }
        Garbage {
            automatic: config.garbage_collection,
            bound,
            copier: Mutex::default(),
            hidden_budget: Arc::new(AtomicU64::new(limits.hidden)),
            memtable_limit: Arc::new(AtomicU64::new(limits.memtable)),
            least_threshold: AtomicU64::new(0),
            unseen: AtomicU64::new(0),
            no_room: AtomicBool::new(false),
            stats: GarbageStats::default(),
        }
    }

    /// Counts bytes of values on their way to the value log, and tells whether it is time to look at its space again.
    pub(super) fn look_after(&self, bytes: u64) -> Look {
        let every = self.bound.segment / LOOKS_A_SEGMENT;
        let unseen = self.unseen.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if unseen < every {
            Look::Later
        } else if unseen / 2 < every {
            Look::IfFree
        } else {
            Look::Now
        }
    }
}

impl Engine {
    /// Looks at everything. Called under the state lock, so that views do not change.
    pub(super) fn survey(&self, work: &GarbageWork) -> Survey {
        let views: Vec<_> =
            self.all_families().into_iter().map(|family| (Arc::clone(&family), family.view())).collect();
        // Of what readers see, as the memtables are: or a flush that is being installed would count twice.
        let versions: Vec<_> = views.iter().map(|(_, view)| &view.version).collect();
        let uses = self.versions.segment_use_of(&versions);
        let uses: BTreeMap<u64, u64> = uses.into_iter().map(|used| (used.segment, used.bytes)).collect();
        let mut space = Space::default();
        let mut in_memory: HashSet<u64> = HashSet::new();
        let mut untouchable: HashSet<u64> = HashSet::new();
        for (family, view) in &views {
            see_family(family, view, &mut space, &mut in_memory);
            if family.options.read().disable_auto_compactions && work.asked_for.is_none() {
                untouchable.extend(segments_of(&view.version));
            }
        }
        let segments = self.value_log.segments();
        let (mut candidates, mut pinned) = (Vec::new(), BTreeMap::new());
        for segment in &segments {
            let live = uses.get(&segment.number).copied().unwrap_or(0);
            if segment.is_arriving {
                // Values that are arriving stand in tables or memtables still; they take their place with the edit that
                // names the segment, which may just have been installed.
                let named = if live > 0 { live + crate::value_log::SEGMENT_HEADER_LEN } else { 0 };
                space.total += segment.arrived_len.max(named);
                space.referenced += live;
                continue;
            }
            if live == 0 && work.is_coming(segment) {
                space.total += segment.len;
                continue;
            }
            if live == 0 && segment.sealed && !in_memory.contains(&segment.number) {
                if segment.is_leaving {
                    space.leaving += segment.len;
                } else {
                    space.pinned += segment.len;
                    pinned.insert(segment.number, segment.len);
                }
                continue;
            }
            space.total += segment.len;
            space.referenced += live;
            let free = segment.sealed && !in_memory.contains(&segment.number);
            let is_victim = work.relocation.as_ref().is_some_and(|r| r.victims().contains(&segment.number));
            if is_victim {
                // All of it goes with the relocation's end.
                space.reclaimable += segment.len;
            } else if free
                && !untouchable.contains(&segment.number)
                && !work.left_alone.contains(&segment.number)
            {
                let bytes = segment.len.saturating_sub(crate::value_log::SEGMENT_HEADER_LEN);
                candidates.push(Candidate { segment: segment.number, bytes, live, age: segment.age });
                space.reclaimable += bytes.saturating_sub(live);
            }
        }
        let copied = self.value_log.stats().copied_bytes;
        let to_copy = if work.copying { work.copied_then.saturating_sub(copied) } else { 0 };
        let now = self.env.now();
        let held_by_jobs = pinned.iter().filter(|(segment, _)| work.job_may_hold(**segment, now));
        space.passing = to_copy + held_by_jobs.map(|(_, bytes)| bytes).sum::<u64>();
        Survey { space, candidates, pinned, views }
    }

    /// The segments that nothing refers to and somebody holds: readers with their iterators and pinned values, jobs
    /// that run, writes that are under way.
    pub(super) fn pinned_segments(&self) -> BTreeMap<u64, Pin> {
        let state = self.state.lock();
        let (work, now) = (&state.garbage, self.env.now());
        let pinned = self.survey(work).pinned.into_keys();
        let pin = |segment: u64| Pin {
            since: work.pinned.get(&segment).map_or(Duration::ZERO, |(_, since)| now.saturating_sub(*since)),
            by_jobs: work.job_may_hold(segment, now),
        };
        pinned.map(|segment| (segment, pin(segment))).collect()
    }

    /// The victims of the next relocation; none if nothing is worth it.
    fn choose_victims(
        &self,
        space: &Space,
        candidates: &[Candidate],
        asked_for: Option<AskedFor>,
    ) -> Vec<Candidate> {
        let bound = &self.garbage.bound;
        let excess = bound.excess(space);
        if asked_for.is_none() && (excess == 0 || !self.garbage.automatic) {
            return Vec::new();
        }
        let batch = Batch {
            least_garbage: asked_for.map_or(bound.least_garbage(), |asked| asked.least_garbage),
            dead: (space.tables * FREED_TO_REWRITTEN).max(bound.segment / 2).max(excess / 2),
            live: bound.room(space),
        };
        let mut candidates = candidates.to_vec();
        if let Some(asked) = asked_for {
            candidates.retain(|candidate| candidate.segment < asked.below);
        }
        let chosen = space::victims(candidates, &batch);
        if self.garbage.no_room.load(Ordering::Relaxed) {
            // What fits is one at a time, which makes room for the next.
            return chosen.into_iter().min_by_key(|victim| victim.live).into_iter().collect();
        }
        let mean = (space.referenced / self.value_count().max(1)).max(1);
        let mut values = 0;
        chosen
            .into_iter()
            .enumerate()
            .take_while(|(at, victim)| {
                values += victim.live / mean;
                *at == 0 || values <= MOST_VALUES
            })
            .map(|(_, victim)| victim)
            .collect()
    }

    /// What a family's levels aim at.
    pub(super) fn level_options(&self, family: &Family) -> LevelOptions {
        family.level_options(self.garbage.hidden_budget.load(Ordering::Relaxed))
    }

    /// A new memtable, which is full by memory or by the values behind it.
    pub(super) fn new_buffer(&self, family: &Family) -> Arc<WriteBuffer> {
        let buffer = family.new_buffer();
        let limit = self.garbage.memtable_limit.load(Ordering::Relaxed);
        limit_values(family, &family.view(), &buffer, limit);
        buffer
    }

    fn value_count(&self) -> u64 {
        self.versions.segment_use().iter().map(|used| used.values).sum()
    }

    /// Surveys, and tells levels, memtables and writers what follows. Called under the state lock.
    pub(super) fn update_space(&self, state: &mut BackgroundState) -> Limits {
        self.garbage.unseen.store(0, Ordering::Relaxed);
        let survey = self.survey(&state.garbage);
        let now = self.env.now();
        let seen = (state.garbage.next_job, now);
        state.garbage.pinned.retain(|segment, _| survey.pinned.contains_key(segment));
        for segment in survey.pinned.keys() {
            state.garbage.pinned.entry(*segment).or_insert(seen);
        }
        let mut limits = self.garbage.bound.limits(&survey.space);
        if !self.garbage.automatic {
            // Nobody asks for garbage to be known early.
            (limits.hidden, limits.memtable) = (u64::MAX, u64::MAX);
        }
        self.garbage.hidden_budget.store(limits.hidden, Ordering::Relaxed);
        self.garbage.memtable_limit.store(limits.memtable, Ordering::Relaxed);
        self.separate_by_lifetime(&survey.space);
        for (family, view) in &survey.views {
            limit_values(family, view, &view.active, limits.memtable);
        }
        if self.garbage.automatic && !state.garbage.look && self.garbage.bound.excess(&survey.space) > 0 {
            state.garbage.look = true;
            self.wake_workers(state);
        }
        if limits.slow > 0.0 && !self.can_reclaim(state, &survey) {
            limits.slow = 0.0;
        }
        state.garbage.space = survey.space;
        state.garbage.limits = Some(limits);
        limits
    }

    /// Tells the value log how much is alive, for the classes of values, and closes open segments that fill slowly.
    fn separate_by_lifetime(&self, space: &Space) {
        if !self.garbage.automatic {
            return;
        }
        let queues = self.options.config.value_log.write_queues as u64;
        let turnover = self.garbage.bound.turnover(space, queues, self.value_log.has_classes());
        self.value_log.set_live(turnover, if turnover > 0 { self.value_count() } else { 0 });
        if let Some(mut copier) = self.garbage.copier.try_lock() {
            copier.close_slow(&self.value_log);
        }
    }

    /// Lets a worker see that there is garbage to collect.
    pub(super) fn wake_for_garbage(&self, state: &mut BackgroundState) {
        if state.garbage.look {
            self.wake_workers(state);
        }
    }

    /// Whether work is running or due that makes the value log smaller: without it nobody may wait for that.
    fn can_reclaim(&self, state: &BackgroundState, survey: &Survey) -> bool {
        if !self.garbage.automatic || self.read_only || !state.started {
            return false;
        }
        !state.garbage.jobs.is_empty()
            || state.garbage.relocation.is_some()
            || survey.space.leaving > 0
            || !self.choose_victims(&survey.space, &survey.candidates, None).is_empty()
    }
}

fn limit_values(family: &Family, view: &ReadView, buffer: &WriteBuffer, limit: u64) {
    // Without compactions, flushing early would not tell what is garbage.
    let limit = if family.options.read().disable_auto_compactions { u64::MAX } else { limit };
    buffer.limit_values(limit, HiddenBytes::new(&view.version, &family.order).mean_value());
    buffer.separate_from(family.threshold.load(Ordering::Relaxed));
}

/// Adds what one family hides and holds.
fn see_family(family: &Family, view: &ReadView, space: &mut Space, in_memory: &mut HashSet<u64>) {
    let hidden = HiddenBytes::new(&view.version, &family.order);
    let is_first = view.version.files().next().is_none();
    let mut has_values = false;
    for (level, file) in view.version.files() {
        space.hidden += hidden.by(level, file);
        if file.referenced_bytes() > 0 {
            space.tables += file.properties.file_size;
            has_values = true;
        }
    }
    for buffer in view.buffers() {
        in_memory.extend(buffer.held());
        // What a flush will separate counts as if it had been.
        space.total += buffer.kept_bytes();
        space.referenced += buffer.value_bytes() + buffer.kept_bytes();
        has_values |= buffer.value_bytes() + buffer.kept_bytes() > 0;
        if !is_first {
            space.hidden += buffer.hidden_bytes();
        }
    }
    space.families += u64::from(has_values);
}

/// The segments that the tables of a version refer to.
fn segments_of(version: &Version) -> impl Iterator<Item = u64> + '_ {
    version.files().flat_map(|(_, file)| &file.properties.segments).map(|used| used.segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_looks_again_when_jobs_count_no_longer_as_holders() {
        let (mut work, second) =
            (GarbageWork { look: true, ..GarbageWork::default() }, Duration::from_secs(1));
        assert_eq!(work.wait_for_jobs(second), None);
        let job = work.begin_job();
        assert_eq!(work.wait_for_jobs(second), None, "it holds nothing");
        work.pinned.insert(7, (work.next_job, 3 * second));
        assert_eq!(work.wait_for_jobs(5 * second), Some(8 * second));
        assert!(work.job_may_hold(7, 12 * second) && !work.job_may_hold(7, 13 * second));
        assert_eq!(work.wait_for_jobs(14 * second), None, "that has been seen");
        work.look = false;
        assert_eq!(work.wait_for_jobs(5 * second), None, "nothing waits for it");
        work.look = true;
        work.end_job(job);
        assert_eq!(work.wait_for_jobs(5 * second), None);
    }
}
