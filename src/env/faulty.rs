//! An environment that passes everything on to another and makes chosen operations fail, as a bad device, a full
//! one or a process without free descriptors does.
//!
//! 1. `FaultPlan::count` a selection while the workload runs once without faults.
//! 2. For each n below that count run it again with `FaultPlan::arm` and the n-th operation failing, once or
//!    until `heal`.
//! 3. Check what the workload promised.
//!
//! Or, with `FaultPlan::interrupt`, a test does something else before each operation of a selection: what another
//! thread could do then, in a place and an order that are the same every time.
//!
//! Errors are built as `posix` builds them, so nothing can tell the difference. A sync that fails, also as it begins,
//! leaves the unsynced bytes of a simulated file in the state a real one has them in (`File::lose_unsynced`); other
//! failed operations change nothing, but a short write writes half. Writes through a mapping are memory copies and
//! never fail; for faults at every write use an environment that refuses to map.

use super::{Env, File, FileLock, Joinable, OpenMode, Space, action};
use crate::base::{Error, Result};
use parking_lot::Mutex;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What kind of operation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationClass {
    /// Opening an existing file.
    Open,
    /// Creating a file, and allocating it ahead.
    Create,
    /// Reading bytes.
    Read,
    /// Writing bytes by a system call.
    Write,
    /// Cutting or extending a file.
    Truncate,
    /// Syncing a file.
    Sync,
    /// Having the system begin to write what a sync will wait for.
    BeginSync,
    /// Syncing a directory.
    SyncDir,
    /// Renaming.
    Rename,
    /// Removing a file or a directory.
    Remove,
    /// Creating directories.
    CreateDir,
    /// Taking the lock.
    Lock,
    /// Listing a directory, asking for a length or the free space.
    Inspect,
}

use OperationClass::{
    BeginSync, Create, CreateDir, Inspect, Lock, Open, Read, Remove, Rename, Sync, SyncDir, Truncate, Write,
};

/// Which operations count.
#[derive(Clone, Debug)]
pub struct Selection {
    classes: Vec<OperationClass>,
    name_part: Option<String>,
}

impl Selection {
    /// Operations of these classes.
    pub fn of(classes: &[OperationClass]) -> Selection {
        Selection { classes: classes.to_vec(), name_part: None }
    }

    /// All that change something or make a change durable.
    pub fn mutating() -> Selection {
        Selection::of(&[Create, Write, Truncate, Sync, BeginSync, SyncDir, Rename, Remove, CreateDir])
    }

    /// All that only look.
    pub fn reading() -> Selection {
        Selection::of(&[Open, Read, Inspect])
    }

    /// All that can fail.
    pub fn all() -> Selection {
        let mut all = Selection::mutating();
        all.classes.extend([Open, Read, Inspect, Lock]);
        all
    }

    /// Of these, those on files or directories whose name (the last part of the path; either one of a rename)
    /// contains `part`: a suffix such as ".vlog", or "MANIFEST-".
    pub fn named(mut self, part: &str) -> Selection {
        self.name_part = Some(part.to_string());
        self
    }

    fn contains(&self, class: OperationClass, paths: &[&Path]) -> bool {
        let name_matches = |part: &String| {
            paths
                .iter()
                .any(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(part)))
        };
        self.classes.contains(&class) && self.name_part.as_ref().is_none_or(name_matches)
    }
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// With this error; nothing is done.
    Errno(i32),
    /// A write: half of the bytes are written, then this error. Other operations fail as with `Errno`.
    ShortWrite(i32),
}

impl Failure {
    /// The device is broken (EIO).
    pub const BROKEN: Failure = Failure::Errno(libc::EIO);
    /// The device is full (ENOSPC).
    pub const FULL: Failure = Failure::Errno(libc::ENOSPC);
    /// The process has too many open files (EMFILE).
    pub const TOO_MANY_FILES: Failure = Failure::Errno(libc::EMFILE);

    fn errno(self) -> i32 {
        match self {
            Failure::Errno(errno) | Failure::ShortWrite(errno) => errno,
        }
    }
}

/// What fails, when and how.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which operations are counted.
    pub selection: Selection,
    /// How many of them succeed before.
    pub nth: u64,
    /// How the next fails.
    pub failure: Failure,
    /// Whether all of the selection fail from then on, until `heal`.
    pub lasting: bool,
}

/// What a test does before an operation of this class on this path.
pub type Interruption = Arc<dyn Fn(OperationClass, &Path) + Send + std::marker::Sync>;

/// Counts operations and decides which fail. Shared between the test and the environment.
#[derive(Default)]
pub struct FaultPlan {
    state: Mutex<PlanState>,
    /// Taken out while it runs: operations of its own do not interrupt it.
    interruption: Mutex<Option<(Selection, Interruption)>>,
}

#[derive(Default)]
struct PlanState {
    selection: Option<Selection>,
    /// How many succeed, how the next fails, and whether those after it do.
    armed: Option<(u64, Failure, bool)>,
    seen: u64,
    fired: u64,
}

impl FaultPlan {
    /// Counts the operations of `selection` from now on; none fails.
    pub fn count(&self, selection: Selection) {
        *self.state.lock() = PlanState { selection: Some(selection), ..PlanState::default() };
    }

    /// Makes `fault` happen; counts begin anew.
    pub fn arm(&self, fault: Fault) {
        let armed = Some((fault.nth, fault.failure, fault.lasting));
        *self.state.lock() = PlanState { selection: Some(fault.selection), armed, ..PlanState::default() };
    }

    /// Nothing fails any more. Counting goes on.
    pub fn heal(&self) {
        self.state.lock().armed = None;
    }

    /// Operations of the selection since `count` or `arm`, failed ones too.
    pub fn seen(&self) -> u64 {
        self.state.lock().seen
    }

    /// Operations made to fail since `arm`.
    pub fn fired(&self) -> u64 {
        self.state.lock().fired
    }

    /// Calls `interruption` before each operation of `selection`, in the thread that is about to do it and with the
    /// locks that this one holds: it may use the database only where those are known to be none.
    pub fn interrupt(&self, selection: Selection, interruption: Interruption) {
        *self.interruption.lock() = Some((selection, interruption));
    }

    /// Interrupts nothing any more. From within an interruption: `interrupt` with an empty selection.
    pub fn interrupt_no_more(&self) {
        *self.interruption.lock() = None;
    }

    fn let_interrupt(&self, class: OperationClass, paths: &[&Path]) {
        let mut slot = self.interruption.lock();
        if !slot.as_ref().is_some_and(|(selection, _)| selection.contains(class, paths)) {
            return;
        }
        let Some((selection, interruption)) = slot.take() else { return };
        drop(slot);
        interruption(class, paths[0]);
        self.interruption.lock().get_or_insert((selection, interruption));
    }

    /// Counts an operation; tells how it is to fail, if it is.
    fn meet(&self, class: OperationClass, paths: &[&Path]) -> Option<Failure> {
        self.let_interrupt(class, paths);
        let mut state = self.state.lock();
        if !state.selection.as_ref()?.contains(class, paths) {
            return None;
        }
        let index = state.seen;
        state.seen += 1;
        let (nth, failure, lasting) = state.armed?;
        let fails = index == nth || (lasting && index > nth);
        state.fired += u64::from(fails);
        fails.then_some(failure)
    }

    /// `meet` for operations that fail as a whole.
    fn check(&self, class: OperationClass, path: &Path, action: &str) -> Result<()> {
        match self.meet(class, &[path]) {
            Some(failure) => Err(action::refused(path, action, failure.errno())),
            None => Ok(()),
        }
    }
}

/// The environment that fails.
pub struct FaultyEnv {
    inner: Arc<dyn Env>,
    plan: Arc<FaultPlan>,
}

impl FaultyEnv {
    /// Passes everything on to `inner` until the plan is given a fault.
    pub fn new(inner: Arc<dyn Env>) -> Arc<FaultyEnv> {
        Arc::new(FaultyEnv { inner, plan: Arc::default() })
    }

    /// What decides on failures.
    pub fn plan(&self) -> &Arc<FaultPlan> {
        &self.plan
    }
}

impl Env for FaultyEnv {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let (class, action) = match mode {
            OpenMode::Read | OpenMode::ReadWrite => (Open, action::OPEN),
            OpenMode::ReadDirect | OpenMode::ReadWriteDirect => (Open, action::OPEN),
            OpenMode::Create | OpenMode::CreateDirect => (Create, action::CREATE),
            OpenMode::CreateMapped { .. } => (Create, action::ALLOCATE),
        };
        self.plan.check(class, path, action)?;
        let inner = self.inner.open(path, mode)?;
        Ok(Arc::new(FaultyFile { inner, plan: self.plan.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        match self.plan.meet(Rename, &[from, to]) {
            Some(failure) => Err(action::rename_refused(from, to, failure.errno())),
            None => self.inner.rename(from, to),
        }
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.plan.check(Remove, path, action::REMOVE)?;
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.plan.check(Remove, path, action::REMOVE_DIR)?;
        self.inner.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.plan.check(Inspect, dir, action::LIST)?;
        self.inner.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        self.plan.check(CreateDir, dir, action::CREATE_DIR)?;
        self.inner.create_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.plan.check(SyncDir, dir, action::SYNC_DIR)?;
        self.inner.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner.exists(path)
    }

    fn file_len(&self, path: &Path) -> Result<u64> {
        self.plan.check(Inspect, path, action::LENGTH)?;
        self.inner.file_len(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>> {
        self.plan.check(Lock, path, action::LOCK)?;
        self.inner.lock(path)
    }

    fn space(&self, dir: &Path) -> Result<Space> {
        self.plan.check(Inspect, dir, action::SPACE)?;
        self.inner.space(dir)
    }

    fn now(&self) -> Duration {
        self.inner.now()
    }

    fn unix_seconds(&self) -> u64 {
        self.inner.unix_seconds()
    }

    fn sleep(&self, duration: Duration) {
        self.inner.sleep(duration);
    }

    fn random(&self) -> u64 {
        self.inner.random()
    }

    fn spawn(&self, name: &str, nice: u8, body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Joinable>> {
        self.inner.spawn(name, nice, body)
    }

    fn runs_inline(&self) -> bool {
        self.inner.runs_inline()
    }
}

struct FaultyFile {
    inner: Arc<dyn File>,
    plan: Arc<FaultPlan>,
}

impl FaultyFile {
    fn check(&self, class: OperationClass, action: &str) -> Result<()> {
        self.plan.check(class, self.path(), action)
    }

    /// `check` for what loses the unsynced bytes when it fails.
    fn check_sync(&self, class: OperationClass) -> Result<()> {
        self.check(class, action::SYNC).inspect_err(|_| self.inner.lose_unsynced())
    }

    /// Writes the first half of `parts`, in whole blocks; the error of the write as a whole.
    fn write_half(&self, offset: u64, parts: &[IoSlice<'_>], errno: i32) -> Error {
        let mut left = parts.iter().map(|part| part.len()).sum::<usize>() / 2;
        left -= left % self.alignment();
        let mut half: Vec<IoSlice<'_>> = Vec::new();
        for part in parts {
            let taken = left.min(part.len());
            half.push(IoSlice::new(&part[..taken]));
            left -= taken;
        }
        match self.inner.write_at(offset, &half) {
            Ok(()) => action::refused(self.path(), action::WRITE, errno),
            Err(error) => error,
        }
    }
}

impl File for FaultyFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.check(Read, action::READ)?;
        self.inner.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> Result<()> {
        if self.inner.is_mapped() {
            return self.inner.write_at(offset, parts);
        }
        match self.plan.meet(Write, &[self.path()]) {
            None => self.inner.write_at(offset, parts),
            Some(Failure::Errno(errno)) => Err(action::refused(self.path(), action::WRITE, errno)),
            Some(Failure::ShortWrite(errno)) => Err(self.write_half(offset, parts, errno)),
        }
    }

    fn sync_data(&self) -> Result<()> {
        self.check_sync(Sync)?;
        self.inner.sync_data()
    }

    fn sync_first(&self, len: u64) -> Result<()> {
        self.check_sync(Sync)?;
        self.inner.sync_first(len)
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.check(Truncate, action::TRUNCATE)?;
        self.inner.truncate(len)
    }

    fn len(&self) -> Result<u64> {
        self.check(Inspect, action::LENGTH)?;
        self.inner.len()
    }

    fn alignment(&self) -> usize {
        self.inner.alignment()
    }

    fn is_mapped(&self) -> bool {
        self.inner.is_mapped()
    }

    fn is_written_in_place(&self) -> bool {
        self.inner.is_written_in_place()
    }

    fn populate(&self, from: u64, to: u64) {
        self.inner.populate(from, to);
    }

    fn release(&self, from: u64, to: u64) {
        self.inner.release(from, to);
    }

    fn will_need(&self, offset: u64, len: u64) {
        self.inner.will_need(offset, len);
    }

    fn begin_sync(&self, offset: u64, len: u64) -> Result<()> {
        self.check_sync(BeginSync)?;
        self.inner.begin_sync(offset, len)
    }

    fn drop_cache(&self) {
        self.inner.drop_cache();
    }

    fn lose_unsynced(&self) {
        self.inner.lose_unsynced();
    }

    /// Never, so that every read goes through `read_at` and can fail.
    fn map_for_reading(&self) -> Option<Arc<dyn AsRef<[u8]> + Send + std::marker::Sync>> {
        None
    }

    fn path(&self) -> &Path {
        self.inner.path()
    }
}

#[cfg(test)]
mod tests;
