//! Databases: open, close, destroy, repair.

use super::boundary::{array, count, destroy, fallible, give, on_db, path, present, quiet, seconds, text};
use super::column_family::{auradb_column_family_handle_t, give_families};
use super::options::auradb_options_t;
use crate::base::{Error, Result};
use crate::db::{ColumnFamily, ColumnFamilyOptions, DEFAULT_COLUMN_FAMILY, Db};
use libc::{c_char, c_int, c_uchar};
use std::ptr;

/// An open database. May be used from any thread, and from several at once.
pub struct auradb_t {
    /// The engine.
    pub db: Db,
    /// What functions without a column family mean.
    pub default: ColumnFamily,
}

impl auradb_t {
    fn new(db: Db) -> auradb_t {
        auradb_t { default: db.default_column_family(), db }
    }
}

/// Opens the database in directory `name`, which may have the default column family only. Borrows `options`: they
/// are copied. Gives a handle for `auradb_close`, or NULL with an error: "Invalid argument: " if there is no
/// database and `create_if_missing` is not set, if other column families exist, or if the comparator is another
/// than the one the database was made with; "IO error: " if the database is open already.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_open(
    options: Option<&auradb_options_t>,
    name: *const c_char,
    errptr: *mut *mut c_char,
) -> *mut auradb_t {
    fallible(errptr, || {
        let options = present(options)?;
        // SAFETY: C1.
        let path = unsafe { path(name) }?;
        let db = Db::open(&options.database_options(&[])?, path, &options.column_family_options()?)?;
        Ok(give(auradb_t::new(db)))
    })
}

/// As `auradb_open`, and everything that is written to the default column family from now on without a TTL of its
/// own, merge operands too, expires `ttl` seconds after it was written; 0 or less = never. Each entry keeps the time
/// it was given: what lies in the database already does not change by another TTL at the next open, nor by opening
/// without one. (RocksDB stores the time of writing and adds the TTL of the day; this database judges by the entry
/// alone.) Expired keys are absent for all reads at once, not only after a compaction. Borrows `options`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_open_with_ttl(
    options: Option<&auradb_options_t>,
    name: *const c_char,
    ttl: c_int,
    errptr: *mut *mut c_char,
) -> *mut auradb_t {
    fallible(errptr, || {
        let options = present(options)?;
        // SAFETY: C1.
        let path = unsafe { path(name) }?;
        let family = with_ttl(options.column_family_options()?, ttl);
        Ok(give(auradb_t::new(Db::open(&options.database_options(&[])?, path, &family)?)))
    })
}

fn with_ttl(mut options: ColumnFamilyOptions, ttl: c_int) -> ColumnFamilyOptions {
    options.ttl = Some(seconds(ttl.into()));
    options
}

/// Opens a database for reading its default column family; nothing at all is written, and any number of readers
/// may do so. Borrows `options`. Fails if a write-ahead log exists and `error_if_wal_file_exists` is not 0.
/// Gives a handle for `auradb_close`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_open_for_read_only(
    options: Option<&auradb_options_t>,
    name: *const c_char,
    error_if_wal_file_exists: c_uchar,
    errptr: *mut *mut c_char,
) -> *mut auradb_t {
    fallible(errptr, || {
        let options = present(options)?;
        // SAFETY: C1.
        let path = unsafe { path(name) }?;
        let families = [(DEFAULT_COLUMN_FAMILY.to_string(), options.column_family_options()?)];
        let database_options = options.database_options(&[])?;
        let (db, _) = Db::open_read_only(&database_options, path, &families, error_if_wal_file_exists != 0)?;
        Ok(give(auradb_t::new(db)))
    })
}

/// Opens a database with its column families: all that exist must be named, among them "default", each with its
/// options (`create_missing_column_families` creates those that do not exist). Borrows all arguments. Gives a
/// handle for `auradb_close`, and fills `column_family_handles` with one for each name, in order, to be destroyed
/// before the database is closed. On failure gives NULL and fills them with NULL.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_open_column_families(
    options: Option<&auradb_options_t>,
    name: *const c_char,
    num_column_families: c_int,
    column_family_names: *const *const c_char,
    column_family_options: *const *const auradb_options_t,
    column_family_handles: *mut *mut auradb_column_family_handle_t,
    errptr: *mut *mut c_char,
) -> *mut auradb_t {
    fallible(errptr, || {
        // SAFETY: C1, C2.
        let (path, named) = unsafe {
            (path(name)?, families(num_column_families, column_family_names, column_family_options)?)
        };
        let families = engine_families(&named)?;
        let database_options = present(options)?.database_options(&options_of(&named))?;
        // SAFETY: C1.
        unsafe {
            give_families(column_family_handles, named.len(), || {
                Db::open_column_families(&database_options, path, &families)
            })
        }
        .map(|db| give(auradb_t::new(db)))
    })
}

/// As `auradb_open_column_families`, each family with its TTL of `ttls`, which has `num_column_families` elements; see
/// `auradb_open_with_ttl`. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_open_column_families_with_ttl(
    options: Option<&auradb_options_t>,
    name: *const c_char,
    num_column_families: c_int,
    column_family_names: *const *const c_char,
    column_family_options: *const *const auradb_options_t,
    column_family_handles: *mut *mut auradb_column_family_handle_t,
    ttls: *const c_int,
    errptr: *mut *mut c_char,
) -> *mut auradb_t {
    fallible(errptr, || {
        // SAFETY: C1, C2.
        let (path, named, ttls) = unsafe {
            let named = families(num_column_families, column_family_names, column_family_options)?;
            (path(name)?, named, array(ttls, count(num_column_families)?)?)
        };
        let mut families = engine_families(&named)?;
        for ((_, family), ttl) in families.iter_mut().zip(ttls) {
            family.ttl = Some(seconds((*ttl).into()));
        }
        let database_options = present(options)?.database_options(&options_of(&named))?;
        // SAFETY: C1.
        unsafe {
            give_families(column_family_handles, named.len(), || {
                Db::open_column_families(&database_options, path, &families)
            })
        }
        .map(|db| give(auradb_t::new(db)))
    })
}

/// As `auradb_open_column_families`, for reading: nothing is written. Families not named are left out.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_open_for_read_only_column_families(
    options: Option<&auradb_options_t>,
    name: *const c_char,
    num_column_families: c_int,
    column_family_names: *const *const c_char,
    column_family_options: *const *const auradb_options_t,
    column_family_handles: *mut *mut auradb_column_family_handle_t,
    error_if_wal_file_exists: c_uchar,
    errptr: *mut *mut c_char,
) -> *mut auradb_t {
    fallible(errptr, || {
        // SAFETY: C1, C2.
        let (path, named) = unsafe {
            (path(name)?, families(num_column_families, column_family_names, column_family_options)?)
        };
        let families = engine_families(&named)?;
        let database_options = present(options)?.database_options(&options_of(&named))?;
        // SAFETY: C1.
        unsafe {
            give_families(column_family_handles, named.len(), || {
                Db::open_read_only(&database_options, path, &families, error_if_wal_file_exists != 0)
            })
        }
        .map(|db| give(auradb_t::new(db)))
    })
}

type Named<'a> = Vec<(&'a str, &'a auradb_options_t)>;

/// # Safety
/// C1 and C2 for the arrays and what they hold.
unsafe fn families<'a>(
    number: c_int,
    names: *const *const c_char,
    options: *const *const auradb_options_t,
) -> Result<Named<'a>> {
    let number = count(number)?;
    // SAFETY: C1.
    let (names, options) = unsafe { (array(names, number)?, array(options, number)?) };
    let pairs = names.iter().zip(options);
    // SAFETY: C1 for each name, C2 for each handle.
    pairs.map(|(name, options)| unsafe { Ok((text(*name)?, present(options.as_ref())?)) }).collect()
}

fn engine_families(named: &Named<'_>) -> Result<Vec<(String, ColumnFamilyOptions)>> {
    named.iter().map(|(name, options)| Ok((name.to_string(), options.column_family_options()?))).collect()
}

fn options_of<'a>(named: &Named<'a>) -> Vec<&'a auradb_options_t> {
    named.iter().map(|(_, options)| *options).collect()
}

/// Closes a database. Takes the handle: no call may use it afterwards, and none may be running in another thread.
/// NULL is fine. Background work is stopped and the logs are sealed; memtables are not flushed: the log has them.
/// Iterators, snapshots, pinned values and column family handles stay valid until they are destroyed: an iterator
/// goes on showing its moment (only `auradb_iter_refresh` gives "Shutdown in progress: "), a pinned value keeps its
/// bytes. The database can be opened again meanwhile; memory and files that they need are freed with the last of
/// them. A failure to seal the logs loses nothing that was durable; `auradb_last_error` tells of it.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_close(db: Option<Box<auradb_t>>) {
    if let Some(db) = &db {
        quiet(|| db.db.close());
    }
    destroy(db);
}

/// Removes a closed database: its own files; foreign files and the directories that hold them stay. There being
/// none is fine. "IO error: " if it is open. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_destroy_db(
    options: Option<&auradb_options_t>,
    name: *const c_char,
    errptr: *mut *mut c_char,
) {
    fallible(errptr, || {
        // SAFETY: C1.
        let path = unsafe { path(name) }?;
        Db::destroy(&present(options)?.database_options(&[])?, path)
    });
}

/// Rebuilds the manifest of a damaged, closed database from the tables and logs that are readable; damaged tables are
/// set aside. Some data may be lost; what was readable is kept. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_repair_db(
    options: Option<&auradb_options_t>,
    name: *const c_char,
    errptr: *mut *mut c_char,
) {
    fallible(errptr, || {
        let options = present(options)?;
        // SAFETY: C1.
        let path = unsafe { path(name) }?;
        let families = [(DEFAULT_COLUMN_FAMILY.to_string(), options.column_family_options()?)];
        Db::repair(&options.database_options(&[])?, path, &families)
    });
}

/// The sequence number of the latest write; 0 in a new database. Each record of a batch takes one.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_get_latest_sequence_number(db: Option<&auradb_t>) -> u64 {
    on_db(db, ptr::null_mut(), |db| Ok(db.db.latest_sequence()))
}

/// Changes options of the default column family of an open database: `count` names and values, as in
/// `auradb_get_options_from_string`. These can change: write_buffer_size, max_write_buffer_number,
/// disable_auto_compactions, level0_file_num_compaction_trigger, level0_slowdown_writes_trigger,
/// level0_stop_writes_trigger, target_file_size_base, target_file_size_multiplier, max_bytes_for_level_base,
/// max_bytes_for_level_multiplier, compression, compression_per_level, bottommost_compression and
/// auradb.separation_threshold ("none": no value is separated), auradb.ttl (see `auradb_open_with_ttl`). "Invalid
/// argument: " for another name, a bad value, or none at all; nothing is changed then. New writes follow a new
/// separation_threshold at once; values that lie in tables or in the value log already are moved by the compactions
/// that pass them, all of them by `auradb_compact_range_opt` with a forced bottommost level. Borrows all arguments.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_set_options(
    db: Option<&auradb_t>,
    count: c_int,
    keys: *const *const c_char,
    values: *const *const c_char,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    on_db(db, errptr, |db| unsafe { set_options(db, &db.default, count, keys, values) });
}

/// As `auradb_set_options`, for one column family.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_set_options_cf(
    db: Option<&auradb_t>,
    handle: Option<&auradb_column_family_handle_t>,
    count: c_int,
    keys: *const *const c_char,
    values: *const *const c_char,
    errptr: *mut *mut c_char,
) {
    // SAFETY: C1.
    on_db(db, errptr, |db| unsafe { set_options(db, &present(handle)?.family, count, keys, values) });
}

/// # Safety
/// C1 for the arrays and what they hold.
unsafe fn set_options(
    db: &auradb_t,
    family: &ColumnFamily,
    number: c_int,
    keys: *const *const c_char,
    values: *const *const c_char,
) -> Result<()> {
    let number = count(number)?;
    if number == 0 {
        return Err(Error::invalid_argument("no option is named"));
    }
    // SAFETY: C1.
    let (keys, values) = unsafe { (array(keys, number)?, array(values, number)?) };
    let pairs = keys.iter().zip(values);
    // SAFETY: C1 for each text.
    let changes: Result<Vec<_>> =
        pairs.map(|(key, value)| unsafe { Ok((text(*key)?, text(*value)?)) }).collect();
    db.db.set_options(family, &changes?)
}
