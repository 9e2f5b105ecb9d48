//! The engine's parts and the locks between them.
//!
//! Locks, always taken in this order: the commit lock (in `Committer`), `install` (one change of versions and views
//! at a time), `state` (background bookkeeping, and any change of a family's view). Readers take none of
//! them: they clone the family's view and load the visible sequence number.
//!
//! Invariant D1: a version and the memtables it replaces change in one `set_view`: no reader sees an entry twice or
//! not at all.

use super::family::Family;
use super::garbage::{Garbage, GarbageWork};
use super::health::HealthState;
use super::options::Options;
use super::snapshots::SnapshotList;
use crate::base::error::Subcode;
use crate::base::expiry::ExpiryClock;
use crate::base::extension::{LogLevel, Logger, log_to};
use crate::base::{Error, ErrorKind, Result};
use crate::cache::Cache;
use crate::compaction::CompactionStats;
use crate::compaction::rate_limit::RateLimiter;
use crate::env::direct::DirectIo;
use crate::env::{Env, FileLock, Joinable};
use crate::memtable::budget::Memtables;
use crate::value_log::ValueLog;
use crate::version::{VersionEdit, VersionSet};
use crate::write::commit::{CommitState, Owner};
use crate::write::separate::{FamilyRules, Rules};
use crate::write::{Committer, Durability, Separator, Throttle};
use parking_lot::{Condvar, Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// Where the files of a database are.
#[derive(Clone, Debug)]
pub(super) struct Directories {
    pub(super) db: PathBuf,
    pub(super) wal: PathBuf,
    pub(super) value_log: PathBuf,
    pub(super) sst: PathBuf,
}

impl Directories {
    pub(super) fn all(&self) -> Vec<&PathBuf> {
        let mut all = vec![&self.db];
        for dir in [&self.wal, &self.value_log, &self.sst] {
            if !all.contains(&dir) {
                all.push(dir);
            }
        }
        all
    }
}

/// What background work is going on.
#[derive(Default)]
pub(super) struct BackgroundState {
    pub(super) flushing: HashSet<u32>,
    pub(super) flushes: usize,
    pub(super) compactions: usize,
    pub(super) manual: usize,
    /// Callers' own work on files; `close` waits for it.
    pub(super) foreground: usize,
    /// A change since the last look may have made a compaction due.
    pub(super) look_for_compactions: bool,
    /// Recovery is done. Before, a compaction's output would be a file of no version, which the sweep removes.
    pub(super) started: bool,
    /// No background flush may begin (resume flushes by itself).
    pub(super) hold_flushes: bool,
    pub(super) shutdown: bool,
    pub(super) threads: Vec<Box<dyn Joinable>>,
    pub(super) idle_threads: usize,
    /// Garbage collection of the value log.
    pub(super) garbage: GarbageWork,
    /// When tables may be due because of what has expired in them; `None` = nothing expires.
    pub(super) expiry_due: Option<u64>,
    /// Not before this time after a failure that may end by itself.
    pub(super) retry_at: Option<Duration>,
}

/// The thread that makes ready what the log needs next.
#[derive(Default)]
pub(super) enum LogHelper {
    /// Started when the log first asks for something.
    #[default]
    NotStarted,
    Running(Box<dyn Joinable>),
    Ended,
}

/// Column families by id and by name.
#[derive(Default)]
pub(super) struct Families {
    pub(super) by_id: HashMap<u32, Arc<Family>>,
    pub(super) by_name: HashMap<String, u32>,
}

/// Table options by column family, for the version set, which knows no families.
pub(super) type TableOptionsMap = Arc<RwLock<HashMap<u32, crate::sst::TableOptions>>>;

/// An open engine.
pub(super) struct Engine {
    pub(super) env: Arc<dyn Env>,
    pub(super) options: Options,
    pub(super) directories: Directories,
    pub(super) read_only: bool,
    pub(super) opened_at: Duration,
    pub(super) cache: Arc<Cache>,
    pub(super) value_cache: Option<Arc<Cache>>,
    pub(super) cache_owner: u64,
    pub(super) logger: Arc<dyn Logger>,
    pub(super) next_file_number: Arc<AtomicU64>,
    pub(super) value_log: Arc<ValueLog>,
    pub(super) versions: VersionSet,
    pub(super) durability: Arc<Durability>,
    pub(super) committer: Committer,
    pub(super) separator: Separator,
    pub(super) throttle: Throttle,
    pub(super) memtables: Arc<Memtables>,
    /// Judges what has expired.
    pub(super) clock: Arc<ExpiryClock>,
    pub(super) snapshots: SnapshotList,
    pub(super) health: HealthState,
    pub(super) families: RwLock<Families>,
    pub(super) table_options: TableOptionsMap,
    pub(super) install: Mutex<()>,
    pub(super) state: Mutex<BackgroundState>,
    /// Signalled when there is work for background threads.
    pub(super) work: Condvar,
    /// Signalled when a job has ended.
    pub(super) done: Condvar,
    pub(super) log_thread: Mutex<Option<Box<dyn Joinable>>>,
    pub(super) log_helper: Mutex<LogHelper>,
    pub(super) cancel: Arc<AtomicBool>,
    pub(super) closed: AtomicBool,
    pub(super) stats: Arc<CompactionStats>,
    pub(super) garbage: Garbage,
    pub(super) direct: Arc<DirectIo>,
    pub(super) told_of_direct: AtomicBool,
    pub(super) rate_limiter: Arc<RateLimiter>,
    pub(super) lock: Mutex<Option<Box<dyn FileLock>>>,
    /// For the threads that the engine starts.
    pub(super) myself: OnceLock<Weak<Engine>>,
}

impl Engine {
    /// A line in the information log.
    pub(super) fn log(&self, level: LogLevel, line: fmt::Arguments<'_>) {
        log_to(&*self.logger, level, line);
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::ShutdownInProgress, "the database was closed; open it again"));
        }
        Ok(())
    }

    /// Refuses where writes are not taken.
    pub(super) fn check_writes(&self) -> Result<()> {
        self.check_open()?;
        if self.read_only {
            return Err(Error::not_implemented(
                "Not supported operation in read only mode: open the database for writing",
            ));
        }
        self.health.check()
    }

    pub(super) fn family(&self, id: u32) -> Option<Arc<Family>> {
        self.families.read().by_id.get(&id).cloned()
    }

    /// All families, in order of their ids.
    pub(super) fn all_families(&self) -> Vec<Arc<Family>> {
        let mut all: Vec<Arc<Family>> = self.families.read().by_id.values().cloned().collect();
        all.sort_by_key(|family| family.id);
        all
    }

    /// Seals one family's active memtable; false if there is nothing in it. Called under the state lock.
    fn seal_one(&self, state: &mut CommitState, family: u32) -> bool {
        let Some(target) = state.families.get_mut(family) else { return false };
        let Some(family) = self.family(family) else { return false };
        if target.active.is_empty() {
            return false;
        }
        let fresh = self.new_buffer(&family);
        target.active = Arc::clone(&fresh);
        target.seal_at = family.seal_at();
        let old = family.view();
        old.active.leave();
        let mut sealed = Vec::with_capacity(old.sealed.len() + 1);
        sealed.push(Arc::clone(&old.active));
        sealed.extend(old.sealed.iter().cloned());
        family.set_view(crate::read::ReadView { active: fresh, sealed, version: Arc::clone(&old.version) });
        true
    }

    /// A failure of background work or syncing: keeps it, tells the log, lets waiting writers see it.
    pub(super) fn fail(&self, error: &Error) -> Error {
        self.health.fail(error);
        if error.subcode() == Subcode::NoSpace {
            self.committer.remove_spare_logs();
        }
        self.tell_of_failure(error);
        error.clone()
    }

    /// Says once that the file system does not do what was asked of it.
    pub(super) fn tell_of_direct(&self) {
        if let Some(path) = self.direct.first_refused()
            && !self.told_of_direct.swap(true, Ordering::Relaxed)
        {
            let path = path.display();
            self.log(
                LogLevel::Warn,
                format_args!(
                    "direct I/O: the file system of {path} does not have it; going through the page cache"
                ),
            );
        }
    }

    /// Says that writes are refused from now on, to the log and to who waits.
    pub(super) fn tell_of_failure(&self, error: &Error) {
        self.log(LogLevel::Error, format_args!("failure: {error}"));
        self.throttle.release();
        self.memtables.manager().wake();
        self.done.notify_all();
    }
}

impl Owner for Engine {
    fn seal(&self, state: &mut CommitState, family: u32) -> Result<()> {
        self.durability.drain(); // W6
        let mut background = self.state.lock();
        let sealed = if self.options.atomic_flush {
            // What is flushed together is cut at one moment.
            let all: Vec<u32> = state.families.iter().map(|(id, _)| id).collect();
            all.into_iter().filter(|family| self.seal_one(state, *family)).count()
        } else {
            usize::from(self.seal_one(state, family))
        };
        if sealed > 0 {
            self.update_pressure(&mut background);
            self.wake_workers(&mut background);
        }
        Ok(())
    }

    fn next_log_number(&self) -> Result<u64> {
        // Touches no family, so no view changes and the install lock is not needed.
        if self.versions.manifest_failed() {
            self.versions.reset_manifest()?;
        }
        Ok(self.next_file_number.fetch_add(1, Ordering::Relaxed))
    }

    fn log_started(&self, number: u64) -> Result<()> {
        let edit = VersionEdit { started_wal: Some(number), ..VersionEdit::default() };
        self.versions.apply(vec![edit], &self.value_log)
    }

    fn has_log_helper(&self) -> bool {
        self.start_log_helper()
    }

    fn keep_memory_within_limit(&self, state: &mut CommitState) -> Result<()> {
        self.flush_the_largest_if_due(state)
    }

    fn check_writable(&self) -> Result<()> {
        self.check_writes()
    }
}

impl FamilyRules for Engine {
    fn rules(&self, column_family: u32) -> Option<Rules> {
        let families = self.families.read();
        families.by_id.get(&column_family).map(|family| Rules {
            separate_from: family.threshold.load(Ordering::Relaxed),
            can_merge: family.fold.merge_operator.is_some(),
            ttl: family.ttl.load(Ordering::Relaxed),
        })
    }

    fn unix_seconds(&self) -> u64 {
        self.clock.now()
    }

    fn cannot_merge(&self, column_family: u32) -> Error {
        let families = self.families.read();
        let name = families.by_id.get(&column_family).map_or("", |family| &family.name);
        Error::invalid_argument(format!(
            "merge_operator is not properly initialized: open column family {name} with a merge operator"
        ))
    }
}
