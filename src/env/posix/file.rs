//! Files that are read and written by system calls, through the page cache or past it.

use super::{action, direct};
use crate::base::{Error, Result};
use crate::env::{File, OpenMode};
use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most parts one pwritev takes (the kernel's UIO_MAXIOV).
const MAX_PARTS: usize = 1024;

/// An open file.
pub(super) struct PosixFile {
    file: fs::File,
    path: PathBuf,
    /// More than 1: it is read and written past the page cache.
    alignment: AtomicUsize,
}

impl PosixFile {
    /// Opens `path`; `CreateMapped` counts as `Create`.
    pub(super) fn open(path: &Path, mode: OpenMode) -> Result<PosixFile> {
        let mut options = fs::OpenOptions::new();
        let action = match mode {
            OpenMode::Read | OpenMode::ReadDirect => {
                options.read(true);
                action::OPEN
            }
            OpenMode::ReadWrite | OpenMode::ReadWriteDirect => {
                options.read(true).write(true);
                action::OPEN
            }
            OpenMode::Create | OpenMode::CreateDirect | OpenMode::CreateMapped { .. } => {
                options.read(true).write(true).create(true).truncate(true);
                action::CREATE
            }
        };
        let failed = |error| Error::io(path, action, &error);
        let (file, alignment) = if mode.is_direct() {
            options.custom_flags(libc::O_DIRECT);
            match options.open(path) {
                Ok(file) => direct::settle(file).map_err(failed)?,
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    options.custom_flags(0);
                    (options.open(path).map_err(failed)?, 1)
                }
                Err(error) => return Err(failed(error)),
            }
        } else {
            (options.open(path).map_err(failed)?, 1)
        };
        Ok(PosixFile { file, path: path.to_path_buf(), alignment: AtomicUsize::new(alignment) })
    }

    /// What the file is aligned to now, for an operation that is about to begin.
    #[inline]
    fn check_aligned(&self, offset: u64, bytes: &[u8]) -> usize {
        let alignment = self.alignment.load(Ordering::Relaxed);
        debug_assert!(
            (offset | bytes.len() as u64 | bytes.as_ptr() as u64).is_multiple_of(alignment as u64),
            "{} bytes at {offset}, alignment {alignment}",
            bytes.len()
        );
        alignment
    }

    /// After the system refused an operation on a file of this alignment: whether to try again, as on any other file.
    /// Some file systems open files past the page cache and then refuse to read or write them so.
    #[cold]
    pub(super) fn leaves_direct(&self, alignment: usize, error: &io::Error) -> bool {
        if alignment == 1 || error.raw_os_error() != Some(libc::EINVAL) || direct::leave(&self.file).is_err()
        {
            return false;
        }
        self.alignment.store(1, Ordering::Relaxed);
        true
    }

    /// Has it believe another alignment than the system's.
    #[cfg(test)]
    pub(super) fn pretend_alignment(&self, alignment: usize) {
        self.alignment.store(alignment, Ordering::Relaxed);
    }

    /// The descriptor.
    pub(super) fn handle(&self) -> &fs::File {
        &self.file
    }

    /// The error of what the system just refused on this file.
    #[cold]
    pub(super) fn error(&self, action: &str, source: &io::Error) -> Error {
        Error::io(&self.path, action, source)
    }

    /// Writes all of `bytes`.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let alignment = self.check_aligned(offset, bytes);
        // `write_all_at` finishes short writes and goes on after signals.
        let mut written = self.file.write_all_at(bytes, offset);
        if let Err(error) = &written
            && self.leaves_direct(alignment, error)
        {
            written = self.file.write_all_at(bytes, offset);
        }
        written.map_err(|error| self.error(action::WRITE, &error))
    }

    /// Writes all of `parts` with as few system calls as it takes.
    fn write_parts_at(&self, mut offset: u64, mut parts: &[IoSlice<'_>]) -> Result<()> {
        while let Some(first) = parts.first() {
            if first.is_empty() {
                parts = &parts[1..];
                continue;
            }
            let mut written = self.write_some_at(offset, &parts[..parts.len().min(MAX_PARTS)])?;
            offset += written as u64;
            while let Some(part) = parts.first()
                && written >= part.len()
            {
                written -= part.len();
                parts = &parts[1..];
            }
            if written > 0 {
                let rest = &parts[0][written..];
                self.write_all_at(offset, rest)?;
                offset += rest.len() as u64;
                parts = &parts[1..];
            }
        }
        Ok(())
    }

    /// One pwritev: how many bytes of `parts`, which begin with a non-empty one, it took.
    fn write_some_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<usize> {
        loop {
            // SAFETY: an IoSlice is laid out as an iovec (documented), the slice has `parts.len()` of them, and
            // the bytes they point to are borrowed for the call.
            let written = unsafe {
                let vector = parts.as_ptr().cast::<libc::iovec>();
                libc::pwritev(self.file.as_raw_fd(), vector, parts.len() as i32, offset as libc::off_t)
            };
            if written > 0 {
                return Ok(written as usize);
            }
            let error =
                if written == 0 { io::ErrorKind::WriteZero.into() } else { io::Error::last_os_error() };
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(self.error(action::WRITE, &error));
            }
        }
    }

    /// posix_fadvise; a hint, so its failure is nobody's business.
    fn advise(&self, offset: u64, len: u64, advice: i32) {
        // SAFETY: plain numbers; the descriptor is open as long as `self`.
        unsafe {
            libc::posix_fadvise(self.file.as_raw_fd(), offset as libc::off_t, len as libc::off_t, advice);
        }
    }
}

impl File for PosixFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let mut alignment = self.check_aligned(offset, buf);
        let mut done = 0;
        while done < buf.len() {
            let place = offset.saturating_add(done as u64);
            if place > i64::MAX as u64 {
                break; // no file has bytes there
            }
            match self.file.read_at(&mut buf[done..], place) {
                Ok(0) => break,
                Ok(got) => {
                    done += got;
                    if !done.is_multiple_of(alignment) {
                        break; // the end of the file, from where no direct read can go on
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.leaves_direct(alignment, &error) => alignment = 1,
                Err(error) => return Err(self.error(action::READ, &error)),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        match parts {
            [one] => self.write_all_at(offset, one),
            several if self.alignment() == 1 => self.write_parts_at(offset, several),
            several => {
                let mut at = offset;
                several.iter().try_for_each(|part| {
                    self.write_all_at(at, part)?;
                    at += part.len() as u64;
                    Ok(())
                })
            }
        }
    }

    fn sync_data(&self) -> Result<()> {
        // A signal only makes it go on; any other error is final: the page cache may count the lost bytes as clean.
        self.file.sync_data().map_err(|error| self.error(action::SYNC, &error))
    }

    #[cfg(target_os = "linux")]
    fn begin_sync(&self, offset: u64, len: u64) -> Result<()> {
        let (offset, len) = (offset as libc::off_t, len as libc::off_t);
        // Without the flags that wait it takes no device error away from the next fdatasync; but that blocks cannot be
        // found for a page is told here, and perhaps only here.
        // SAFETY: plain numbers; the descriptor is open as long as `self`.
        let outcome =
            unsafe { libc::sync_file_range(self.file.as_raw_fd(), offset, len, libc::SYNC_FILE_RANGE_WRITE) };
        if outcome == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // Not known, not for this file, or put off: the sync does it all.
            Some(
                libc::ENOSYS
                | libc::EOPNOTSUPP
                | libc::EINVAL
                | libc::ESPIPE
                | libc::EINTR
                | libc::EAGAIN
                | libc::EPERM,
            ) => Ok(()),
            _ => Err(self.error(action::SYNC, &error)),
        }
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(|error| self.error(action::TRUNCATE, &error))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(|error| self.error(action::LENGTH, &error))?.len())
    }

    #[inline]
    fn alignment(&self) -> usize {
        self.alignment.load(Ordering::Relaxed)
    }

    fn will_need(&self, offset: u64, len: u64) {
        self.advise(offset, len, libc::POSIX_FADV_WILLNEED);
    }

    fn read_if_in_memory(&self, offset: u64, buf: &mut [u8]) -> Result<Option<usize>> {
        let vector = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
        // SAFETY: the vector is `buf`, borrowed exclusively for the call; the descriptor is open as long as `self`.
        let got = unsafe {
            libc::preadv2(self.file.as_raw_fd(), &vector, 1, offset as libc::off_t, libc::RWF_NOWAIT)
        };
        // Whatever the system refused: an ordinary read tells.
        Ok(usize::try_from(got).ok().filter(|&got| got == buf.len()))
    }

    fn drop_cache(&self) {
        self.advise(0, 0, libc::POSIX_FADV_DONTNEED);
    }

    fn map_for_reading(&self) -> Option<Arc<dyn AsRef<[u8]> + Send + Sync>> {
        // SAFETY: the caller promises that the file's length and bytes are fixed from now on, and the engine never
        // rewrites a finished file; the mapping keeps the inode alive after a removal.
        let mapping = unsafe { memmap2::Mmap::map(&self.file) }.ok()?;
        Some(Arc::new(mapping))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}
