//! All short histories that are worth trying.

use super::stage::Act;
use auradb::env::simulated::ImageKind;

/// What decides whether an act can matter.
#[derive(Clone)]
struct Situation {
    present: [bool; 3],
    snapshots: usize,
    iterator: bool,
    /// Something was written since the last flush, compaction or collection.
    unflushed: bool,
    uncompacted: bool,
    uncollected: bool,
    last: Option<Act>,
    /// Both keys are alike so far.
    alike: bool,
}

/// Readers that begin one after another may begin in any order: one is enough.
fn rank(act: Act) -> Option<usize> {
    match act {
        Act::Snapshot => Some(0),
        Act::Iterate => Some(1),
        Act::Pin(_) => Some(2),
        _ => None,
    }
}

impl Situation {
    fn allows(&self, act: Act) -> bool {
        if let (Some(before), Some(now)) = (self.last.and_then(rank), rank(act))
            && before >= now
        {
            return false;
        }
        match act {
            Act::Put(1) | Act::PutInline(1) => !self.alike,
            Act::Delete(key) | Act::Pin(key) => self.present[key],
            Act::DeleteAll => self.present.contains(&true),
            Act::Snapshot => self.snapshots == 0 && self.last.is_some(),
            Act::Release => self.snapshots > 0 && self.last != Some(Act::Snapshot),
            Act::Iterate => !self.iterator && self.present.contains(&true),
            Act::Step => self.iterator && self.last != Some(Act::Iterate),
            Act::CloseIterator => self.iterator && self.last != Some(Act::Iterate),
            Act::Flush => self.unflushed,
            Act::Compact => self.uncompacted,
            Act::Collect => self.uncollected,
            Act::Reopen | Act::Crash(_) => {
                !matches!(self.last, None | Some(Act::Reopen | Act::Crash(_))) && self.uncollected
            }
            Act::Put(_) | Act::PutInline(_) => true,
        }
    }

    fn note(&mut self, act: Act) {
        let mut written = true;
        match act {
            Act::Put(key) | Act::PutInline(key) => (self.present[key], self.alike) = (true, false),
            Act::Delete(key) => self.present[key] = false,
            Act::DeleteAll => self.present = [false; 3],
            _ => written = false,
        }
        match act {
            Act::Snapshot => self.snapshots += 1,
            Act::Release => self.snapshots -= 1,
            Act::Iterate => self.iterator = true,
            Act::CloseIterator => self.iterator = false,
            Act::Reopen | Act::Crash(_) => (self.snapshots, self.iterator) = (0, false),
            _ => {}
        }
        if written || matches!(act, Act::Release) {
            (self.uncompacted, self.uncollected) = (true, true);
            self.unflushed |= written;
        }
        match act {
            Act::Flush => self.unflushed = false,
            Act::Compact => (self.unflushed, self.uncompacted) = (false, false),
            Act::Collect => {
                (self.unflushed, self.uncompacted, self.uncollected) = (false, false, false);
            }
            _ => {}
        }
        self.last = Some(act);
    }
}

/// All acts; a crash is of the kind that its place in the list of histories says.
const ACTS: [Act; 17] = [
    Act::Put(0),
    Act::Put(1),
    Act::PutInline(0),
    Act::Delete(0),
    Act::Delete(1),
    Act::DeleteAll,
    Act::Snapshot,
    Act::Release,
    Act::Iterate,
    Act::Step,
    Act::CloseIterator,
    Act::Pin(0),
    Act::Flush,
    Act::Compact,
    Act::Collect,
    Act::Reopen,
    Act::Crash(ImageKind::SyncedOnly),
];

/// All histories of `depth` acts after `beginning` that can show something: each ends with a change, since what
/// follows is a collection and a crash.
pub fn all(beginning: &[Act], depth: usize) -> Vec<Vec<Act>> {
    let mut situation = Situation {
        present: [false; 3],
        snapshots: 0,
        iterator: false,
        unflushed: false,
        uncompacted: false,
        uncollected: false,
        last: None,
        alike: true,
    };
    beginning.iter().for_each(|act| situation.note(*act));
    let mut found = Vec::new();
    extend(&mut beginning.to_vec(), &situation, depth, &mut found);
    found
}

fn extend(history: &mut Vec<Act>, situation: &Situation, left: usize, found: &mut Vec<Vec<Act>>) {
    if left == 0 {
        let kind = ImageKind::ALL[found.len() % ImageKind::ALL.len()];
        let chosen = |act: &Act| if matches!(act, Act::Crash(_)) { Act::Crash(kind) } else { *act };
        found.push(history.iter().map(chosen).collect());
        return;
    }
    for act in ACTS {
        let changes = matches!(
            act,
            Act::Put(_)
                | Act::PutInline(_)
                | Act::Delete(_)
                | Act::DeleteAll
                | Act::Flush
                | Act::Compact
                | Act::Release
        );
        if !situation.allows(act) || (left == 1 && !changes) {
            continue;
        }
        let mut next = situation.clone();
        next.note(act);
        history.push(act);
        extend(history, &next, left - 1, found);
        history.pop();
    }
}
