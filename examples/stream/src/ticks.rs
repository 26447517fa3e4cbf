//! Server-sent events that change the session.

use std::time::Duration;

use rocket::response::stream::{Event, EventStream};
use rocket::tokio::select;
use rocket::tokio::time::interval;
use rocket::{Shutdown, get};

use crate::Member;

/// Counts the seconds, and stores each.
///
/// The head of the response has been sent, so only `save` stores changes, and no cookie can be set: the
/// stream cannot begin or end a session. The guard `Member` ensures that there is one.
#[get("/ticks")]
pub(crate) fn ticks(member: Member, mut end: Shutdown) -> EventStream![] {
    let mut visit = member.into_session();
    EventStream! {
        let mut seconds = interval(Duration::from_secs(1));
        loop {
            select! {
                _ = seconds.tick() => {}
                () = &mut end => break,
            }
            visit.ticks += 1;
            match visit.save().await {
                // Includes the other tabs' ticks.
                Ok(()) => yield Event::data(visit.ticks.to_string()),
                // Logged out. Without this event, the browser would reconnect.
                Err(error) if error.is_gone() => {
                    yield Event::empty().event("over");
                    break;
                }
                // An outage. The next second stores this one too.
                Err(_) => yield Event::comment("not stored"),
            }
        }
    }
}
