//! Files past the page cache (O_DIRECT): what they are aligned to, and the way back.
//!
//! The system is asked with statx (Linux 6.1). One that does not say is taken to want pages, which all devices take;
//! should it refuse them, the flag goes at the first read or write, and the file is an ordinary one from then on.

use crate::env::aligned::PAGE;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// A file that was opened with O_DIRECT, and what it is aligned to: 1 if it cannot be used so, and the flag is gone.
pub(super) fn settle(file: File) -> io::Result<(File, usize)> {
    match asked(&file) {
        Some(0) => leave(&file).map(|()| (file, 1)),
        Some(alignment) if alignment.is_power_of_two() => Ok((file, alignment)),
        _ => Ok((file, PAGE)),
    }
}

/// What the system says of alignment, of memory and of places in the file; 0: no direct I/O. `None` if it says nothing.
fn asked(file: &File) -> Option<usize> {
    let mut found = MaybeUninit::<libc::statx>::uninit();
    // SAFETY: the name is an empty string, so the descriptor itself is meant, which is open as long as `file`; `found`
    // has room for the struct.
    let outcome = unsafe {
        libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_DIOALIGN,
            found.as_mut_ptr(),
        )
    };
    if outcome != 0 {
        return None;
    }
    // SAFETY: statx returned 0, so it filled the struct in.
    let found = unsafe { found.assume_init() };
    let said = found.stx_mask & libc::STATX_DIOALIGN != 0;
    said.then(|| match found.stx_dio_offset_align {
        0 => 0,
        offset => offset.max(found.stx_dio_mem_align) as usize,
    })
}

/// Makes it a file like any other.
pub(super) fn leave(file: &File) -> io::Result<()> {
    // SAFETY: plain numbers; the descriptor is open as long as `file`.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    // SAFETY: as above.
    if flags < 0 || unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags & !libc::O_DIRECT) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
