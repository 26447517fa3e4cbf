//! The tokens that must open nothing: those of logged-out sessions, and those that a login replaced.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ledger::What;
use super::random::Random;
use super::support::http::Jar;
use super::world::World;

#[derive(Debug, Default)]
pub(crate) struct Graves(Mutex<Vec<Grave>>);

#[derive(Clone, Debug)]
struct Grave {
    jar: Jar,
    /// The start of the request that revoked it.
    since: Instant,
}

impl Graves {
    fn all(&self) -> MutexGuard<'_, Vec<Grave>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn bury(&self, jar: Jar, since: Instant) {
        self.all().push(Grave { jar, since });
    }

    /// Tries random tokens until the run is over.
    pub(crate) async fn roam(&self, world: &World, mut random: Random) {
        while !world.is_over.load(std::sync::atomic::Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let chosen = {
                let all = self.all();
                let number = random.below(all.len() as u64) as usize;
                all.get(number).cloned()
            };
            if let Some(Grave { jar, since }) = chosen {
                self.probe(world, &jar, since, &mut random).await;
            }
        }
    }

    pub(crate) async fn sweep(&self, world: &World, mut random: Random) {
        let all = self.all().clone();
        for Grave { jar, since } in all {
            self.probe(world, &jar, since, &mut random).await;
        }
    }

    pub(crate) async fn probe(
        &self,
        world: &World,
        jar: &Jar,
        since: Instant,
        random: &mut Random,
    ) {
        let began = Instant::now();
        let found = world.who(jar, random).await;
        world.ledger.entries().counts.probes += 1;
        let Some(user) = found else {
            return;
        };
        if !world.ledger.is_calm_since(began) {
            world.ledger.entries().counts.old += 1;
            return;
        }
        let mut all = self.all();
        let before = all.len();
        all.retain(|grave| grave.jar != *jar);
        // Report each session once.
        if all.len() < before {
            let text = format!("RESURRECTED: a session of {user} opens after its end");
            world.ledger.find(What::Resurrected, since, text);
        }
    }
}
