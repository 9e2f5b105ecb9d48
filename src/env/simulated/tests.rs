//! The machine itself: determinism, journal, clock, helpers for tests.

use super::*;
use crate::env::aligned::AlignedBuffer;
use std::io::IoSlice;

fn write(file: &dyn File, offset: u64, bytes: &[u8]) {
    file.write_at(offset, &[IoSlice::new(bytes)]).unwrap();
}

#[test]
fn one_seed_gives_one_history() {
    let history = |seed| {
        let env = SimEnv::new(seed);
        let file = env.open(Path::new("a"), OpenMode::Create).unwrap();
        write(&*file, 0, &env.random().to_le_bytes());
        env.sleep(Duration::from_secs(3));
        (env.read_raw(Path::new("/a")), env.now(), env.unix_seconds(), env.random(), env.dump())
    };
    assert_eq!(history(1), history(1));
    assert_ne!(history(1).0, history(2).0);
    assert_eq!(history(1).2, EPOCH_SECONDS + 3);
}

#[test]
fn a_loop_that_waits_for_a_time_ends() {
    let env = SimEnv::new(1);
    let until = env.now() + Duration::from_millis(1);
    while env.now() < until {}
}

#[test]
fn nothing_runs_in_the_background() {
    let env = SimEnv::new(1);
    assert!(env.runs_inline());
    assert!(env.spawn("worker", 0, Box::new(|| unreachable!("it must not run"))).is_err());
}

#[test]
fn paths_are_taken_from_the_root() {
    let env = SimEnv::new(1);
    env.create_dir_all(Path::new("x/./y")).unwrap();
    env.open(Path::new("x/y/../a"), OpenMode::Create).unwrap();
    assert_eq!(env.list_all(), [Path::new("/x/a")]);
    assert!(env.exists(Path::new("/x/a")) && env.exists(Path::new("")) && env.exists(Path::new("x/y")));
    assert!(env.remove_dir(Path::new("/")).is_err());
    assert!(env.rename(Path::new("x"), Path::new("x/y/z")).is_err());
}

#[test]
fn raw_bytes_are_durable_at_once() {
    let env = SimEnv::new(1);
    let path = Path::new("/a");
    let file = env.open(path, OpenMode::Create).unwrap();
    write(&*file, 0, b"abc");
    env.write_raw(path, b"xyz!");
    env.write_raw(Path::new("/b"), b"b");
    let mut buffer = [0; 4];
    file.read_exact_at(0, &mut buffer).unwrap();
    assert_eq!(&buffer, b"xyz!");
    let image = env.crash_image(env.journal_len(), ImageKind::SyncedOnly, 1);
    assert_eq!((image.read_raw(path), image.read_raw(Path::new("/b"))), (b"xyz!".to_vec(), b"b".to_vec()));
    assert_eq!(env.crash_image(2, ImageKind::Everything, 1).read_raw(path), b"abc");
}

#[test]
fn a_durable_clone_is_independent() {
    let env = SimEnv::new(1);
    let file = env.open(Path::new("/a"), OpenMode::Create).unwrap();
    write(&*file, 0, b"abc");
    let held = env.lock(Path::new("/LOCK")).unwrap();
    let clone = env.clone_all_durable();
    write(&*file, 0, b"XYZ");
    write(&*clone.open(Path::new("/b"), OpenMode::Create).unwrap(), 0, b"b");
    assert_eq!(clone.crash_image(0, ImageKind::SyncedOnly, 1).read_raw(Path::new("/a")), b"abc");
    assert_eq!(env.list_all(), [Path::new("/LOCK"), Path::new("/a")]);
    drop(clone.lock(Path::new("/LOCK")).expect("locks are free in a copy"));
    drop(held);
}

#[test]
fn the_journal_reads_as_a_story() {
    let env = SimEnv::new(1);
    env.create_dir_all(Path::new("/db")).unwrap();
    let file = env.open(Path::new("/db/1.tmp"), OpenMode::CreateMapped { capacity: 64 << 20 }).unwrap();
    write(&*file, 5, b"abc");
    write(&*file, 8, b"");
    file.sync_data().unwrap();
    file.truncate(8).unwrap();
    file.drop_cache();
    file.lose_unsynced();
    file.drop_cache();
    env.rename(Path::new("/db/1.tmp"), Path::new("/db/a")).unwrap();
    env.sync_dir(Path::new("/db")).unwrap();
    env.rename(Path::new("/db"), Path::new("/data")).unwrap();
    env.remove_file(Path::new("/data/a")).unwrap();
    env.remove_dir(Path::new("/data")).unwrap();
    let story: Vec<String> = (0..=env.journal_len()).map(|at| env.describe_operation(at)).collect();
    let expected = [
        "create directory /db",
        "create /db/1.tmp",
        "set the length of /db/a to 67108864",
        "write 3 bytes at 5 of /db/a",
        "sync /db/a",
        "set the length of /db/a to 8",
        "failed sync of /db/a",
        "drop the cache of /db/a",
        "rename /db/1.tmp to /db/a",
        "sync directory /db",
        "rename directory /db to /data",
        "remove /data/a",
        "remove directory /data",
        "the end of the journal",
    ];
    assert_eq!(story, expected);
}

#[test]
fn a_dump_tells_what_is_not_synced() {
    let env = SimEnv::new(1);
    let file = env.open(Path::new("/a"), OpenMode::Create).unwrap();
    write(&*file, 0, b"abc");
    assert_eq!(env.dump(), "/a 3 bytes, 1 unsynced changes\n");
    file.lose_unsynced();
    assert_eq!(env.dump(), "/a 3 bytes, bytes lost by a failed sync\n");
}

#[test]
fn space_is_what_the_test_says() {
    let env = SimEnv::new(1);
    env.set_available(77);
    assert_eq!(env.crash_image(0, ImageKind::SyncedOnly, 1).space(Path::new("/")).unwrap().available, 77);
}

#[test]
fn files_past_the_page_cache_refuse_what_is_not_aligned() {
    let env = SimEnv::new(1);
    let path = Path::new("/a");
    let mut memory = AlignedBuffer::new();
    for alignment in [512, 4096] {
        env.set_direct_alignment(alignment);
        let file = env.open(path, OpenMode::CreateDirect).unwrap();
        let bytes = memory.take(4 * alignment, alignment);
        file.write_at(alignment as u64, &[IoSlice::new(bytes)]).unwrap();
        let refused = |result: Result<()>| result.unwrap_err().errno() == Some(libc::EINVAL);
        assert!(refused(file.write_at(1, &[IoSlice::new(&bytes[..alignment])])), "place");
        assert!(refused(file.write_at(0, &[IoSlice::new(&bytes[..alignment + 1])])), "length");
        assert!(refused(file.write_at(0, &[IoSlice::new(&bytes[1..alignment + 1])])), "memory");
        assert!(refused(file.read_at(1, &mut bytes[..alignment]).map(drop)));
        assert!(refused(file.read_at(0, &mut bytes[..1]).map(drop)));
        assert!(refused(file.read_at(0, &mut bytes[1..alignment + 1]).map(drop)));
        let image = env.crash_image(env.journal_len(), ImageKind::ProcessCrash, 1);
        assert_eq!(image.open(path, OpenMode::ReadDirect).unwrap().alignment(), alignment);
    }
}

#[test]
fn past_the_page_cache_a_failed_sync_shows() {
    let env = SimEnv::new(1);
    let path = Path::new("/a");
    let file = env.open(path, OpenMode::Create).unwrap();
    file.write_at(0, &[IoSlice::new(&[1; 4096])]).unwrap();
    file.sync_data().unwrap();
    file.write_at(0, &[IoSlice::new(&[2; 100])]).unwrap();
    file.write_at(4096, &[IoSlice::new(&[2; 100])]).unwrap();
    let mut memory = AlignedBuffer::new();
    let direct = env.open(path, OpenMode::ReadDirect).unwrap();
    assert_eq!(direct.read_at(0, memory.take(8192, 4096)).unwrap(), 4196);
    assert_eq!((memory.as_slice()[0], memory.as_slice()[4096]), (2, 2));
    file.lose_unsynced();
    file.write_at(200, &[IoSlice::new(&[3; 100])]).unwrap();
    assert_eq!(direct.read_at(0, memory.take(8192, 4096)).unwrap(), 4196);
    let bytes = memory.as_slice();
    assert_eq!((bytes[0], bytes[200], bytes[4096]), (1, 3, 0), "the device never got it");
    assert_eq!(env.read_raw(path)[0], 2, "the page cache has it");
}
