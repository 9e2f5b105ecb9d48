//! The shape of the database on disk: for each column family, levels of sorted runs of tables; the manifest that
//! makes changes of it atomic; and the set that holds the current one.
//!
//! A `Version` is immutable and shared; a change is a `VersionEdit`, made durable in the manifest and then
//! installed. Only this module installs versions.

use crate::base::{InternalComparator, Result};
use crate::env::Env;
use crate::sst::{SegmentUse, Table, TableProperties};
use crate::value_log::{SegmentRef, ValueLog};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A table in a version. Dropping the last reference to one that no version lists any more queues its file for
/// removal, so a reader that holds a version never loses a file.
pub struct FileMeta {
    /// File number.
    pub number: u64,
    /// What the table says of itself (size, bounds, sequence bounds, counts, segments used).
    pub properties: TableProperties,
    /// The open table.
    pub table: Arc<Table>,
    /// Holds on the value-log segments that its pointers name.
    pub segments: Vec<SegmentRef>,
    /// Set while a compaction has it as input.
    pub being_compacted: std::sync::atomic::AtomicBool,
    // + what is needed to queue the removal; constructed only inside version/
}

/// Tables in key order that do not overlap.
#[derive(Clone, Default)]
pub struct Run {
    /// The tables.
    pub files: Vec<Arc<FileMeta>>,
}

/// Runs of a level, newest first. Leveled levels below 0 have at most one.
#[derive(Clone, Default)]
pub struct Level {
    /// The runs.
    pub runs: Vec<Run>,
}

/// The tables of one column family at one moment. Immutable.
pub struct Version {
    /// Level 0 first.
    pub levels: Vec<Level>,
}

/// What a new table is, for an edit.
#[derive(Clone, Debug)]
pub struct NewFile {
    /// Level.
    pub level: u32,
    /// File number.
    pub number: u64,
    /// Its properties.
    pub properties: TableProperties,
}

/// A change of the shape, written to the manifest as one record.
#[derive(Clone, Debug, Default)]
pub struct VersionEdit {
    /// The column family changed (for the file fields below).
    pub column_family: u32,
    /// Tables added.
    pub added: Vec<NewFile>,
    /// (level, number) of tables removed.
    pub removed: Vec<(u32, u64)>,
    /// All entries of the column family up to this sequence number are in tables.
    pub flushed_sequence: Option<u64>,
    /// The column family is created with this name and comparator name.
    pub create: Option<(String, String)>,
    /// The column family is dropped.
    pub drop: bool,
    /// The last sequence number handed out.
    pub last_sequence: Option<u64>,
    /// WAL files below this number are not needed.
    pub min_wal: Option<u64>,
    /// At a clean close: (number, valid length) of each live WAL file.
    pub sealed_wals: Vec<(u64, u64)>,
}

/// A column family as the manifest knows it.
#[derive(Clone)]
pub struct ColumnFamilyState {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The name of its comparator.
    pub comparator: String,
    /// Entries up to here are in tables.
    pub flushed_sequence: u64,
    /// Its tables now.
    pub current: Arc<Version>,
}

/// What opening tables needs to know of a column family.
pub type TableOptionsFor = Arc<dyn Fn(u32) -> crate::sst::TableOptions + Send + Sync>;

/// What the set needs from outside.
#[derive(Clone)]
pub struct VersionSetContext {
    /// The outside.
    pub env: Arc<dyn Env>,
    /// Where the manifest lives.
    pub db_dir: PathBuf,
    /// Where tables live.
    pub sst_dir: PathBuf,
    /// The counter of all file numbers; the set moves it past every number it sees.
    pub next_file_number: Arc<AtomicU64>,
    /// How tables of a column family are opened (called with the column family id).
    pub table_options: TableOptionsFor,
}

/// What the manifest said, before any table is opened: enough to set up value log and options.
#[derive(Clone, Debug, Default)]
pub struct ManifestState {
    /// The database's identity.
    pub database: [u8; 16],
    /// (id, name, comparator name) of each column family.
    pub column_families: Vec<(u32, String, String)>,
    /// The last sequence number recorded.
    pub last_sequence: u64,
    /// WAL files below this number are not needed.
    pub min_wal: u64,
    /// Sealed at a clean close.
    pub sealed_wals: Vec<(u64, u64)>,
    // + the live files and what else recovery needs, private to version/
}

/// The versions of all column families and the manifest. Edits are serialised inside.
pub struct VersionSet {
    _private: (),
}

impl VersionSet {
    /// Reads CURRENT and the manifest, without opening tables. `NotFound` (Subcode::MissingFile) if there is no
    /// database. A torn last record is cut; a bad record with a valid one after it is `Corruption`.
    pub fn read_manifest(env: &dyn Env, db_dir: &Path) -> Result<ManifestState> {
        todo!()
    }
    /// A new database: identity, first manifest with the default column family (id 0, "default"), CURRENT.
    pub fn create(context: VersionSetContext, database: [u8; 16], comparator: &str) -> Result<VersionSet> {
        todo!()
    }
    /// Opens every live table (checking presence, size, footer), checks that the segments they use exist and are
    /// long enough, and starts a new manifest (written whole, synced, then CURRENT switched; R4, R7).
    /// With `read_only` nothing is written.
    pub fn open(
        context: VersionSetContext,
        state: ManifestState,
        value_log: &ValueLog,
        read_only: bool,
    ) -> Result<VersionSet> {
        todo!()
    }
    /// Makes the edits durable as one atomic record and installs them. New tables are opened first. Switches to a
    /// new manifest when the old one is long. After a failed manifest write or sync, the set refuses further edits
    /// until `reset_manifest`.
    pub fn apply(&self, edits: Vec<VersionEdit>, value_log: &ValueLog) -> Result<()> {
        todo!()
    }
    /// After an error: writes a whole new manifest and switches to it.
    pub fn reset_manifest(&self) -> Result<()> {
        todo!()
    }
    /// The current version of a column family; `None` if there is no such family.
    pub fn current(&self, column_family: u32) -> Option<Arc<Version>> {
        todo!()
    }
    /// All column families.
    pub fn column_families(&self) -> Vec<ColumnFamilyState> {
        todo!()
    }
    /// The id for the next column family.
    pub fn next_column_family_id(&self) -> u32 {
        todo!()
    }
    /// Table numbers that nothing refers to any more; each reported once. The caller removes the files.
    pub fn take_obsolete(&self) -> Vec<u64> {
        todo!()
    }
    /// Every table that some living version refers to (for the orphan sweep).
    pub fn live_tables(&self) -> Vec<u64> {
        todo!()
    }
    /// The live manifest's number.
    pub fn manifest_number(&self) -> u64 {
        todo!()
    }
    /// Sum of bytes that live tables refer to, by segment (current versions only).
    pub fn segment_use(&self) -> Vec<SegmentUse> {
        todo!()
    }
}

impl Version {
    /// An empty version with `levels` levels.
    pub fn empty(levels: usize) -> Version {
        todo!()
    }
    /// The tables of `level` whose user-key range meets `[begin, end]` (inclusive; `None` = open end).
    pub fn overlapping(
        &self,
        level: usize,
        begin: Option<&[u8]>,
        end: Option<&[u8]>,
        order: &InternalComparator,
    ) -> Vec<Arc<FileMeta>> {
        todo!()
    }
    /// Bytes of the tables of `level`.
    pub fn level_bytes(&self, level: usize) -> u64 {
        todo!()
    }
    /// Runs of level 0.
    pub fn level0_runs(&self) -> usize {
        todo!()
    }
    /// All tables.
    pub fn files(&self) -> impl Iterator<Item = (usize, &Arc<FileMeta>)> + '_ {
        std::iter::empty()
    }
    /// About how many bytes of tables lie in `[begin, end)` of user keys.
    pub fn approximate_size(&self, begin: &[u8], end: &[u8], order: &InternalComparator) -> u64 {
        todo!()
    }
}
