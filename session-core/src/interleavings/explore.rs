//! Explores a world breadth first, so the trace to a broken claim is as short as possible.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

pub(super) trait World {
    type State: Clone + Eq + Hash;
    type Step: Copy + fmt::Debug;

    fn start(&self) -> Self::State;

    fn steps(&self, state: &Self::State) -> Vec<Self::Step>;

    /// An error is the claim that the step breaks.
    fn take(&self, state: &mut Self::State, step: Self::Step) -> Result<(), Claim>;
}

pub(super) type Claim = &'static str;

pub(super) struct Explored<S> {
    pub(super) states: usize,
    /// The first broken claim, and the shortest way to it.
    pub(super) broken: Option<(Claim, Vec<S>)>,
}

pub(super) fn explore<W: World>(world: &W) -> Explored<W::Step> {
    let start = world.start();
    let mut known: HashSet<W::State, BuildHasherDefault<Mix>> = HashSet::default();
    // The previous state and the step that first reached each state.
    let mut reached_by: Vec<Option<(usize, W::Step)>> = vec![None];
    let mut queue = VecDeque::from([(0, start.clone())]);
    known.insert(start);
    while let Some((from, state)) = queue.pop_front() {
        for step in world.steps(&state) {
            let mut after = state.clone();
            match world.take(&mut after, step) {
                Ok(()) => {
                    if !known.contains(&after) {
                        queue.push_back((reached_by.len(), after.clone()));
                        reached_by.push(Some((from, step)));
                        known.insert(after);
                    }
                }
                Err(claim) => {
                    let mut trace = vec![step];
                    let mut at = from;
                    while let Some((before, step)) = reached_by[at] {
                        trace.push(step);
                        at = before;
                    }
                    trace.reverse();
                    return Explored {
                        states: known.len(),
                        broken: Some((claim, trace)),
                    };
                }
            }
        }
    }
    Explored {
        states: known.len(),
        broken: None,
    }
}

/// Reports the claim, unless another one is watched.
pub(super) fn broken(watched: Option<Claim>, claim: Claim) -> Result<(), Claim> {
    match watched.is_none_or(|watched| watched == claim) {
        true => Err(claim),
        false => Ok(()),
    }
}

/// Each rule or limit, if left out, must break its claim in one of the worlds.
pub(super) fn assert_each_breaks<L, W, N>(left_out: &[(L, Claim)], worlds: impl Fn(L, Claim) -> N)
where
    L: Copy + fmt::Debug,
    W: World,
    N: Iterator<Item = (&'static str, W)>,
{
    for (left_out, claim) in left_out {
        let found = worlds(*left_out, claim).find_map(|(name, world)| {
            let (_, trace) = explore(&world).broken?;
            Some((name, trace))
        });
        println!("{left_out:?}: not \"{claim}\": {found:?}");
        assert!(found.is_some(), "{left_out:?}, and still \"{claim}\"");
    }
}

impl<S: fmt::Debug> fmt::Display for Explored<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} states", self.states)?;
        if let Some((claim, trace)) = &self.broken {
            write!(f, ", broken: {claim}\n  {trace:?}")?;
        }
        Ok(())
    }
}

/// Cheap in a debug build: states are a few dozen small numbers.
#[derive(Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 29;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock's two hands, moved independently.
    struct Hands;

    impl World for Hands {
        type State = (u8, u8);
        type Step = char;

        fn start(&self) -> (u8, u8) {
            (0, 0)
        }

        fn steps(&self, &(a, b): &(u8, u8)) -> Vec<char> {
            let steps = [('a', a < 3), ('b', b < 4)].into_iter();
            steps
                .filter(|(_, can)| *can)
                .map(|(step, _)| step)
                .collect()
        }

        fn take(&self, (a, b): &mut (u8, u8), step: char) -> Result<(), Claim> {
            match (*a, *b, step) {
                (1, 2, 'b') => return Err("never two past three"),
                (_, _, 'a') => *a += 1,
                _ => *b += 1,
            }
            Ok(())
        }
    }

    #[test]
    fn the_trace_is_as_short_as_can_be() {
        let explored = explore(&Hands);
        let (claim, trace) = explored.broken.unwrap();
        assert_eq!((claim, trace.len()), ("never two past three", 4));
    }
}
