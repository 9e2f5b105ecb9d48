//! The assembled engine: the only module that knows all others. (API; bodies in the submodules.)

pub mod options;
pub use options::{ColumnFamilyOptions, CompactRangeOptions, Options, ReadOptions, WriteOptions};

use crate::base::{Error, Result, SequenceNumber};
use crate::batch::WriteBatch;
use std::path::Path;
use std::sync::Arc;

/// The name of the column family every database has.
pub const DEFAULT_COLUMN_FAMILY: &str = "default";

/// An open database. Clone to share (cheap); all methods may be called from any thread. Iterators, snapshots and
/// pinned values keep what they need alive; after `close` every call gives `ShutdownInProgress`.
#[derive(Clone)]
pub struct Db {
    _private: Arc<()>,
}

/// A handle of a column family. Cheap to clone. A dropped family stays readable through live handles.
#[derive(Clone)]
pub struct ColumnFamily {
    _private: Arc<()>,
}

impl ColumnFamily {
    /// Its id: 0 for the default one.
    pub fn id(&self) -> u32 {
        todo!()
    }
    /// Its name.
    pub fn name(&self) -> &str {
        todo!()
    }
}

/// A moment of the database that reads can name. Dropping it releases it.
pub struct Snapshot {
    _private: (),
}
impl Snapshot {
    /// Its sequence number, for `ReadOptions::snapshot`.
    pub fn sequence(&self) -> SequenceNumber {
        todo!()
    }
}

/// A value read, kept alive without a copy for as long as this lives, whatever is written meanwhile.
pub struct PinnedValue {
    _private: (),
}
impl std::ops::Deref for PinnedValue {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        todo!()
    }
}

/// What state the database is in.
#[derive(Clone, Debug)]
pub struct Health {
    /// The failure that made the database read-only; `None` = healthy.
    pub failure: Option<Error>,
    /// Writes refused since.
    pub refused_writes: u64,
    /// What recovery dropped or repaired at open, in words; empty = nothing.
    pub recovery_report: String,
}

/// Moves over the visible entries of a column family, both ways.
pub struct DbIterator {
    _private: (),
}
impl DbIterator {
    /// Whether it stands on an entry.
    pub fn valid(&self) -> bool {
        todo!()
    }
    /// To the first entry within the bounds.
    pub fn seek_to_first(&mut self) {
        todo!()
    }
    /// To the last entry within the bounds.
    pub fn seek_to_last(&mut self) {
        todo!()
    }
    /// To the first entry at or after `target`.
    pub fn seek(&mut self, target: &[u8]) {
        todo!()
    }
    /// To the last entry at or before `target`.
    pub fn seek_for_prev(&mut self, target: &[u8]) {
        todo!()
    }
    /// One on.
    pub fn next(&mut self) {
        todo!()
    }
    /// One back.
    pub fn prev(&mut self) {
        todo!()
    }
    /// The key; until the next move.
    pub fn key(&self) -> &[u8] {
        todo!()
    }
    /// The value, read from the value log on first use; a failed read makes the iterator invalid with an error and
    /// gives an empty slice. Until the next move.
    pub fn value(&mut self) -> &[u8] {
        todo!()
    }
    /// What went wrong, if anything.
    pub fn status(&self) -> Result<()> {
        todo!()
    }
    /// Shows the latest state (drops the snapshot, if any) and loses the position.
    pub fn refresh(&mut self) -> Result<()> {
        todo!()
    }
}

impl Db {
    /// Opens a database with its default column family only; `InvalidArgument` if it has others.
    pub fn open(options: &Options, path: &Path, default: &ColumnFamilyOptions) -> Result<Db> {
        todo!()
    }
    /// Opens with the column families named; every existing one must be named.
    pub fn open_column_families(
        options: &Options,
        path: &Path,
        families: &[(String, ColumnFamilyOptions)],
    ) -> Result<(Db, Vec<ColumnFamily>)> {
        todo!()
    }
    /// Opens for reading: writes nothing at all. Families not named are left out (the default one must be named).
    pub fn open_read_only(
        options: &Options,
        path: &Path,
        families: &[(String, ColumnFamilyOptions)],
        error_if_wal_exists: bool,
    ) -> Result<(Db, Vec<ColumnFamily>)> {
        todo!()
    }
    /// Names of the column families of a closed (or open) database.
    pub fn list_column_families(options: &Options, path: &Path) -> Result<Vec<String>> {
        todo!()
    }
    /// Removes a closed database's own files; foreign files and their directories stay. Fine if there is none.
    pub fn destroy(options: &Options, path: &Path) -> Result<()> {
        todo!()
    }
    /// Rebuilds the manifest of a damaged database from what is readable.
    pub fn repair(options: &Options, path: &Path) -> Result<()> {
        todo!()
    }
    /// Stops background work and seals the logs. Further calls on any clone fail. Also done when the last clone goes.
    pub fn close(&self) -> Result<()> {
        todo!()
    }

    /// The default column family.
    pub fn default_column_family(&self) -> ColumnFamily {
        todo!()
    }
    /// Makes a column family.
    pub fn create_column_family(&self, options: &ColumnFamilyOptions, name: &str) -> Result<ColumnFamily> {
        todo!()
    }
    /// Drops a column family; live handles keep reading it.
    pub fn drop_column_family(&self, family: &ColumnFamily) -> Result<()> {
        todo!()
    }

    /// Applies a batch atomically.
    pub fn write(&self, batch: &WriteBatch, options: &WriteOptions) -> Result<()> {
        todo!()
    }
    /// Stores one value.
    pub fn put(&self, family: &ColumnFamily, key: &[u8], value: &[u8], options: &WriteOptions) -> Result<()> {
        todo!()
    }
    /// Deletes one key.
    pub fn delete(&self, family: &ColumnFamily, key: &[u8], options: &WriteOptions) -> Result<()> {
        todo!()
    }
    /// Deletes a key written once since it was last deleted.
    pub fn single_delete(&self, family: &ColumnFamily, key: &[u8], options: &WriteOptions) -> Result<()> {
        todo!()
    }
    /// Deletes `[start, end)`; `InvalidArgument` if reversed.
    pub fn delete_range(
        &self,
        family: &ColumnFamily,
        start: &[u8],
        end: &[u8],
        options: &WriteOptions,
    ) -> Result<()> {
        todo!()
    }
    /// Adds a merge operand; `InvalidArgument`/`NotImplemented` without a merge operator.
    pub fn merge(
        &self,
        family: &ColumnFamily,
        key: &[u8],
        operand: &[u8],
        options: &WriteOptions,
    ) -> Result<()> {
        todo!()
    }

    /// The value of a key.
    pub fn get(
        &self,
        family: &ColumnFamily,
        key: &[u8],
        options: &ReadOptions,
    ) -> Result<Option<PinnedValue>> {
        todo!()
    }
    /// The values of several keys, all read at one moment; one answer a key, in order.
    pub fn multi_get(
        &self,
        keys: &[(&ColumnFamily, &[u8])],
        options: &ReadOptions,
    ) -> Vec<Result<Option<PinnedValue>>> {
        todo!()
    }
    /// False only if the key is certainly absent; never reads from the device. May give the value.
    pub fn key_may_exist(
        &self,
        family: &ColumnFamily,
        key: &[u8],
        options: &ReadOptions,
    ) -> (bool, Option<PinnedValue>) {
        todo!()
    }
    /// An iterator, not positioned.
    pub fn iterator(&self, family: &ColumnFamily, options: &ReadOptions) -> Result<DbIterator> {
        todo!()
    }
    /// Iterators over several families at one moment.
    pub fn iterators(&self, families: &[&ColumnFamily], options: &ReadOptions) -> Result<Vec<DbIterator>> {
        todo!()
    }
    /// The moment now.
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }

    /// Flushes the memtables of the families named; waits if `wait`.
    pub fn flush(&self, families: &[&ColumnFamily], wait: bool) -> Result<()> {
        todo!()
    }
    /// Makes buffered log bytes reach the system, and the device if `sync`.
    pub fn flush_wal(&self, sync: bool) -> Result<()> {
        todo!()
    }
    /// Compacts `[begin, end]` of a family down to its last level with data.
    pub fn compact_range(
        &self,
        family: &ColumnFamily,
        begin: Option<&[u8]>,
        end: Option<&[u8]>,
        options: &CompactRangeOptions,
    ) -> Result<()> {
        todo!()
    }
    /// Waits until no flush or compaction is due or running.
    pub fn wait_for_background_work(&self) -> Result<()> {
        todo!()
    }
    /// A property in words; `None` if unknown. Names start with `rocksdb.` or `auradb.`.
    pub fn property(&self, family: &ColumnFamily, name: &str) -> Option<String> {
        todo!()
    }
    /// A property that is a number.
    pub fn property_int(&self, family: &ColumnFamily, name: &str) -> Option<u64> {
        todo!()
    }
    /// About how many bytes of tables lie in each `[start, end)`; memtables too if `include_memtables`.
    pub fn approximate_sizes(
        &self,
        family: &ColumnFamily,
        ranges: &[(&[u8], &[u8])],
        include_memtables: bool,
    ) -> Result<Vec<u64>> {
        todo!()
    }
    /// Changes options of a family while open (`write_buffer_size`, `disable_auto_compactions`, triggers ...).
    pub fn set_options(&self, family: &ColumnFamily, changes: &[(&str, &str)]) -> Result<()> {
        todo!()
    }
    /// The last sequence number handed out.
    pub fn latest_sequence(&self) -> SequenceNumber {
        todo!()
    }
    /// Everything up to here survives a power loss.
    pub fn durable_sequence(&self) -> SequenceNumber {
        todo!()
    }
    /// What state it is in.
    pub fn health(&self) -> Health {
        todo!()
    }
    /// After a failure was repaired (space freed): goes on with new files. The error if that is not possible.
    pub fn resume(&self) -> Result<()> {
        todo!()
    }
    /// The configuration it runs with.
    pub fn config(&self) -> crate::config::Config {
        todo!()
    }
}
