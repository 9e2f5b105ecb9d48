//! Turns user keys into numbers of the same order.
//!
//! The prefix that all keys of the table share is cut off. Of the bytes after it, up to sixteen, only the
//! values that occur count (the table's alphabet), and of those at each position only the range that occurs
//! there: a position whose bytes are all digits contributes a factor of ten, not 256. The code is the number
//! with these mixed radixes, of as many positions as fit 64 bits. So decimal, hexadecimal and plain binary
//! numbers all become the numbers they mean, and straight lines fit them; with bytes of every value this is
//! the plain big-endian number of the next eight bytes.
//!
//! A missing byte counts as zero. Invariant K1: codes never decrease with keys, whether the keys are in the
//! table or not; bytes outside of what occurs go to the nearest code on the right side.

use crate::env::paged::Paged;
use std::cmp::Ordering;

/// Byte positions looked at after the shared prefix.
pub const MAX_POSITIONS: usize = 16;

/// Keys looked at to learn the alphabet. Bytes that are missed only cost precision.
const MAX_ALPHABET_SAMPLES: usize = 1 << 16;
/// Marks in `Alphabet::ranks` a byte that does not occur; its rank is that of the next byte that does.
const ABSENT: u16 = 1 << 8;

/// The byte values above zero that occur, numbered from one in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alphabet {
    /// A bit for each value.
    pub(super) bits: [u64; 4],
    ranks: Box<[u16; 256]>,
}

impl Alphabet {
    pub(super) fn new(bits: [u64; 4]) -> Alphabet {
        let mut ranks = Box::new([0; 256]);
        let mut next = 1;
        for byte in 1..256 {
            let occurs = bits[byte / 64] >> (byte % 64) & 1 == 1;
            ranks[byte] = if occurs { next } else { next.min(255) | ABSENT };
            next += u16::from(occurs);
        }
        Alphabet { bits, ranks }
    }

    fn rank(&self, byte: u8) -> u8 {
        self.ranks[usize::from(byte)] as u8
    }

    fn is_full(&self) -> bool {
        [self.bits[0] | 1, self.bits[1], self.bits[2], self.bits[3]] == [u64::MAX; 4]
    }
}

/// The values that occur at one byte position, as ranks in the alphabet, and what a step there is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The smallest rank above zero.
    pub(super) low: u8,
    /// The largest rank; `low` - 1 if only zero occurs.
    pub(super) high: u8,
    /// Whether zero (or the key's end) occurs.
    pub(super) zero: bool,
    /// What one step is worth: the product of the radixes after this position.
    weight: u64,
}

impl Position {
    pub(super) fn new(low: u8, high: u8, zero: bool) -> Position {
        Position { low, high, zero, weight: 0 }
    }

    fn symbols(&self) -> u128 {
        u128::from(self.high) + 1 - u128::from(self.low) + u128::from(self.zero)
    }

    fn is_sound(&self) -> bool {
        self.low > 0 && u16::from(self.low) <= u16::from(self.high) + 1 && self.symbols() > 0
    }

    fn is_full(&self) -> bool {
        self.symbols() == 256
    }
}

/// The numbering of a table's user keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCode {
    prefix: Vec<u8>,
    alphabet: Alphabet,
    positions: Vec<Position>,
    /// All positions take all values: the code is the plain number of eight bytes.
    plain: bool,
}

impl KeyCode {
    /// A numbering; `None` if positions are malformed or too many for 64 bits.
    pub(super) fn new(prefix: Vec<u8>, alphabet: Alphabet, mut positions: Vec<Position>) -> Option<KeyCode> {
        if positions.len() > MAX_POSITIONS {
            return None;
        }
        let mut product = 1u128;
        for position in positions.iter_mut().rev() {
            position.weight = u64::try_from(product).ok()?;
            product = if position.is_sound() { product * position.symbols() } else { return None };
        }
        if product > 1 << 64 {
            return None;
        }
        let plain = alphabet.is_full() && positions.len() == 8 && positions.iter().all(Position::is_full);
        Some(KeyCode { prefix, alphabet, positions, plain })
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(super) fn alphabet(&self) -> &Alphabet {
        &self.alphabet
    }

    pub(super) fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// The code of `user_key`; for a key without the prefix, its order relative to all keys that have it.
    #[inline]
    pub fn code(&self, user_key: &[u8]) -> Result<u64, Ordering> {
        let Some(rest) = user_key.strip_prefix(&self.prefix[..]) else {
            return Err(if user_key < &self.prefix[..] { Ordering::Less } else { Ordering::Greater });
        };
        if let (true, Some(bytes)) = (self.plain, rest.first_chunk::<8>()) {
            return Ok(u64::from_be_bytes(*bytes));
        }
        Ok(self.code_of_rest(rest))
    }

    #[inline]
    fn code_of_rest(&self, rest: &[u8]) -> u64 {
        let mut code = 0u64;
        for (at, position) in self.positions.iter().enumerate() {
            let (worth, ends) = self.worth(position, rest.get(at).copied().unwrap_or(0));
            code += worth;
            if ends {
                break;
            }
        }
        code
    }

    /// What `byte` adds to the code at `position`, and whether the code ends with it: a byte outside of what occurs.
    #[inline]
    fn worth(&self, position: &Position, byte: u8) -> (u64, bool) {
        let entry = self.alphabet.ranks[usize::from(byte)];
        let rank = entry as u8;
        if rank >= position.low && rank <= position.high {
            let steps = u64::from(rank - position.low) + u64::from(position.zero);
            (steps * position.weight, entry & ABSENT != 0)
        } else if rank == 0 && position.zero {
            (0, false)
        } else if rank < position.low {
            (u64::from(position.zero) * position.weight, true)
        } else {
            let last = position.symbols() as u64 - 1;
            (last * position.weight + (position.weight - 1), true)
        }
    }

    /// Puts their codes in the places of ascending heads, and gives how many different ones there are. What a head has
    /// in common with the one before is not looked at again.
    fn encode(&self, heads: &mut [u128]) -> u64 {
        let count = self.positions.len();
        // The code of the bytes before each position, and how many positions the last code is made of.
        let mut sums = [0u64; MAX_POSITIONS + 1];
        let (mut last, mut used) = (heads.first().map_or(0, |head| !head), count);
        let (mut last_code, mut different) = (None, 0);
        for place in heads {
            let head = *place;
            let from = ((head ^ last).leading_zeros() / 8) as usize;
            last = head;
            // A byte that differs only behind the end of the last code changes nothing.
            if from < used {
                let bytes = head.to_be_bytes();
                used = count;
                for at in from..count {
                    let (worth, ends) = self.worth(&self.positions[at], bytes[at]);
                    sums[at + 1] = sums[at] + worth;
                    if ends {
                        used = at + 1;
                        break;
                    }
                }
            }
            let code = sums[used];
            different += u64::from(last_code.replace(code) != Some(code));
            *place = code.into();
        }
        different
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.prefix.capacity() + self.positions.capacity() * size_of::<Position>() + size_of::<[u16; 256]>()
    }
}

/// Remembers of every key the sixteen bytes after the prefix that all keys so far share.
///
/// In byte order the shared prefix only ever gets shorter. When it does, nothing is recomputed: a new epoch
/// begins, and at the end the bytes of earlier epochs are moved right by what their prefix was longer, which
/// the first key supplies.
#[derive(Default)]
pub struct KeyCodeBuilder {
    first: Vec<u8>,
    prefix_len: usize,
    heads: Paged<u128>,
    /// (first key, prefix length) of each epoch.
    epochs: Vec<(usize, usize)>,
}

/// The bytes of `key` from `from` on as a big-endian number, with zeros after its end.
#[inline]
fn head_at(key: &[u8], from: usize) -> u128 {
    let rest = &key[from..];
    // Read from the key straight into registers: what is copied together first has to be waited for.
    match (rest.first_chunk::<MAX_POSITIONS>(), key.last_chunk::<MAX_POSITIONS>()) {
        (Some(head), _) => u128::from_be_bytes(*head),
        // Fewer bytes, and enough before them: those are shifted out.
        (None, Some(end)) => {
            let before = 8 * (MAX_POSITIONS - rest.len()) as u32;
            u128::from_be_bytes(*end).checked_shl(before).unwrap_or(0)
        }
        (None, None) => {
            let mut bytes = [0; MAX_POSITIONS];
            bytes[..rest.len()].copy_from_slice(rest);
            u128::from_be_bytes(bytes)
        }
    }
}

/// The codes of all keys of a table.
pub struct Codes<'a> {
    /// In the order of the keys. They stand where the heads stood.
    codes: &'a [u128],
    /// How many of them differ from the one before.
    pub different: u64,
}

impl Codes<'_> {
    /// How many keys there are.
    pub fn count(&self) -> u64 {
        self.codes.len() as u64
    }

    /// Every code, with the ordinal of the first key that has it.
    pub fn points(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut last = None;
        self.codes.iter().enumerate().filter_map(move |(ordinal, &code)| {
            (last.replace(code) != Some(code)).then_some((code as u64, ordinal as u64))
        })
    }
}

impl KeyCodeBuilder {
    /// Gathers keys in this memory. Before the first key.
    pub fn set_memory(&mut self, heads: Paged<u128>) {
        debug_assert!(self.heads.is_empty() && heads.is_empty());
        self.heads = heads;
    }

    /// Adds the next user key in byte order; repeats are welcome.
    #[inline]
    pub fn add(&mut self, user_key: &[u8]) {
        if self.heads.is_empty() {
            self.first.extend_from_slice(user_key);
            self.prefix_len = user_key.len();
            self.epochs.push((0, self.prefix_len));
        } else if !user_key.starts_with(&self.first[..self.prefix_len]) {
            self.prefix_len = super::super::block::builder::common_prefix_len(&self.first, user_key);
            self.epochs.push((self.heads.len(), self.prefix_len));
        }
        self.heads.push(head_at(user_key, self.prefix_len));
    }

    /// Keys added.
    pub fn count(&self) -> u64 {
        self.heads.len() as u64
    }

    /// The numbering, and the codes of all keys. `None` if no key was added.
    pub fn finish(&mut self) -> Option<(KeyCode, Codes<'_>)> {
        self.move_to_last_epoch();
        let prefix = self.first.get(..self.prefix_len)?.to_vec();
        let (alphabet, positions) = choose_positions(&self.heads)?;
        let code = KeyCode::new(prefix, alphabet, positions)?;
        let different = code.encode(&mut self.heads);
        Some((code, Codes { codes: &self.heads, different }))
    }

    /// The memory it used, for another one.
    pub fn into_memory(self) -> Paged<u128> {
        self.heads
    }

    fn move_to_last_epoch(&mut self) {
        let shared = head_at(&self.first, self.prefix_len);
        for (place, &(start, prefix_len)) in self.epochs.iter().enumerate() {
            let end = self.epochs.get(place + 1).map_or(self.heads.len(), |next| next.0);
            let moved = prefix_len - self.prefix_len;
            for head in &mut self.heads[start..end] {
                *head = match moved {
                    0 => *head,
                    1..MAX_POSITIONS => shared & !(u128::MAX >> (8 * moved)) | *head >> (8 * moved),
                    _ => shared,
                };
            }
        }
    }
}

/// The smallest byte, the smallest above zero less one, and the largest byte of each position.
struct Ranges {
    smallest: [u8; MAX_POSITIONS],
    /// Less one, because zero then wraps around to 255.
    smallest_above_zero: [u8; MAX_POSITIONS],
    largest: [u8; MAX_POSITIONS],
}

fn ranges_of(heads: &[u128]) -> Ranges {
    let top = [u8::MAX; MAX_POSITIONS];
    // The last byte first, as they lie in memory: the loops become instructions on sixteen bytes.
    let (mut smallest, mut smallest_above_zero, mut largest) = (top, top, [0; MAX_POSITIONS]);
    for head in heads {
        let bytes = head.to_le_bytes();
        for at in 0..MAX_POSITIONS {
            smallest[at] = smallest[at].min(bytes[at]);
            smallest_above_zero[at] = smallest_above_zero[at].min(bytes[at].wrapping_sub(1));
            largest[at] = largest[at].max(bytes[at]);
        }
    }
    [&mut smallest, &mut smallest_above_zero, &mut largest].into_iter().for_each(|bytes| bytes.reverse());
    Ranges { smallest, smallest_above_zero, largest }
}

fn alphabet_of(heads: &[u128], ranges: &Ranges) -> Alphabet {
    let mut seen = [false; 256];
    for head in heads.iter().step_by(heads.len().div_ceil(MAX_ALPHABET_SAMPLES).max(1)) {
        head.to_be_bytes().into_iter().for_each(|byte| seen[usize::from(byte)] = true);
    }
    for at in 0..MAX_POSITIONS {
        seen[usize::from(ranges.smallest_above_zero[at].wrapping_add(1))] = true;
        seen[usize::from(ranges.largest[at])] = true;
    }
    let mut bits = [0; 4];
    for byte in (1..256).filter(|&byte| seen[byte]) {
        bits[byte / 64] |= 1 << (byte % 64);
    }
    Alphabet::new(bits)
}

/// The alphabet, and as many leading positions as fit 64 bits, without trailing ones that tell nothing apart.
fn choose_positions(heads: &[u128]) -> Option<(Alphabet, Vec<Position>)> {
    let ranges = ranges_of(heads);
    let alphabet = alphabet_of(heads, &ranges);
    let mut positions = Vec::new();
    let mut product = 1u128;
    for at in 0..MAX_POSITIONS {
        let position = match ranges.largest[at] {
            0 => Position::new(1, 0, true),
            high => {
                let low = ranges.smallest_above_zero[at] + 1;
                Position::new(alphabet.rank(low), alphabet.rank(high), ranges.smallest[at] == 0)
            }
        };
        product *= position.symbols();
        if product > 1 << 64 {
            break;
        }
        positions.push(position);
    }
    while positions.last().is_some_and(|position| position.symbols() == 1) {
        positions.pop();
    }
    (!heads.is_empty()).then_some((alphabet, positions))
}
