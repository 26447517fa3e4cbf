//! The suite finds the flaw of each flawed store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::{StoreUnderTest, broken_clauses, holds, list};
use crate::changes::{Changes, Expired};
use crate::clock::{Clock as _, Timestamp};
use crate::error::Error;
use crate::fields::{Fields, Name};
use crate::merge::{Change, Counter};
use crate::record::{Metadata, Record};
use crate::store::{Created, Delete, Deleted, Key, Store, Update, Updated, UserIndex, Wanted};
use crate::testing::ManualClock;
use crate::token::Digests;
use crate::users::{Mark, Roster, Step, Stepped, UserKey, What};
use Flaw::*;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flaw {
    None,
    /// Does not answer the values of merged and taken fields.
    AnswersNothing,
    /// Late answers repeat the caller's own time.
    AnswersTheCallersTime,
    ChecksThenDeletes,
    ChecksThenWrites,
    ComparesTheLogin,
    ComparesTheVerifier,
    /// A delete compares the verifier, too.
    ComparesTheWholeToken,
    /// Compares integers as text.
    ComparesTexts,
    /// An ending update leaves the session there.
    EndsNothing,
    /// An ending update answers nothing.
    EndsInSilence,
    /// An ending update checks nothing.
    EndsWhatever,
    ConflictsAlways,
    CountsFromZero,
    CountsInFloats,
    CreatesOver,
    /// Creates the metadata first, then the fields.
    CreatesInSteps,
    /// Cuts values off at 64 KiB.
    CutsOff,
    DeletesAll,
    /// Deletes the fields first, then the record.
    DeletesInSteps,
    DeletesJunk,
    /// Treats an expired login as another login.
    DeletesOnlyTheLiving,
    /// Removes a field found expired, even if it was renewed.
    ExpiresBlindly,
    FailsForAbsent,
    /// Compares names without case.
    FoldsNames,
    ForgetsDeadlines,
    /// A create rebuilds the metadata.
    ForgetsMetadata,
    /// Loads its own fields.
    HandsOutItsOwn,
    IgnoresDigests,
    IgnoresExpectations,
    IgnoresExpired,
    /// A delete ends whatever is there.
    IgnoresLogins,
    IgnoresNotAfter,
    IgnoresOldNames,
    /// Finds a session by its id alone.
    IgnoresTypes,
    KeepsCopies,
    KeepsForever,
    /// Only marks deleted sessions, and finds them again.
    KeepsWhatWasDeleted,
    LateAtOnce,
    LoadsTheFirst,
    /// Compares the login before the time.
    LooksAtTheLoginFirst,
    LosesDeletes,
    NeedsALogin,
    /// The last call decides the absolute deadline.
    MovesDeadlinesBack,
    NeverExtends,
    NeverUnsets,
    /// All users share one index.
    MixesUsers,
    /// A restart loses the sessions.
    LosesSessions,
    /// A restart loses the index of users.
    LosesUsers,
    /// Marks count steps, and begin at zero after a restart.
    MarksAnew,
    /// Admits logins that began before an end.
    NeverEnds,
    /// Does not name the doomed sessions again.
    NeverReminds,
    /// Ignores limits.
    NeverFull,
    /// Keeps users' entries forever.
    NeverForgets,
    RemembersRefusals,
    /// Writes metadata only as this version knows them.
    Repacks,
    ReplacesFields,
    ResetsOnRotation,
    /// Creates what is missing (`SET`, "upsert").
    Resurrects,
    /// Its time is ahead of the time that it judges by.
    RunsAhead,
    /// A client library resends slow calls.
    SendsTwice,
    /// Computes a counter's sum from the value that was read.
    SetsCounters,
    /// The last call decides how long a session lives.
    ShortensLives,
    ServesInLine,
    StandsStill,
    StoresTexts,
    /// Refuses to take an absent field.
    TakesOrRefuses,
    TakesRotationsForLogins,
    /// Treats unreadable records as absent, and overwrites them.
    TakesJunkForNothing,
    TouchesBackwards,
    /// After a restart, deleted sessions are there again.
    UndoesDeletes,
    WrapsTime,
    WritesFieldByField,
}

/// Clauses that must find each flaw.
const FOUND: &[(Flaw, &[&str])] = &[
    (None, &[]),
    (
        AnswersNothing,
        &[
            "merged_values_are_answered",
            "a_take_answers_the_value_and_removes_it",
        ],
    ),
    (
        AnswersTheCallersTime,
        &[
            "an_update_that_comes_late_writes_nothing",
            "a_delete_that_comes_late_ends_nothing",
        ],
    ),
    (
        ChecksThenDeletes,
        &["a_delete_against_a_login_is_done_before_or_refused"],
    ),
    (
        ChecksThenWrites,
        &[
            "an_end_is_final_in_any_race",
            "an_end_answers_what_was_done_before_it",
            "of_concurrent_rotations_one_is_done",
            "an_update_against_a_rotation_is_done_before_or_refused",
            "of_concurrent_updates_that_expect_the_same_one_is_done",
            "of_concurrent_takes_one_obtains_the_value",
            "concurrent_counts_lose_none",
            "concurrent_changes_of_different_fields_are_all_kept",
            "concurrent_entries_are_all_kept",
            "of_concurrent_logins_no_more_enter_than_are_allowed",
        ],
    ),
    (ComparesTheLogin, &["an_update_with_other_digests_is_gone"]),
    (
        ComparesTheVerifier,
        &["an_update_with_other_digests_is_gone"],
    ),
    (ComparesTheWholeToken, &["a_delete_ends_a_rotated_session"]),
    (
        ComparesTexts,
        &[
            "the_largest_and_the_smallest_stay",
            "max_and_min_replace_what_is_absent_or_no_number",
        ],
    ),
    (ConflictsAlways, &["what_is_as_expected_is_written"]),
    (
        CountsFromZero,
        &["a_counter_that_is_absent_starts_at_its_base"],
    ),
    (
        CountsInFloats,
        &[
            "a_counter_reaches_its_limits_and_no_further",
            "large_numbers_are_exact",
            "only_the_sum_must_be_in_range",
            "what_is_no_number_is_an_overflow",
        ],
    ),
    (
        CreatesOver,
        &[
            "create_leaves_an_existing_session_alone",
            "of_concurrent_creates_one_is_done",
        ],
    ),
    (CreatesInSteps, &["a_cancelled_create_is_done_or_not"]),
    (CutsOff, &["large_sessions_are_kept"]),
    (DeletesAll, &["a_delete_ends_one_session_only"]),
    (DeletesInSteps, &["a_cancelled_delete_is_done_or_not"]),
    (
        DeletesJunk,
        &["a_record_that_cannot_be_read_is_absent_and_left_alone"],
    ),
    (DeletesOnlyTheLiving, &["a_session_past_its_time_is_absent"]),
    (EndsNothing, &["an_update_that_ends_answers_all_and_ends"]),
    (EndsInSilence, &["an_update_that_ends_answers_all_and_ends"]),
    (EndsWhatever, &["an_update_that_ends_may_be_refused"]),
    (ExpiresBlindly, &["an_expired_field_that_was_renewed_stays"]),
    (
        FailsForAbsent,
        &[
            "an_unknown_session_is_absent",
            "a_delete_of_nothing_is_no_error",
        ],
    ),
    (FoldsNames, &["any_name_is_kept"]),
    (
        ForgetsDeadlines,
        &["deadline_and_lifetime_change_where_they_are_given"],
    ),
    (
        ForgetsMetadata,
        &["a_new_session_is_stored_as_it_was_handed_over"],
    ),
    (HandsOutItsOwn, &["nothing_but_fields_is_loaded"]),
    (
        IgnoresDigests,
        &[
            "an_update_with_other_digests_is_gone",
            "a_touch_with_other_digests_is_gone",
            "a_take_with_other_digests_is_gone",
            "a_rotation_refuses_those_who_came_before",
            "of_concurrent_rotations_one_is_done",
        ],
    ),
    (
        IgnoresExpectations,
        &[
            "a_changed_field_is_a_conflict",
            "a_field_that_came_or_went_is_a_conflict",
            "a_changed_number_of_entries_is_a_conflict",
            "of_concurrent_updates_that_expect_the_same_one_is_done",
        ],
    ),
    (
        IgnoresExpired,
        &[
            "an_expired_field_is_removed",
            "a_counter_that_expired_starts_at_its_base",
            "a_take_of_an_expired_field_answers_nothing",
        ],
    ),
    (IgnoresLogins, &["a_delete_of_another_login_ends_nothing"]),
    (
        IgnoresNotAfter,
        &[
            "an_update_that_comes_late_writes_nothing",
            "a_delete_that_comes_late_ends_nothing",
            "its_time_is_never_ahead_of_what_it_judges_by",
            "a_late_step_does_nothing",
        ],
    ),
    (
        IgnoresOldNames,
        &[
            "a_counter_takes_along_its_old_names",
            "a_take_finds_old_names",
        ],
    ),
    (IgnoresTypes, &["session_types_share_no_ids"]),
    (
        KeepsCopies,
        &[
            "a_copy_misses_nothing_that_was_answered",
            "a_copy_has_the_wanted_fields",
        ],
    ),
    (
        KeepsForever,
        &[
            "a_session_past_its_time_is_absent",
            "what_follows_a_session_past_its_time_begins_empty",
            "a_create_past_its_time_stores_nothing",
        ],
    ),
    (KeepsWhatWasDeleted, &["what_follows_a_delete_begins_empty"]),
    (LateAtOnce, &["the_last_instant_is_in_time"]),
    (LoadsTheFirst, &["the_wanted_fields_are_loaded"]),
    (
        LooksAtTheLoginFirst,
        &["a_late_delete_of_another_login_is_late"],
    ),
    (LosesDeletes, &["a_delete_ends_a_rotated_session"]),
    (LosesSessions, &["a_session_outlives_a_restart"]),
    (LosesUsers, &["a_user_index_outlives_a_restart"]),
    (MarksAnew, &["marks_go_on_after_a_restart"]),
    (
        MovesDeadlinesBack,
        &["only_a_lifetime_moves_the_deadline_backwards"],
    ),
    (NeedsALogin, &["a_delete_without_a_login_ends_whichever"]),
    (
        NeverExtends,
        &["an_update_extends_the_life", "a_touch_extends_the_life"],
    ),
    (
        NeverUnsets,
        &[
            "set_and_unset_do_what_they_say",
            "what_was_taken_stays_taken",
        ],
    ),
    (MixesUsers, &["users_share_no_sessions"]),
    (
        NeverEnds,
        &["after_an_end_of_all_nobody_enters_who_began_before"],
    ),
    (
        NeverForgets,
        &[
            "who_is_let_in_is_listed_until_forgotten",
            "a_session_is_listed_for_as_long_as_it_may_live",
        ],
    ),
    (NeverFull, &["no_more_enter_than_are_allowed"]),
    (NeverReminds, &["what_is_doomed_stays_doomed"]),
    (
        RemembersRefusals,
        &[
            "what_was_refused_is_done_when_it_is_possible",
            "what_came_late_is_done_when_it_is_sent_anew",
        ],
    ),
    (Repacks, &["metadata_of_a_later_version_are_kept"]),
    (
        ReplacesFields,
        &[
            "only_named_fields_are_touched",
            "a_touch_changes_one_time_only",
        ],
    ),
    (
        ResetsOnRotation,
        &["a_rotation_changes_the_token_and_nothing_else"],
    ),
    (
        Resurrects,
        &[
            "an_update_creates_nothing",
            "an_update_after_the_end_is_gone",
            "a_touch_after_the_end_is_gone",
            "an_end_is_final_in_any_race",
            "a_session_past_its_time_is_absent",
        ],
    ),
    (RunsAhead, &["its_time_is_never_ahead_of_what_it_judges_by"]),
    (SendsTwice, &["a_counter_moves_what_is_stored"]),
    (
        SetsCounters,
        &[
            "a_counter_moves_what_is_stored",
            "concurrent_counts_lose_none",
        ],
    ),
    (ShortensLives, &["no_call_shortens_the_life"]),
    (ServesInLine, &["every_call_is_answered_in_time_in_a_crowd"]),
    (StandsStill, &["its_time_passes"]),
    (StoresTexts, &["any_value_is_kept"]),
    (
        TakesOrRefuses,
        &["a_take_of_nothing_is_done_without_a_value"],
    ),
    (
        TakesRotationsForLogins,
        &["only_a_login_says_when_somebody_logged_in"],
    ),
    (
        TakesJunkForNothing,
        &["a_record_that_cannot_be_read_is_absent_and_left_alone"],
    ),
    (TouchesBackwards, &["touched_at_never_moves_backwards"]),
    (UndoesDeletes, &["an_end_outlives_a_restart"]),
    (WrapsTime, &["the_longest_life_is_no_overflow"]),
    (
        WritesFieldByField,
        &[
            "an_overflow_writes_nothing_at_all",
            "no_reader_sees_half_an_update",
            "a_cancelled_update_is_done_or_not",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_without_a_flaw_breaks_no_clause() {
    assert_eq!(broken_clauses(async || flawed(None)).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_flaw_is_found_by_its_clauses() {
    let tried = FOUND.iter().flat_map(|(flaw, clauses)| {
        clauses.iter().map(move |name| {
            let (_, clause) = list::CLAUSES
                .iter()
                .find(|(known, _)| known == name)
                .unwrap();
            let held = tokio::spawn(holds(flawed(*flaw), *clause));
            async move { held.await.unwrap().then_some((flaw, name)) }
        })
    });
    let mut unfound = Vec::new();
    for found in tried.collect::<Vec<_>>() {
        unfound.extend(found.await);
    }
    assert!(
        unfound.is_empty(),
        "clauses that hold in spite of a flaw: {unfound:?}"
    );
}

#[test]
fn each_clause_finds_a_flaw() {
    let found: Vec<_> = FOUND.iter().flat_map(|(_, clauses)| *clauses).collect();
    for (name, _) in list::CLAUSES {
        assert!(
            found.contains(&name),
            "no store is broken so that {name} finds it"
        );
    }
}

#[tokio::test]
async fn a_clause_that_fails_says_what_to_do_and_what_was_seen() {
    let store = flawed(Resurrects);
    let clause = tokio::spawn(async move { super::an_update_after_the_end_is_gone(&store).await });
    let panic = clause.await.unwrap_err().into_panic();
    let said = panic.downcast_ref::<String>().unwrap();
    assert_eq!(
        said.trim(),
        "an update after a delete must answer Gone and store nothing: check existence and digests in \
         the same atomic step as the write\n\nSeen: an update should answer Gone, and answers Done({})"
    );
}

fn flawed(flaw: Flaw) -> StoreUnderTest {
    let clock = Arc::new(ManualClock::new());
    let store = Arc::new(FlawedStore::new(flaw, clock.clone()));
    let (planted, closed) = (store.clone(), store.clone());
    let under_test = StoreUnderTest::new(store)
        .clock(clock)
        .reopen(move || std::future::ready(closed.reopened()));
    under_test.junk(move |key| {
        planted
            .records
            .lock()
            .unwrap()
            .insert(key, b"junk".to_vec());
        async {}
    })
}

#[derive(Debug)]
struct FlawedStore {
    flaw: Flaw,
    started: Timestamp,
    clock: Arc<ManualClock>,
    line: tokio::sync::Mutex<()>,
    /// Held in each atomic step.
    step: Mutex<()>,
    records: Mutex<HashMap<Key, Vec<u8>>>,
    copies: Mutex<HashMap<Key, Arc<Record>>>,
    refused: Mutex<Vec<Changes>>,
    rosters: Mutex<HashMap<Option<UserKey>, Roster>>,
    /// How many steps were done.
    steps: AtomicU64,
}

#[async_trait]
impl UserIndex for FlawedStore {
    fn present(&self) -> Mark {
        match self.flaw {
            MarksAnew => Mark::new(self.steps.load(Ordering::SeqCst)),
            _ => Mark::new(self.clock.now().as_millis()),
        }
    }

    async fn step(&self, user: UserKey, step: &Step) -> Result<Stepped, Error> {
        let user = Some(user).filter(|_| self.flaw != MixesUsers);
        let mut step = step.clone();
        match (self.flaw, &mut step.what) {
            (IgnoresNotAfter, _) => step.not_after = Timestamp::from_millis(u64::MAX),
            (NeverEnds, What::Admit { began_at, .. }) => *began_at = Mark::new(u64::MAX),
            (NeverForgets, What::Forget(ids)) => ids.clear(),
            (NeverForgets, What::Admit { remove_at, .. }) => {
                *remove_at = Timestamp::from_millis(u64::MAX);
            }
            (NeverFull, What::Admit { limit, .. }) => *limit = Option::None,
            _ => {}
        }
        let (now, present) = (self.clock.now(), self.present());
        let mut stepped = if self.flaw == ChecksThenWrites {
            let roster = self.rosters.lock().unwrap().get(&user).cloned();
            let mut roster = roster.unwrap_or_default();
            let stepped = step.apply_to(&mut roster, now, present);
            between_the_steps().await;
            self.rosters.lock().unwrap().insert(user, roster);
            stepped
        } else {
            let mut rosters = self.rosters.lock().unwrap();
            step.apply_to(rosters.entry(user).or_default(), now, present)
        };
        self.steps.fetch_add(1, Ordering::SeqCst);
        if let (NeverReminds, Stepped::Done(doomed)) = (self.flaw, &mut stepped) {
            doomed.clear();
        }
        Ok(stepped)
    }
}

/// Yielding is not enough: on a busy machine the same task may run next, and its two steps become one.
async fn between_the_steps() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

impl FlawedStore {
    fn new(flaw: Flaw, clock: Arc<ManualClock>) -> Self {
        Self {
            flaw,
            started: clock.now(),
            clock,
            line: tokio::sync::Mutex::default(),
            step: Mutex::default(),
            records: Mutex::default(),
            copies: Mutex::default(),
            refused: Mutex::default(),
            rosters: Mutex::default(),
            steps: AtomicU64::default(),
        }
    }

    fn reopened(&self) -> Self {
        let reopened = Self::new(self.flaw, self.clock.clone());
        let (mut records, mut rosters) = (
            self.records.lock().unwrap().clone(),
            self.rosters.lock().unwrap().clone(),
        );
        match self.flaw {
            LosesSessions => records.clear(),
            LosesUsers => rosters.clear(),
            UndoesDeletes => {
                let deleted = records.extract_if(|key, _| key.name == "kept");
                let deleted: Vec<_> = deleted.collect();
                records.extend(
                    deleted
                        .into_iter()
                        .map(|(key, bytes)| (Key::new("conformance", key.id), bytes)),
                );
            }
            _ => {}
        }
        *reopened.records.lock().unwrap() = records;
        *reopened.rosters.lock().unwrap() = rosters;
        reopened
    }

    fn key(&self, key: Key) -> Key {
        match self.flaw {
            IgnoresTypes => Key::new("any", key.id),
            _ => key,
        }
    }

    /// The flaw `ServesInLine`.
    async fn in_line(&self) {
        if self.flaw == ServesInLine {
            let _first = self.line.lock().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The living record, if any, and whether a new one may be stored.
    fn read(&self, key: Key) -> (Option<Record>, bool) {
        let records = self.records.lock().unwrap();
        let Some(bytes) = records.get(&self.key(key)) else {
            return (Option::None, true);
        };
        match Record::from_bytes(bytes) {
            Some(record) if record.is_over(self.clock.now()) && self.flaw != KeepsForever => {
                (Option::None, true)
            }
            Option::None => (Option::None, self.flaw == TakesJunkForNothing),
            alive => (alive, false),
        }
    }

    fn write(&self, key: Key, record: &Record) {
        let mut fields = Fields::new();
        for (name, value) in record.fields.iter() {
            let value = match self.flaw {
                CutsOff => value[..value.len().min(64 * 1024)].to_vec(),
                StoresTexts => String::from_utf8_lossy(value).into_owned().into_bytes(),
                _ => value.to_vec(),
            };
            let name = match self.flaw {
                FoldsNames => Name::from(name.to_lowercase()),
                _ => name.clone(),
            };
            fields.insert(name, &value);
        }
        let record = Record::new(record.metadata.clone(), fields, record.remove_at);
        let bytes = record.to_bytes();
        self.records.lock().unwrap().insert(self.key(key), bytes);
    }

    fn update_in_one_step(&self, key: Key, update: &Update) -> Updated {
        let _step = self.step.lock().unwrap();
        let (Some(mut record), _) = self.read(key) else {
            return Updated::Gone;
        };
        let updated = self.apply(update, &mut record);
        if matches!(updated, Updated::Done(_)) {
            self.write(key, &record);
        }
        updated
    }

    fn apply(&self, update: &Update, record: &mut Record) -> Updated {
        let (before, now) = (record.clone(), self.clock.now());
        let update = self.altered(update, &before);
        if self.flaw == LateAtOnce && now >= update.not_after {
            return Updated::Late(now);
        }
        if self.flaw == ConflictsAlways && update.expected.is_some() {
            return Updated::Conflict;
        }
        let mut takes = update.changes.iter();
        let takes_nothing = |(name, change): (&Name, &Change)| {
            matches!(change, Change::Take { .. }) && before.fields.get(name).is_none()
        };
        if self.flaw == TakesOrRefuses && takes.any(takes_nothing) {
            return Updated::Gone;
        }
        let mut updated = update.apply_to(record, now);
        match (self.flaw, &updated) {
            (AnswersNothing, Updated::Done(_)) => updated = Updated::Done(Fields::new()),
            (AnswersTheCallersTime, Updated::Late(_)) => updated = Updated::Late(update.not_after),
            (KeepsForever, Updated::Gone) => {
                record.remove_at = Timestamp::from_millis(u64::MAX);
                updated = update.apply_to(record, now);
            }
            (NeverUnsets, Updated::Done(_)) => {
                for (name, value) in before.fields.iter() {
                    if record.fields.get(name).is_none() {
                        record.fields.insert(name.clone(), value);
                    }
                }
            }
            (Repacks, Updated::Done(_)) => record.metadata.unknown = Metadata::default().unknown,
            (ReplacesFields, Updated::Done(_)) => {
                let all = std::mem::take(&mut record.fields);
                let named = all
                    .iter()
                    .filter(|(name, _)| update.changes.get(name).is_some());
                let named = named.map(|(name, value)| (name.clone(), value.to_vec()));
                record.fields = named.collect();
            }
            (ResetsOnRotation, Updated::Done(_)) if update.rotation.is_some() => {
                record.fields = Fields::new();
            }
            (SendsTwice, Updated::Done(_)) => drop(update.apply_to(record, now)),
            (EndsInSilence, Updated::Done(_)) if update.ends => {
                updated = Updated::Done(Fields::new());
            }
            (MovesDeadlinesBack, Updated::Done(_)) => {
                if let Some(deadline) = update.absolute_deadline {
                    record.metadata.absolute_deadline = deadline;
                }
            }
            (ShortensLives, Updated::Done(_)) => record.remove_at = now.plus(update.ttl),
            (TouchesBackwards, Updated::Done(_)) => {
                record.metadata.touched_at = update.touched_at.unwrap_or_default();
            }
            (WrapsTime, Updated::Done(_)) if update.ttl == Duration::MAX => {
                record.remove_at = Timestamp::default();
            }
            _ => {}
        }
        updated
    }

    /// The update as a store with the flaw understands it.
    fn altered(&self, update: &Update, before: &Record) -> Update {
        let mut update = update.clone();
        let stored = before.metadata.digests;
        let half = |digests: Digests| digests.to_bytes()[Digests::LEN / 2..].to_vec();
        match self.flaw {
            ComparesTheLogin if stored.login_matches(&update.loaded) => update.loaded = stored,
            ComparesTheVerifier if half(stored) == half(update.loaded) => update.loaded = stored,
            ForgetsDeadlines => (update.absolute_deadline, update.lifetime) = Default::default(),
            IgnoresDigests => update.loaded = stored,
            IgnoresExpectations => update.expected = Option::None,
            IgnoresNotAfter => update.not_after = Timestamp::from_millis(u64::MAX),
            EndsNothing => update.ends = false,
            EndsWhatever if update.ends => {
                (update.loaded, update.expected) = (stored, Option::None);
            }
            NeverExtends => update.ttl = Duration::ZERO,
            TakesRotationsForLogins => {
                update
                    .rotation
                    .iter_mut()
                    .for_each(|rotation| rotation.is_login = true);
            }
            _ => {}
        }
        let mut changes = Changes::new();
        for (name, change) in update.changes.iter() {
            changes.insert(
                name.clone(),
                self.altered_change(change, before.fields.get(name)),
            );
        }
        for expired in update.changes.expired() {
            let Expired {
                name,
                deadline_name,
                deadline,
            } = expired.clone();
            let stored = before
                .fields
                .get(&deadline_name)
                .unwrap_or_default()
                .to_vec();
            match self.flaw {
                IgnoresExpired => {}
                ExpiresBlindly => changes.expire(Expired::new(name, deadline_name, stored)),
                _ => changes.expire(Expired::new(name, deadline_name, deadline)),
            }
        }
        update.changes = changes;
        update
    }

    /// `Err`: the store does not do the delete, and answers this.
    fn may_delete(&self, key: Key, delete: &Delete) -> Result<(), Deleted> {
        let now = self.clock.now();
        let late = match self.flaw {
            AnswersTheCallersTime if now > delete.not_after => Err(Deleted::Late(delete.not_after)),
            IgnoresNotAfter => Ok(()),
            LateAtOnce if now == delete.not_after => Err(Deleted::Late(now)),
            _ if now > delete.not_after => Err(Deleted::Late(now)),
            _ => Ok(()),
        };
        let records = self.records.lock().unwrap();
        let bytes = records.get(&self.key(key));
        let stored = bytes.and_then(|bytes| Record::from_bytes(bytes));
        if bytes.is_some() && stored.is_none() && self.flaw != DeletesJunk {
            return late.and(Err(Deleted::Done));
        }
        let alive = stored
            .filter(|record| !record.is_over(now) || self.flaw == DeletesOnlyTheLiving)
            .map(|record| record.metadata.digests);
        let is_other = alive.is_some_and(|digests| match (self.flaw, &delete.login) {
            (IgnoresLogins, _) => false,
            (_, Option::None) => self.flaw == NeedsALogin,
            (ComparesTheWholeToken, Some(login)) => !digests.matches(login),
            (_, Some(login)) => !digests.login_matches(login),
        });
        let other = match is_other {
            true => Err(Deleted::Other),
            false => Ok(()),
        };
        match self.flaw {
            LooksAtTheLoginFirst => other.and(late),
            _ => late.and(other),
        }
    }

    fn altered_change(&self, change: &Change, stored: Option<&[u8]>) -> Change {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        match (self.flaw, change.clone()) {
            (ComparesTexts, Change::Extreme(extreme, value)) => {
                let stored = stored.unwrap_or(&value).to_vec();
                let is_larger = stored > value;
                let keeps = is_larger == (extreme == crate::merge::Extreme::Max);
                Change::Set(if keeps { stored } else { value })
            }
            (CountsFromZero, Change::Add { delta, counter, .. }) => Change::Add {
                delta,
                base: 0,
                counter,
            },
            (CountsInFloats, Change::Add { delta, base, .. }) => {
                let stored = stored.map_or(base as f64, |stored| {
                    text(stored).trim().parse().unwrap_or_default()
                });
                Change::Set(format!("{:.0}", stored + delta as f64).into_bytes())
            }
            (
                IgnoresOldNames,
                Change::Add {
                    delta,
                    base,
                    counter,
                },
            ) => {
                let counter = Counter::new(counter.range);
                Change::Add {
                    delta,
                    base,
                    counter,
                }
            }
            (IgnoresOldNames, Change::Take { .. }) => Change::Take { aliases: &[] },
            (SetsCounters, Change::Add { delta, base, .. }) => {
                Change::Set((base + delta).to_string().into_bytes())
            }
            (_, change) => change,
        }
    }
}

#[async_trait]
impl Store for FlawedStore {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        self.in_line().await;
        let (Some(mut record), _) = self.read(key) else {
            return match self.flaw {
                FailsForAbsent => Err(Error::store("no such session")),
                _ => Ok(Option::None),
            };
        };
        match (self.flaw, wanted) {
            (KeepsCopies, Wanted::Fields(names)) => {
                let only = Record {
                    fields: names
                        .iter()
                        .filter_map(|name| Some((name.clone(), record.fields.get(name)?.to_vec())))
                        .collect(),
                    ..record.clone()
                };
                self.copies.lock().unwrap().insert(key, Arc::new(only));
            }
            (KeepsCopies, Wanted::All) => {
                let copy = Arc::new(record.clone());
                self.copies.lock().unwrap().insert(key, copy);
            }
            (HandsOutItsOwn, _) => record.fields.insert("@own".into(), b"1"),
            (LoadsTheFirst, Wanted::Fields(names)) => {
                let first = names.first().map_or("", |name| name);
                let value = record.fields.get(first).map(<[u8]>::to_vec);
                let first = value.map(|value| (Name::from(first.to_owned()), value));
                record.fields = first.into_iter().collect();
            }
            _ => {}
        }
        Ok(Some(Arc::new(record)))
    }

    fn near(&self, key: Key, _: &Wanted) -> Option<Arc<Record>> {
        self.copies.lock().unwrap().get(&key).map(Arc::clone)
    }

    async fn create(&self, key: Key, mut record: Record) -> Result<Created, Error> {
        match self.flaw {
            ForgetsMetadata => {
                record.metadata = Metadata {
                    digests: record.metadata.digests,
                    ..Metadata::created_now(record.metadata.created_at, Duration::from_secs(3600))
                };
            }
            CreatesInSteps => {
                let empty = Record::new(record.metadata.clone(), Fields::new(), record.remove_at);
                self.write(key, &empty);
                between_the_steps().await;
            }
            KeepsWhatWasDeleted => {
                let kept = self
                    .records
                    .lock()
                    .unwrap()
                    .remove(&Key::new("kept", key.id));
                if let Some(kept) = kept.and_then(|kept| Record::from_bytes(&kept)) {
                    let kept = kept.fields.iter();
                    record
                        .fields
                        .extend(kept.map(|(name, value)| (name.clone(), value.to_vec())));
                }
            }
            _ => {}
        }
        let _step = self.step.lock().unwrap();
        let is_free = self.read(key).1;
        if !is_free && ![CreatesOver, CreatesInSteps].contains(&self.flaw) {
            return Ok(Created::Refused);
        }
        self.write(key, &record);
        Ok(Created::Done)
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        self.in_line().await;
        match self.flaw {
            ChecksThenWrites => {
                let (Some(mut record), _) = self.read(key) else {
                    return Ok(Updated::Gone);
                };
                let updated = self.apply(update, &mut record);
                between_the_steps().await;
                if matches!(updated, Updated::Done(_)) {
                    self.write(key, &record);
                }
                return Ok(updated);
            }
            RemembersRefusals if self.refused.lock().unwrap().contains(&update.changes) => {
                return Ok(Updated::Conflict);
            }
            Resurrects => {
                let metadata = Metadata {
                    digests: update.loaded,
                    ..Metadata::default()
                };
                let created = Record::new(metadata, Fields::new(), self.now().plus(update.ttl));
                self.create(key, created).await?;
            }
            WritesFieldByField => {
                for (name, change) in update.changes.iter() {
                    let mut one = Update::new(update.loaded, update.not_after);
                    one.changes.insert(name.clone(), change.clone());
                    match self.update_in_one_step(key, &one) {
                        Updated::Done(_) => between_the_steps().await,
                        refused => return Ok(refused),
                    }
                }
            }
            _ => {}
        }
        let mut update = update.clone();
        if self.flaw == WritesFieldByField {
            update.changes = Changes::new();
        }
        let updated = self.update_in_one_step(key, &update);
        if !matches!(updated, Updated::Done(_)) {
            self.refused.lock().unwrap().push(update.changes);
        }
        Ok(updated)
    }

    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error> {
        match self.flaw {
            DeletesAll => self.records.lock().unwrap().clear(),
            DeletesInSteps => {
                if let (Some(mut record), _) = self.read(key) {
                    record.fields = Fields::new();
                    self.write(key, &record);
                }
                between_the_steps().await;
            }
            FailsForAbsent if self.read(key).0.is_none() => {
                return Err(Error::store("no such session"));
            }
            LosesDeletes => return Ok(Deleted::Done),
            _ => {}
        }
        if let Err(answer) = self.may_delete(key, delete) {
            return Ok(answer);
        }
        if self.flaw == ChecksThenDeletes {
            between_the_steps().await;
        }
        let _step = self.step.lock().unwrap();
        let may = self.may_delete(key, delete);
        if let Err(answer) = may
            && self.flaw != ChecksThenDeletes
        {
            return Ok(answer);
        }
        let mut records = self.records.lock().unwrap();
        if let Some(bytes) = records.remove(&self.key(key)) {
            records.insert(Key::new("kept", key.id), bytes);
        }
        Ok(Deleted::Done)
    }

    fn now(&self) -> Timestamp {
        match self.flaw {
            RunsAhead => self.clock.now().plus(Duration::from_secs(1)),
            StandsStill => self.started,
            _ => self.clock.now(),
        }
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn user_index(&self) -> Option<&dyn UserIndex> {
        Some(self)
    }

    fn describe(&self) -> String {
        format!("{:?}", self.flaw)
    }
}
