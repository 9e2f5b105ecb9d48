//! Opening a database: directories, lock, manifest, tables, column families, log replay, sweep.
//!
//! 1. Check the options; find or make the directories; take the lock.
//! 2. Read the manifest (or create the database) and check the column families named against it.
//! 3. Open value log and tables; assemble the engine.
//! 4. Replay the logs (`recovery`), flush what they held, retire them.
//! 5. Remove files that nothing refers to; start background work.

use super::family::{Family, structure, table_options};
use super::garbage::Garbage;
use super::health::HealthState;
use super::info_log::{FileLogger, NoLogger};
use super::options::{ColumnFamilyOptions, Options};
use super::snapshots::SnapshotList;
use super::state::{BackgroundState, Directories, Engine, Families, TableOptionsMap};
use super::{DEFAULT_COLUMN_FAMILY, memory, recovery};
use crate::base::error::Subcode;
use crate::base::expiry::ExpiryClock;
use crate::base::extension::LogLevel;
use crate::base::file_name::{FileKind, parse, path_of};
use crate::base::{Codec, Comparator, Error, Result};
use crate::cache::{Cache, EvictionPolicy};
use crate::compaction::CompactionStats;
use crate::compaction::rate_limit::RateLimiter;
use crate::config::SyncPolicy;
use crate::env::direct::DirectIo;
use crate::env::read_only::ReadOnlyEnv;
use crate::env::{self, Env};
use crate::read::ReadView;
use crate::value_log::{ValueLog, ValueLogOptions};
use crate::version::{ManifestState, Version, VersionEdit, VersionSet, VersionSetContext};
use crate::write::{CommitState, Committer, Durability, FamilyTarget, Separator, Throttle, WalSettings};
use parking_lot::{Condvar, Mutex, RwLock};
use std::cmp::Ordering as KeyOrder;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Where the files of a database at `path` are.
pub(super) fn directories(options: &Options, path: &Path) -> Directories {
    let config = &options.config;
    let place = |set: &Option<std::path::PathBuf>, name: &str| match set {
        Some(set) => set.clone(),
        None if options.flat_layout => path.to_path_buf(),
        None => path.join(name),
    };
    Directories {
        db: path.to_path_buf(),
        wal: place(&config.wal.wal_path, "wal"),
        value_log: place(&config.value_log.vlog_path, "vlog"),
        sst: place(&config.sst.sst_path, "sst"),
    }
}

/// What stands in the database's directories.
pub(super) struct Found {
    /// Kinds with the directory they are in.
    pub(super) files: Vec<(std::path::PathBuf, FileKind)>,
}

impl Found {
    pub(super) fn look(env: &dyn Env, directories: &Directories) -> Result<Found> {
        let mut files = Vec::new();
        for dir in directories.all() {
            if !env.exists(dir) {
                continue;
            }
            for name in env.list(dir)? {
                if let Some(kind) = parse(&name) {
                    files.push((dir.clone(), kind));
                }
            }
        }
        Ok(Found { files })
    }

    pub(super) fn largest_number(&self) -> u64 {
        let number = |kind: &FileKind| match kind {
            FileKind::Wal(n) | FileKind::Segment(n) | FileKind::Table(n) => *n,
            FileKind::Manifest(n) | FileKind::Options(n) | FileKind::Temporary(n) => *n,
            _ => 0,
        };
        self.files.iter().map(|(_, kind)| number(kind)).max().unwrap_or(0)
    }

    fn data_file(&self) -> Option<std::path::PathBuf> {
        let data =
            |kind: &FileKind| matches!(kind, FileKind::Wal(_) | FileKind::Segment(_) | FileKind::Table(_));
        self.files.iter().find(|(_, kind)| data(kind)).map(|(dir, kind)| path_of(dir, *kind))
    }
}

/// Everything decided before the engine is put together.
struct Plan {
    env: Arc<dyn Env>,
    options: Options,
    directories: Directories,
    read_only: bool,
    state: Option<ManifestState>,
    database: [u8; 16],
    next_file_number: Arc<AtomicU64>,
    direct: Arc<DirectIo>,
}

/// Opens an engine. The families come back in the order they were named.
pub(super) fn open(
    options: &Options,
    path: &Path,
    named: &[(String, ColumnFamilyOptions)],
    read_only: bool,
) -> Result<(Arc<Engine>, Vec<Arc<Family>>)> {
    let mut options = options.clone();
    options.config.db_path = path.to_path_buf();
    options.config.validate()?;
    check_names(named)?;
    let mut env = options.env.clone().unwrap_or_else(env::default_env);
    if read_only {
        env = ReadOnlyEnv::new(env);
    }
    let directories = directories(&options, path);
    let exists = env.exists(&path_of(path, FileKind::Current));
    if exists && options.error_if_exists {
        return Err(Error::invalid_argument(format!("{}: exists (error_if_exists is true)", path.display())));
    }
    if !exists && (read_only || !options.create_if_missing) {
        check_not_damaged(&*env, &directories)?;
        return Err(Error::invalid_argument(format!(
            "{}: does not exist (create_if_missing is false)",
            path_of(path, FileKind::Current).display()
        ))
        .with_subcode(Subcode::MissingFile));
    }
    let lock = if read_only { None } else { Some(prepare_directories(&*env, &directories)?) };
    if !exists {
        check_not_damaged(&*env, &directories)?;
        // A manifest without CURRENT is what a crash left of a creation, or a database that lost it.
        match VersionSet::read_manifest(&*env, path) {
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
            Ok(_) => {
                return Err(Error::invalid_argument(format!(
                    "{}: created by somebody else meanwhile",
                    path.display()
                )));
            }
        }
    }
    let found = Found::look(&*env, &directories)?;
    let state = if exists { Some(VersionSet::read_manifest(&*env, path)?) } else { None };
    let database = state.as_ref().map_or_else(|| new_identity(&*env), |state| state.database);
    let next_file_number = Arc::new(AtomicU64::new(found.largest_number() + 1));
    let direct =
        DirectIo::new(options.config.reads_are_direct(), options.config.background_writes_are_direct());
    let state_found = state.clone();
    let plan =
        Plan { env, options, directories, read_only, state: state_found, database, next_file_number, direct };
    let (engine, families) = assemble(plan, named)?;
    *engine.lock.lock() = lock;
    start(&engine, state.as_ref(), &found)?;
    Ok((engine, families))
}

fn check_names(named: &[(String, ColumnFamilyOptions)]) -> Result<()> {
    if !named.iter().any(|(name, _)| name == DEFAULT_COLUMN_FAMILY) {
        return Err(Error::invalid_argument(
            "Default column family not specified: name the family \"default\" too",
        ));
    }
    for (at, (name, options)) in named.iter().enumerate() {
        if named[..at].iter().any(|(other, _)| other == name) {
            return Err(Error::invalid_argument(format!("column family {name} is named twice")));
        }
        check_family(name, options)?;
    }
    Ok(())
}

/// Refuses options no family can work with.
pub(super) fn check_family(name: &str, options: &ColumnFamilyOptions) -> Result<()> {
    let wrong = |what: String| Err(Error::invalid_argument(format!("column family {name}: {what}")));
    if options.levels < 2 || options.levels > 64 {
        return wrong(format!("levels: {} must be from 2 to 64", options.levels));
    }
    if options.level_size_ratio.is_nan() || options.level_size_ratio < 2.0 {
        return wrong(format!("level_size_ratio: {} must be at least 2", options.level_size_ratio));
    }
    if options.sst.block_size == 0 || options.sst.target_file_size == 0 || options.memtable.max_size == 0 {
        return wrong("block_size, target_file_size and memtable.max_size must not be 0".to_string());
    }
    Ok(())
}

/// Without CURRENT there must be no data: its absence would hide it.
fn check_not_damaged(env: &dyn Env, directories: &Directories) -> Result<()> {
    match Found::look(env, directories)?.data_file() {
        None => Ok(()),
        Some(file) => Err(Error::corruption(
            &path_of(&directories.db, FileKind::Current),
            0,
            format!(
                "is missing, but {} is there: restore CURRENT from a backup or run repair; if these are not this \
                 database's files, choose another directory",
                file.display()
            ),
        )
        .with_subcode(Subcode::MissingFile)),
    }
}

pub(super) fn prepare_directories(
    env: &dyn Env,
    directories: &Directories,
) -> Result<Box<dyn env::FileLock>> {
    for dir in directories.all() {
        env.create_dir_all(dir)?;
    }
    for dir in directories.all() {
        // R7: the directory's own entry has to last too.
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            env.sync_dir(parent)?;
        }
    }
    env.lock(&path_of(&directories.db, FileKind::Lock))
}

pub(super) fn new_identity(env: &dyn Env) -> [u8; 16] {
    let mut identity = [0; 16];
    identity[..8].copy_from_slice(&env.random().to_le_bytes());
    identity[8..].copy_from_slice(&env.random().to_le_bytes());
    identity
}

/// Stands for the comparator of a family that is not opened (read-only): it has the name, and is never asked.
struct NamedOrder(String);

impl Comparator for NamedOrder {
    fn name(&self) -> &str {
        &self.0
    }
    fn compare(&self, a: &[u8], b: &[u8]) -> KeyOrder {
        a.cmp(b)
    }
}

/// The existing families as (id, name, options), and the names that are to be created.
type Matched = (Vec<(u32, String, ColumnFamilyOptions)>, Vec<(String, ColumnFamilyOptions)>);

fn match_families(plan: &Plan, named: &[(String, ColumnFamilyOptions)]) -> Result<Matched> {
    let Some(state) = &plan.state else {
        let default = named.iter().find(|(name, _)| name == DEFAULT_COLUMN_FAMILY).expect("checked before");
        let others: Vec<_> =
            named.iter().filter(|(name, _)| name != DEFAULT_COLUMN_FAMILY).cloned().collect();
        let existing = vec![(0, default.0.clone(), default.1.clone())];
        return check_creation(plan, others).map(|others| (existing, others));
    };
    let mut existing = Vec::new();
    let mut unopened = Vec::new();
    for (id, name, comparator) in &state.column_families {
        match named.iter().find(|(wanted, _)| wanted == name) {
            Some((_, options)) => {
                if options.comparator.name() != comparator {
                    return Err(Error::invalid_argument(format!(
                        "{}: does not match existing comparator {comparator}",
                        options.comparator.name()
                    )));
                }
                existing.push((*id, name.clone(), options.clone()));
            }
            None if plan.read_only => {
                let comparator = Arc::new(NamedOrder(comparator.clone()));
                existing.push((*id, name.clone(), ColumnFamilyOptions { comparator, ..Default::default() }));
            }
            None => unopened.push(name.clone()),
        }
    }
    if !unopened.is_empty() {
        return Err(Error::invalid_argument(format!("Column families not opened: {}", unopened.join(", "))));
    }
    let missing: Vec<_> = named
        .iter()
        .filter(|(name, _)| !existing.iter().any(|(_, found, _)| found == name))
        .cloned()
        .collect();
    check_creation(plan, missing).map(|missing| (existing, missing))
}

fn check_creation(
    plan: &Plan,
    missing: Vec<(String, ColumnFamilyOptions)>,
) -> Result<Vec<(String, ColumnFamilyOptions)>> {
    match missing.first() {
        Some((name, _)) if plan.read_only || !plan.options.create_missing_column_families => {
            Err(Error::invalid_argument(format!("Column family not found: {name}")))
        }
        _ => Ok(missing),
    }
}

fn make_caches(plan: &Plan) -> (Arc<Cache>, Option<Arc<Cache>>) {
    let config = &plan.options.config.cache;
    let policy = match config.eviction_policy {
        crate::config::EvictionPolicy::Lru => EvictionPolicy::Lru,
        _ => EvictionPolicy::Arc,
    };
    let value_bytes = plan.options.config.value_cache_bytes();
    if let Some(values) = &plan.options.value_cache {
        let own = || Cache::new(config.block_cache_size, policy, -1);
        return (plan.options.cache.clone().unwrap_or_else(own), Some(Arc::clone(values)));
    }
    if let Some(shared) = &plan.options.cache {
        return (Arc::clone(shared), Some(Arc::clone(shared)));
    }
    if config.unified_cache {
        let pool = Cache::new(config.block_cache_size + value_bytes, policy, -1);
        return (Arc::clone(&pool), Some(pool));
    }
    (Cache::new(config.block_cache_size, policy, -1), Some(Cache::new(value_bytes, policy, -1)))
}

fn assemble(plan: Plan, named: &[(String, ColumnFamilyOptions)]) -> Result<(Arc<Engine>, Vec<Arc<Family>>)> {
    let (existing, to_create) = match_families(&plan, named)?;
    let (cache, value_cache) = make_caches(&plan);
    let owner = cache.new_owner();
    let value_log = open_value_log(&plan, &value_cache)?;
    let table_options_map: TableOptionsMap = Arc::default();
    for (id, _, options) in &existing {
        table_options_map.write().insert(*id, table_options(options, 0, false, &cache, owner));
    }
    let versions = open_versions(&plan, &existing, &table_options_map, &value_log)?;
    let mut last_sequence = plan.state.as_ref().map_or(0, |state| state.last_sequence);
    for family in versions.column_families() {
        last_sequence = last_sequence.max(family.flushed_sequence);
    }
    let engine =
        build_engine(plan, cache, value_cache, owner, value_log, versions, table_options_map, last_sequence)?;
    for (id, name, options) in existing {
        let version = engine.versions.current(id).unwrap_or_else(|| Arc::new(Version::empty(options.levels)));
        add_family(&engine, &mut engine.committer.lock(), id, &name, options, version);
    }
    let missing: Vec<_> = to_create;
    for (name, options) in missing {
        super::column_family::create(&engine, &options, &name)?;
    }
    let families = named
        .iter()
        .filter_map(|(name, _)| {
            let families = engine.families.read();
            families.by_name.get(name).and_then(|id| families.by_id.get(id)).cloned()
        })
        .collect();
    Ok((engine, families))
}

fn open_value_log(plan: &Plan, cache: &Option<Arc<Cache>>) -> Result<Arc<ValueLog>> {
    let config = &plan.options.config.value_log;
    let codec = if config.compress_values { config.compression_algorithm } else { Codec::None };
    let options = ValueLogOptions {
        dir: plan.directories.value_log.clone(),
        database: plan.database,
        max_segment_size: config.max_segment_size,
        write_queues: config.write_queues,
        codec,
        cache: cache.clone(),
        // A cache of values has databases that the cache of blocks does not know, so it numbers them itself.
        cache_owner: cache.as_ref().map_or(0, |cache| cache.new_owner()),
        direct: Arc::clone(&plan.direct),
    };
    ValueLog::open(Arc::clone(&plan.env), options, Arc::clone(&plan.next_file_number))
}

fn open_versions(
    plan: &Plan,
    existing: &[(u32, String, ColumnFamilyOptions)],
    table_options: &TableOptionsMap,
    value_log: &ValueLog,
) -> Result<VersionSet> {
    let map = Arc::clone(table_options);
    let context = VersionSetContext {
        env: Arc::clone(&plan.env),
        db_dir: plan.directories.db.clone(),
        sst_dir: plan.directories.sst.clone(),
        direct: Arc::clone(&plan.direct),
        next_file_number: Arc::clone(&plan.next_file_number),
        table_options: Arc::new(move |id| map.read()[&id].clone()),
    };
    match &plan.state {
        Some(state) => VersionSet::open(context, state.clone(), value_log, plan.read_only),
        None => VersionSet::create(context, plan.database, existing[0].2.comparator.name()),
    }
}

fn wal_settings(
    env: &Arc<dyn Env>,
    options: &Options,
    directories: &Directories,
    database: [u8; 16],
) -> WalSettings {
    let config = &options.config;
    let interval = matches!(config.wal.sync_policy, SyncPolicy::EveryNMs(_));
    WalSettings {
        env: Arc::clone(env),
        dir: directories.wal.clone(),
        database,
        max_file_size: config.wal.max_file_size,
        mapped: config.performance.memory_mapped,
        buffer_size: config.wal.buffer_size,
        recycled_files: config.wal.recycled_files,
        policy: config.wal.sync_policy,
        log_thread: (config.wal.async_writes || interval) && !env.runs_inline(),
        max_total_size: AtomicU64::new(options.max_total_wal_size),
    }
}

#[allow(clippy::too_many_arguments, reason = "the parts of the engine, put together once")]
fn build_engine(
    plan: Plan,
    cache: Arc<Cache>,
    value_cache: Option<Arc<Cache>>,
    cache_owner: u64,
    value_log: Arc<ValueLog>,
    versions: VersionSet,
    table_options: TableOptionsMap,
    last_sequence: u64,
) -> Result<Arc<Engine>> {
    let Plan { env, options, directories, read_only, database, next_file_number, direct, .. } = plan;
    let logger = match &options.logger {
        Some(logger) => Arc::clone(logger),
        None if read_only => Arc::new(NoLogger),
        None => Arc::new(FileLogger::open(&env, &directories.db)?),
    };
    let durability = Durability::new(Arc::clone(&env), Arc::clone(&value_log), last_sequence);
    let settings = wal_settings(&env, &options, &directories, database);
    let rate = options.config.compaction.io_rate_limit.map(|megabytes| megabytes * 1_000_000);
    let engine = Arc::new(Engine {
        read_only,
        opened_at: env.now(),
        cache,
        value_cache,
        cache_owner,
        logger,
        next_file_number,
        separator: Separator::new(Arc::clone(&value_log)),
        value_log,
        versions,
        committer: Committer::new(settings, Arc::clone(&durability), last_sequence),
        durability,
        throttle: Throttle::default(),
        memtables: memory::memtables(&options),
        clock: Arc::new(clock_of(&env)),
        snapshots: SnapshotList::default(),
        health: HealthState::default(),
        families: RwLock::new(Families::default()),
        table_options,
        install: Mutex::new(()),
        state: Mutex::new(BackgroundState::default()),
        work: Condvar::new(),
        done: Condvar::new(),
        log_thread: Mutex::new(None),
        log_helper: Mutex::default(),
        cancel: Arc::new(AtomicBool::new(false)),
        closed: AtomicBool::new(false),
        stats: Arc::new(CompactionStats::default()),
        garbage: Garbage::new(&options.config.value_log),
        direct,
        told_of_direct: AtomicBool::new(false),
        rate_limiter: Arc::new(RateLimiter::new(Arc::clone(&env), rate)),
        lock: Mutex::new(None),
        myself: OnceLock::new(),
        env,
        options,
        directories,
    });
    engine.myself.set(Arc::downgrade(&engine)).expect("set once");
    Ok(engine)
}

/// The time that entries are judged by.
fn clock_of(env: &Arc<dyn Env>) -> ExpiryClock {
    let (system, passed) = (Arc::clone(env), Arc::clone(env));
    ExpiryClock::new(move || system.unix_seconds(), move || passed.now())
}

/// Puts a family, which the version set knows, into the engine.
pub(super) fn add_family(
    engine: &Engine,
    commit: &mut CommitState,
    id: u32,
    name: &str,
    options: ColumnFamilyOptions,
    version: Arc<Version>,
) -> Arc<Family> {
    let order = crate::base::InternalComparator::new(Arc::clone(&options.comparator));
    let structure = structure(&options);
    let active = crate::memtable::write_buffer::WriteBuffer::new(structure, &order);
    engine.memtables.watch(id, &active);
    let can_merge = options.merge_operator.is_some();
    let view = ReadView { active: Arc::clone(&active), sealed: Vec::new(), version };
    let family = Family::new(id, name, options, engine, view);
    let target = FamilyTarget { active, seal_at: family.seal_at(), order, can_merge };
    {
        let mut families = engine.families.write();
        families.by_id.insert(id, Arc::clone(&family));
        families.by_name.insert(name.to_string(), id);
    }
    commit.families.insert(id, target);
    update_limits(engine);
    family
}

/// What follows from the options of all families: the bound on all logs together, unless it was set, and from where on
/// a batch may have values that are separated. Called under the commit lock.
pub(super) fn update_limits(engine: &Engine) {
    let families = engine.all_families();
    let least = families.iter().map(|family| family.threshold.load(Ordering::Relaxed)).min();
    engine.garbage.least_threshold.store(least.unwrap_or(0), Ordering::Relaxed);
    if engine.options.max_total_wal_size != 0 {
        return;
    }
    let budget: u64 = families
        .iter()
        .map(|family| {
            let options = family.options.read();
            options.memtable.max_size.saturating_mul(options.memtable.count as u64)
        })
        .sum();
    let floor = 2 * engine.options.config.wal.max_file_size;
    engine.committer.settings().max_total_size.store(budget.saturating_mul(4).max(floor), Ordering::Relaxed);
}

/// Replays the logs, sweeps, and lets background work begin.
fn start(engine: &Arc<Engine>, state: Option<&ManifestState>, found: &Found) -> Result<()> {
    let report = match state {
        Some(state) => recovery::replay_logs(engine, state, found)?,
        None => String::new(),
    };
    if engine.read_only {
        engine.health.set_report(report);
        engine.release_memtables();
        return Ok(());
    }
    recovery::sweep(engine)?;
    engine.log(LogLevel::Header, format_args!("opened {}", engine.directories.db.display()));
    if !report.is_empty() {
        engine.log(LogLevel::Warn, format_args!("recovery: {report}"));
    }
    engine.health.set_report(report);
    engine.tell_of_direct();
    // The first thread, and nothing fails after it: an open that fails leaves none behind that holds the lock.
    if engine.committer.settings().log_thread {
        engine.start_log_thread()?;
    }
    let mut state = engine.state.lock();
    state.started = true;
    state.look_for_compactions = true;
    state.expiry_due = Some(0);
    engine.update_pressure(&mut state);
    engine.wake_workers(&mut state);
    drop(state);
    engine.attach_memtables();
    engine.run_inline();
    Ok(())
}

/// An edit that only moves the counters.
pub(super) fn counters_edit(last_sequence: u64, min_wal: u64) -> VersionEdit {
    VersionEdit { last_sequence: Some(last_sequence), min_wal: Some(min_wal), ..VersionEdit::default() }
}
