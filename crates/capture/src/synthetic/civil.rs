//! Civil date and time of day (UTC) of a wall time, as digits, without allocation.

use media::WallTime;

/// `2026-11-21`.
pub(super) fn date(wall: WallTime) -> [u8; 10] {
    let (year, month, day) = year_month_day(wall.as_unix_nanos() / NANOS_PER_SECOND / 86_400);
    let mut text = *b"0000-00-00";
    write(&mut text[..4], year);
    write(&mut text[5..7], month);
    write(&mut text[8..], day);
    text
}

/// `09:07:57.962`.
pub(super) fn time_of_day(wall: WallTime) -> [u8; 12] {
    let seconds = wall.as_unix_nanos() / NANOS_PER_SECOND;
    let mut text = *b"00:00:00.000";
    write(&mut text[..2], seconds / 3600 % 24);
    write(&mut text[3..5], seconds / 60 % 60);
    write(&mut text[6..8], seconds % 60);
    write(&mut text[9..], wall.as_unix_nanos() / 1_000_000 % 1000);
    text
}

/// Writes the last digits of `number`, with leading zeros.
pub(super) fn write(text: &mut [u8], mut number: u64) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The Gregorian date of a day, counted from 1970-01-01.
fn year_month_day(day: u64) -> (u64, u64, u64) {
    // Years that begin on 1 March put the leap day last, and months in a pattern of 153 days in 5.
    let day = day + 719_468;
    let (era, day) = (day / DAYS_IN_400_YEARS, day % DAYS_IN_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / (DAYS_IN_400_YEARS - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march_based = (5 * day + 2) / 153;
    let month = if march_based < 10 { march_based + 3 } else { march_based - 9 };
    let new_year = u64::from(month <= 2);
    (era * 400 + year + new_year, month, day - (153 * march_based + 2) / 5 + 1)
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const DAYS_IN_400_YEARS: u64 = 146_097;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (nanos, expected_date, expected_time) in [
            (0, "1970-01-01", "00:00:00.000"),
            (951_782_399_999_999_999, "2000-02-28", "23:59:59.999"),
            (951_782_400_000_000_000, "2000-02-29", "00:00:00.000"),
            (1_078_012_800_001_000_000, "2004-02-29", "00:00:00.001"),
            (1_795_252_077_962_000_000, "2026-11-21", "09:07:57.962"),
            (4_102_444_800_000_000_000, "2100-01-01", "00:00:00.000"),
            (4_107_542_400_000_000_000, "2100-03-01", "00:00:00.000"),
        ] {
            let wall = WallTime::from_unix_nanos(nanos);
            assert_eq!(str::from_utf8(&date(wall)), Ok(expected_date));
            assert_eq!(str::from_utf8(&time_of_day(wall)), Ok(expected_time));
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = year_month_day(0);
        for day in 1..150_000 {
            let date = year_month_day(day);
            let next = date == (before.0, before.1, before.2 + 1) && date.2 <= 31
                || date == (before.0, before.1 + 1, 1) && before.2 >= 28 && date.1 <= 12
                || date == (before.0 + 1, 1, 1) && (before.1, before.2) == (12, 31);
            assert!(next, "{before:?} then {date:?}");
            before = date;
        }
    }
}
