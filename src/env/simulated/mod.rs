//! A deterministic machine in memory, for crash tests: one seed, one history.
//!
//! 1. Run a workload on a `SimEnv`. Each operation that changes something is journalled with its data, and kept
//!    as long as the environment; note `journal_len()` at each acknowledgement.
//! 2. For any point of the journal and any `ImageKind` ask for `crash_image`: a new `SimEnv` with the files that a
//!    device could hold had the machine stopped there.
//! 3. Open the database in the image and compare with what had been acknowledged.
//!
//! Images share the pages of their origin until written to, so they are cheap; asking for them at ascending points
//! walks the journal once. Nothing runs in the background (`runs_inline`); `spawn` is an error. Time is simulated:
//! it moves a little with every operation and at `sleep`. A file opened past the page cache refuses what is not
//! aligned, and shows what the device holds. Paths are taken from the root, `a/b` is `/a/b`.
//!
//! Simplifications: creating, removing and renaming a directory is durable at once; there are no links.

mod content;
mod device;
mod file;
mod image;
mod world;

#[cfg(test)]
mod image_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waiting;

pub use image::ImageKind;
#[cfg(test)]
pub(crate) use waiting::Waiting;

use super::aligned::PAGE;
use super::random::Random;
use super::{Env, File, FileLock, Joinable, OpenMode, Space, action};
use crate::base::{Error, Result};
use content::Content;
use device::{Change, DeviceState, Entry, EntryChange, InodeId, Operation};
use parking_lot::Mutex;
use std::fmt::Write;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use world::{Found, World};

/// How far one operation moves the clock.
const TICK: Duration = Duration::from_micros(1);
/// What `unix_seconds` is when the clock is at 0.
const EPOCH_SECONDS: u64 = 1_700_000_000;
/// What `space` tells unless a test says otherwise.
const DEFAULT_SPACE: u64 = 1 << 40;

/// What an environment, its files and its locks share.
struct Shared {
    world: Mutex<World>,
    clock_nanos: AtomicU64,
}

impl Shared {
    fn tick(&self) {
        self.advance(TICK);
    }

    fn advance(&self, by: Duration) {
        self.clock_nanos.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }
}

/// The simulated machine.
pub struct SimEnv {
    shared: Arc<Shared>,
    random: Mutex<Random>,
    refuse_mapping: AtomicBool,
    direct_alignment: AtomicUsize,
    available: AtomicU64,
}

impl SimEnv {
    /// An empty machine whose random numbers come from `seed`.
    pub fn new(seed: u64) -> Arc<SimEnv> {
        Arc::new(SimEnv::with_state(DeviceState::empty(), seed, 0))
    }

    /// As `new`, a machine that cannot map files.
    #[cfg(test)]
    pub(crate) fn without_mapping(seed: u64) -> Arc<SimEnv> {
        let env = SimEnv::new(seed);
        env.refuse_mapping(true);
        env
    }

    fn with_state(state: DeviceState, seed: u64, clock_nanos: u64) -> SimEnv {
        SimEnv {
            shared: Arc::new(Shared {
                world: Mutex::new(World::new(state)),
                clock_nanos: AtomicU64::new(clock_nanos),
            }),
            random: Mutex::new(Random::new(seed)),
            refuse_mapping: AtomicBool::new(false),
            direct_alignment: AtomicUsize::new(PAGE),
            available: AtomicU64::new(DEFAULT_SPACE),
        }
    }

    /// From now on `CreateMapped` gives plain files, as a file system that cannot allocate ahead does. Images
    /// inherit it.
    pub fn refuse_mapping(&self, refuse: bool) {
        self.refuse_mapping.store(refuse, Ordering::Relaxed);
    }

    /// From now on files that are opened past the page cache have blocks of so many bytes; 1: none can be opened so,
    /// and plain ones are given. Images inherit it. 4096 at first.
    pub fn set_direct_alignment(&self, alignment: usize) {
        assert!(alignment.is_power_of_two());
        self.direct_alignment.store(alignment, Ordering::Relaxed);
    }

    /// From now on `space` tells that this much is available. Writes are not refused; `faulty` does that.
    pub fn set_available(&self, bytes: u64) {
        self.available.store(bytes, Ordering::Relaxed);
    }

    /// How many operations were journalled: the crash point "now".
    pub fn journal_len(&self) -> usize {
        self.shared.world.lock().journal_len()
    }

    /// The journalled operation at `at` in words: the one that a crash at point `at` keeps from happening.
    pub fn describe_operation(&self, at: usize) -> String {
        self.shared.world.lock().describe(at)
    }

    /// A new machine with what the device could hold after a crash when `at` operations were done. `seed` decides
    /// what the kind leaves to chance, and the random numbers of the new machine. Cheap for ascending `at`. Panics
    /// if `at` is past `journal_len()`.
    pub fn crash_image(&self, at: usize, kind: ImageKind, seed: u64) -> Arc<SimEnv> {
        let state = self.shared.world.lock().image(at, kind, seed);
        self.restarted(state, seed)
    }

    /// A new machine with all files as programs see them now, all of it durable.
    pub fn clone_all_durable(&self) -> Arc<SimEnv> {
        let state = self.shared.world.lock().settled();
        let seed = self.random.lock().clone().next();
        self.restarted(state, seed)
    }

    fn restarted(&self, state: DeviceState, seed: u64) -> Arc<SimEnv> {
        let env = SimEnv::with_state(state, seed, self.shared.clock_nanos.load(Ordering::Relaxed));
        env.refuse_mapping(self.refuse_mapping.load(Ordering::Relaxed));
        env.set_direct_alignment(self.direct_alignment.load(Ordering::Relaxed));
        env.set_available(self.available.load(Ordering::Relaxed));
        Arc::new(env)
    }

    /// The bytes of a file. Panics if there is none.
    pub fn read_raw(&self, path: &Path) -> Vec<u8> {
        let world = self.shared.world.lock();
        match world.find(&normalise(path)).0 {
            Found::File(id) => world.inode(id).cached.to_vec(),
            _ => panic!("read_raw of {}, which is no file", path.display()),
        }
    }

    /// Puts a file there, or replaces the bytes of one under its open handles. It is durable at once, and so are
    /// the changes made to its directory before; it counts as one journalled operation. Panics if the directory
    /// does not exist.
    pub fn write_raw(&self, path: &Path, bytes: &[u8]) {
        let mut world = self.shared.world.lock();
        let (inode, entry) = match world.find(&normalise(path)) {
            (Found::File(id), Some(entry)) => (id, entry),
            (Found::Nothing, Some(entry)) => (world.new_inode(), entry),
            _ => panic!("write_raw of {}, which cannot be a file", path.display()),
        };
        world.carry_out(Operation::Put { entry, inode, content: Arc::new(Content::of(bytes)) });
    }

    /// The paths of all files, sorted.
    pub fn list_all(&self) -> Vec<PathBuf> {
        image::list(self.shared.world.lock().directories()).map(|(path, _)| path).collect()
    }

    /// One line a file: path, length, and what of it is not synced. For messages of tests that fail.
    pub fn dump(&self) -> String {
        let world = self.shared.world.lock();
        let mut text = String::new();
        for (path, id) in image::list(world.directories()) {
            let inode = world.inode(id);
            let _ = write!(text, "{} {} bytes", path.display(), inode.cached.len());
            if !inode.unsynced.is_empty() {
                let _ = write!(text, ", {} unsynced changes", inode.unsynced.len());
            }
            text.push_str(if inode.diverged { ", bytes lost by a failed sync\n" } else { "\n" });
        }
        text
    }

    fn create(&self, world: &mut World, path: &Path, found: (Found, Option<Entry>)) -> Result<InodeId> {
        match found {
            (Found::File(inode), _) => {
                if world.inode(inode).cached.len() > 0 {
                    world.carry_out(Operation::Change { inode, change: Change::SetLen(0) });
                }
                Ok(inode)
            }
            (Found::Directory, _) => Err(action::refused(path, action::CREATE, libc::EISDIR)),
            (Found::Nothing, Some(entry)) => {
                let inode = world.new_inode();
                world.carry_out(Operation::Entry(EntryChange::Link { entry, inode }));
                Ok(inode)
            }
            (Found::Nothing, None) => Err(action::refused(path, action::CREATE, libc::ENOENT)),
        }
    }

    fn open_existing(&self, path: &Path, found: Found) -> Result<InodeId> {
        match found {
            Found::File(inode) => Ok(inode),
            Found::Directory => Err(action::refused(path, action::OPEN, libc::EISDIR)),
            Found::Nothing => Err(action::refused(path, action::OPEN, libc::ENOENT)),
        }
    }

    fn rename_directory(&self, world: &mut World, from: &Path, to: &Path, target: Found) -> Result<()> {
        let refused = |errno| Err(action::rename_refused(from, to, errno));
        match target {
            _ if to.starts_with(from) => return refused(libc::EINVAL),
            Found::File(_) => return refused(libc::ENOTDIR),
            Found::Directory if !names_in(world, to).is_empty() => return refused(libc::ENOTEMPTY),
            Found::Nothing if !to.parent().is_some_and(|parent| world.is_directory(parent)) => {
                return refused(libc::ENOENT);
            }
            Found::Directory | Found::Nothing => {}
        }
        world.carry_out(Operation::RenameDirectory { from: from.into(), to: to.into() });
        Ok(())
    }
}

/// The path from the root, without `.` and `..`.
fn normalise(path: &Path) -> PathBuf {
    let mut normal = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => drop(normal.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    normal
}

/// Files and directories in a directory.
fn names_in(world: &World, dir: &Path) -> Vec<String> {
    let files = world.directories().get(dir).into_iter().flat_map(|names| names.keys());
    let directories = world.directories().keys().filter(|path| path.parent() == Some(dir));
    let directories = directories.filter_map(|path| path.file_name()?.to_str().map(str::to_string));
    files.map(|name| name.to_string()).chain(directories).collect()
}

impl Env for SimEnv {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        self.shared.tick();
        let mut world = self.shared.world.lock();
        let found = world.find(&normalise(path));
        let mut mapped_to = None;
        let inode = match mode {
            OpenMode::Read | OpenMode::ReadWrite | OpenMode::ReadDirect | OpenMode::ReadWriteDirect => {
                self.open_existing(path, found.0)?
            }
            OpenMode::Create | OpenMode::CreateDirect => self.create(&mut world, path, found)?,
            OpenMode::CreateMapped { capacity } => {
                let inode = self.create(&mut world, path, found)?;
                if capacity > 0 && capacity <= i64::MAX as u64 && !self.refuse_mapping.load(Ordering::Relaxed)
                {
                    world.carry_out(Operation::Change { inode, change: Change::SetLen(capacity) });
                    mapped_to = Some(Mutex::new(capacity));
                }
                inode
            }
        };
        drop(world);
        let (shared, path, writable) = (self.shared.clone(), path.to_path_buf(), mode.is_for_writing());
        let alignment = if mode.is_direct() { self.direct_alignment.load(Ordering::Relaxed) } else { 1 };
        Ok(Arc::new(file::SimFile { shared, inode, path, writable, alignment, mapped_to }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.shared.tick();
        let mut world = self.shared.world.lock();
        let (old, new) = (normalise(from), normalise(to));
        let refused = |errno| Err(action::rename_refused(from, to, errno));
        match (world.find(&old), world.find(&new)) {
            ((Found::Nothing, _), _) => refused(libc::ENOENT),
            _ if old == new => Ok(()),
            ((Found::Directory, _), (target, _)) => self.rename_directory(&mut world, &old, &new, target),
            ((Found::File(_), _), (Found::Directory, _)) => refused(libc::EISDIR),
            ((Found::File(inode), Some(from)), (_, Some(to))) => {
                world.carry_out(Operation::Entry(EntryChange::Move { from, to, inode }));
                Ok(())
            }
            _ => refused(libc::ENOENT),
        }
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.shared.tick();
        let mut world = self.shared.world.lock();
        match world.find(&normalise(path)) {
            (Found::File(_), Some(entry)) => {
                world.carry_out(Operation::Entry(EntryChange::Unlink { entry }));
                Ok(())
            }
            (Found::Directory, _) => Err(action::refused(path, action::REMOVE, libc::EISDIR)),
            _ => Err(action::refused(path, action::REMOVE, libc::ENOENT)),
        }
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.shared.tick();
        let mut world = self.shared.world.lock();
        let normal = normalise(path);
        let refused = |errno| Err(action::refused(path, action::REMOVE_DIR, errno));
        match world.find(&normal).0 {
            Found::Nothing => refused(libc::ENOENT),
            Found::File(_) => refused(libc::ENOTDIR),
            Found::Directory if normal.parent().is_none() => refused(libc::EBUSY),
            Found::Directory if !names_in(&world, &normal).is_empty() => refused(libc::ENOTEMPTY),
            Found::Directory => {
                world.carry_out(Operation::RemoveDirectory(normal.into()));
                Ok(())
            }
        }
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.shared.tick();
        let world = self.shared.world.lock();
        let normal = normalise(dir);
        match world.find(&normal).0 {
            Found::Directory => Ok(names_in(&world, &normal)),
            Found::File(_) => Err(action::refused(dir, action::LIST, libc::ENOTDIR)),
            Found::Nothing => Err(action::refused(dir, action::LIST, libc::ENOENT)),
        }
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        self.shared.tick();
        let mut world = self.shared.world.lock();
        let normal = normalise(dir);
        let mut missing: Vec<&Path> = Vec::new();
        for path in normal.ancestors() {
            match world.find(path).0 {
                Found::Directory => break,
                Found::File(_) => {
                    let errno = if missing.is_empty() { libc::EEXIST } else { libc::ENOTDIR };
                    return Err(action::refused(dir, action::CREATE_DIR, errno));
                }
                Found::Nothing => missing.push(path),
            }
        }
        for path in missing.into_iter().rev() {
            world.carry_out(Operation::CreateDirectory(path.into()));
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.shared.tick();
        let mut world = self.shared.world.lock();
        let normal = normalise(dir);
        if !world.is_directory(&normal) {
            return Err(action::refused(dir, action::SYNC_DIR, libc::ENOENT));
        }
        world.carry_out(Operation::SyncDirectory(normal.into()));
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        !matches!(self.shared.world.lock().find(&normalise(path)).0, Found::Nothing)
    }

    fn file_len(&self, path: &Path) -> Result<u64> {
        let world = self.shared.world.lock();
        match world.find(&normalise(path)).0 {
            Found::File(id) => Ok(world.inode(id).cached.len()),
            Found::Directory => Err(action::refused(path, action::LENGTH, libc::EISDIR)),
            Found::Nothing => Err(action::refused(path, action::LENGTH, libc::ENOENT)),
        }
    }

    /// In memory; images begin with all locks free.
    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>> {
        self.shared.tick();
        let mut world = self.shared.world.lock();
        let normal = normalise(path);
        match world.find(&normal) {
            (Found::Nothing, Some(entry)) => {
                let inode = world.new_inode();
                world.carry_out(Operation::Entry(EntryChange::Link { entry, inode }));
            }
            (Found::Nothing, None) => return Err(action::refused(path, action::LOCK, libc::ENOENT)),
            (Found::Directory, _) => return Err(action::refused(path, action::LOCK, libc::EISDIR)),
            (Found::File(_), _) => {}
        }
        if !world.locks.insert(normal.clone()) {
            return Err(action::locked(path, Some(std::process::id())));
        }
        Ok(Box::new(SimLock { shared: self.shared.clone(), path: normal }))
    }

    fn space(&self, dir: &Path) -> Result<Space> {
        if !self.exists(dir) {
            return Err(action::refused(dir, action::SPACE, libc::ENOENT));
        }
        let available = self.available.load(Ordering::Relaxed);
        Ok(Space { available, total: DEFAULT_SPACE.max(available) })
    }

    /// Looking at the clock moves it too, so that a loop which waits for a time ends.
    fn now(&self) -> Duration {
        self.shared.tick();
        Duration::from_nanos(self.shared.clock_nanos.load(Ordering::Relaxed))
    }

    fn unix_seconds(&self) -> u64 {
        EPOCH_SECONDS + self.now().as_secs()
    }

    fn sleep(&self, duration: Duration) {
        self.shared.advance(duration);
    }

    fn random(&self) -> u64 {
        self.random.lock().next()
    }

    /// Always an error: background work runs in the thread that schedules it.
    fn spawn(&self, name: &str, _nice: u8, _body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Joinable>> {
        Err(Error::not_implemented(format!("thread {name}: the simulated environment runs inline")))
    }

    fn runs_inline(&self) -> bool {
        true
    }
}

/// A lock held in a simulated environment.
struct SimLock {
    shared: Arc<Shared>,
    path: PathBuf,
}

impl FileLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.shared.world.lock().locks.remove(&self.path);
    }
}
