//! A store whose `user_index` is `None` passes these clauses trivially.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::StoreUnderTest;
use super::fixture::{LONG, MANY, at_once};
use super::restart;
use crate::clock::Timestamp;
use crate::store::{Store, UserIndex};
use crate::token::{SessionId, Token};
use crate::users::{Limit, Mark, Member, Step, Stepped, UserKey, What, WhenFull, Whom};

#[derive(Clone)]
struct User {
    store: Arc<dyn Store>,
    key: UserKey,
    advice: &'static str,
}

/// `None`: the store has no user index.
fn user(under_test: &StoreUnderTest, advice: &'static str) -> Option<User> {
    under_test.store.user_index()?;
    Some(User {
        store: Arc::clone(&under_test.store),
        key: UserKey::new("conformance", format!("\"{}\"", session()).as_bytes()),
        advice,
    })
}

fn session() -> SessionId {
    Token::generate().expect("randomness").id()
}

const NO_LIMIT: Option<Limit> = None;

fn sorted(mut ids: Vec<SessionId>) -> Vec<SessionId> {
    ids.sort_unstable();
    ids
}

impl User {
    fn index(&self) -> &dyn UserIndex {
        self.store.user_index().expect("it was there")
    }

    async fn restarted(self, under_test: &StoreUnderTest) -> Option<Self> {
        let store = under_test.reopened().await?;
        Some(Self { store, ..self })
    }

    fn present(&self) -> Mark {
        self.index().present()
    }

    fn soon(&self) -> Timestamp {
        self.store.now().plus(LONG)
    }

    async fn step(&self, what: What) -> Stepped {
        self.step_until(what, self.soon()).await
    }

    async fn step_until(&self, what: What, not_after: Timestamp) -> Stepped {
        let step = Step::new(what, not_after);
        match self.index().step(self.key, &step).await {
            Ok(stepped) => stepped,
            Err(error) => panic!(
                "{}\n\nSeen: a step answered an error: {error}\n",
                self.advice
            ),
        }
    }

    fn login(&self, id: SessionId, began_at: Mark, limit: Option<Limit>) -> What {
        What::Admit {
            id,
            remove_at: self.soon(),
            label: "a label".into(),
            began_at,
            limit,
        }
    }

    /// Logs in, in a request that begins now.
    async fn enters(&self, id: SessionId) {
        let entered = self.step(self.login(id, self.present(), NO_LIMIT)).await;
        self.require(&entered, &Stepped::Done(Vec::new()), "a login");
    }

    async fn ended(&self, whom: Whom, doomed: Vec<SessionId>) {
        match self.step(What::Doom(whom)).await {
            Stepped::Doomed(ids, _) => {
                let (ids, doomed) = (sorted(ids), sorted(doomed));
                self.require(&ids, &doomed, "what is to end");
            }
            other => self.require(&Some(other), &None, "an end"),
        }
    }

    async fn list(&self) -> Vec<(SessionId, Member)> {
        match self.step(What::List).await {
            Stepped::Listed(members) => members,
            other => {
                self.require(&Some(other), &None, "a list");
                Vec::new()
            }
        }
    }

    async fn has(&self, ids: &[SessionId]) {
        let listed: Vec<_> = self.list().await.into_iter().map(|(id, _)| id).collect();
        self.require(&sorted(listed), &sorted(ids.to_vec()), "the list");
    }

    #[track_caller]
    fn require<V: PartialEq + std::fmt::Debug>(&self, seen: &V, wanted: &V, what: impl Display) {
        assert!(
            seen == wanted,
            "{}\n\nSeen: {what} should be {wanted:?}, and is {seen:?}\n",
            self.advice
        );
    }
}

const STEPS: &str = "a step of the user index must do what Step::apply_to does, on this user's roster, \
                     and keep the result";

/// A device page shows all of the user's sessions, with the application's labels, and no others.
pub async fn who_is_let_in_is_listed_until_forgotten(store: &StoreUnderTest) {
    let Some(alice) = user(store, STEPS) else {
        return;
    };
    let (one, other) = (session(), session());
    alice.has(&[]).await;
    alice.enters(one).await;
    alice.enters(other).await;
    alice.enters(one).await;
    alice.has(&[one, other]).await;
    for (_, member) in alice.list().await {
        alice.require(&member.label, &"a label".to_owned(), "its label");
        alice.require(&member.is_doomed, &false, "whether it is to end");
    }
    alice.step(What::Forget(vec![one])).await;
    alice.step(What::Forget(vec![one, session()])).await;
    alice.has(&[other]).await;
    alice.step(What::Forget(vec![other])).await;
    alice.has(&[]).await;
}

/// Nobody ends another user's session, nor one of another type.
pub async fn users_share_no_sessions(store: &StoreUnderTest) {
    let (Some(alice), Some(bob)) = (user(store, STEPS), user(store, STEPS)) else {
        return;
    };
    let of_another_type = User {
        key: UserKey {
            name: "conformance-of-others",
            ..alice.key
        },
        ..alice.clone()
    };
    let (hers, his) = (session(), session());
    alice.enters(hers).await;
    bob.enters(his).await;
    bob.ended(Whom::One(hers), Vec::new()).await;
    bob.ended(Whom::All, vec![his]).await;
    of_another_type.ended(Whom::All, Vec::new()).await;
    alice.has(&[hers]).await;
    alice.enters(session()).await;
}

/// "Log out everywhere" also refuses a login whose password was checked before.
pub async fn after_an_end_of_all_nobody_enters_who_began_before(store: &StoreUnderTest) {
    let advice = "after a Doom of all, or of all but one, an Admit must answer Ended if its began_at is \
                  not later, and be done otherwise; present must be after each answered step, and \
                  never ahead of the next one";
    let Some(alice) = user(store, advice) else {
        return;
    };
    for whom in [Whom::All, Whom::AllBut(session())] {
        let began_before = alice.present();
        // A clock of whole milliseconds shows the same one for a while.
        store.pass(Duration::from_millis(2)).await;
        alice.ended(whom, Vec::new()).await;
        store.pass(Duration::from_millis(2)).await;
        let late = alice
            .step(alice.login(session(), began_before, NO_LIMIT))
            .await;
        alice.require(&late, &Stepped::Ended, "a login that began before");
        let began_after = alice.present();
        let id = session();
        let entered = alice.step(alice.login(id, began_after, NO_LIMIT)).await;
        alice.require(
            &entered,
            &Stepped::Done(Vec::new()),
            "a login that began after",
        );
        alice.step(What::Forget(vec![id])).await;
    }
}

/// Even if its caller crashes, later answers name it again, and it is neither let in nor extended.
pub async fn what_is_doomed_stays_doomed(store: &StoreUnderTest) {
    let Some(alice) = user(store, STEPS) else {
        return;
    };
    let [one, two, three] = [session(), session(), session()];
    for id in [one, two, three] {
        alice.enters(id).await;
    }
    alice.ended(Whom::One(one), vec![one]).await;
    let renewal = |id| What::Renew {
        id,
        remove_at: alice.soon(),
    };
    let began_at = alice.present();
    let again = alice.step(alice.login(one, began_at, NO_LIMIT)).await;
    alice.require(&again, &Stepped::Unknown, "a login to what is to end");
    let renewed = alice.step(renewal(one)).await;
    alice.require(
        &renewed,
        &Stepped::Unknown,
        "an extension of what is to end",
    );
    let renewed = alice.step(renewal(session())).await;
    alice.require(
        &renewed,
        &Stepped::Unknown,
        "an extension of what is unknown",
    );
    let renewed = alice.step(renewal(two)).await;
    alice.require(&renewed, &Stepped::Done(Vec::new()), "an extension");
    let told = alice.step(alice.login(session(), began_at, NO_LIMIT)).await;
    alice.require(&told, &Stepped::Done(vec![one]), "the next login");
    alice.step(What::Forget(vec![one])).await;
    alice.ended(Whom::One(session()), Vec::new()).await;
    let others = alice.list().await.into_iter().map(|(id, _)| id);
    let others = others.filter(|id| *id != three).collect();
    alice.ended(Whom::AllBut(three), others).await;
}

/// The oldest session makes room, or the newest is refused. Logging in to the same session again does not add
/// one.
pub async fn no_more_enter_than_are_allowed(store: &StoreUnderTest) {
    let Some(alice) = user(store, STEPS) else {
        return;
    };
    let [one, two, three] = [session(), session(), session()];
    let limit = |when_full| Some(Limit::new(2, when_full));
    let (oldest, refuse) = (limit(WhenFull::EndOldest), limit(WhenFull::Refuse));
    for id in [one, two, one] {
        let entered = alice.step(alice.login(id, alice.present(), refuse)).await;
        alice.require(
            &entered,
            &Stepped::Done(Vec::new()),
            "a login within the limit",
        );
        store.pass(Duration::from_millis(2)).await;
    }
    let full = alice
        .step(alice.login(three, alice.present(), refuse))
        .await;
    alice.require(&full, &Stepped::Full, "one login too many");
    alice.has(&[one, two]).await;
    // The first one logged in again after the second one.
    let entered = alice
        .step(alice.login(three, alice.present(), oldest))
        .await;
    alice.require(&entered, &Stepped::Done(vec![two]), "what makes room");
    let entered = alice
        .step(alice.login(three, alice.present(), refuse))
        .await;
    alice.require(&entered, &Stepped::Done(vec![two]), "what still is to end");
}

/// Checking first and writing later is not enough.
pub async fn of_concurrent_logins_no_more_enter_than_are_allowed(store: &StoreUnderTest) {
    let advice = "a step of the user index must be atomic: make Step::apply_to one step with the read \
                  and the write of the roster";
    let Some(alice) = user(store, advice) else {
        return;
    };
    let limit = Some(Limit::new(3, WhenFull::Refuse));
    let entered = at_once(16, |_| {
        let alice = alice.clone();
        async move {
            let login = alice.login(session(), alice.present(), limit);
            alice.step(login).await == Stepped::Done(Vec::new())
        }
    })
    .await;
    let count = entered.into_iter().filter(|entered| *entered).count();
    alice.require(&count, &3, "the number of those who entered");
    let listed = alice.list().await.len();
    alice.require(&listed, &3, "the number of those who are listed");
}

/// If a store forgets it earlier, the session is out of reach.
pub async fn a_session_is_listed_for_as_long_as_it_may_live(store: &StoreUnderTest) {
    const SHORT: Duration = Duration::from_millis(1500);
    let Some(alice) = user(store, STEPS) else {
        return;
    };
    let [brief, renewed, long] = [session(), session(), session()];
    for id in [brief, renewed] {
        let What::Admit {
            label,
            began_at,
            limit,
            ..
        } = alice.login(id, alice.present(), NO_LIMIT)
        else {
            unreachable!("a login")
        };
        let remove_at = alice.store.now().plus(SHORT);
        let login = What::Admit {
            id,
            remove_at,
            label,
            began_at,
            limit,
        };
        alice.step(login).await;
    }
    alice.enters(long).await;
    // Longer, and then not shorter.
    for remove_at in [alice.soon(), alice.store.now()] {
        let id = renewed;
        alice.step(What::Renew { id, remove_at }).await;
    }
    alice.has(&[brief, renewed, long]).await;
    store.pass(SHORT + Duration::from_millis(200)).await;
    alice.has(&[renewed, long]).await;
}

/// Otherwise, a delayed step ends sessions that logged in since.
pub async fn a_late_step_does_nothing(store: &StoreUnderTest) {
    let advice = "a step must answer Late, with the store's time, and do nothing, if the store gets to \
                  it after not_after";
    let Some(alice) = user(store, advice) else {
        return;
    };
    let id = session();
    alice.enters(id).await;
    let past = Timestamp::default();
    for what in [
        What::Doom(Whom::All),
        What::Forget(vec![id]),
        alice.login(session(), alice.present(), NO_LIMIT),
    ] {
        let late = alice.step_until(what, past).await;
        let is_late = matches!(late, Stepped::Late(at) if at > past);
        alice.require(&is_late, &true, format_args!("whether {late:?} is late"));
    }
    alice.has(&[id]).await;
    alice.enters(session()).await;
}

/// Otherwise, a session is in no list, and a login whose password was checked before an end of all gets in.
pub async fn a_user_index_outlives_a_restart(store: &StoreUnderTest) {
    let Some(alice) = user(store, restart::ADVICE) else {
        return;
    };
    let [one, other] = [session(), session()];
    let began_before = alice.present();
    store.pass(Duration::from_millis(2)).await;
    alice.ended(Whom::All, Vec::new()).await;
    store.pass(Duration::from_millis(2)).await;
    alice.enters(one).await;
    alice.enters(other).await;
    alice.ended(Whom::One(one), vec![one]).await;
    let Some(alice) = alice.restarted(store).await else {
        return;
    };
    alice.has(&[one, other]).await;
    let late = alice
        .step(alice.login(session(), began_before, NO_LIMIT))
        .await;
    alice.require(&late, &Stepped::Ended, "a login that began before the end");
    let login = alice.login(session(), alice.present(), NO_LIMIT);
    let told = alice.step(login).await;
    alice.require(
        &told,
        &Stepped::Done(vec![one]),
        "a login after the restart",
    );
}

/// If marks start again, users whose sessions were ended cannot log in for a day.
pub async fn marks_go_on_after_a_restart(store: &StoreUnderTest) {
    let advice = "present must not go back over a restart: store the mark with the rosters, or make it from \
                  a clock";
    let Some(alice) = user(store, advice) else {
        return;
    };
    // Marks that count steps are far from zero.
    for _ in 0..MANY {
        alice.list().await;
    }
    alice.ended(Whom::All, Vec::new()).await;
    store.pass(Duration::from_millis(2)).await;
    let before = alice.present();
    let Some(alice) = alice.restarted(store).await else {
        return;
    };
    let after = alice.present();
    assert!(
        after >= before,
        "{advice}\n\nSeen: present was {before:?} before the restart, and is {after:?} after it\n"
    );
    alice.enters(session()).await;
}
