//! The start of the write path: from a call to `write/`.
//!
//! Single operations build their batch in a buffer of the calling thread, so that they allocate nothing once the
//! buffer has grown; a big value goes to the value log straight from the caller's memory.

use super::background::panic_error;
use super::state::Engine;
use super::{ColumnFamily, Db, Family, WriteOptions};
use crate::base::key::TRAILER_LEN;
use crate::base::{Error, Result, ValuePointer};
use crate::batch::{MAX_RECORD_BYTES, WriteBatch, check_lengths};
use crate::memtable::write_buffer::Hold;
use crate::sst::builder::MAX_ENTRY_LEN;
use crate::write::Prepared;
use crate::write::commit::CommitOptions;
use std::borrow::Cow;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A thread's buffer is given back to the allocator above this size.
const KEEP_BYTES: usize = 1 << 20;

// What a batch takes, a table takes: the key with its trailer, and the value.
const _: () = assert!(MAX_RECORD_BYTES as usize + TRAILER_LEN <= MAX_ENTRY_LEN);

thread_local! {
    static BATCH: RefCell<WriteBatch> = RefCell::new(WriteBatch::new());
}

impl Db {
    /// Applies a batch atomically.
    pub fn write(&self, batch: &WriteBatch, options: &WriteOptions) -> Result<()> {
        let engine = self.engine();
        engine.check_writes()?;
        if batch.is_empty() {
            return Ok(());
        }
        engine.admit(batch.data().len(), options)?;
        let prepared = engine.separator.prepare(batch, &**engine)?;
        engine.check_merges(&prepared, batch)?;
        engine.user_bytes.fetch_add(batch.data().len() as u64, Ordering::Relaxed);
        engine.commit(prepared, options)
    }

    /// Stores one value.
    pub fn put(&self, family: &ColumnFamily, key: &[u8], value: &[u8], options: &WriteOptions) -> Result<()> {
        let engine = self.engine();
        let id = self.own(family)?.id;
        if (value.len() as u64) < family.family.threshold.load(Ordering::Relaxed) {
            return self
                .write_one(family, key.len() + value.len(), options, |batch| batch.put(id, key, value));
        }
        engine.check_writes()?;
        engine.admit(key.len() + ValuePointer::MAX_ENCODED_LEN, options)?;
        check_lengths(key.len(), value.len())?;
        if family.family.is_dropped() {
            return Err(crate::write::separate::unknown_family(id));
        }
        let (pointer, segment) = engine.value_log.append(id, key, value)?;
        let mut encoded = Vec::with_capacity(ValuePointer::MAX_ENCODED_LEN);
        pointer.encode(&mut encoded);
        engine.user_bytes.fetch_add((key.len() + value.len()) as u64, Ordering::Relaxed);
        let hold: Hold = segment;
        self.commit_one(family, vec![(pointer.segment, hold)], options, |batch| {
            batch.put_pointer(id, key, &encoded)
        })
    }

    /// Deletes one key.
    pub fn delete(&self, family: &ColumnFamily, key: &[u8], options: &WriteOptions) -> Result<()> {
        let id = self.own(family)?.id;
        self.write_one(family, key.len(), options, |batch| batch.delete(id, key))
    }

    /// Deletes a key written once since it was last deleted.
    pub fn single_delete(&self, family: &ColumnFamily, key: &[u8], options: &WriteOptions) -> Result<()> {
        let id = self.own(family)?.id;
        self.write_one(family, key.len(), options, |batch| batch.single_delete(id, key))
    }

    /// Deletes `[start, end)`; `InvalidArgument` if reversed.
    pub fn delete_range(
        &self,
        family: &ColumnFamily,
        start: &[u8],
        end: &[u8],
        options: &WriteOptions,
    ) -> Result<()> {
        let own = self.own(family)?;
        if own.order.compare_user(start, end).is_gt() {
            return Err(Error::invalid_argument(
                "end key comes before start key: give the range in key order",
            ));
        }
        self.write_one(family, start.len() + end.len(), options, |batch| {
            batch.delete_range(own.id, start, end)
        })
    }

    /// Adds a merge operand; `InvalidArgument` without a merge operator.
    pub fn merge(
        &self,
        family: &ColumnFamily,
        key: &[u8],
        operand: &[u8],
        options: &WriteOptions,
    ) -> Result<()> {
        let own = self.own(family)?;
        check_merge_operator(own)?;
        self.write_one(family, key.len() + operand.len(), options, |batch| batch.merge(own.id, key, operand))
    }

    /// One record of `bytes` payload bytes, built in the thread's buffer.
    fn write_one(
        &self,
        family: &ColumnFamily,
        bytes: usize,
        options: &WriteOptions,
        build: impl FnOnce(&mut WriteBatch) -> Result<()>,
    ) -> Result<()> {
        let engine = self.engine();
        engine.check_writes()?;
        engine.admit(bytes, options)?;
        engine.user_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.commit_one(family, Vec::new(), options, build)
    }

    fn commit_one(
        &self,
        family: &ColumnFamily,
        holds: Vec<(u64, Hold)>,
        options: &WriteOptions,
        build: impl FnOnce(&mut WriteBatch) -> Result<()>,
    ) -> Result<()> {
        // Taken out while it is used: a callback that writes again gets a fresh one.
        let mut batch = BATCH.with(|batch| batch.take());
        batch.clear();
        let outcome = build(&mut batch).and_then(|()| {
            let prepared = Prepared {
                bytes: Cow::Borrowed(batch.data()),
                families: vec![family.family.id],
                holds,
                count: 1,
            };
            self.engine().commit(prepared, options)
        });
        if batch.data().len() <= KEEP_BYTES {
            BATCH.with(|kept| kept.replace(batch));
        }
        outcome
    }
}

impl Engine {
    /// Waits or slows down as the throttle says.
    fn admit(&self, bytes: usize, options: &WriteOptions) -> Result<()> {
        self.throttle.admit(&*self.env, bytes as u64, options.no_slowdown, &|| self.run_inline(), &|| {
            self.check_writes()
        })?;
        if self.memtables.manager().is_full() { self.wait_for_memory(options.no_slowdown) } else { Ok(()) }
    }

    fn commit(&self, prepared: Prepared<'_>, options: &WriteOptions) -> Result<()> {
        if options.sync && options.disable_wal {
            return Err(Error::invalid_argument(
                "Sync writes has to enable WAL: set only one of sync and disable_wal",
            ));
        }
        let how = CommitOptions { sync: options.sync, disable_wal: options.disable_wal };
        let committed = catch_unwind(AssertUnwindSafe(|| self.committer.commit(prepared, how, self)));
        let outcome = committed.unwrap_or_else(|panic| Err(self.fail(&panic_error(&*panic)))).map(|_| ());
        if outcome.is_err()
            && let Some(failure) = self.durability.failure()
        {
            self.fail(&failure);
        }
        if self.env.runs_inline() {
            // Others too: their memtables may have been picked.
            self.memtables.manager().run_inline();
            self.run_inline();
        }
        outcome
    }

    /// Refuses merge operands for families without an operator.
    fn check_merges(&self, prepared: &Prepared<'_>, batch: &WriteBatch) -> Result<()> {
        let lacking = prepared
            .families
            .iter()
            .any(|id| self.family(*id).is_some_and(|family| family.fold.merge_operator.is_none()));
        if !lacking || !batch.has_merge() {
            return Ok(());
        }
        for record in batch.iter() {
            if let crate::batch::Record::Merge { column_family, .. } = record?
                && let Some(family) = self.family(column_family)
            {
                check_merge_operator(&family)?;
            }
        }
        Ok(())
    }
}

fn check_merge_operator(family: &Arc<Family>) -> Result<()> {
    match family.fold.merge_operator {
        Some(_) => Ok(()),
        None => Err(Error::invalid_argument(format!(
            "merge_operator is not properly initialized: open column family {} with a merge operator",
            family.name
        ))),
    }
}
