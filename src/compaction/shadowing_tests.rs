//! Histories are judged, and every snapshot must read what it read before (C2).

use super::super::testing::{Entry, History, Joining, ListIterator, Random};
use super::*;
use crate::base::key::InternalKey;
use crate::value_log::ValueBytes;
use std::sync::Arc;

/// The value behind a pointer of these tests says where it is.
struct Computed;

fn value_of(pointer: &ValuePointer) -> Vec<u8> {
    format!("value@{}", pointer.offset).into_bytes()
}

impl Values for Computed {
    fn read(&self, pointer: &ValuePointer, _user_key: &[u8]) -> Result<ValueBytes> {
        let value = value_of(pointer);
        let range = 0..value.len();
        Ok(ValueBytes { buffer: Arc::new(value.into()), range })
    }
}

fn resolve(stored: &[u8]) -> Vec<u8> {
    value_of(&ValuePointer::decode(stored).unwrap())
}

fn pointer(offset: u64) -> Vec<u8> {
    let mut out = Vec::new();
    ValuePointer { segment: 1, offset, record_len: 100, value_len: 90, checksum: 7 }.encode(&mut out);
    out
}

/// Knows exactly which keys have something below.
struct Below(Vec<Vec<u8>>);

impl OlderVersions for Below {
    fn may_exist(&mut self, user_key: &[u8]) -> bool {
        self.0.iter().any(|key| key == user_key)
    }
}

/// Half of the values and operands expire, at some second from 1 to 60, many at the same.
fn expiring_history(random: &mut Random, writes: u64, keys: u64) -> History {
    let mut history = random_history(random, writes, keys);
    for entry in &mut history.entries {
        if random.one_in(2) && !entry.kind.is_delete() {
            entry.kind = entry.kind.expiring();
            let expiry = if random.one_in(2) { 20 + 20 * random.below(3) } else { 1 + random.below(60) };
            entry.value = [&expiry.to_le_bytes()[..], &entry.value].concat();
        }
    }
    history
}

fn random_history(random: &mut Random, writes: u64, keys: u64) -> History {
    let mut history = History::default();
    for sequence in 1..=writes {
        let key = format!("k{}", random.below(keys)).into_bytes();
        let kind = match random.below(20) {
            0..=5 => EntryKind::Put,
            6..=7 => EntryKind::Pointer,
            8..=10 => EntryKind::Delete,
            11 => EntryKind::SingleDelete,
            12..=17 => EntryKind::Merge,
            _ => {
                let end = format!("k{}", random.below(keys + 1)).into_bytes();
                history.tombstones.push(RangeTombstone { start: key, end, sequence });
                continue;
            }
        };
        let value = match kind {
            EntryKind::Put | EntryKind::Merge => format!("v{sequence}").into_bytes(),
            EntryKind::Pointer => pointer(sequence),
            _ => Vec::new(),
        };
        history.entries.push(Entry { key, sequence, kind, value });
    }
    history
}

/// Writes up to `sequence` and those after.
fn split(history: &History, sequence: u64) -> (History, History) {
    let part = |keep: &dyn Fn(u64) -> bool| History {
        entries: history.entries.iter().filter(|e| keep(e.sequence)).cloned().collect(),
        tombstones: history.tombstones.iter().filter(|t| keep(t.sequence)).cloned().collect(),
    };
    (part(&|s| s <= sequence), part(&|s| s > sequence))
}

/// What stays, each key announced once.
#[derive(Default)]
struct Collected(Vec<Entry>, Option<Vec<u8>>);

impl Keeper for Collected {
    fn begin_key(&mut self, user_key: &[u8]) -> Result<()> {
        assert!(self.1.as_deref().is_none_or(|last| last < user_key), "a key was begun twice");
        assert!(
            self.0.last().map(|entry| &entry.key) == self.1.as_ref(),
            "nothing stayed of a key that was begun"
        );
        self.1 = Some(user_key.to_vec());
        Ok(())
    }

    fn add(&mut self, internal_key: &[u8], value: &[u8]) -> Result<()> {
        let entry = Entry::parse(internal_key, value);
        assert_eq!(self.1.as_ref(), Some(&entry.key), "the key was not begun");
        self.0.push(entry);
        Ok(())
    }
}

struct Judged {
    history: History,
    counts: (u64, u64),
}

fn judge(
    input: &History,
    below: &[Vec<u8>],
    snapshots: &[u64],
    operator: Option<&dyn MergeOperator>,
    filter: Option<&dyn CompactionFilter>,
) -> Result<Judged> {
    judge_at(0, input, below, snapshots, operator, filter)
}

fn judge_at(
    now: u64,
    input: &History,
    below: &[Vec<u8>],
    snapshots: &[u64],
    operator: Option<&dyn MergeOperator>,
    filter: Option<&dyn CompactionFilter>,
) -> Result<Judged> {
    let order = InternalComparator::default();
    let tombstones = TombstoneList::build(&input.tombstones, &order);
    let rules = Rules {
        order: &order,
        snapshots,
        now,
        tombstones: &tombstones,
        merge_operator: operator,
        filter,
        level: 1,
        values: &Computed,
    };
    let covers = |t: &RangeTombstone| below.iter().any(|key| t.start <= *key && *key < t.end);
    let mut history = History { tombstones: rules.needed_tombstones(covers), ..History::default() };
    let entries = ListIterator::new(input.entries.iter().map(Entry::internal).collect(), &order);
    let mut shadowing = Shadowing::new(Box::new(entries), rules, Box::new(Below(below.to_vec())));
    let mut kept = Collected::default();
    shadowing.run(&mut kept)?;
    history.entries = kept.0;
    Ok(Judged { history, counts: shadowing.counts() })
}

fn joined(older: &History, newer: &History) -> History {
    History {
        entries: older.entries.iter().chain(&newer.entries).cloned().collect(),
        tombstones: older.tombstones.iter().chain(&newer.tombstones).cloned().collect(),
    }
}

#[test]
fn every_snapshot_reads_what_it_read_before() {
    for seed in 0..6000 {
        let mut random = Random::new(seed);
        check_snapshots(seed, &mut random, random_history, 0);
    }
}

/// At the time of judging and at all later ones.
#[test]
fn every_snapshot_reads_what_it_read_before_whatever_expires() {
    for seed in 0..6000 {
        let mut random = Random::new(seed);
        let now = random.below(62);
        check_snapshots(seed, &mut random, expiring_history, now);
    }
}

fn check_snapshots(
    seed: u64,
    random: &mut Random,
    history: impl Fn(&mut Random, u64, u64) -> History,
    now: u64,
) {
    {
        let writes = 1 + random.below(40);
        let keys = 1 + random.below(5);
        let whole = history(random, writes, keys);
        let below_to = if random.one_in(3) { 0 } else { random.below(writes) };
        let (older, input) = split(&whole, below_to);
        let mut below: Vec<Vec<u8>> = older.entries.iter().map(|entry| entry.key.clone()).collect();
        let mut snapshots: Vec<u64> = (0..random.below(4)).map(|_| random.below(writes + 1)).collect();
        snapshots.sort_unstable();
        if random.one_in(2) {
            snapshots.dedup();
        }
        if random.one_in(4) {
            below.push(b"k0".to_vec());
        }
        let operator: Option<&dyn MergeOperator> = if random.one_in(4) { None } else { Some(&Joining) };
        let judged = judge_at(now, &input, &below, &snapshots, operator, None).unwrap();
        let after = joined(&older, &judged.history);
        for key in (0..=keys).map(|key| format!("k{key}").into_bytes()) {
            for (&snapshot, time) in
                snapshots.iter().chain([&u64::MAX]).flat_map(|s| times(now).map(move |t| (s, t)))
            {
                let expected = whole.get_at(&key, snapshot, time, &resolve);
                let got = after.get_at(&key, snapshot, time, &resolve);
                let key = key.escape_ascii();
                assert_eq!(got, expected, "seed {seed}, key {key} at {snapshot}, second {time} after {now}");
            }
        }
        assert_eq!(judged.counts, (input.entries.len() as u64, judged.history.entries.len() as u64));
    }
}

fn times(now: u64) -> impl Iterator<Item = u64> {
    [now, now + 1, now + 7, now + 20, now + 60].into_iter()
}

#[test]
fn what_has_expired_goes_like_a_deletion() {
    let timed = |key: &str, sequence, kind: EntryKind, expiry: u64, value: &[u8]| {
        let value = [&expiry.to_le_bytes()[..], value].concat();
        Entry { key: key.into(), sequence, kind, value }
    };
    let mut input = History::default();
    input.entries.push(put("a", 1, "older"));
    input.entries.push(timed("a", 2, EntryKind::ExpiringPut, 10, b"newer"));
    input.entries.push(timed("b", 3, EntryKind::ExpiringPointer, 10, &pointer(3)));
    input.entries.push(Entry { key: b"b".into(), sequence: 4, kind: EntryKind::Merge, value: b"x".into() });
    input.entries.push(Entry { key: b"b".into(), sequence: 5, kind: EntryKind::Merge, value: b"y".into() });
    let before = judge_at(9, &input, &[], &[], Some(&Joining), None).unwrap().history;
    assert_eq!(shown(&before), ["a@2 ExpiringPut", "b@5 Merge", "b@3 ExpiringPointer"]);
    assert_eq!(before.get_at(b"b", 9, 9, &resolve), Some(b"value@3,x,y".to_vec()));
    let after = judge_at(10, &input, &[], &[], Some(&Joining), None).unwrap().history;
    assert_eq!(shown(&after), ["b@5 Put"]);
    assert_eq!(after.get(b"b", 9, &resolve), Some(b"x,y".to_vec()));
    let above = judge_at(10, &input, &[b"a".to_vec(), b"b".to_vec()], &[], Some(&Joining), None).unwrap();
    assert_eq!(shown(&above.history), ["a@2 Delete", "b@5 Put"]);
    assert_eq!(above.history.entries[0].value, b"", "a deletion stores nothing");
}

#[test]
fn operands_that_expire_together_become_one() {
    let operand = |sequence: u64, expiry: u64| {
        let kind = if expiry > 0 { EntryKind::ExpiringMerge } else { EntryKind::Merge };
        let expiry = if expiry > 0 { expiry.to_le_bytes().to_vec() } else { Vec::new() };
        Entry {
            key: b"k".into(),
            sequence,
            kind,
            value: [expiry, format!("v{sequence}").into_bytes()].concat(),
        }
    };
    let mut input = History::default();
    input.entries.push(put("k", 1, "base"));
    let expiries = [0, 0, 50, 50, 50, 50, 60, 50, 0, 0];
    input.entries.extend(expiries.iter().zip(2..).map(|(expiry, sequence)| operand(sequence, *expiry)));
    for below in [vec![], vec![b"k".to_vec()]] {
        let judged = judge_at(9, &input, &below, &[], Some(&Joining), None).unwrap().history;
        let expected = [
            "k@11 Merge",
            "k@9 ExpiringMerge",
            "k@8 ExpiringMerge",
            "k@7 ExpiringMerge",
            "k@3 Merge",
            "k@1 Put",
        ];
        assert_eq!(shown(&judged), expected);
        assert_eq!(judged.entries[3].value, [&50u64.to_le_bytes()[..], b"v4,v5,v6,v7"].concat());
        let text = |time| String::from_utf8(judged.get_at(b"k", 20, time, &resolve).unwrap()).unwrap();
        assert_eq!(text(49), "base,v2,v3,v4,v5,v6,v7,v8,v9,v10,v11");
        assert_eq!(text(50), "v10,v11");
    }
    let apart = judge_at(9, &input, &[], &[4, 5], Some(&Joining), None).unwrap().history;
    assert_eq!(shown(&apart)[3..5], ["k@7 ExpiringMerge", "k@5 ExpiringMerge"], "a snapshot lies between");
}

#[test]
fn nothing_superfluous_stays() {
    for seed in 0..2000 {
        let mut random = Random::new(seed);
        let writes = 1 + random.below(60);
        let whole = random_history(&mut random, writes, 4);
        let mut snapshots: Vec<u64> = (0..random.below(3)).map(|_| random.below(writes)).collect();
        snapshots.sort_unstable();
        let judged = judge(&whole, &[], &snapshots, Some(&Joining), None).unwrap().history;
        for key in (0..4).map(|key| format!("k{key}").into_bytes()) {
            let kept: Vec<&Entry> = judged.entries.iter().filter(|entry| entry.key == key).collect();
            let bases = kept.iter().filter(|entry| entry.kind != EntryKind::Merge).count();
            assert!(bases <= snapshots.len() + 1, "seed {seed}: {kept:?}");
            if let Some(oldest) = kept.last() {
                assert!(oldest.kind.is_value(), "seed {seed}: the oldest rests on nothing: {oldest:?}");
            }
            if snapshots.is_empty() {
                assert!(kept.len() <= 1, "seed {seed}: {kept:?}");
            }
        }
        if snapshots.is_empty() {
            assert_eq!(judged.tombstones, [], "seed {seed}");
        }
    }
}

struct Judging {
    ignore_snapshots: bool,
}

impl CompactionFilter for Judging {
    fn name(&self) -> &str {
        "judging"
    }
    fn filter(&self, level: u32, _key: &[u8], value: &[u8]) -> FilterDecision {
        assert_eq!(level, 1);
        match value {
            b"remove" => FilterDecision::Remove,
            b"value@5" => FilterDecision::Change(b"changed".to_vec()),
            _ => FilterDecision::Keep,
        }
    }
    fn ignore_snapshots(&self) -> bool {
        self.ignore_snapshots
    }
}

fn put(key: &str, sequence: u64, value: &str) -> Entry {
    Entry { key: key.into(), sequence, kind: EntryKind::Put, value: value.into() }
}

fn shown(history: &History) -> Vec<String> {
    let show = |e: &Entry| format!("{}@{} {:?}", e.key.escape_ascii(), e.sequence, e.kind);
    history.entries.iter().map(show).collect()
}

#[test]
fn the_filter_judges_the_newest_value_of_a_key() {
    let mut input = History::default();
    input.entries.push(put("gone", 3, "remove"));
    input.entries.push(put("hidden", 4, "old"));
    input.entries.push(put("hidden", 6, "remove"));
    input.entries.push(Entry { key: b"p".into(), sequence: 5, kind: EntryKind::Pointer, value: pointer(5) });
    input.entries.push(put("stays", 7, "fine"));
    let always = Judging { ignore_snapshots: true };
    let bottom = judge(&input, &[], &[], None, Some(&always)).unwrap().history;
    assert_eq!(shown(&bottom), ["p@5 Put", "stays@7 Put"]);
    assert_eq!(bottom.get(b"p", 9, &resolve), Some(b"changed".to_vec()));
    let below = [b"gone".to_vec(), b"hidden".to_vec()];
    let above = judge(&input, &below, &[4], None, Some(&always)).unwrap().history;
    assert_eq!(shown(&above), ["gone@3 Delete", "hidden@6 Delete", "hidden@4 Put", "p@5 Put", "stays@7 Put"]);
    let never = Judging { ignore_snapshots: false };
    let protected = judge(&input, &[], &[9], None, Some(&never)).unwrap().history;
    assert_eq!(shown(&protected), ["gone@3 Put", "hidden@6 Put", "p@5 Pointer", "stays@7 Put"]);
}

#[test]
fn a_failing_operator_is_an_error() {
    let mut input = History::default();
    input.entries.push(put("a", 1, "base"));
    input.entries.push(Entry {
        key: b"a".into(),
        sequence: 2,
        kind: EntryKind::Merge,
        value: b"fail".into(),
    });
    let error = judge(&input, &[], &[], Some(&Joining), None).err().unwrap();
    assert!(error.is_corruption() && error.to_string().contains("Merge operator failed"), "{error}");
}

fn error_of(entries: Vec<(Vec<u8>, Vec<u8>)>, end: Option<Error>) -> Error {
    let order = InternalComparator::default();
    let tombstones = TombstoneList::default();
    let rules = Rules {
        order: &order,
        snapshots: &[],
        now: 0,
        tombstones: &tombstones,
        merge_operator: Some(&Joining),
        filter: None,
        level: 0,
        values: &Computed,
    };
    let mut input = ListIterator::unsorted(entries);
    input.error = end;
    let mut shadowing = Shadowing::new(Box::new(input), rules, Box::new(MayExist));
    shadowing.run(&mut Collected::default()).expect_err("no error")
}

#[test]
fn corrupt_input_is_never_copied_on() {
    let key =
        |user: &str, sequence, kind| (InternalKey::new(user.as_bytes(), sequence, kind).0, b"v".to_vec());
    let put = EntryKind::Put;
    assert!(error_of(vec![(b"short".to_vec(), vec![])], None).is_corruption());
    assert!(
        error_of(vec![key("a", 1, put), (vec![b'b', 99, 0, 0, 0, 0, 0, 0, 0], vec![])], None).is_corruption()
    );
    assert!(error_of(vec![key("b", 1, put), key("a", 2, put)], None).is_corruption());
    assert!(error_of(vec![key("a", 1, put), key("a", 2, put)], None).is_corruption());
    assert!(error_of(vec![key("a", 1, put), key("a", 1, put)], None).is_corruption());
    assert!(error_of(vec![key("a", 1, EntryKind::RangeDelete)], None).is_corruption());
    assert!(
        error_of(vec![key("a", 2, EntryKind::Merge), key("a", 1, EntryKind::Pointer)], None).is_corruption()
    );
    let stopped = error_of(vec![key("a", 1, put)], Some(Error::not_found("device")));
    assert!(stopped.is_not_found(), "an input's error is told as it is");
}
