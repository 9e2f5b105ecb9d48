//! The bytes of a simulated file: sparse pages, shared between copies until written.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes in a page.
const PAGE_SIZE: usize = 4096;

type Page = [u8; PAGE_SIZE];

/// A file's bytes. A clone shares the pages.
///
/// Invariants: pages that are not there read as zeros; there is no page that begins at or after `len`, and the
/// bytes of the last page at and after `len` are zero (so that growing the file shows zeros).
#[derive(Clone, Default)]
pub(super) struct Content {
    len: u64,
    pages: BTreeMap<u64, Arc<Page>>,
}

/// The parts of `[offset, offset + len)` that lie in one page each: page number, where in the page, where in the
/// range.
fn pieces(
    offset: u64,
    len: usize,
) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let place = offset + done as u64;
        let start = (place % PAGE_SIZE as u64) as usize;
        let size = (PAGE_SIZE - start).min(len - done);
        let piece = (place / PAGE_SIZE as u64, start..start + size, done..done + size);
        done += size;
        Some(piece)
    })
}

impl Content {
    /// A file with these bytes.
    pub(super) fn of(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        content.write_at(0, bytes);
        content
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Reads up to `buffer.len()` bytes, fewer at the end of the file.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let len = self.len.saturating_sub(offset).min(buffer.len() as u64) as usize;
        for (number, in_page, in_buffer) in pieces(offset, len) {
            match self.pages.get(&number) {
                Some(page) => buffer[in_buffer].copy_from_slice(&page[in_page]),
                None => buffer[in_buffer].fill(0),
            }
        }
        len
    }

    /// Writes `bytes` at `offset`, growing the file as needed.
    pub(super) fn write_at(&mut self, offset: u64, bytes: &[u8]) {
        for (number, in_page, in_bytes) in pieces(offset, bytes.len()) {
            let page = self.pages.entry(number).or_insert_with(|| Arc::new([0; PAGE_SIZE]));
            Arc::make_mut(page)[in_page].copy_from_slice(&bytes[in_bytes]);
        }
        if !bytes.is_empty() {
            self.len = self.len.max(offset + bytes.len() as u64);
        }
    }

    /// Cuts the file, or grows it with zeros.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            drop(self.pages.split_off(&len.div_ceil(PAGE_SIZE as u64)));
            let kept = (len % PAGE_SIZE as u64) as usize;
            if kept > 0
                && let Some(page) = self.pages.get_mut(&(len / PAGE_SIZE as u64))
            {
                Arc::make_mut(page)[kept..].fill(0);
            }
        }
        self.len = len;
    }

    /// All bytes.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read_at(0, &mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::random::Random;
    use super::*;

    #[test]
    fn agrees_with_a_vector() {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let (mut content, mut model) = (Content::default(), Vec::new());
            for _ in 0..200 {
                let offset = random.below(20_000);
                if random.below(4) == 0 {
                    content.set_len(offset);
                    model.resize(offset as usize, 0);
                } else {
                    let mut bytes = vec![0; random.below(9000) as usize];
                    random.fill(&mut bytes);
                    content.write_at(offset, &bytes);
                    let end = offset as usize + bytes.len();
                    if !bytes.is_empty() {
                        model.resize(model.len().max(end), 0);
                        model[offset as usize..end].copy_from_slice(&bytes);
                    }
                }
                assert_eq!(content.len(), model.len() as u64, "seed {seed}");
            }
            assert!(content.to_vec() == model, "seed {seed}");
            let mut part = [7; 100];
            let got = content.read_at(content.len().saturating_sub(10), &mut part);
            assert_eq!(&part[..got], &model[model.len().saturating_sub(10)..], "seed {seed}");
        }
    }

    #[test]
    fn a_copy_is_not_changed_and_holes_cost_nothing() {
        let mut content = Content::of(b"abc");
        let copy = content.clone();
        content.set_len(1 << 40);
        content.write_at(1, b"X");
        assert_eq!(copy.to_vec(), b"abc");
        assert_eq!(content.pages.len(), 1);
        content.set_len(2);
        content.set_len(4);
        assert_eq!(content.to_vec(), b"aX\0\0");
    }
}
