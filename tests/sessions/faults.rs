//! Store faults at the worst moment: a lost answer, or other requests in between.

use std::sync::Arc;

use rocket::local::asynchronous::Client;
use rocket::{get, post, routes};
use rocket_typed_session::store::MemoryStore;
use rocket_typed_session::{Session, session};
use session_core::testing::{Fault, FaultyStore, Moment, Verb};

#[session]
struct Visit {
    #[session(counter)]
    views: u64,
}

#[get("/")]
fn view(mut visit: Session<Visit>) -> String {
    visit.views += 1;
    visit.views.to_string()
}

#[get("/views")]
fn views(visit: Session<Visit>) -> String {
    visit.views.to_string()
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) {
    visit.destroy();
}

async fn client(store: &Arc<FaultyStore>) -> Client {
    let rocket = rocket::build()
        .attach(Visit::fairing().store(Arc::clone(store)))
        .mount("/", routes![view, views, logout]);
    Client::tracked(rocket).await.unwrap()
}

async fn text(client: &Client, path: &'static str) -> Option<String> {
    client.get(path).dispatch().await.into_string().await
}

fn store() -> Arc<FaultyStore> {
    Arc::new(FaultyStore::new(MemoryStore::new()))
}

#[tokio::test]
async fn a_view_whose_answer_was_lost_is_counted_once() {
    let store = store();
    let client = client(&store).await;
    text(&client, "/").await;
    store.on(Verb::Update, 1, Fault::Fail(Moment::After));
    client.get("/").dispatch().await;
    assert_eq!(text(&client, "/views").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_logout_between_load_and_commit_is_final() {
    let store = store();
    let client = client(&store).await;
    text(&client, "/").await;
    let pause = store.pause(Verb::Update, 1, Moment::Before);
    let (_, ()) = tokio::join!(client.get("/").dispatch(), async {
        pause.reached().await;
        client.post("/logout").dispatch().await;
        pause.resume();
    });
    let verbs: Vec<_> = store.calls().iter().map(|call| call.verb).collect();
    let end = [Verb::Load, Verb::Update, Verb::Load, Verb::Delete];
    assert_eq!(verbs[1..], end, "the update came before, and is done after");
    assert_eq!(text(&client, "/views").await.as_deref(), Some("0"));
}
