//! Crash images: what a device may hold when the machine stops, for each way that devices and file systems leave
//! what was not synced.
//!
//! An image is made of the device's state at one point of the journal: first the directories (which unsynced
//! changes of entries reached the device), then each file that they reach (which unsynced changes of bytes did).
//! What was synced is in every image. A rename happened or did not.

use super::content::Content;
use super::device::{Change, DeviceState, Directories, EntryChange, Inode, InodeId};
use crate::env::random::Random;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Bytes a device writes as a whole.
const SECTOR_SIZE: u64 = 512;

/// How a crash leaves what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageKind {
    /// The process was killed, the machine runs on: all that was written is there, in the page cache. What was not
    /// synced is still not synced, so a later image of the image may lose it.
    ProcessCrash,
    /// Power loss after the system had written everything out by itself.
    Everything,
    /// Power loss; only what was synced is there. A file whose entry was never synced is gone.
    SyncedOnly,
    /// Each file has a random prefix of its unsynced changes, the last one perhaps in part; of the unsynced changes
    /// of entries all or a prefix are there.
    Prefix,
    /// Each unsynced sector of each file is there or not by itself, and so is the new length.
    RandomSectors,
    /// Files have their new length; what was not synced reads as zeros.
    ZeroTails,
    /// Files have their new length; what was not synced is zeros, random bytes, bytes of another, perhaps removed,
    /// file, or the right ones.
    GarbageTails,
    /// All bytes are there; a random part of the unsynced changes of entries, or all but a prefix, is lost.
    DirOpsLost,
    /// As `SyncedOnly`, but `*.log` files have everything that was written to them.
    LogKeptValuesLost,
    /// As `SyncedOnly`, but `*.vlog` files have everything that was written to them.
    ValuesKeptLogLost,
}

impl ImageKind {
    /// All kinds.
    pub const ALL: [ImageKind; 10] = [
        ImageKind::ProcessCrash,
        ImageKind::Everything,
        ImageKind::SyncedOnly,
        ImageKind::Prefix,
        ImageKind::RandomSectors,
        ImageKind::ZeroTails,
        ImageKind::GarbageTails,
        ImageKind::DirOpsLost,
        ImageKind::LogKeptValuesLost,
        ImageKind::ValuesKeptLogLost,
    ];
}

/// The image of `kind` of `state`; `seed` decides what is left to chance.
pub(super) fn make(state: &DeviceState, kind: ImageKind, seed: u64) -> DeviceState {
    let random = &mut Random::new(seed);
    let directories = choose_directories(state, kind, random);
    let written_out = |inode: &Arc<Inode>| Arc::new(Inode::settled(inode.written_out()));
    let synced_only = |inode: &Arc<Inode>| Arc::new(Inode::settled(inode.durable.clone()));
    match kind {
        ImageKind::ProcessCrash => {
            let mut image = state.with(directories, |_, inode| inode.clone());
            keep_unsynced(&mut image, state);
            image
        }
        ImageKind::Everything | ImageKind::DirOpsLost => {
            state.with(directories, |_, inode| written_out(inode))
        }
        ImageKind::SyncedOnly => state.with(directories, |_, inode| synced_only(inode)),
        ImageKind::LogKeptValuesLost | ImageKind::ValuesKeptLogLost => {
            let kept = inodes_named(&directories, kept_suffix(kind));
            state.with(
                directories,
                |id, inode| {
                    if kept.contains(&id) { written_out(inode) } else { synced_only(inode) }
                },
            )
        }
        ImageKind::Prefix => state.with(directories, |_, inode| settle(inode, random, prefix)),
        ImageKind::RandomSectors => state.with(directories, |_, inode| settle(inode, random, random_sectors)),
        ImageKind::ZeroTails => state.with(directories, |_, inode| settle(inode, random, zero_tail)),
        ImageKind::GarbageTails => state.with(directories, |_, inode| {
            settle(inode, random, |inode, random| garbage_tail(state, inode, random))
        }),
    }
}

/// After a process crash the directories' unsynced changes stay unsynced, and files that only the device still
/// names (their removal was not synced) stay too.
fn keep_unsynced(image: &mut DeviceState, state: &DeviceState) {
    image.durable = state.durable.clone();
    image.unsynced = state.unsynced.clone();
    let named_by_device = state.durable.values().flat_map(|names| names.values().copied());
    let named_by_changes = state.unsynced.iter().filter_map(|change| match change {
        EntryChange::Link { inode, .. } | EntryChange::Move { inode, .. } => Some(*inode),
        EntryChange::Unlink { .. } => None,
    });
    for id in named_by_device.chain(named_by_changes) {
        image.inodes.entry(id).or_insert_with(|| state.inodes[&id].clone());
    }
}

fn kept_suffix(kind: ImageKind) -> &'static str {
    if kind == ImageKind::LogKeptValuesLost { ".log" } else { ".vlog" }
}

fn inodes_named(directories: &Directories, suffix: &str) -> Vec<InodeId> {
    let names = directories.values().flatten();
    names.filter(|(name, _)| name.ends_with(suffix)).map(|(_, inode)| *inode).collect()
}

/// The entries of the image.
fn choose_directories(state: &DeviceState, kind: ImageKind, random: &mut Random) -> Directories {
    let count = state.unsynced.len();
    let all = vec![true; count];
    let kept: Vec<bool> = match kind {
        ImageKind::ProcessCrash | ImageKind::Everything => return state.cached.clone(), // D3
        ImageKind::ZeroTails | ImageKind::GarbageTails => return state.cached.clone(),
        ImageKind::SyncedOnly => return state.durable.clone(),
        ImageKind::Prefix if random.coin() => all,
        ImageKind::Prefix => some_prefix(count, random),
        ImageKind::RandomSectors if random.coin() => all,
        ImageKind::RandomSectors => some_subset(count, random),
        ImageKind::DirOpsLost if random.coin() => some_prefix(count, random),
        ImageKind::DirOpsLost => some_subset(count, random),
        ImageKind::LogKeptValuesLost | ImageKind::ValuesKeptLogLost => {
            let suffix = kept_suffix(kind);
            state.unsynced.iter().map(|change| change.entry().name.ends_with(suffix)).collect()
        }
    };
    let mut directories = state.durable.clone();
    for (change, _) in state.unsynced.iter().zip(kept).filter(|(_, kept)| *kept) {
        change.apply(&mut directories);
    }
    directories
}

fn some_prefix(count: usize, random: &mut Random) -> Vec<bool> {
    let kept = random.below(count as u64 + 1) as usize;
    (0..count).map(|index| index < kept).collect()
}

fn some_subset(count: usize, random: &mut Random) -> Vec<bool> {
    (0..count).map(|_| random.coin()).collect()
}

/// An inode with the bytes that `how` makes; nothing is made up for files without unsynced changes.
fn settle(
    inode: &Arc<Inode>,
    random: &mut Random,
    how: impl FnOnce(&Inode, &mut Random) -> Content,
) -> Arc<Inode> {
    let content =
        if inode.unsynced.is_empty() { inode.durable.clone() } else { Arc::new(how(inode, random)) };
    Arc::new(Inode::settled(content))
}

fn prefix(inode: &Inode, random: &mut Random) -> Content {
    let mut content = (*inode.durable).clone();
    let kept = random.below(inode.unsynced.len() as u64 + 1) as usize;
    inode.unsynced[..kept].iter().for_each(|change| change.apply(&mut content));
    if let Some(Change::Write { offset, bytes }) = inode.unsynced.get(kept)
        && random.coin()
    {
        content.write_at(*offset, &bytes[..random.below(bytes.len() as u64) as usize]);
    }
    content
}

/// The parts of a write that lie in one sector each: sector number, offset, bytes.
fn sectors(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, u64, &[u8])> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let place = offset + done as u64;
        let size = ((SECTOR_SIZE - place % SECTOR_SIZE) as usize).min(bytes.len() - done);
        let part = (place / SECTOR_SIZE, place, &bytes[done..done + size]);
        done += size;
        (size > 0).then_some(part)
    })
}

/// A sector that was written several times may hold any of its versions: its first n writes for some n.
fn random_sectors(inode: &Inode, random: &mut Random) -> Content {
    let mut versions: BTreeMap<u64, u64> = BTreeMap::new();
    for change in &inode.unsynced {
        if let Change::Write { offset, bytes } = change {
            sectors(*offset, bytes).for_each(|(sector, _, _)| *versions.entry(sector).or_default() += 1);
        }
    }
    for left in versions.values_mut() {
        *left = match random.below(5) {
            0 | 1 => 0,
            2 | 3 => *left,
            _ => random.below(*left + 1),
        };
    }
    let with_lengths = random.coin();
    let mut content = (*inode.durable).clone();
    for change in &inode.unsynced {
        match change {
            Change::SetLen(len) if with_lengths => content.set_len(*len),
            Change::SetLen(_) => {}
            Change::Write { offset, bytes } => {
                for (sector, place, part) in sectors(*offset, bytes) {
                    let left = versions.get_mut(&sector).expect("counted above");
                    if *left > 0 {
                        *left -= 1;
                        content.write_at(place, part);
                    }
                }
            }
        }
    }
    match (with_lengths, random.coin()) {
        (true, _) => content.set_len(inode.written_out().len()),
        (false, true) => content.set_len(inode.durable.len()),
        (false, false) => {}
    }
    content
}

fn zero_tail(inode: &Inode, _: &mut Random) -> Content {
    let mut content = (*inode.durable).clone();
    content.set_len(content.len().max(inode.written_out().len()));
    content
}

fn garbage_tail(state: &DeviceState, inode: &Inode, random: &mut Random) -> Content {
    let mut content = zero_tail(inode, random);
    let len = content.len();
    for change in &inode.unsynced {
        let Change::Write { offset, bytes } = change else { continue };
        let mut garbage = vec![0; bytes.len()];
        match random.below(5) {
            0 => {}
            1 => garbage.copy_from_slice(bytes),
            2 => random.fill(&mut garbage),
            _ => stale_bytes(state, *offset, &mut garbage, random),
        }
        content.write_at(*offset, &garbage);
    }
    content.set_len(len); // a write may have been cut off again
    content
}

/// What some file, perhaps removed, had at `offset` or at its beginning: a block that was freed and used again.
fn stale_bytes(state: &DeviceState, offset: u64, buffer: &mut [u8], random: &mut Random) {
    let count = state.inodes.len() as u64;
    if let Some(other) = state.inodes.values().nth(random.below(count.max(1)) as usize)
        && other.cached.read_at(offset, buffer) == 0
    {
        other.cached.read_at(0, buffer);
    }
}

/// The path and the inode of each file.
pub(super) fn list(directories: &Directories) -> impl Iterator<Item = (std::path::PathBuf, InodeId)> {
    directories
        .iter()
        .flat_map(|(directory, names)| names.iter().map(|(name, id)| (Path::join(directory, &**name), *id)))
}
