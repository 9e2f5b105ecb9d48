//! The current version of every column family, and the one place where that changes.
//!
//! `apply`: 1. Build the next versions from the edits and check them; open new tables. 2. Append one record to the
//! manifest and sync it. 3. Install the versions (V1). 4. If the manifest is long, switch to a new one.
//! If 2 fails, whether the record is durable is unknown: the set refuses further edits, and keeps the new tables
//! among the live ones, until `reset_manifest` has written a whole manifest that decides the matter.

use super::DEFAULT_LEVELS;
use super::builder::{Built, VersionBuilder};
use super::edit::VersionEdit;
use super::file_meta::{FileMeta, TableRegistry};
use super::format::{Changes, Current, Header, describe};
use super::manifest::{self, ManifestWriter};
use super::open_table::{check_segments, open_table, segment_lengths};
use super::replay::{ManifestState, check_new_family, note_seals, note_wals, unknown_family};
use super::segment_uses::SegmentUses;
use super::version::Version;
use crate::base::error::Subcode;
use crate::base::file_name::{FileKind, path_of};
use crate::base::{Error, ErrorKind, Result};
use crate::env::Env;
use crate::env::direct::DirectIo;
use crate::sst::{SegmentUse, TableOptions};
use crate::value_log::ValueLog;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes below which a manifest is never replaced for its length.
const ROTATE_LEAST: u64 = 4 << 20;

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
pub type TableOptionsFor = Arc<dyn Fn(u32) -> TableOptions + Send + Sync>;

/// What the set needs from outside.
#[derive(Clone)]
pub struct VersionSetContext {
    /// The outside.
    pub env: Arc<dyn Env>,
    /// Where the manifest lives.
    pub db_dir: PathBuf,
    /// Where tables live.
    pub sst_dir: PathBuf,
    /// What is read past the page cache.
    pub direct: Arc<DirectIo>,
    /// The counter of all file numbers; the set moves it past every number it sees.
    pub next_file_number: Arc<AtomicU64>,
    /// How tables of a column family are opened (called with the column family id, also before that family is
    /// installed, and with locks held: it must not call back into the set).
    pub table_options: TableOptionsFor,
}

/// The versions of all column families and the manifest. Edits are serialised inside.
pub struct VersionSet {
    context: VersionSetContext,
    database: [u8; 16],
    registry: Arc<TableRegistry>,
    installed: RwLock<Installed>,
    writer: Mutex<Writer>,
    manifest_number: AtomicU64,
    /// Manifests this set has written, the live one among them, until their removal was handed out.
    written_manifests: Mutex<Vec<u64>>,
    rotate_least: AtomicU64,
}

#[derive(Default)]
struct Installed {
    families: BTreeMap<u32, ColumnFamilyState>,
    next_column_family: u32,
    last_sequence: u64,
    min_wal: u64,
    live_wals: Vec<u64>,
    sealed_wals: Vec<(u64, u64)>,
    /// What the tables of all current versions refer to in the value log, by segment; kept up with every edit.
    uses: SegmentUses,
}

enum Writer {
    Open(ManifestWriter),
    ReadOnly,
    /// A write failed. The tables may or may not be named by the manifest on disk.
    Failed {
        error: Error,
        in_doubt: Vec<Arc<FileMeta>>,
    },
}

/// What `apply` will install once the record is durable.
struct Pending {
    families: BTreeMap<u32, Option<ColumnFamilyState>>,
    gone: Vec<Arc<FileMeta>>,
    added: Vec<(u32, Arc<FileMeta>)>,
    last_sequence: u64,
    min_wal: u64,
    live_wals: Vec<u64>,
    sealed_wals: Vec<(u64, u64)>,
    next_column_family: u32,
}

impl VersionSet {
    /// Reads CURRENT and the manifest, without opening tables. `NotFound` (Subcode::MissingFile) if there is no
    /// database. A torn last record is cut; a bad record with a valid one after it is `Corruption`.
    pub fn read_manifest(env: &dyn Env, db_dir: &Path) -> Result<ManifestState> {
        manifest::read(env, db_dir)
    }

    /// Reads one manifest file, whether CURRENT names it or not (repair).
    pub fn read_manifest_file(env: &dyn Env, db_dir: &Path, number: u64) -> Result<ManifestState> {
        manifest::read_numbered(env, db_dir, number)
    }

    /// A new database: identity, first manifest with the default column family (id 0, "default"), CURRENT.
    pub fn create(context: VersionSetContext, database: [u8; 16], comparator: &str) -> Result<VersionSet> {
        let set = VersionSet::assemble(context, database, Arc::default(), only_default(comparator, 1));
        let mut writer = set.new_manifest(true)?;
        set.switch_to(&writer)?;
        // From here on a missing CURRENT is a loss, not a creation that was cut short.
        writer.append(&set.changes(Vec::new()))?;
        *set.writer.lock() = Writer::Open(writer);
        Ok(set)
    }

    /// A database put together anew from what was found (repair): the default column family and what `edits` say,
    /// with ids from `next_column_family` on free. The manifest is whole and durable before CURRENT names it, and
    /// until then a CURRENT that is there stays as it is: a crash finds what was before, or all of this.
    pub fn create_with(
        context: VersionSetContext,
        database: [u8; 16],
        comparator: &str,
        next_column_family: u32,
        edits: Vec<VersionEdit>,
        value_log: &ValueLog,
    ) -> Result<VersionSet> {
        let installed = only_default(comparator, next_column_family.max(1));
        let set = VersionSet::assemble(context, database, Arc::default(), installed);
        let pending = set.prepare(&edits, value_log)?;
        set.install(pending);
        let writer = set.new_manifest(false)?;
        set.switch_to(&writer)?;
        *set.writer.lock() = Writer::Open(writer);
        Ok(set)
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
        context.next_file_number.fetch_max(state.next_file_number, Ordering::AcqRel);
        let registry = Arc::new(TableRegistry::default());
        let manifest = path_of(&context.db_dir, FileKind::Manifest(state.manifest_number));
        let lengths = segment_lengths(value_log);
        let mut families = BTreeMap::new();
        for (id, family) in state.families {
            let options = (context.table_options)(id);
            let empty = Arc::new(Version::empty(DEFAULT_LEVELS));
            let mut builder = VersionBuilder::new(empty, options.order.clone());
            let bad = |what: String| {
                Error::corruption(&manifest, 0, format!("{what}; restore the database from a backup"))
            };
            for file in family.files.into_values() {
                check_segments(&context, &file, &lengths)?;
                let level = file.level;
                let table = open_table(&context, &family.name, options.clone(), file, value_log, &registry)?;
                builder.add(level, table).map_err(bad)?;
            }
            let built = builder.finish().map_err(bad)?;
            note_levels(&built.version);
            let (name, comparator) = (family.name, family.comparator);
            let flushed_sequence = family.flushed_sequence;
            let current = built.version;
            families.insert(id, ColumnFamilyState { id, name, comparator, flushed_sequence, current });
        }
        let (next_column_family, last_sequence) = (state.next_column_family, state.last_sequence);
        let (min_wal, live_wals, sealed_wals) = (state.min_wal, state.live_wals, state.sealed_wals);
        let mut uses = SegmentUses::default();
        let versions = families.values().map(|family: &ColumnFamilyState| &family.current);
        versions.flat_map(|version| version.files()).for_each(|(_, file)| uses.add(file));
        let installed =
            Installed { families, next_column_family, last_sequence, min_wal, live_wals, sealed_wals, uses };
        let set = VersionSet::assemble(context, state.database, registry, installed);
        set.manifest_number.store(state.manifest_number, Ordering::Release);
        if !read_only {
            let writer = set.new_manifest(false)?;
            set.switch_to(&writer)?;
            *set.writer.lock() = Writer::Open(writer);
        }
        Ok(set)
    }

    fn assemble(
        context: VersionSetContext,
        database: [u8; 16],
        registry: Arc<TableRegistry>,
        installed: Installed,
    ) -> VersionSet {
        VersionSet {
            context,
            database,
            registry,
            installed: RwLock::new(installed),
            writer: Mutex::new(Writer::ReadOnly),
            manifest_number: AtomicU64::new(0),
            written_manifests: Mutex::default(),
            rotate_least: AtomicU64::new(ROTATE_LEAST),
        }
    }

    /// Makes the edits durable as one atomic record and installs them. New tables are opened first. Switches to a
    /// new manifest when the old one is long. After a failed manifest write or sync, the set refuses further edits
    /// until `reset_manifest`; the caller must not remove the edits' new tables (they stay among `live_tables`
    /// until then, and are reported by `take_obsolete` after). Any other failure leaves everything as it was.
    pub fn apply(&self, edits: Vec<VersionEdit>, value_log: &ValueLog) -> Result<()> {
        let mut writer = self.writer.lock();
        let manifest = match &mut *writer {
            Writer::Open(manifest) => manifest,
            Writer::ReadOnly => {
                let message = "the database is open for reading only";
                return Err(Error::new(ErrorKind::Io, message).with_subcode(Subcode::ReadOnly));
            }
            Writer::Failed { error, .. } => {
                let error = error.clone().context("an earlier write of the manifest failed; call resume");
                return Err(error.with_subcode(Subcode::ReadOnly));
            }
        };
        let pending = self.prepare(&edits, value_log)?;
        if let Err(error) = manifest.append(&self.changes(edits)) {
            // Not the tables that only change their level: they are in the current version.
            let is_new = |file: &Arc<FileMeta>| !file.was_installed();
            let in_doubt = pending.added.into_iter().map(|(_, file)| file).filter(is_new).collect();
            *writer = Writer::Failed { error: error.clone(), in_doubt };
            return Err(error);
        }
        self.install(pending);
        if manifest.is_long(self.rotate_least.load(Ordering::Relaxed)) {
            self.rotate(&mut writer);
        }
        Ok(())
    }

    /// Switches to a new manifest. Everything is durable already, so a failure is not the caller's.
    fn rotate(&self, writer: &mut Writer) {
        // A new manifest that could not be written changes nothing: the next edit tries again.
        let Ok(manifest) = self.new_manifest(false) else { return };
        *writer = match self.switch_to(&manifest) {
            Ok(()) => Writer::Open(manifest),
            // CURRENT may name either file: an edit in one of them alone could be lost.
            Err(error) => Writer::Failed { error, in_doubt: Vec::new() },
        };
    }

    /// After an error: writes a whole new manifest and switches to it.
    pub fn reset_manifest(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        if matches!(*writer, Writer::ReadOnly) {
            let message = "the database is open for reading only";
            return Err(Error::new(ErrorKind::Io, message).with_subcode(Subcode::ReadOnly));
        }
        let manifest = self.new_manifest(false)?;
        if let Err(error) = self.switch_to(&manifest) {
            if let Writer::Open(_) = *writer {
                *writer = Writer::Failed { error: error.clone(), in_doubt: Vec::new() };
            }
            return Err(error);
        }
        if let Writer::Failed { in_doubt, .. } = std::mem::replace(&mut *writer, Writer::Open(manifest)) {
            // The new manifest does not name them: they are nobody's.
            in_doubt.iter().for_each(|file| file.mark_obsolete());
        }
        Ok(())
    }

    /// At a clean close: notes the manifest's length in CURRENT, so that the next open misses no byte of it. No edit
    /// may follow.
    pub fn seal(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        let Writer::Open(manifest) = &*writer else { return Ok(()) };
        let current = Current { number: manifest.number(), sealed_len: Some(manifest.len()) };
        let temporary = self.context.next_file_number.fetch_add(1, Ordering::AcqRel);
        manifest::switch_current(&*self.context.env, &self.context.db_dir, current, temporary)?;
        *writer = Writer::ReadOnly;
        Ok(())
    }

    /// Whether a manifest write failed, so that edits are refused and CURRENT may name another manifest than
    /// `manifest_number`: no manifest may be removed.
    pub fn manifest_failed(&self) -> bool {
        matches!(*self.writer.lock(), Writer::Failed { .. })
    }

    /// Numbers of manifests this set has replaced, each reported once; CURRENT durably names another. The caller
    /// removes the files.
    pub fn take_obsolete_manifests(&self) -> Vec<u64> {
        // Whoever holds the lock may be about to switch, and can be left to finish: the next call finds the same.
        let Some(writer) = self.writer.try_lock() else { return Vec::new() };
        let Writer::Open(live) = &*writer else { return Vec::new() };
        let mut written = self.written_manifests.lock();
        let obsolete = written.iter().copied().filter(|&number| number != live.number()).collect();
        written.retain(|&number| number == live.number());
        obsolete
    }

    /// The current version of a column family; `None` if there is no such family.
    pub fn current(&self, column_family: u32) -> Option<Arc<Version>> {
        self.installed.read().families.get(&column_family).map(|family| family.current.clone())
    }

    /// All column families.
    pub fn column_families(&self) -> Vec<ColumnFamilyState> {
        self.installed.read().families.values().cloned().collect()
    }

    /// The id for the next column family.
    pub fn next_column_family_id(&self) -> u32 {
        self.installed.read().next_column_family
    }

    /// The last sequence number that an edit recorded.
    pub fn last_sequence(&self) -> u64 {
        self.installed.read().last_sequence
    }

    /// WAL files below this number are not needed.
    pub fn min_wal(&self) -> u64 {
        self.installed.read().min_wal
    }

    /// The database's identity.
    pub fn database(&self) -> [u8; 16] {
        self.database
    }

    /// Table numbers that nothing refers to any more; each reported once. The caller removes the files.
    pub fn take_obsolete(&self) -> Vec<u64> {
        self.registry.take_obsolete()
    }

    /// Every table that some living version refers to (for the orphan sweep).
    pub fn live_tables(&self) -> Vec<u64> {
        self.registry.live()
    }

    /// The live manifest's number.
    pub fn manifest_number(&self) -> u64 {
        self.manifest_number.load(Ordering::Acquire)
    }

    /// What the tables of the current versions refer to in the value log, by segment, ascending: exact, because
    /// each edit that adds or drops a table says what the table refers to. The rest of a segment is dead, but for
    /// values that only memtables refer to. (`end` is the furthest that any of them reached.)
    pub fn segment_use(&self) -> Vec<SegmentUse> {
        self.installed.read().uses.0.values().copied().collect()
    }

    /// The same of `versions`, those of all families in the order of their ids: while an edit is being shown to readers
    /// they lag behind. Costs a look at every table then, and little else.
    pub fn segment_use_of(&self, versions: &[&Arc<Version>]) -> Vec<SegmentUse> {
        let installed = self.installed.read();
        let current = installed.families.values().map(|family| &family.current);
        if installed.families.len() == versions.len() && current.zip(versions).all(|(a, b)| Arc::ptr_eq(a, b))
        {
            return installed.uses.0.values().copied().collect();
        }
        drop(installed);
        let mut uses = SegmentUses::default();
        versions.iter().flat_map(|version| version.files()).for_each(|(_, file)| uses.add(file));
        uses.0.into_values().collect()
    }

    /// As if the last write of the manifest had failed.
    #[cfg(test)]
    pub(crate) fn fail_next_write(&self) {
        let error = Error::new(ErrorKind::Io, "full").with_subcode(Subcode::NoSpace);
        *self.writer.lock() = Writer::Failed { error, in_doubt: Vec::new() };
    }

    /// Changes the length in bytes below which a manifest is not replaced for its length.
    #[cfg(test)]
    pub(super) fn set_rotate_least(&self, bytes: u64) {
        self.rotate_least.store(bytes, Ordering::Relaxed);
    }

    fn changes(&self, edits: Vec<VersionEdit>) -> Changes {
        Changes {
            edits,
            next_file_number: Some(self.context.next_file_number.load(Ordering::Acquire)),
            next_column_family: Some(self.next_column_family_id()),
        }
    }

    /// Writes everything installed as a new manifest, which CURRENT does not name yet.
    fn new_manifest(&self, new_database: bool) -> Result<ManifestWriter> {
        let number = self.context.next_file_number.fetch_add(1, Ordering::AcqRel);
        let header = Header { database: self.database, number, new_database };
        let installed = self.installed.read();
        let mut edits: Vec<VersionEdit> = installed.families.values().map(whole_family).collect();
        edits.push(VersionEdit {
            last_sequence: Some(installed.last_sequence),
            min_wal: Some(installed.min_wal),
            sealed_wals: installed.sealed_wals.clone(),
            ..VersionEdit::default()
        });
        let started = |&number| VersionEdit { started_wal: Some(number), ..VersionEdit::default() };
        edits.extend(installed.live_wals.iter().map(started));
        drop(installed);
        let manifest =
            ManifestWriter::create(&*self.context.env, &self.context.db_dir, &header, &self.changes(edits))?;
        self.written_manifests.lock().push(number);
        Ok(manifest)
    }

    fn switch_to(&self, manifest: &ManifestWriter) -> Result<()> {
        let temporary = self.context.next_file_number.fetch_add(1, Ordering::AcqRel);
        let current = Current { number: manifest.number(), sealed_len: None };
        manifest::switch_current(&*self.context.env, &self.context.db_dir, current, temporary)?;
        self.manifest_number.store(manifest.number(), Ordering::Release);
        Ok(())
    }

    /// Builds what the edits lead to, without changing anything.
    fn prepare(&self, edits: &[VersionEdit], value_log: &ValueLog) -> Result<Pending> {
        let installed = self.installed.read();
        let mut pending = Pending {
            families: BTreeMap::new(),
            gone: Vec::new(),
            added: Vec::new(),
            last_sequence: installed.last_sequence,
            min_wal: installed.min_wal,
            live_wals: installed.live_wals.clone(),
            sealed_wals: installed.sealed_wals.clone(),
            next_column_family: installed.next_column_family,
        };
        for edit in edits {
            pending.last_sequence = pending.last_sequence.max(edit.last_sequence.unwrap_or(0));
            pending.min_wal = pending.min_wal.max(edit.min_wal.unwrap_or(0));
            note_wals(&mut pending.live_wals, edit.started_wal, pending.min_wal);
            note_seals(&mut pending.sealed_wals, &edit.sealed_wals, pending.min_wal);
            if edit.touches_family() {
                self.prepare_family(&installed, edit, &mut pending, value_log)?;
            }
        }
        Ok(pending)
    }

    fn prepare_family(
        &self,
        installed: &Installed,
        edit: &VersionEdit,
        pending: &mut Pending,
        value_log: &ValueLog,
    ) -> Result<()> {
        let id = edit.column_family;
        if let Some((name, comparator)) = &edit.create {
            let unchanged = installed.families.values().filter(|f| !pending.families.contains_key(&f.id));
            let all = unchanged.chain(pending.families.values().flatten());
            check_new_family(id, name, all.map(|f| (f.id, &f.name[..]))).map_err(Error::invalid_argument)?;
            let (name, comparator) = (name.clone(), comparator.clone());
            let current = Arc::new(Version::empty(DEFAULT_LEVELS));
            let family = ColumnFamilyState { id, name, comparator, flushed_sequence: 0, current };
            pending.families.insert(id, Some(family));
            pending.next_column_family = pending.next_column_family.max(id.saturating_add(1));
        }
        let family = match pending.families.get(&id) {
            Some(changed) => changed.clone(),
            None => installed.families.get(&id).cloned(),
        };
        let mut family =
            family.ok_or_else(|| Error::new(ErrorKind::ColumnFamilyDropped, unknown_family(id)))?;
        family.flushed_sequence = family.flushed_sequence.max(edit.flushed_sequence.unwrap_or(0));
        if !edit.added.is_empty() || !edit.removed.is_empty() {
            let built = self.build(&family, edit, pending, value_log)?;
            family.current = built.version;
            pending.gone.extend(built.gone);
        }
        if edit.drop {
            pending.gone.extend(family.current.files().map(|(_, file)| file.clone()));
            pending.families.insert(id, None);
        } else {
            pending.families.insert(id, Some(family));
        }
        Ok(())
    }

    fn build(
        &self,
        family: &ColumnFamilyState,
        edit: &VersionEdit,
        pending: &mut Pending,
        value_log: &ValueLog,
    ) -> Result<Built> {
        let options = (self.context.table_options)(family.id);
        let mut builder = VersionBuilder::new(family.current.clone(), options.order.clone());
        let wrong = |what: String| Error::new(ErrorKind::Internal, format!("an edit was refused: {what}"));
        for &(level, number) in &edit.removed {
            builder.remove(level, number).map_err(wrong)?;
        }
        for new in &edit.added {
            if pending.gone.iter().any(|file| file.number == new.number) {
                return Err(wrong(format!(
                    "table {:06} was removed by an edit before in the record",
                    new.number
                )));
            }
            let file = match builder.taken_out(new.number) {
                Some(file) if file.run == new.run => file,
                _ => {
                    let (options, new) = (options.clone(), new.clone());
                    open_table(&self.context, &family.name, options, new, value_log, &self.registry)?
                }
            };
            builder.add(new.level, file.clone()).map_err(wrong)?;
            pending.added.push((new.level, file));
        }
        builder.finish().map_err(wrong)
    }

    fn install(&self, pending: Pending) {
        let mut installed = self.installed.write();
        for (level, file) in &pending.added {
            if !file.was_installed() {
                installed.uses.add(file);
            }
            file.set_level(*level);
        }
        pending.gone.iter().for_each(|file| installed.uses.take_away(file));
        // Versions that are replaced are dropped after the lock: the last reference to a table closes its file.
        let mut replaced = Vec::new();
        for (id, family) in pending.families {
            replaced.push(match family {
                Some(family) => installed.families.insert(id, family),
                None => installed.families.remove(&id),
            });
        }
        installed.last_sequence = pending.last_sequence;
        installed.min_wal = pending.min_wal;
        installed.live_wals = pending.live_wals;
        installed.sealed_wals = pending.sealed_wals;
        installed.next_column_family = pending.next_column_family;
        drop(installed);
        pending.gone.iter().for_each(|file| file.mark_obsolete());
    }
}

/// The default column family, empty.
fn only_default(comparator: &str, next_column_family: u32) -> Installed {
    let default = ColumnFamilyState {
        id: 0,
        name: "default".into(),
        comparator: comparator.into(),
        flushed_sequence: 0,
        current: Arc::new(Version::empty(DEFAULT_LEVELS)),
    };
    Installed { families: [(0, default)].into(), next_column_family, ..Installed::default() }
}

/// The edit that creates a column family as it is.
fn whole_family(family: &ColumnFamilyState) -> VersionEdit {
    VersionEdit {
        column_family: family.id,
        create: Some((family.name.clone(), family.comparator.clone())),
        added: family.current.files().map(|(level, file)| describe(level, file)).collect(),
        flushed_sequence: Some(family.flushed_sequence),
        ..VersionEdit::default()
    }
}

fn note_levels(version: &Version) {
    for (level, file) in version.files() {
        file.set_level(level as u32);
    }
}
