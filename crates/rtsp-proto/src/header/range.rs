//! The `Range` header (RFC 2326 sections 12.29, 3.5 to 3.7).
//!
//! What is streamed here is live, or looped as if it were: no range can be invalid, only not
//! honoured. So parsing never fails, and 457 is never answered.

use std::time::Duration;

/// What a client wants to see, as far as it can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Normal play time; either end may be left open.
    Npt {
        /// Where to begin.
        start: Option<Npt>,
        /// Where to end.
        end: Option<Npt>,
    },
    /// Civil time (`clock=`).
    Clock,
    /// SMPTE timecodes, of any frame rate.
    Smpte,
    /// Something else.
    Unknown,
}

/// A point in normal play time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Npt {
    /// The present moment of a live stream.
    Now,
    /// Since the beginning.
    At(Duration),
}

impl Range {
    /// What to answer, whatever was asked for.
    pub const LIVE: &str = "npt=now-";

    /// Reads `npt=0.000-`, `npt=now-`, `npt=12:05:35.3-`, `clock=…`, `smpte-30-drop=…`; a `;time=`
    /// behind it is ignored.
    pub fn parse(value: &str) -> Self {
        let range = value.split(';').next().unwrap_or_default().trim();
        let Some((unit, range)) = range.split_once('=') else { return Self::Unknown };
        let unit = unit.trim().to_ascii_lowercase();
        match unit.as_str() {
            "npt" => Self::parse_npt(range).unwrap_or(Self::Unknown),
            "clock" => Self::Clock,
            _ if unit.starts_with("smpte") => Self::Smpte,
            _ => Self::Unknown,
        }
    }

    fn parse_npt(range: &str) -> Option<Self> {
        // `npt=now` without a dash is sent too.
        let (start, end) = range.split_once('-').unwrap_or((range, ""));
        let point = |text: &str| match text.trim() {
            "" => Some(None),
            text => Npt::parse(text).map(Some),
        };
        Some(Self::Npt { start: point(start)?, end: point(end)? })
    }
}

impl Npt {
    fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("now") {
            return Some(Self::Now);
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let seconds = whole.split(':').try_fold(0u64, |sum, part| {
            let part = if part.is_empty() { 0 } else { digits(part)? };
            sum.checked_mul(60)?.checked_add(part)
        })?;
        // Nine digits are nanoseconds; further ones say nothing.
        let fraction = fraction.get(..fraction.len().min(9))?;
        let nanos = format!("{fraction:0<9}");
        let nanos = u32::try_from(digits(&nanos)?).ok()?;
        Some(Self::At(Duration::new(seconds, nanos)))
    }
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Option<Npt> {
        Some(Npt::At(Duration::from_millis(millis)))
    }

    #[test]
    fn ranges_as_clients_write_them() {
        const NOW: Option<Npt> = Some(Npt::Now);
        for (text, start, end) in [
            ("npt=0.000-", at(0), None),
            ("npt=0-", at(0), None),
            ("npt=now-", NOW, None),
            ("npt=now", NOW, None),
            ("npt=NOW-", NOW, None),
            ("NPT = 1.5 - 20.25", at(1500), at(20_250)),
            ("npt=-10", None, at(10_000)),
            ("npt=12:05:35.3-", at(43_535_300), None),
            ("npt=5.-6.", at(5000), at(6000)),
            ("npt=0.1234567890123-", Some(Npt::At(Duration::from_nanos(123_456_789))), None),
            ("npt=10-15;time=19970123T143720Z", at(10_000), at(15_000)),
            ("npt=", None, None),
        ] {
            assert_eq!(Range::parse(text), Range::Npt { start, end }, "{text}");
        }
        assert_eq!(Range::parse("clock=19961108T143720.25Z-"), Range::Clock);
        assert_eq!(Range::parse("smpte=0:10:20-;time=19970123T153600Z"), Range::Smpte);
        assert_eq!(Range::parse("smpte-30-drop=10:07:00-10:07:33:05.01"), Range::Smpte);
        assert_eq!(Range::parse(Range::LIVE), Range::Npt { start: NOW, end: None });
    }

    #[test]
    fn nonsense_is_unknown_and_no_error() {
        for text in [
            "",
            "npt",
            "bytes=0-1",
            "npt=a-",
            "npt=1-b",
            "npt=99999999999999999999-",
            "npt=18446744073709551615:0-",
            "npt=1.é-",
            "npt=1.00000000é-",
        ] {
            assert_eq!(Range::parse(text), Range::Unknown, "{text}");
        }
    }
}
