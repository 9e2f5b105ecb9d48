//! The iterator over the database: a scan that can be refreshed, and that keeps its engine alive.

use super::state::Engine;
use super::{Family, ReadOptions, reads};
use crate::base::{Result, SequenceNumber};
use crate::read::{ReadView, Scan, ScanBounds, ScanIterator};
use std::sync::Arc;

/// Moves over the visible entries of a column family, both ways. One thread at a time.
pub struct StoredIterator {
    /// `None` only while it is replaced or dropped.
    scan: Option<Scan>,
    /// Keeps what the scan reads: memtables and tables, and through them the segments they point into.
    view: Option<Arc<ReadView>>,
    snapshot: SequenceNumber,
    engine: Arc<Engine>,
    family: Arc<Family>,
    options: ReadOptions,
}

impl StoredIterator {
    pub(super) fn new(
        engine: &Arc<Engine>,
        family: &Arc<Family>,
        view: &Arc<ReadView>,
        snapshot: SequenceNumber,
        options: &ReadOptions,
    ) -> StoredIterator {
        let scan = Some(scan(family, view, snapshot, options));
        let view = Some(Arc::clone(view));
        StoredIterator {
            scan,
            view,
            snapshot,
            engine: Arc::clone(engine),
            family: Arc::clone(family),
            options: options.clone(),
        }
    }

    fn scan(&self) -> &Scan {
        self.scan.as_ref().expect("present between calls")
    }

    fn scan_mut(&mut self) -> &mut Scan {
        self.scan.as_mut().expect("present between calls")
    }

    fn refresh_if_tailing(&mut self) {
        if self.options.tailing {
            self.show_latest();
        }
    }

    fn show_latest(&mut self) {
        // The old one goes first: what it alone kept alive can be removed.
        self.scan = None;
        let view = self.family.view();
        let snapshot = self.engine.durability.visible();
        self.scan = Some(scan(&self.family, &view, snapshot, &self.options));
        self.view = Some(view);
        self.snapshot = snapshot;
    }

    /// Its column family.
    pub(super) fn family(&self) -> &Arc<Family> {
        &self.family
    }

    /// What it is limited to.
    pub(super) fn bounds(&self) -> ScanBounds {
        bounds(&self.family, &self.options)
    }

    /// The bounds of `options` hold besides its own from now on. Loses the position.
    pub(super) fn narrow(&mut self, options: &ReadOptions) {
        let order = &self.family.order;
        let own = &mut self.options;
        if let Some(lower) = &options.lower_bound
            && own.lower_bound.as_ref().is_none_or(|own| order.compare_user(own, lower).is_lt())
        {
            own.lower_bound = Some(lower.clone());
        }
        if let Some(upper) = &options.upper_bound
            && own.upper_bound.as_ref().is_none_or(|own| order.compare_user(own, upper).is_gt())
        {
            own.upper_bound = Some(upper.clone());
        }
        let view = self.view.as_ref().expect("present between calls");
        self.scan = Some(scan(&self.family, view, self.snapshot, &self.options));
    }

    /// Whether it stands on an entry.
    pub fn valid(&self) -> bool {
        self.scan().valid()
    }

    /// To the first entry within the bounds.
    pub fn seek_to_first(&mut self) {
        self.refresh_if_tailing();
        self.scan_mut().seek_to_first();
    }

    /// To the last entry within the bounds.
    pub fn seek_to_last(&mut self) {
        self.refresh_if_tailing();
        self.scan_mut().seek_to_last();
    }

    /// To the first entry at or after `target`.
    pub fn seek(&mut self, target: &[u8]) {
        self.refresh_if_tailing();
        self.scan_mut().seek(target);
    }

    /// To the last entry at or before `target`.
    pub fn seek_for_prev(&mut self, target: &[u8]) {
        self.refresh_if_tailing();
        self.scan_mut().seek_for_prev(target);
    }

    /// One on. Does nothing when not valid.
    pub fn next(&mut self) {
        self.scan_mut().next();
    }

    /// One back. Does nothing when not valid.
    pub fn prev(&mut self) {
        self.scan_mut().prev();
    }

    /// The key; until the next move. Only when valid.
    pub fn key(&self) -> &[u8] {
        self.scan().key()
    }

    /// The value, read from the value log on first use; a failed read makes the iterator invalid with an error and
    /// gives an empty slice. Until the next move. Only when valid.
    pub fn value(&mut self) -> &[u8] {
        self.scan_mut().value()
    }

    /// What went wrong, if anything.
    pub fn status(&self) -> Result<()> {
        self.scan().status()
    }

    /// Shows the latest state (drops the snapshot, if any) and loses the position.
    pub fn refresh(&mut self) -> Result<()> {
        self.engine.check_open()?;
        self.options.snapshot = None;
        self.show_latest();
        self.engine.remove_obsolete_files();
        Ok(())
    }
}

impl Drop for StoredIterator {
    fn drop(&mut self) {
        self.scan = None;
        self.view = None;
        self.engine.remove_obsolete_files();
    }
}

fn bounds(family: &Family, options: &ReadOptions) -> ScanBounds {
    let prefix = if options.prefix_same_as_start && !options.total_order_seek {
        family.options.read().prefix_extractor.clone()
    } else {
        None
    };
    ScanBounds { lower: options.lower_bound.clone(), upper: options.upper_bound.clone(), prefix }
}

fn scan(family: &Family, view: &ReadView, snapshot: SequenceNumber, options: &ReadOptions) -> Scan {
    let mode = reads::mode(options);
    Scan::new(ScanIterator::new(
        view.iter(&family.order, mode),
        view.tombstones(&family.order),
        family.order.clone(),
        snapshot,
        family.fold.clone(),
        mode,
        bounds(family, options),
    ))
}
