//! The order of publication, in one thread and in real ones; `systematic` explores its schedules.

use super::publish::{Done, Publisher};
use super::sync::PLACES;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

#[test]
fn groups_become_visible_in_order() {
    let publisher = Publisher::new(10);
    let (first, second, third) = (publisher.ticket(11), publisher.ticket(15), publisher.ticket(15));
    let neither = Done { visible: false, moved: false };
    assert_eq!((publisher.done(third), publisher.done(second)), (neither, neither));
    assert_eq!((publisher.inserted(), publisher.visible()), (10, 10));
    assert_eq!(publisher.done(first), Done { visible: true, moved: true });
    assert_eq!((publisher.inserted(), publisher.visible()), (15, 15));
}

#[test]
fn a_barrier_holds_back_what_follows_it() {
    let publisher = Publisher::new(0);
    let before = publisher.ticket(1);
    publisher.set_barrier(Some(2));
    let (asked, after) = (publisher.ticket(2), publisher.ticket(3));
    assert!(!publisher.done(after).visible && !publisher.done(asked).visible);
    assert_eq!(publisher.done(before), Done { visible: true, moved: true });
    assert_eq!((publisher.inserted(), publisher.visible()), (3, 1));
    publisher.set_barrier(None);
    assert!(publisher.republish());
    assert_eq!(publisher.visible(), 3);
}

/// P1 and P3 with more threads than places are used for: each writer's group is visible when all before are.
#[test]
fn threads_publish_everything() {
    let publisher = &Publisher::new(0);
    let commit = &Mutex::new(0u64);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                for round in 0..3000u64 {
                    let ticket = {
                        let mut last = commit.lock().unwrap();
                        *last += 1 + round % 3;
                        publisher.ticket(*last)
                    };
                    if round % 7 == 0 {
                        std::thread::yield_now();
                    }
                    if !publisher.done(ticket).visible {
                        while publisher.visible() < ticket.last {
                            std::thread::yield_now();
                        }
                    }
                }
            });
        }
    });
    publisher.drain();
    let last = *commit.lock().unwrap();
    assert_eq!((publisher.inserted(), publisher.visible()), (last, last));
}

/// P1 with a full ring: a group that finds no place after one was given up takes nobody's.
#[test]
fn nothing_is_published_over_a_group_that_was_given_up() {
    let publisher = Publisher::new(0);
    let tickets: Vec<_> = (1..=PLACES as u64).map(|last| publisher.ticket(last)).collect();
    publisher.give_up();
    let late = publisher.ticket(1000);
    assert!(!publisher.done(late).visible);
    // The second is the one given up.
    assert!(publisher.done(tickets[0]).visible);
    assert!(tickets[2..].iter().all(|ticket| !publisher.done(*ticket).visible));
    publisher.drain();
    publisher.wait_until_inserted(1000);
    assert_eq!((publisher.inserted(), publisher.visible()), (1, 1));
}

#[test]
fn whoever_waits_for_the_memtables_waits_for_older_groups_too() {
    let publisher = &Publisher::new(0);
    for round in 0..100 {
        let (older, newer) = (publisher.ticket(2 * round + 1), publisher.ticket(2 * round + 2));
        let finished = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                publisher.done(newer);
                publisher.wait_until_inserted(newer.last);
                assert!(finished.load(SeqCst) && publisher.visible() >= newer.last);
            });
            std::thread::yield_now();
            finished.store(true, SeqCst);
            publisher.done(older);
        });
    }
}
