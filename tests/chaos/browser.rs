//! A browser, perhaps shared by several tasks: it logs in, uses its session, and logs out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::app::Page;
use super::fleet::PROCESSES;
use super::ledger::{Sample, What};
use super::random::Random;
use super::support::http::{Jar, Request};
use super::tally::{Ended, Tally, Wrong};
use super::topology::shard_of;
use super::world::{Action, BUY, COUNT, LOGIN, LOGOUT, READ, World, page};

#[derive(Debug)]
pub(crate) struct Browser {
    pub(crate) world: World,
    pub(crate) user: String,
    /// How many tasks share it.
    pub(crate) tasks: usize,
    pub(crate) pause: Duration,
    pub(crate) random: Random,
}

/// A session from login to logout.
#[derive(Debug)]
struct Life {
    jar: Jar,
    shard: usize,
    user: String,
    until: Instant,
    state: Mutex<State>,
    is_gone: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct State {
    views: Tally,
    bought: Tally,
    /// When the tallies were last certain.
    since: Instant,
}

impl Browser {
    pub(crate) async fn run(mut self) {
        while !self.world.is_over() {
            self.live().await;
        }
    }

    async fn live(&mut self) {
        let world = self.world.clone();
        let Some(life) = self.log_in().await.map(Arc::new) else {
            return;
        };
        let tasks = (0..self.tasks).map(|_| {
            let (world, life) = (world.clone(), Arc::clone(&life));
            let (pause, random) = (self.pause, self.random.split());
            tokio::spawn(async move { life.use_it(&world, pause, random).await })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        // The others log out even during a fault.
        if self.random.below(2) == 0 || life.is_gone.load(Ordering::Relaxed) {
            life.settle(&world, &mut self.random).await;
        }
        self.log_out(&life.jar).await;
    }

    /// Logs in, sometimes in a session that already exists; the login must revoke that token.
    async fn log_in(&mut self) -> Option<Life> {
        let (world, random) = (&self.world, &mut self.random);
        let mut jar = Jar::default();
        if random.below(2) == 0 {
            let response = world
                .insist(COUNT, &Request::post("/count", &[]), random)
                .await;
            jar.keep(&response);
        }
        let before = jar.clone();
        let since = Instant::now();
        let login = Request::post(&format!("/login/{}", self.user), &[]).cookies(&jar);
        let response = world.insist(LOGIN, &login, random).await;
        jar.keep(&response);
        let login_at = Instant::now();
        if !before.is_empty() {
            world.graves.bury(before, since);
        }
        world.ledger.entries().counts.logins += 1;
        let read = Request::get("/read").cookies(&jar);
        let page = loop {
            let began = Instant::now();
            let page = page(&world.insist(READ, &read, random).await);
            if page.user.as_ref() == Some(&self.user) {
                break page;
            }
            if world.ledger.is_calm_since(began) {
                lost_session(world, since, &self.user);
                return None;
            }
            world.ledger.calm().await;
        };
        let (views, bought) = (Tally::at(page.views), Tally::at(page.bought));
        let state = State {
            views,
            bought,
            since,
        };
        Some(Life {
            jar,
            shard: page.id.as_deref().map(shard_of).unwrap_or_default(),
            user: self.user.clone(),
            until: login_at + Duration::from_millis(500 + random.below(4000)),
            state: Mutex::new(state),
            is_gone: AtomicBool::new(false),
        })
    }

    async fn log_out(&mut self, jar: &Jar) {
        let (world, random) = (&self.world, &mut self.random);
        let logout = Request::post("/logout", &[]).cookies(jar);
        let since = Instant::now();
        world.insist(LOGOUT, &logout, random).await;
        world.ledger.entries().counts.logouts += 1;
        world.graves.bury(jar.clone(), since);
        world.graves.probe(world, jar, since, random).await;
    }
}

impl Life {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn use_it(&self, world: &World, pause: Duration, mut random: Random) {
        while Instant::now() < self.until && !world.is_over() {
            if self.is_gone.load(Ordering::Relaxed) {
                return;
            }
            let action = match random.below(20) {
                0..9 => COUNT,
                9..13 => BUY,
                _ => READ,
            };
            self.request(world, action, &mut random).await;
            let micros = 2 * pause.as_micros() as u64;
            tokio::time::sleep(Duration::from_micros(random.below(micros))).await;
        }
    }

    /// Waits for calm, then checks what is left.
    async fn settle(&self, world: &World, random: &mut Random) {
        loop {
            world.ledger.calm().await;
            let began = Instant::now();
            let last = self.request(world, READ, random).await;
            if !world.ledger.is_calm_since(began) {
                continue;
            }
            match last {
                Some(true) => return,
                Some(false) => return lost_session(world, self.state().since, &self.user),
                None => {}
            }
        }
    }

    /// `Some(false)`: the session is gone. `None`: unknown.
    async fn request(&self, world: &World, action: Action, random: &mut Random) -> Option<bool> {
        let request = match action.name {
            "read" => Request::get("/read"),
            "count" => Request::post("/count", &[]),
            _ => Request::post("/buy", &[]),
        };
        let request = request.cookies(&self.jar);
        let (views, bought) = {
            let mut state = self.state();
            let views = state.views.begin(action.name == "count");
            (views, state.bought.begin(action.name == "buy"))
        };
        let process = random.below(PROCESSES as u64) as usize;
        let reply = world.send(action, &request, process).await;
        let status = reply.response.as_ref().map(|response| response.status);
        world.ledger.entries().samples.push(Sample {
            sent: reply.sent,
            took: reply.took,
            is_done: status == Some(200),
            shard: self.shard,
        });
        let seen = reply.response.filter(|response| response.status == 200);
        let seen = seen.as_ref().map(page);
        let is_ours = |page: &Page| page.user.as_ref() == Some(&self.user);
        let ended = match (status, &seen) {
            (_, Some(page)) if is_ours(page) => Ended::Acknowledged,
            // It was done in another session.
            (_, Some(_)) | (Some(409), _) => Ended::NotDone,
            (Some(_), None) => Ended::Unknown,
            (None, _) => Ended::Loose,
        };
        let is_calm = world.ledger.is_calm_since(reply.sent);
        let mut state = self.state();
        state.views.end(views, ended);
        state.bought.end(bought, ended);
        let page = seen?;
        if !is_ours(&page) {
            self.is_gone.store(true, Ordering::Relaxed);
            return Some(false);
        }
        if page.bought != page.paid {
            let text = format!("HALF DONE: bought {}, paid {}", page.bought, page.paid);
            world.ledger.find(What::Never, state.since, text);
        }
        let wrong = [
            state.views.see(views, page.views, is_calm),
            state.bought.see(bought, page.bought, is_calm),
        ];
        for (wrong, what) in wrong.into_iter().zip(["views", "bought"]) {
            match wrong {
                Some(Wrong::TooMany(by)) => {
                    let text = format!("DONE TWICE: {by} too many {what}");
                    world.ledger.find(What::Never, state.since, text);
                }
                Some(Wrong::Missing(_)) if !is_calm => world.ledger.entries().counts.old += 1,
                Some(Wrong::Missing(by)) => {
                    let text = format!("LOST: {by} {what} that were acknowledged");
                    world.ledger.find(What::Lost(by), state.since, text);
                    match what {
                        "views" => state.views.accept(page.views),
                        _ => state.bought.accept(page.bought),
                    }
                }
                None => {}
            }
        }
        if is_calm && [state.views, state.bought].iter().all(Tally::is_settled) {
            state.since = reply.sent;
        }
        Some(true)
    }
}

fn lost_session(world: &World, since: Instant, user: &str) {
    let text = format!("LOST SESSION: one of {user} that nobody ended");
    world.ledger.find(What::LostSession, since, text);
}
