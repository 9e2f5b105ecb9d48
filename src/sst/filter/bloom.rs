//! A Bloom filter whose every question touches one cache line.
//!
//! ```text
//! contents := line{lines} | probes:u8 | flags:u8     (bit 0: whole keys are in it, bit 1: prefixes are)
//! line     := word:u64{8}
//! ```
//!
//! A key's hash (`hash64` of the user key with seed 0, of a prefix with seed 1) chooses a line by its upper
//! 32 bits (`upper * lines >> 32`) and `probes` bits in it by a chain of words: the first is the hash times
//! 0x9e3779b97f4a7c15, xored with itself shifted right by 32, and each further one is made so from the one
//! before. A word gives seven probes of nine bits, lowest first: six bits choose the bit, the upper three the
//! word of the line. Invariant B1: a key that was added is always found.

use crate::base::checksum::hash64;
use crate::env::paged::Paged;

/// Seed of the hash of whole user keys.
const WHOLE_KEY_SEED: u64 = 0;
/// Seed of the hash of prefixes, so that a prefix is never taken for a key of the same bytes.
const PREFIX_SEED: u64 = 1;
const LINE_LEN: usize = 64;
const LINE_BITS: f64 = 512.0;
const TAIL_LEN: usize = 2;
const FLAG_WHOLE_KEYS: u8 = 1;
const FLAG_PREFIXES: u8 = 2;
const MAX_PROBES: u8 = 21;
const PROBES_A_WORD: u8 = 7;

/// One cache line of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(64))]
struct Line([u64; 8]);

/// Calls `probe(word, bit)` for the bits of `hash` until it returns false; true if it never did.
#[inline]
fn probe_all(hash: u64, probes: u8, mut probe: impl FnMut(usize, u64) -> bool) -> bool {
    let mut left = probes;
    let mut mixed = hash;
    while left > 0 {
        mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^= mixed >> 32;
        let mut bits = mixed;
        let now = left.min(PROBES_A_WORD);
        for _ in 0..now {
            if !probe(((bits >> 6) & 7) as usize, 1 << (bits & 63)) {
                return false;
            }
            bits >>= 9;
        }
        left -= now;
    }
    true
}

#[inline]
fn line_of(hash: u64, lines: usize) -> usize {
    (((hash >> 32) * lines as u64) >> 32) as usize
}

/// Collects hashes; the filter is built when their number is known.
pub struct BloomBuilder {
    bits_per_key: f64,
    hashes: Paged<u64>,
    last_key: Option<u64>,
    last_prefix: Option<u64>,
}

impl BloomBuilder {
    /// A builder of `bits_per_key` (fractions count); `None` if that is not a positive number.
    pub fn new(bits_per_key: f64) -> Option<BloomBuilder> {
        let usable = bits_per_key.is_finite() && bits_per_key > 0.0;
        let bits_per_key = bits_per_key.clamp(1.0, 100.0);
        usable.then_some(BloomBuilder {
            bits_per_key,
            hashes: Paged::new(),
            last_key: None,
            last_prefix: None,
        })
    }

    /// Gathers hashes in this memory. Before the first key.
    pub fn set_memory(&mut self, hashes: Paged<u64>) {
        debug_assert!(self.hashes.is_empty() && hashes.is_empty());
        self.hashes = hashes;
    }

    /// Adds a whole user key. Repeats in a row are counted once.
    #[inline]
    pub fn add_key(&mut self, user_key: &[u8]) {
        let hash = hash64(user_key, WHOLE_KEY_SEED);
        if self.last_key.replace(hash) != Some(hash) {
            self.hashes.push(hash);
        }
    }

    /// Adds a prefix. Repeats in a row are counted once.
    #[inline]
    pub fn add_prefix(&mut self, prefix: &[u8]) {
        let hash = hash64(prefix, PREFIX_SEED);
        if self.last_prefix.replace(hash) != Some(hash) {
            self.hashes.push(hash);
        }
    }

    /// True if nothing was added.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    fn lines(&self) -> usize {
        let lines = (self.hashes.len() as f64 * self.bits_per_key / LINE_BITS).ceil();
        (lines as usize).clamp(1, u32::MAX as usize)
    }

    /// Bytes of the contents if finished now.
    pub fn contents_len(&self) -> usize {
        self.lines() * LINE_LEN + TAIL_LEN
    }

    /// Appends the filter's contents. The flags say which of the two kinds were offered to the filter at all. Gives the
    /// memory it used, for another one.
    pub fn finish(self, whole_keys: bool, prefixes: bool, out: &mut Vec<u8>) -> Paged<u64> {
        let count = self.lines();
        let probes = probes_for(self.bits_per_key);
        let start = out.len();
        out.reserve_exact(count * LINE_LEN + TAIL_LEN);
        out.resize(start + count * LINE_LEN, 0);
        let (words, _) = out[start..].as_chunks_mut::<8>();
        let (lines, _) = words.as_chunks_mut::<8>();
        for &hash in &*self.hashes {
            let line = &mut lines[line_of(hash, count)];
            probe_all(hash, probes, |word, bit| {
                line[word] = (u64::from_le_bytes(line[word]) | bit).to_le_bytes();
                true
            });
        }
        out.push(probes);
        let flags = [(whole_keys, FLAG_WHOLE_KEYS), (prefixes, FLAG_PREFIXES)];
        out.push(flags.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag).sum());
        self.hashes
    }
}

/// Fewer probes than in a plain filter (0.69 a bit): lines are loaded unevenly, and full lines suffer from
/// more.
fn probes_for(bits_per_key: f64) -> u8 {
    ((bits_per_key * 0.62).round() as u8).clamp(1, MAX_PROBES)
}

/// A filter in memory.
pub struct BloomFilter {
    lines: Vec<Line>,
    probes: u8,
    flags: u8,
}

impl BloomFilter {
    /// Reads the contents that `BloomBuilder::finish` wrote; `None` if malformed.
    pub fn decode(contents: &[u8]) -> Option<BloomFilter> {
        let (words, tail) = contents.split_last_chunk::<TAIL_LEN>()?;
        let [probes, flags] = *tail;
        let sound = !words.is_empty()
            && words.len() % LINE_LEN == 0
            && words.len() / LINE_LEN <= u32::MAX as usize
            && (1..=MAX_PROBES).contains(&probes)
            && flags & !(FLAG_WHOLE_KEYS | FLAG_PREFIXES) == 0;
        if !sound {
            return None;
        }
        let line = |bytes: &[u8]| {
            let mut line = Line::default();
            for (word, bytes) in line.0.iter_mut().zip(bytes.chunks_exact(8)) {
                *word = u64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
            }
            line
        };
        Some(BloomFilter { lines: words.chunks_exact(LINE_LEN).map(line).collect(), probes, flags })
    }

    #[inline]
    fn may_contain_hash(&self, hash: u64) -> bool {
        let line = &self.lines[line_of(hash, self.lines.len())].0;
        probe_all(hash, self.probes, |word, bit| line[word] & bit != 0)
    }

    /// Whether whole keys are in it.
    #[inline]
    pub fn has_whole_keys(&self) -> bool {
        self.flags & FLAG_WHOLE_KEYS != 0
    }

    /// Whether prefixes are in it.
    #[inline]
    pub fn has_prefixes(&self) -> bool {
        self.flags & FLAG_PREFIXES != 0
    }

    /// False only if `user_key` was not added.
    #[inline]
    pub fn may_contain_key(&self, user_key: &[u8]) -> bool {
        !self.has_whole_keys() || self.may_contain_hash(hash64(user_key, WHOLE_KEY_SEED))
    }

    /// False only if `prefix` was not added.
    #[inline]
    pub fn may_contain_prefix(&self, prefix: &[u8]) -> bool {
        !self.has_prefixes() || self.may_contain_hash(hash64(prefix, PREFIX_SEED))
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.lines.len() * LINE_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(keys: u32, bits_per_key: f64) -> BloomFilter {
        let mut builder = BloomBuilder::new(bits_per_key).unwrap();
        for key in 0..keys {
            builder.add_key(&key.to_be_bytes());
        }
        let mut contents = Vec::new();
        let len = builder.contents_len();
        builder.finish(true, false, &mut contents);
        assert_eq!(contents.len(), len);
        BloomFilter::decode(&contents).unwrap()
    }

    /// Share of 200,000 absent keys that pass.
    fn false_positives(filter: &BloomFilter) -> f64 {
        let passed =
            (0..200_000u32).filter(|key| filter.may_contain_key(&(key | 1 << 31).to_be_bytes())).count();
        passed as f64 / 200_000.0
    }

    /// What theory says: keys fall on lines by Poisson, and a line of n keys has set bits 1 - (1 - 1/512)^(n
    /// k).
    fn predicted(bits_per_key: f64) -> f64 {
        let (mean, probes) = (LINE_BITS / bits_per_key, f64::from(probes_for(bits_per_key)));
        let mut probability = (-mean).exp();
        let mut rate = 0.0;
        for keys in 0..1000 {
            rate += probability * (1.0 - (1.0 - 1.0 / LINE_BITS).powf(f64::from(keys) * probes)).powf(probes);
            probability *= mean / f64::from(keys + 1);
        }
        rate
    }

    #[test]
    fn what_was_added_is_found() {
        for (keys, bits) in [(1, 10.0), (3, 1.0), (5000, 0.3), (5000, 7.3), (5000, 40.0)] {
            let filter = filter(keys, bits);
            assert!(
                (0..keys).all(|key| filter.may_contain_key(&key.to_be_bytes())),
                "{keys} keys, {bits} bits"
            );
        }
    }

    #[test]
    fn false_positives_are_as_predicted() {
        let mut last = 1.0;
        for bits in [4.0, 8.0, 9.5, 10.0, 10.5, 16.0] {
            let (measured, expected) = (false_positives(&filter(50_000, bits)), predicted(bits));
            assert!(
                measured < expected * 1.2 + 0.0003,
                "{bits} bits: measured {measured}, predicted {expected}"
            );
            assert!(measured < last, "{bits} bits are no better than fewer: {measured} after {last}");
            last = measured;
        }
        let at_ten = false_positives(&filter(50_000, 10.0));
        assert!(at_ten < 0.015, "{at_ten}");
    }

    #[test]
    fn fractions_of_bits_count() {
        let bytes = |bits| filter(10_000, bits).memory_bytes();
        assert!(bytes(10.0) < bytes(10.4) && bytes(10.4) < bytes(10.8));
        for nonsense in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(BloomBuilder::new(nonsense).is_none());
        }
    }

    #[test]
    fn repeats_in_a_row_cost_nothing_and_prefixes_are_apart_from_keys() {
        let mut builder = BloomBuilder::new(10.0).unwrap();
        for _ in 0..1000 {
            builder.add_key(b"key1");
            builder.add_prefix(b"key");
        }
        assert_eq!(builder.contents_len(), LINE_LEN + TAIL_LEN);
        let mut contents = Vec::new();
        builder.finish(true, true, &mut contents);
        let filter = BloomFilter::decode(&contents).unwrap();
        assert!(filter.may_contain_key(b"key1") && filter.may_contain_prefix(b"key"));
        assert!(!filter.may_contain_key(b"key") && !filter.may_contain_prefix(b"key1"));
    }

    #[test]
    fn malformed_filters_are_none() {
        for contents in [&[][..], &[1, 1], &[0; 65], &[0; 66], &[255; 66]] {
            assert!(BloomFilter::decode(contents).is_none());
        }
    }
}
