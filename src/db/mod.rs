//! The assembled engine: the only module that knows all others, and the face that Rust callers and the C layer use.
//!
//! `open` puts the parts together and `recovery` replays the logs; `state` names the parts and the order of locks;
//! `jobs` is what background work does, `background` who does it and when; `maintenance` is what a user asks for
//! by hand. Reads and writes start in this file and leave it for `read/` and `write/`.

mod background;
mod batch_reads;
#[cfg(test)]
mod close_tests;
mod column_family;
mod db_iterator;
mod expiry;
#[cfg(test)]
mod expiry_tests;
mod family;
#[cfg(test)]
mod flush_tests;
mod garbage;
mod health;
mod info_log;
mod iterator;
mod jobs;
#[cfg(test)]
mod kept_values_tests;
mod maintenance;
mod manage;
mod memory;
mod open;
pub mod options;
mod overlay;
#[cfg(test)]
mod overlay_tests;
mod properties;
mod reads;
mod recovery;
mod repair;
mod repair_logs;
#[cfg(test)]
mod repair_tests;
mod rescue;
#[cfg(test)]
mod resume_tests;
mod set_options;
mod snapshots;
mod state;
#[cfg(test)]
mod threshold_tests;
#[cfg(test)]
mod write_path_tests;
mod writes;

pub use crate::memtable::budget::WriteBufferManager;
pub use crate::read::PinnedValue;
pub use batch_reads::{SharedBatch, get_from_batch};
pub use db_iterator::DbIterator;
pub use health::Health;
pub use memory::{MemoryConsumer, MemoryUsage};
pub use options::{ColumnFamilyOptions, CompactRangeOptions, Options, ReadOptions, WriteOptions};

use crate::base::error::Subcode;
use crate::base::{Error, ErrorKind, Result, SequenceNumber};
use family::Family;
use state::Engine;
use std::path::Path;
use std::sync::Arc;

/// The name of the column family every database has.
pub const DEFAULT_COLUMN_FAMILY: &str = "default";

/// An open database. Clone to share (cheap); all methods may be called from any thread. After `close`, every method
/// of every clone that reads or changes data gives `ShutdownInProgress`; iterators, snapshots and pinned values made
/// before keep what they need alive, and stay valid until they are dropped (only an iterator's `refresh` fails).
#[derive(Clone)]
pub struct Db {
    handle: Arc<Handle>,
}

/// Closes the engine when the last `Db` goes.
struct Handle {
    engine: Arc<Engine>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Nobody is left to tell; what could not be made durable is recovered at the next open.
        let _ = self.engine.close();
    }
}

/// A handle of a column family. Cheap to clone. A dropped family stays readable through live handles.
#[derive(Clone)]
pub struct ColumnFamily {
    family: Arc<Family>,
    engine: std::sync::Weak<Engine>,
}

impl ColumnFamily {
    /// Its id: 0 for the default one.
    pub fn id(&self) -> u32 {
        self.family.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.family.name
    }
}

impl Drop for ColumnFamily {
    fn drop(&mut self) {
        // The files of a dropped family go with the last handle that could read them.
        if self.family.is_dropped()
            && let Some(engine) = self.engine.upgrade()
        {
            self.family.forget_if_last(Arc::strong_count(&self.family));
            engine.remove_obsolete_files();
        }
    }
}

/// A moment of the database that reads can name. Dropping it releases it.
pub struct Snapshot {
    engine: Arc<Engine>,
    sequence: SequenceNumber,
}

impl Snapshot {
    /// Its sequence number, for `ReadOptions::snapshot`.
    pub fn sequence(&self) -> SequenceNumber {
        self.sequence
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.engine.snapshots.release(self.sequence);
    }
}

impl Db {
    /// Opens a database with its default column family only; `InvalidArgument` if it has others.
    pub fn open(options: &Options, path: &Path, default: &ColumnFamilyOptions) -> Result<Db> {
        let named = [(DEFAULT_COLUMN_FAMILY.to_string(), default.clone())];
        Db::open_column_families(options, path, &named).map(|(db, _)| db)
    }

    /// Opens with the column families named; every existing one must be named.
    pub fn open_column_families(
        options: &Options,
        path: &Path,
        families: &[(String, ColumnFamilyOptions)],
    ) -> Result<(Db, Vec<ColumnFamily>)> {
        let (engine, families) = open::open(options, path, families, false)?;
        Ok(Db::with_handles(engine, families))
    }

    /// Opens for reading: writes nothing at all. Families not named are left out (the default one must be named).
    pub fn open_read_only(
        options: &Options,
        path: &Path,
        families: &[(String, ColumnFamilyOptions)],
        error_if_wal_exists: bool,
    ) -> Result<(Db, Vec<ColumnFamily>)> {
        if error_if_wal_exists {
            manage::refuse_logs(options, path)?;
        }
        let (engine, families) = open::open(options, path, families, true)?;
        Ok(Db::with_handles(engine, families))
    }

    fn with_handles(engine: Arc<Engine>, families: Vec<Arc<Family>>) -> (Db, Vec<ColumnFamily>) {
        let db = Db { handle: Arc::new(Handle { engine }) };
        let handles = families.into_iter().map(|family| db.family_handle(family)).collect();
        (db, handles)
    }

    fn family_handle(&self, family: Arc<Family>) -> ColumnFamily {
        ColumnFamily { family, engine: Arc::downgrade(self.engine()) }
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.handle.engine
    }

    /// Names of the column families of a closed (or open) database.
    pub fn list_column_families(options: &Options, path: &Path) -> Result<Vec<String>> {
        manage::list_column_families(options, path)
    }

    /// Removes a closed database's own files; foreign files and their directories stay. Fine if there is none.
    pub fn destroy(options: &Options, path: &Path) -> Result<()> {
        manage::destroy(options, path)
    }

    /// Rebuilds the manifest of a damaged, closed database from what is readable.
    /// - Tables that are damaged, or that point into a value-log segment which is missing or cut, are renamed to
    ///   `*.sst.damaged`.
    /// - If a log is missing or has any bad place, every whole write of the logs is copied to new logs (as recovery
    ///   mode `SkipCorrupted` would show them), and the old ones are renamed to `*.log.damaged`. Else the logs stay as
    ///   they are. The next open replays them, in any recovery mode.
    /// - Without a readable manifest all tables go to the default family, at level 0. Names of other families, and
    ///   which table was whose, cannot be told then; logs that name other families are kept as `*.log.damaged` too.
    ///
    /// A crash at any moment leaves what was there before or the repaired database; run it again if it does not open.
    pub fn repair(options: &Options, path: &Path, families: &[(String, ColumnFamilyOptions)]) -> Result<()> {
        repair::repair(options, path, families)
    }

    /// Stops background work, makes everything durable and lets the lock go. Further calls on any clone fail. Also
    /// done when the last clone goes.
    pub fn close(&self) -> Result<()> {
        self.engine().close()
    }

    /// The default column family.
    pub fn default_column_family(&self) -> ColumnFamily {
        let family = self.engine().family(0).expect("the default family is never dropped");
        self.family_handle(family)
    }

    /// Makes a column family.
    pub fn create_column_family(&self, options: &ColumnFamilyOptions, name: &str) -> Result<ColumnFamily> {
        self.engine().check_writes()?;
        let engine = self.engine();
        let family = engine.in_foreground(|| column_family::create(engine, options, name))?;
        Ok(self.family_handle(family))
    }

    /// Drops a column family; live handles keep reading it.
    pub fn drop_column_family(&self, family: &ColumnFamily) -> Result<()> {
        self.engine().check_writes()?;
        let (engine, family) = (self.engine(), self.own(family)?);
        engine.in_foreground(|| column_family::drop_family(engine, family))
    }

    /// The family of a handle, which must be of this database.
    fn own<'a>(&self, family: &'a ColumnFamily) -> Result<&'a Arc<Family>> {
        if !std::ptr::eq(family.engine.as_ptr(), Arc::as_ptr(self.engine())) {
            return Err(Error::invalid_argument(format!(
                "column family handle {} belongs to another database",
                family.name()
            )));
        }
        Ok(&family.family)
    }

    fn own_all(&self, families: &[&ColumnFamily]) -> Result<Vec<Arc<Family>>> {
        families.iter().map(|family| self.own(family).cloned()).collect()
    }

    /// The moment now.
    pub fn snapshot(&self) -> Snapshot {
        let engine = Arc::clone(self.engine());
        let sequence = engine.snapshots.take(|| engine.durability.visible(), engine.env.now());
        Snapshot { engine, sequence }
    }

    /// Flushes the memtables of the families named; waits if `wait`.
    pub fn flush(&self, families: &[&ColumnFamily], wait: bool) -> Result<()> {
        self.engine().flush(&self.own_all(families)?, wait)
    }

    /// Makes every acknowledged write durable if `sync`. (Without it there is nothing to do: a write is in the
    /// system's hands when it is acknowledged.)
    pub fn flush_wal(&self, sync: bool) -> Result<()> {
        if sync { self.engine().sync_logs() } else { self.engine().check_writes() }
    }

    /// Compacts `[begin, end]` of a family down to its last level with data.
    pub fn compact_range(
        &self,
        family: &ColumnFamily,
        begin: Option<&[u8]>,
        end: Option<&[u8]>,
        options: &CompactRangeOptions,
    ) -> Result<()> {
        let (engine, family) = (self.engine(), self.own(family)?);
        engine.in_foreground(|| engine.compact_range(family, begin, end, options))
    }

    /// Waits until no flush or compaction is due or running.
    pub fn wait_for_background_work(&self) -> Result<()> {
        self.engine().wait_for_quiet()
    }

    /// Collects garbage of the value log now: flushes and compacts all families, then empties every segment of which
    /// at least the share `least_garbage` (0 to 1) is dead. Gives the bytes of the segments removed. What readers,
    /// iterators and snapshots still need stays until they are done.
    pub fn collect_garbage(&self, least_garbage: f64) -> Result<u64> {
        self.engine().in_foreground(|| self.engine().collect_garbage(least_garbage))
    }

    /// Reads and checks every value of the value log that a table or memtable points to, and gives how many there
    /// are. The first that is not whole is the error.
    pub fn verify_value_log(&self) -> Result<u64> {
        self.engine().in_foreground(|| self.engine().verify_values())
    }

    /// The memory it holds now.
    pub fn memory_usage(&self) -> MemoryUsage {
        self.engine().memory_usage()
    }

    /// What tells of its memory later, without keeping it open.
    pub fn memory_consumer(&self) -> MemoryConsumer {
        MemoryConsumer::new(self.engine())
    }

    /// A property in words; `None` if unknown. Names start with `rocksdb.` or `auradb.`.
    pub fn property(&self, family: &ColumnFamily, name: &str) -> Option<String> {
        properties::property(self.engine(), self.own(family).ok()?, name)
    }

    /// A property that is a number.
    pub fn property_int(&self, family: &ColumnFamily, name: &str) -> Option<u64> {
        properties::property_int(self.engine(), self.own(family).ok()?, name)
    }

    /// About how many bytes of tables lie in each `[start, end)`; memtables too if `include_memtables`.
    pub fn approximate_sizes(
        &self,
        family: &ColumnFamily,
        ranges: &[(&[u8], &[u8])],
        include_memtables: bool,
    ) -> Result<Vec<u64>> {
        self.engine().check_open()?;
        Ok(properties::approximate_sizes(self.own(family)?, ranges, include_memtables))
    }

    /// Changes options of a family while open (`write_buffer_size`, `disable_auto_compactions`, triggers ...).
    pub fn set_options(&self, family: &ColumnFamily, changes: &[(&str, &str)]) -> Result<()> {
        self.engine().check_writes()?;
        set_options::apply(self.engine(), self.own(family)?, changes)
    }

    /// The last sequence number handed out.
    pub fn latest_sequence(&self) -> SequenceNumber {
        self.engine().durability.visible()
    }

    /// Everything up to here survives a power loss. A write that was not logged holds it back until it is flushed.
    pub fn durable_sequence(&self) -> SequenceNumber {
        self.engine().durable_sequence()
    }

    /// Makes the database read-only because a panic was caught outside of the engine, in a call of this database:
    /// what the call left half done must not be written on top of. For language layers.
    pub fn report_panic(&self, message: &str) {
        let error = Error::new(ErrorKind::Internal, message).with_subcode(Subcode::Panic);
        self.engine().fail(&error);
    }

    /// What state it is in.
    pub fn health(&self) -> Health {
        self.engine().health.snapshot()
    }

    /// After a failure was repaired (space freed): goes on with new files. The error if that is not possible.
    pub fn resume(&self) -> Result<()> {
        self.engine().in_foreground(|| self.engine().resume())
    }

    /// The configuration it runs with.
    pub fn config(&self) -> crate::config::Config {
        self.engine().options.config.clone()
    }
}
