//! Runs futures in a given order: each step takes one to the next point where another may come in between.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::task::{unconstrained, yield_now};

tokio::task_local! {
    static ROLE: Arc<Role>;
}

#[derive(Debug, Default)]
pub(crate) struct Role {
    waits: AtomicBool,
    pub(crate) request: AtomicUsize,
}

/// The current actor's request.
pub(crate) fn request() -> usize {
    ROLE.with(|role| role.request.load(Ordering::Relaxed))
}

pub(crate) fn begin_request(number: usize) {
    ROLE.with(|role| role.request.store(number, Ordering::Relaxed));
}

/// Waits for the current actor's next step, however often it is polled.
pub(crate) async fn pass() {
    let role = ROLE.with(Arc::clone);
    role.waits.store(true, Ordering::Relaxed);
    poll_fn(|_| match role.waits.load(Ordering::Relaxed) {
        true => Poll::Pending,
        false => Poll::Ready(()),
    })
    .await;
}

pub(crate) struct Actor<'a> {
    role: Arc<Role>,
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
    is_done: bool,
}

impl<'a> Actor<'a> {
    pub(crate) fn new(future: impl Future<Output = ()> + 'a) -> Self {
        let role = Arc::new(Role::default());
        Self {
            future: Box::pin(unconstrained(ROLE.scope(Arc::clone(&role), future))),
            role,
            is_done: false,
        }
    }

    /// Runs to its next `pass` or to its end. While it waits for anything else, such as a deadline, others go
    /// on; with `waits`, they do not.
    async fn step(&mut self, waits: bool) -> bool {
        self.role.waits.store(false, Ordering::Relaxed);
        poll_fn(|context| match self.future.as_mut().poll(context) {
            Poll::Ready(()) => {
                self.is_done = true;
                Poll::Ready(true)
            }
            Poll::Pending if self.role.waits.load(Ordering::Relaxed) => Poll::Ready(true),
            Poll::Pending if waits => Poll::Pending,
            Poll::Pending => Poll::Ready(false),
        })
        .await
    }
}

/// Runs the actors to their ends: first in `order`, then in turn. The number after the last actor is `other`.
/// If all wait for time to pass, it passes.
pub(crate) async fn run(
    mut actors: Vec<Actor<'_>>,
    order: &[usize],
    waits: bool,
    other: impl AsyncFn(),
) {
    let count = actors.len();
    let rest = (0..count).cycle();
    let order = order.iter().map(|next| next % (count + 1));
    let mut idle = 0;
    for next in order.chain(rest) {
        if actors.iter().all(|actor| actor.is_done) {
            return;
        }
        match actors.get_mut(next) {
            Some(actor) if actor.is_done => {}
            Some(actor) => match actor.step(waits).await {
                true => idle = 0,
                false => idle += 1,
            },
            None => other().await,
        }
        yield_now().await;
        if idle > 2 * count {
            tokio::time::advance(Duration::from_millis(5)).await;
            idle = 0;
        }
    }
}
