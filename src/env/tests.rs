//! What every implementation of `Env` does alike.

#![allow(
    clippy::disallowed_methods,
    reason = "makes and removes its directory, behind the environment's back"
)]

use super::faulty::FaultyEnv;
use super::posix::PosixEnv;
use super::random::Random;
use super::simulated::SimEnv;
use super::*;
use crate::base::ErrorKind;
use crate::base::error::Subcode;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory that is removed in the end.
pub(super) struct TempDir(pub(super) PathBuf);

impl TempDir {
    pub(super) fn new() -> TempDir {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let name = format!("auradb-env-{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        TempDir(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `body` with an empty directory in each environment.
fn everywhere(body: impl Fn(&dyn Env, &Path)) {
    let temporary = TempDir::new();
    body(&*PosixEnv::shared(), &temporary.0);
    let plain = SimEnv::new(1);
    plain.refuse_mapping(true);
    let wrapped: Arc<dyn Env> = FaultyEnv::new(SimEnv::new(2));
    let simulated: [Arc<dyn Env>; 3] = [SimEnv::new(3), plain, wrapped];
    for env in simulated {
        env.create_dir_all(Path::new("/some/db")).unwrap();
        body(&*env, Path::new("/some/db"));
    }
}

fn errno<T>(result: Result<T>) -> i32 {
    let error = result.err().expect("it should have failed");
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    error.errno().unwrap_or_else(|| panic!("no errno in {error}"))
}

fn write(file: &dyn File, offset: u64, bytes: &[u8]) {
    file.write_at(offset, &[IoSlice::new(bytes)]).unwrap();
}

fn contents(env: &dyn Env, path: &Path) -> Vec<u8> {
    read_file(env, path, 1 << 30).unwrap()
}

#[test]
fn reads_show_what_was_written() {
    everywhere(|env, dir| {
        let path = dir.join("a");
        let file = env.open(&path, OpenMode::Create).unwrap();
        assert!(file.is_empty().unwrap() && !file.is_mapped() && file.path() == path);
        write(&*file, 3, b"def");
        assert_eq!(contents(env, &path), b"\0\0\0def");
        let mut buffer = [9; 8];
        assert_eq!(file.read_at(4, &mut buffer).unwrap(), 2);
        assert_eq!(&buffer[..3], b"ef\x09");
        assert_eq!(file.read_at(6, &mut buffer).unwrap(), 0);
        assert_eq!(file.read_at(u64::MAX - 3, &mut buffer).unwrap(), 0);
        let short = file.read_exact_at(4, &mut buffer).unwrap_err();
        assert!(short.is_corruption() && short.offset() == Some(4), "{short}");

        write(&*file, 0, b"");
        file.write_at(1, &[]).unwrap();
        assert!(file.write_at(u64::MAX - 1, &[IoSlice::new(b"abc")]).is_err());
        assert!(file.write_at(i64::MAX as u64, &[IoSlice::new(b"abc"), IoSlice::new(b"d")]).is_err());
        file.sync_data().unwrap();
        file.drop_cache();
        file.will_need(0, 6);
        let mut bytes = [0; 6];
        if let Some(got) = file.read_if_in_memory(0, &mut bytes).unwrap() {
            assert_eq!((got, &bytes[..]), (6, &contents(env, &path)[..]));
        }
        assert_eq!(file.len().unwrap(), 6);
        assert_eq!(env.file_len(&path).unwrap(), 6);
    });
}

#[test]
fn many_parts_are_written_in_order() {
    everywhere(|env, dir| {
        let mut random = Random::new(5);
        let mut bytes = vec![0; 9000];
        random.fill(&mut bytes);
        let (mut parts, mut rest) = (Vec::new(), &bytes[..]);
        while !rest.is_empty() {
            let (part, after) = rest.split_at((random.below(7) as usize).min(rest.len()));
            parts.push(IoSlice::new(part));
            rest = after;
        }
        assert!(parts.len() > 2048 && parts.iter().any(|part| part.is_empty()));
        let file = env.open(&dir.join("a"), OpenMode::Create).unwrap();
        file.write_at(10, &parts).unwrap();
        assert_eq!(contents(env, &dir.join("a"))[10..], bytes);
    });
}

#[test]
fn truncate_cuts_and_extends_with_zeros() {
    everywhere(|env, dir| {
        let file = env.open(&dir.join("a"), OpenMode::Create).unwrap();
        write(&*file, 0, b"abcdef");
        file.truncate(2).unwrap();
        file.truncate(4).unwrap();
        assert_eq!(contents(env, &dir.join("a")), b"ab\0\0");
        let reader = env.open(&dir.join("a"), OpenMode::Read).unwrap();
        assert_eq!(errno(reader.write_at(0, &[IoSlice::new(b"x")])), libc::EBADF);
        assert_eq!(errno(reader.truncate(0)), libc::EINVAL);
        if let Some(mapped) = reader.map_for_reading() {
            assert_eq!((*mapped).as_ref(), b"ab\0\0");
        }
    });
}

/// Memory for direct I/O.
fn aligned(buffer: &mut aligned::AlignedBuffer, len: usize, alignment: usize, fill: u8) -> &mut [u8] {
    let bytes = buffer.take(len, alignment);
    bytes.fill(fill);
    bytes
}

#[test]
fn files_past_the_page_cache_show_and_keep_the_same_bytes() {
    everywhere(|env, dir| {
        let path = dir.join("a");
        assert_eq!(errno(env.open(&path, OpenMode::ReadDirect)), libc::ENOENT);
        let direct = env.open(&path, OpenMode::CreateDirect).unwrap();
        let block = direct.alignment();
        assert!(block.is_power_of_two());
        let mut memory = aligned::AlignedBuffer::new();
        let len = 4 * aligned::PAGE.max(block);
        direct.write_at(0, &[IoSlice::new(aligned(&mut memory, len, block, 1))]).unwrap();
        direct.truncate(len as u64 - 100).unwrap();
        direct.sync_data().unwrap();
        assert_eq!(contents(env, &path), vec![1; len - 100]);

        // What was just written through the page cache is seen, short at the end of the file.
        let plain = env.open(&path, OpenMode::ReadWrite).unwrap();
        assert_eq!(plain.alignment(), 1);
        write(&*plain, len as u64 - 200, &[2; 150]);
        let reader = env.open(&path, OpenMode::ReadDirect).unwrap();
        let got = reader.read_at(0, aligned(&mut memory, 2 * len, block, 9)).unwrap();
        assert_eq!(got, len - 50);
        let bytes = memory.as_slice();
        assert!(bytes[..len - 200].iter().all(|&byte| byte == 1));
        assert!(bytes[len - 200..len - 50].iter().all(|&byte| byte == 2));
        assert_eq!(reader.read_at(2 * len as u64, aligned(&mut memory, len, block, 9)).unwrap(), 0);
        assert!(reader.write_at(0, &[IoSlice::new(aligned(&mut memory, len, block, 9))]).is_err());

        // And the other way round.
        let writer = env.open(&path, OpenMode::ReadWriteDirect).unwrap();
        writer.write_at(0, &[IoSlice::new(aligned(&mut memory, block, block, 3))]).unwrap();
        let mut got = vec![0; block + 1];
        plain.read_exact_at(0, &mut got).unwrap();
        assert!(got[..block].iter().all(|&byte| byte == 3) && got[block] == 1);
        drop((direct, plain, reader, writer));
        let again = env.open(&path, OpenMode::CreateDirect).unwrap();
        assert_eq!(again.len().unwrap(), 0);
    });
}

#[test]
fn opening_follows_the_mode() {
    everywhere(|env, dir| {
        let path = dir.join("a");
        for mode in [OpenMode::Read, OpenMode::ReadWrite] {
            let missing = env.open(&path, mode).err().unwrap();
            assert_eq!(missing.subcode(), Subcode::MissingFile);
            let text = missing.to_string();
            assert!(text.starts_with(&format!("IO error: {}: open: ", path.display())), "{text}");
        }
        write(&*env.open(&path, OpenMode::Create).unwrap(), 0, b"abc");
        write(&*env.open(&path, OpenMode::ReadWrite).unwrap(), 1, b"X");
        assert_eq!(contents(env, &path), b"aXc");
        env.open(&path, OpenMode::Create).unwrap();
        assert_eq!(contents(env, &path), b"");
        assert_eq!(errno(env.open(&dir.join("no/a"), OpenMode::Create)), libc::ENOENT);
        assert_eq!(errno(env.open(dir, OpenMode::ReadWrite)), libc::EISDIR);
        assert_eq!(errno(env.open(dir, OpenMode::Create)), libc::EISDIR);
        assert!(read_file(env, &path, 0).unwrap().is_empty());
        write(&*env.open(&path, OpenMode::ReadWrite).unwrap(), 0, b"ab");
        assert!(read_file(env, &path, 1).unwrap_err().is_corruption());
    });
}

#[test]
fn entries_come_and_go() {
    everywhere(|env, dir| {
        let names = |dir: &Path| {
            let mut names = env.list(dir).unwrap();
            names.sort();
            names
        };
        env.create_dir_all(&dir.join("x/y")).unwrap();
        env.create_dir_all(&dir.join("x/y")).unwrap();
        let handle = env.open(&dir.join("a"), OpenMode::Create).unwrap();
        write(&*handle, 0, b"1");
        write(&*env.open(&dir.join("b"), OpenMode::Create).unwrap(), 0, b"22");
        assert_eq!(names(dir), ["a", "b", "x"]);

        env.rename(&dir.join("a"), &dir.join("b")).unwrap();
        assert_eq!(names(dir), ["b", "x"]);
        assert_eq!(contents(env, &dir.join("b")), b"1");
        env.rename(&dir.join("b"), &dir.join("x/y/c")).unwrap();
        env.sync_dir(dir).unwrap();
        assert_eq!(errno(env.remove_dir(&dir.join("x/y"))), libc::ENOTEMPTY);
        env.rename(&dir.join("x/y"), &dir.join("z")).unwrap();
        assert_eq!((names(&dir.join("z")), names(&dir.join("x"))), (vec!["c".to_string()], vec![]));

        env.remove_file(&dir.join("z/c")).unwrap();
        assert!(!env.exists(&dir.join("z/c")) && env.exists(&dir.join("z")));
        write(&*handle, 1, b"still open");
        assert_eq!(handle.len().unwrap(), 11);
        env.remove_dir(&dir.join("z")).unwrap();
        assert_eq!(names(dir), ["x"]);
    });
}

#[test]
fn missing_names_are_refused() {
    everywhere(|env, dir| {
        let (missing, other) = (dir.join("missing"), dir.join("other"));
        let rename = env.rename(&missing, &other).unwrap_err();
        assert!(rename.to_string().contains("missing") && rename.to_string().contains("other"), "{rename}");
        assert_eq!(errno(env.rename(&missing, &other)), libc::ENOENT);
        assert_eq!(errno(env.remove_file(&missing)), libc::ENOENT);
        assert_eq!(errno(env.remove_dir(&missing)), libc::ENOENT);
        assert_eq!(errno(env.list(&missing)), libc::ENOENT);
        assert_eq!(errno(env.sync_dir(&missing)), libc::ENOENT);
        assert_eq!(errno(env.file_len(&missing)), libc::ENOENT);
        assert_eq!(errno(env.space(&missing).map(|_| ())), libc::ENOENT);
        assert_eq!(errno(env.lock(&missing.join("LOCK")).map(|_| ())), libc::ENOENT);
        env.open(&other, OpenMode::Create).unwrap();
        assert_eq!(errno(env.create_dir_all(&other)), libc::EEXIST);
        assert_eq!(errno(env.create_dir_all(&other.join("x"))), libc::ENOTDIR);
        assert_eq!(errno(env.remove_dir(&other)), libc::ENOTDIR);
        assert_eq!(
            errno(env.rename(&other, dir)),
            if env.runs_inline() { libc::EISDIR } else { libc::ENOTEMPTY }
        );
    });
}

#[test]
fn mapped_files_are_as_long_as_their_capacity() {
    everywhere(|env, dir| {
        let path = dir.join("log");
        let file = env.open(&path, OpenMode::CreateMapped { capacity: 10_000 }).unwrap();
        if !file.is_mapped() {
            write(&*file, 10_000, b"plain");
            return;
        }
        assert_eq!(file.len().unwrap(), 10_000);
        assert_eq!(contents(env, &path), vec![0; 10_000]);
        file.populate(0, 1 << 40);
        file.populate(9_000, 9_100);
        file.write_at(5, &[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cd")]).unwrap();
        write(&*file, 9_996, b"last");
        file.release(0, 4_096);
        file.release(3, 1 << 40);
        file.release(1 << 40, 2 << 40);
        write(&*file, 8, b"d");
        let mut buffer = [0; 4];
        file.read_exact_at(5, &mut buffer).unwrap();
        assert_eq!(&buffer, b"abcd");
        assert_eq!(&contents(env, &path)[9_996..], b"last");
        for offset in [9_997, 10_000, u64::MAX - 1] {
            let error = file.write_at(offset, &[IoSlice::new(b"last")]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        }
        file.write_for_sync(4_090, &[IoSlice::new(b"12345"), IoSlice::new(b"6789")]).unwrap();
        write(&*file, 4_094, b"x");
        file.write_for_sync(4_096, &[IoSlice::new(b"y")]).unwrap();
        assert_eq!(&contents(env, &path)[4_090..4_099], b"1234x6y89");
        for offset in [9_997, u64::MAX - 1] {
            let error = file.write_for_sync(offset, &[IoSlice::new(b"last")]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        }
        file.sync_data().unwrap();
        file.truncate(9).unwrap();
        assert_eq!(contents(env, &path), b"\0\0\0\0\0abcd");
        assert!(file.write_at(9, &[IoSlice::new(b"x")]).is_err(), "it was cut: no page to write to");
        assert!(file.write_for_sync(9, &[IoSlice::new(b"x")]).is_err(), "nor does it grow again");
        write(&*file, 5, b"A");
        assert_eq!(contents(env, &path), b"\0\0\0\0\0Abcd");
        let empty = env.open(&path, OpenMode::CreateMapped { capacity: 0 }).unwrap();
        assert!(!empty.is_mapped() && empty.is_empty().unwrap());
    });
}

#[test]
fn threads_write_their_own_ranges() {
    everywhere(|env, dir| {
        for mode in [OpenMode::Create, OpenMode::CreateMapped { capacity: 1 << 16 }] {
            let file = env.open(&dir.join("a"), mode).unwrap();
            std::thread::scope(|scope| {
                for thread in 0..4u8 {
                    let file = &file;
                    scope.spawn(move || {
                        for block in 0..64 {
                            write(&**file, block * 1024 + u64::from(thread) * 256, &[thread; 256]);
                        }
                    });
                }
            });
            let bytes = contents(env, &dir.join("a"));
            assert_eq!(bytes.len(), 1 << 16);
            assert!(bytes.iter().enumerate().all(|(place, byte)| place / 256 % 4 == usize::from(*byte)));
        }
    });
}

#[test]
fn one_lock_at_a_time() {
    everywhere(|env, dir| {
        let path = dir.join("LOCK");
        for _ in 0..2 {
            let lock = env.lock(&path).unwrap();
            let refused = env.lock(&path).err().unwrap();
            assert_eq!((refused.kind(), refused.subcode()), (ErrorKind::Io, Subcode::Locked));
            let expected =
                format!("IO error: {}: lock held by process {};", path.display(), std::process::id());
            assert!(refused.to_string().starts_with(&expected), "{refused}");
            let other = env.lock(&dir.join("OTHER")).unwrap();
            drop((lock, other));
        }
        assert!(env.exists(&path));
    });
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    everywhere(|env, dir| {
        let (path, temporary) = (dir.join("CURRENT"), dir.join("000001.tmp"));
        for text in ["first", "2nd"] {
            write_file_atomically(env, &path, &temporary, text.as_bytes()).unwrap();
            assert_eq!(contents(env, &path), text.as_bytes());
        }
        assert_eq!(env.list(dir).unwrap(), ["CURRENT"]);
    });
}

#[test]
fn clock_random_and_space() {
    everywhere(|env, dir| {
        let before = env.now();
        env.sleep(Duration::from_millis(2));
        assert!(env.now() >= before + Duration::from_millis(2));
        assert!(env.unix_seconds() > 1_600_000_000);
        assert_ne!(env.random(), env.random());
        let space = env.space(dir).unwrap();
        assert!(space.available <= space.total && space.total > 0);
    });
}
