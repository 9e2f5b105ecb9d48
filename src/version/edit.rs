//! Changes of the shape, as the rest of the engine states them.

use crate::sst::TableProperties;

/// What a new table is, for an edit.
#[derive(Clone, Debug, PartialEq)]
pub struct NewFile {
    /// Level.
    pub level: u32,
    /// The run of the level that it belongs to, newer runs having larger numbers. Leveled levels have run 0
    /// alone; at level 0 each table is its own run, whatever this says.
    pub run: u64,
    /// File number.
    pub number: u64,
    /// Its properties.
    pub properties: TableProperties,
}

/// A change of the shape, written to the manifest as one record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VersionEdit {
    /// The column family changed (for the file fields below).
    pub column_family: u32,
    /// Tables added.
    pub added: Vec<NewFile>,
    /// (level, number) of tables removed. Removals come before additions, so a move down is one of each.
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
    /// A log file was started: until `min_wal` passes it, its absence is a loss.
    pub started_wal: Option<u64>,
    /// At a clean close: (number, valid length) of each live WAL file. Holds until `min_wal` passes it.
    pub sealed_wals: Vec<(u64, u64)>,
}

impl VersionEdit {
    /// True if it names the column family's tables or state, not the database's alone.
    pub(super) fn touches_family(&self) -> bool {
        !self.added.is_empty()
            || !self.removed.is_empty()
            || self.flushed_sequence.is_some()
            || self.create.is_some()
            || self.drop
    }
}
