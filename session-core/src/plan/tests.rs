use super::*;
use crate::clock::Timestamp;
use crate::fields::Fields;
use crate::merge::Change;
use crate::record::Metadata;

/// All 2,560 inputs.
fn all() -> impl Iterator<Item = (Loaded, Pending, bool)> {
    let identities = [
        None,
        Some(Identity::Nobody),
        Some(Identity::Other),
        Some(Identity::Same),
    ];
    let loaded = [false, true].into_iter().map(live).chain((0..8).map(none));
    loaded.flat_map(move |loaded| {
        identities.into_iter().flat_map(move |identity| {
            let loaded = loaded.clone();
            (0..64_u8).map(move |bits| {
                let mut changes = Changes::new();
                // A change of identity always changes a field.
                if bits & 1 != 0 || identity.is_some() {
                    changes.insert("a".into(), Change::Unset);
                }
                let pending = Pending {
                    changes,
                    identity,
                    lifetime: (bits & 2 != 0).then(Lifetime::default),
                    rotate: bits & 4 != 0,
                    destroyed: bits & 8 != 0,
                    failed: bits & 16 != 0,
                };
                (loaded.clone(), pending, bits & 32 != 0)
            })
        })
    })
}

fn live(is_identified: bool) -> Loaded {
    let token = Token::generate().unwrap();
    let record = Record::new(Metadata::default(), Fields::new(), Timestamp::default());
    Loaded::Live(Live {
        sealed: Fields::new(),
        key: Key::new("visit", token.id()),
        token,
        record: Arc::new(record),
        is_identified,
    })
}

fn none(bits: u8) -> Loaded {
    let token = Token::generate().unwrap();
    let key = Key::new("visit", token.id());
    let login = Some(token.digests());
    Loaded::None(NoSession {
        ends: Vec::from_iter((bits & 1 != 0).then_some(End {
            key,
            login,
            record: None,
        })),
        stores_nothing: bits & 2 != 0,
        refuses_end: bits & 4 != 0,
        ..NoSession::default()
    })
}

#[test]
fn destroy_ends_whatever_the_request_may_end() {
    for (loaded, pending, due) in all().filter(|(_, pending, _)| pending.destroyed) {
        let refuses = matches!(&loaded, Loaded::None(none) if none.refuses_end);
        let expected = match refuses && loaded.ends().is_empty() {
            true => Commit::Refuse,
            false => Commit::End,
        };
        assert_eq!(
            plan(&loaded, &pending, due),
            expected,
            "{loaded:?} {pending:?}"
        );
    }
}

#[test]
fn a_failed_request_stores_no_data_and_logs_nobody_in() {
    for (loaded, pending, due) in all() {
        if !pending.failed || pending.destroyed {
            continue;
        }
        let allowed = match plan(&loaded, &pending, due) {
            Commit::Write { renews, data } => renews == Renews::Verifier && !data,
            Commit::Begin { .. } | Commit::End | Commit::Refuse => false,
            Commit::Nothing { .. } | Commit::Touch => true,
        };
        assert!(allowed, "{loaded:?} {pending:?}");
    }
}

#[test]
fn who_logs_in_gets_a_session_and_a_login_of_its_own() {
    for (loaded, pending, due) in all() {
        if !pending.logs_in() || pending.destroyed || pending.failed {
            continue;
        }
        let commit = plan(&loaded, &pending, due);
        let login = Commit::Write {
            renews: Renews::Login,
            data: true,
        };
        let others = Commit::Begin { ends_others: true };
        assert!(
            commit == login || commit == others,
            "{loaded:?} {pending:?}"
        );
    }
}

#[test]
fn a_session_of_somebody_is_never_written_for_somebody_else() {
    for (loaded, pending, due) in all() {
        let somebodys = loaded.live().is_some_and(|live| live.is_identified);
        let changes_hands = matches!(pending.identity, Some(Identity::Nobody | Identity::Other));
        if !somebodys || !changes_hands {
            continue;
        }
        let writes = matches!(
            plan(&loaded, &pending, due),
            Commit::Write { data: true, .. }
        );
        assert!(!writes, "{loaded:?} {pending:?}");
    }
}

#[test]
fn without_a_login_what_changed_a_moment_ago_is_left_alone() {
    for (loaded, pending, due) in all() {
        let Loaded::None(none) = &loaded else {
            continue;
        };
        if !none.stores_nothing || pending.logs_in() || pending.destroyed {
            continue;
        }
        let commit = plan(&loaded, &pending, due);
        assert!(
            matches!(commit, Commit::Nothing { .. }),
            "{loaded:?} {pending:?}"
        );
    }
}

#[test]
fn a_rotation_that_was_asked_for_is_done() {
    for (loaded, pending, due) in all() {
        if loaded.live().is_none() || !pending.rotate || pending.destroyed {
            continue;
        }
        let commit = plan(&loaded, &pending, due);
        let rotates = matches!(
            commit,
            Commit::Write {
                renews: Renews::Login | Renews::Verifier,
                ..
            }
        );
        assert!(
            rotates || matches!(commit, Commit::Begin { .. }),
            "{loaded:?} {pending:?}"
        );
    }
}

#[test]
fn who_did_nothing_writes_nothing_but_a_touch() {
    for (loaded, pending, due) in all().filter(|(_, pending, _)| pending.is_empty()) {
        let expected = match loaded.live() {
            Some(_) if due => Commit::Touch,
            _ => Commit::Nothing { drops: false },
        };
        assert_eq!(plan(&loaded, &pending, due), expected);
    }
}
