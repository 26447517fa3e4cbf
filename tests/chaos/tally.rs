//! The possible values of a session's number, given what the browsers were told.

/// A number that only grows, by one for each acknowledged request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// The acknowledged changes.
    floor: u64,
    /// The acknowledged and the uncertain changes.
    ceiling: u64,
    begun: u64,
    under_way: u64,
    /// Requests whose connection broke: they may still be done.
    loose: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    floor: u64,
    number: u64,
    was_alone: bool,
    adds: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    Acknowledged,
    /// It was done before this answer, or never will be.
    Unknown,
    NotDone,
    /// The connection broke.
    Loose,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wrong {
    Missing(u64),
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

    /// Checks what an acknowledged request saw, its own change included. If it ran alone while all was calm,
    /// the value is now certain.
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

    pub(crate) fn is_settled(&self) -> bool {
        self.under_way == 0 && self.floor == self.ceiling
    }

    /// Continues with what is left after a loss.
    pub(crate) fn accept(&mut self, seen: u64) {
        self.floor = self.floor.min(seen);
    }
}
