//! What a history is made of, and histories from seeds.

use crate::support::Random;
use crate::support::reference::{Bytes, Change, show};

/// One call or a few. Families, snapshots and iterators are numbers, taken modulo how many there are.
#[derive(Clone)]
pub enum Operation {
    Write {
        changes: Vec<Change>,
        batch: bool,
        sync: bool,
        disable_wal: bool,
    },
    Get {
        family: usize,
        key: Bytes,
        snapshot: Option<usize>,
    },
    MultiGet {
        keys: Vec<(usize, Bytes)>,
        snapshot: Option<usize>,
    },
    Snapshot,
    Release(usize),
    OpenIterator {
        family: usize,
        snapshot: Option<usize>,
        lower: Option<Bytes>,
        upper: Option<Bytes>,
    },
    Move {
        iterator: usize,
        steps: Vec<Step>,
    },
    Refresh(usize),
    CloseIterator(usize),
    Flush {
        family: Option<usize>,
        wait: bool,
    },
    Compact {
        family: usize,
        begin: Option<Bytes>,
        end: Option<Bytes>,
        force: bool,
    },
    CreateFamily,
    DropFamily(usize),
    Reopen {
        settings: u64,
        kill: bool,
    },
    SyncLog,
    /// So many seconds pass.
    Pass(u64),
    Threshold {
        family: usize,
        least: u64,
    },
    CollectGarbage(f64),
    CheckAll,
}

#[derive(Clone)]
pub enum Step {
    First,
    Last,
    Seek(Bytes),
    SeekForPrev(Bytes),
    Next,
    Prev,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::First => f.write_str("first"),
            Step::Last => f.write_str("last"),
            Step::Seek(key) => write!(f, "seek {}", show(key)),
            Step::SeekForPrev(key) => write!(f, "seek_for_prev {}", show(key)),
            Step::Next => f.write_str("next"),
            Step::Prev => f.write_str("prev"),
        }
    }
}

fn some(key: &Option<Bytes>) -> String {
    key.as_ref().map_or("-".to_string(), |key| show(key))
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Operation::Write { changes, batch, sync, disable_wal } => {
                write!(f, "write batch={batch} sync={sync} disable_wal={disable_wal} {changes:?}")
            }
            Operation::Get { family, key, snapshot } => {
                write!(f, "get {family}:{} at {snapshot:?}", show(key))
            }
            Operation::MultiGet { keys, snapshot } => {
                let keys: Vec<_> =
                    keys.iter().map(|(family, key)| format!("{family}:{}", show(key))).collect();
                write!(f, "multi_get {keys:?} at {snapshot:?}")
            }
            Operation::Snapshot => f.write_str("snapshot"),
            Operation::Release(which) => write!(f, "release {which}"),
            Operation::OpenIterator { family, snapshot, lower, upper } => {
                write!(f, "iterator {family} at {snapshot:?} in {}..{}", some(lower), some(upper))
            }
            Operation::Move { iterator, steps } => write!(f, "move {iterator} {steps:?}"),
            Operation::Refresh(which) => write!(f, "refresh {which}"),
            Operation::CloseIterator(which) => write!(f, "close iterator {which}"),
            Operation::Flush { family, wait } => write!(f, "flush {family:?} wait={wait}"),
            Operation::Compact { family, begin, end, force } => {
                write!(f, "compact {family} {}..{} force={force}", some(begin), some(end))
            }
            Operation::CreateFamily => f.write_str("create family"),
            Operation::DropFamily(which) => write!(f, "drop family {which}"),
            Operation::Reopen { settings, kill } => write!(f, "reopen settings={settings} kill={kill}"),
            Operation::SyncLog => f.write_str("sync log"),
            Operation::Pass(seconds) => write!(f, "{seconds} s pass"),
            Operation::Threshold { family, least } => write!(f, "separate in {family} from {least}"),
            Operation::CollectGarbage(least) => write!(f, "collect garbage from {least}"),
            Operation::CheckAll => f.write_str("check all"),
        }
    }
}

/// All keys that histories write.
pub fn universe() -> Vec<Bytes> {
    let mut keys: Vec<Bytes> = vec![(*b"").into(), (*b"\xff\xff").into()];
    keys.extend((0..32).map(|n| format!("k{n:02}").into_bytes().into()));
    keys.extend((0..6).map(|n| [format!("k{n:02}").as_bytes(), b"\0"].concat().into()));
    keys.extend((0..8).map(|n| format!("a-longer-prefix-that-keys-share/{n}").into_bytes().into()));
    keys.extend((0..6).map(|n| format!("s{n}").into_bytes().into()));
    keys
}

/// Whether single deletes are used on the key; such keys are never merged.
pub fn is_single(key: &[u8]) -> bool {
    key.first() == Some(&b's')
}

fn value(random: &mut Random) -> Bytes {
    let len = match random.below(40) {
        0..=2 => 0,
        3..=15 => 1 + random.below(16),
        16..=30 => 20 + random.below(50),
        31..=37 => 150 + random.below(300),
        38 => 1000 + random.below(600),
        _ => 4000 + random.below(1500),
    };
    if random.one_in(2) {
        let word = random.next().to_le_bytes();
        (0..len).map(|at| word[at % 8]).collect()
    } else {
        (0..len).map(|_| random.next() as u8).collect()
    }
}

fn change(random: &mut Random, keys: &[Bytes]) -> Change {
    let (family, key) = (random.below(4), random.pick(keys));
    match random.below(24) {
        0..=3 => Change::Delete { family, key },
        4 => {
            let (one, other) = (key, random.pick(keys));
            Change::DeleteRange { family, start: one.clone().min(other.clone()), end: one.max(other) }
        }
        5..=7 if !is_single(&key) => {
            let operand = (0..random.below(10)).map(|_| random.next() as u8).collect();
            Change::Merge { family, key, operand }
        }
        8..=12 if is_single(&key) => Change::SingleDelete { family, key },
        13..=14 => {
            let ttl = 1 + random.below(20) as u64;
            Change::PutWithTtl { family, key, value: value(random), ttl, expiry: 0 }
        }
        _ => Change::Put { family, key, value: value(random) },
    }
}

fn steps(random: &mut Random, keys: &[Bytes]) -> Vec<Step> {
    let count = 1 + random.below(12);
    (0..count)
        .map(|at| match random.below(if at == 0 { 4 } else { 12 }) {
            0 => Step::Seek(random.pick(keys)),
            1 => Step::SeekForPrev(random.pick(keys)),
            2 => Step::First,
            3 => Step::Last,
            4..=7 => Step::Next,
            _ => Step::Prev,
        })
        .collect()
}

fn maybe(random: &mut Random, times: usize, keys: &[Bytes]) -> Option<Bytes> {
    random.one_in(times).then(|| random.pick(keys))
}

fn write(random: &mut Random, keys: &[Bytes]) -> Operation {
    let batch = random.one_in(4);
    // One in eight has many values to separate, of which some fill several segments.
    let longest = if random.one_in(8) { 100 } else { 12 };
    let count = if batch { 1 + random.below(longest) } else { 1 };
    let changes = (0..count).map(|_| change(random, keys)).collect();
    let disable_wal = random.one_in(40);
    Operation::Write { changes, batch, sync: !disable_wal && random.one_in(6), disable_wal }
}

/// A history.
pub fn generate(random: &mut Random, count: usize) -> Vec<Operation> {
    let keys = universe();
    (0..count)
        .map(|_| {
            let snapshot = random.one_in(3).then(|| random.below(8));
            match random.below(100) {
                0..=51 => write(random, &keys),
                52..=60 => Operation::Get { family: random.below(4), key: random.pick(&keys), snapshot },
                61..=63 => {
                    let keys = (0..1 + random.below(8)).map(|_| (random.below(4), random.pick(&keys)));
                    Operation::MultiGet { keys: keys.collect(), snapshot }
                }
                64..=66 => Operation::Snapshot,
                67..=68 => Operation::Release(random.below(8)),
                69..=73 => {
                    let (lower, upper) = (maybe(random, 3, &keys), maybe(random, 3, &keys));
                    Operation::OpenIterator { family: random.below(4), snapshot, lower, upper }
                }
                74..=82 => Operation::Move { iterator: random.below(8), steps: steps(random, &keys) },
                83 => Operation::Refresh(random.below(8)),
                84..=85 => Operation::CloseIterator(random.below(8)),
                86..=89 => {
                    let family = (!random.one_in(3)).then(|| random.below(4));
                    Operation::Flush { family, wait: !random.one_in(3) }
                }
                90..=91 => {
                    let (begin, end) = (maybe(random, 3, &keys), maybe(random, 3, &keys));
                    Operation::Compact { family: random.below(4), begin, end, force: random.one_in(2) }
                }
                92 => Operation::CreateFamily,
                93 if random.one_in(2) => Operation::DropFamily(random.below(4)),
                93..=95 => Operation::Reopen { settings: random.next(), kill: random.one_in(2) },
                96 if random.one_in(2) => Operation::Pass(1 + random.below(12) as u64),
                96 => Operation::SyncLog,
                97 if random.one_in(2) => {
                    let least = random.pick(&[0, 24, 200, 1 << 10, u64::MAX >> 1]);
                    Operation::Threshold { family: random.below(4), least }
                }
                97 => Operation::CollectGarbage(random.below(4) as f64 / 4.0),
                _ => Operation::CheckAll,
            }
        })
        .collect()
}
