//! The manifest under crashes, failing devices and flipped bytes. Edits without tables; `table_tests` has those.

use super::edit::VersionEdit;
use super::replay::ManifestState;
use super::set::{VersionSet, VersionSetContext};
use crate::base::error::Subcode;
use crate::base::file_name::{FileKind, parse, path_of};
use crate::base::{Codec, Error, InternalComparator, Result};
use crate::env::Env;
use crate::env::direct::DirectIo;
use crate::env::faulty::{Failure, Fault, FaultyEnv, Selection};
use crate::env::simulated::{ImageKind, SimEnv};
use crate::sst::TableOptions;
use crate::value_log::{ValueLog, ValueLogOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

const DATABASE: [u8; 16] = *b"the database's i";

fn dir() -> &'static Path {
    Path::new("/db")
}

pub(super) fn table_options() -> TableOptions {
    TableOptions {
        order: InternalComparator::default(),
        block_size: 512,
        compression: Codec::None,
        bloom_bits_per_key: Some(10.0),
        whole_key_filtering: true,
        prefix_extractor: None,
        learned_index: true,
        cache: None,
        cache_owner: 0,
    }
}

pub(super) fn context(env: Arc<dyn Env>) -> VersionSetContext {
    VersionSetContext {
        env,
        db_dir: "/db".into(),
        sst_dir: "/db/sst".into(),
        direct: DirectIo::new(true, true),
        next_file_number: Arc::new(AtomicU64::new(1)),
        table_options: Arc::new(|_| table_options()),
    }
}

pub(super) fn value_log(env: Arc<dyn Env>, next_file_number: &Arc<AtomicU64>) -> Arc<ValueLog> {
    let options = ValueLogOptions::plain("/db/vlog", DATABASE, 1 << 20);
    ValueLog::open(env, options, next_file_number.clone()).unwrap()
}

pub(super) fn prepare_dirs(env: &dyn Env) {
    for dir in ["/db", "/db/sst", "/db/vlog"] {
        env.create_dir_all(Path::new(dir)).unwrap();
    }
}

/// What a manifest says, for comparisons.
type Facts = (Vec<(u32, String, String, u64)>, u64, u64, Vec<(u64, u64)>);

fn facts(state: &ManifestState) -> Facts {
    let families = state
        .families
        .iter()
        .map(|(&id, f)| (id, f.name.clone(), f.comparator.clone(), f.flushed_sequence))
        .collect();
    (families, state.last_sequence, state.min_wal, state.sealed_wals.clone())
}

/// The edits of the test's history, one group a record.
fn history() -> Vec<Vec<VersionEdit>> {
    let family = |column_family| VersionEdit { column_family, ..VersionEdit::default() };
    let named = |name: &str| Some((name.to_string(), "order".to_string()));
    vec![
        vec![VersionEdit { create: named("one"), ..family(1) }],
        vec![
            VersionEdit { flushed_sequence: Some(10), last_sequence: Some(12), ..family(0) },
            VersionEdit { flushed_sequence: Some(11), min_wal: Some(4), ..family(1) },
        ],
        vec![VersionEdit { create: named("two"), ..family(2) }, VersionEdit { drop: true, ..family(1) }],
        vec![VersionEdit { flushed_sequence: Some(20), last_sequence: Some(22), ..family(2) }],
        vec![VersionEdit { create: named("one"), ..family(3) }],
        vec![VersionEdit { last_sequence: Some(30), sealed_wals: vec![(7, 100), (9, 5)], ..family(0) }],
    ]
}

/// The facts after each number of records.
fn expected_facts() -> Vec<Facts> {
    let env = SimEnv::new(1);
    prepare_dirs(&*env);
    let context = context(env.clone());
    let log = value_log(env.clone(), &context.next_file_number);
    let set = VersionSet::create(context, DATABASE, "order").unwrap();
    let read = || facts(&VersionSet::read_manifest(&*env, dir()).unwrap());
    let mut all = vec![read()];
    for edits in history() {
        set.apply(edits, &log).unwrap();
        all.push(read());
    }
    all
}

fn reopen(env: Arc<dyn Env>) -> Result<VersionSet> {
    let state = VersionSet::read_manifest(&*env, dir())?;
    let context = context(env.clone());
    let log = value_log(env, &context.next_file_number);
    VersionSet::open(context, state, &log, false)
}

fn run_history(env: &Arc<SimEnv>, mut after: impl FnMut(usize)) {
    let context = context(env.clone());
    let log = value_log(env.clone(), &context.next_file_number);
    let set = VersionSet::create(context, DATABASE, "order").unwrap();
    after(0);
    for (at, edits) in history().into_iter().enumerate() {
        // Small enough that some record makes the set switch to a new manifest.
        set.set_rotate_least(if at == 3 { 1 } else { 1 << 20 });
        set.apply(edits, &log).unwrap();
        after(at + 1);
    }
}

#[test]
fn what_was_applied_is_read_again() {
    let expected = expected_facts();
    assert_eq!(expected.last().unwrap().3, [(7, 100), (9, 5)]);
    assert!(expected[5].3.is_empty());
    let env = SimEnv::new(2);
    prepare_dirs(&*env);
    run_history(&env, |_| {});
    let state = VersionSet::read_manifest(&*env, dir()).unwrap();
    assert_eq!((facts(&state), state.database, state.torn_bytes), (expected[6].clone(), DATABASE, 0));
    let names: Vec<&str> = state.column_families.iter().map(|(_, name, _)| &name[..]).collect();
    assert_eq!(names, ["default", "two", "one"]);
    let set = reopen(env.clone()).unwrap();
    assert_eq!((set.next_column_family_id(), set.last_sequence(), set.min_wal()), (4, 30, 4));
    assert!(set.manifest_number() > state.manifest_number);
    let again = VersionSet::read_manifest(&*env, dir()).unwrap();
    assert_eq!(facts(&again), expected[6], "an open keeps the seals");
    assert!(again.next_file_number > set.manifest_number());
}

/// Which of the expected facts these are.
fn index_of(expected: &[Facts], facts: &Facts) -> Option<usize> {
    expected.iter().position(|known| known == facts)
}

#[test]
fn a_crash_at_any_point_leaves_a_state_that_was_applied() {
    let expected = expected_facts();
    let env = SimEnv::new(3);
    prepare_dirs(&*env);
    let mut acknowledged = Vec::new();
    run_history(&env, |records| acknowledged.push((env.journal_len(), records)));
    for at in 0..=env.journal_len() {
        let least = acknowledged.iter().rev().find(|&&(len, _)| len <= at).map(|&(_, records)| records);
        for kind in ImageKind::ALL {
            let image = env.crash_image(at, kind, at as u64);
            let place = format!("crash before {at} ({}), {kind:?}", describe(&env, at));
            let read = VersionSet::read_manifest(&*image, dir());
            let first = match read {
                Ok(state) => {
                    index_of(&expected, &facts(&state)).unwrap_or_else(|| panic!("{place}: {state:?}"))
                }
                Err(error) => {
                    assert!(error.is_not_found() && least.is_none(), "{place}: {error}");
                    continue;
                }
            };
            assert!(Some(first) >= least && first <= least.map_or(0, |least| least + 1), "{place}: {first}");
            crash_again(&image, &expected, first, &place, at as u64);
        }
    }
}

fn describe(env: &SimEnv, at: usize) -> String {
    if at < env.journal_len() { env.describe_operation(at) } else { "the end".into() }
}

/// What was found once stays: opening may crash as well.
fn crash_again(image: &Arc<SimEnv>, expected: &[Facts], first: usize, place: &str, seed: u64) {
    let before = image.journal_len();
    let set = reopen(image.clone()).unwrap_or_else(|error| panic!("{place}: {error}"));
    let after = image.journal_len();
    let at = before + (seed as usize * 7) % (after - before + 1);
    for kind in [ImageKind::SyncedOnly, ImageKind::RandomSectors, ImageKind::Prefix, ImageKind::DirOpsLost] {
        let second = image.crash_image(at, kind, seed);
        let state =
            VersionSet::read_manifest(&*second, dir()).unwrap_or_else(|e| panic!("{place}, again: {e}"));
        assert_eq!(index_of(expected, &facts(&state)), Some(first), "{place}, again at {at}, {kind:?}");
    }
    assert_eq!(set.column_families().len(), expected[first].0.len(), "{place}");
}

#[test]
fn a_flipped_byte_is_an_error_or_an_older_state() {
    let expected = expected_facts();
    let env = SimEnv::new(4);
    prepare_dirs(&*env);
    let context = context(env.clone());
    let log = value_log(env.clone(), &context.next_file_number);
    let set = VersionSet::create(context, DATABASE, "order").unwrap();
    history().into_iter().for_each(|edits| set.apply(edits, &log).unwrap());
    let manifest = path_of(dir(), FileKind::Manifest(set.manifest_number()));
    let mut older = 0;
    for path in [manifest, path_of(dir(), FileKind::Current)] {
        let bytes = env.read_raw(&path);
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << (at % 8);
            env.write_raw(&path, &bent);
            match VersionSet::read_manifest(&*env, dir()) {
                Err(error) => assert!(error.is_corruption() && error.file().is_some(), "byte {at}: {error}"),
                Ok(state) => {
                    let index = index_of(&expected, &facts(&state));
                    assert_eq!(
                        index,
                        Some(5),
                        "byte {at}: only the last record can be mistaken for a torn one"
                    );
                    assert!(state.torn_bytes > 0, "byte {at}");
                    older += 1;
                }
            }
        }
        env.write_raw(&path, &bytes);
    }
    assert!(older > 0 && older < 60, "{older} bytes of the last record");
}

#[test]
fn missing_files_are_named_and_never_taken_for_no_database() {
    let env = SimEnv::new(5);
    let missing = |error: &Error| error.subcode() == Subcode::MissingFile;
    let read = |env: &SimEnv| VersionSet::read_manifest(env, dir()).err().unwrap();
    assert!(read(&env).is_not_found() && missing(&read(&env)), "no directory");
    prepare_dirs(&*env);
    assert!(read(&env).is_not_found() && missing(&read(&env)), "an empty directory");
    run_history(&env, |_| {});
    let current = path_of(dir(), FileKind::Current);
    let bytes = env.read_raw(&current);
    env.remove_file(&current).unwrap();
    assert!(read(&env).is_corruption() && missing(&read(&env)), "{}", read(&env));
    env.write_raw(&current, b"");
    assert!(read(&env).is_corruption());
    env.write_raw(&current, &bytes);
    let state = VersionSet::read_manifest(&*env, dir()).unwrap();
    env.remove_file(&path_of(dir(), FileKind::Manifest(state.manifest_number))).unwrap();
    assert!(read(&env).is_corruption() && missing(&read(&env)));
    assert!(read(&env).to_string().contains("MANIFEST-"), "{}", read(&env));
}

/// Every mutating operation fails once: an edit is refused or applied, and after `reset_manifest` all goes on.
#[test]
fn after_a_failed_write_nothing_is_applied_until_reset() {
    let expected = expected_facts();
    for skip in 0.. {
        let inner = SimEnv::new(6);
        prepare_dirs(&*inner);
        let env = FaultyEnv::new(inner.clone());
        let context = context(env.clone());
        let log = value_log(env.clone(), &context.next_file_number);
        let set = VersionSet::create(context, DATABASE, "order").unwrap();
        set.set_rotate_least(1);
        env.plan().arm(Fault {
            selection: Selection::mutating(),
            nth: skip,
            failure: Failure::Errno(libc::EIO),
            lasting: false,
        });
        for edits in history() {
            while let Err(error) = set.apply(edits.clone(), &log) {
                assert!(set.manifest_failed(), "{error}");
                let refused = set.apply(edits.clone(), &log).unwrap_err();
                assert_eq!(refused.subcode(), Subcode::ReadOnly);
                while let Err(error) = set.reset_manifest() {
                    assert!(env.plan().fired() > 0, "{error}");
                }
                assert!(!set.manifest_failed());
            }
        }
        let live = set.manifest_number();
        let lost = inner.crash_image(inner.journal_len(), ImageKind::SyncedOnly, 1);
        let state = VersionSet::read_manifest(&*lost, dir()).unwrap();
        let index = index_of(&expected, &facts(&state));
        assert_eq!(index, Some(6), "operation {skip} failed: {state:?}");
        assert!(set.manifest_failed() || state.manifest_number == live);
        if env.plan().fired() == 0 {
            assert!(skip > 10);
            break;
        }
    }
}

#[test]
fn contradictions_are_refused_and_change_nothing() {
    let env = SimEnv::new(7);
    prepare_dirs(&*env);
    let context = context(env.clone());
    let log = value_log(env.clone(), &context.next_file_number);
    let set = VersionSet::create(context, DATABASE, "order").unwrap();
    let before = env.journal_len();
    let edit = |column_family| VersionEdit { column_family, ..VersionEdit::default() };
    let wrong = [
        VersionEdit { create: Some(("default".into(), "order".into())), ..edit(1) },
        VersionEdit { create: Some(("other".into(), "order".into())), ..edit(0) },
        VersionEdit { flushed_sequence: Some(1), ..edit(9) },
        VersionEdit { removed: vec![(0, 12)], ..edit(0) },
    ];
    for edit in wrong {
        set.apply(vec![edit.clone()], &log).expect_err(&format!("{edit:?}"));
    }
    assert_eq!(env.journal_len(), before, "something was written");
    assert!(!set.manifest_failed());
}

#[test]
fn seals_hold_until_min_wal_passes_them() {
    let env = SimEnv::new(8);
    prepare_dirs(&*env);
    run_history(&env, |_| {});
    let sealed = |env: &SimEnv| VersionSet::read_manifest(env, dir()).unwrap().sealed_wals;
    let edit = |min_wal| VersionEdit { last_sequence: Some(40), min_wal, ..VersionEdit::default() };
    for _ in 0..2 {
        let set = reopen(env.clone()).unwrap();
        assert_eq!(sealed(&env), [(7, 100), (9, 5)], "the whole manifest of an open");
        let log = value_log(env.clone(), &Arc::new(AtomicU64::new(100)));
        set.apply(vec![edit(None)], &log).unwrap();
        assert_eq!(sealed(&env), [(7, 100), (9, 5)], "edits of a recovery under way");
    }
    let set = reopen(env.clone()).unwrap();
    let log = value_log(env.clone(), &Arc::new(AtomicU64::new(100)));
    set.apply(vec![edit(Some(8))], &log).unwrap();
    assert_eq!(sealed(&env), [(9, 5)]);
    set.set_rotate_least(1);
    for _ in 0..100 {
        set.apply(vec![edit(Some(9))], &log).unwrap();
    }
    assert_eq!(sealed(&env), [(9, 5)], "after a switch to a new manifest");
    set.apply(vec![edit(Some(10))], &log).unwrap();
    assert_eq!(sealed(&env), []);
}

fn manifests(env: &SimEnv) -> Vec<u64> {
    let names = env.list(dir()).unwrap();
    let numbers = names.iter().filter_map(|name| match parse(name) {
        Some(FileKind::Manifest(number)) => Some(number),
        _ => None,
    });
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn replaced_manifests_are_handed_out_once_and_only_when_current_names_another() {
    let inner = SimEnv::new(9);
    prepare_dirs(&*inner);
    let env = FaultyEnv::new(inner.clone());
    let context = context(env.clone());
    let log = value_log(env.clone(), &context.next_file_number);
    let set = VersionSet::create(context, DATABASE, "order").unwrap();
    assert!(set.take_obsolete_manifests().is_empty());
    let edit = || vec![VersionEdit { last_sequence: Some(1), ..VersionEdit::default() }];
    set.set_rotate_least(1);
    let first = set.manifest_number();
    while set.manifest_number() == first {
        set.apply(edit(), &log).unwrap();
    }
    assert_eq!(set.take_obsolete_manifests(), [first]);
    assert!(set.take_obsolete_manifests().is_empty());
    env.remove_file(&path_of(dir(), FileKind::Manifest(first))).unwrap();
    // CURRENT may name either of two once its directory's sync failed: neither may go.
    let selection = Selection::mutating();
    let mut failed = false;
    for nth in 0..40 {
        env.plan().arm(Fault { selection: selection.clone(), nth, failure: Failure::BROKEN, lasting: false });
        failed |= set.reset_manifest().is_err() && set.manifest_failed();
        if set.manifest_failed() {
            assert!(set.take_obsolete_manifests().is_empty(), "operation {nth} failed");
        }
        env.plan().heal();
    }
    assert!(failed, "no switch of CURRENT failed");
    set.reset_manifest().unwrap();
    let live = set.manifest_number();
    for number in set.take_obsolete_manifests() {
        assert_ne!(number, live);
        env.remove_file(&path_of(dir(), FileKind::Manifest(number))).unwrap();
    }
    assert_eq!(manifests(&inner), [live]);
    assert_eq!(VersionSet::read_manifest(&*inner, dir()).unwrap().manifest_number, live);
}
