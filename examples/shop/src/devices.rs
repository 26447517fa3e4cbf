use minijinja::context;
use minijinja::value::Serde;
use rocket::response::Redirect;
use rocket::{Route, get, post, routes};
use rocket_typed_session::{SessionId, Sessions};

use crate::failure::Failure;
use crate::page::{Html, Page};
use crate::visit::{Member, Visit};

pub(crate) fn routes() -> Vec<Route> {
    routes![show, end, everywhere]
}

#[get("/")]
async fn show(member: Member, page: Page, sessions: Sessions<Visit>) -> Result<Html, Failure> {
    let devices = sessions.of(member.clone()).list().await?;
    page.show("devices.html", context! { devices => Serde(devices) })
        .await
}

/// Ends only this user's sessions.
#[post("/<id>/end")]
async fn end(
    id: SessionId,
    member: Member,
    sessions: Sessions<Visit>,
) -> Result<Redirect, Failure> {
    sessions.of(member.clone()).end(id).await?;
    Ok(Redirect::to("/devices"))
}

#[post("/everywhere")]
async fn everywhere(member: Member, sessions: Sessions<Visit>) -> Result<Redirect, Failure> {
    sessions.of(member.clone()).end_all().await?;
    Ok(Redirect::to("/login"))
}
