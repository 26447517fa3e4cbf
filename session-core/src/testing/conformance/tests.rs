//! The suite is red where it should be: stores with one flaw each, as they are found in the field.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{StoreUnderTest, broken_clauses};
use crate::changes::Change;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::recent::CommitId;
use crate::record::{Fields, Record};
use crate::store::memory::MemoryStore;
use crate::store::{Created, Key, Store, Take, Taken, Update, Updated, Wanted};
use crate::testing::ManualClock;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flaw {
    None,
    /// One write for everything: what is not there is created (`SET`, "upsert").
    Resurrects,
    /// Nobody counts epochs.
    IgnoresEpochs,
    /// What is expected is not looked at.
    IgnoresExpectations,
    /// A session is one value, which the last writer replaces.
    WritesWholeRecords,
    /// Each change is a command of its own.
    WritesFieldByField,
    /// Numbers are those of a scripting language.
    CountsInFloats,
    /// A value is read first and removed later.
    TakesInTwoSteps,
    /// Updates are not known again.
    ForgetsUpdates,
    /// A create is a write like any other.
    CreatesOver,
    /// The last call says how long a session lives.
    ShortensLives,
}

/// Everybody else's turn, as with any store behind a network. To yield is not enough: on a busy
/// machine the same task may be the next again, and its two steps are one.
async fn between_the_steps() {
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
}

#[derive(Debug)]
struct FlawedStore {
    inner: MemoryStore,
    flaw: Flaw,
}

impl FlawedStore {
    async fn fields(&self, key: Key) -> Result<Option<Fields>, Error> {
        let record = self.inner.load(key, &Wanted::All).await?;
        // Somebody else's turn, as with any store behind a network.
        tokio::task::yield_now().await;
        Ok(record.map(|record| record.fields.clone()))
    }

    async fn replace(&self, key: Key, record: Record, ttl: Duration) -> Result<Created, Error> {
        self.inner.delete(key).await?;
        self.inner.create(key, record, ttl).await
    }
}

#[async_trait]
impl Store for FlawedStore {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        self.inner.load(key, wanted).await
    }

    async fn create(&self, key: Key, record: Record, ttl: Duration) -> Result<Created, Error> {
        match self.flaw {
            Flaw::CreatesOver => self.replace(key, record, ttl).await,
            _ => self.inner.create(key, record, ttl).await,
        }
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        let mut update = update.clone();
        match self.flaw {
            Flaw::Resurrects => {
                let mut fields = Fields::new();
                update.changes.apply(&mut fields)?;
                let metadata = update.metadata_after(&crate::record::Metadata {
                    epoch: update.epoch,
                    ..Default::default()
                });
                let record = Record::new(metadata, fields);
                self.inner.create(key, record, update.ttl).await?;
            }
            Flaw::IgnoresEpochs => {
                let record = self.inner.load(key, &Wanted::All).await?;
                update.epoch = record.map_or(0, |record| record.metadata.epoch);
            }
            Flaw::IgnoresExpectations => update.expected = None,
            Flaw::WritesWholeRecords => {
                let Some(mut fields) = self.fields(key).await? else {
                    return Ok(Updated::Gone);
                };
                update.changes.apply(&mut fields)?;
                for (name, _) in self.fields(key).await?.unwrap_or_default().iter() {
                    update.changes.insert(name.clone(), Change::Unset);
                }
                for (name, value) in fields.iter() {
                    let set = Change::Set(value.to_vec());
                    update.changes.insert(name.clone(), set);
                }
            }
            Flaw::WritesFieldByField => {
                let changes = std::mem::take(&mut update.changes);
                for (name, change) in changes.iter() {
                    let mut one = Update {
                        id: CommitId::generate(Timestamp::default())?,
                        rotation: None,
                        ..update.clone()
                    };
                    one.changes.insert(name.clone(), change.clone());
                    self.inner.update(key, &one).await?;
                    between_the_steps().await;
                }
            }
            Flaw::CountsInFloats => {
                let changes = update.changes.clone();
                for (name, change) in changes.iter() {
                    if let Change::Add { delta, .. } = change
                        && let Some(fields) = self.fields(key).await?
                        && let Some(stored) = fields.get(name)
                        && let Ok(stored) = String::from_utf8_lossy(stored).parse::<f64>()
                    {
                        let sum = stored + *delta as f64;
                        let set = Change::Set(format!("{sum:.0}").into_bytes());
                        update.changes.insert(name.clone(), set);
                    }
                }
            }
            Flaw::ForgetsUpdates => update.id = CommitId::generate(Timestamp::default())?,
            Flaw::ShortensLives => {
                if let Some(record) = self.inner.load(key, &Wanted::All).await? {
                    self.replace(key, (*record).clone(), update.ttl).await?;
                }
            }
            Flaw::None | Flaw::CreatesOver | Flaw::TakesInTwoSteps => {}
        }
        self.inner.update(key, &update).await
    }

    async fn take(&self, key: Key, take: &Take) -> Result<Taken, Error> {
        if self.flaw == Flaw::TakesInTwoSteps {
            let fields = self.fields(key).await?.unwrap_or_default();
            let value = fields.get(&take.name).map(<[u8]>::to_vec);
            between_the_steps().await;
            self.inner.take(key, take).await?;
            return Ok(Taken::Done(value));
        }
        self.inner.take(key, take).await
    }

    async fn delete(&self, key: Key) -> Result<(), Error> {
        self.inner.delete(key).await
    }

    fn describe(&self) -> String {
        format!("{:?}", self.flaw)
    }
}

async fn broken_clauses_with(flaw: Flaw) -> Vec<&'static str> {
    broken_clauses(async || {
        let clock = Arc::new(ManualClock::new());
        let inner = MemoryStore::with_clock(clock.clone());
        StoreUnderTest::new(FlawedStore { inner, flaw }).clock(clock)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_without_a_flaw_breaks_no_clause() {
    assert_eq!(broken_clauses_with(Flaw::None).await, [""; 0]);
}

macro_rules! each_flaw_is_found {
    ($($test:ident: $flaw:ident breaks $($clause:ident),+;)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $test() {
            let broken = broken_clauses_with(Flaw::$flaw).await;
            for clause in [$(stringify!($clause)),+] {
                assert!(broken.contains(&clause), "{clause} holds; only {broken:?} do not");
            }
        }
    )+};
}

each_flaw_is_found! {
    it_finds_a_store_that_brings_sessions_back: Resurrects breaks
        an_update_creates_nothing,
        an_update_after_the_end_is_gone,
        a_touch_after_the_end_is_gone,
        an_end_is_final_in_any_race,
        a_session_past_its_time_is_absent;
    it_finds_a_store_that_ignores_epochs: IgnoresEpochs breaks
        an_update_of_another_epoch_is_gone,
        a_touch_of_another_epoch_is_gone,
        a_rotation_refuses_those_who_came_before,
        of_concurrent_rotations_one_is_done;
    it_finds_a_store_that_ignores_expectations: IgnoresExpectations breaks
        a_changed_field_is_a_conflict,
        a_field_that_came_or_went_is_a_conflict,
        a_changed_number_of_entries_is_a_conflict,
        of_concurrent_updates_that_expect_the_same_one_is_done;
    it_finds_a_store_that_writes_whole_records: WritesWholeRecords breaks
        concurrent_counts_lose_none,
        concurrent_changes_of_different_fields_are_all_kept,
        concurrent_entries_are_all_kept;
    it_finds_a_store_that_writes_field_by_field: WritesFieldByField breaks
        an_overflow_writes_nothing_at_all,
        no_reader_sees_half_an_update;
    it_finds_a_store_that_counts_in_floats: CountsInFloats breaks
        a_counter_reaches_its_limits_and_no_further,
        large_numbers_are_exact;
    it_finds_a_store_that_takes_in_two_steps: TakesInTwoSteps breaks
        a_take_creates_nothing,
        of_concurrent_takes_one_obtains_the_value,
        a_take_that_is_sent_twice_answers_the_same;
    it_finds_a_store_that_forgets_updates: ForgetsUpdates breaks
        an_update_that_is_sent_twice_is_done_once,
        an_update_that_is_sent_again_later_undoes_nothing,
        an_update_that_is_sent_again_answers_what_it_answered,
        a_rotation_that_is_sent_twice_is_done_once,
        an_update_sent_many_times_at_once_is_done_once;
    it_finds_a_store_that_creates_over_sessions: CreatesOver breaks
        create_leaves_an_existing_session_alone,
        of_concurrent_creates_one_is_done,
        a_create_that_is_sent_twice_is_done_once;
    it_finds_a_store_that_shortens_lives: ShortensLives breaks
        no_call_shortens_the_life;
}
