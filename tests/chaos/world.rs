use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::app::{Page, TIMEOUT};
use super::fleet::{Fleet, PROCESSES, Reply};
use super::graves::Graves;
use super::ledger::{Ledger, What};
use super::random::Random;
use super::support::http::{Jar, Request, Response};

/// The library waits this long beyond the deadline of a load or a commit for an answer.
const ANSWER: Duration = Duration::from_millis(100);

/// How much longer a request may take on a busy machine.
pub(crate) const SLACK: Duration = Duration::from_millis(700);

/// How long [`World::insist`] retries.
const FOREVER: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) graves: Arc<Graves>,
    pub(crate) is_over: Arc<AtomicBool>,
}

/// A kind of request, and the most loads and commits that it makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Action {
    pub(crate) name: &'static str,
    steps: u32,
}

pub(crate) const READ: Action = Action::new("read", 1);
pub(crate) const COUNT: Action = Action::new("count", 2);
/// Loads the session twice, then commits.
pub(crate) const BUY: Action = Action::new("buy", 3);
pub(crate) const LOGIN: Action = Action::new("login", 2);
pub(crate) const LOGOUT: Action = Action::new("logout", 2);

impl Action {
    const fn new(name: &'static str, steps: u32) -> Self {
        Self { name, steps }
    }
}

impl World {
    pub(crate) async fn send(&self, action: Action, request: &Request, process: usize) -> Reply {
        let reply = self.fleet.send(process, request).await;
        let status = reply.response.as_ref().map(|response| response.status);
        let held_up = self.held_up(reply.sent);
        let bound = (TIMEOUT + ANSWER) * action.steps + SLACK + held_up;
        let mut entries = self.ledger.entries();
        let slowest = entries.slowest.entry(action.name).or_default();
        *slowest = reply.took.max(*slowest);
        entries.counts.requests += 1;
        match status {
            Some(200) => entries.counts.acknowledged += 1,
            Some(503) => entries.counts.refused += 1,
            Some(409) => entries.counts.conflicts += 1,
            None => entries.counts.cut += 1,
            Some(_) => {}
        }
        drop(entries);
        if !matches!(status, Some(200 | 503 | 409) | None) {
            let text = format!("ANSWERED {status:?}: a {}", action.name);
            self.ledger.find(What::Never, reply.sent, text);
        }
        if reply.took > bound {
            let (took, name) = (reply.took, action.name);
            let text = format!("TOO LONG: a {name} took {took:.1?}, and {bound:.1?} is the bound");
            self.ledger.find(What::Never, reply.sent, text);
        }
        reply
    }

    /// How long this process was delayed since then.
    fn held_up(&self, since: Instant) -> Duration {
        let entries = self.ledger.entries();
        let held_up = entries.held_up.iter().rev();
        let held_up = held_up.take_while(|(at, _)| *at >= since);
        held_up.map(|(_, by)| *by).sum()
    }

    /// Retries until the answer is 200.
    pub(crate) async fn insist(
        &self,
        action: Action,
        request: &Request,
        random: &mut Random,
    ) -> Response {
        let began = Instant::now();
        while began.elapsed() < FOREVER {
            let process = random.below(PROCESSES as u64) as usize;
            let reply = self.send(action, request, process).await;
            match reply.response {
                Some(response) if response.status == 200 => return response,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        panic!("no {} was answered 200 in {FOREVER:?}", action.name);
    }

    pub(crate) async fn who(&self, jar: &Jar, random: &mut Random) -> Option<String> {
        let request = Request::get("/read").cookies(jar);
        page(&self.insist(READ, &request, random).await).user
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

pub(crate) fn page(response: &Response) -> Page {
    serde_json::from_slice(&response.body).unwrap()
}
