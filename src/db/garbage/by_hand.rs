//! What a user asks of the value log by hand: collect everything worth it now, verify every value.

use crate::base::expiry::decoded_pointer;
use crate::base::key::ParsedKey;
use crate::base::{Error, Result, ValuePointer};
use crate::db::family::Family;
use crate::db::options::CompactRangeOptions;
use crate::db::state::Engine;
use crate::iterator::InternalIterator;
use crate::sst::TableRead;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::db) struct AskedFor {
    /// Segments with a smaller share of garbage are left alone.
    pub(in crate::db) least_garbage: f64,
    /// So are those created since: else it might never end while others write.
    pub(in crate::db) below: u64,
}

impl Engine {
    /// Flushes and compacts everything, so that all garbage is known, and empties every segment of which at least
    /// `least_garbage` is dead. Gives the bytes of the segments removed since it began.
    pub(in crate::db) fn collect_garbage(self: &Arc<Self>, least_garbage: f64) -> Result<u64> {
        if !(0.0..=1.0).contains(&least_garbage) {
            return Err(Error::invalid_argument(format!(
                "least share of garbage: {least_garbage} must be from 0 to 1"
            )));
        }
        self.check_writes()?;
        let before = self.garbage.stats.reclaimed.load(Ordering::Relaxed);
        let families = self.all_families();
        self.flush(&families, true)?;
        let all = CompactRangeOptions { force_bottommost: true };
        for family in families.iter().filter(|family| !family.is_dropped()) {
            self.compact_range(family, None, None, &all)?;
        }
        self.value_log.seal_open_segments();
        self.garbage.copier.lock().close_segments();
        {
            let mut state = self.state.lock();
            let below = self.next_file_number.load(Ordering::Acquire);
            state.garbage.asked_for = Some(AskedFor { least_garbage, below });
            state.garbage.look = true;
            self.wake_workers(&mut state);
        }
        let outcome = self.wait_until(&|state| state.garbage.asked_for.is_none());
        self.state.lock().garbage.asked_for = None;
        self.remove_obsolete_files();
        outcome?;
        Ok(self.garbage.stats.reclaimed.load(Ordering::Relaxed) - before)
    }

    /// Reads every value that a table or memtable points to and checks it. Gives how many there are; the first that
    /// is not whole is the error.
    pub(in crate::db) fn verify_values(&self) -> Result<u64> {
        self.check_open()?;
        let read_ahead = self.options.config.performance.io_buffer_size;
        let read = TableRead { fill_cache: false, allow_io: true, read_ahead };
        let mut verified = 0;
        for family in self.all_families() {
            let view = family.view();
            for buffer in view.buffers() {
                verified += self.verify_pointers(&family, Arc::clone(buffer.table()).iter())?;
            }
            for (_, file) in view.version.files() {
                if file.referenced_bytes() > 0 {
                    verified += self.verify_pointers(&family, file.table.iter(read))?;
                }
            }
        }
        // What this alone has held meanwhile.
        self.remove_obsolete_files();
        Ok(verified)
    }

    fn verify_pointers(&self, family: &Family, mut entries: Box<dyn InternalIterator>) -> Result<u64> {
        let mut verified = 0;
        entries.seek_to_first();
        while entries.valid() {
            if let Some(entry) = ParsedKey::parse(entries.key())
                && let Some(pointer) = decoded_pointer(entry.kind, entries.value())
            {
                self.check_open()?;
                if !self.value_log.verify(&pointer, family.id, entry.user_key)? {
                    return Err(self.not_whole(&pointer, entry.user_key));
                }
                verified += 1;
            }
            entries.next();
        }
        entries.error().map_or(Ok(verified), |error| Err(error.clone()))
    }

    #[cold]
    fn not_whole(&self, pointer: &ValuePointer, key: &[u8]) -> Error {
        let segment = crate::base::file_name::FileKind::Segment(pointer.segment);
        let path = crate::base::file_name::path_of(&self.directories.value_log, segment);
        let message = format!(
            "the value of key {} does not verify (a record of {} bytes); restore from a backup, or delete or \
             overwrite the key",
            key.escape_ascii(),
            pointer.record_len
        );
        Error::corruption(&path, pointer.offset, message)
    }
}
