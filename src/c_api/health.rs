//! How a database is: what RocksDB's C API cannot tell.

use super::boundary::{malloc_text, on_db, put_out};
use super::db::auradb_t;
use libc::{c_char, c_uchar};
use std::ptr;

/// Returns 1 if the database is healthy, 0 if a failure made it read-only (or `db` is NULL). Reads go on then;
/// after the cause is repaired, `auradb_resume` or a new open lets writes go on.
///
/// `refused_writes` receives the number of writes refused since; `failure` gives the failure's text, or NULL if
/// healthy; `recovery_report` gives what recovery dropped or repaired at open, or NULL if nothing. Free both with
/// `auradb_free`. Any of the three may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_health(
    db: Option<&auradb_t>,
    refused_writes: *mut u64,
    failure: *mut *mut c_char,
    recovery_report: *mut *mut c_char,
) -> c_uchar {
    // SAFETY: C1.
    unsafe {
        put_out(refused_writes, 0);
        put_out(failure, ptr::null_mut());
        put_out(recovery_report, ptr::null_mut());
    }
    on_db(db, ptr::null_mut(), |db| {
        let health = db.db.health();
        // SAFETY: C1.
        unsafe { put_out(refused_writes, health.refused_writes) };
        if let Some(error) = health.failure.as_ref().filter(|_| !failure.is_null()) {
            // SAFETY: C1.
            unsafe { put_out(failure, malloc_text(&error.to_string())) };
        }
        if !health.recovery_report.is_empty() && !recovery_report.is_null() {
            // SAFETY: C1.
            unsafe { put_out(recovery_report, malloc_text(&health.recovery_report)) };
        }
        Ok(c_uchar::from(health.failure.is_none()))
    })
}

/// Lets a database that a failure made read-only write again, with new files, after the cause was repaired (space
/// was freed, say). Fine if it is healthy. The error if going on is not possible: close and reopen then.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_resume(db: Option<&auradb_t>, errptr: *mut *mut c_char) {
    on_db(db, errptr, |db| db.db.resume());
}

/// The sequence number up to which every write survives a power loss. `auradb_flush_wal` with sync raises it to
/// the latest.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_durable_sequence(db: Option<&auradb_t>) -> u64 {
    on_db(db, ptr::null_mut(), |db| Ok(db.db.durable_sequence()))
}
