//! Where the value of an entry that passes through a merge belongs: inline, or in the value log, and where there.
//!
//! 1. A pointer to a value below the threshold: the value is read and stands inline from now on. One that cannot
//!    be read stays a pointer, so that reads go on saying what is wrong with it, and the merge goes on.
//! 2. Another pointer, to a value that was moved (`Relocation`), is replaced by the new one. Where the value was left
//!    behind, because its entry is hidden for good, the entry becomes a deletion.
//! 3. An inline value at or above the threshold is written to the value log through a copier, and a pointer stands in
//!    its place. `finish` makes those values durable, before any edit names the table (W2, G1).
//!
//! A flush takes steps 2 and 3: its inline values are those of batches that kept them, or the threshold was lowered. It
//! reads no value, so what lies in the value log stays there.
//!
//! The kind of an entry says where its value is, so it may change; user key and sequence number, and with them the
//! order of entries, never do, nor does the expiry of what can be read.

use super::rate_limit::Priority;
use super::{MergeContext, Separation};
use crate::base::expiry::split;
use crate::base::key::{append_internal_key, key_sequence, key_trailer, user_key};
use crate::base::{EntryKind, ErrorKind, Result, ValuePointer};
use crate::value_log::{Copier, Fate, Origin};
use std::sync::atomic::Ordering;

/// Bytes of values written between two visits to the rate limiter.
const PACE_BYTES: u64 = 1 << 20;

/// Puts values where they belong, for one merge.
pub(super) struct Placement<'a> {
    context: &'a MergeContext,
    priority: Priority,
    copier: Option<Copier>,
    /// Bytes of values that the rate limiter does not know of.
    unpaced: u64,
    /// The entry as it will be.
    key: Vec<u8>,
    stored: Vec<u8>,
}

impl<'a> Placement<'a> {
    pub(super) fn new(context: &'a MergeContext, priority: Priority) -> Placement<'a> {
        Placement { context, priority, copier: None, unpaced: 0, key: Vec::new(), stored: Vec::new() }
    }

    /// An internal key and stored value as they are to be written.
    #[inline]
    pub(super) fn place<'e>(
        &'e mut self,
        internal_key: &'e [u8],
        stored: &'e [u8],
    ) -> Result<(&'e [u8], &'e [u8])> {
        let Some(kind) = EntryKind::from_tag(key_trailer(internal_key) as u8) else {
            // The table's builder says what is wrong with it.
            return Ok((internal_key, stored));
        };
        let context = self.context;
        if kind.lasting() == EntryKind::Pointer {
            if (context.separation.is_some() || context.relocation.is_some())
                && self.place_pointer(kind, internal_key, stored)?
            {
                return Ok((&self.key, &self.stored));
            }
        } else if kind.lasting() == EntryKind::Put
            && let Some(separation) = &context.separation
            && split(kind, stored).1.len() as u64 >= separation.threshold
        {
            self.separate(separation, kind, internal_key, stored)?;
            return Ok((&self.key, &self.stored));
        }
        Ok((internal_key, stored))
    }

    /// Whether anything changes.
    fn place_pointer(&mut self, kind: EntryKind, internal_key: &[u8], stored: &[u8]) -> Result<bool> {
        let context = self.context;
        let (expiry, encoded) = split(kind, stored);
        if let Some(separation) = &context.separation
            && separation.origin == Origin::Tables
            && let Some(pointer) = ValuePointer::decode(encoded)
            && u64::from(pointer.value_len) < separation.threshold
            && self.inline(&pointer, expiry, internal_key)?
        {
            return Ok(true);
        }
        let Some(relocation) = &context.relocation else { return Ok(false) };
        match relocation.fate(encoded, key_sequence(internal_key)) {
            Fate::Stays => return Ok(false),
            Fate::Moved(new) => {
                self.begin(internal_key, EntryKind::Pointer, expiry);
                new.encode(&mut self.stored);
            }
            Fate::Hidden => self.begin(internal_key, EntryKind::Delete, None),
        }
        Ok(true)
    }

    /// False if the value is not whole, or the device does not give it.
    fn inline(&mut self, pointer: &ValuePointer, expiry: Option<u64>, internal_key: &[u8]) -> Result<bool> {
        let context = self.context;
        let key = user_key(internal_key);
        let value = match context.value_log.read(pointer, context.column_family, key, false, true) {
            Ok(value) => value,
            Err(error) if error.is_corruption() || error.kind() == ErrorKind::Io => return Ok(false),
            Err(error) => return Err(error),
        };
        self.begin(internal_key, EntryKind::Put, expiry);
        self.stored.extend_from_slice(value.as_slice());
        context.stats.inlined_values.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    fn separate(
        &mut self,
        separation: &Separation,
        kind: EntryKind,
        internal_key: &[u8],
        stored: &[u8],
    ) -> Result<()> {
        let context = self.context;
        let (expiry, value) = split(kind, stored);
        let copier = self.copier.get_or_insert_with(|| separation.value_log.take_copier(separation.origin));
        let key = user_key(internal_key);
        let pointer = copier.append(&context.value_log, context.column_family, key, value)?;
        self.begin(internal_key, EntryKind::Pointer, expiry);
        pointer.encode(&mut self.stored);
        let separated = match separation.origin {
            Origin::Memtables => &context.stats.flush_separated_values,
            _ => &context.stats.separated_values,
        };
        separated.fetch_add(1, Ordering::Relaxed);
        self.unpaced += u64::from(pointer.record_len);
        if self.unpaced >= PACE_BYTES {
            if let Some(limiter) = &context.rate_limiter {
                limiter.request(self.unpaced, self.priority, &context.cancel);
            }
            self.unpaced = 0;
            if let Some(copier) = self.copier.as_ref().filter(|_| context.bytes_per_sync > 0) {
                copier.begin_sync();
            }
            context.check_cancel()?;
        }
        Ok(())
    }

    /// The entry under another kind, with the expiry it has, but for what it stores.
    fn begin(&mut self, internal_key: &[u8], kind: EntryKind, expiry: Option<u64>) {
        self.key.clear();
        self.stored.clear();
        self.stored.extend(expiry.into_iter().flat_map(u64::to_le_bytes));
        let kind = if expiry.is_some() { kind.expiring() } else { kind };
        append_internal_key(&mut self.key, user_key(internal_key), key_sequence(internal_key), kind);
    }

    /// Makes the values durable that were written. What they stand in is held by the context until it goes.
    pub(super) fn finish(&mut self) -> Result<()> {
        let (Some(mut copier), Some(separation)) = (self.copier.take(), &self.context.separation) else {
            return Ok(());
        };
        let finished = copier.finish(&self.context.value_log);
        self.context.value_log.give_back_copier(copier);
        separation.holds.lock().extend(finished?);
        Ok(())
    }
}

impl Drop for Placement<'_> {
    fn drop(&mut self) {
        // The merge failed: what it wrote is garbage.
        if let Some(mut copier) = self.copier.take() {
            copier.abandon(&self.context.value_log);
            self.context.value_log.give_back_copier(copier);
        }
    }
}
