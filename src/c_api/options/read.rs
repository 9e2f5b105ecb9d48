//! Options of reads.

use super::super::boundary::{bytes, change, destroy, give, look, present_mut, quiet};
use super::super::snapshot::auradb_snapshot_t;
use crate::base::{Error, Result};
use crate::db::ReadOptions;
use libc::{c_char, c_int, c_uchar};

/// How reads work. Used by one thread at a time while it is changed; any number of threads may read with it.
pub struct auradb_readoptions_t {
    options: ReadOptions,
    read_tier: c_int,
    verify_checksums: bool,
}

impl auradb_readoptions_t {
    /// The engine's options, if it can do what they ask.
    pub fn ready(&self) -> Result<&ReadOptions> {
        match self.read_tier {
            0 | 1 => Ok(&self.options),
            tier => {
                Err(Error::not_implemented(format!("read tier {tier}; choose 0 (all) or 1 (memory only)")))
            }
        }
    }
}

/// Gives read options, for `auradb_readoptions_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_create() -> *mut auradb_readoptions_t {
    let options = ReadOptions::default();
    quiet(|| Ok(give(auradb_readoptions_t { options, read_tier: 0, verify_checksums: true })))
}

/// Destroys read options. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_destroy(options: Option<Box<auradb_readoptions_t>>) {
    destroy(options);
}

/// Reads as of a snapshot, which must not be released before the last read; NULL = the latest state. Borrows the
/// snapshot.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_set_snapshot(
    options: Option<&mut auradb_readoptions_t>,
    snapshot: *const auradb_snapshot_t,
) {
    quiet(|| {
        // SAFETY: C2.
        let snapshot = unsafe { snapshot.as_ref() };
        present_mut(options)?.options.snapshot = snapshot.map(|snapshot| snapshot.snapshot.sequence());
        Ok(())
    });
}

/// The first key that iterators no longer show; NULL = none. Copies the key.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_set_iterate_upper_bound(
    options: Option<&mut auradb_readoptions_t>,
    key: *const c_char,
    keylen: usize,
) {
    quiet(|| {
        // SAFETY: C1.
        let bound = unsafe { bytes(key, keylen) }?;
        present_mut(options)?.options.upper_bound = (!key.is_null()).then(|| bound.to_vec());
        Ok(())
    });
}

/// The first key that iterators show; NULL = none. Copies the key.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_set_iterate_lower_bound(
    options: Option<&mut auradb_readoptions_t>,
    key: *const c_char,
    keylen: usize,
) {
    quiet(|| {
        // SAFETY: C1.
        let bound = unsafe { bytes(key, keylen) }?;
        present_mut(options)?.options.lower_bound = (!key.is_null()).then(|| bound.to_vec());
        Ok(())
    });
}

/// Where reads may look: 0 everywhere, 1 in memory only: what is not there is "Result incomplete: ". Reads with
/// another number fail with "Not implemented: ". Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_set_read_tier(options: Option<&mut auradb_readoptions_t>, v: c_int) {
    change(options, |options| {
        options.read_tier = v;
        options.options.allow_io = v != 1;
    });
}

/// What `auradb_readoptions_set_read_tier` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_get_read_tier(options: Option<&auradb_readoptions_t>) -> c_int {
    look(options, |options| options.read_tier)
}

/// Accepted and read back. This engine verifies whatever it reads from the device, always. Default 1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_set_verify_checksums(
    options: Option<&mut auradb_readoptions_t>,
    v: c_uchar,
) {
    change(options, |options| options.verify_checksums = v != 0);
}

/// What `auradb_readoptions_set_verify_checksums` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_get_verify_checksums(options: Option<&auradb_readoptions_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.verify_checksums))
}

/// Whether what was read is kept in the cache. Default 1. An iterator that has read the values of a hundred entries
/// in a row keeps only such values of the value log as push nothing out.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_set_fill_cache(options: Option<&mut auradb_readoptions_t>, v: c_uchar) {
    change(options, |options| options.options.fill_cache = v != 0);
}

/// What `auradb_readoptions_set_fill_cache` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_get_fill_cache(options: Option<&auradb_readoptions_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.options.fill_cache))
}

/// Whether an iterator shows fresh writes: it looks for them whenever it is positioned. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_set_tailing(options: Option<&mut auradb_readoptions_t>, v: c_uchar) {
    change(options, |options| options.options.tailing = v != 0);
}

/// What `auradb_readoptions_set_tailing` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_get_tailing(options: Option<&auradb_readoptions_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.options.tailing))
}

/// Whether an iterator goes on past the prefix it was positioned with even if `prefix_same_as_start` is set.
/// Without `prefix_same_as_start` every seek sees all keys in order, whatever this says. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_set_total_order_seek(
    options: Option<&mut auradb_readoptions_t>,
    v: c_uchar,
) {
    change(options, |options| options.options.total_order_seek = v != 0);
}

/// What `auradb_readoptions_set_total_order_seek` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_get_total_order_seek(options: Option<&auradb_readoptions_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.options.total_order_seek))
}

/// Whether an iterator stops where the prefix of the key it was positioned with ends. Default 0.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_set_prefix_same_as_start(
    options: Option<&mut auradb_readoptions_t>,
    v: c_uchar,
) {
    change(options, |options| options.options.prefix_same_as_start = v != 0);
}

/// What `auradb_readoptions_set_prefix_same_as_start` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_readoptions_get_prefix_same_as_start(
    options: Option<&auradb_readoptions_t>,
) -> c_uchar {
    look(options, |options| c_uchar::from(options.options.prefix_same_as_start))
}
