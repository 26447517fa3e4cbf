//! A WebSocket that ends with its session.

use std::time::Duration;

use rocket::futures::{SinkExt as _, StreamExt as _};
use rocket::tokio::select;
use rocket::tokio::time::interval;
use rocket::{Shutdown, get};
use rocket_typed_session::Session;
use rocket_ws::frame::{CloseCode, CloseFrame};
use rocket_ws::{Channel, Config, Message, WebSocket};

use crate::{Member, Visit};

/// Repeats what it hears.
///
/// `Visit::csrf()` keeps pages of other sites out. A socket may live for days, so this checks the session
/// once a second. That does not extend the session: a listener is logged out after half an hour, as without a
/// socket.
/// out after half an hour, as without a socket.
#[get("/talk")]
pub(crate) fn talk(member: Member, socket: WebSocket, mut end: Shutdown) -> Channel<'static> {
    let name = member.clone();
    let mut visit = member.into_session();
    let limits = Config {
        max_message_size: Some(4096),
        ..Config::default()
    };
    socket.config(limits).channel(move |mut socket| {
        Box::pin(async move {
            let mut seconds = interval(Duration::from_secs(1));
            loop {
                select! {
                    heard = socket.next() => match heard {
                        Some(Ok(Message::Text(text))) => {
                            if !is_open(&mut visit).await {
                                break;
                            }
                            socket.send(Message::Text(format!("{name}: {text}"))).await?;
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        _ => return Ok(()), // The browser has gone, or says what it should not.
                    },
                    _ = seconds.tick() => {
                        if !is_open(&mut visit).await {
                            break;
                        }
                    }
                    () = &mut end => return Ok(()),
                }
            }
            let goodbye = CloseFrame {
                code: CloseCode::Policy,
                reason: "the session is over".into(),
            };
            socket.close(Some(goodbye)).await
        })
    })
}

/// Whether the session has not ended. In an outage that is unknown, and the socket stays open.
async fn is_open(visit: &mut Session<Visit>) -> bool {
    match visit.reload().await {
        Ok(()) => visit.user.is_some(),
        Err(error) => !error.is_gone(),
    }
}
