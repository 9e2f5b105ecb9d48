//! Inner nodes: which bytes of a key lead where.
//!
//! | node | bytes | children are found by |
//! |---|---|---|
//! | 4 | 64 | their key bytes, in order of arrival, all four compared at once |
//! | 16 | 192 | the same, eight at once |
//! | 48 | 704 | an index of 256 bytes |
//! | 256 | 2112 | their place |
//!
//! A node branches at the byte `level` of the key, counted from the key's start. Whatever is below it shares the
//! `level` bytes before; of those that its parent did not branch at (its prefix), the last eight are in the
//! header, longer ones are looked up in an entry below. As nothing here depends on the parent, a prefix is cut in two
//! by linking a new node above, and the node itself stays as it is.
//!
//! Nodes of 4, 16 and 48 take children in order of arrival. Invariant R5: a child's slot is written before its key
//! byte, and both before the count (48: before the index byte) that says it is there; neither changes place.

use super::link::{Link, Slot, Target, kind};
use super::lock::Control;
use super::sync::{AtomicU32, AtomicU64, Ordering};
use crate::memtable::arena::Arena;

/// Bytes of a prefix that the header has.
const TAIL: usize = 8;
const WORD: usize = 8;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// What every node starts with.
#[repr(C)]
pub(super) struct Header {
    pub(super) control: Control,
    level: u32,
    /// The last bytes before `level` of all keys below, the very last in the lowest byte.
    tail: u64,
    /// The entry whose key ends at `level`.
    pub(super) terminal: Slot,
}

#[repr(C, align(64))]
pub(super) struct Node4 {
    header: Header,
    keys: AtomicU32,
    children: [Slot; 4],
}

#[repr(C, align(64))]
pub(super) struct Node16 {
    header: Header,
    keys: [AtomicU64; 2],
    children: [Slot; 16],
}

#[repr(C, align(64))]
pub(super) struct Node48 {
    header: Header,
    /// For each byte the number of its child plus one, or 0.
    index: [AtomicU64; 32],
    children: [Slot; 48],
}

#[repr(C, align(64))]
pub(super) struct Node256 {
    header: Header,
    children: [Slot; 256],
}

const _: () = assert!(size_of::<Node4>() == 64 && size_of::<Node16>() == 192);
const _: () = assert!(size_of::<Node48>() == 704 && size_of::<Node256>() == 2112);

impl Header {
    fn new(level: usize, tail: u64) -> Header {
        let level = u32::try_from(level).expect("keys are shorter than 4 GiB");
        Header { control: Control::new(0), level, tail, terminal: Slot::empty() }
    }

    /// The byte of the key that decides between the children.
    #[inline]
    pub(super) fn level(&self) -> usize {
        self.level as usize
    }
}

/// A zeroed piece of the arena with a header: an empty node.
fn make<T>(arena: &Arena, header: Header) -> &T {
    let node = arena.allocate(size_of::<T>()).cast::<T>();
    // SAFETY: the piece is a node's size, nobody else has it, and it is aligned since this arena gives out nothing
    // but whole nodes, whose sizes are multiples of their alignment. Zeros are empty slots and indexes. The header
    // is the node's first field.
    unsafe {
        node.write_bytes(0, 1);
        node.cast::<Header>().write(header);
        node.as_ref()
    }
}

/// The last eight bytes before `level`, the very last in the lowest byte; zeros before the key's start.
#[inline]
fn tail_of(key: &[u8], level: usize) -> u64 {
    if level >= TAIL {
        return u64::from_be_bytes(key[level - TAIL..level].try_into().expect("eight bytes"));
    }
    key[..level].iter().fold(0, |tail, byte| tail << 8 | u64::from(*byte))
}

/// Where the byte is among the bytes of a word; meaningless past the bytes in use.
#[inline]
fn first_match(word: u64, byte: u8) -> Option<usize> {
    let different = word ^ (u64::from(byte) * ONES);
    // Marks each zero byte; what it marks wrongly lies above a right mark.
    let equal = different.wrapping_sub(ONES) & !different & HIGHS;
    (equal != 0).then(|| equal.trailing_zeros() as usize / 8)
}

impl Node4 {
    #[inline]
    fn slot(&self, byte: u8) -> Option<&Slot> {
        let count = self.header.control.count();
        let keys = u64::from(self.keys.load(Ordering::Relaxed));
        first_match(keys, byte).filter(|place| *place < count).map(|place| &self.children[place])
    }

    fn push(&self, count: usize, byte: u8, child: Link<'_>) {
        self.children[count].store(child);
        let keys = self.keys.load(Ordering::Relaxed);
        self.keys.store(keys | u32::from(byte) << (8 * count), Ordering::Relaxed);
    }

    fn key(&self, place: usize) -> u8 {
        (self.keys.load(Ordering::Relaxed) >> (8 * place)) as u8
    }
}

impl Node16 {
    #[inline]
    fn slot(&self, byte: u8) -> Option<&Slot> {
        let count = self.header.control.count();
        let place = first_match(self.keys[0].load(Ordering::Relaxed), byte)
            .or_else(|| first_match(self.keys[1].load(Ordering::Relaxed), byte).map(|place| place + WORD))?;
        (place < count).then(|| &self.children[place])
    }

    fn push(&self, count: usize, byte: u8, child: Link<'_>) {
        self.children[count].store(child);
        let word = &self.keys[count / WORD];
        let keys = word.load(Ordering::Relaxed);
        word.store(keys | u64::from(byte) << (8 * (count % WORD)), Ordering::Relaxed);
    }

    fn key(&self, place: usize) -> u8 {
        (self.keys[place / WORD].load(Ordering::Relaxed) >> (8 * (place % WORD))) as u8
    }
}

impl Node48 {
    #[inline]
    fn slot(&self, byte: u8) -> Option<&Slot> {
        let word = self.index[byte as usize / WORD].load(Ordering::Acquire);
        let place = (word >> (8 * (byte as usize % WORD))) as u8;
        self.children.get((place as usize).wrapping_sub(1))
    }

    fn push(&self, count: usize, byte: u8, child: Link<'_>) {
        self.children[count].store(child);
        let word = &self.index[byte as usize / WORD];
        let index = word.load(Ordering::Relaxed);
        word.store(index | (count as u64 + 1) << (8 * (byte as usize % WORD)), Ordering::Release);
    }
}

impl Node256 {
    #[inline]
    fn slot(&self, byte: u8) -> &Slot {
        &self.children[byte as usize]
    }
}

/// An empty node of 4 that branches at `level` among keys like `key`.
pub(super) fn node4<'a>(arena: &'a Arena, key: &[u8], level: usize) -> &'a Node4 {
    make(arena, Header::new(level, tail_of(key, level)))
}

impl Node4 {
    /// Before the node is linked: puts `child`, which is reached by `key`, into it.
    pub(super) fn put(&self, key: &[u8], child: Link<'_>) {
        match key.get(self.header.level()) {
            None => self.header.terminal.store(child),
            Some(byte) => self.put_under(*byte, child),
        }
    }

    /// Before the node is linked: puts `child` into it, under `byte`.
    pub(super) fn put_under(&self, byte: u8, child: Link<'_>) {
        let count = self.header.control.lock().expect("a new node is not obsolete");
        self.push(count, byte, child);
        self.header.control.unlock(count + 1);
    }
}

/// The slot of `byte` in a node, if the node has one: in a node of 256 always, perhaps empty.
#[inline]
pub(super) fn slot<'a>(node: Link<'a>, byte: u8) -> Option<&'a Slot> {
    match node.target() {
        Target::Node4(node) => node.slot(byte),
        Target::Node16(node) => node.slot(byte),
        Target::Node48(node) => node.slot(byte),
        Target::Node256(node) => Some(node.slot(byte)),
        Target::NoNode => None,
    }
}

/// Where a key leaves the way to a node: at byte `at`, where the keys below the node have `byte`, and it another byte
/// or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub(super) at: usize,
    pub(super) byte: u8,
}

/// Compares a key with the keys below a node, from byte `depth` (which its parent decided) to its level.
#[inline]
pub(super) fn prefix_mismatch(node: Link<'_>, key: &[u8], depth: usize) -> Option<Mismatch> {
    let header = node.header();
    let (level, tail) = (header.level(), header.tail);
    let len = level - depth;
    if len > TAIL || key.len() < level {
        return long_mismatch(node, key, depth);
    }
    let compared = if len == TAIL { u64::MAX } else { (1 << (8 * len)) - 1 };
    let different = (tail_of(key, level) ^ tail) & compared;
    if different == 0 {
        return None;
    }
    let from_end = TAIL - 1 - different.leading_zeros() as usize / 8;
    Some(Mismatch { at: level - 1 - from_end, byte: (tail >> (8 * from_end)) as u8 })
}

#[cold]
fn long_mismatch(node: Link<'_>, key: &[u8], depth: usize) -> Option<Mismatch> {
    let level = node.header().level();
    let below = any_key_below(node);
    let at = (depth..level).find(|at| key.get(*at) != Some(&below[*at]))?;
    Some(Mismatch { at, byte: below[at] })
}

/// Some key that is below a node. A linked node has two entries below at least, of which one has a longer key than
/// its level.
fn any_key_below<'a>(node: Link<'a>) -> &'a [u8] {
    let mut link = node;
    while link.is_node() {
        link = match link.target() {
            Target::Node4(node) => node.children[0].load(),
            Target::Node16(node) => node.children[0].load(),
            Target::Node48(node) => node.children[0].load(),
            Target::Node256(node) => {
                let mut children = node.children.iter().map(Slot::load);
                children.find(|child| !child.is_null()).expect("a node of 256 has children")
            }
            Target::NoNode => unreachable!("a node"),
        };
    }
    link.entry().expect("nodes hold no null children").user_key()
}

/// A place that writers change: a slot, and the node it is in.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) slot: &'a Slot,
    /// The node that may be replaced while its slot changes; `None` for the root and for nodes of 256, which stay.
    pub(super) owner: Option<&'a Header>,
}

impl<'a> Place<'a> {
    /// A slot of `node`.
    #[inline]
    pub(super) fn within(node: Link<'a>, slot: &'a Slot) -> Place<'a> {
        Place { slot, owner: (!node.is_node256()).then(|| node.header()) }
    }

    /// Stores `new` if the slot still holds `expected` and still counts.
    #[inline]
    pub(super) fn replace(&self, expected: Link<'_>, new: Link<'_>) -> bool {
        let Some(owner) = self.owner else { return self.slot.exchange(expected, new) };
        let Some(count) = owner.control.lock() else { return false };
        let unchanged = self.slot.load() == expected;
        if unchanged {
            self.slot.store(new);
        }
        owner.control.unlock(count);
        unchanged
    }
}

/// Adds `child` under `byte`, of which there was none, to the node that `place` links to as `node`. False if other
/// threads have changed something that matters: then the way there is to be looked for again.
pub(super) fn add(arena: &Arena, place: &Place<'_>, node: Link<'_>, byte: u8, child: Link<'_>) -> bool {
    if let Target::Node256(full) = node.target() {
        return full.slot(byte).exchange(Link::NULL, child);
    }
    let control = &node.header().control;
    let Some(count) = control.lock() else { return false };
    if slot(node, byte).is_some() {
        control.unlock(count);
        return false;
    }
    match node.target() {
        Target::Node4(node) if count < node.children.len() => node.push(count, byte, child),
        Target::Node16(node) if count < node.children.len() => node.push(count, byte, child),
        Target::Node48(node) if count < node.children.len() => node.push(count, byte, child),
        _ => {
            let larger = grow(arena, node, byte, child);
            let replaced = place.replace(node, larger);
            if replaced {
                control.retire(count)
            } else {
                control.unlock(count)
            }
            return replaced;
        }
    }
    control.unlock(count + 1);
    true
}

/// A copy of a full node, locked by the caller, in the next size, with one more child.
fn grow<'a>(arena: &'a Arena, full: Link<'a>, byte: u8, child: Link<'a>) -> Link<'a> {
    let old = full.header();
    let header = Header::new(old.level(), old.tail);
    header.terminal.store(old.terminal.load());
    let larger = match full.target() {
        Target::Node4(node) => {
            let larger = make::<Node16>(arena, header);
            for (place, slot) in node.children.iter().enumerate() {
                larger.push(place, node.key(place), slot.load());
            }
            larger.push(node.children.len(), byte, child);
            set_count(&larger.header, node.children.len() + 1);
            Link::to_node(larger, kind::NODE16)
        }
        Target::Node16(node) => {
            let larger = make::<Node48>(arena, header);
            for (place, slot) in node.children.iter().enumerate() {
                larger.push(place, node.key(place), slot.load());
            }
            larger.push(node.children.len(), byte, child);
            set_count(&larger.header, node.children.len() + 1);
            Link::to_node(larger, kind::NODE48)
        }
        Target::Node48(node) => {
            let larger = make::<Node256>(arena, header);
            for at in 0..=u8::MAX {
                if let Some(slot) = node.slot(at) {
                    larger.slot(at).store(slot.load());
                }
            }
            larger.slot(byte).store(child);
            Link::to_node(larger, kind::NODE256)
        }
        Target::Node256(_) | Target::NoNode => unreachable!("only smaller nodes are full"),
    };
    larger.with_direct(full.is_direct())
}

/// Of a node that is not linked yet.
fn set_count(header: &Header, count: usize) {
    header.control.lock().expect("a new node is not obsolete");
    header.control.unlock(count);
}

/// Where in a node a walk stands: at the terminal entry, or at a byte's child, or outside.
pub(super) type Position = i16;
pub(super) const BEFORE_ALL: Position = -2;
pub(super) const TERMINAL: Position = -1;
pub(super) const AFTER_ALL: Position = 256;

/// Shows what a node links to after position `from`, in order of keys, until `visit` returns false.
#[inline]
pub(super) fn walk_up<'a>(node: Link<'a>, from: Position, mut visit: impl FnMut(Position, Link<'a>) -> bool) {
    if from < TERMINAL {
        let terminal = node.header().terminal.load();
        if !terminal.is_null() && !visit(TERMINAL, terminal) {
            return;
        }
    }
    let first = (from + 1).max(0);
    if first > Position::from(u8::MAX) {
        return;
    }
    let first = first as u8;
    match node.target() {
        Target::Node4(_) | Target::Node16(_) => {
            let bytes = bytes_of(node);
            let mut at = bytes.at_or_after(first);
            while let Some(byte) = at {
                if !slot(node, byte).is_none_or(|slot| visit(byte.into(), slot.load())) {
                    return;
                }
                at = byte.checked_add(1).and_then(|byte| bytes.at_or_after(byte));
            }
        }
        Target::Node48(node) => {
            for byte in first..=u8::MAX {
                if !node.slot(byte).is_none_or(|slot| visit(byte.into(), slot.load())) {
                    return;
                }
            }
        }
        Target::Node256(node) => {
            for byte in first..=u8::MAX {
                let child = node.slot(byte).load();
                if !child.is_null() && !visit(byte.into(), child) {
                    return;
                }
            }
        }
        Target::NoNode => {}
    }
}

/// Shows what a node links to before position `from`, backwards, until `visit` returns false.
#[inline]
pub(super) fn walk_down<'a>(
    node: Link<'a>,
    from: Position,
    mut visit: impl FnMut(Position, Link<'a>) -> bool,
) {
    let below = 0..from.clamp(0, AFTER_ALL);
    match node.target() {
        Target::Node4(_) | Target::Node16(_) => {
            let bytes = bytes_of(node);
            let mut end = below.end;
            while let Some(byte) = bytes.before(end) {
                if !slot(node, byte).is_none_or(|slot| visit(byte.into(), slot.load())) {
                    return;
                }
                end = byte.into();
            }
        }
        Target::Node48(node) => {
            for byte in below.rev() {
                if !node.slot(byte as u8).is_none_or(|slot| visit(byte, slot.load())) {
                    return;
                }
            }
        }
        Target::Node256(node) => {
            for byte in below.rev() {
                let child = node.slot(byte as u8).load();
                if !child.is_null() && !visit(byte, child) {
                    return;
                }
            }
        }
        Target::NoNode => return,
    }
    if from > TERMINAL {
        let terminal = node.header().terminal.load();
        if !terminal.is_null() {
            visit(TERMINAL, terminal);
        }
    }
}

/// A set of bytes: the order of children that lie in order of arrival.
struct Bytes([u64; 4]);

/// The bytes under which a node of 4 or 16 has children.
#[inline]
fn bytes_of(node: Link<'_>) -> Bytes {
    let mut bytes = Bytes([0; 4]);
    let count = node.header().control.count();
    match node.target() {
        Target::Node4(node) => (0..count.min(4)).for_each(|place| bytes.add(node.key(place))),
        Target::Node16(node) => (0..count.min(16)).for_each(|place| bytes.add(node.key(place))),
        _ => {}
    }
    bytes
}

impl Bytes {
    #[inline]
    fn add(&mut self, byte: u8) {
        self.0[byte as usize / 64] |= 1 << (byte % 64);
    }

    #[inline]
    fn at_or_after(&self, byte: u8) -> Option<u8> {
        let mut word = byte as usize / 64;
        let mut rest = self.0[word] & (u64::MAX << (byte % 64));
        while rest == 0 {
            word += 1;
            rest = *self.0.get(word)?;
        }
        Some((word * 64 + rest.trailing_zeros() as usize) as u8)
    }

    /// The last one below `end`, which is from 0 to 256.
    #[inline]
    fn before(&self, end: Position) -> Option<u8> {
        let last = u8::try_from(end - 1).ok()?;
        let mut word = last as usize / 64;
        let mut rest = self.0[word] & (u64::MAX >> (63 - last % 64));
        while rest == 0 {
            word = word.checked_sub(1)?;
            rest = self.0[word];
        }
        Some((word * 64 + 63 - rest.leading_zeros() as usize) as u8)
    }
}
