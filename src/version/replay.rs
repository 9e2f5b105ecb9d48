//! What a manifest says, without any table opened: edits replayed over names and numbers.

use super::edit::{NewFile, VersionEdit};
use super::format::Changes;
use std::collections::BTreeMap;

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
    /// Log files started and not passed by `min_wal`: each must be there.
    pub live_wals: Vec<u64>,
    /// (number, valid length) of the log files sealed at a clean close and not passed by `min_wal`.
    pub sealed_wals: Vec<(u64, u64)>,
    /// The manifest that was read.
    pub manifest_number: u64,
    /// Where its valid records end.
    pub manifest_len: u64,
    /// Bytes of a last record that was cut off (never acknowledged); 0 after a clean end.
    pub torn_bytes: u64,
    /// Every file number below this one may have been used.
    pub next_file_number: u64,
    pub(super) next_column_family: u32,
    pub(super) families: BTreeMap<u32, FamilyState>,
}

/// A column family as the edits left it.
#[derive(Clone, Debug, Default)]
pub(super) struct FamilyState {
    pub(super) name: String,
    pub(super) comparator: String,
    pub(super) flushed_sequence: u64,
    pub(super) files: BTreeMap<u64, NewFile>,
}

impl ManifestState {
    /// Replays one record. `Err` tells which edit contradicts what is there.
    pub(super) fn replay(&mut self, changes: Changes) -> Result<(), String> {
        for edit in changes.edits {
            self.replay_edit(edit)?;
        }
        self.next_file_number = self.next_file_number.max(changes.next_file_number.unwrap_or(0));
        self.next_column_family = self.next_column_family.max(changes.next_column_family.unwrap_or(0));
        Ok(())
    }

    fn replay_edit(&mut self, edit: VersionEdit) -> Result<(), String> {
        let id = edit.column_family;
        let touches_family = edit.touches_family();
        if let Some((name, comparator)) = edit.create {
            check_new_family(id, &name, self.families.iter().map(|(&id, family)| (id, &family.name[..])))?;
            self.next_column_family = self.next_column_family.max(id.saturating_add(1));
            self.families.insert(id, FamilyState { name, comparator, ..FamilyState::default() });
        }
        self.last_sequence = self.last_sequence.max(edit.last_sequence.unwrap_or(0));
        self.min_wal = self.min_wal.max(edit.min_wal.unwrap_or(0));
        note_wals(&mut self.live_wals, edit.started_wal, self.min_wal);
        note_seals(&mut self.sealed_wals, &edit.sealed_wals, self.min_wal);
        if !touches_family {
            return Ok(());
        }
        let family = self.families.get_mut(&id).ok_or_else(|| unknown_family(id))?;
        family.flushed_sequence = family.flushed_sequence.max(edit.flushed_sequence.unwrap_or(0));
        for (level, number) in edit.removed {
            match family.files.remove(&number) {
                Some(file) if file.level == level => {}
                _ => return Err(format!("table {number:06} is removed from level {level}, where it is not")),
            }
        }
        for file in edit.added {
            let number = file.number;
            self.next_file_number = self.next_file_number.max(number.saturating_add(1));
            if family.files.insert(number, file).is_some() {
                return Err(format!("table {number:06} is added twice"));
            }
        }
        if edit.drop {
            self.families.remove(&id);
        }
        Ok(())
    }

    /// The flushed sequence number and the tables of a column family.
    pub fn tables_of(&self, column_family: u32) -> (u64, Vec<NewFile>) {
        match self.families.get(&column_family) {
            Some(family) => (family.flushed_sequence, family.files.values().cloned().collect()),
            None => (0, Vec::new()),
        }
    }

    /// The id that the next column family would have got.
    pub fn next_column_family(&self) -> u32 {
        self.next_column_family
    }

    /// Fills the public list of column families.
    pub(super) fn finish(&mut self) {
        let named =
            |(&id, family): (&u32, &FamilyState)| (id, family.name.clone(), family.comparator.clone());
        self.column_families = self.families.iter().map(named).collect();
    }
}

/// Adds a log file that was started, and leaves out those that `min_wal` has passed.
pub(super) fn note_wals(live: &mut Vec<u64>, started: Option<u64>, min_wal: u64) {
    live.extend(started);
    live.retain(|&number| number >= min_wal);
}

/// Adds log files that were sealed, and leaves out those that `min_wal` has passed. A sealed file is never appended
/// to again, so its length holds for as long as the file is needed, also through a recovery that is cut short.
pub(super) fn note_seals(sealed: &mut Vec<(u64, u64)>, more: &[(u64, u64)], min_wal: u64) {
    sealed.extend_from_slice(more);
    sealed.retain(|&(number, _)| number >= min_wal);
}

/// What an edit says that names a column family which is not there.
pub(super) fn unknown_family(id: u32) -> String {
    format!("an edit names column family {id}, which does not exist")
}

/// A new column family must have a new id and a new name.
pub(super) fn check_new_family<'a>(
    id: u32,
    name: &str,
    mut existing: impl Iterator<Item = (u32, &'a str)>,
) -> Result<(), String> {
    match existing.find(|&(other, named)| other == id || named == name) {
        Some((other, named)) => {
            Err(format!("column family {id} \"{name}\" is created, but {other} \"{named}\" exists"))
        }
        None => Ok(()),
    }
}
