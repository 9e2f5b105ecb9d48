//! Sorted files that do not overlap, one after the other: a level's sorted run as one iterator.
//!
//! 1. A seek finds the file by the files' bounds and opens that one alone.
//! 2. Moves across a border open the next file.
//! 3. A file with nothing there (its bound may be a range tombstone's, or it holds no point at all) is passed.
//!
//! Invariant N1: at most one file is open; the last one used stays open for the next seek.
//! Invariant N2: a failure to open or to read makes the iterator invalid with the error; no file is skipped for it.

use super::InternalIterator;
use crate::base::{Error, InternalComparator, Result};

/// Files in key order; their `[smallest, largest]` do not overlap.
pub trait FileList: Send {
    /// How many files.
    fn len(&self) -> usize;
    /// True if there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// An internal key at or before every entry of file `index` and after every entry of the file before.
    fn smallest(&self, index: usize) -> &[u8];
    /// An internal key at or after every entry of file `index`.
    fn largest(&self, index: usize) -> &[u8];
    /// An iterator over file `index`.
    fn open(&self, index: usize) -> Result<Box<dyn InternalIterator>>;
}

/// An open file.
struct OpenFile {
    index: usize,
    iterator: Box<dyn InternalIterator>,
}

/// An iterator over a `FileList`; see the module's text.
pub struct ConcatIterator<L: FileList> {
    files: L,
    order: InternalComparator,
    open: Option<OpenFile>,
    /// Whether `open` stands on the current entry.
    valid: bool,
    error: Option<Error>,
}

impl<L: FileList> ConcatIterator<L> {
    /// An iterator over `files`, none of which is opened before the first seek.
    pub fn new(files: L, order: InternalComparator) -> ConcatIterator<L> {
        ConcatIterator { files, order, open: None, valid: false, error: None }
    }

    /// The first index whose file does not satisfy `before`, which holds for a prefix of the files.
    fn partition_point(&self, before: impl Fn(&L, usize) -> bool) -> usize {
        let (mut low, mut high) = (0, self.files.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if before(&self.files, middle) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The iterator of file `index`, opened if it is not the open one.
    fn file(&mut self, index: usize) -> Result<&mut dyn InternalIterator> {
        let open = match self.open.take().filter(|open| open.index == index) {
            Some(open) => open,
            None => OpenFile { index, iterator: self.files.open(index)? },
        };
        Ok(self.open.insert(open).iterator.as_mut())
    }

    /// Positions in file `index` with `position`; where that file has nothing, in the nearest one before or after.
    fn position_in(
        &mut self,
        index: Option<usize>,
        forward: bool,
        position: impl FnOnce(&mut dyn InternalIterator),
    ) {
        self.error = None;
        self.valid = false;
        let Some(index) = index else { return };
        match self.file(index) {
            Ok(iterator) => position(iterator),
            Err(error) => return self.error = Some(error),
        }
        self.settle(forward);
    }

    /// Takes note of where the open file stands; at its end goes on to the nearest file that has an entry.
    fn settle(&mut self, forward: bool) {
        loop {
            let Some(open) = &self.open else { return self.valid = false };
            self.valid = open.iterator.valid();
            if self.valid {
                return;
            }
            if let Some(error) = open.iterator.error() {
                self.error = Some(error.clone());
                // Not kept: the next seek opens the file anew.
                self.open = None;
                return;
            }
            let index = open.index;
            let next = if forward {
                Some(index + 1).filter(|&i| i < self.files.len())
            } else {
                index.checked_sub(1)
            };
            let Some(next) = next else { return };
            match self.file(next) {
                Ok(iterator) if forward => iterator.seek_to_first(),
                Ok(iterator) => iterator.seek_to_last(),
                Err(error) => return self.error = Some(error),
            }
        }
    }

    fn current(&self) -> &OpenFile {
        debug_assert!(self.valid);
        self.open.as_ref().expect("only called when valid")
    }
}

impl<L: FileList> InternalIterator for ConcatIterator<L> {
    fn valid(&self) -> bool {
        self.valid
    }

    fn seek_to_first(&mut self) {
        let first = (!self.files.is_empty()).then_some(0);
        self.position_in(first, true, |file| file.seek_to_first());
    }

    fn seek_to_last(&mut self) {
        self.position_in(self.files.len().checked_sub(1), false, |file| file.seek_to_last());
    }

    fn seek(&mut self, target: &[u8]) {
        let first = self.partition_point(|files, i| self.order.compare(files.largest(i), target).is_lt());
        let index = Some(first).filter(|&i| i < self.files.len());
        self.position_in(index, true, |file| file.seek(target));
    }

    fn seek_for_prev(&mut self, target: &[u8]) {
        let after = self.partition_point(|files, i| self.order.compare(files.smallest(i), target).is_le());
        self.position_in(after.checked_sub(1), false, |file| file.seek_for_prev(target));
    }

    #[inline]
    fn next(&mut self) {
        let iterator = &mut self.open.as_mut().expect("only called when valid").iterator;
        iterator.next();
        if !iterator.valid() {
            self.settle(true);
        }
    }

    #[inline]
    fn step(&mut self) -> Option<&[u8]> {
        if self.open.as_mut().expect("only called when valid").iterator.step().is_none() {
            self.settle(true);
        }
        self.valid.then(|| self.current().iterator.key())
    }

    #[inline]
    fn prev(&mut self) {
        let iterator = &mut self.open.as_mut().expect("only called when valid").iterator;
        iterator.prev();
        if !iterator.valid() {
            self.settle(false);
        }
    }

    fn key(&self) -> &[u8] {
        self.current().iterator.key()
    }

    fn value(&self) -> &[u8] {
        self.current().iterator.value()
    }

    fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }
}
