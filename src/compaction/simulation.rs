//! A whole tree on a simulated machine, with the complete history beside it, for tests.

use super::testing::{Entry, History, Joining, ListIterator, Random};
use super::*;
use crate::base::Codec;
use crate::base::file_name::{FileKind, parse};
use crate::base::key::{EntryKind, InternalKey, MAX_SEQUENCE};
use crate::base::range_tombstone::RangeTombstone;
use crate::base::{InternalComparator, ValuePointer};
use crate::env::Env;
use crate::env::direct::DirectIo;
use crate::env::simulated::SimEnv;
use crate::flush::write_level0;
use crate::sst::{SegmentUse, TableRead};
use crate::value_log::{SegmentRef, ValueLogOptions};
use crate::version::{VersionSet, VersionSetContext};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub(super) const KEYS: u64 = 60;

pub(super) fn key(number: u64) -> Vec<u8> {
    format!("key{number:03}").into_bytes()
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) random: Random,
    pub(super) env: Arc<SimEnv>,
    pub(super) set: Arc<VersionSet>,
    pub(super) log: Arc<ValueLog>,
    pub(super) merge: MergeContext,
    pub(super) options: LevelOptions,
    pub(super) history: History,
    /// What the pointers of the history name, so that the model need not read the log.
    pub(super) values: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) holds: Vec<SegmentRef>,
    pub(super) sequence: u64,
    pub(super) snapshots: Vec<u64>,
    pub(super) stale: Option<Arc<Version>>,
    /// (journal length, sequence flushed) of each acknowledged flush.
    pub(super) flushed: Vec<(usize, u64)>,
    pub(super) seen: Seen,
}

/// That the simulation reaches what it is there for.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) compactions: u64,
    pub(super) trivial_moves: u64,
    pub(super) manual: u64,
    pub(super) several_at_once: u64,
    pub(super) from_stale: u64,
    pub(super) several_outputs: u64,
    pub(super) clipped_tombstones: u64,
    pub(super) deepest: usize,
}

pub(super) fn table_options() -> TableOptions {
    TableOptions {
        order: InternalComparator::default(),
        block_size: 256,
        compression: Codec::None,
        bloom_bits_per_key: Some(10.0),
        whole_key_filtering: true,
        prefix_extractor: None,
        learned_index: true,
        cache: None,
        cache_owner: 0,
    }
}

pub(super) fn set_context(env: &Arc<SimEnv>, numbers: &Arc<AtomicU64>) -> VersionSetContext {
    VersionSetContext {
        env: env.clone(),
        db_dir: "/db".into(),
        sst_dir: "/db/sst".into(),
        direct: DirectIo::new(true, true),
        next_file_number: numbers.clone(),
        table_options: Arc::new(|_| table_options()),
    }
}

pub(super) fn open_log(env: &Arc<SimEnv>, numbers: &Arc<AtomicU64>) -> Arc<ValueLog> {
    let options = ValueLogOptions {
        dir: "/db/vlog".into(),
        database: [7; 16],
        max_segment_size: 4 << 10,
        write_queues: 2,
        codec: Codec::None,
        cache: None,
        cache_owner: 0,
        direct: DirectIo::new(true, true),
    };
    ValueLog::open(env.clone(), options, numbers.clone()).unwrap()
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let env = SimEnv::new(seed);
        for dir in ["/db", "/db/sst", "/db/vlog"] {
            env.create_dir_all(Path::new(dir)).unwrap();
        }
        let numbers = Arc::new(AtomicU64::new(1));
        let log = open_log(&env, &numbers);
        let set = Arc::new(VersionSet::create(set_context(&env, &numbers), [7; 16], "bytes").unwrap());
        let merge = MergeContext {
            env: env.clone(),
            sst_dir: "/db/sst".into(),
            next_file_number: numbers,
            column_family: 0,
            order: InternalComparator::default(),
            table_options: table_options(),
            io_buffer_size: 4096,
            direct: DirectIo::new(true, seed.is_multiple_of(2)),
            bytes_per_sync: 8192,
            snapshots: Vec::new(),
            merge_operator: if random.one_in(8) { None } else { Some(Arc::new(Joining)) },
            filter: None,
            filter_factory: None,
            value_log: log.clone(),
            now: 0,
            separation: None,
            relocation: None,
            rate_limiter: Some(Arc::new(rate_limit::RateLimiter::new(env.clone(), Some(1000)))),
            cancel: Arc::default(),
            stats: Arc::default(),
        };
        let options = LevelOptions {
            levels: 4 + random.below(4) as usize,
            level0_trigger: 1 + random.below(4) as usize,
            level1_bytes: 1500 + random.below(4000),
            ratio: 2.0 + random.below(3) as f64,
            target_file_size: 500 + random.below(3000),
            target_multiplier: 1 + random.below(2) as u32,
            referenced_value_weight: if random.one_in(2) { 0.0 } else { 0.5 },
            hidden_value_budget: if random.one_in(2) { u64::MAX } else { 2000 },
        };
        World {
            seed,
            random,
            env,
            set,
            log,
            merge,
            options,
            history: History::default(),
            values: BTreeMap::new(),
            holds: Vec::new(),
            sequence: 0,
            snapshots: Vec::new(),
            stale: None,
            flushed: Vec::new(),
            seen: Seen::default(),
        }
    }

    pub(super) fn context(&self) -> MergeContext {
        MergeContext { snapshots: self.snapshots.clone(), ..self.merge.clone() }
    }

    pub(super) fn current(&self) -> Arc<Version> {
        self.set.current(0).unwrap()
    }

    /// One random write, into the history and into the memtable.
    pub(super) fn write(&mut self, center: u64, memtable: &mut History) {
        self.sequence += 1;
        let sequence = self.sequence;
        let key_at = |at: u64| key(at % KEYS);
        let near = center + self.random.below(25);
        let user_key = key_at(near);
        let (kind, value) = match self.random.below(24) {
            0..=9 => (EntryKind::Put, format!("value {sequence}").into_bytes()),
            10..=13 => {
                let value = format!("large value {sequence} {}", "x".repeat(100)).into_bytes();
                let (pointer, hold) = self.log.append(0, &user_key, &value).unwrap();
                self.holds.push(hold);
                let mut stored = Vec::new();
                pointer.encode(&mut stored);
                self.values.insert(stored.clone(), value);
                (EntryKind::Pointer, stored)
            }
            14..=17 => (EntryKind::Delete, Vec::new()),
            18 => (EntryKind::SingleDelete, Vec::new()),
            19..=22 => (EntryKind::Merge, format!("+{sequence}").into_bytes()),
            _ => {
                let end = key_at(near + self.random.below(20));
                let tombstone = RangeTombstone { start: user_key, end, sequence };
                memtable.tombstones.push(tombstone.clone());
                self.history.tombstones.push(tombstone);
                return;
            }
        };
        let entry = Entry { key: user_key, sequence, kind, value };
        memtable.entries.push(entry.clone());
        self.history.entries.push(entry);
    }

    /// Writes a memtable full, flushes it and installs the table.
    pub(super) fn flush(&mut self) {
        let mut memtable = History::default();
        let center = self.random.below(KEYS);
        for _ in 0..1 + self.random.below(60) {
            self.write(center, &mut memtable);
        }
        let order = InternalComparator::default();
        let entries = ListIterator::new(memtable.entries.iter().map(Entry::internal).collect(), &order);
        self.log.sync(None).unwrap();
        let new = write_level0(Box::new(entries), &memtable.tombstones, &self.context()).unwrap();
        let mut edit = VersionEdit { flushed_sequence: Some(self.sequence), ..VersionEdit::default() };
        edit.last_sequence = Some(self.sequence);
        edit.added.extend(new);
        self.set.apply(vec![edit], &self.log).unwrap();
        self.holds.clear();
        self.flushed.push((self.env.journal_len(), self.sequence));
    }

    /// Picks some compactions at once, then runs and installs them in some order.
    pub(super) fn compact(&mut self) -> bool {
        let order = InternalComparator::default();
        let mut plans = Vec::new();
        let picked_from = match self.stale.take() {
            Some(stale) if self.random.one_in(2) => stale,
            _ => self.current(),
        };
        let is_stale = !Arc::ptr_eq(&picked_from, &self.current());
        while plans.len() < 3 {
            let version = if self.random.one_in(2) { self.current() } else { picked_from.clone() };
            let plan = if self.random.one_in(6) { self.manual(&version) } else { None };
            let plan = plan.or_else(|| pick(0, &version, &self.options, &order));
            let Some(plan) = plan else { break };
            if self.random.one_in(3) {
                self.flush();
            }
            self.seen.manual += u64::from(plan.manual);
            self.seen.from_stale += u64::from(is_stale && Arc::ptr_eq(&version, &picked_from));
            plans.push((plan, version));
        }
        let any = !plans.is_empty();
        self.seen.several_at_once += u64::from(plans.len() > 1);
        while !plans.is_empty() {
            let (plan, version) = plans.swap_remove(self.random.below(plans.len() as u64) as usize);
            let edit = run(&plan, &version, &self.context(), &self.options).unwrap();
            self.note(&edit);
            self.set
                .apply(vec![edit], &self.log)
                .unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
            drop(plan);
            self.check();
        }
        any
    }

    pub(super) fn note(&mut self, edit: &VersionEdit) {
        self.seen.several_outputs += u64::from(edit.added.len() > 1);
        for file in &edit.added {
            self.seen.deepest = self.seen.deepest.max(file.level as usize);
            let exclusive = (MAX_SEQUENCE << 8 | EntryKind::RangeDelete as u64).to_le_bytes();
            let clipped = edit.added.len() > 1 && file.properties.largest.ends_with(&exclusive);
            self.seen.clipped_tombstones += u64::from(clipped);
        }
    }

    pub(super) fn manual(&mut self, version: &Arc<Version>) -> Option<CompactionPlan> {
        let order = InternalComparator::default();
        let level = self.random.below(self.options.levels as u64 - 1) as usize;
        let used = (1..self.options.levels).filter(|&level| version.level_bytes(level) > 0);
        // Level 0 may be sent past empty levels only, so down to any; others to themselves or the next.
        let output = if level == 0 { used.min().unwrap_or(1) } else { level + self.random.below(2) as usize };
        let (a, b) = (key(self.random.below(KEYS)), key(self.random.below(KEYS)));
        let begin = (!self.random.one_in(4)).then_some(&a.min(b.clone())[..]).map(<[u8]>::to_vec);
        let end = (!self.random.one_in(4)).then_some(b);
        match plan_range(0, version, level, output, begin.as_deref(), end.as_deref(), &order) {
            Ok(plan) => plan.inspect(|plan| assert!(plan.manual && !plan.trivial_move)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy, "seed {}: {error}", self.seed);
                None
            }
        }
    }

    pub(super) fn check(&self) {
        let version = self.current();
        for number in 0..KEYS {
            let key = key(number);
            for &snapshot in self.snapshots.iter().chain([&MAX_SEQUENCE]) {
                let expected = self.history.get(&key, snapshot, &|stored| self.values[stored].clone());
                let got = read(&version, &self.log, &key, snapshot);
                let shape: Vec<String> =
                    version.files().map(|(level, file)| format!("{level}:{}", file.number)).collect();
                assert_eq!(got, expected, "seed {}, {key:?} at {snapshot}, {shape:?}", self.seed);
            }
        }
    }

    /// Removes what nobody refers to; then the directory holds exactly the live tables.
    pub(super) fn sweep(&mut self) {
        self.stale = None;
        for number in self.set.take_obsolete() {
            let path = crate::base::file_name::path_of(Path::new("/db/sst"), FileKind::Table(number));
            self.env.remove_file(&path).unwrap();
        }
        let names = self.env.list(Path::new("/db/sst")).unwrap();
        let there: BTreeSet<u64> = names
            .iter()
            .map(|name| match parse(name) {
                Some(FileKind::Table(number)) => number,
                other => panic!("{other:?} in the directory of tables"),
            })
            .collect();
        let listed: BTreeSet<u64> = self.current().files().map(|(_, file)| file.number).collect();
        assert_eq!(there, listed, "seed {}", self.seed);
        assert_eq!(self.set.live_tables(), there.into_iter().collect::<Vec<_>>());
        self.check_segments();
    }

    pub(super) fn check_segments(&self) {
        let version = self.current();
        let mut expected: BTreeMap<u64, SegmentUse> = BTreeMap::new();
        let read = TableRead { fill_cache: false, allow_io: true, read_ahead: 0 };
        for (_, file) in version.files() {
            let mut entries = file.table.iter(read);
            entries.seek_to_first();
            while entries.valid() {
                if entries.key()[entries.key().len() - 8] == EntryKind::Pointer as u8 {
                    let pointer = ValuePointer::decode(entries.value()).unwrap();
                    let none = SegmentUse { segment: pointer.segment, bytes: 0, values: 0, end: 0 };
                    let sum = expected.entry(pointer.segment).or_insert(none);
                    sum.bytes += u64::from(pointer.record_len);
                    sum.values += 1;
                    sum.end = sum.end.max(pointer.end());
                }
                entries.next();
            }
        }
        let bytes_and_values = |uses: Vec<SegmentUse>| -> Vec<_> {
            uses.iter().map(|u| (u.segment, u.bytes, u.values)).collect()
        };
        let expected = bytes_and_values(expected.into_values().collect());
        assert_eq!(bytes_and_values(self.set.segment_use()), expected, "seed {}", self.seed);
    }

    pub(super) fn reopen(&mut self) {
        self.stale = None;
        let shape = |set: &VersionSet| -> Vec<(usize, u64)> {
            set.current(0).unwrap().files().map(|(level, file)| (level, file.number)).collect()
        };
        let before = shape(&self.set);
        let numbers = Arc::new(AtomicU64::new(1));
        let state = VersionSet::read_manifest(&*self.env, Path::new("/db")).unwrap();
        assert_eq!(state.last_sequence, self.sequence);
        numbers.store(state.next_file_number, Ordering::Relaxed);
        self.log = open_log(&self.env, &numbers);
        self.set =
            Arc::new(VersionSet::open(set_context(&self.env, &numbers), state, &self.log, false).unwrap());
        self.merge.next_file_number = numbers;
        self.merge.value_log = self.log.clone();
        assert_eq!(shape(&self.set), before, "seed {}", self.seed);
    }

    pub(super) fn step(&mut self) {
        match self.random.below(12) {
            0..=4 => self.flush(),
            5..=8 => {
                self.compact();
            }
            9 => self.snapshots.push(self.sequence),
            10 if !self.snapshots.is_empty() => {
                let at = self.random.below(self.snapshots.len() as u64) as usize;
                self.snapshots.remove(at);
            }
            _ if self.random.one_in(2) => self.stale = Some(self.current()),
            _ if self.random.one_in(3) => {
                self.sweep();
                self.reopen();
            }
            _ => self.sweep(),
        }
    }
}

/// Reads as the engine does: tables in search order, range tombstones of newer ones covering older ones.
pub(super) fn read(version: &Version, log: &ValueLog, user_key: &[u8], snapshot: u64) -> Option<Vec<u8>> {
    let order = InternalComparator::default();
    let lookup = InternalKey::for_lookup(user_key, snapshot.min(MAX_SEQUENCE));
    let how = TableRead { fill_cache: false, allow_io: true, read_ahead: 0 };
    let (mut covered, mut operands, mut base, mut done) = (0, Vec::new(), None, false);
    for (_, file) in version.files_for_key(lookup.as_bytes(), &order) {
        covered = covered.max(file.table.range_tombstones().covering_sequence(user_key, snapshot, &order));
        file.table
            .get(lookup.as_bytes(), how, &mut |entry, stored, _| {
                done = entry.sequence <= covered || entry.kind != EntryKind::Merge;
                match entry.kind {
                    _ if entry.sequence <= covered => {}
                    EntryKind::Merge => operands.push(stored.to_vec()),
                    EntryKind::Put => base = Some(stored.to_vec()),
                    EntryKind::Pointer => {
                        let pointer = ValuePointer::decode(stored).unwrap();
                        let value = log.read(&pointer, 0, user_key, false, true).unwrap();
                        base = Some(value.buffer[value.range].to_vec());
                    }
                    _ => {}
                }
                !done
            })
            .unwrap();
        if done {
            break;
        }
    }
    operands.reverse();
    let operands: Vec<&[u8]> = operands.iter().map(Vec::as_slice).collect();
    if operands.is_empty() { base } else { Joining.full_merge(user_key, base.as_deref(), &operands) }
}
