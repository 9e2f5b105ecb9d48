//! What each memtable structure costs, by shape of keys and number of threads: the table of docs/performance.md.
//!
//!     cargo bench --bench memtable                          # everything; some minutes
//!     cargo bench --bench memtable -- --shapes random --structures art,btree --entries 100000 --rounds 5
//!
//! 1. For each number of threads a memtable is filled by so many at once, each with its share of the keys; then they
//!    look all keys up in random order, each its share; then each of them goes over everything.
//! 2. A figure is the time from the common start to the end of the last thread over what all threads did, in
//!    nanoseconds: on enough cores it halves when threads double. With `--clock processor` it is the processor time of
//!    all threads over what they did, which stays the same while threads do not disturb each other, and leaves out what
//!    other processes take. Bytes are those taken from the system.
//! 3. Structures take turns, and a figure is the median of its rounds, so that a busy machine disturbs all alike.

#![allow(clippy::disallowed_methods, reason = "a benchmark is no part of the engine")]

use auradb::base::InternalComparator;
use auradb::base::key::{EntryKind, MAX_SEQUENCE};
use auradb::memtable::{MemTable, Structure, create};
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Instant;

const STRUCTURES: [Structure; 3] = [Structure::SkipList, Structure::Art, Structure::BTree];
const THREADS: [usize; 3] = [1, 2, 4];
const VALUE: [u8; 100] = [0x5a; 100];

/// A name, and the key of a number.
type Shape = (&'static str, fn(usize) -> Vec<u8>);

const SHAPES: [Shape; 4] = [
    ("sequential, 16 B", |i| format!("{i:016}").into_bytes()),
    ("random, 16 B", |i| format!("{:016x}", mixed(i)).into_bytes()),
    ("long shared prefixes, 67 B", |i| {
        let (site, number) = (mixed(i) % 50, mixed(i + 1) >> 32);
        format!("https://www.example.com/site-{site:02}/articles/2026/{number:010}/index.html").into_bytes()
    }),
    ("variable length, 8 to 64 B", |i| {
        let len = 8 + mixed(i) as usize % 57;
        (0..len).map(|at| b'a' + (mixed(i + at / 8) >> (at % 8 * 8)) as u8 % 26).collect()
    }),
];

/// A number that looks random: the finaliser of splitmix64.
fn mixed(number: usize) -> u64 {
    let mut mixed = (number as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// Nanoseconds for each entry by number of threads, and bytes for each entry.
#[derive(Clone, Copy, Default)]
struct Figures {
    insert: [f64; THREADS.len()],
    get: [f64; THREADS.len()],
    scan: [f64; THREADS.len()],
    bytes: f64,
}

/// What is measured of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    Wall,
    Processor,
}

/// Nanoseconds that this thread has run.
fn processor_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is written to a place of its type.
    let outcome = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(outcome, 0, "Linux counts it");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

impl Clock {
    /// What one of `operations` takes when so many threads do their work, which is given the thread's number.
    fn nanos_each(self, threads: usize, operations: usize, work: impl Fn(usize) + Sync) -> f64 {
        let start_line = Barrier::new(threads + 1);
        let worker = &|thread| {
            start_line.wait();
            let start = processor_nanos();
            work(thread);
            processor_nanos() - start
        };
        let nanos = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || worker(thread))).collect();
            let start = Instant::now();
            start_line.wait();
            let ran: u64 = workers.into_iter().map(|worker| worker.join().expect("no thread fails")).sum();
            if self == Clock::Wall { start.elapsed().as_nanos() as u64 } else { ran }
        });
        nanos as f64 / operations as f64
    }
}

fn share<T>(items: &[T], thread: usize, threads: usize) -> impl Iterator<Item = (usize, &T)> {
    items.iter().enumerate().skip(thread).step_by(threads)
}

fn insert(memtable: &dyn MemTable, keys: &[Vec<u8>], threads: usize, clock: Clock) -> f64 {
    let nanos = clock.nanos_each(threads, keys.len(), |thread| {
        for (index, key) in share(keys, thread, threads) {
            memtable.insert(1 + index as u64, EntryKind::Put, key, &VALUE);
        }
    });
    assert_eq!(memtable.len(), keys.len());
    nanos
}

fn get(memtable: &dyn MemTable, keys: &[Vec<u8>], lookups: &[usize], threads: usize, clock: Clock) -> f64 {
    clock.nanos_each(threads, keys.len(), |thread| {
        let (mut asked, mut found) = (0, 0);
        for (_, &index) in share(lookups, thread, threads) {
            asked += 1;
            memtable.get(&keys[index], MAX_SEQUENCE, &mut |_, _, value| {
                found += usize::from(black_box(value)[0] == VALUE[0]);
                false
            });
        }
        assert_eq!(found, asked, "every lookup finds a value");
    })
}

fn scan(memtable: &Arc<dyn MemTable>, threads: usize, clock: Clock) -> f64 {
    clock.nanos_each(threads, threads * memtable.len(), |_| {
        let mut iterator = Arc::clone(memtable).iter();
        let mut seen = 0;
        iterator.seek_to_first();
        while iterator.valid() {
            seen += usize::from(
                black_box(iterator.key()).len() > 8 && black_box(iterator.value())[0] == VALUE[0],
            );
            iterator.next();
        }
        assert_eq!(seen, memtable.len());
    })
}

fn measure(structure: Structure, keys: &[Vec<u8>], lookups: &[usize], clock: Clock) -> Figures {
    let mut figures = Figures::default();
    for (column, threads) in THREADS.into_iter().enumerate() {
        let memtable = create(structure, &InternalComparator::default());
        figures.insert[column] = insert(&*memtable, keys, threads, clock);
        figures.get[column] = get(&*memtable, keys, lookups, threads, clock);
        figures.scan[column] = scan(&memtable, threads, clock);
        figures.bytes = memtable.allocated_bytes() as f64 / keys.len() as f64;
    }
    figures
}

fn median(rounds: &[Figures], figure: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A figure for each number of threads, as one cell.
fn cell(rounds: &[Figures], figures: impl Fn(&Figures) -> [f64; THREADS.len()]) -> String {
    let medians = (0..THREADS.len()).map(|column| median(rounds, |round| figures(round)[column]));
    medians.map(|nanos| format!("{nanos:.0}")).collect::<Vec<_>>().join(" / ")
}

struct Options {
    entries: usize,
    rounds: usize,
    clock: Clock,
    shapes: Vec<String>,
    structures: Vec<String>,
}

fn options() -> Options {
    let mut options = Options {
        entries: 400_000,
        rounds: 3,
        clock: Clock::Wall,
        shapes: Vec::new(),
        structures: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_else(|| panic!("{name}: a value follows"));
        let number = || value.parse::<usize>().unwrap_or_else(|_| panic!("{name} {value}: a number follows"));
        let names = || value.split(',').map(str::to_lowercase).collect();
        match name.as_str() {
            "--entries" => options.entries = number().max(1),
            "--rounds" => options.rounds = number().max(1),
            "--clock" if value == "wall" => options.clock = Clock::Wall,
            "--clock" if value == "processor" => options.clock = Clock::Processor,
            "--shapes" => options.shapes = names(),
            "--structures" => options.structures = names(),
            _ => panic!(
                "{name}: not one of --entries, --rounds, --clock (wall, processor), --shapes, --structures"
            ),
        }
    }
    options
}

/// Whether a name starts as one of those wanted.
fn is_wanted(wanted: &[String], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|start| name.to_lowercase().starts_with(start))
}

fn main() {
    let options = options();
    let wanted = |structure: &Structure| is_wanted(&options.structures, &format!("{structure:?}"));
    let structures: Vec<Structure> = STRUCTURES.into_iter().filter(wanted).collect();
    // While any memtable lives, those that go leave their memory to the next, as in a database.
    let _living = create(Structure::Art, &InternalComparator::default());
    let clock = if options.clock == Clock::Wall { "wall" } else { "processor" };
    let (entries, value_len, rounds) = (options.entries, VALUE.len(), options.rounds);
    println!("{entries} entries, values of {value_len} B, {clock} time, medians of {rounds} rounds.\n");
    println!("| keys | memtable | insert, ns: 1 / 2 / 4 threads | get, ns | scan, ns | bytes an entry |");
    println!("|---|---|---|---|---|---|");
    for (shape, key) in SHAPES.iter().filter(|shape| is_wanted(&options.shapes, shape.0)) {
        let keys: Vec<Vec<u8>> = (0..options.entries).map(key).collect();
        let mut lookups: Vec<usize> = (0..keys.len()).collect();
        lookups.sort_by_cached_key(|&index| mixed(index + keys.len()));
        let mut rounds = vec![Vec::new(); structures.len()];
        for _ in 0..options.rounds {
            for (figures, &structure) in rounds.iter_mut().zip(&structures) {
                figures.push(measure(structure, &keys, &lookups, options.clock));
            }
        }
        for (figures, structure) in rounds.iter().zip(&structures) {
            println!(
                "| {shape} | {structure:?} | {} | {} | {} | {:.0} |",
                cell(figures, |round| round.insert),
                cell(figures, |round| round.get),
                cell(figures, |round| round.scan),
                median(figures, |round| round.bytes),
            );
        }
    }
}
