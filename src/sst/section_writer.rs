//! Appends sections to a table's file: compressed, checksummed, and written some at a time, past the page cache if the
//! file was opened so.

use super::block::BlockBuilder;
use super::format::{Handle, append_section, seal_section};
use crate::base::compression::Compressor;
use crate::base::{Codec, Error, Result};
use crate::env::File;
use crate::env::direct::AlignedWriter;
use std::io::IoSlice;
use std::sync::Arc;

/// The end of the file that the device is not told of before the sync.
const KEPT_BACK: u64 = 1 << 20;
/// How far the block that makes a write full goes past it, as a rule.
const FULL_BY: usize = 16 << 10;

/// The end of a table that is being written.
pub(super) struct SectionWriter {
    file: Arc<dyn File>,
    /// What writes to a file that is written past the page cache.
    direct: Option<AlignedWriter>,
    number: u64,
    io_buffer_size: usize,
    /// How many written bytes may wait for the end before the system is told to begin with them; 0 = all.
    bytes_per_sync: u64,
    /// Up to here it was told.
    begun: u64,
    /// Bytes that are not written yet.
    out: Vec<u8>,
    /// How many bytes are written: the offset of `out`.
    written: u64,
    compressor: Compressor,
    /// Contents of a block before compression.
    scratch: Vec<u8>,
    /// The first failed write; everything after it fails too.
    failure: Option<Error>,
}

impl SectionWriter {
    pub(super) fn new(file: Arc<dyn File>, number: u64, io_buffer_size: usize) -> SectionWriter {
        let is_direct = file.alignment() > 1;
        SectionWriter {
            direct: is_direct.then(|| AlignedWriter::new(Arc::clone(&file), io_buffer_size)),
            file,
            number,
            io_buffer_size,
            bytes_per_sync: 0,
            begun: 0,
            // With room for the block that makes it full.
            out: Vec::with_capacity(io_buffer_size.min(4 << 20) + FULL_BY),
            written: 0,
            compressor: Compressor::default(),
            scratch: Vec::new(),
            failure: None,
        }
    }

    /// The device gets what is written whenever it is so many bytes, so that the sync at the end has little to wait
    /// for. 0, as at first: when the system likes.
    pub(super) fn set_bytes_per_sync(&mut self, bytes: u64) {
        self.bytes_per_sync = bytes;
    }

    /// Where the next byte will stand.
    pub(super) fn position(&self) -> u64 {
        self.written + self.out.len() as u64
    }

    /// Whether anything is in the file yet.
    pub(super) fn has_written(&self) -> bool {
        self.written > 0
    }

    /// Appends `contents` as a section.
    pub(super) fn append(&mut self, codec: Codec, contents: &[u8]) -> Handle {
        let offset = self.position();
        let how = (codec, &mut self.compressor);
        let stored_len = append_section(&mut self.out, contents, how, self.number, offset);
        Handle { offset, stored_len }
    }

    /// Appends what `block` holds as a section, and empties it. Returns the stored length.
    pub(super) fn append_block(&mut self, codec: Codec, block: &mut BlockBuilder) -> u64 {
        if codec == Codec::None {
            let (from, offset) = (self.out.len(), self.position());
            block.finish(&mut self.out);
            return seal_section(&mut self.out, from, codec, self.number, offset);
        }
        let mut contents = std::mem::take(&mut self.scratch);
        contents.clear();
        block.finish(&mut contents);
        let handle = self.append(codec, &contents);
        self.scratch = contents;
        handle.stored_len
    }

    /// Appends what `encode` makes of the position, as it is.
    pub(super) fn append_raw(&mut self, encode: impl FnOnce(&mut Vec<u8>, u64)) {
        let offset = self.position();
        encode(&mut self.out, offset);
    }

    /// Writes what is there if it is enough for one write.
    pub(super) fn write_if_full(&mut self) -> Result<()> {
        if self.out.len() >= self.io_buffer_size { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.out.is_empty() {
            return Ok(());
        }
        let outcome = match &mut self.direct {
            Some(direct) => direct.append(&self.out),
            None => self.file.write_at(self.written, &[IoSlice::new(&self.out)]),
        };
        if let Err(error) = outcome {
            self.failure = Some(error.clone());
            return Err(error);
        }
        self.written += self.out.len() as u64;
        self.out.clear();
        // Past the page cache the device has it already.
        if self.direct.is_none() && self.bytes_per_sync > 0 { self.begin_sync() } else { Ok(()) }
    }

    /// Tells the device of what is written, but for the last MiB: the next write must not wait for its first page.
    fn begin_sync(&mut self) -> Result<()> {
        let end = self.written.saturating_sub(KEPT_BACK) & !(KEPT_BACK - 1);
        let waiting = end.saturating_sub(self.begun);
        if waiting < self.bytes_per_sync {
            return Ok(());
        }
        if let Err(error) = self.file.begin_sync(self.begun, waiting) {
            self.failure = Some(error.clone());
            return Err(error);
        }
        self.begun = end;
        Ok(())
    }

    /// Writes the rest and syncs the file. Returns its length.
    pub(super) fn finish(&mut self) -> Result<u64> {
        self.write()?;
        if let Some(direct) = &mut self.direct {
            direct.finish()?;
        }
        self.file.sync_data()?;
        Ok(self.written)
    }
}
