use std::collections::BTreeMap;

use crate::growth::Growth;
use crate::instructions::Cost;
use crate::lag::Late;
use crate::load::{Figure, Sample};
use crate::memory::Memory;
use crate::profile::Profile;
use crate::server::{Kind, Route};
use crate::spread::Spread;
use crate::truth::Truth;

/// A server, a route, and the number of connections.
type Cell = (Kind, Route, usize);

#[derive(Default)]
pub(crate) struct Results {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) left_out: Vec<Kind>,
    /// One for each round.
    samples: BTreeMap<Cell, Vec<Sample>>,
    pub(crate) truths: Vec<Truth>,
    pub(crate) memories: Vec<Memory>,
    pub(crate) costs: Vec<Cost>,
    pub(crate) growth: Growth,
    /// `None` if ours was not built.
    pub(crate) late: Option<Late>,
}

impl Results {
    pub(crate) fn add(&mut self, kind: Kind, route: Route, connections: usize, sample: Sample) {
        let cell = (kind, route, connections);
        self.samples.entry(cell).or_default().push(sample);
    }

    pub(crate) fn samples(&self, kind: Kind, route: Route, connections: usize) -> &[Sample] {
        let cell = (kind, route, connections);
        self.samples.get(&cell).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn spread(
        &self,
        kind: Kind,
        route: Route,
        connections: usize,
        of: Figure,
    ) -> Spread {
        Spread::of(self.samples(kind, route, connections).iter().map(of))
    }

    /// Empty if its instructions were not counted.
    pub(crate) fn profile(&self, kind: Kind, route: Route) -> &Profile {
        static NOTHING: Profile = Profile::new();
        let mut costs = self.costs.iter();
        let cost = costs.find(|cost| cost.kind == kind && cost.route == route);
        cost.map_or(&NOTHING, |cost| &cost.profile)
    }

    /// Divides round by round, so anything that slows down a whole round cancels out.
    pub(crate) fn ratio(
        &self,
        one: (Kind, Route),
        other: (Kind, Route),
        connections: usize,
        of: Figure,
    ) -> Spread {
        let rounds = |(kind, route)| self.samples(kind, route, connections).iter().map(of);
        Spread::of(
            rounds(one)
                .zip(rounds(other))
                .map(|(one, other)| one / other),
        )
    }

    /// The cost beyond the same server's route without a session.
    pub(crate) fn added(&self, kind: Kind, route: Route, connections: usize) -> Spread {
        let rounds = |route| {
            let samples = self.samples(kind, route, connections);
            samples.iter().map(|sample| sample.server_cpu)
        };
        Spread::of(
            rounds(route)
                .zip(rounds(Route::Bare))
                .map(|(with, bare)| with - bare),
        )
    }
}

/// `evalsha 1 · hmget 2`: the commands of one request.
pub(crate) fn commands(sample: &Sample) -> String {
    let counts = sample.traffic.commands.iter().map(|(name, calls)| {
        let each = *calls as f64 / sample.requests as f64;
        (name, (each * 10.0).round() / 10.0)
    });
    // Hides occasional commands.
    let shown = counts.filter(|&(_, each)| each > 0.0);
    let words: Vec<String> = shown.map(|(name, each)| format!("{name} {each}")).collect();
    words.join(" · ")
}
