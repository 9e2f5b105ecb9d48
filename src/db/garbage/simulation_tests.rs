//! What the policy costs, in a model of records and segments: nothing but `space` and the value log's `Lifetimes` runs
//! here, so a change of the policy shows in seconds. Figures are compared with what theory allows.
//!
//! Theory: of keys that are all written at the same rate, with space for s times their values cleaned in the order of
//! their writing, a segment comes up with the share u alive where 1 / s = (u - 1) / ln u, and a byte written costs
//! 1 / (1 - u). With different rates known beforehand each rate has its own s, so that no byte of space would save
//! more elsewhere.

use super::space::{Batch, Bound, Candidate, Space, victims};
use crate::base::checksum::hash64;
use crate::value_log::{Lifetimes, SegmentClass};
use std::collections::{BTreeMap, VecDeque};

/// Bytes of a record: a unit of the lifetimes' clock.
const RECORD: u64 = 1 << 16;
const FACTOR: f64 = 1.4;
/// Bytes of tables to those referred to: values of 16 KiB.
const TABLES: u64 = 800;

struct Segment {
    records: Vec<u32>,
    /// Records that are not known to be dead.
    live: u64,
    created_at: u64,
    birth: f64,
    open: bool,
}

struct Simulation {
    keys: u64,
    bound: Bound,
    with_classes: bool,
    lifetimes: Lifetimes,
    segments: BTreeMap<u32, Segment>,
    next_segment: u32,
    open: [Option<u32>; SegmentClass::ALL.len()],
    /// The newest record of each key; the segment of each record, and whether it is known to be dead.
    newest: Vec<Option<u32>>,
    at: Vec<(u32, bool)>,
    /// Replaced records that nobody has noticed yet, and how many there may be.
    hidden: VecDeque<u32>,
    may_hide: usize,
    total: u64,
    copied: u64,
}

impl Simulation {
    fn new(keys: u64, segments: u64, hidden: f64, with_classes: bool) -> Simulation {
        Simulation {
            keys,
            bound: Bound { factor: FACTOR, segment: keys / segments * RECORD },
            with_classes,
            lifetimes: Lifetimes::new(0),
            segments: BTreeMap::new(),
            next_segment: 0,
            open: Default::default(),
            newest: vec![None; keys as usize],
            at: Vec::new(),
            hidden: VecDeque::new(),
            may_hide: (keys as f64 * hidden) as usize,
            total: 0,
            copied: 0,
        }
    }

    fn space(&self) -> Space {
        let hidden = self.hidden.len() as u64 * RECORD;
        let referenced = self.keys * RECORD + hidden;
        let tables = referenced / TABLES;
        Space { total: self.total, referenced, hidden, tables, families: 1, ..Space::default() }
    }

    fn place(&mut self, record: u32, class: SegmentClass, birth: f64) {
        let now = self.lifetimes.now();
        let number = *self.open[class as usize].get_or_insert_with(|| {
            self.next_segment += 1;
            let empty = Segment { records: Vec::new(), live: 0, created_at: now, birth, open: true };
            self.segments.insert(self.next_segment, empty);
            self.next_segment
        });
        let segment = self.segments.get_mut(&number).unwrap();
        segment.records.push(record);
        segment.live += 1;
        segment.birth += (birth - segment.birth) / segment.records.len() as f64;
        segment.open = (segment.records.len() as u64) < self.bound.segment / RECORD;
        if !segment.open {
            self.open[class as usize] = None;
        }
        self.at[record as usize].0 = number;
        self.total += RECORD;
    }

    fn write(&mut self, key: u64) {
        let class = self.lifetimes.class_of_new(RECORD, || hash64(&key.to_le_bytes(), 0));
        let record = self.at.len() as u32;
        self.at.push((0, false));
        self.place(record, class, self.lifetimes.now() as f64);
        self.hidden.extend(self.newest[key as usize].replace(record));
        while self.hidden.len() > self.may_hide {
            let dead = &mut self.at[self.hidden.pop_front().unwrap() as usize];
            dead.1 = true;
            let number = dead.0;
            let segment = self.segments.get_mut(&number).unwrap();
            segment.live -= 1;
            if segment.live == 0 && !segment.open {
                self.remove(number);
            }
        }
        if u64::from(record) % (self.bound.segment / RECORD / 8).max(1) == 0 {
            self.collect();
        }
    }

    fn remove(&mut self, number: u32) -> Segment {
        let segment = self.segments.remove(&number).unwrap();
        self.total -= segment.records.len() as u64 * RECORD;
        segment
    }

    fn collect(&mut self) {
        let has_classes = self.lifetimes.turnover() > 0;
        let turnover = if self.with_classes { self.bound.turnover(&self.space(), 1, has_classes) } else { 0 };
        self.lifetimes.set_live(turnover, self.keys);
        while self.bound.excess(&self.space()) > 0 {
            let excess = self.bound.excess(&self.space());
            let now = self.lifetimes.now();
            let candidates =
                self.segments.iter().filter(|(_, segment)| !segment.open).map(|(number, segment)| {
                    let (bytes, live) = (segment.records.len() as u64 * RECORD, segment.live * RECORD);
                    Candidate { segment: u64::from(*number), bytes, live, age: now - segment.created_at }
                });
            let batch = Batch {
                least_garbage: self.bound.least_garbage(),
                dead: (self.bound.segment / 2).max(excess / 2),
                live: self.bound.room(&self.space()),
            };
            let chosen = victims(candidates.collect(), &batch);
            if chosen.is_empty() {
                return;
            }
            for victim in chosen {
                let segment = self.remove(victim.segment as u32);
                let class = self.lifetimes.class_of_copy(segment.birth as u64);
                let mut records = segment.records;
                records.retain(|record| !self.at[*record as usize].1);
                self.copied += records.len() as u64;
                records.into_iter().for_each(|record| self.place(record, class, segment.birth));
            }
        }
    }
}

/// A xorshift generator's next number from 0 to 1.
fn draw(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as f64 / (1u64 << 53) as f64
}

/// Sums of the rates of keys, the most often written first.
fn rates(keys: u64, exponent: f64) -> Vec<f64> {
    let mut sum = 0.0;
    let rates = (1..=keys).map(|rank| {
        sum += (rank as f64).powf(-exponent);
        sum
    });
    rates.collect()
}

/// Bytes written for each byte put, after three turnovers.
fn cost(keys: u64, segments: u64, exponent: f64, hidden: f64, with_classes: bool) -> f64 {
    let sums = rates(keys, exponent);
    let total = sums[keys as usize - 1];
    let mut simulation = Simulation::new(keys, segments, hidden, with_classes);
    (0..keys).for_each(|key| simulation.write(key));
    let (mut state, mut before) = (88_172_645_463_325_252, 0);
    for write in 0..9 * keys {
        if write == 3 * keys {
            before = simulation.copied;
        }
        let drawn = draw(&mut state) * total;
        let rank = sums.partition_point(|sum| *sum < drawn) as u64;
        simulation.write(rank.wrapping_mul(0x9e37_79b9) % keys);
    }
    1.0 + (simulation.copied - before) as f64 / (6 * keys) as f64
}

/// Copies for each byte put, with `space` times the live bytes and one rate.
fn copies_at(space: f64) -> f64 {
    let (mut low, mut high) = (1e-12, 1.0 - 1e-9);
    for _ in 0..60 {
        let alive: f64 = (low + high) / 2.0;
        if (alive - 1.0) / alive.ln() < 1.0 / space { low = alive } else { high = alive }
    }
    low / (1.0 - low)
}

/// What theory allows, with classes of keys by rate.
fn theory(keys: u64, exponent: f64) -> f64 {
    let sums = rates(keys, exponent);
    let mut edges: Vec<u64> =
        (0..=40).map(|step| (keys as f64).powf(f64::from(step) / 40.0) as u64).collect();
    edges.insert(0, 0);
    edges.dedup();
    let sum = |at: u64| if at == 0 { 0.0 } else { sums[at as usize - 1] / sums[keys as usize - 1] };
    let classes = edges.windows(2).map(|edge| ((edge[1] - edge[0]) as f64, sum(edge[1]) - sum(edge[0])));
    let classes: Vec<(f64, f64)> = classes.collect();
    let spaces = (0..400).map(|step| 1.02 * 1.015f64.powi(step));
    let spaces: Vec<(f64, f64)> = spaces.map(|space| (space, copies_at(space))).collect();
    let (mut low, mut high) = (1e-9, 1e3);
    let mut cost = 0.0;
    for _ in 0..60 {
        let price = f64::sqrt(low * high);
        let (mut taken, mut copies) = (0.0, 0.0);
        for (count, rate) in &classes {
            let share = count / keys as f64;
            let price_of = |(space, copies): &(f64, f64)| rate * copies + price * share * space;
            let best = spaces.iter().min_by(|a, b| price_of(a).total_cmp(&price_of(b))).unwrap();
            taken += share * best.0;
            copies += rate * best.1;
        }
        if taken > FACTOR { low = price } else { (high, cost) = (price, copies) }
    }
    1.0 + cost
}

#[test]
fn uniform_and_skewed_overwriting_cost_what_theory_allows() {
    let keys = 1 << 14;
    for (exponent, segments, above) in [(0.0, 32, 1.15), (0.0, 128, 1.15), (0.99, 32, 1.25), (0.99, 128, 1.2)]
    {
        let least = theory(keys, exponent);
        let costs = [0.0, 0.03].map(|hidden| cost(keys, segments, exponent, hidden, true));
        let without = cost(keys, segments, exponent, 0.0, false);
        println!(
            "exponent {exponent}, {segments} segments: {:.3}, with 3 % hidden {:.3}, without classes {without:.3}, \
             theory {least:.3}",
            costs[0], costs[1]
        );
        assert!(costs[0] <= above * least, "{} is more than {above} times {least}", costs[0]);
        // Copies, that is; of keys that are all alike there is nothing to tell apart.
        let gain = if exponent > 0.0 { 0.75 } else { 1.02 };
        assert!(costs[0] - 1.0 <= gain * (without - 1.0), "classes: {}, none: {without}", costs[0]);
    }
}
