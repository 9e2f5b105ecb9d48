//! Counting, failing once and for long, half-written writes, and what a failed sync leaves.

use super::*;
use crate::base::error::Subcode;
use crate::env::simulated::{ImageKind, SimEnv};
use crate::env::{read_file, write_file_atomically};

fn machine() -> (Arc<SimEnv>, Arc<FaultyEnv>) {
    let simulated = SimEnv::new(1);
    simulated.create_dir_all(Path::new("/db")).unwrap();
    (simulated.clone(), FaultyEnv::new(simulated))
}

fn replace(env: &dyn Env, text: &str) -> Result<()> {
    write_file_atomically(env, Path::new("/db/CURRENT"), Path::new("/db/1.tmp"), text.as_bytes())
}

fn once(selection: Selection, nth: u64, failure: Failure) -> Fault {
    Fault { selection, nth, failure, lasting: false }
}

#[test]
fn every_operation_can_be_the_one_that_fails() {
    let (_, env) = machine();
    env.plan().count(Selection::mutating());
    replace(&*env, "old").unwrap();
    let count = env.plan().seen();
    assert_eq!(count, 5, "create, write, sync, rename, sync of the directory");
    for nth in 0..count {
        for failure in [Failure::BROKEN, Failure::FULL, Failure::TOO_MANY_FILES] {
            let (_, env) = machine();
            replace(&*env, "old").unwrap();
            env.plan().arm(once(Selection::mutating(), nth, failure));
            let error = replace(&*env, "new").unwrap_err();
            assert_eq!(error.errno(), Some(failure.errno()));
            assert_eq!((env.plan().seen(), env.plan().fired()), (nth + 1, 1));
            let seen = read_file(&*env, Path::new("/db/CURRENT"), 10).unwrap();
            assert_eq!(seen, if nth < 4 { b"old" } else { b"new" });
            replace(&*env, "again").unwrap();
            assert_eq!(env.plan().fired(), 1, "once is once");
        }
    }
}

#[test]
fn errors_look_like_the_systems_own() {
    let (_, env) = machine();
    env.plan().arm(once(Selection::all(), 0, Failure::FULL));
    let error = env.open(Path::new("/db/a"), OpenMode::Create).err().unwrap();
    let real = Error::io(Path::new("/db/a"), "create", &std::io::Error::from_raw_os_error(libc::ENOSPC));
    assert_eq!(error.to_string(), real.to_string());
    assert_eq!(error.subcode(), Subcode::NoSpace);
}

#[test]
fn lasting_faults_end_when_healed() {
    let (_, env) = machine();
    let selection = Selection::of(&[Write]).named(".vlog");
    env.plan().arm(Fault { selection, nth: 1, failure: Failure::FULL, lasting: true });
    let log = env.open(Path::new("/db/000001.log"), OpenMode::Create).unwrap();
    let values = env.open(Path::new("/db/000002.vlog"), OpenMode::Create).unwrap();
    let write = |file: &Arc<dyn File>| file.write_at(0, &[IoSlice::new(b"abcd")]);
    write(&values).unwrap();
    for _ in 0..3 {
        write(&log).unwrap();
        assert!(write(&values).is_err());
    }
    env.plan().heal();
    write(&values).unwrap();
    assert_eq!((env.plan().seen(), env.plan().fired()), (5, 3));
    env.plan().count(Selection::all());
    write(&values).unwrap();
    assert_eq!((env.plan().seen(), env.plan().fired()), (1, 0));
}

#[test]
fn a_short_write_leaves_half() {
    let (simulated, env) = machine();
    let file = env.open(Path::new("/db/a"), OpenMode::Create).unwrap();
    env.plan().arm(once(Selection::of(&[Write]), 0, Failure::ShortWrite(libc::EIO)));
    let parts = [IoSlice::new(b"abc"), IoSlice::new(b"defg"), IoSlice::new(b"hij")];
    assert_eq!(file.write_at(0, &parts).unwrap_err().errno(), Some(libc::EIO));
    assert_eq!(simulated.read_raw(Path::new("/db/a")), b"abcde");
    file.write_at(5, &[IoSlice::new(b"fghij")]).unwrap();
    assert_eq!(simulated.read_raw(Path::new("/db/a")), b"abcdefghij");
}

#[test]
fn reads_and_looks_fail_too() {
    let (_, env) = machine();
    replace(&*env, "text").unwrap();
    let path = Path::new("/db/CURRENT");
    env.plan().count(Selection::reading());
    read_file(&*env, path, 10).unwrap();
    let count = env.plan().seen();
    assert_eq!(count, 3, "open, length, read");
    for nth in 0..count {
        env.plan().arm(once(Selection::reading(), nth, Failure::BROKEN));
        assert_eq!(read_file(&*env, path, 10).unwrap_err().errno(), Some(libc::EIO));
    }
    assert!(env.open(path, OpenMode::Read).unwrap().map_for_reading().is_none());
    env.plan().arm(once(Selection::of(&[Lock]), 0, Failure::BROKEN));
    assert!(env.lock(Path::new("/db/LOCK")).is_err());
    env.lock(Path::new("/db/LOCK")).unwrap();
}

#[test]
fn writes_through_a_mapping_do_not_fail_but_allocating_does() {
    let (_, env) = machine();
    env.plan().arm(once(Selection::mutating(), 0, Failure::FULL));
    let mode = OpenMode::CreateMapped { capacity: 100 };
    let error = env.open(Path::new("/db/a"), mode).err().unwrap();
    assert!(error.to_string().contains("allocate"), "{error}");
    let file = env.open(Path::new("/db/a"), mode).unwrap();
    env.plan().arm(once(Selection::of(&[Write]), 0, Failure::FULL));
    file.write_at(0, &[IoSlice::new(b"abc")]).unwrap();
    assert!(file.is_mapped() && env.plan().seen() == 0);
}

#[test]
fn after_a_failed_sync_the_cache_lies() {
    after_one_that_fails(Sync, |file| file.sync_data());
    after_one_that_fails(BeginSync, |file| file.begin_sync(0, 0));
}

fn after_one_that_fails(class: OperationClass, sync: fn(&dyn File) -> Result<()>) {
    let (simulated, env) = machine();
    let path = Path::new("/db/a");
    let file = env.open(path, OpenMode::Create).unwrap();
    env.sync_dir(Path::new("/db")).unwrap();
    file.write_at(0, &[IoSlice::new(b"abc")]).unwrap();
    env.plan().arm(once(Selection::of(&[class]), 0, Failure::BROKEN));
    assert!(sync(&*file).is_err());
    file.write_at(3, &[IoSlice::new(b"def")]).unwrap();
    file.sync_data().unwrap();
    assert_eq!(simulated.read_raw(path), b"abcdef");
    let image = |kind| simulated.crash_image(simulated.journal_len(), kind, 1);
    for kind in [ImageKind::SyncedOnly, ImageKind::Everything, ImageKind::RandomSectors] {
        assert_eq!(image(kind).read_raw(path), b"\0\0\0def", "{kind:?}");
    }
    let killed = image(ImageKind::ProcessCrash);
    assert_eq!(killed.read_raw(path), b"abcdef", "the page cache survives the process");
    let lost = killed.crash_image(0, ImageKind::SyncedOnly, 1);
    assert_eq!(lost.read_raw(path), b"\0\0\0def", "but not a power loss after it");
    file.drop_cache();
    assert_eq!(simulated.read_raw(path), b"\0\0\0def");
}

#[test]
fn an_interruption_comes_before_the_operation_and_is_not_interrupted() {
    let (_, env) = machine();
    replace(&*env, "old").unwrap();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (inner, noted) = (env.clone(), seen.clone());
    let interruption = move |class: OperationClass, path: &Path| {
        let text = read_file(&*inner, Path::new("/db/CURRENT"), 10).unwrap();
        let temporary = Path::new("/db/2.tmp");
        write_file_atomically(&*inner, Path::new("/db/CURRENT"), temporary, b"inside").unwrap();
        let text = String::from_utf8(text).unwrap();
        noted.lock().push(format!("{class:?} {}: {text}", path.display()));
    };
    env.plan().interrupt(Selection::of(&[Rename, Sync]), Arc::new(interruption));
    replace(&*env, "new").unwrap();
    assert_eq!(*seen.lock(), ["Sync /db/1.tmp: old", "Rename /db/1.tmp: inside"]);
    env.plan().interrupt_no_more();
    replace(&*env, "newer").unwrap();
    assert_eq!(seen.lock().len(), 2);
}
