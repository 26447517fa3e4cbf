//! Error pages. They name the user, if the session can be read.

use minijinja::context;
use rocket::http::Status;
use rocket::{Catcher, Request, catch, catchers};

use crate::failure::Failure;
use crate::page::{Html, Page, render};

pub(crate) fn catchers() -> Vec<Catcher> {
    catchers![any]
}

#[catch(default)]
async fn any(status: Status, request: &Request<'_>) -> Result<(Status, Html), Failure> {
    let reason = match status.code {
        403 => "You may not do this.",
        404 => "There is no such page.",
        409 => "Something else happened at the same time. Please try again.",
        422 => "The form was not filled in as we expected.",
        503 => "We cannot reach our notes for a moment. Please try again soon.",
        _ => "Something went wrong.",
    };
    let content = context! { title => status.reason(), reason };
    let page = match request.guard::<Page>().await.succeeded() {
        Some(page) => page.show("error.html", content).await?,
        None => render("error.html", content)?,
    };
    Ok((status, page))
}
