//! What each kind of crash image keeps and loses.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSlice;

const DIR: &str = "/db";
const SEEDS: std::ops::Range<u64> = 0..60;

fn machine() -> Arc<SimEnv> {
    let env = SimEnv::new(1);
    env.create_dir_all(Path::new(DIR)).unwrap();
    env
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn create(env: &SimEnv, name: &str) -> Arc<dyn File> {
    env.open(&path(name), OpenMode::Create).unwrap()
}

fn append(file: &dyn File, bytes: &[u8]) {
    file.write_at(file.len().unwrap(), &[IoSlice::new(bytes)]).unwrap();
}

fn sync_dir(env: &SimEnv) {
    env.sync_dir(Path::new(DIR)).unwrap();
}

fn now(env: &SimEnv, kind: ImageKind, seed: u64) -> Arc<SimEnv> {
    env.crash_image(env.journal_len(), kind, seed)
}

fn all_files(env: &SimEnv) -> BTreeMap<PathBuf, Vec<u8>> {
    env.list_all().into_iter().map(|path| (path.clone(), env.read_raw(&path))).collect()
}

fn names(env: &SimEnv) -> Vec<String> {
    env.list(Path::new(DIR)).unwrap()
}

/// A log and a value log with 1000 synced and 3000 unsynced bytes each, and a synced table without a durable entry.
fn three_files() -> Arc<SimEnv> {
    let env = machine();
    let (log, values) = (create(&env, "000001.log"), create(&env, "000002.vlog"));
    sync_dir(&env);
    for file in [&log, &values] {
        append(&**file, &[b'a'; 1000]);
        file.sync_data().unwrap();
    }
    for byte in [b'b', b'c', b'd'] {
        append(&*log, &[byte; 1000]);
        append(&*values, &[byte; 1000]);
    }
    let table = create(&env, "000003.sst");
    append(&*table, b"table");
    table.sync_data().unwrap();
    env
}

fn full() -> Vec<u8> {
    [[b'a'; 1000], [b'b'; 1000], [b'c'; 1000], [b'd'; 1000]].concat()
}

#[test]
fn kinds_without_chance() {
    let env = three_files();
    let seen = |kind| {
        let files = all_files(&now(&env, kind, 1));
        let len = |name| files.get(&path(name)).map(|bytes| bytes.len());
        for name in ["000001.log", "000002.vlog"] {
            assert!(full().starts_with(&files[&path(name)]), "{kind:?} {name}");
        }
        (len("000001.log").unwrap(), len("000002.vlog").unwrap(), len("000003.sst"))
    };
    assert_eq!(seen(ImageKind::ProcessCrash), (4000, 4000, Some(5)));
    assert_eq!(seen(ImageKind::Everything), (4000, 4000, Some(5)));
    assert_eq!(seen(ImageKind::SyncedOnly), (1000, 1000, None));
    assert_eq!(seen(ImageKind::LogKeptValuesLost), (4000, 1000, None));
    assert_eq!(seen(ImageKind::ValuesKeptLogLost), (1000, 4000, None));
}

#[test]
fn a_kept_class_keeps_its_new_entries() {
    let env = machine();
    append(&*create(&env, "000001.log"), b"log");
    append(&*create(&env, "000002.vlog"), b"values");
    assert_eq!(names(&now(&env, ImageKind::LogKeptValuesLost, 1)), ["000001.log"]);
    assert_eq!(names(&now(&env, ImageKind::ValuesKeptLogLost, 1)), ["000002.vlog"]);
    assert!(names(&now(&env, ImageKind::SyncedOnly, 1)).is_empty());
}

#[test]
fn prefix_ends_anywhere() {
    let env = three_files();
    let (mut lengths, mut tables) = (BTreeSet::new(), BTreeSet::new());
    for seed in SEEDS {
        let image = now(&env, ImageKind::Prefix, seed);
        let log = image.read_raw(&path("000001.log"));
        assert!(log.len() >= 1000 && full().starts_with(&log), "seed {seed}");
        lengths.insert(log.len());
        tables.insert(image.exists(&path("000003.sst")));
    }
    assert!(lengths.contains(&1000) && lengths.contains(&4000) && lengths.contains(&2000));
    assert!(lengths.iter().any(|len| len % 1000 != 0), "some write is torn");
    assert_eq!(tables.len(), 2);
}

#[test]
fn sectors_come_one_by_one() {
    let env = three_files();
    let (full, mut lengths, mut holes, mut halves, mut apart) = (full(), BTreeSet::new(), 0, 0, 0);
    for seed in SEEDS {
        let image = now(&env, ImageKind::RandomSectors, seed);
        let log = image.read_raw(&path("000001.log"));
        assert!(log.starts_with(&full[..1000]), "seed {seed}: synced bytes stay");
        let torn = log.iter().zip(&full).position(|(got, wanted)| got != wanted).unwrap_or(log.len());
        for (sector, (got, wanted)) in log.chunks(512).zip(full.chunks(512)).enumerate() {
            let right = got.iter().zip(wanted).filter(|(got, wanted)| got == wanted).count();
            assert!(got.iter().zip(wanted).all(|(got, wanted)| got == wanted || *got == 0), "seed {seed}");
            holes += usize::from(sector * 512 > torn && right == got.len());
            halves += usize::from(sector == 3 && right > 0 && right < got.len());
        }
        lengths.insert(log.len());
        apart += usize::from(log != image.read_raw(&path("000002.vlog")));
    }
    assert!(holes > 0 && halves > 0 && apart > 0, "{holes} {halves} {apart}");
    assert!(lengths.contains(&1000) && lengths.contains(&4000) && lengths.len() > 2, "{lengths:?}");
}

#[test]
fn tails_of_zeros_and_of_garbage() {
    let env = three_files();
    let old = create(&env, "000000.vlog");
    append(&*old, &[b'z'; 5000]);
    env.remove_file(&path("000000.vlog")).unwrap();
    sync_dir(&env);
    let log = now(&env, ImageKind::ZeroTails, 1).read_raw(&path("000001.log"));
    assert_eq!(log, [vec![b'a'; 1000], vec![0; 3000]].concat());

    let mut seen = BTreeSet::new();
    for seed in SEEDS {
        let log = now(&env, ImageKind::GarbageTails, seed).read_raw(&path("000001.log"));
        assert!(log.len() == 4000 && log[..1000] == full()[..1000], "seed {seed}");
        let second = &log[1000..2000];
        let uniform = second.iter().all(|byte| *byte == second[0]);
        seen.insert(if uniform { second[0] } else { b'?' });
    }
    for kind in [0, b'b', b'z', b'?'] {
        assert!(
            seen.contains(&kind),
            "{kind} not in {seen:?}: zeros, the right bytes, a removed file's, noise"
        );
    }
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_one() {
    let env = machine();
    let replace = |text: &str| {
        crate::env::write_file_atomically(&*env, &path("CURRENT"), &path("1.tmp"), text.as_bytes()).unwrap();
    };
    replace("old");
    let start = env.journal_len();
    replace("new");
    for kind in ImageKind::ALL {
        let mut seen = BTreeSet::new();
        for at in start..env.journal_len() {
            for seed in SEEDS {
                let image = env.crash_image(at, kind, seed);
                seen.insert(image.read_raw(&path("CURRENT")));
            }
        }
        assert!(seen.iter().all(|text| text == b"old" || text == b"new"), "{kind:?} {seen:?}");
        let both = kind != ImageKind::SyncedOnly
            && kind != ImageKind::LogKeptValuesLost
            && kind != ImageKind::ValuesKeptLogLost;
        assert_eq!(seen.len(), if both { 2 } else { 1 }, "{kind:?}");
        for seed in SEEDS {
            assert_eq!(
                now(&env, kind, seed).read_raw(&path("CURRENT")),
                b"new",
                "{kind:?} after the last sync"
            );
        }
    }
}

#[test]
fn a_rename_without_a_sync_of_the_bytes_can_show_an_empty_file() {
    let env = machine();
    append(&*create(&env, "1.tmp"), b"text");
    env.rename(&path("1.tmp"), &path("CURRENT")).unwrap();
    sync_dir(&env);
    assert_eq!(now(&env, ImageKind::SyncedOnly, 1).read_raw(&path("CURRENT")), b"");
}

#[test]
fn a_removed_file_can_come_back() {
    let env = machine();
    let file = create(&env, "a");
    append(&*file, b"synced");
    file.sync_data().unwrap();
    append(&*file, b" and not");
    sync_dir(&env);
    env.remove_file(&path("a")).unwrap();
    assert_eq!(now(&env, ImageKind::SyncedOnly, 1).read_raw(&path("a")), b"synced");
    let seen: BTreeSet<bool> =
        SEEDS.map(|seed| now(&env, ImageKind::DirOpsLost, seed).exists(&path("a"))).collect();
    assert_eq!(seen.len(), 2);
    let killed = now(&env, ImageKind::ProcessCrash, 1);
    assert!(!killed.exists(&path("a")));
    assert_eq!(
        now(&killed, ImageKind::SyncedOnly, 1).read_raw(&path("a")),
        b"synced",
        "power loss after a kill"
    );
    sync_dir(&env);
    for kind in ImageKind::ALL {
        let mut seen = SEEDS.map(|seed| now(&env, kind, seed).exists(&path("a")));
        assert!(seen.all(|exists| !exists), "{kind:?}");
    }
}

#[test]
fn emptying_a_file_by_create_is_not_durable() {
    let env = machine();
    env.write_raw(&path("a"), b"old");
    append(&*create(&env, "a"), b"newer");
    assert_eq!(now(&env, ImageKind::SyncedOnly, 1).read_raw(&path("a")), b"old");
    assert_eq!(now(&env, ImageKind::ProcessCrash, 1).read_raw(&path("a")), b"newer");
}

#[test]
fn a_cut_is_not_durable_until_synced() {
    let env = machine();
    env.write_raw(&path("a"), b"abcdef");
    let file = env.open(&path("a"), OpenMode::ReadWrite).unwrap();
    file.truncate(2).unwrap();
    let lengths = |kind| SEEDS.map(|seed| now(&env, kind, seed).file_len(&path("a")).unwrap()).collect();
    for kind in [ImageKind::RandomSectors, ImageKind::Prefix] {
        let lengths: BTreeSet<u64> = lengths(kind);
        assert_eq!(lengths, BTreeSet::from([2, 6]), "{kind:?}");
    }
    file.sync_data().unwrap();
    for kind in ImageKind::ALL {
        let lengths: BTreeSet<u64> = lengths(kind);
        assert_eq!(lengths, BTreeSet::from([2]), "{kind:?}");
    }
}

#[test]
fn a_mapped_file_crashes_like_any_other() {
    let env = machine();
    let log = env.open(&path("000001.log"), OpenMode::CreateMapped { capacity: 64 << 20 }).unwrap();
    log.sync_data().unwrap();
    sync_dir(&env);
    log.write_at(0, &[IoSlice::new(b"synced")]).unwrap();
    log.sync_data().unwrap();
    log.write_at(6, &[IoSlice::new(b"not")]).unwrap();
    let begin = |kind| {
        let file = now(&env, kind, 1).open(&path("000001.log"), OpenMode::Read).unwrap();
        let mut bytes = [9; 9];
        file.read_exact_at(0, &mut bytes).unwrap();
        assert_eq!(file.len().unwrap(), 64 << 20);
        bytes
    };
    assert_eq!(&begin(ImageKind::ProcessCrash), b"syncednot");
    assert_eq!(&begin(ImageKind::SyncedOnly), b"synced\0\0\0");
    assert_eq!(&begin(ImageKind::ZeroTails), b"synced\0\0\0");
}

/// Appends, syncs, creates, renames (also to another directory), removes, by chance. Returns, for each file whose
/// entry was synced and then left alone, what was synced of it at which point of the journal.
fn random_history(env: &SimEnv, seed: u64) -> Vec<(usize, PathBuf, Vec<u8>)> {
    let mut random = Random::new(seed);
    let (mut open, mut promises) = (Vec::<(PathBuf, Arc<dyn File>)>::new(), Vec::new());
    env.create_dir_all(Path::new("/other")).unwrap();
    for step in 0..150 {
        let name = ["log", "vlog", "sst"][random.below(3) as usize];
        let dir = if random.below(4) == 0 { "/other" } else { DIR };
        let place = Path::new(dir).join(format!("{step:06}.{name}"));
        let index = random.below(open.len().max(1) as u64) as usize;
        match (random.below(24), open.get_mut(index)) {
            (0..4, _) | (_, None) => open.push((place.clone(), env.open(&place, OpenMode::Create).unwrap())),
            (4 | 5, Some((path, _))) => {
                env.rename(path, &place).unwrap();
                promises.retain(|(_, promised, _)| promised != path);
                *path = place;
            }
            (6, Some(_)) => {
                let (path, _) = open.swap_remove(index);
                env.remove_file(&path).unwrap();
                promises.retain(|(_, promised, _)| *promised != path);
            }
            (7 | 8, _) => env.sync_dir(Path::new(dir)).unwrap(),
            (9..13, Some((path, file))) => {
                file.sync_data().unwrap();
                env.sync_dir(path.parent().unwrap()).unwrap();
                promises.push((env.journal_len(), path.clone(), env.read_raw(path)));
            }
            (_, Some((_, file))) => {
                let mut bytes = vec![0; random.below(3000) as usize];
                random.fill(&mut bytes);
                append(&**file, &bytes);
            }
        }
    }
    promises
}

#[test]
fn what_was_synced_is_in_every_image() {
    for seed in 0..6 {
        let env = machine();
        let promises = random_history(&env, seed);
        assert!(!promises.is_empty());
        for kind in ImageKind::ALL {
            for at in (0..=env.journal_len()).step_by(3) {
                let image = env.crash_image(at, kind, seed + at as u64);
                for (_, path, bytes) in promises.iter().filter(|(since, _, _)| *since <= at) {
                    assert!(image.exists(path), "seed {seed} {kind:?} at {at}: {} is gone", path.display());
                    let got = image.read_raw(path);
                    assert!(got.starts_with(bytes), "seed {seed} {kind:?} at {at}: {}", path.display());
                }
            }
        }
    }
}

#[test]
fn nothing_is_lost_once_all_is_synced() {
    for seed in 10..40 {
        let env = machine();
        random_history(&env, seed);
        for path in env.list_all() {
            env.open(&path, OpenMode::Read).unwrap().sync_data().unwrap();
        }
        for dir in if seed % 2 == 0 { [DIR, "/other"] } else { ["/other", DIR] } {
            env.sync_dir(Path::new(dir)).unwrap();
        }
        for kind in ImageKind::ALL {
            assert!(all_files(&now(&env, kind, seed)) == all_files(&env), "seed {seed} {kind:?}");
        }
    }
}

#[test]
fn an_image_does_not_depend_on_the_order_of_asking() {
    let env = machine();
    random_history(&env, 7);
    let image = |at, kind| all_files(&env.crash_image(at, kind, 99));
    let points: Vec<usize> = (0..=env.journal_len()).step_by(17).collect();
    for kind in ImageKind::ALL {
        let forward: Vec<_> = points.iter().map(|at| image(*at, kind)).collect();
        let backward: Vec<_> = points.iter().rev().map(|at| image(*at, kind)).collect();
        assert!(forward.iter().eq(backward.iter().rev()), "{kind:?}");
    }
    assert!(image(0, ImageKind::ProcessCrash).is_empty());
    assert_eq!(image(env.journal_len(), ImageKind::ProcessCrash), all_files(&env));
}

#[test]
fn an_image_is_a_machine_of_its_own() {
    let env = three_files();
    let image = now(&env, ImageKind::ProcessCrash, 1);
    let file = image.open(&path("000001.log"), OpenMode::ReadWrite).unwrap();
    file.truncate(1).unwrap();
    create(&image, "new");
    assert_eq!(env.read_raw(&path("000001.log")), full());
    assert!(!env.exists(&path("new")));
    let again = now(&image, ImageKind::SyncedOnly, 1);
    assert_eq!(
        again.read_raw(&path("000001.log")),
        full()[..1000],
        "as never synced, before or after the kill"
    );
    file.sync_data().unwrap();
    assert_eq!(now(&image, ImageKind::SyncedOnly, 1).read_raw(&path("000001.log")), b"a");
}

#[test]
#[ignore = "prints how long images take; asserts nothing about time"]
fn cost_of_images() {
    let env = machine();
    random_history(&env, 3);
    let log = env.open(&path("mapped.log"), OpenMode::CreateMapped { capacity: 64 << 20 }).unwrap();
    log.write_at(0, &[IoSlice::new(&[1; 10_000])]).unwrap();
    let clock = crate::env::default_env();
    println!("{} operations, {} files", env.journal_len(), env.list_all().len());
    for kind in ImageKind::ALL {
        let start = clock.now();
        for at in 0..=env.journal_len() {
            std::hint::black_box(env.crash_image(at, kind, at as u64));
        }
        println!("{kind:?}: {:?} an image", (clock.now() - start) / (env.journal_len() as u32 + 1));
    }
}

/// Of a file that is used again, syncs of its beginning leave the rest to chance, also what its first use left.
#[test]
fn a_sync_of_the_first_bytes_promises_nothing_of_the_rest() {
    let env = machine();
    let file = create(&env, "000001.log");
    file.write_at(0, &[IoSlice::new(&[b'a'; 4096])]).unwrap();
    file.sync_data().unwrap();
    sync_dir(&env);
    file.write_at(0, &[IoSlice::new(&[b'b'; 4096])]).unwrap();
    file.write_at(0, &[IoSlice::new(&[b'c'; 2048])]).unwrap();
    file.sync_first(1024).unwrap();
    let read = |kind, seed| now(&env, kind, seed).read_raw(&path("000001.log"));
    let mut mixed = 0;
    for kind in ImageKind::ALL {
        for seed in SEEDS {
            let bytes = read(kind, seed);
            assert_eq!(bytes[..1024], [b'c'; 1024], "{kind:?}");
            let kinds: BTreeSet<u8> = bytes[1024..2048].iter().copied().collect();
            mixed += usize::from(kind == ImageKind::RandomSectors && kinds.len() > 1);
        }
    }
    assert!(mixed > 0, "sectors of both uses beside each other");
    assert_eq!(read(ImageKind::SyncedOnly, 1)[1024..], [b'a'; 3072]);
    let everything = read(ImageKind::Everything, 1);
    assert!(everything[..2048] == [b'c'; 2048] && everything[2048..] == [b'b'; 2048]);
    file.sync_data().unwrap();
    assert_eq!(read(ImageKind::SyncedOnly, 1), everything);
}
