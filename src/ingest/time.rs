//! Times in numbers of any unit and in the spellings of spreadsheets, databases and Go.

use super::cell::{Converted, Style, number_of};
use super::mapping::TimeUnit;
use crate::error::Error;
use crate::record::Timestamp;

/// The time that Go, and so Gorse, writes where there is none.
const GO_ZERO_TIME: &str = "0001-01-01";

/// The time that a text is: a number, RFC 3339, a date, or a date and time in one of the usual spellings; `None` for the
/// zero time of Go.
pub(super) fn parse(text: &str, unit: TimeUnit, style: Style) -> Converted<Option<Timestamp>> {
    if let Ok(number) = text.parse::<i64>() {
        return whole(i128::from(number), unit).map(Some);
    }
    if let Some(number) = number_of(text, style) {
        return fractional(number, unit).map(Some);
    }
    if text.starts_with(GO_ZERO_TIME) {
        return Ok(None);
    }
    text.parse().or_else(|error| zoned_loosely(text).ok_or(error)).map(Some).map_err(reason)
}

/// Times as spreadsheets, databases and Go print them: a blank before the offset, a word after it, or no offset at all,
/// which is read as UTC.
fn zoned_loosely(text: &str) -> Option<Timestamp> {
    let mut words = text.split_whitespace();
    let (date, clock, offset) = (words.next()?, words.next(), words.next());
    let local = match clock {
        Some(clock) => format!("{date}T{clock}"),
        None => date.to_owned(),
    };
    match offset {
        Some("UTC" | "GMT" | "Z") | None => format!("{local}Z").parse().ok(),
        Some(offset) => format!("{local}{offset}").parse().ok(),
    }
}

/// The time that a whole number is.
pub(super) fn whole(number: i128, unit: TimeUnit) -> Converted<Timestamp> {
    if unit == TimeUnit::Auto
        && let Some(date) = compact_date(number)
    {
        return Ok(date);
    }
    let millis = match scale(number as f64, unit) {
        TimeUnit::Auto | TimeUnit::S => number.saturating_mul(1_000),
        TimeUnit::Ms => number,
        TimeUnit::Us => number.div_euclid(1_000),
        TimeUnit::Ns => number.div_euclid(1_000_000),
    };
    Timestamp::from_millis(millis.clamp(i64::MIN.into(), i64::MAX.into()) as i64).map_err(reason)
}

/// The date that `20261101` is: as seconds, such numbers would be of some weeks in 1970.
fn compact_date(number: i128) -> Option<Timestamp> {
    if !(19_000_101..=20_991_231).contains(&number) {
        return None;
    }
    format!("{:04}-{:02}-{:02}", number / 10_000, number / 100 % 100, number % 100).parse().ok()
}

/// The time that a number is, to the millisecond.
pub(super) fn fractional(number: f64, unit: TimeUnit) -> Converted<Timestamp> {
    if !number.is_finite() {
        return Err(format!("is {number}, expected a time"));
    }
    let millis = match scale(number, unit) {
        TimeUnit::Auto | TimeUnit::S => number * 1e3,
        TimeUnit::Ms => number,
        TimeUnit::Us => number / 1e3,
        TimeUnit::Ns => number / 1e6,
    };
    Timestamp::from_millis(millis.round() as i64).map_err(reason)
}

/// The unit, by the size of the number where it is not given.
fn scale(number: f64, unit: TimeUnit) -> TimeUnit {
    match (unit, number.abs()) {
        (TimeUnit::Auto, size) if size <= 1e11 => TimeUnit::S,
        (TimeUnit::Auto, size) if size <= 1e14 => TimeUnit::Ms,
        (TimeUnit::Auto, size) if size <= 1e17 => TimeUnit::Us,
        (TimeUnit::Auto, _) => TimeUnit::Ns,
        (given, _) => given,
    }
}

fn reason(error: Error) -> String {
    match error {
        Error::Invalid { reason, .. } => reason,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::Cell;
    use super::*;

    const PLAIN: Style = Style { decimal_comma: false };

    #[test]
    fn a_time_is_read_from_numbers_of_any_unit_and_from_text() {
        let auto = |text: &str| Cell::text(text).into_time(TimeUnit::Auto, PLAIN).unwrap().unwrap().millis();
        for text in ["881250949", "881250949000", "881250949000000", "881250949000000000", "881250949.0"] {
            assert_eq!(auto(text), 881_250_949_000, "{text}");
        }
        assert_eq!(auto("-86400"), -86_400_000);
        for text in [
            "1997-12-04T15:55:49Z",
            "1997-12-04T15:55:49",
            "1997-12-04 15:55:49",
            "1997-12-04 15:55:49 UTC",
            "1997-12-04 16:55:49 +0100 CET",
            "1997-12-04 15:55:49.000000001 +0000 UTC",
        ] {
            assert_eq!(auto(text), 881_250_949_000, "{text}");
        }
        assert_eq!([auto("1997-12-04"), auto("19971204")], [881_193_600_000; 2]);
        assert_eq!([auto("19971304"), auto("29971204")], [19_971_304_000, 29_971_204_000], "no dates");
        assert_eq!(Cell::text("19971204").into_time(TimeUnit::S, PLAIN).unwrap().unwrap().millis(), 19_971_204_000);
        assert_eq!(Cell::Int(5).into_time(TimeUnit::Ms, PLAIN).unwrap().unwrap().millis(), 5);
        assert_eq!(Cell::text("0001-01-01T00:00:00Z").into_time(TimeUnit::Auto, PLAIN), Ok(None));
        for text in ["yesterday", "99999999999999999999", "NaN", "", "1997-13-04"] {
            assert!(Cell::text(text).into_time(TimeUnit::S, PLAIN).is_err(), "{text}");
        }
    }
}
