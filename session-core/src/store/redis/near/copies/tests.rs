use super::*;
use crate::token::Token;

const WITHIN: Duration = Duration::from_secs(1);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

struct World {
    copies: Copies<u8>,
    now: Moment,
}

impl World {
    fn new() -> Self {
        Self {
            copies: Copies::new(WITHIN, 64),
            now: Moment::now(),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.monotonic += time;
        self.now.wall += time;
    }

    fn load(&mut self, key: Key, record: u8) {
        let ticket = self.copies.ticket(key, self.now);
        let wanted = &Wanted::All;
        self.copies.answered(key, wanted, ticket, Some(record));
    }

    fn get(&mut self, key: Key) -> Option<u8> {
        self.copies.get(key, &Wanted::All, self.now)
    }
}

fn key() -> Key {
    Key::new("visit", Token::generate().unwrap().id())
}

#[test]
fn a_copy_counts_for_as_long_as_it_may() {
    let (mut world, key) = (World::new(), key());
    assert_eq!(world.get(key), None);
    world.load(key, 1);
    world.pass(ms(499));
    assert_eq!(world.get(key), Some(1));
    world.pass(ms(1));
    // One reader asks, the others go on.
    assert_eq!(world.get(key), None);
    assert_eq!(world.get(key), Some(1));
    world.pass(ms(249));
    assert_eq!(world.get(key), Some(1));
    world.pass(ms(1));
    // Unanswered, so another reader asks.
    assert_eq!(world.get(key), None);
    world.pass(ms(249));
    assert_eq!(world.get(key), Some(1));
    world.pass(ms(1));
    assert_eq!(world.get(key), None);
    assert_eq!(world.get(key), None);
}

/// It proves that the link was alive when its load was sent.
#[test]
fn an_answer_vouches_for_all_copies() {
    let (mut world, key, other) = (World::new(), key(), key());
    world.load(key, 1);
    world.pass(ms(400));
    let ticket = world.copies.ticket(other, world.now);
    world.pass(ms(500));
    world.copies.answered(other, &Wanted::All, ticket, None);
    world.pass(ms(499));
    assert_eq!(world.get(other), None);
    world.get(key);
    assert_eq!(world.get(key), Some(1));
    world.pass(ms(1));
    assert_eq!(world.get(key), None);
}

#[test]
fn a_clock_that_was_set_or_that_slept_is_noticed() {
    let (mut world, key) = (World::new(), key());
    let start = world.now;
    world.load(key, 1);
    // The machine slept.
    world.now.wall += WITHIN;
    assert_eq!(world.get(key), None);
    // The clock was set.
    world.now.wall = start.wall - ms(1);
    assert_eq!(world.get(key), None);
    // An answer vouches again, even from the same instant.
    world.load(key, 1);
    assert_eq!(world.get(key), Some(1));
    world.now = start;
    assert_eq!(world.get(key), Some(1));
    world.now.monotonic += WITHIN;
    assert_eq!(world.get(key), None);
}

#[test]
fn what_was_forgotten_meanwhile_is_not_kept() {
    let (mut world, key) = (World::new(), key());
    let ticket = world.copies.ticket(key, world.now);
    world.copies.forget(key.id);
    world.copies.answered(key, &Wanted::All, ticket, Some(1));
    assert_eq!(world.get(key), None);
    world.load(key, 2);
    assert_eq!(world.get(key), Some(2));
    world.copies.forget(key.id);
    assert_eq!(world.get(key), None);
}

#[test]
fn a_copy_from_before_another_connection_counts_for_nothing() {
    let (mut world, key) = (World::new(), key());
    world.load(key, 1);
    let ticket = world.copies.ticket(key, world.now);
    world.copies.forget_all();
    assert_eq!(world.get(key), None);
    // The old answer vouches for nothing either.
    world.copies.answered(key, &Wanted::All, ticket, Some(1));
    assert_eq!(world.get(key), None);
    assert_eq!(world.copies.vouched_at, None);
}

/// Until the write can no longer take effect, any load may be older than it.
#[test]
fn what_is_loaded_beside_an_unanswered_write_is_not_kept() {
    let (mut world, key) = (World::new(), key());
    world.load(key, 1);
    world.copies.suspend(key.id, world.now, ms(100));
    assert_eq!(world.get(key), None);
    world.pass(ms(99));
    world.load(key, 1);
    assert_eq!(world.get(key), None);
    world.pass(ms(1));
    world.load(key, 2);
    assert_eq!(world.get(key), Some(2));
}

#[test]
fn a_copy_has_what_is_wanted_or_is_none() {
    let (mut world, key) = (World::new(), key());
    let some = |names: &[&'static str]| {
        let names = names.iter().map(|name| (*name).into());
        Wanted::Fields(names.collect())
    };
    let ticket = world.copies.ticket(key, world.now);
    let wanted = some(&["a", "b"]);
    world.copies.answered(key, &wanted, ticket, Some(1));
    let mut get = |wanted: &Wanted| world.copies.get(key, wanted, world.now);
    assert_eq!(get(&wanted), Some(1));
    assert_eq!(get(&some(&["b"])), Some(1));
    assert_eq!(get(&some(&["a", "c"])), None);
    assert_eq!(get(&Wanted::All), None);
    world.load(key, 2);
    assert_eq!(world.copies.get(key, &wanted, world.now), Some(2));
}

#[test]
fn a_copy_is_of_one_session_type() {
    let (mut world, key) = (World::new(), key());
    let other = Key::new("admin", key.id);
    world.load(key, 1);
    assert_eq!(world.get(other), None);
    world.load(other, 2);
    assert_eq!((world.get(key), world.get(other)), (Some(1), Some(2)));
}

#[test]
fn the_copy_that_was_not_used_longest_makes_room() {
    let mut world = World::new();
    let keys: Vec<Key> = (0..1000).map(|_| key()).collect();
    for key in &keys {
        world.load(*key, 7);
        assert_eq!(world.get(*key), Some(7));
    }
    let copies = world.copies.sets.iter().map(|set| set.copies.len());
    assert_eq!(copies.sum::<usize>(), 64);
    let (used, last) = (keys[0], keys[999]);
    let mut world = World::new();
    world.load(used, 1);
    for key in &keys[1..] {
        world.load(*key, 2);
        assert_eq!(world.get(used), Some(1));
    }
    world.load(last, 3);
    assert_eq!(world.get(last), Some(3));
}
