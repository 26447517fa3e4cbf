use std::fmt;

#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    high: f64,
}

impl Spread {
    /// `NaN` without values.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let last = values.len().saturating_sub(1);
        Self {
            median: f64::midpoint(at(last / 2), at(last.div_ceil(2))),
            low: at(0),
            high: at(last),
        }
    }

    pub(crate) fn is_zero(self) -> bool {
        self.high == 0.0
    }
}

/// `12.3 (11.9–13.0)`, with the requested decimals.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = f.precision().unwrap_or(1);
        let Self { median, low, high } = self;
        write!(
            f,
            "{median:.decimals$} ({low:.decimals$}–{high:.decimals$})"
        )
    }
}
