//! A sorted run of tables as one iterator.

use super::file_meta::FileMeta;
use crate::base::{InternalComparator, Result};
use crate::iterator::InternalIterator;
use crate::iterator::concat::{ConcatIterator, FileList};
use crate::sst::TableRead;
use std::sync::Arc;

struct RunFiles {
    files: Vec<Arc<FileMeta>>,
    read: TableRead,
}

impl FileList for RunFiles {
    fn len(&self) -> usize {
        self.files.len()
    }
    fn smallest(&self, index: usize) -> &[u8] {
        &self.files[index].properties.smallest
    }
    fn largest(&self, index: usize) -> &[u8] {
        &self.files[index].properties.largest
    }
    fn open(&self, index: usize) -> Result<Box<dyn InternalIterator>> {
        Ok(self.files[index].table.iter(self.read))
    }
}

/// An iterator over the points of `files`, tables of one run in key order. Holds the tables alive.
pub fn iterate_run(
    files: Vec<Arc<FileMeta>>,
    read: TableRead,
    order: &InternalComparator,
) -> Box<dyn InternalIterator> {
    match &files[..] {
        [only] => only.table.iter(read),
        _ => Box::new(ConcatIterator::new(RunFiles { files, read }, order.clone())),
    }
}
