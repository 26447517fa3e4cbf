use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use rocket_typed_session::SessionData;
use session_core::clock::Timestamp;
use session_core::merge::Change;
use session_core::record::{Metadata, Record};
use session_core::store::Update;
use session_core::token::Digests;

use crate::sessions::{shop, visit};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const LIFETIME: Duration = Duration::from_secs(3600);

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("Update::apply_to");
    for (name, field, mut record) in [
        ("7 fields", "last_page", record(&visit())),
        ("a map of 1,000 entries", "cart:item-0", record(&shop())),
    ] {
        let update = update(field);
        group.bench_function(name, |bencher| {
            bencher.iter(|| update.apply_to(&mut record, NOW));
        });
    }
    group.finish();

    let record = record(&visit());
    let bytes = record.to_bytes();
    let mut group = criterion.benchmark_group("Record");
    group.bench_function("to_bytes", |bencher| bencher.iter(|| record.to_bytes()));
    group.bench_function("from_bytes", |bencher| {
        bencher.iter(|| Record::from_bytes(black_box(&bytes)));
    });
    group.finish();
}

fn record<T: SessionData>(data: &T) -> Record {
    let fields = T::SCHEMA.encode(data).expect("it is encoded");
    let metadata = Metadata::created_now(NOW, LIFETIME);
    Record::new(metadata, fields, NOW.plus(LIFETIME))
}

fn update(field: &'static str) -> Update {
    let mut update = Update::new(Digests::default(), NOW.plus(LIFETIME));
    let value = Change::Set(b"\"/products/coffee\"".to_vec());
    update.changes.insert(field.into(), value);
    update.ttl = LIFETIME;
    update
}
