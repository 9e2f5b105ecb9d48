//! Makes a damaged database openable again, keeping all that can be read.
//!
//! 1. The manifest that CURRENT names, or else the newest one that can be read, tells which tables belong where.
//!    Without any, every readable table goes to level 0 of the default family, newest data first.
//! 2. Each table is read through; one that is missing or damaged is left out and renamed to `*.sst.damaged`.
//! 3. A new manifest is written. The logs are kept: the next open replays them up to their first bad byte.

use super::open::{Found, directories};
use super::options::{ColumnFamilyOptions, Options};
use super::{DEFAULT_COLUMN_FAMILY, family};
use crate::base::file_name::{FileKind, path_of};
use crate::base::{Codec, Error, Result};
use crate::cache::{Cache, EvictionPolicy};
use crate::env::{self, Env, OpenMode};
use crate::sst::{Table, TableOptions};
use crate::value_log::{ValueLog, ValueLogOptions};
use crate::version::{ManifestState, NewFile, VersionEdit, VersionSet, VersionSetContext};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Where the salvaged tables go.
struct Salvage {
    env: Arc<dyn Env>,
    sst_dir: std::path::PathBuf,
    options: TableOptions,
    value_log: Arc<ValueLog>,
}

pub(super) fn repair(options: &Options, path: &Path, named: &[(String, ColumnFamilyOptions)]) -> Result<()> {
    let env = options.env.clone().unwrap_or_else(env::default_env);
    let directories = directories(options, path);
    let found = Found::look(&*env, &directories)?;
    if found.files.iter().all(|(_, kind)| matches!(kind, FileKind::Lock | FileKind::InfoLog)) {
        return Err(Error::invalid_argument(format!("{}: holds no database to repair", path.display())));
    }
    let lock = env.lock(&path_of(path, FileKind::Lock))?;
    let state = newest_readable_state(&*env, path, &found)?;
    let next_file_number = Arc::new(AtomicU64::new(found.largest_number() + 1));
    let database = match &state {
        Some(state) => state.database,
        None => [0; 16], // PENDING
    };
    let log_options = ValueLogOptions {
        dir: directories.value_log.clone(),
        database,
        max_segment_size: options.config.value_log.max_segment_size,
        write_queues: 1,
        codec: Codec::None,
        cache: None,
        cache_owner: 0,
    };
    let value_log = ValueLog::open(Arc::clone(&env), log_options, Arc::clone(&next_file_number))?;
    let cache = Cache::new(1 << 20, EvictionPolicy::Lru, 0);
    let by_name = |name: &str| {
        let options = named.iter().find(|(named, _)| named == name).map(|(_, options)| options.clone());
        family::table_options(&options.unwrap_or_default(), 0, false, &cache, 0)
    };
    let edits = match &state {
        Some(state) => edits_from_manifest(state, &env, &directories.sst, &value_log, &by_name)?,
        None => {
            let options = by_name(DEFAULT_COLUMN_FAMILY);
            let salvage = Salvage {
                env: Arc::clone(&env),
                sst_dir: directories.sst.clone(),
                options,
                value_log: Arc::clone(&value_log),
            };
            vec![edit_from_tables(&salvage, &found)?]
        }
    };
    let names: Vec<(u32, String)> = state
        .iter()
        .flat_map(|state| state.column_families.iter().map(|(id, name, _)| (*id, name.clone())))
        .collect();
    let options_by_id: std::collections::HashMap<u32, TableOptions> =
        names.iter().map(|(id, name)| (*id, by_name(name))).collect();
    let default = by_name(DEFAULT_COLUMN_FAMILY);
    let comparator = default.order.user().name().to_string();
    let context = VersionSetContext {
        env: Arc::clone(&env),
        db_dir: path.to_path_buf(),
        sst_dir: directories.sst.clone(),
        next_file_number,
        table_options: Arc::new(move |id| options_by_id.get(&id).unwrap_or(&default).clone()),
    };
    if env.exists(&path_of(path, FileKind::Current)) {
        env.remove_file(&path_of(path, FileKind::Current))?;
    }
    let versions = VersionSet::create(context, database, &comparator)?;
    versions.apply(edits, &value_log)?;
    drop(lock);
    Ok(())
}

/// The state of the live manifest, or of the newest that can be read.
fn newest_readable_state(env: &dyn Env, path: &Path, found: &Found) -> Result<Option<ManifestState>> {
    if let Ok(state) = VersionSet::read_manifest(env, path) {
        return Ok(Some(state));
    }
    let mut numbers: Vec<u64> = found
        .files
        .iter()
        .filter_map(|(_, kind)| match kind {
            FileKind::Manifest(number) => Some(*number),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    Ok(numbers.into_iter().rev().find_map(|number| VersionSet::read_manifest_file(env, path, number).ok()))
}

/// The manifest's families with the tables that can be read.
fn edits_from_manifest(
    state: &ManifestState,
    env: &Arc<dyn Env>,
    sst_dir: &Path,
    value_log: &Arc<ValueLog>,
    options_of: &dyn Fn(&str) -> TableOptions,
) -> Result<Vec<VersionEdit>> {
    let mut edits = Vec::new();
    for (id, name, comparator) in &state.column_families {
        let salvage = Salvage {
            env: Arc::clone(env),
            sst_dir: sst_dir.to_path_buf(),
            options: options_of(name),
            value_log: Arc::clone(value_log),
        };
        let (flushed_sequence, tables) = state.tables_of(*id);
        let mut added = Vec::new();
        for file in tables {
            if salvage.open(file.number)?.is_some() {
                added.push(file);
            }
        }
        edits.push(VersionEdit {
            column_family: *id,
            create: (*id != 0).then(|| (name.clone(), comparator.clone())),
            added,
            flushed_sequence: Some(flushed_sequence),
            last_sequence: Some(state.last_sequence),
            min_wal: Some(state.min_wal),
            ..VersionEdit::default()
        });
    }
    Ok(edits)
}

/// All readable tables, as level-0 runs of the default family.
fn edit_from_tables(salvage: &Salvage, found: &Found) -> Result<VersionEdit> {
    let mut added = Vec::new();
    for (dir, kind) in &found.files {
        if let FileKind::Table(number) = kind
            && *dir == salvage.sst_dir
            && let Some(table) = salvage.open(*number)?
        {
            added.push(NewFile { level: 0, run: 0, number: *number, properties: table.properties().clone() });
        }
    }
    let last = added.iter().map(|file| file.properties.largest_sequence).max();
    Ok(VersionEdit { added, last_sequence: last, ..VersionEdit::default() })
}

impl Salvage {
    /// The table, if every byte of it is good and the segments it points into are there; else it is put aside.
    fn open(&self, number: u64) -> Result<Option<Arc<Table>>> {
        let path = path_of(&self.sst_dir, FileKind::Table(number));
        if !self.env.exists(&path) {
            return Ok(None);
        }
        let read = || -> Result<Arc<Table>> {
            let file = self.env.open(&path, OpenMode::Read)?;
            let size = file.len()?;
            let table = Table::open(file, number, size, self.options.clone())?;
            table.verify()?;
            for used in &table.properties().segments {
                let segments = self.value_log.segments();
                if !segments.iter().any(|segment| segment.number == used.segment && segment.len >= used.end) {
                    return Err(Error::corruption(
                        &path,
                        0,
                        format!("segment {:06} is missing or cut", used.segment),
                    ));
                }
            }
            Ok(table)
        };
        match read() {
            Ok(table) => Ok(Some(table)),
            Err(error) if error.is_corruption() => {
                self.env.rename(&path, &path.with_extension("sst.damaged"))?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
