//! What was being done when the system refused: the verbs in messages. One list, so that an injected error reads
//! exactly like a real one.

use crate::base::Error;
use std::io;
use std::path::Path;

pub(super) const OPEN: &str = "open";
pub(super) const CREATE: &str = "create";
pub(super) const ALLOCATE: &str = "allocate";
pub(super) const READ: &str = "read";
pub(super) const WRITE: &str = "write";
pub(super) const SYNC: &str = "sync";
pub(super) const TRUNCATE: &str = "truncate";
pub(super) const LENGTH: &str = "get the length";
const RENAME: &str = "rename";
pub(super) const REMOVE: &str = "remove";
pub(super) const REMOVE_DIR: &str = "remove directory";
pub(super) const LIST: &str = "list";
pub(super) const CREATE_DIR: &str = "create directory";
pub(super) const SYNC_DIR: &str = "sync directory";
pub(super) const LOCK: &str = "lock";
pub(super) const SPACE: &str = "get the free space";
pub(super) const SPAWN: &str = "start thread";

/// The error of an `errno` that no system call returned just now.
pub(super) fn refused(path: &Path, action: &str, errno: i32) -> Error {
    Error::io(path, action, &io::Error::from_raw_os_error(errno))
}

/// The error of a rename, of which only the old name is in the error's own place.
pub(super) fn rename_failed(from: &Path, to: &Path, source: &io::Error) -> Error {
    Error::io(from, &format!("{RENAME} to {}", to.display()), source)
}

/// `rename_failed` with an `errno` that no system call returned just now.
pub(super) fn rename_refused(from: &Path, to: &Path, errno: i32) -> Error {
    rename_failed(from, to, &io::Error::from_raw_os_error(errno))
}

/// The error of a write that a mapping has no room for.
#[cold]
pub(super) fn past_mapping(path: &Path, end: Option<u64>, limit: u64) -> Error {
    let end = end.map_or_else(|| "past 2^64".to_string(), |end| format!("to byte {end}"));
    Error::invalid_argument(format!("write {end} of a file mapped up to byte {limit}; start a new file"))
        .in_file(path)
}

/// The error of a lock that is held; `holder` is the pid of the process that has it, where known.
pub(super) fn locked(path: &Path, holder: Option<u32>) -> Error {
    let holder = holder.map_or_else(|| "another process".to_string(), |pid| format!("process {pid}"));
    let message = format!("lock held by {holder}; close that database first");
    Error::new(crate::base::ErrorKind::Io, message)
        .in_file(path)
        .with_subcode(crate::base::error::Subcode::Locked)
}
