//! Files allocated ahead and written through a shared mapping: an append that is not synced at once is a memory copy,
//! no system call.
//!
//! 1. Allocate all blocks (fallocate), so that a full device is an error now and never a SIGBUS later.
//! 2. Map them shared.
//! 3. A write is a bounds check and a copy; the page cache has it at once, as after write(2).
//!    What is to be synced at once is written with a call instead (`write_for_sync`): a mapping dirties whole folios.
//! 4. Pages that are written are let go (`release`): they would count as this process's memory until the file is
//!    unmapped, and stay in the page cache anyway.
//!
//! Invariant M1: no byte at or past `limit` is written. `limit` starts as the capacity and only ever falls, before
//! the file is cut, so a copy never touches a page that the file no longer has.

use super::action;
use super::file::PosixFile;
use crate::base::Result;
use crate::env::{File, OpenMode};
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Magic numbers of file systems that always write over what is there: ext4, tmpfs. One that writes elsewhere, or may
/// have shared the blocks with a copy of the file (XFS), needs space for it, and on a full device that is a SIGBUS.
const IN_PLACE: [u32; 2] = [0xef53, 0x0102_1994];

/// `sync_first` writes whole pieces of this size: a file system that has to note where a piece was first written does
/// so seldom.
const SYNCED_AT_ONCE: u64 = 64 << 10;

/// A file written through its mapping.
struct MappedFile {
    /// Descriptor and path. Reads go through it: on Linux it shows what the mapping wrote.
    plain: PosixFile,
    mapping: memmap2::MmapRaw,
    /// M1: the end of what may be written.
    limit: AtomicU64,
}

/// Creates a mapped file of `capacity` bytes, or a plain one where the file system cannot allocate or map.
pub(super) fn create(path: &Path, capacity: u64) -> Result<Arc<dyn File>> {
    let plain = PosixFile::open(path, OpenMode::CreateMapped { capacity })?;
    if let Err(error) = allocate(&plain, capacity) {
        plain.truncate(0)?; // gives back what was allocated before it failed
        if cannot_allocate_ahead(&error) {
            return Ok(Arc::new(plain));
        }
        return Err(plain.error(action::ALLOCATE, &error));
    }
    let length = usize::try_from(capacity).ok();
    match length.and_then(|length| memmap2::MmapOptions::new().len(length).map_raw(plain.handle()).ok()) {
        Some(mapping) => Ok(Arc::new(MappedFile { plain, mapping, limit: AtomicU64::new(capacity) })),
        None => {
            plain.truncate(0)?;
            Ok(Arc::new(plain))
        }
    }
}

/// Allocates the blocks of the first `capacity` bytes; the file becomes that long and reads as zeros.
fn allocate(file: &PosixFile, capacity: u64) -> io::Result<()> {
    let capacity = libc::off_t::try_from(capacity).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    loop {
        // fallocate(2) and not posix_fallocate(3), which would write zeros where there is no support.
        // SAFETY: plain numbers; the descriptor is open as long as `file`.
        if unsafe { libc::fallocate(file.handle().as_raw_fd(), 0, 0, capacity) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Whether the refusal is of allocating ahead as such (EINVAL: of zero bytes), not for want of space.
fn cannot_allocate_ahead(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL | libc::ENODEV | libc::EFBIG)
    )
}

impl MappedFile {
    /// Refuses what would end past the limit (M1).
    #[inline]
    fn check_limit(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let limit = self.limit.load(Ordering::Relaxed);
        let end = offset.checked_add(len);
        if end.is_none_or(|end| end > limit) {
            return Err(action::past_mapping(self.path(), end, limit));
        }
        Ok(())
    }
}

impl File for MappedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.plain.read_at(offset, buf)
    }

    #[inline]
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        self.check_limit(offset, parts)?;
        let mut place = offset as usize;
        for part in parts {
            // SAFETY: [offset, the parts' end) is within the mapping and within the file (M1), so the target is mapped,
            // writable and backed by allocated blocks. The source is a borrowed slice; it cannot overlap, because
            // no reference into the mapping is ever made. Threads write disjoint ranges (contract of `File`).
            unsafe {
                std::ptr::copy_nonoverlapping(
                    part.as_ptr(),
                    self.mapping.as_mut_ptr().add(place),
                    part.len(),
                );
            }
            place += part.len();
        }
        Ok(())
    }

    fn write_for_sync(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        self.check_limit(offset, parts)?;
        // The mapping and the descriptor show the same page cache.
        self.plain.write_at(offset, parts)
    }

    fn sync_data(&self) -> Result<()> {
        // On Linux fdatasync writes the pages that a shared mapping made dirty too, and what the file system needs
        // to find them; msync(MS_SYNC) would do the same through a longer way.
        self.plain.sync_data()
    }

    fn sync_first(&self, len: u64) -> Result<()> {
        // On Linux msync(MS_SYNC) is fdatasync of a range: it waits for what the file system needs to find it too.
        let end = len.next_multiple_of(SYNCED_AT_ONCE).min(self.limit.load(Ordering::Relaxed));
        let synced = self.mapping.flush_range(0, end as usize);
        synced.map_err(|error| self.plain.error(action::SYNC, &error))
    }

    fn begin_sync(&self, offset: u64, len: u64) -> Result<()> {
        self.plain.begin_sync(offset, len)
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.limit.fetch_min(len, Ordering::Relaxed); // M1: first no more writes there, then the cut
        self.plain.truncate(len)
    }

    fn len(&self) -> Result<u64> {
        self.plain.len()
    }

    fn is_mapped(&self) -> bool {
        true
    }

    fn is_written_in_place(&self) -> bool {
        // SAFETY: zeros are a valid value of the struct, which is plain numbers.
        let mut found: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open as long as `self`, and the struct lives until the call returns.
        let known = unsafe { libc::fstatfs(self.plain.handle().as_raw_fd(), &mut found) } == 0;
        let has_one_name = || self.plain.handle().metadata().is_ok_and(|metadata| metadata.nlink() == 1);
        known && IN_PLACE.contains(&(found.f_type as u32)) && has_one_name()
    }

    fn populate(&self, from: u64, to: u64) {
        let to = to.min(self.limit.load(Ordering::Relaxed));
        if from < to {
            // A kernel before 5.14 does not know it: the pages then come in one by one when written.
            let _ = self.mapping.advise_range(
                memmap2::Advice::PopulateWrite,
                from as usize,
                (to - from) as usize,
            );
        }
    }

    fn release(&self, from: u64, to: u64) {
        let to = to.min(self.mapping.len() as u64);
        if from < to {
            // SAFETY: the mapping is shared, so its pages stay in the page cache with what was written, and the next
            // access, by whatever thread, maps them again. Rounding to pages changes nothing about that.
            let _ = unsafe {
                self.mapping.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    from as usize,
                    (to - from) as usize,
                )
            };
        }
    }

    fn will_need(&self, offset: u64, len: u64) {
        self.plain.will_need(offset, len);
    }

    fn read_if_in_memory(&self, offset: u64, buf: &mut [u8]) -> Result<Option<usize>> {
        self.plain.read_if_in_memory(offset, buf)
    }

    fn drop_cache(&self) {
        self.plain.drop_cache();
    }

    fn map_for_reading(&self) -> Option<Arc<dyn AsRef<[u8]> + Send + Sync>> {
        None // the bytes may still change under the reader
    }

    fn path(&self) -> &Path {
        self.plain.path()
    }
}
