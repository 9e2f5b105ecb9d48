//! One column family inside the open engine: its options, its view for readers.

use super::options::ColumnFamilyOptions;
use super::state::Engine;
use crate::base::{Codec, InternalComparator};
use crate::cache::Cache;
use crate::compaction::LevelOptions;
use crate::config::MemtableImplementation;
use crate::memtable::Structure;
use crate::memtable::budget::Memtables;
use crate::memtable::write_buffer::WriteBuffer;
use crate::read::{FoldContext, ReadView};
use crate::sst::TableOptions;
use crate::version::Version;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A column family of an open database.
pub(super) struct Family {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) order: InternalComparator,
    pub(super) fold: FoldContext,
    /// What can change while open changes here.
    pub(super) options: RwLock<ColumnFamilyOptions>,
    /// Values of at least so many bytes are separated.
    pub(super) threshold: AtomicU64,
    /// Seconds after which what is written without a TTL of its own expires; 0 = never.
    pub(super) ttl: AtomicU64,
    pub(super) dropped: AtomicBool,
    /// Counts the memtables of the database.
    memtables: Arc<Memtables>,
    view: RwLock<Arc<ReadView>>,
}

impl Family {
    pub(super) fn new(
        id: u32,
        name: &str,
        options: ColumnFamilyOptions,
        engine: &Engine,
        view: ReadView,
    ) -> Arc<Family> {
        let defaults = &engine.options.config.value_log;
        let threshold = options.separation_threshold.unwrap_or(defaults.separation_threshold);
        let ttl = options.ttl.or(defaults.ttl).unwrap_or(0);
        Arc::new(Family {
            id,
            name: name.to_string(),
            order: InternalComparator::new(Arc::clone(&options.comparator)),
            fold: FoldContext {
                column_family: id,
                value_log: Arc::clone(&engine.value_log),
                clock: Arc::clone(&engine.clock),
                merge_operator: options.merge_operator.clone(),
            },
            threshold: AtomicU64::new(threshold),
            ttl: AtomicU64::new(ttl),
            options: RwLock::new(options),
            dropped: AtomicBool::new(false),
            memtables: Arc::clone(&engine.memtables),
            view: RwLock::new(Arc::new(view)),
        })
    }

    /// What readers see now.
    pub(super) fn view(&self) -> Arc<ReadView> {
        Arc::clone(&self.view.read())
    }

    /// Replaces what readers see. Called under the engine's state lock.
    pub(super) fn set_view(&self, view: ReadView) {
        let old = std::mem::replace(&mut *self.view.write(), Arc::new(view));
        // What the old view alone kept alive goes outside the lock.
        drop(old);
    }

    /// A dropped family's tables go when the last handle (`holders` counts them) does.
    pub(super) fn forget_if_last(&self, holders: usize) {
        if holders == 1 {
            let old = self.view();
            self.set_view(ReadView {
                active: Arc::clone(&old.active),
                sealed: Vec::new(),
                version: Arc::new(Version::empty(1)),
            });
        }
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    /// Bytes at which a memtable is sealed.
    pub(super) fn seal_at(&self) -> u64 {
        let memtable = &self.options.read().memtable;
        ((memtable.max_size as f64 * memtable.flush_threshold) as u64).max(1)
    }

    /// Whether something is sealed, or the active memtable is to be.
    pub(super) fn is_flush_due(&self) -> bool {
        let view = self.view();
        !view.sealed.is_empty() || (view.active.is_leaving() && !view.active.is_empty())
    }

    pub(super) fn new_buffer(&self) -> Arc<WriteBuffer> {
        let structure = structure(&self.options.read());
        let buffer = WriteBuffer::new(structure, &self.order);
        self.memtables.watch(self.id, &buffer);
        buffer
    }

    /// What its levels aim at, with so many value-log bytes hidden in each of them.
    pub(super) fn level_options(&self, hidden_value_budget: u64) -> LevelOptions {
        let options = self.options.read();
        LevelOptions {
            levels: options.levels,
            level0_trigger: options.level0_trigger,
            level1_bytes: options.level1_bytes,
            ratio: options.level_size_ratio,
            target_file_size: options.sst.target_file_size,
            target_multiplier: options.target_file_size_multiplier,
            // What values stand behind a level is for the budget to see to: the tree's shape follows its own bytes.
            referenced_value_weight: 0.0,
            hidden_value_budget,
        }
    }
}

/// The structure of a family's memtables.
pub(super) fn structure(options: &ColumnFamilyOptions) -> Structure {
    match options.memtable.implementation {
        MemtableImplementation::SkipList => Structure::SkipList,
        MemtableImplementation::Art => Structure::Art,
        MemtableImplementation::BTree => Structure::BTree,
    }
}

/// How tables of a family with these options are written at `level` (and how any table is read: readers use the
/// order and the cache only).
pub(super) fn table_options(
    options: &ColumnFamilyOptions,
    level: usize,
    bottommost: bool,
    cache: &Arc<Cache>,
    owner: u64,
) -> TableOptions {
    let by_level = options.compression_per_level.get(level).or(options.compression_per_level.last());
    let compression: Codec = match options.bottommost_compression {
        Some(codec) if bottommost => codec,
        _ => by_level.copied().unwrap_or(options.sst.compression),
    };
    TableOptions {
        order: InternalComparator::new(Arc::clone(&options.comparator)),
        block_size: options.sst.block_size,
        compression,
        bloom_bits_per_key: options.sst.use_bloom_filters.then_some(options.sst.bloom_bits_per_key),
        whole_key_filtering: options.whole_key_filtering,
        prefix_extractor: options.prefix_extractor.clone(),
        learned_index: options.learned_index,
        cache: Some(Arc::clone(cache)),
        cache_owner: owner,
    }
}
