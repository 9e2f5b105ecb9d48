//! What can be done with a database that is not open: list its families, destroy it.

use super::open::{Found, directories};
use super::options::Options;
use crate::base::file_name::{FileKind, path_of};
use crate::base::{Error, Result};
use crate::env::read_only::ReadOnlyEnv;
use crate::env::{self, Env};
use crate::version::VersionSet;
use std::path::Path;
use std::sync::Arc;

fn env_of(options: &Options) -> Arc<dyn Env> {
    options.env.clone().unwrap_or_else(env::default_env)
}

pub(super) fn list_column_families(options: &Options, path: &Path) -> Result<Vec<String>> {
    // It may be open elsewhere: only looked at.
    let state = VersionSet::read_manifest(&*ReadOnlyEnv::new(env_of(options)), path)?;
    Ok(state.column_families.into_iter().map(|(_, name, _)| name).collect())
}

/// Refuses if there are log files (a writer did not close cleanly, or is at work).
pub(super) fn refuse_logs(options: &Options, path: &Path) -> Result<()> {
    let found = Found::look(&*env_of(options), &directories(options, path))?;
    match found.files.iter().find(|(_, kind)| matches!(kind, FileKind::Wal(_))) {
        None => Ok(()),
        Some((dir, kind)) => Err(Error::new(
            crate::base::ErrorKind::Corruption,
            "a log file exists although the caller asked to refuse one: open without error_if_wal_file_exists",
        )
        .in_file(&path_of(dir, *kind))),
    }
}

/// Removes the files the engine made, then the directories if that left them empty.
pub(super) fn destroy(options: &Options, path: &Path) -> Result<()> {
    let env = env_of(options);
    let directories = directories(options, path);
    if !env.exists(path) {
        return Ok(());
    }
    let found = Found::look(&*env, &directories)?;
    let lock_path = path_of(path, FileKind::Lock);
    let lock = env.lock(&lock_path)?;
    // CURRENT goes last but for the lock: until then a second destroy can finish an interrupted one.
    let (last, first): (Vec<_>, Vec<_>) =
        found.files.into_iter().partition(|(_, kind)| matches!(kind, FileKind::Current | FileKind::Lock));
    for (dir, kind) in
        first.into_iter().chain(last.into_iter().filter(|(_, kind)| *kind == FileKind::Current))
    {
        env.remove_file(&path_of(&dir, kind))?;
    }
    drop(lock);
    if env.exists(&lock_path) {
        env.remove_file(&lock_path)?;
    }
    for dir in [&directories.wal, &directories.value_log, &directories.sst, &directories.db] {
        if env.exists(dir) && env.list(dir)?.is_empty() {
            env.remove_dir(dir)?;
        }
    }
    Ok(())
}
