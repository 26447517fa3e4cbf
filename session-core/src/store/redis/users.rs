//! The hash of each user's sessions.

use async_trait::async_trait;
use deadpool_redis::redis::{Cmd, FromRedisValue as _, Value};

use super::servers::Skew;
use super::{RedisStore, error};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::store::{Store as _, UserIndex};
use crate::token::SessionId;
use crate::users::{ENDED_FOR, Mark, Member, Step, Stepped, UserKey, What, WhenFull, Whom};

#[async_trait]
impl UserIndex for RedisStore {
    fn present(&self) -> Mark {
        self.servers.present()
    }

    async fn step(&self, user: UserKey, step: &Step) -> Result<Stepped, Error> {
        let key = format!("{}{user}", self.prefix);
        let script = |skew: Skew| {
            let mut call = self.users.on(&key);
            call.command.arg(skew.there(step.not_after).as_millis());
            write_step(&mut call.command, &step.what, skew);
            call
        };
        let changed = self.change(&key, None, &script).await?;
        let (mut words, skew) = (changed.words, changed.skew);
        match changed.answer {
            0 => Ok(Stepped::Done(ids(words)?)),
            1 => Ok(Stepped::Ended),
            2 => Ok(Stepped::Full),
            3 => Ok(Stepped::Unknown),
            4 => Ok(Stepped::Late(self.now())),
            5 => Ok(Stepped::Listed(members(words, skew)?)),
            6 => match words.next() {
                Some(Value::Int(ended_at)) => {
                    let ended_at = Mark::new(u64::try_from(ended_at).unwrap_or_default());
                    Ok(Stepped::Doomed(ids(words)?, skew.mark_here(ended_at)))
                }
                _ => Err(error::unexpected()),
            },
            _ => Err(error::unexpected()),
        }
    }
}

/// Writes the arguments of `users.lua`.
fn write_step(call: &mut Cmd, what: &What, skew: Skew) {
    match what {
        What::Admit {
            id,
            remove_at,
            label,
            began_at,
            limit,
        } => {
            call.arg("a").arg(id.to_string());
            call.arg(skew.there(*remove_at).as_millis()).arg(label);
            call.arg(skew.mark_there(*began_at).number());
            call.arg(limit.map_or(0, |limit| limit.max));
            let refuses = limit.is_some_and(|limit| limit.when_full == WhenFull::Refuse);
            call.arg(u8::from(refuses));
        }
        What::Doom(whom) => {
            let (word, id) = match whom {
                Whom::All => ("*", String::new()),
                Whom::AllBut(id) => ("-", id.to_string()),
                Whom::One(id) => ("=", id.to_string()),
            };
            let until = u64::try_from(ENDED_FOR.as_millis()).unwrap_or(u64::MAX);
            call.arg("d").arg(word).arg(id).arg(until);
        }
        What::Forget(ids) => {
            call.arg("f");
            for id in ids {
                call.arg(id.to_string());
            }
        }
        What::List => {
            call.arg("l");
        }
        What::Renew { id, remove_at } => {
            let remove_at = skew.there(*remove_at).as_millis();
            call.arg("r").arg(id.to_string()).arg(remove_at);
        }
    }
}

/// In a roster's order.
fn ids(words: impl Iterator<Item = Value>) -> Result<Vec<SessionId>, Error> {
    let ids = words.map(|word| id(word).ok_or_else(error::unexpected));
    let mut ids: Vec<SessionId> = ids.collect::<Result<_, _>>()?;
    ids.sort_unstable();
    Ok(ids)
}

fn id(word: Value) -> Option<SessionId> {
    SessionId::parse(&String::from_redis_value(word).ok()?)
}

/// Pairs of an id and its text.
fn members(
    mut words: impl Iterator<Item = Value>,
    skew: Skew,
) -> Result<Vec<(SessionId, Member)>, Error> {
    let mut members = Vec::new();
    while let Some(word) = words.next() {
        let text = words.next().map(String::from_redis_value);
        let member = text
            .and_then(Result::ok)
            .and_then(|text| member(&text, skew));
        members.push(id(word).zip(member).ok_or_else(error::unexpected)?);
    }
    members.sort_unstable_by_key(|(id, _)| *id);
    Ok(members)
}

/// Reads "remove_at entered_at doomed label".
fn member(text: &str, skew: Skew) -> Option<Member> {
    let mut words = text.splitn(4, ' ');
    let mut number = || words.next()?.parse().ok();
    let (remove_at, entered_at) = (number()?, number()?);
    Some(Member {
        entered_at: skew.mark_here(Mark::new(entered_at)),
        remove_at: skew.here(Timestamp::from_millis(remove_at)),
        is_doomed: words.next()? == "1",
        label: words.next()?.to_owned(),
    })
}
