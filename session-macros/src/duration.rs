//! Durations as the user writes them, `"30m"`, and as a message says them.

use std::panic;
use std::time::Duration;

/// What applies where the struct says nothing; as in `session-core`'s `Expiry`.
pub(crate) const IDLE: Duration = Duration::from_secs(30 * 60);
pub(crate) const ABSOLUTE: Duration = Duration::from_secs(12 * 60 * 60);

/// The duration that `text` says, or why it says none.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    // humantime 2.4 panics on "18446744073709551615s 1000ms": it adds the second after its check
    // for overflow. Whatever is written in an attribute must not take the compiler down.
    match panic::catch_unwind(|| humantime::parse_duration(text)) {
        Ok(Ok(duration)) => Ok(duration),
        Ok(Err(humantime::DurationError::NumberOverflow)) | Err(_) => Err("out of range".into()),
        Ok(Err(humantime::DurationError::UnknownUnit { unit, .. })) if !unit.is_empty() => {
            Err(format!("unknown unit `{unit}`"))
        }
        Ok(Err(error)) => Err(error.to_string()),
    }
}

/// The duration as the user would write it.
pub(crate) fn display(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_humantime_reads() {
        assert_eq!(parse("30m"), Ok(IDLE));
        assert_eq!(parse("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("12h"), Ok(ABSOLUTE));
    }

    #[test]
    fn says_why_it_cannot_read() {
        assert_eq!(parse("30x"), Err("unknown unit `x`".into()));
        assert_eq!(parse(""), Err("value was empty".into()));
        assert!(parse("30").is_err());
    }

    #[test]
    fn survives_an_overflow() {
        assert!(parse("99999999999999999999999s").is_err());
        assert!(parse("18446744073709551615s 1000ms").is_err());
    }

    #[test]
    fn says_a_duration_as_it_is_written() {
        assert_eq!(display(IDLE), "30m");
        assert_eq!(display(ABSOLUTE), "12h");
    }
}
