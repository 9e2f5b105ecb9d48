//! What only the operating system does.

use super::super::tests::TempDir;
use super::*;
use crate::base::error::Subcode;
use crate::env::aligned::AlignedBuffer;
use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::sync::mpsc;

#[test]
fn a_lock_is_refused_through_another_path_too() {
    let temporary = TempDir::new();
    let (real, link) = (temporary.0.join("real"), temporary.0.join("link"));
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let env = PosixEnv::shared();
    let held = env.lock(&real.join("LOCK")).unwrap();
    let refused = env.lock(&link.join("LOCK")).err().unwrap();
    assert_eq!(refused.subcode(), Subcode::Locked);
    assert!(refused.to_string().contains("/link/LOCK: lock held by process"), "{refused}");
    assert_eq!(fs::read_to_string(real.join("LOCK")).unwrap(), format!("{}\n", std::process::id()));
    drop(held);
    drop(env.lock(&link.join("LOCK")).unwrap());
}

#[test]
fn another_process_that_holds_the_lock_is_named() {
    let temporary = TempDir::new();
    let path = temporary.0.join("LOCK");
    // To the kernel another open file description is as good as another process.
    let other =
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
    fs::write(&path, "4242\n").unwrap();
    lock::set_lock(&other, libc::F_WRLCK).unwrap();
    let env = PosixEnv::shared();
    let text = env.lock(&path).err().unwrap().to_string();
    assert!(text.contains("/LOCK: lock held by process 4242; close"), "{text}");
    fs::write(&path, "").unwrap();
    let text = env.lock(&path).err().unwrap().to_string();
    assert!(text.contains("/LOCK: lock held by another process; close"), "{text}");
    lock::set_lock(&other, libc::F_UNLCK).unwrap();
    env.lock(&path).unwrap();
}

#[test]
fn a_forked_child_that_closes_its_copy_does_not_let_go() {
    let temporary = TempDir::new();
    let path = temporary.0.join("LOCK");
    let ours = lock::PosixLock::take(&path).unwrap();
    // SAFETY: the child calls only close and _exit, which are async-signal-safe.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: the descriptor is the child's own copy; nothing else runs in the child.
        unsafe {
            libc::close(ours.descriptor());
            libc::_exit(0);
        }
    }
    let mut status = -1;
    // SAFETY: waits for the child made above; `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    let prober = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let refused = lock::set_lock(&prober, libc::F_WRLCK).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EAGAIN));
    drop(ours);
    lock::set_lock(&prober, libc::F_WRLCK).unwrap();
}

#[test]
fn the_holder_lets_go_though_a_copy_of_the_descriptor_lives() {
    let temporary = TempDir::new();
    let path = temporary.0.join("LOCK");
    let ours = lock::PosixLock::take(&path).unwrap();
    // SAFETY: duplicates an open descriptor, as a fork would.
    let copy = unsafe { libc::dup(ours.descriptor()) };
    assert!(copy >= 0);
    drop(ours);
    drop(lock::PosixLock::take(&path).unwrap());
    // SAFETY: made above and used no more.
    unsafe { libc::close(copy) };
}

#[test]
fn a_removed_lock_file_is_made_anew() {
    let temporary = TempDir::new();
    let path = temporary.0.join("LOCK");
    let env = PosixEnv::shared();
    let first = env.lock(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let second = env.lock(&path).unwrap();
    drop(first);
    assert!(env.lock(&path).is_err());
    drop(second);
    env.lock(&path).unwrap();
}

#[test]
fn descriptors_are_closed_on_exec() {
    let temporary = TempDir::new();
    let plain = file::PosixFile::open(&temporary.0.join("a"), OpenMode::Create).unwrap();
    let lock = lock::PosixLock::take(&temporary.0.join("LOCK")).unwrap();
    for descriptor in [plain.handle().as_raw_fd(), lock.descriptor()] {
        // SAFETY: asks for the flags of an open descriptor.
        let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
        assert!(flags >= 0 && flags & libc::FD_CLOEXEC != 0);
    }
}

#[test]
fn a_file_that_leaves_direct_io_is_read_and_written_like_any_other() {
    let temporary = TempDir::new();
    let path = temporary.0.join("a");
    let flags = |file: &fs::File| {
        // SAFETY: asks for the flags of an open descriptor.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) }
    };
    let file = file::PosixFile::open(&path, OpenMode::CreateDirect).unwrap();
    assert_eq!(flags(file.handle()) & libc::O_DIRECT != 0, file.alignment() > 1);
    direct::leave(file.handle()).unwrap();
    file.pretend_alignment(1);
    assert_eq!(flags(file.handle()) & libc::O_DIRECT, 0);
    file.write_at(0, &[IoSlice::new(&vec![1; 1 << 16])]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), vec![1; 1 << 16]);
}

#[test]
fn what_the_system_refuses_goes_through_the_page_cache() {
    let temporary = TempDir::new();
    let path = temporary.0.join("a");
    fs::write(&path, [1; 10_000]).unwrap();
    let open = || file::PosixFile::open(&path, OpenMode::ReadWriteDirect).unwrap();
    // Two bytes are not aligned. Some file systems refuse them, others go through the page cache by themselves.
    let file = open();
    file.pretend_alignment(2);
    let mut buffer = AlignedBuffer::new();
    assert_eq!(file.read_at(2, buffer.take(2, 2)).unwrap(), 2);
    assert!(buffer.as_slice()[..2] == [1, 1] && file.alignment() <= 2);
    let file = open();
    file.pretend_alignment(2);
    let (first, second) = buffer.take(4, 2).split_at_mut(2);
    first.fill(7);
    second.fill(8);
    file.write_at(2, &[IoSlice::new(first), IoSlice::new(second)]).unwrap();
    assert!(fs::read(&path).unwrap()[1..7] == [1, 7, 7, 8, 8, 1] && file.alignment() <= 2);

    let refusal = |errno| io::Error::from_raw_os_error(errno);
    let file = open();
    file.pretend_alignment(512);
    assert!(!file.leaves_direct(512, &refusal(libc::EIO)) && file.alignment() == 512);
    assert!(file.leaves_direct(512, &refusal(libc::EINVAL)) && file.alignment() == 1);
    assert!(file.leaves_direct(512, &refusal(libc::EINVAL)), "another thread's read began before");
    assert!(!file.leaves_direct(1, &refusal(libc::EINVAL)), "it has been tried both ways");
}

#[test]
fn a_full_device_is_an_error_when_allocating() {
    // tmpfs looks at its limit before it allocates anything, so nobody else sees a full device meanwhile.
    let shared_memory = Path::new("/dev/shm");
    let env = PosixEnv::shared();
    let Ok(space) = env.space(shared_memory) else { return };
    let path = shared_memory.join(format!("auradb-env-full-{}", std::process::id()));
    let opened = env.open(&path, OpenMode::CreateMapped { capacity: space.total + (1 << 30) });
    let len = env.file_len(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let refused = opened.err().expect("the device is not that big");
    assert_eq!((refused.errno(), refused.subcode()), (Some(libc::ENOSPC), Subcode::NoSpace), "{refused}");
    assert!(refused.to_string().contains(": allocate: "), "{refused}");
    assert_eq!(len, 0);
}

#[test]
fn the_device_that_is_always_full() {
    let env = PosixEnv::shared();
    let full = env.open(Path::new("/dev/full"), OpenMode::ReadWrite).unwrap();
    for parts in [&[IoSlice::new(b"a")][..], &[IoSlice::new(b"a"), IoSlice::new(b"b")][..]] {
        let error = full.write_at(0, parts).unwrap_err();
        assert_eq!(error.subcode(), Subcode::NoSpace, "{error}");
        assert!(error.to_string().starts_with("IO error: /dev/full: write: "), "{error}");
    }
}

#[test]
fn a_mapping_for_reading_outlives_the_name() {
    let temporary = TempDir::new();
    let env = PosixEnv::shared();
    let path = temporary.0.join("a");
    let file = env.open(&path, OpenMode::Create).unwrap();
    file.write_at(0, &[IoSlice::new(&[7; 5000])]).unwrap();
    let mapping = file.map_for_reading().expect("a plain file can be mapped");
    env.remove_file(&path).unwrap();
    drop(file);
    assert_eq!((*mapping).as_ref(), &[7; 5000]);
}

#[test]
fn names_that_are_not_utf8_are_left_out() {
    let temporary = TempDir::new();
    let strange = temporary.0.join(std::ffi::OsStr::from_bytes(b"\xff.sst"));
    fs::write(strange, "").unwrap();
    fs::write(temporary.0.join("a"), "").unwrap();
    assert_eq!(PosixEnv::shared().list(&temporary.0).unwrap(), ["a"]);
}

#[test]
fn threads_run_and_bear_their_name() {
    let env = PosixEnv::shared();
    let (sender, receiver) = mpsc::channel();
    for name in ["short", "aura-compaction-of-a-long-name", "fourteen-bytes\u{20ac}"] {
        let sender = sender.clone();
        let body = Box::new(move || sender.send(std::thread::current().name().map(str::to_string)).unwrap());
        env.spawn(name, 0, body).unwrap().join();
        let seen = receiver.recv().unwrap().unwrap();
        assert!(name.starts_with(&seen) && (seen == name || seen.len() >= 13 && seen.len() <= 15), "{seen}");
    }
    env.spawn("panics", 0, Box::new(|| std::panic::resume_unwind(Box::new("quietly")))).unwrap().join();
}

#[test]
#[cfg(target_os = "linux")]
fn threads_stand_back_as_far_as_they_are_told() {
    /// Of the calling thread.
    fn priority() -> i32 {
        // SAFETY: takes and gives numbers only.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }
    let env = PosixEnv::shared();
    let (sender, receiver) = mpsc::channel();
    for (nice, expected) in [(0, priority()), (3, (priority() + 3).min(19)), (200, 19)] {
        let sender = sender.clone();
        env.spawn("nice", nice, Box::new(move || sender.send(priority()).unwrap())).unwrap().join();
        assert_eq!(receiver.recv().unwrap(), expected, "{nice}");
    }
    // Not again behind one that stands back already, and never before it.
    for (nice, expected) in [(3, 3), (5, 5), (0, 3)] {
        let (sender, expected) = (sender.clone(), (priority() + expected).min(19));
        let inner = move || {
            PosixEnv::shared()
                .spawn("inner", nice, Box::new(move || sender.send(priority()).unwrap()))
                .unwrap()
                .join();
        };
        env.spawn("outer", 3, Box::new(inner)).unwrap().join();
        assert_eq!(receiver.recv().unwrap(), expected, "{nice} from 3");
    }
}

#[test]
fn a_directory_opens_for_reading_and_refuses_to_be_read() {
    let temporary = TempDir::new();
    let file = PosixEnv::shared().open(&temporary.0, OpenMode::Read).unwrap();
    let error = file.read_at(0, &mut [0; 4]).unwrap_err();
    assert_eq!(error.errno(), Some(libc::EISDIR));
    assert!(error.to_string().contains(": read: "), "{error}");
}

#[test]
fn the_beginning_of_a_mapped_file_syncs_by_itself_also_after_a_cut() {
    let temporary = TempDir::new();
    let path = temporary.0.join("mapped");
    let file = PosixEnv::shared().open(&path, OpenMode::CreateMapped { capacity: 200_000 }).unwrap();
    for (offset, len) in [(0, 10), (190_000, 200_000), (0, 0)] {
        file.write_at(offset, &[IoSlice::new(b"0123456789")]).unwrap();
        file.begin_sync(0, len).unwrap();
        file.sync_first(len).unwrap();
    }
    file.truncate(100).unwrap();
    file.sync_first(100).unwrap();
    file.sync_first(1 << 40).unwrap();
    assert_eq!(fs::read(&path).unwrap()[..10], *b"0123456789");
}
