//! An open simulated file.

use super::Shared;
use super::device::{Change, InodeId, Operation};
use crate::base::Result;
use crate::env::{File, action};
use parking_lot::Mutex;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A handle; it goes on working when the file is renamed or removed.
pub(super) struct SimFile {
    pub(super) shared: Arc<Shared>,
    pub(super) inode: InodeId,
    pub(super) path: PathBuf,
    pub(super) writable: bool,
    /// More than 1: it is read and written past the page cache.
    pub(super) alignment: usize,
    /// For a mapped file the end of what may be written, as in `posix`.
    pub(super) mapped_to: Option<Mutex<u64>>,
}

impl SimFile {
    /// Refuses what a descriptor opened for reading refuses, and lengths that no file has.
    fn check_change(&self, action: &str, end: Option<u64>, wrong_mode: i32) -> Result<()> {
        if !self.writable {
            return Err(action::refused(&self.path, action, wrong_mode));
        }
        match end {
            Some(end) if end <= i64::MAX as u64 => Ok(()),
            _ => Err(action::refused(&self.path, action, libc::EINVAL)),
        }
    }

    /// Refuses what is not aligned, as the kernel does.
    fn check_aligned(&self, action: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        let places = [offset, bytes.len() as u64, bytes.as_ptr() as u64];
        if places.iter().all(|place| place.is_multiple_of(self.alignment as u64)) {
            return Ok(());
        }
        Err(action::refused(&self.path, action, libc::EINVAL))
    }

    fn journal(&self, operation: Operation) {
        self.shared.world.lock().carry_out(operation);
    }
}

impl File for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.shared.tick();
        self.check_aligned(action::READ, offset, buf)?;
        let world = self.shared.world.lock();
        let inode = world.inode(self.inode);
        if self.alignment > 1 && inode.diverged {
            // What is dirty is written first; what a failed sync left in the cache counts as clean, and stays there.
            let mut content = (*inode.written_out()).clone();
            content.set_len(inode.cached.len());
            return Ok(content.read_at(offset, buf));
        }
        Ok(inode.cached.read_at(offset, buf))
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        self.shared.tick();
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut place = offset;
        for part in parts {
            self.check_aligned(action::WRITE, place, part)?;
            place = place.saturating_add(part.len() as u64);
        }
        let end = offset.checked_add(len);
        if let Some(limit) = &self.mapped_to {
            let limit = *limit.lock();
            if end.is_none_or(|end| end > limit) {
                return Err(action::past_mapping(&self.path, end, limit));
            }
        }
        self.check_change(action::WRITE, end, libc::EBADF)?;
        if len > 0 {
            let mut bytes = Vec::with_capacity(len as usize);
            parts.iter().for_each(|part| bytes.extend_from_slice(part));
            let bytes: Arc<[u8]> = bytes.into();
            self.journal(Operation::Change { inode: self.inode, change: Change::Write { offset, bytes } });
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        self.shared.tick();
        self.journal(Operation::SyncData { inode: self.inode });
        Ok(())
    }

    fn sync_first(&self, len: u64) -> Result<()> {
        self.shared.tick();
        self.journal(Operation::SyncFirst { inode: self.inode, len });
        Ok(())
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.shared.tick();
        self.check_change(action::TRUNCATE, Some(len), libc::EINVAL)?;
        if let Some(limit) = &self.mapped_to {
            let mut limit = limit.lock();
            *limit = len.min(*limit);
        }
        self.journal(Operation::Change { inode: self.inode, change: Change::SetLen(len) });
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        Ok(self.shared.world.lock().inode(self.inode).cached.len())
    }

    fn alignment(&self) -> usize {
        self.alignment
    }

    fn is_mapped(&self) -> bool {
        self.mapped_to.is_some()
    }

    fn drop_cache(&self) {
        let mut world = self.shared.world.lock();
        if world.inode(self.inode).diverged {
            world.carry_out(Operation::DropCache { inode: self.inode });
        }
    }

    fn lose_unsynced(&self) {
        self.journal(Operation::LoseUnsynced { inode: self.inode });
    }

    fn map_for_reading(&self) -> Option<Arc<dyn AsRef<[u8]> + Send + Sync>> {
        if self.is_mapped() {
            return None;
        }
        Some(Arc::new(self.shared.world.lock().inode(self.inode).cached.to_vec()))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
