//! Making and dropping column families of an open database.

use super::family::{Family, table_options};
use super::open::{add_family, check_family, update_log_limit};
use super::options::ColumnFamilyOptions;
use super::state::Engine;
use crate::base::{Error, Result};
use crate::version::VersionEdit;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Makes a family: durable when it returns.
pub(super) fn create(engine: &Engine, options: &ColumnFamilyOptions, name: &str) -> Result<Arc<Family>> {
    check_family(name, options)?;
    let mut commit = engine.committer.lock();
    let _one = engine.install.lock();
    // One history: what was written before must not be lost where the new family is kept.
    engine.durability.sync().map_err(|error| engine.fail(&error))?;
    if engine.families.read().by_name.contains_key(name) {
        return Err(Error::invalid_argument(format!("Column family already exists: {name}")));
    }
    let id = engine.versions.next_column_family_id();
    let how = table_options(options, 0, false, &engine.cache, engine.cache_owner);
    engine.table_options.write().insert(id, how);
    let edit = VersionEdit {
        column_family: id,
        create: Some((name.to_string(), options.comparator.name().to_string())),
        // Nothing written before it belongs to it.
        flushed_sequence: Some(commit.last_sequence),
        ..VersionEdit::default()
    };
    engine.apply_edits(vec![edit])?;
    let version = engine.versions.current(id).expect("the family was just created");
    Ok(add_family(engine, &mut commit, id, name, options.clone(), version))
}

/// Drops a family: durable when it returns. Live handles and iterators keep reading it; its files go with the last.
pub(super) fn drop_family(engine: &Engine, family: &Arc<Family>) -> Result<()> {
    if family.id == 0 {
        return Err(Error::invalid_argument("Can't drop default column family"));
    }
    // Under the commit lock no batch is half inserted.
    let mut commit = engine.committer.lock();
    let one = engine.install.lock();
    if family.is_dropped() {
        return Err(Error::invalid_argument("Column family already dropped!"));
    }
    engine.durability.sync().map_err(|error| engine.fail(&error))?;
    let edit = VersionEdit { column_family: family.id, drop: true, ..VersionEdit::default() };
    engine.apply_edits(vec![edit])?;
    family.dropped.store(true, Ordering::Release);
    commit.families.remove(family.id);
    let mut families = engine.families.write();
    families.by_id.remove(&family.id);
    families.by_name.remove(&family.name);
    drop(families);
    family.view().buffers().for_each(|buffer| buffer.release());
    drop(one);
    // Under the commit lock, as every change of it: a sum made before another change must not be stored after it.
    update_log_limit(engine);
    drop(commit);
    // Under the lock: what was found before another change must not be set after it.
    let _state = engine.state.lock();
    engine.update_pressure();
    Ok(())
}
