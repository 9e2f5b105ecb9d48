//! Options of flushes and compactions by hand.

use super::super::boundary::{change, destroy, give, look, quiet};
use crate::db::CompactRangeOptions;
use libc::c_uchar;

/// How a flush works. Used by one thread at a time while it is changed.
pub struct auradb_flushoptions_t {
    /// Wait until it is done.
    pub wait: bool,
}

/// How a range is compacted. Used by one thread at a time while it is changed.
pub struct auradb_compactoptions_t {
    bottommost: c_uchar,
}

/// RocksDB's numbers: compact the bottommost level only if a filter has to see it; always (two ways).
const IF_FILTER: c_uchar = 1;
const FORCE: c_uchar = 2;

impl auradb_compactoptions_t {
    /// The engine's options.
    pub fn options(&self) -> CompactRangeOptions {
        CompactRangeOptions { force_bottommost: self.bottommost >= FORCE }
    }
}

/// Gives flush options, for `auradb_flushoptions_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_flushoptions_create() -> *mut auradb_flushoptions_t {
    quiet(|| Ok(give(auradb_flushoptions_t { wait: true })))
}

/// Destroys flush options. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_flushoptions_destroy(options: Option<Box<auradb_flushoptions_t>>) {
    destroy(options);
}

/// Whether a flush returns only when the tables are there. Default 1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_flushoptions_set_wait(options: Option<&mut auradb_flushoptions_t>, v: c_uchar) {
    change(options, |options| options.wait = v != 0);
}

/// What `auradb_flushoptions_set_wait` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_flushoptions_get_wait(options: Option<&auradb_flushoptions_t>) -> c_uchar {
    look(options, |options| c_uchar::from(options.wait))
}

/// Gives compaction options, for `auradb_compactoptions_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compactoptions_create() -> *mut auradb_compactoptions_t {
    quiet(|| Ok(give(auradb_compactoptions_t { bottommost: IF_FILTER })))
}

/// Destroys compaction options. Takes the handle; NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compactoptions_destroy(options: Option<Box<auradb_compactoptions_t>>) {
    destroy(options);
}

/// Whether the bottommost level is rewritten: 0 no, 1 if there is a compaction filter, 2 or 3 always. 0 counts as 1
/// here: a filter always sees every key of the range. Default 1.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compactoptions_set_bottommost_level_compaction(
    options: Option<&mut auradb_compactoptions_t>,
    v: c_uchar,
) {
    change(options, |options| options.bottommost = v);
}

/// What `auradb_compactoptions_set_bottommost_level_compaction` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_compactoptions_get_bottommost_level_compaction(
    options: Option<&auradb_compactoptions_t>,
) -> c_uchar {
    look(options, |options| options.bottommost)
}
