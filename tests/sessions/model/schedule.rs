//! Runs several futures in an order that was chosen before: each step takes one of them to the next
//! point where another one may come in between.

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

/// What others see of an actor: whether it waits for its turn, and which request it is about.
#[derive(Debug, Default)]
pub(crate) struct Role {
    waits: AtomicBool,
    pub(crate) request: AtomicUsize,
}

/// The request that the present actor is about.
pub(crate) fn request() -> usize {
    ROLE.with(|role| role.request.load(Ordering::Relaxed))
}

/// Begins another request of the present actor.
pub(crate) fn begin_request(number: usize) {
    ROLE.with(|role| role.request.store(number, Ordering::Relaxed));
}

/// Waits for the present actor's next step, however often it is polled until then.
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

    /// Goes on to where it waits for its turn, or to its end. Where it waits for anything else, such
    /// as a deadline, others go on, unless `waits` says to wait for that: for a server's answer.
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

/// Takes the actors to their ends: first in this order, then in turn. One more than there are is
/// `other`. Where all wait for time to pass, it passes.
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
