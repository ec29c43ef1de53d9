//! H.264 levels (ITU-T H.264 table A-1): how much a decoder must be able to do.
//!
//! A level too low for the stream makes decoders fail, and a Raspberry Pi's encoder hang after its
//! first picture (raspberrypi/linux #3974); one too high keeps small decoders from trying.

use media::{FrameRate, I420Layout};

/// A level: ten times its number, as `level_idc`; 1b is 9.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(u8);

impl Level {
    /// The lowest level for pictures of `layout`, `rate` a second, in `bitrate` bits a second.
    /// `None` when there is none.
    ///
    /// `is_high` for the High profile, which has a quarter more bits (table A-2).
    pub(crate) fn lowest(
        layout: I420Layout,
        rate: FrameRate,
        bitrate: u32,
        is_high: bool,
    ) -> Option<Self> {
        let [across, down] = [layout.width(), layout.height()].map(|side| side.div_ceil(16));
        let in_picture = across * down;
        let in_second = f64::from(in_picture) * rate.as_f64();
        let unit = if is_high { 1250.0 } else { 1000.0 };
        TABLE.iter().find_map(|&(level, per_second, per_picture, kilobits)| {
            // A.3.1: neither side may exceed the root of eight times the picture's size.
            let longest = f64::from(per_picture * 8).sqrt();
            let fits = in_picture <= per_picture
                && f64::from(across.max(down)) <= longest
                && in_second <= f64::from(per_second)
                && f64::from(bitrate) <= f64::from(kilobits) * unit;
            fits.then_some(Self(level))
        })
    }

    /// `level_idc`: 31 for level 3.1.
    #[cfg(test)]
    const fn idc(self) -> u8 {
        self.0
    }

    /// The number of this level in the menu of V4L2_CID_MPEG_VIDEO_H264_LEVEL.
    pub(crate) fn menu_value(self) -> i64 {
        let place = MENU.iter().position(|level| *level == self.0);
        // All levels of the table are in the menu.
        place.unwrap_or(MENU.len()) as i64
    }

    /// The level of a number in that menu.
    pub(crate) fn of_menu(value: i64) -> Option<Self> {
        MENU.get(usize::try_from(value).ok()?).copied().map(Self)
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            9 => f.write_str("1b"),
            level => write!(f, "{}.{}", level / 10, level % 10),
        }
    }
}

/// Level, macroblocks per second, macroblocks per picture, kilobits per second. Without 1b, which
/// is written differently from profile to profile.
const TABLE: &[(u8, u32, u32, u32)] = &[
    (10, 1_485, 99, 64),
    (11, 3_000, 396, 192),
    (12, 6_000, 396, 384),
    (13, 11_880, 396, 768),
    (20, 11_880, 396, 2_000),
    (21, 19_800, 792, 4_000),
    (22, 20_250, 1_620, 4_000),
    (30, 40_500, 1_620, 10_000),
    (31, 108_000, 3_600, 14_000),
    (32, 216_000, 5_120, 20_000),
    (40, 245_760, 8_192, 20_000),
    (41, 245_760, 8_192, 50_000),
    (42, 522_240, 8_704, 50_000),
    (50, 589_824, 22_080, 135_000),
    (51, 983_040, 36_864, 240_000),
    (52, 2_073_600, 36_864, 240_000),
    (60, 4_177_920, 139_264, 240_000),
    (61, 8_355_840, 139_264, 480_000),
    (62, 16_711_680, 139_264, 800_000),
];

/// `enum v4l2_mpeg_video_h264_level`.
const MENU: &[u8] =
    &[10, 9, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52, 60, 61, 62];

#[cfg(test)]
mod tests {
    use super::*;

    fn lowest(width: u32, height: u32, rate: u32, kilobits: u32, is_high: bool) -> Option<u8> {
        let layout = I420Layout::new(width, height).unwrap();
        let rate = FrameRate::new(rate, 1).unwrap();
        Level::lowest(layout, rate, kilobits * 1000, is_high).map(Level::idc)
    }

    #[test]
    fn levels_of_everyday_streams() {
        for (width, height, rate, kilobits, level) in [
            (176, 144, 15, 64, 10),
            (176, 144, 15, 65, 11),
            (320, 240, 10, 192, 11),
            (352, 288, 30, 768, 13),
            (352, 288, 30, 2_000, 20),
            (640, 480, 30, 2_000, 30),
            (640, 480, 34, 2_000, 31),
            (1280, 720, 30, 4_000, 31),
            (1280, 720, 60, 4_000, 32),
            (1920, 1080, 30, 4_000, 40),
            (1920, 1080, 30, 20_001, 41),
            (1920, 1080, 31, 4_000, 42),
            (1080, 1920, 30, 4_000, 40),
            (1920, 1080, 60, 50_001, 50),
            (3840, 2160, 30, 20_000, 51),
            (3840, 2160, 60, 20_000, 52),
        ] {
            let found = lowest(width, height, rate, kilobits, false);
            assert_eq!(found, Some(level), "{width}x{height} {rate} {kilobits}");
        }
    }

    #[test]
    fn the_high_profile_has_a_quarter_more_bits() {
        assert_eq!(lowest(1920, 1080, 30, 25_000, true), Some(40));
        assert_eq!(lowest(1920, 1080, 30, 25_001, true), Some(41));
        assert_eq!(lowest(1920, 1080, 30, 20_001, false), Some(41));
    }

    #[test]
    fn long_pictures_need_a_higher_level_than_their_size() {
        // 99 macroblocks would do for level 1, but not 28 in a row.
        assert_eq!(lowest(28 * 16, 16, 15, 64, false), Some(10));
        assert_eq!(lowest(29 * 16, 16, 15, 64, false), Some(11));
        assert_eq!(lowest(16, 29 * 16, 15, 64, false), Some(11));
    }

    #[test]
    fn what_no_level_allows_has_none() {
        assert_eq!(lowest(16_384, 16_384, 1, 1_000, false), None);
        assert_eq!(lowest(3840, 2160, 240, 800_001, false), None);
    }

    #[test]
    fn the_menu_has_all_levels_in_the_kernels_order() {
        for (value, text) in
            [(0, "1.0"), (1, "1b"), (2, "1.1"), (11, "4.0"), (15, "5.1"), (19, "6.2")]
        {
            let level = Level::of_menu(value).unwrap();
            assert_eq!((level.to_string().as_str(), level.menu_value()), (text, value));
        }
        assert_eq!((Level::of_menu(20), Level::of_menu(-1)), (None, None));
        assert!(TABLE.iter().all(|row| MENU.contains(&row.0)));
    }
}
