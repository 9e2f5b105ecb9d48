//! The start of the write path: from a call to `write/`.
//!
//! Single operations build their batch in a buffer of the calling thread, so that they allocate nothing once the
//! buffer has grown; a big value goes to the value log straight from the caller's memory.

use super::background::panic_error;
use super::garbage::Look;
use super::state::Engine;
use super::{ColumnFamily, Db, WriteOptions};
use crate::base::expiry::EXPIRY_LEN;
use crate::base::key::TRAILER_LEN;
use crate::base::{EntryKind, Error, Result, SequenceNumber, ValuePointer};
use crate::batch::{MAX_RECORD_BYTES, PackedOperations, WriteBatch, check_lengths};
use crate::config::SyncPolicy;
use crate::memtable::write_buffer::Hold;
use crate::sst::builder::MAX_ENTRY_LEN;
use crate::write::Callback;
use crate::write::commit::CommitOptions;
use crate::write::separate::{BigValues, FamilyRules, unknown_family};
use crate::write::{Few, Prepared};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::thread::LocalKey;

/// A thread's buffer is given back to the allocator above this size.
const KEEP_BYTES: usize = 1 << 20;

// What a batch takes, a table takes: the key with its trailer, the expiry, and the value.
const _: () = assert!(MAX_RECORD_BYTES as usize + TRAILER_LEN + EXPIRY_LEN <= MAX_ENTRY_LEN);

thread_local! {
    static BATCH: Cell<Option<WriteBatch>> = const { Cell::new(None) };
    static REWRITTEN: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
}

impl Db {
    /// Applies a batch atomically.
    pub fn write(&self, batch: &WriteBatch, options: &WriteOptions) -> Result<()> {
        let engine = self.engine();
        engine.check_writes()?;
        if batch.is_empty() {
            return Ok(());
        }
        engine.admit_batch(batch.data().len(), options)?;
        with_buffer(&REWRITTEN, |buffer| {
            let big_values = engine.big_values(batch.data().len(), options);
            let prepared = engine.separator.prepare(batch, buffer, &**engine, big_values)?;
            engine.commit(prepared, options)
        })
    }

    /// Applies a batch atomically without waiting for the device. It is readable when this returns (unless an earlier
    /// synced write is still on its way, then with that). `callback` hears in the log thread, in the order of one
    /// thread's writes, when it is durable or that it will not be; an empty batch asks about everything before it.
    /// After an error from here nothing was applied and `callback` is not called. `callback` may use the database but
    /// not close it. In an environment without threads it is durable, and called back, before this returns.
    pub fn write_async(&self, batch: &WriteBatch, options: &WriteOptions, callback: Callback) -> Result<()> {
        let engine = self.engine();
        engine.check_writes()?;
        if options.disable_wal {
            return Err(Error::invalid_argument(
                "an asynchronous write is called back when it is durable in the log: do not set disable_wal",
            ));
        }
        if !engine.committer.settings().log_thread {
            engine.start_log_thread()?;
        }
        if batch.is_empty() {
            engine.durability.call_when_logged_is_durable(callback);
        } else {
            engine.admit_batch(batch.data().len(), options)?;
            with_buffer(&REWRITTEN, |buffer| {
                let prepared = engine.separator.prepare(batch, buffer, &**engine, BigValues::Separated)?;
                engine.guard(|| engine.committer.commit_asynchronously(&prepared, &**engine, callback))
            })?;
        }
        if engine.env.runs_inline() {
            if let Err(failure) = engine.durability.sync_and_call_back() {
                engine.fail(&failure);
            }
            engine.run_inline();
        }
        Ok(())
    }

    /// Applies packed operations (`batch/packed.rs` has the format) atomically. `family_at` gives the handle of the
    /// column family with an index. Nothing is applied if one operation is malformed: the error names it.
    pub fn write_packed<'a>(
        &self,
        data: &[u8],
        family_at: &dyn Fn(usize) -> Result<&'a ColumnFamily>,
        options: &WriteOptions,
    ) -> Result<()> {
        let engine = self.engine();
        engine.check_writes()?;
        if data.is_empty() {
            return Ok(());
        }
        engine.admit_batch(data.len(), options)?;
        let id_at = |index: usize| Ok(self.own(family_at(index)?)?.id);
        with_buffer(&BATCH, |batch| {
            let operations = PackedOperations::new(data, &id_at);
            let big_values = engine.big_values(data.len(), options);
            let prepared = engine.separator.prepare_packed(&operations, batch, &**engine, big_values)?;
            engine.commit(prepared, options)
        })
    }

    /// Stores one value.
    pub fn put(&self, family: &ColumnFamily, key: &[u8], value: &[u8], options: &WriteOptions) -> Result<()> {
        let ttl = family.family.ttl.load(Ordering::Relaxed);
        self.put_with_ttl(family, key, value, ttl, options)
    }

    /// Stores one value for `ttl` seconds; 0 = for ever, whatever the family's TTL.
    pub fn put_with_ttl(
        &self,
        family: &ColumnFamily,
        key: &[u8],
        value: &[u8],
        ttl: u64,
        options: &WriteOptions,
    ) -> Result<()> {
        let engine = self.engine();
        let id = self.own(family)?.id;
        let expiry = engine.expiry_of(ttl);
        let bytes = key.len() + value.len();
        let is_big = value.len() as u64 >= family.family.threshold.load(Ordering::Relaxed);
        if !is_big || engine.big_values(bytes, options) == BigValues::Kept {
            let value_bytes = if is_big { value.len().max(1) } else { 0 };
            return self.write_one(family, (bytes, value_bytes), options, |batch| {
                batch.put_entry(id, EntryKind::Put, key, expiry, value)
            });
        }
        engine.check_writes()?;
        engine.admit(key.len() + ValuePointer::MAX_ENCODED_LEN, value.len().max(1), options)?;
        check_lengths(key.len(), value.len())?;
        if family.family.is_dropped() {
            return Err(unknown_family(id));
        }
        let (pointer, segment) = engine.value_log.append(id, key, value)?;
        let hold: Hold = segment;
        self.commit_one(family, bytes, Few::One((pointer.segment, hold)), options, |batch| {
            batch.put_entry(id, EntryKind::Pointer, key, expiry, &pointer.to_bytes())
        })
    }

    /// Deletes one key.
    pub fn delete(&self, family: &ColumnFamily, key: &[u8], options: &WriteOptions) -> Result<()> {
        let id = self.own(family)?.id;
        self.write_one(family, (key.len(), 0), options, |batch| batch.delete(id, key))
    }

    /// Deletes a key written once since it was last deleted.
    pub fn single_delete(&self, family: &ColumnFamily, key: &[u8], options: &WriteOptions) -> Result<()> {
        let id = self.own(family)?.id;
        self.write_one(family, (key.len(), 0), options, |batch| batch.single_delete(id, key))
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
        self.write_one(family, (start.len() + end.len(), 0), options, |batch| {
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
        if own.fold.merge_operator.is_none() {
            return Err(self.engine().cannot_merge(own.id));
        }
        let expiry = self.engine().expiry_of(own.ttl.load(Ordering::Relaxed));
        self.write_one(family, (key.len() + operand.len(), 0), options, |batch| {
            batch.put_entry(own.id, EntryKind::Merge, key, expiry, operand)
        })
    }

    /// One record, built in the thread's buffer, of so many payload bytes, of which so many are to go to the value log
    /// one day.
    fn write_one(
        &self,
        family: &ColumnFamily,
        (bytes, value_bytes): (usize, usize),
        options: &WriteOptions,
        build: impl FnOnce(&mut WriteBatch) -> Result<()>,
    ) -> Result<()> {
        let engine = self.engine();
        engine.check_writes()?;
        engine.admit(bytes, value_bytes, options)?;
        self.commit_one(family, bytes, Few::None, options, build)
    }

    fn commit_one(
        &self,
        family: &ColumnFamily,
        user_bytes: usize,
        holds: Few<(u64, Hold)>,
        options: &WriteOptions,
        build: impl FnOnce(&mut WriteBatch) -> Result<()>,
    ) -> Result<()> {
        with_buffer(&BATCH, |batch| {
            batch.clear();
            build(batch)?;
            let families = Few::One(family.family.id);
            let prepared = Prepared { bytes: batch.data(), families, holds, count: 1, user_bytes };
            self.engine().commit(prepared, options)
        })
    }
}

impl Engine {
    /// When what is written now with this TTL expires; 0 = never. Not early: the second of now has begun already.
    #[inline]
    fn expiry_of(&self, ttl: u64) -> Option<u64> {
        (ttl > 0).then(|| self.clock.now().saturating_add(ttl).saturating_add(1))
    }

    /// Where the big values of a batch of `bytes` go. Who waits for the device anyway waits for one sync, of the log,
    /// and not for two, where the batch is so short that writing it twice costs less than that.
    fn big_values(&self, bytes: usize, options: &WriteOptions) -> BigValues {
        let config = &self.options.config;
        let waits = options.sync || config.wal.sync_policy == SyncPolicy::EveryWrite;
        let limit = config.value_log.synced_separation_threshold.min(config.wal.max_file_size);
        match waits && !options.disable_wal && (bytes as u64) < limit {
            true => BigValues::Kept,
            false => BigValues::Separated,
        }
    }

    /// Waits or slows down as the throttle says; `value_bytes` go to the value log, at once or when they are flushed.
    fn admit(&self, bytes: usize, value_bytes: usize, options: &WriteOptions) -> Result<()> {
        if value_bytes > 0 {
            let state = match self.garbage.look_after(value_bytes as u64) {
                Look::Later => None,
                Look::IfFree => self.state.try_lock(),
                Look::Now => Some(self.state.lock()),
            };
            if let Some(mut state) = state {
                self.update_pressure(&mut state);
            }
        }
        let work = || self.run_inline();
        // Who waits looks again each time: nobody waits for work that has ended without telling, or never began.
        let check = || {
            self.remove_obsolete_files();
            let mut state = self.state.lock();
            self.update_pressure(&mut state);
            self.wake_for_garbage(&mut state);
            drop(state);
            self.check_writes()
        };
        let throttle = &self.throttle;
        throttle.admit(&*self.env, bytes as u64, value_bytes as u64, options.no_slowdown, &work, &check)?;
        if self.memtables.manager().is_full() { self.wait_for_memory(options.no_slowdown) } else { Ok(()) }
    }

    /// The same for a batch of `bytes`, which may have values of any of its families.
    fn admit_batch(&self, bytes: usize, options: &WriteOptions) -> Result<()> {
        // A smaller one has no value that is separated.
        let has_values = bytes as u64 >= self.garbage.least_threshold.load(Ordering::Relaxed);
        self.admit(bytes, if has_values { bytes } else { 0 }, options)
    }

    fn commit(&self, prepared: Prepared<'_>, options: &WriteOptions) -> Result<()> {
        if options.sync && options.disable_wal {
            return Err(Error::invalid_argument(
                "Sync writes has to enable WAL: set only one of sync and disable_wal",
            ));
        }
        let how = CommitOptions { sync: options.sync, disable_wal: options.disable_wal };
        let outcome = self.guard(|| self.committer.commit(&prepared, how, self));
        if self.env.runs_inline() {
            // Others too: their memtables may have been picked.
            self.memtables.manager().run_inline();
            self.run_inline();
        }
        outcome
    }

    /// Runs a commit; a panic or a failed sync makes the database read-only.
    fn guard(&self, commit: impl FnOnce() -> Result<SequenceNumber>) -> Result<()> {
        let committed = catch_unwind(AssertUnwindSafe(commit));
        let outcome = committed.unwrap_or_else(|panic| Err(self.fail(&panic_error(&*panic)))).map(|_| ());
        if outcome.is_err() {
            // Under its lock: not a failure that resume has ended meanwhile.
            let mut failure = None;
            self.durability.with_failure(|error| {
                self.health.fail(error);
                failure = Some(error.clone());
            });
            if let Some(failure) = failure {
                self.tell_of_failure(&failure);
            }
        }
        outcome
    }
}

/// A buffer that a thread keeps for its next write.
trait Buffer: Default {
    /// Bytes it has room for.
    fn capacity(&self) -> usize;
}

impl Buffer for WriteBatch {
    fn capacity(&self) -> usize {
        WriteBatch::capacity(self)
    }
}

impl Buffer for Vec<u8> {
    fn capacity(&self) -> usize {
        Vec::capacity(self)
    }
}

/// Lends the calling thread's buffer, with whatever is in it. A callback that writes again meanwhile gets a fresh one.
fn with_buffer<T: Buffer, R>(kept: &'static LocalKey<Cell<Option<T>>>, body: impl FnOnce(&mut T) -> R) -> R {
    // There is none any more while the thread ends.
    let mut buffer = kept.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let result = body(&mut buffer);
    if buffer.capacity() <= KEEP_BYTES {
        let _ = kept.try_with(|kept| kept.set(Some(buffer)));
    }
    result
}
