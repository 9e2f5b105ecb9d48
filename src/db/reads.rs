//! The start of the read path: which view, which moment, then `read/`.

use super::{ColumnFamily, Db, DbIterator, Family, ReadOptions};
use crate::base::expiry::Moment;
use crate::base::{Error, ErrorKind, Result, SequenceNumber};
use crate::read::{PinnedValue, ReadMode, ReadView, get};
use std::sync::Arc;

pub(super) fn mode(options: &ReadOptions) -> ReadMode {
    ReadMode { fill_cache: options.fill_cache, allow_io: options.allow_io }
}

/// Views by column family, and the sequence number to read them at.
type Shown = (Vec<(u32, Arc<ReadView>)>, SequenceNumber);

impl Db {
    /// The value of a key.
    pub fn get(
        &self,
        family: &ColumnFamily,
        key: &[u8],
        options: &ReadOptions,
    ) -> Result<Option<PinnedValue>> {
        let engine = self.engine();
        engine.check_open()?;
        let family = self.own(family)?;
        // The view first: what it lacks was written later than the sequence number loaded next.
        let view = family.view();
        let snapshot = options.snapshot.unwrap_or_else(|| engine.durability.visible());
        let moment = Moment::of(&family.fold.clock);
        get::get(&view, &family.order, key, snapshot, &moment, &family.fold, mode(options))
    }

    /// The values of several keys, all read at one moment; one answer a key, in order.
    pub fn multi_get(
        &self,
        keys: &[(&ColumnFamily, &[u8])],
        options: &ReadOptions,
    ) -> Vec<Result<Option<PinnedValue>>> {
        let families: Vec<&ColumnFamily> = keys.iter().map(|(family, _)| *family).collect();
        let prepared = self.engine().check_open().and_then(|()| self.views(&families, options));
        match prepared {
            Err(error) => keys.iter().map(|_| Err(error.clone())).collect(),
            Ok((views, snapshot)) => {
                let moment = Moment::of(&self.engine().clock);
                let read = |(handle, key): &(&ColumnFamily, &[u8])| {
                    let family = &handle.family;
                    let view =
                        &views.iter().find(|(id, _)| *id == family.id).expect("taken for every family").1;
                    get::get(view, &family.order, key, snapshot, &moment, &family.fold, mode(options))
                };
                keys.iter().map(read).collect()
            }
        }
    }

    /// Views of several families that show one moment: taken again until none changed while the moment was read.
    fn views(&self, families: &[&ColumnFamily], options: &ReadOptions) -> Result<Shown> {
        let mut distinct: Vec<&Arc<Family>> = Vec::new();
        for family in families {
            let own = self.own(family)?;
            if !distinct.iter().any(|held| held.id == own.id) {
                distinct.push(own);
            }
        }
        loop {
            let views: Vec<_> = distinct.iter().map(|family| (family.id, family.view())).collect();
            let snapshot = options.snapshot.unwrap_or_else(|| self.engine().durability.visible());
            let unchanged =
                distinct.iter().zip(&views).all(|(family, (_, view))| Arc::ptr_eq(&family.view(), view));
            if unchanged {
                return Ok((views, snapshot));
            }
        }
    }

    /// False only if the key is certainly absent; never reads from the device. May give the value.
    pub fn key_may_exist(
        &self,
        family: &ColumnFamily,
        key: &[u8],
        options: &ReadOptions,
    ) -> (bool, Option<PinnedValue>) {
        let in_memory = ReadOptions { allow_io: false, ..options.clone() };
        match self.get(family, key, &in_memory) {
            Ok(Some(value)) => (true, Some(value)),
            Ok(None) => (false, None),
            Err(_) => (true, None),
        }
    }

    /// An iterator, not positioned.
    pub fn iterator(&self, family: &ColumnFamily, options: &ReadOptions) -> Result<DbIterator> {
        let mut all = self.iterators(&[family], options)?;
        all.pop().ok_or_else(|| Error::new(ErrorKind::Internal, "no iterator was made"))
    }

    /// Iterators over several families at one moment.
    pub fn iterators(&self, families: &[&ColumnFamily], options: &ReadOptions) -> Result<Vec<DbIterator>> {
        self.engine().check_open()?;
        let (views, snapshot) = self.views(families, options)?;
        Ok(families
            .iter()
            .map(|handle| {
                let family = &handle.family;
                let view = &views.iter().find(|(id, _)| *id == family.id).expect("taken for every family").1;
                DbIterator::new(self.engine(), family, view, snapshot, options)
            })
            .collect())
    }
}
