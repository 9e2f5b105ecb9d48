//! Options of compression.

use super::super::boundary::{array, change, look, present_mut, quiet};
use super::auradb_options_t;
use libc::c_int;

/// The codec of tables: an `auradb_compression_t`. Opening fails with "Not implemented: " for one that is not
/// available. Default snappy (1).
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_compression(options: Option<&mut auradb_options_t>, v: c_int) {
    change(options, |options| options.compression = v);
}

/// What `auradb_options_set_compression` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_compression(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| options.compression)
}

/// The codec of the last level: an `auradb_compression_t`, or 255 for the same as the others. Default 255.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_bottommost_compression(
    options: Option<&mut auradb_options_t>,
    v: c_int,
) {
    change(options, |options| options.bottommost_compression = v);
}

/// What `auradb_options_set_bottommost_compression` set.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_get_bottommost_compression(options: Option<&auradb_options_t>) -> c_int {
    look(options, |options| options.bottommost_compression)
}

/// Sets the codec of each level, `num_levels` of `auradb_compression_t`; deeper levels have the last one's. None at all
/// goes back to `auradb_options_set_compression`. Borrows the array.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_compression_per_level(
    options: Option<&mut auradb_options_t>,
    level_values: *const c_int,
    num_levels: usize,
) {
    quiet(|| {
        // SAFETY: C1.
        let codecs = unsafe { array(level_values, num_levels) }?;
        present_mut(options)?.compression_per_level = codecs.to_vec();
        Ok(())
    });
}

/// Accepted. The codecs here have one effort level each (zstd's is 3) and no dictionaries, so window bits, level,
/// strategy and dictionary size have nothing to change.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_compression_options(
    options: Option<&mut auradb_options_t>,
    w_bits: c_int,
    level: c_int,
    strategy: c_int,
    max_dict_bytes: c_int,
) {
    let _ = (w_bits, level, strategy, max_dict_bytes);
    change(options, |_| {});
}
