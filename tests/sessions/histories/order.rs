//! What calls do to a session one after the other.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call {
    Add(i64),
    Create(u8),
    /// Ends whatever is there.
    Delete,
    /// Ends the login that all calls know.
    End,
    /// An update that comes too late.
    Late,
    Load,
    LogIn,
    Rotate,
    Set(u8),
    /// Sets the field if it is unchanged since the beginning.
    SetIfNew(u8),
    Take,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    Conflict,
    Done,
    Gone,
    Late,
    /// Of another login.
    Other,
    Overflow,
    Value(Option<String>),
    View(View),
}

/// Whether the calls' token opens the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opens {
    OtherLogin,
    /// Rotated since.
    SameLogin,
    Yes,
}

/// Whether the calls' token opens the session, and its fields. `None`: no session.
pub(crate) type View = Option<(Opens, BTreeMap<String, String>)>;

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) call: Call,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) answer: Answer,
}

fn apply(state: &mut View, call: Call) -> Answer {
    if let Call::Load = call {
        return Answer::View(state.clone());
    }
    if let Call::Create(value) = call {
        if state.is_some() {
            return Answer::Gone;
        }
        *state = Some((
            Opens::OtherLogin,
            BTreeMap::from([("o".into(), value.to_string())]),
        ));
        return Answer::Done;
    }
    if let Call::Delete = call {
        *state = None;
        return Answer::Done;
    }
    if let Call::End = call {
        if let Some((Opens::OtherLogin, _)) = state {
            return Answer::Other;
        }
        *state = None;
        return Answer::Done;
    }
    if let Call::Late = call {
        return Answer::Late;
    }
    let Some((opens @ Opens::Yes, fields)) = state else {
        return Answer::Gone;
    };
    match call {
        Call::Add(delta) => {
            let count = fields.get("c").map_or(0, |count| count.parse().unwrap()) + delta;
            if !(0..=9).contains(&count) {
                return Answer::Overflow;
            }
            fields.insert("c".into(), count.to_string());
            return Answer::Value(Some(count.to_string()));
        }
        Call::LogIn => *opens = Opens::OtherLogin,
        Call::Rotate => *opens = Opens::SameLogin,
        Call::SetIfNew(_) if fields.contains_key("s") => return Answer::Conflict,
        Call::Set(value) | Call::SetIfNew(value) => {
            fields.insert("s".into(), value.to_string());
        }
        Call::Take => return Answer::Value(fields.remove("o")),
        Call::Create(_) | Call::Delete | Call::End | Call::Late | Call::Load => {}
    }
    Answer::Done
}

/// Whether some order explains the answers and the end.
pub(crate) fn is_explained(start: &View, events: &[Event], end: &View) -> bool {
    if events.is_empty() {
        return start == end;
    }
    let is_first = |event: &Event| events.iter().all(|other| other.ended >= event.began);
    (0..events.len()).any(|index| {
        let mut state = start.clone();
        is_first(&events[index])
            && apply(&mut state, events[index].call) == events[index].answer
            && {
                let mut rest = events.to_vec();
                rest.remove(index);
                is_explained(&state, &rest, end)
            }
    })
}
