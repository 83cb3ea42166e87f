//! Durations as PIM writes them: ISO 8601, `PT15M`, `P90D`.

use jiff::fmt::temporal::SpanParser;
use jiff::{SignedDuration, SpanRelativeTo};

/// A day is 24 hours; months and years, whose length is not known, are refused, as is nothing and less than nothing.
pub(super) fn read(text: &str) -> Option<SignedDuration> {
    let span = SpanParser::new().parse_span(text).ok()?;
    if span.get_months() != 0 || span.get_years() != 0 {
        return None;
    }
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    duration.is_positive().then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_iso_durations_of_a_known_length() {
        let seconds = |text| read(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("PT15M"), Some(900));
        assert_eq!(seconds("PT1H30M"), Some(5_400));
        assert_eq!(seconds("P1D"), Some(86_400));
        assert_eq!(seconds("P1DT2H"), Some(93_600));
        for text in [
            "",
            "15M",
            "PT",
            "P",
            "P1M",
            "P1Y",
            "PT0S",
            "-PT5M",
            "5 minutes",
            "00:15:00",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
