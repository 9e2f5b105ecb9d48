//! Makes a damaged database openable again, keeping all that can be read.
//!
//! 1. The manifest that CURRENT names, or else the newest one that can be read, tells which tables belong where.
//!    Without any, every readable table goes to level 0 of the default family, newest data first, and the identity
//!    comes from the header of a segment or a log.
//! 2. Each table is read through; one that is missing or damaged is left out and renamed to `*.sst.damaged`.
//! 3. The logs stay if every byte is good; else their whole writes go to new logs (`repair_logs`).
//! 4. A new manifest is written whole; then CURRENT names it. Until that moment nothing is removed that an open or
//!    another repair would read: a crash at any point leaves a database that opens, or that can be repaired again.
//! 5. Logs that were copied are renamed to `*.log.damaged`.

use super::open::{Found, directories, new_identity, prepare_directories};
use super::options::{ColumnFamilyOptions, Options};
use super::recovery::expected_logs;
use super::repair_logs::{KeptLogs, LogRepair, NamedLogs};
use super::state::Directories;
use super::{DEFAULT_COLUMN_FAMILY, family};
use crate::base::error::Subcode;
use crate::base::file_name::{FileKind, parse, path_of};
use crate::base::{Error, Result, SequenceNumber};
use crate::cache::{Cache, EvictionPolicy};
use crate::env::{self, Env, OpenMode};
use crate::sst::{Table, TableOptions, TableProperties};
use crate::value_log::{self, ValueLog, ValueLogOptions};
use crate::version::{ManifestState, NewFile, VersionEdit, VersionSet, VersionSetContext};
use crate::wal;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Gives the table options of a family by its name.
type OptionsOf<'a> = dyn Fn(&str) -> TableOptions + 'a;

/// Everything a repair works with.
struct Repair<'a> {
    env: Arc<dyn Env>,
    directories: Directories,
    found: Found,
    next_file_number: Arc<AtomicU64>,
    database: [u8; 16],
    value_log: Arc<ValueLog>,
    max_log_size: u64,
    options_of: &'a OptionsOf<'a>,
}

/// What the new manifest will say.
struct Contents {
    comparator: String,
    next_column_family: u32,
    edits: Vec<VersionEdit>,
    /// Logs that are not needed once the manifest is durable.
    replaced_logs: Vec<u64>,
}

pub(super) fn repair(options: &Options, path: &Path, named: &[(String, ColumnFamilyOptions)]) -> Result<()> {
    let env = options.env.clone().unwrap_or_else(env::default_env);
    let directories = directories(options, path);
    let found = Found::look(&*env, &directories)?;
    if found.files.iter().all(|(_, kind)| matches!(kind, FileKind::Lock | FileKind::InfoLog)) {
        return Err(Error::invalid_argument(format!("{}: holds no database to repair", path.display())));
    }
    let lock = prepare_directories(&*env, &directories)?;
    let found = Found::look(&*env, &directories)?;
    let manifest = newest_readable_manifest(&*env, path, &found)?;
    let database = match &manifest {
        Some(manifest) => manifest.state.database,
        None => identity(&*env, &directories)?,
    };
    let first_free = manifest.as_ref().map_or(0, |manifest| manifest.state.next_file_number);
    let next_file_number = Arc::new(AtomicU64::new(first_free.max(found.largest_number() + 1)));
    let segments = ValueLogOptions::plain(
        directories.value_log.clone(),
        database,
        options.config.value_log.max_segment_size,
    );
    let value_log = ValueLog::open(Arc::clone(&env), segments, Arc::clone(&next_file_number))?;
    let cache = Cache::new(1 << 20, EvictionPolicy::Lru, 0);
    let options_of = |name: &str| {
        let options = named.iter().find(|(named, _)| named == name).map(|(_, options)| options.clone());
        family::table_options(&options.unwrap_or_default(), 0, false, &cache, 0)
    };
    let max_log_size = options.config.wal.max_file_size;
    let repair = Repair {
        env,
        directories,
        found,
        next_file_number,
        database,
        value_log,
        max_log_size,
        options_of: &options_of,
    };
    let contents = match &manifest {
        // All its tables are in the one family that there was: what was found tells more than an old manifest.
        Some(manifest) if manifest.is_stale && manifest.state.column_families.len() == 1 => {
            repair.contents_from_tables(manifest.state.next_column_family())?
        }
        Some(manifest) => repair.contents_from_manifest(manifest)?,
        None => repair.contents_from_tables(1)?,
    };
    repair.write(&contents, manifest.as_ref())?;
    drop(lock);
    Ok(())
}

/// The identity in a segment's or a log's header; a new one if there is neither, for then nothing carries one.
fn identity(env: &dyn Env, directories: &Directories) -> Result<[u8; 16]> {
    if let Some(database) = value_log::database_of(env, &directories.value_log)? {
        return Ok(database);
    }
    Ok(wal::database_of(env, &directories.wal)?.unwrap_or_else(|| new_identity(env)))
}

/// A manifest that was read.
struct FoundManifest {
    state: ManifestState,
    /// A newer one could not be read, or it lacks its end: tables may have come and gone since.
    is_stale: bool,
}

/// Whether the bytes are at fault. Not our business: a device that fails, or a newer format.
fn is_damage(error: &Error) -> bool {
    (error.is_corruption() || error.is_not_found()) && error.subcode() != Subcode::NewerFormat
}

/// The live manifest, or the newest that can be read.
fn newest_readable_manifest(env: &dyn Env, path: &Path, found: &Found) -> Result<Option<FoundManifest>> {
    let manifest_number = |kind: &FileKind| match kind {
        FileKind::Manifest(number) => Some(*number),
        _ => None,
    };
    let newest_damaged = match VersionSet::read_manifest(env, path) {
        Ok(state) => return Ok(Some(FoundManifest { state, is_stale: false })),
        Err(error) if !is_damage(&error) => return Err(error),
        // The one that CURRENT names, if CURRENT could be read.
        Err(error) => {
            let name = error.file().and_then(Path::file_name).and_then(|name| name.to_str());
            name.and_then(parse).as_ref().and_then(manifest_number)
        }
    };
    let mut numbers: Vec<u64> = found.files.iter().filter_map(|(_, kind)| manifest_number(kind)).collect();
    numbers.sort_unstable();
    let newest = numbers.last().copied();
    for number in numbers.into_iter().rev() {
        match VersionSet::read_manifest_file(env, path, number) {
            Ok(state) => {
                // One that CURRENT names and that reads well by itself was cut since the close.
                let is_stale = newest > Some(number) || newest_damaged >= Some(number);
                return Ok(Some(FoundManifest { state, is_stale }));
            }
            Err(error) if !is_damage(&error) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// Whether these are the facts of one table.
fn is_same(got: &TableProperties, named: &TableProperties) -> bool {
    let facts = |of: &TableProperties| {
        (of.file_size, of.entries, of.range_tombstones, of.smallest_sequence, of.largest_sequence)
    };
    facts(got) == facts(named) && got.smallest == named.smallest && got.largest == named.largest
}

impl Repair<'_> {
    /// The manifest's families with the tables that can be read, and the logs.
    fn contents_from_manifest(&self, manifest: &FoundManifest) -> Result<Contents> {
        let state = &manifest.state;
        let mut edits = Vec::new();
        let mut flushed = HashMap::new();
        let mut comparator = String::new();
        for (id, name, order) in &state.column_families {
            let options = (self.options_of)(name);
            let (flushed_sequence, tables) = state.tables_of(*id);
            flushed.insert(*id, flushed_sequence);
            let mut added = Vec::new();
            for file in tables {
                if self.open_table(file.number, &options, Some(&file))?.is_some() {
                    added.push(file);
                }
            }
            if *id == 0 {
                comparator = order.clone();
            }
            edits.push(VersionEdit {
                column_family: *id,
                create: (*id != 0).then(|| (name.clone(), order.clone())),
                added,
                flushed_sequence: Some(flushed_sequence),
                last_sequence: Some(state.last_sequence),
                ..VersionEdit::default()
            });
        }
        if manifest.is_stale {
            self.put_unnamed_tables_aside(state)?;
        }
        let named = NamedLogs {
            min_wal: state.min_wal,
            expected: expected_logs(state),
            sealed: state.sealed_wals.clone(),
        };
        let numbers = self.logs_from(state.min_wal);
        let KeptLogs { edits: logs, replaced } = self.logs().keep(&numbers, &named, &flushed, false)?;
        edits.extend(logs);
        let next_column_family = state.next_column_family();
        Ok(Contents { comparator, next_column_family, edits, replaced_logs: replaced })
    }

    /// All readable tables, as level-0 runs of the default family, and all logs.
    fn contents_from_tables(&self, next_column_family: u32) -> Result<Contents> {
        let options = (self.options_of)(DEFAULT_COLUMN_FAMILY);
        let mut added = Vec::new();
        for number in self.tables() {
            if let Some(table) = self.open_table(number, &options, None)? {
                added.push(NewFile { level: 0, run: 0, number, properties: table.properties().clone() });
            }
        }
        let numbers = self.logs_from(0);
        let highest_family = self.logs().highest_family(&numbers)?;
        let last = added.iter().map(|file| file.properties.largest_sequence).max();
        // With one family only, memtables became tables in order: all up to the newest entry of a table is in tables.
        // A second family's newer entries would still be in the logs, next to this one's older ones.
        let flushed: SequenceNumber = if highest_family == 0 { last.unwrap_or(0) } else { 0 };
        let mut edits = vec![VersionEdit {
            added,
            flushed_sequence: Some(flushed),
            last_sequence: last,
            ..VersionEdit::default()
        }];
        let flushed = HashMap::from([(0, flushed)]);
        let copy = highest_family > 0;
        let kept = self.logs().keep(&numbers, &NamedLogs::default(), &flushed, copy)?;
        edits.extend(kept.edits);
        Ok(Contents {
            comparator: options.order.user().name().to_string(),
            next_column_family: next_column_family.max(highest_family.saturating_add(1)),
            edits,
            replaced_logs: kept.replaced,
        })
    }

    /// Makes it all durable, the switch of CURRENT last.
    fn write(&self, contents: &Contents, manifest: Option<&FoundManifest>) -> Result<()> {
        // Tables that no edit was durable for may point to values that never were.
        self.value_log.sync(None)?;
        self.env.sync_dir(&self.directories.value_log)?;
        self.env.sync_dir(&self.directories.sst)?;
        self.env.sync_dir(&self.directories.wal)?;
        let families = manifest.map_or(&[][..], |manifest| &manifest.state.column_families);
        let by_id: HashMap<u32, TableOptions> =
            families.iter().map(|(id, name, _)| (*id, (self.options_of)(name))).collect();
        let default = (self.options_of)(DEFAULT_COLUMN_FAMILY);
        let context = VersionSetContext {
            env: Arc::clone(&self.env),
            db_dir: self.directories.db.clone(),
            sst_dir: self.directories.sst.clone(),
            direct: Arc::default(),
            next_file_number: Arc::clone(&self.next_file_number),
            table_options: Arc::new(move |id| by_id.get(&id).unwrap_or(&default).clone()),
        };
        let (comparator, next) = (&contents.comparator, contents.next_column_family);
        let edits = contents.edits.clone();
        VersionSet::create_with(context, self.database, comparator, next, edits, &self.value_log)?;
        self.logs().put_aside(&contents.replaced_logs)
    }

    fn logs(&self) -> LogRepair<'_> {
        LogRepair {
            env: &self.env,
            dir: &self.directories.wal,
            database: self.database,
            value_log: &self.value_log,
            next_file_number: &self.next_file_number,
            max_file_size: self.max_log_size,
        }
    }

    fn numbers(&self, dir: &Path, number: impl Fn(&FileKind) -> Option<u64>) -> Vec<u64> {
        let here = self.found.files.iter().filter(|(at, _)| at == dir);
        let mut numbers: Vec<u64> = here.filter_map(|(_, kind)| number(kind)).collect();
        numbers.sort_unstable();
        numbers
    }

    fn tables(&self) -> Vec<u64> {
        self.numbers(&self.directories.sst, |kind| match kind {
            FileKind::Table(number) => Some(*number),
            _ => None,
        })
    }

    fn logs_from(&self, min_wal: u64) -> Vec<u64> {
        self.numbers(&self.directories.wal, |kind| match kind {
            FileKind::Wal(number) if *number >= min_wal => Some(*number),
            _ => None,
        })
    }

    /// Tables that a stale manifest does not name: whose they are is not known, and the next open would remove them.
    fn put_unnamed_tables_aside(&self, state: &ManifestState) -> Result<()> {
        let families = state.column_families.iter();
        let named: Vec<u64> =
            families.flat_map(|(id, _, _)| state.tables_of(*id).1).map(|file| file.number).collect();
        for number in self.tables().into_iter().filter(|number| !named.contains(number)) {
            self.put_aside(&path_of(&self.directories.sst, FileKind::Table(number)))?;
        }
        Ok(())
    }

    fn put_aside(&self, table: &Path) -> Result<()> {
        // A table that was not readable at an earlier step is there no more.
        if self.env.exists(table) {
            self.env.rename(table, &table.with_extension("sst.damaged"))?;
        }
        Ok(())
    }

    /// The table, if it is the one that is `expected`, every byte of it is good and durable, and the segments it points
    /// into are there; else it is put aside.
    fn open_table(
        &self,
        number: u64,
        options: &TableOptions,
        expected: Option<&NewFile>,
    ) -> Result<Option<Arc<Table>>> {
        let path = path_of(&self.directories.sst, FileKind::Table(number));
        if !self.env.exists(&path) {
            return Ok(None);
        }
        match self.check_table(&path, number, options) {
            Ok(table) if expected.is_none_or(|file| is_same(table.properties(), &file.properties)) => {
                Ok(Some(table))
            }
            Ok(_) => self.put_aside(&path).map(|()| None),
            Err(error) if is_damage(&error) => self.put_aside(&path).map(|()| None),
            Err(error) => Err(error),
        }
    }

    fn check_table(&self, path: &Path, number: u64, options: &TableOptions) -> Result<Arc<Table>> {
        let file = self.env.open(path, OpenMode::Read)?;
        file.sync_data()?;
        let size = file.len()?;
        let table = Table::open(file, number, size, options.clone())?;
        table.verify()?;
        let segments = self.value_log.segments();
        for used in &table.properties().segments {
            if !segments.iter().any(|segment| segment.number == used.segment && segment.len >= used.end) {
                let what = format!("segment {:06} is missing or cut", used.segment);
                return Err(Error::corruption(path, 0, what));
            }
        }
        Ok(table)
    }
}
