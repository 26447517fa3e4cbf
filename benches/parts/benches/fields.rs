//! `Engine::changes` encodes the fields that the request left, and compares them with what it read.

use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use rocket_typed_session::SessionData;
use session_core::clock::Timestamp;
use session_core::engine::Engine;
use session_core::expiry::Lifetime;
use session_core::fields::Fields;
use session_core::store::memory::MemoryStore;

use crate::sessions::{shop, visit};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("7 fields");
    all(&mut group, visit(), |visit| visit.last_page = "/".into());
    group.finish();
    let mut group = criterion.benchmark_group("a map of 1,000 entries");
    all(&mut group, shop(), |shop| {
        shop.cart.insert("item-0".into(), String::new());
    });
    group.finish();
}

fn all<T: SessionData>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    mut data: T,
    change: impl FnOnce(&mut T),
) {
    let stored = T::SCHEMA.encode(&data).expect("it is encoded");
    group.bench_function("Schema::encode", |bencher| {
        bencher.iter(|| T::SCHEMA.encode(&data));
    });
    group.bench_function("Schema::decode", |bencher| {
        bencher.iter(|| T::SCHEMA.decode(&stored, Timestamp::default()));
    });
    let engine = engine();
    group.bench_function("Engine::changes, none", |bencher| {
        bencher.iter(|| changes(&engine, &stored, &data));
    });
    change(&mut data);
    group.bench_function("Engine::changes, one", |bencher| {
        bencher.iter(|| changes(&engine, &stored, &data));
    });
}

fn changes<T: SessionData>(engine: &Engine<T>, stored: &Fields, data: &T) -> usize {
    let changes = engine.changes(None, stored, data).expect("changes");
    changes.iter().count()
}

fn engine<T: SessionData>() -> Engine<T> {
    let hour = Duration::from_secs(3600);
    Engine::new(Arc::new(MemoryStore::new()), Lifetime::new(hour, hour))
}
