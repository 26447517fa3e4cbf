//! What a number of a session may be, as far as the browsers were told.

/// A counter that only grows, by one for each request that is acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// What was acknowledged.
    floor: u64,
    /// The same and what nobody knows.
    ceiling: u64,
    begun: u64,
    under_way: u64,
    /// Requests whose connection broke: they may be done at any time.
    loose: u64,
}

/// A request that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    floor: u64,
    number: u64,
    was_alone: bool,
    adds: u64,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    Acknowledged,
    /// It was done before this answer, or never is.
    Unknown,
    NotDone,
    /// The connection broke.
    Loose,
}

/// What is wrong with what a request saw.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wrong {
    /// So many acknowledged changes are not there.
    Missing(u64),
    /// There are so many more than were ever asked for.
    TooMany(u64),
}

impl Tally {
    pub(crate) fn at(value: u64) -> Self {
        Self {
            floor: value,
            ceiling: value,
            ..Self::default()
        }
    }

    pub(crate) fn begin(&mut self, adds: bool) -> Begun {
        let adds = u64::from(adds);
        self.begun += 1;
        self.under_way += 1;
        self.ceiling += adds;
        Begun {
            floor: self.floor,
            number: self.begun,
            was_alone: self.under_way == 1,
            adds,
        }
    }

    pub(crate) fn end(&mut self, begun: Begun, ended: Ended) {
        self.under_way -= 1;
        match ended {
            Ended::Acknowledged => self.floor += begun.adds,
            Ended::Unknown => {}
            Ended::NotDone => self.ceiling -= begun.adds,
            Ended::Loose => self.loose += begun.adds,
        }
    }

    /// Compares what an acknowledged request saw, itself included. If it was alone, nothing else is possible
    /// from then on; while the servers change places, what it saw may be old.
    pub(crate) fn see(&mut self, begun: Begun, seen: u64, is_calm: bool) -> Option<Wrong> {
        let least = begun.floor + begun.adds;
        if seen < least {
            return Some(Wrong::Missing(least - seen));
        }
        if seen > self.ceiling {
            return Some(Wrong::TooMany(seen - self.ceiling));
        }
        if is_calm && begun.was_alone && self.begun == begun.number {
            self.floor = seen;
            self.ceiling = seen + self.loose;
        }
        None
    }

    /// Whether only one value is possible.
    pub(crate) fn is_settled(&self) -> bool {
        self.under_way == 0 && self.floor == self.ceiling
    }

    /// Goes on from what is left.
    pub(crate) fn accept(&mut self, seen: u64) {
        self.floor = self.floor.min(seen);
    }
}
