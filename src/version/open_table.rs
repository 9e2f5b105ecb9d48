//! Opens a table that a manifest or an edit names, and checks that it is the one meant and that everything it
//! points to is there.

use super::MAX_LEVELS;
use super::edit::NewFile;
use super::file_meta::{FileMeta, TableRegistry};
use super::set::VersionSetContext;
use crate::base::error::Subcode;
use crate::base::file_name::{FileKind, path_of};
use crate::base::{Error, ErrorKind, Result};
use crate::sst::{Table, TableOptions, TableProperties};
use crate::value_log::ValueLog;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) fn segment_lengths(value_log: &ValueLog) -> HashMap<u64, u64> {
    value_log.segments().into_iter().map(|segment| (segment.number, segment.len)).collect()
}

/// Every segment that the table points into must be there and reach as far as its pointers.
pub(super) fn check_segments(
    context: &VersionSetContext,
    file: &NewFile,
    lengths: &HashMap<u64, u64>,
) -> Result<()> {
    let table = path_of(&context.sst_dir, FileKind::Table(file.number));
    for used in &file.properties.segments {
        match lengths.get(&used.segment) {
            Some(&len) if len >= used.end => {}
            Some(&len) => {
                let (segment, end) = (segment_name(used.segment), used.end);
                let message = format!(
                    "truncated: {len} bytes long, but {} points up to {end}; restore it from a backup",
                    table.display()
                );
                return Err(Error::corruption(&segment, len, message));
            }
            None => return Err(missing_segment(used.segment, &table)),
        }
    }
    Ok(())
}

fn segment_name(segment: u64) -> PathBuf {
    path_of(Path::new(""), FileKind::Segment(segment))
}

fn missing_segment(segment: u64, table: &Path) -> Error {
    let message = format!("the value-log segment is missing, {} points into it; restore it", table.display());
    Error::new(ErrorKind::Corruption, message)
        .in_file(&segment_name(segment))
        .with_subcode(Subcode::MissingFile)
}

pub(super) fn open_table(
    context: &VersionSetContext,
    family: &str,
    options: TableOptions,
    new: NewFile,
    value_log: &ValueLog,
    registry: &Arc<TableRegistry>,
) -> Result<Arc<FileMeta>> {
    debug_assert!(new.level < MAX_LEVELS);
    let path = path_of(&context.sst_dir, FileKind::Table(new.number));
    let file = context.direct.open(&*context.env, &path).map_err(|error| match error.subcode() {
        Subcode::MissingFile => {
            let level = new.level;
            let message = format!(
                "the table is missing, column family \"{family}\" has it at level {level}; restore it from a backup"
            );
            Error::new(ErrorKind::Corruption, message).in_file(&path).with_subcode(Subcode::MissingFile)
        }
        _ => error,
    })?;
    let (len, expected) = (file.len()?, new.properties.file_size);
    if len != expected {
        let message = format!(
            "{len} bytes long, expected {expected} (column family \"{family}\"); restore it from a backup"
        );
        return Err(Error::corruption(&path, len.min(expected), message));
    }
    let table = Table::open(file, new.number, expected, options)?;
    check_identity(&path, table.properties(), &new.properties)?;
    let mut segments = Vec::with_capacity(new.properties.segments.len());
    for used in &new.properties.segments {
        segments.push(value_log.hold(used.segment).ok_or_else(|| missing_segment(used.segment, &path))?);
    }
    Ok(FileMeta::new(new.number, new.run, new.properties, table, segments, registry))
}

/// A whole and valid table under the wrong name is no less wrong.
fn check_identity(path: &Path, got: &TableProperties, expected: &TableProperties) -> Result<()> {
    let facts =
        |p: &TableProperties| (p.entries, p.range_tombstones, p.smallest_sequence, p.largest_sequence);
    if facts(got) == facts(expected) && got.smallest == expected.smallest && got.largest == expected.largest {
        return Ok(());
    }
    let message = format!(
        "another table's contents: (entries, range tombstones, sequences) got {:?}, expected {:?}; restore it",
        facts(got),
        facts(expected)
    );
    Err(Error::corruption(path, 0, message))
}
