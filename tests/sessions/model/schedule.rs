//! Runs several futures in an order that was chosen before: each step takes one of them to the next
//! point where another one may come in between.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

/// Where one future waits for its turn, before and after each call to the store.
#[derive(Debug, Default)]
pub(crate) struct Turnstile(AtomicBool);

impl Turnstile {
    pub(crate) async fn pass(&self) {
        self.0.store(true, Ordering::Relaxed);
        let mut waited = false;
        poll_fn(|_| match waited {
            false => {
                waited = true;
                Poll::Pending
            }
            true => Poll::Ready(()),
        })
        .await;
        self.0.store(false, Ordering::Relaxed);
    }

    fn is_waited_at(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A future, and the turnstile at which it waits.
pub(crate) struct Actor<'a> {
    turnstile: Arc<Turnstile>,
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
    is_done: bool,
}

impl<'a> Actor<'a> {
    pub(crate) fn new(turnstile: Arc<Turnstile>, future: impl Future<Output = ()> + 'a) -> Self {
        Self {
            turnstile,
            future: Box::pin(future),
            is_done: false,
        }
    }

    /// Goes on to its next turnstile, or to its end. What it waits for in between, such as a server's
    /// answer, is waited for.
    async fn step(&mut self) {
        poll_fn(|context| match self.future.as_mut().poll(context) {
            Poll::Ready(()) => {
                self.is_done = true;
                Poll::Ready(())
            }
            Poll::Pending if self.turnstile.is_waited_at() => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        })
        .await;
    }
}

/// Takes the actors to their ends: first in this order, then in turn.
pub(crate) async fn run(mut actors: Vec<Actor<'_>>, order: &[usize]) {
    let count = actors.len();
    let rest = (0..count).cycle();
    for next in order.iter().map(|next| next % count).chain(rest) {
        if actors.iter().all(|actor| actor.is_done) {
            return;
        }
        if !actors[next].is_done {
            actors[next].step().await;
        }
    }
}
