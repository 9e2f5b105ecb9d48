//! Opens crash images and judges what they show.

use super::recorder::{Effect, PATH, Recording, World};
use crate::support::reference::FamilyState;
use crate::support::{Random, check};
use auradb::db::{ColumnFamily, ColumnFamilyOptions, Db, Options, ReadOptions, WriteOptions};
use auradb::env::Env;
use auradb::env::simulated::{ImageKind, SimEnv};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How many images were opened.
#[derive(Default)]
pub struct Images {
    first: AtomicUsize,
    second: AtomicUsize,
    read_only: AtomicUsize,
    used_on: AtomicUsize,
}

impl Images {
    /// Images looked at, those of second crashes not counted.
    pub fn opened(&self) -> u64 {
        self.first.load(Ordering::Relaxed) as u64
    }
}

impl fmt::Display for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} images opened, {} crashed again in or after recovery, {} also opened for reading only, {} written to",
            count(&self.first),
            count(&self.second),
            count(&self.read_only),
            count(&self.used_on)
        )
    }
}

fn add_one(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

type Names = Vec<(String, ColumnFamilyOptions)>;

/// The families that the image has; before the database was created that is the default one.
fn names(options: &Options, family: &ColumnFamilyOptions) -> Result<Names, String> {
    let env = options.env.as_ref().expect("images have one");
    if !env.exists(&Path::new(PATH).join("CURRENT")) {
        return Ok(vec![("default".to_string(), family.clone())]);
    }
    let names = Db::list_column_families(options, Path::new(PATH));
    let names = names.map_err(|error| format!("list of families: {error}"))?;
    Ok(names.into_iter().map(|name| (name, family.clone())).collect())
}

fn read_world(db: &Db, handles: &[ColumnFamily]) -> Result<World, String> {
    let mut world = World(Default::default());
    for handle in handles {
        let mut state = FamilyState::default();
        for (key, value) in check::scan(db, handle, &ReadOptions::default())? {
            state.entries.insert(state.key(&key), value.into());
        }
        world.0.insert(handle.name().to_string(), state);
    }
    Ok(world)
}

/// Opens the database and reads all of it.
pub fn recover(
    options: &Options,
    family: &ColumnFamilyOptions,
) -> Result<(Db, World, Vec<ColumnFamily>), String> {
    let names = names(options, family)?;
    let (db, handles) = Db::open_column_families(options, Path::new(PATH), &names)
        .map_err(|error| format!("open: {error}"))?;
    let world = read_world(&db, &handles)?;
    Ok((db, world, handles))
}

struct Case<'a> {
    recording: &'a Recording,
    /// Events that must be there, and those a power loss could not have taken either.
    least: usize,
    durable: usize,
    most: usize,
    now: u64,
}

impl Case<'_> {
    fn options(&self, env: &Arc<SimEnv>) -> Options {
        Options { env: Some(env.clone()), ..self.recording.options.clone() }
    }

    /// The state must be that after n events, `least <= n <= most`.
    fn judge(&self, world: &World) -> Result<(), String> {
        if self.recording.unlogged {
            return self.judge_each_key(world);
        }
        let timed: Vec<World>;
        let states = if self.recording.timed {
            timed = self.recording.states.iter().map(|state| state.at(self.now)).collect();
            &timed
        } else {
            &self.recording.states
        };
        if states[self.least..=self.most].contains(world) {
            return Ok(());
        }
        let elsewhere = states.iter().position(|state| state == world);
        let verdict = match elsewhere {
            Some(count) if count < self.least => format!("only {count} events, {} were promised", self.least),
            Some(count) => format!("{count} events, only {} were begun", self.most),
            None => "no prefix of the events".to_string(),
        };
        Err(format!(
            "shows {verdict}; {}..={} are right\n{}found:\n{}after {} events:\n{}",
            self.least,
            self.most,
            self.recording.show_events(self.least.saturating_sub(3), self.most),
            world.describe(),
            self.least,
            states[self.least].describe(),
        ))
    }

    /// With unlogged writes: each key by itself has a value it had after some of the events, not older than the
    /// last logged or flushed one that was promised.
    fn judge_each_key(&self, world: &World) -> Result<(), String> {
        let family = world.0.get("default").ok_or("the default family is missing")?;
        for key in &self.recording.keys {
            let promised = self.recording.events[..self.least].iter().rposition(|event| {
                matches!(&event.effect, Effect::Batch { changes, logged: true }
                    if changes.iter().any(|(_, change)| change.family() == 0 && touches(change, key)))
            });
            let from = promised.map_or(0, |event| event + 1);
            let found = family.get(key);
            let states = &self.recording.states[from..=self.most];
            if !states.iter().any(|state| state.0["default"].get(key) == found) {
                let shown =
                    found.map_or("nothing".to_string(), |value| crate::support::reference::show(value));
                return Err(format!(
                    "key {} has {shown}, which it never had since event {from}",
                    key.escape_ascii()
                ));
            }
        }
        Ok(())
    }
}

fn touches(change: &crate::support::reference::Change, key: &[u8]) -> bool {
    let mut probe = FamilyState::default();
    let mark = probe.key(key);
    probe.entries.insert(mark.clone(), (*b"\0untouched").into());
    probe.apply(change);
    probe.entries.get(&mark).is_none_or(|value| &**value != b"\0untouched")
}

/// Takes the image, opens it, judges it; then perhaps crashes again or goes on writing.
pub fn check_image(
    recording: &Recording,
    at: usize,
    kind: ImageKind,
    seed: u64,
    images: &Images,
) -> Result<(), String> {
    let mut random = Random::new(seed);
    let env = recording.env.crash_image(at, kind, seed);
    let durable = recording.promised(at, ImageKind::SyncedOnly);
    if recording.timed && random.one_in(2) {
        // It was down for long: more has expired.
        env.sleep(Duration::from_secs(1000));
    }
    let now = env.unix_seconds();
    let case =
        Case { recording, least: recording.promised(at, kind), durable, most: recording.begun(at), now };
    add_one(&images.first);
    let read_only = if random.one_in(8) { read_only_world(&case, &env, images)? } else { None };
    let (db, world, handles) = recover(&case.options(&env), &recording.family)?;
    let recovered_at = env.journal_len();
    case.judge(&world)?;
    check_reads(&case, &db, &handles, &world)?;
    if read_only.is_some_and(|shown| shown != world) {
        return Err("opened for reading only it showed another state".into());
    }
    if random.one_in(2) {
        crash_again(&case, &env, recovered_at, kind, &world, &mut random, images)
    } else if random.one_in(4) {
        add_one(&images.used_on);
        go_on(&case, &env, db, handles, world)
    } else {
        Ok(())
    }
}

/// Reading only shows the same and writes nothing.
fn read_only_world(case: &Case<'_>, env: &Arc<SimEnv>, images: &Images) -> Result<Option<World>, String> {
    let options = case.options(env);
    if !env.exists(&Path::new(PATH).join("CURRENT")) {
        return Ok(None);
    }
    let before = env.journal_len();
    let names = names(&options, &case.recording.family)?;
    let (db, handles) = Db::open_read_only(&options, Path::new(PATH), &names, false)
        .map_err(|error| format!("open for reading only: {error}"))?;
    let world = read_world(&db, &handles)?;
    drop((db, handles));
    add_one(&images.read_only);
    match crate::support::written(env, before) {
        None => Ok(Some(world)),
        Some(operation) => Err(format!("reading only wrote: {operation}")),
    }
}

fn check_reads(case: &Case<'_>, db: &Db, handles: &[ColumnFamily], world: &World) -> Result<(), String> {
    for handle in handles {
        let keys = case.recording.keys.iter().map(|key| &**key);
        check::family_is(db, handle, &world.0[handle.name()], &ReadOptions::default(), keys)?;
    }
    Ok(())
}

/// A second crash, inside recovery or right behind it.
fn crash_again(
    case: &Case<'_>,
    env: &Arc<SimEnv>,
    recovered_at: usize,
    kind: ImageKind,
    shown: &World,
    random: &mut Random,
    images: &Images,
) -> Result<(), String> {
    let at = if random.one_in(3) { recovered_at } else { random.below(recovered_at + 1) };
    let second = random.pick(&ImageKind::ALL);
    let seed = random.next();
    let image = env.crash_image(at, second, seed);
    add_one(&images.second);
    let explain = |what: String| {
        let next =
            if at < recovered_at { env.describe_operation(at) } else { "(open had returned)".to_string() };
        format!(
            "after a second crash, {second:?} at point {at} of {recovered_at} of recovery, before {next}: {what}"
        )
    };
    let (db, world, handles) = recover(&case.options(&image), &case.recording.family).map_err(explain)?;
    // What a power loss left, or what was shown, cannot become less or more; a killed process left it to the system.
    let settled = kind != ImageKind::ProcessCrash || second == ImageKind::ProcessCrash || at == recovered_at;
    if settled && world != *shown {
        return Err(explain(format!(
            "shows another state:\n{}than before:\n{}",
            world.describe(),
            shown.describe()
        )));
    }
    let case = Case { least: case.durable, ..*case };
    if !settled {
        case.judge(&world).map_err(explain)?;
    }
    check_reads(&case, &db, &handles, &world).map_err(explain)
}

/// The database must take writes, flush them, and keep them over a clean close.
fn go_on(
    case: &Case<'_>,
    env: &Arc<SimEnv>,
    db: Db,
    handles: Vec<ColumnFamily>,
    mut world: World,
) -> Result<(), String> {
    let failed = |error| format!("after recovery: {error}");
    for handle in &handles {
        let state = world.0.get_mut(handle.name()).expect("read before");
        let how = WriteOptions { sync: true, ..WriteOptions::default() };
        for (key, value) in [("a-after", vec![b'x'; 10]), ("z-after", vec![b'y'; 700])] {
            db.put(handle, key.as_bytes(), &value, &how).map_err(failed)?;
            state.entries.insert(state.key(key.as_bytes()), value.into());
        }
        let first = state.entries.keys().next().expect("two were put").bytes.clone();
        db.delete(handle, &first, &WriteOptions::default()).map_err(failed)?;
        state.entries.remove(&state.key(&first));
    }
    db.flush(&handles.iter().collect::<Vec<_>>(), true).map_err(failed)?;
    check_reads(case, &db, &handles, &world)?;
    db.close().map_err(failed)?;
    drop((handles, db));
    let (db, again, handles) = recover(&case.options(env), &case.recording.family)?;
    if again != world {
        return Err(format!("after a clean close it shows\n{}not\n{}", again.describe(), world.describe()));
    }
    check_reads(case, &db, &handles, &world)
}
