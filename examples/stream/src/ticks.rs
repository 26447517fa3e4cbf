//! Server-sent events: a stream that changes its session.

use std::time::Duration;

use rocket::response::stream::{Event, EventStream};
use rocket::tokio::select;
use rocket::tokio::time::interval;
use rocket::{Shutdown, get};

use crate::Member;

/// Counts the seconds, and stores each.
///
/// The stream runs after the head of the response has gone. So nothing is stored by itself any more:
/// `save` does it. And no cookie can be set: the stream can neither begin nor end a session, and the
/// guard `Member` makes sure that there is one.
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
                // With what other tabs have counted meanwhile.
                Ok(()) => yield Event::data(visit.ticks.to_string()),
                // Logged out, elsewhere. Without a word, the browser would connect again.
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
