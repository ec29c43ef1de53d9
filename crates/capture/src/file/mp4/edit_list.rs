//! The edit list (ISO/IEC 14496-12 8.6.6): which part of a track is shown, and from when on.
//!
//! ```text
//!  media         0 ├────┬───────────────────────┬──┤
//!                  hidden│ shown                 │hidden
//!  presentation  0 ├──────┼───────────────────────┤
//!                  nothing: an empty edit
//! ```
//!
//! Encoders with B-frames write one edit to begin at the first picture shown; recorders write an
//! empty one when the video begins after the sound; cutters hide pictures that others need for
//! decoding. All of these move the track as a whole. What cuts out a part of the middle, repeats
//! one or slows it down cannot be streamed without encoding anew, and is refused. Pure.

use std::{num::NonZeroU32, ops::Range};

use shiguredo_mp4::boxes::ElstEntry;

use crate::file::refusal::Refusal;

/// How media time becomes presentation time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    /// Ticks of the track to add to media time.
    pub(super) shift: i64,
    /// The media times that are shown.
    pub(super) shown: Range<i64>,
}

impl Mapping {
    /// From the entries of an edit list, none being no list. Durations are in ticks of the movie,
    /// media times in ticks of the track.
    pub(super) fn new(
        edits: &[ElstEntry],
        movie_timescale: NonZeroU32,
        timescale: NonZeroU32,
    ) -> Result<Self, Refusal> {
        let in_track = |movie_ticks: u64| {
            let ticks = u128::from(movie_ticks) * u128::from(timescale.get())
                / u128::from(movie_timescale.get());
            i64::try_from(ticks).unwrap_or(i64::MAX)
        };
        // Rounding a boundary to ticks of the movie moves it by less than one of them, and
        // rounding back by less than one of the track.
        let tolerance = in_track(1).unsigned_abs() + 1;
        let is_empty = |edit: &ElstEntry| edit.media_time < 0;

        let first = edits.iter().position(|edit| !is_empty(edit));
        let Some(first) = first else {
            // A list of nothing but empty edits shows nothing, and is taken for a mistake.
            return Ok(Self { shift: 0, shown: i64::MIN..i64::MAX });
        };
        let (empty, edits) = edits.split_at(first);
        let last = edits.iter().rposition(|edit| !is_empty(edit)).unwrap_or_default();
        let edits = &edits[..=last];

        let start = edits[0].media_time;
        let mut end = start;
        for edit in edits {
            let at_normal_speed = edit.media_rate.integer == 1 && edit.media_rate.fraction == 0;
            if !at_normal_speed || edit.media_time.abs_diff(end) > tolerance {
                return Err(Refusal::EditList);
            }
            // Fragmented and unfinished files write 0 for "to the end".
            let duration = match edit.edit_duration {
                0 => i64::MAX,
                duration => in_track(duration),
            };
            end = edit.media_time.saturating_add(duration);
        }
        let delay = empty.iter().fold(0u64, |sum, edit| sum.saturating_add(edit.edit_duration));
        Ok(Self {
            shift: in_track(delay).saturating_sub(start),
            shown: start..end.saturating_add_unsigned(tolerance),
        })
    }
}

#[cfg(test)]
mod tests {
    use shiguredo_mp4::FixedPointNumber;

    use super::*;

    fn mapping(edits: &[(u64, i64)]) -> Result<Mapping, Refusal> {
        let entry = |&(edit_duration, media_time)| ElstEntry {
            edit_duration,
            media_time,
            media_rate: FixedPointNumber::new(1, 0),
        };
        let edits: Vec<_> = edits.iter().map(entry).collect();
        Mapping::new(&edits, NonZeroU32::new(1000).unwrap(), NonZeroU32::new(12_800).unwrap())
    }

    #[test]
    fn one_edit_moves_the_track() {
        for (edits, shift, shown) in [
            (&[][..], 0, i64::MIN..i64::MAX),
            (&[(1000, 0)], 0, 0..12_813),
            // x264 with two B-frames.
            (&[(1000, 1024)], -1024, 1024..13_837),
            // Video that begins half a second after the sound.
            (&[(500, -1), (1000, 1024)], 6400 - 1024, 1024..13_837),
            (&[(500, -1), (1000, 0), (500, -1)], 6400, 0..12_813),
            (&[(0, 512)], -512, 512..i64::MAX),
            // A cut that changes nothing.
            (&[(1000, 0), (1000, 12_800)], 0, 0..25_613),
            (&[(500, -1)], 0, i64::MIN..i64::MAX),
        ] {
            assert_eq!(mapping(edits), Ok(Mapping { shift, shown }), "{edits:?}");
        }
    }

    #[test]
    fn pieces_are_refused() {
        for edits in [
            &[(1000, 0), (1000, 25_600)][..],
            &[(1000, 12_800), (1000, 0)],
            &[(1000, 0), (500, -1), (1000, 12_800)],
            &[(1000, 0), (1000, 0)],
        ] {
            assert_eq!(mapping(edits), Err(Refusal::EditList), "{edits:?}");
        }
    }

    #[test]
    fn another_speed_is_refused() {
        for (integer, fraction) in [(0, 0), (2, 0), (0, 0x4000), (-1, 0)] {
            let media_rate = FixedPointNumber::new(integer, fraction);
            let edits = [ElstEntry { edit_duration: 1000, media_time: 0, media_rate }];
            let mapping = Mapping::new(&edits, NonZeroU32::MIN, NonZeroU32::MIN);
            assert_eq!(mapping, Err(Refusal::EditList));
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        for edits in [
            &[(u64::MAX, -1), (u64::MAX, -1), (u64::MAX, i64::MAX)][..],
            &[(u64::MAX, i64::MAX), (u64::MAX, 0)],
            &[(u64::MAX, 0), (1, i64::MIN), (1, i64::MAX)],
        ] {
            let _ = mapping(edits);
        }
    }
}
