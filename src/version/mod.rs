//! The shape of the database on disk: for each column family, levels of sorted runs of tables; the manifest that
//! makes changes of it atomic; and the set that holds the current one.
//!
//! A `Version` is immutable and shared; a change is a `VersionEdit`, made durable in the manifest and then
//! installed. Only this module installs versions.
//!
//! - `file_meta`: a table in a version, and what happens when nobody needs it any more.
//! - `version`: levels and runs, and the searches in them that reads and compactions do.
//! - `builder`: a version plus edits gives the next version, checked.
//! - `edit`, `format`: changes, and their bytes. `manifest`: the file of changes and the pointer to it (CURRENT).
//! - `open_table`: a table and all it points to, checked. `set`: opens, applies, switches manifests.
//!
//! Invariants:
//! - V1: a version is installed only after the manifest record that describes it was synced.
//! - V2: within a level below 0, tables of one run never share a user key.
//! - V3: a table's file is queued for removal only when an installed edit took it out and the last reader left.

mod builder;
pub mod edit;
pub mod file_meta;
mod format;
mod manifest;
mod open_table;
mod replay;
mod run_iterator;
mod segment_uses;
pub mod set;
#[allow(clippy::module_inception)]
pub mod version;

#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod manifest_tests;
#[cfg(test)]
mod table_tests;

pub use edit::{NewFile, VersionEdit};
pub use file_meta::FileMeta;
pub use replay::ManifestState;
pub use run_iterator::iterate_run;
pub use set::{ColumnFamilyState, TableOptionsFor, VersionSet, VersionSetContext};
pub use version::{KeyRange, Level, Run, Version};

/// Levels of a new version; more appear when an edit names a deeper one.
pub const DEFAULT_LEVELS: usize = 7;

/// One past the deepest level that a manifest may name.
pub const MAX_LEVELS: u32 = 64;
