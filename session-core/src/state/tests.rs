use super::*;

/// All 448 inputs.
fn all() -> impl Iterator<Item = State> {
    let origins = [
        Origin::Absent,
        Origin::Over,
        Origin::Several,
        Origin::Stale,
        Origin::StaleInGrace,
        Origin::Live { touch_due: false },
        Origin::Live { touch_due: true },
    ];
    origins.into_iter().flat_map(|origin| {
        (0..64_u8).map(move |bits| State {
            origin,
            changed: bits & 1 != 0,
            identity_changed: bits & 2 != 0,
            lifetime_changed: bits & 4 != 0,
            rotate: bits & 8 != 0,
            destroyed: bits & 16 != 0,
            failed: bits & 32 != 0,
        })
    })
}

fn is_live(state: State) -> bool {
    matches!(state.origin, Origin::Live { .. })
}

#[test]
fn a_request_whose_session_is_over_writes_nothing() {
    let over = [Origin::Over, Origin::StaleInGrace];
    for state in all().filter(|state| over.contains(&state.origin) && !state.destroyed) {
        assert_eq!(plan(state), Plan::NOTHING, "{state:?}");
    }
}

#[test]
fn a_logout_with_the_token_of_before_a_rotation_does_not_pass_for_done() {
    for state in all().filter(|state| state.destroyed) {
        let refused = plan(state).commit == Commit::Refuse;
        assert_eq!(refused, state.origin == Origin::StaleInGrace, "{state:?}");
    }
}

#[test]
fn only_data_without_a_living_session_and_without_failure_creates_one() {
    for state in all() {
        let absent = [Origin::Absent, Origin::Several, Origin::Stale];
        let expected =
            absent.contains(&state.origin) && state.changed && !state.destroyed && !state.failed;
        assert_eq!(plan(state).commit == Commit::Create, expected, "{state:?}");
    }
}

#[test]
fn destroy_always_ends_a_living_session_and_removes_the_cookie() {
    for state in all().filter(|state| state.destroyed) {
        let plan = plan(state);
        let was_open = is_live(state) || [Origin::Over, Origin::Several].contains(&state.origin);
        assert_eq!(plan.commit == Commit::Delete, was_open, "{state:?}");
        let removed = plan.cookie == CookieStep::Remove;
        assert_eq!(removed, state.origin != Origin::StaleInGrace, "{state:?}");
    }
}

#[test]
fn nothing_but_destroy_removes_a_cookie_or_a_session() {
    for state in all().filter(|state| !state.destroyed) {
        let plan = plan(state);
        assert_ne!(plan.commit, Commit::Delete, "{state:?}");
        assert_ne!(plan.cookie, CookieStep::Remove, "{state:?}");
    }
}

#[test]
fn a_rotation_that_was_asked_for_happens_even_when_the_request_failed() {
    for state in all().filter(|state| is_live(*state) && state.rotate && !state.destroyed) {
        let rotated = matches!(plan(state).commit, Commit::Update { rotate: true, .. });
        assert!(rotated, "{state:?}");
    }
}

#[test]
fn a_change_of_identity_that_is_kept_always_rotates() {
    for state in all().filter(|state| is_live(*state) && state.identity_changed) {
        if !state.failed && !state.destroyed {
            let rotated = matches!(plan(state).commit, Commit::Update { rotate: true, .. });
            assert!(rotated, "{state:?}");
        }
    }
}

#[test]
fn a_failed_request_writes_no_data() {
    for state in all().filter(|state| state.failed) {
        let commit = plan(state).commit;
        assert_ne!(commit, Commit::Create, "{state:?}");
        assert!(
            !matches!(commit, Commit::Update { write: true, .. }),
            "{state:?}"
        );
    }
}

#[test]
fn a_change_of_a_living_session_is_written() {
    for state in all().filter(|state| is_live(*state) && state.changed) {
        if !state.failed && !state.destroyed {
            let written = matches!(plan(state).commit, Commit::Update { write: true, .. });
            assert!(written, "{state:?}");
        }
    }
}

#[test]
fn a_cookie_is_set_only_for_a_new_token_or_a_new_lifetime() {
    for state in all() {
        let plan = plan(state);
        let new_token = matches!(
            plan.commit,
            Commit::Create | Commit::Update { rotate: true, .. }
        );
        let new_lifetime =
            matches!(plan.commit, Commit::Update { write: true, .. }) && state.lifetime_changed;
        let set = plan.cookie == CookieStep::Set;
        assert_eq!(set, new_token || new_lifetime, "{state:?}");
    }
}

#[test]
fn a_request_that_only_reads_touches_when_it_is_due() {
    for touch_due in [false, true] {
        let state = State {
            origin: Origin::Live { touch_due },
            changed: false,
            identity_changed: false,
            lifetime_changed: false,
            rotate: false,
            destroyed: false,
            failed: false,
        };
        let expected = if touch_due {
            Commit::Touch
        } else {
            Commit::Nothing
        };
        assert_eq!(plan(state), Plan::new(expected, CookieStep::Keep));
    }
}
