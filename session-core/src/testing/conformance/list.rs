//! The one list of all clauses. The compiler reports a clause that is missing here, as an unreachable `pub`
//! function.

use std::pin::Pin;

use super::StoreUnderTest;

/// Calls the macro `$callback` with the names of all clauses, by module.
#[doc(hidden)]
#[macro_export]
macro_rules! __for_each_clause {
    ($callback:path $(, $argument:expr)?) => {
        $callback! {
            ($($argument)?)
            existence {
                an_unknown_session_is_absent,
                a_new_session_is_stored_as_it_was_handed_over,
                session_types_share_no_ids,
                create_leaves_an_existing_session_alone,
                of_concurrent_creates_one_is_done,
                an_update_creates_nothing,
                an_update_after_the_end_is_gone,
                a_touch_after_the_end_is_gone,
                an_end_is_final_in_any_race,
                a_delete_ends_a_rotated_session,
                a_delete_without_a_login_ends_whichever,
                a_delete_of_another_login_ends_nothing,
                a_delete_against_a_login_is_done_before_or_refused,
                a_delete_of_nothing_is_no_error,
                a_delete_ends_one_session_only,
                what_follows_a_delete_begins_empty,
            }
            leave {
                an_update_that_ends_answers_all_and_ends,
                an_update_that_ends_may_be_refused,
                an_end_answers_what_was_done_before_it,
            }
            digests {
                an_update_with_other_digests_is_gone,
                a_touch_with_other_digests_is_gone,
                a_take_with_other_digests_is_gone,
                a_rotation_changes_the_token_and_nothing_else,
                only_a_login_says_when_somebody_logged_in,
                a_rotation_refuses_those_who_came_before,
                of_concurrent_rotations_one_is_done,
                an_update_against_a_rotation_is_done_before_or_refused,
            }
            fields {
                only_named_fields_are_touched,
                set_and_unset_do_what_they_say,
                any_name_is_kept,
                any_value_is_kept,
                large_sessions_are_kept,
                the_wanted_fields_are_loaded,
                nothing_but_fields_is_loaded,
                an_expired_field_is_removed,
                an_expired_field_that_was_renewed_stays,
            }
            metadata {
                a_touch_changes_one_time_only,
                touched_at_never_moves_backwards,
                deadline_and_lifetime_change_where_they_are_given,
                only_a_lifetime_moves_the_deadline_backwards,
                metadata_of_a_later_version_are_kept,
            }
            counters {
                a_counter_moves_what_is_stored,
                a_counter_that_is_absent_starts_at_its_base,
                a_counter_takes_along_its_old_names,
                a_counter_that_expired_starts_at_its_base,
                an_overflow_writes_nothing_at_all,
                a_counter_reaches_its_limits_and_no_further,
                large_numbers_are_exact,
                only_the_sum_must_be_in_range,
                what_is_no_number_is_an_overflow,
                the_largest_and_the_smallest_stay,
                max_and_min_replace_what_is_absent_or_no_number,
                merged_values_are_answered,
            }
            conditions {
                what_is_as_expected_is_written,
                a_changed_field_is_a_conflict,
                a_field_that_came_or_went_is_a_conflict,
                a_changed_number_of_entries_is_a_conflict,
                of_concurrent_updates_that_expect_the_same_one_is_done,
                what_was_refused_is_done_when_it_is_possible,
            }
            take {
                a_take_answers_the_value_and_removes_it,
                of_concurrent_takes_one_obtains_the_value,
                a_take_of_nothing_is_done_without_a_value,
                a_take_finds_old_names,
                a_take_of_an_expired_field_answers_nothing,
                what_was_taken_stays_taken,
            }
            parallel {
                concurrent_counts_lose_none,
                concurrent_changes_of_different_fields_are_all_kept,
                concurrent_entries_are_all_kept,
                no_reader_sees_half_an_update,
            }
            near {
                a_copy_misses_nothing_that_was_answered,
                a_copy_has_the_wanted_fields,
            }
            late {
                an_update_that_comes_late_writes_nothing,
                a_delete_that_comes_late_ends_nothing,
                a_late_delete_of_another_login_is_late,
                what_came_late_is_done_when_it_is_sent_anew,
                the_last_instant_is_in_time,
                its_time_passes,
                its_time_is_never_ahead_of_what_it_judges_by,
            }
            life {
                a_session_past_its_time_is_absent,
                what_follows_a_session_past_its_time_begins_empty,
                a_create_past_its_time_stores_nothing,
                an_update_extends_the_life,
                a_touch_extends_the_life,
                no_call_shortens_the_life,
                the_longest_life_is_no_overflow,
            }
            cancel {
                a_cancelled_update_is_done_or_not,
                a_cancelled_create_is_done_or_not,
                a_cancelled_delete_is_done_or_not,
            }
            answers {
                every_call_is_answered_in_time_in_a_crowd,
            }
            restart {
                a_session_outlives_a_restart,
                an_end_outlives_a_restart,
            }
            unreadable {
                a_record_that_cannot_be_read_is_absent_and_left_alone,
            }
            users {
                who_is_let_in_is_listed_until_forgotten,
                users_share_no_sessions,
                after_an_end_of_all_nobody_enters_who_began_before,
                what_is_doomed_stays_doomed,
                no_more_enter_than_are_allowed,
                of_concurrent_logins_no_more_enter_than_are_allowed,
                a_session_is_listed_for_as_long_as_it_may_live,
                a_late_step_does_nothing,
                a_user_index_outlives_a_restart,
                marks_go_on_after_a_restart,
            }
        }
    };
}

/// Makes a test of each clause of the [contract](crate::testing::conformance), for the store that this
/// `async` function or closure makes.
///
/// ```rust
/// # use session_core::{store::memory::MemoryStore, testing::conformance::StoreUnderTest};
/// mod conformance {
///     # use super::*;
///     async fn my_store() -> StoreUnderTest {
///         StoreUnderTest::new(MemoryStore::new()) // here: your store
///     }
///
///     session_core::conformance_tests!(my_store);
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($make_store:expr $(,)?) => {
        $crate::__for_each_clause! { $crate::__make_tests, $make_store }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __make_tests {
    (($make_store:expr) $($module:ident { $($clause:ident,)* })*) => {$($(
        #[test]
        fn $clause() {
            $crate::testing::conformance::run(
                $make_store,
                async |store| $crate::testing::conformance::$clause(store).await,
            );
        }
    )*)*};
}

macro_rules! publish {
    (() $($module:ident { $($clause:ident,)* })*) => {$(
        pub use self::$module::{$($clause),*};
    )*};
}
pub(super) use publish;

pub(super) type ClauseFn =
    for<'s> fn(&'s StoreUnderTest) -> Pin<Box<dyn Future<Output = ()> + Send + 's>>;

macro_rules! collect {
    (() $($module:ident { $($clause:ident,)* })*) => {
        pub(super) const CLAUSES: &[(&str, ClauseFn)] = &[$($(
            (stringify!($clause), |store| Box::pin(super::$clause(store))),
        )*)*];
    };
}
crate::__for_each_clause! { collect }
