//! Snapshots.

use super::boundary::{destroy, give, lent, on_db, quiet, taken};
use super::db::auradb_t;
use crate::db::Snapshot;
use std::ptr;

/// A moment of a database that reads can name (`auradb_readoptions_set_snapshot`).
pub struct auradb_snapshot_t {
    /// The engine's snapshot.
    pub snapshot: Snapshot,
}

/// Gives the state of the database now, for `auradb_release_snapshot`. NULL only for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_create_snapshot(db: Option<&auradb_t>) -> *const auradb_snapshot_t {
    on_db(db, ptr::null_mut(), |db| Ok(give(auradb_snapshot_t { snapshot: db.db.snapshot() }).cast_const()))
}

/// Releases a snapshot, so that what only it could see may go. Takes the snapshot; NULL is fine. `db` is not
/// needed and may be NULL or closed.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_release_snapshot(db: *const auradb_t, snapshot: *const auradb_snapshot_t) {
    let _ = db;
    // SAFETY: C2.
    let snapshot = unsafe { taken(snapshot) };
    destroy(snapshot);
}

/// The sequence number a snapshot was taken at.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_snapshot_get_sequence_number(snapshot: *const auradb_snapshot_t) -> u64 {
    // SAFETY: C2.
    quiet(|| Ok(unsafe { lent(snapshot) }?.snapshot.sequence()))
}
