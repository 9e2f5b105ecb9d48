//! Levels of sorted runs, and the searches that reads and compactions do in them.
//!
//! Ranges are of user keys. A table whose largest key is the sentinel of a range tombstone's end, written
//! (end, MAX_SEQUENCE, RangeDelete), does not contain `end`: every comparison here honours that, so that tables
//! that were cut inside a long range tombstone do not appear to touch each other.

use super::file_meta::FileMeta;
use crate::base::InternalComparator;
use crate::base::key::{EntryKind, InternalKey, MAX_SEQUENCE, key_trailer, user_key};
use std::cmp::Ordering;
use std::sync::Arc;

/// The trailer of a largest key that stands for a range tombstone's exclusive end.
const EXCLUSIVE_END: u64 = MAX_SEQUENCE << 8 | EntryKind::RangeDelete as u64;

impl FileMeta {
    /// Smallest user key.
    #[inline]
    pub fn smallest_user(&self) -> &[u8] {
        user_key(&self.properties.smallest)
    }

    /// Largest user key; not contained if `largest_is_exclusive`.
    #[inline]
    pub fn largest_user(&self) -> &[u8] {
        user_key(&self.properties.largest)
    }

    /// Whether the largest user key is a range tombstone's end only.
    #[inline]
    pub fn largest_is_exclusive(&self) -> bool {
        key_trailer(&self.properties.largest) == EXCLUSIVE_END
    }

    /// Whether every key of the table lies before `key`.
    #[inline]
    pub fn ends_before(&self, key: &[u8], order: &InternalComparator) -> bool {
        match order.compare_user(self.largest_user(), key) {
            Ordering::Less => true,
            Ordering::Equal => self.largest_is_exclusive(),
            Ordering::Greater => false,
        }
    }

    /// The range of its keys.
    pub fn range(&self) -> KeyRange {
        KeyRange {
            start: self.smallest_user().to_vec(),
            end: self.largest_user().to_vec(),
            end_is_exclusive: self.largest_is_exclusive(),
        }
    }
}

/// A stretch of user keys, `start` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key.
    pub start: Vec<u8>,
    /// Last key, or the first one after.
    pub end: Vec<u8>,
    /// Which of the two `end` is.
    pub end_is_exclusive: bool,
}

impl KeyRange {
    /// The smallest range around all of `files`; `None` without files.
    pub fn around<'a>(
        files: impl IntoIterator<Item = &'a Arc<FileMeta>>,
        order: &InternalComparator,
    ) -> Option<KeyRange> {
        let mut files = files.into_iter();
        let mut hull = files.next()?.range();
        for file in files {
            hull.extend(file, order);
        }
        Some(hull)
    }

    /// Grows to contain `file`.
    pub fn extend(&mut self, file: &FileMeta, order: &InternalComparator) {
        if order.compare_user(file.smallest_user(), &self.start).is_lt() {
            self.start = file.smallest_user().to_vec();
        }
        match order.compare_user(file.largest_user(), &self.end) {
            Ordering::Greater => {
                self.end = file.largest_user().to_vec();
                self.end_is_exclusive = file.largest_is_exclusive();
            }
            Ordering::Equal => self.end_is_exclusive &= file.largest_is_exclusive(),
            Ordering::Less => {}
        }
    }

    /// Whether `key` comes after the range.
    pub fn ends_before(&self, key: &[u8], order: &InternalComparator) -> bool {
        match order.compare_user(&self.end, key) {
            Ordering::Less => true,
            Ordering::Equal => self.end_is_exclusive,
            Ordering::Greater => false,
        }
    }

    /// Whether some key may be in both.
    pub fn meets(&self, file: &FileMeta, order: &InternalComparator) -> bool {
        !file.ends_before(&self.start, order) && !self.ends_before(file.smallest_user(), order)
    }

    /// Whether some key may be in both.
    pub fn meets_range(&self, other: &KeyRange, order: &InternalComparator) -> bool {
        !other.ends_before(&self.start, order) && !self.ends_before(&other.start, order)
    }
}

/// Tables in key order that do not overlap.
#[derive(Clone, Default)]
pub struct Run {
    /// The tables.
    pub files: Vec<Arc<FileMeta>>,
    /// For byte order: how long a prefix all largest keys share, and of each the next eight bytes, so that the
    /// search of a key touches one array and not every table's metadata. Empty where not worth it.
    shared_prefix: usize,
    codes: Vec<u64>,
}

fn code(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(whole) => u64::from_be_bytes(*whole),
        None => bytes.iter().enumerate().fold(0, |code, (at, &byte)| code | u64::from(byte) << (56 - 8 * at)),
    }
}

impl Run {
    /// A run of tables in key order.
    pub fn new(files: Vec<Arc<FileMeta>>, order: &InternalComparator) -> Run {
        let (mut shared_prefix, mut codes) = (0, Vec::new());
        if order.is_bytewise() && files.len() > 2 {
            let (first, last) = (files[0].largest_user(), files[files.len() - 1].largest_user());
            shared_prefix = first.iter().zip(last).take_while(|(a, b)| a == b).count();
            codes = files.iter().map(|file| code(&file.largest_user()[shared_prefix..])).collect();
        }
        Run { files, shared_prefix, codes }
    }

    /// The index of the first table that does not end before `key`.
    #[inline]
    pub fn position(&self, key: &[u8], order: &InternalComparator) -> usize {
        let (from, to) = if self.codes.is_empty() { (0, self.files.len()) } else { self.narrow(key) };
        from + self.files[from..to].partition_point(|file| file.ends_before(key, order))
    }

    /// Indexes between which `position` lies, by prefix and codes alone.
    fn narrow(&self, key: &[u8]) -> (usize, usize) {
        let prefix = &self.files[0].largest_user()[..self.shared_prefix];
        match key[..key.len().min(prefix.len())].cmp(prefix) {
            Ordering::Less => return (0, 0),
            Ordering::Greater => return (self.files.len(), self.files.len()),
            Ordering::Equal => {}
        }
        let wanted = code(&key[self.shared_prefix..]);
        let from = self.codes.partition_point(|&code| code < wanted);
        (from, from + self.codes[from..].partition_point(|&code| code == wanted))
    }

    /// The one table that can hold `key`.
    #[inline]
    pub fn file_for_key(&self, key: &[u8], order: &InternalComparator) -> Option<&Arc<FileMeta>> {
        let file = self.files.get(self.position(key, order))?;
        order.compare_user(file.smallest_user(), key).is_le().then_some(file)
    }
}

/// Runs of a level, newest first. Leveled levels below 0 have at most one.
#[derive(Clone, Default)]
pub struct Level {
    /// The runs.
    pub runs: Vec<Run>,
}

impl Level {
    /// All its tables, newest run first, each run in key order.
    pub fn files(&self) -> impl Iterator<Item = &Arc<FileMeta>> + Clone + '_ {
        self.runs.iter().flat_map(|run| &run.files)
    }
}

/// The tables of one column family at one moment. Immutable.
pub struct Version {
    /// Level 0 first.
    pub levels: Vec<Level>,
}

impl Version {
    /// An empty version with `levels` levels.
    pub fn empty(levels: usize) -> Version {
        Version { levels: vec![Level::default(); levels] }
    }

    /// The runs of `level`, newest first; none if there is no such level.
    pub fn runs(&self, level: usize) -> &[Run] {
        self.levels.get(level).map_or(&[], |level| &level.runs)
    }

    /// The tables of `level` whose user-key range meets `[begin, end]` (inclusive; `None` = open end).
    pub fn overlapping(
        &self,
        level: usize,
        begin: Option<&[u8]>,
        end: Option<&[u8]>,
        order: &InternalComparator,
    ) -> Vec<Arc<FileMeta>> {
        let meets = |file: &&Arc<FileMeta>| {
            begin.is_none_or(|key| !file.ends_before(key, order))
                && end.is_none_or(|key| order.compare_user(file.smallest_user(), key).is_le())
        };
        self.runs(level).iter().flat_map(|run| run.files.iter().filter(meets)).cloned().collect()
    }

    /// The tables of `level` that meet `range`, run by run.
    pub fn meeting<'a>(
        &'a self,
        level: usize,
        range: &'a KeyRange,
        order: &'a InternalComparator,
    ) -> impl Iterator<Item = &'a Arc<FileMeta>> + 'a {
        self.runs(level).iter().flat_map(move |run| {
            let from = run.position(&range.start, order);
            run.files[from..].iter().take_while(move |file| !range.ends_before(file.smallest_user(), order))
        })
    }

    /// The tables that can hold the user key of `lookup` (an internal key), in the order a read must ask them:
    /// level by level, run by run, newest first.
    #[inline]
    pub fn files_for_key<'a>(
        &'a self,
        lookup: &'a [u8],
        order: &'a InternalComparator,
    ) -> impl Iterator<Item = (usize, &'a Arc<FileMeta>)> + 'a {
        let key = user_key(lookup);
        self.levels.iter().enumerate().flat_map(move |(level, runs)| {
            runs.runs.iter().filter_map(move |run| Some((level, run.file_for_key(key, order)?)))
        })
    }

    /// Bytes of the tables of `level`.
    pub fn level_bytes(&self, level: usize) -> u64 {
        self.runs(level).iter().flat_map(|run| &run.files).map(|file| file.properties.file_size).sum()
    }

    /// Runs of level 0.
    pub fn level0_runs(&self) -> usize {
        self.runs(0).len()
    }

    /// All tables.
    pub fn files(&self) -> impl Iterator<Item = (usize, &Arc<FileMeta>)> + '_ {
        self.levels
            .iter()
            .enumerate()
            .flat_map(|(number, level)| level.files().map(move |file| (number, file)))
    }

    /// About how many bytes of tables lie in `[begin, end)` of user keys.
    pub fn approximate_size(&self, begin: &[u8], end: &[u8], order: &InternalComparator) -> u64 {
        if order.compare_user(begin, end).is_ge() {
            return 0;
        }
        let range = KeyRange { start: begin.to_vec(), end: end.to_vec(), end_is_exclusive: true };
        let from = InternalKey::for_lookup(begin, MAX_SEQUENCE);
        let to = InternalKey::for_lookup(end, MAX_SEQUENCE);
        let bytes_in = |file: &Arc<FileMeta>| {
            let size = file.properties.file_size;
            let start = match order.compare_user(begin, file.smallest_user()).is_le() {
                true => 0,
                false => file.table.approximate_offset(from.as_bytes()).min(size),
            };
            let stop = match file.ends_before(end, order) {
                true => size,
                false => file.table.approximate_offset(to.as_bytes()).min(size),
            };
            stop.saturating_sub(start)
        };
        (0..self.levels.len()).flat_map(|level| self.meeting(level, &range, order)).map(bytes_in).sum()
    }
}
