//! The user index: memory and the Redis script answer any sequence of steps alike.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use session_core::clock::Timestamp;
use session_core::store::memory::MemoryStore;
use session_core::store::{Store, UserIndex};
use session_core::token::{SessionId, Token};
use session_core::users::{Limit, Mark, Step, Stepped, UserKey, What, WhenFull, Whom};

use crate::conformance::redis_store;

const HOUR: Duration = Duration::from_secs(3600);

/// A step, with sessions and points in time by number.
#[derive(Clone, Debug)]
enum Asked {
    Admit {
        session: usize,
        began: usize,
        limit: Option<Limit>,
        hours: u32,
        label: String,
    },
    Doom(u8, usize),
    Forget(Vec<usize>),
    List,
    Renew(usize, u32),
    Late(usize),
}

fn asked() -> impl Strategy<Value = Asked> {
    let session = || 0..6_usize;
    let limit = proptest::option::of((1..4_usize, any::<bool>())).prop_map(|limit| {
        limit.map(|(max, refuses)| {
            let when_full = match refuses {
                true => WhenFull::Refuse,
                false => WhenFull::EndOldest,
            };
            Limit::new(max, when_full)
        })
    });
    let admit = (session(), 0..40_usize, limit, 0..5_u32, ".{0,8}");
    let admit = admit.prop_map(|(session, began, limit, hours, label)| Asked::Admit {
        session,
        began,
        limit,
        hours,
        label,
    });
    prop_oneof![
        6 => admit,
        1 => (0..3_u8, session()).prop_map(|(whom, session)| Asked::Doom(whom, session)),
        2 => proptest::collection::vec(session(), 0..3).prop_map(Asked::Forget),
        3 => Just(Asked::List),
        2 => (session(), 0..5_u32).prop_map(|(session, hours)| Asked::Renew(session, hours)),
        1 => session().prop_map(Asked::Late),
    ]
}

struct Asking<'s> {
    index: &'s dyn UserIndex,
    user: UserKey,
    marks: Vec<Mark>,
}

impl Asking<'_> {
    async fn ask(&mut self, asked: &Asked, sessions: &[SessionId], start: Timestamp) -> String {
        self.marks.push(self.index.present());
        let mut not_after = Timestamp::from_millis(u64::from(u32::MAX) * 1_000);
        let what = match asked {
            Asked::Admit {
                session,
                began,
                limit,
                hours,
                label,
            } => What::Admit {
                id: sessions[*session],
                remove_at: start.plus(HOUR * *hours),
                label: label.clone(),
                began_at: self.marks[began % self.marks.len()],
                limit: *limit,
            },
            Asked::Doom(0, _) => What::Doom(Whom::All),
            Asked::Doom(1, session) => What::Doom(Whom::AllBut(sessions[*session])),
            Asked::Doom(_, session) => What::Doom(Whom::One(sessions[*session])),
            Asked::Forget(forgotten) => {
                What::Forget(forgotten.iter().map(|session| sessions[*session]).collect())
            }
            Asked::List => What::List,
            Asked::Renew(session, hours) => What::Renew {
                id: sessions[*session],
                remove_at: start.plus(HOUR * *hours),
            },
            Asked::Late(session) => {
                not_after = Timestamp::default();
                What::Forget(vec![sessions[*session]])
            }
        };
        let stepped = self
            .index
            .step(self.user, &Step::new(what, not_after))
            .await;
        match stepped.unwrap() {
            // Each store has its own time.
            Stepped::Late(_) => "late".into(),
            Stepped::Doomed(ids, _) => format!("doomed {ids:?}"),
            Stepped::Listed(members) => {
                let members = members.iter().map(|(id, it)| {
                    format!("{id} {:?} {} {:?}", it.remove_at, it.is_doomed, it.label)
                });
                members.collect::<Vec<_>>().join(", ")
            }
            stepped => format!("{stepped:?}"),
        }
    }
}

#[test]
fn both_stores_know_the_same_of_a_user() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redis = runtime.block_on(redis_store());
    let memory = MemoryStore::new();
    let default = Config::default();
    let mut runner = TestRunner::new(Config {
        cases: if default.cases == 256 {
            40
        } else {
            default.cases
        },
        failure_persistence: None,
        ..default
    });
    let steps = proptest::collection::vec(asked(), 1..40);
    let checked = runner.run(&steps, |steps| {
        runtime.block_on(async {
            let sessions = (0..6).map(|_| Token::generate().unwrap().id());
            let sessions: Vec<SessionId> = sessions.collect();
            let name = sessions[0].to_string();
            let user = UserKey::new("rosters", format!("\"{name}\"").as_bytes());
            let mut asking = [memory.user_index(), redis.user_index()].map(|index| Asking {
                index: index.unwrap(),
                user,
                marks: Vec::new(),
            });
            let start = redis.now();
            for (number, step) in steps.iter().enumerate() {
                let mut answers = Vec::new();
                for asking in &mut asking {
                    answers.push(asking.ask(step, &sessions, start).await);
                }
                assert_eq!(answers[0], answers[1], "step {number}, {step:?}");
            }
        });
        Ok(())
    });
    checked.unwrap();
}
