//! What options share with the caller's objects: comparators, operators, filters, loggers.

use super::super::boundary::change;
use super::super::callbacks::compaction_filter::{
    auradb_compactionfilter_t, auradb_compactionfilterfactory_t,
};
use super::super::callbacks::comparator::auradb_comparator_t;
use super::super::callbacks::logger::auradb_logger_t;
use super::super::callbacks::merge_operator::auradb_mergeoperator_t;
use super::super::callbacks::slice_transform::auradb_slicetransform_t;
use super::super::callbacks::uint64_add::Uint64Add;
use super::auradb_options_t;
use crate::base::extension::{CompactionFilter, MergeOperator};
use std::sync::Arc;

impl auradb_options_t {
    /// The merge operator.
    pub fn merge_operator(&self) -> Option<Arc<dyn MergeOperator>> {
        self.merge_operator.clone()
    }
}

/// Sets the order of keys. Borrows `v`: destroy it as well. NULL changes nothing. Default: plain byte order, whose
/// name is "leveldb.BytewiseComparator".
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_comparator(
    options: Option<&mut auradb_options_t>,
    v: Option<&auradb_comparator_t>,
) {
    if let Some(comparator) = v {
        change(options, |options| options.comparator = Some(comparator.shared.clone()));
    }
}

/// Sets the merge operator. Takes `v`, which is destroyed when nothing uses it any more. NULL takes the operator
/// away.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_merge_operator(
    options: Option<&mut auradb_options_t>,
    v: Option<Box<auradb_mergeoperator_t>>,
) {
    change(options, |options| options.merge_operator = v.map(|v| v.shared));
}

/// Sets a merge operator that adds 64-bit little-endian integers.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_uint64add_merge_operator(options: Option<&mut auradb_options_t>) {
    change(options, |options| options.merge_operator = Some(Arc::new(Uint64Add)));
}

/// Sets the compaction filter. Borrows `v`: destroy it as well. NULL takes the filter away.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_compaction_filter(
    options: Option<&mut auradb_options_t>,
    v: Option<&auradb_compactionfilter_t>,
) {
    let filter = v.map(|v| v.shared.clone() as Arc<dyn CompactionFilter>);
    change(options, |options| options.compaction_filter = filter);
}

/// Sets a factory of compaction filters, used where no compaction filter is set. Takes `v`, which is destroyed when
/// nothing uses it any more. NULL takes the factory away.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_compaction_filter_factory(
    options: Option<&mut auradb_options_t>,
    v: Option<Box<auradb_compactionfilterfactory_t>>,
) {
    change(options, |options| options.compaction_filter_factory = v.map(|v| v.shared));
}

/// Sets the prefix extractor, for prefix filters and prefix scans. Takes `v`, which is destroyed when nothing uses it
/// any more. NULL takes the extractor away.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_prefix_extractor(
    options: Option<&mut auradb_options_t>,
    v: Option<Box<auradb_slicetransform_t>>,
) {
    change(options, |options| options.prefix_extractor = v.map(|v| v.shared));
}

/// Sets where log lines go; by default to the file LOG in the database directory. Borrows `v`, which may be
/// destroyed at once. NULL changes nothing.
#[unsafe(no_mangle)]
pub extern "C" fn auradb_options_set_info_log(
    options: Option<&mut auradb_options_t>,
    v: Option<&auradb_logger_t>,
) {
    if let Some(logger) = v {
        change(options, |options| options.logger = Some(logger.shared.clone()));
    }
}
