//! Which of a camera's formats, sizes and rates to take, and why.
//!
//! What was asked for in so many words is kept to; what was not is chosen so that the picture moves
//! fluently at a usual size with the least work: H.264 from the camera needs no encoder, 4:2:0 no
//! conversion, 4:2:2 a conversion, JPEG decoding; and what the encoder takes as it is may not even
//! have to be copied. A format that is less work but slower loses: over USB 2 many a camera gives
//! raw pictures of a usual size only ten times a second.
//!
//! A size or rate that was asked for and is not there is made up for by the nearest one, and said
//! to be.
//!
//! Pure: it is told what is offered.

use std::{cmp::Ordering, fmt, str::FromStr};

use ::v4l2::{Interval, Intervals, PixelFormat, Size, Sizes};
use media::FrameRate;

/// What a camera offers in one format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The format.
    pub pixel_format: PixelFormat,
    /// Its sizes; `None` when the driver does not tell.
    pub sizes: Option<Sizes>,
}

/// How pictures come from a camera, as people name it; whether in one piece of memory or in several
/// is the driver's affair.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    /// H.264, made by the camera.
    H264,
    /// 4:2:0, luma and then both chromas by turns.
    Nv12,
    /// 4:2:0, luma and then each chroma.
    I420,
    /// 4:2:2 packed, luma first.
    Yuyv,
    /// 4:2:2 packed, chroma first.
    Uyvy,
    /// JPEG, one by one.
    Mjpeg,
}

impl PictureFormat {
    /// All there are, the least work first: nothing to do; to encode; to convert and encode; to
    /// decode, convert and encode.
    pub const ALL: [Self; 6] =
        [Self::H264, Self::Nv12, Self::I420, Self::Yuyv, Self::Uyvy, Self::Mjpeg];

    /// What the kernel calls it, whatever pieces it comes in.
    pub const fn pixel_formats(self) -> &'static [PixelFormat] {
        match self {
            Self::H264 => &[PixelFormat::H264],
            Self::Nv12 => &[PixelFormat::NV12, PixelFormat::NV12M],
            Self::I420 => &[PixelFormat::YUV420, PixelFormat::YUV420M],
            Self::Yuyv => &[PixelFormat::YUYV],
            Self::Uyvy => &[PixelFormat::UYVY],
            Self::Mjpeg => &[PixelFormat::MJPEG, PixelFormat::JPEG],
        }
    }

    /// Which of them the kernel's is; `None` when nothing here can use it.
    pub fn of(pixel_format: PixelFormat) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.pixel_formats().contains(&pixel_format))
    }

    /// As one types it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Nv12 => "nv12",
            Self::I420 => "i420",
            Self::Yuyv => "yuyv",
            Self::Uyvy => "uyvy",
            Self::Mjpeg => "mjpeg",
        }
    }
}

impl fmt::Display for PictureFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of no format.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no format of pictures")]
pub struct UnknownFormat;

impl FromStr for PictureFormat {
    type Err = UnknownFormat;

    /// By its name, or the kernel's four characters.
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let is_meant = |format: &Self| {
            let mut codes = format.pixel_formats().iter();
            format.name().eq_ignore_ascii_case(text)
                || codes.any(|code| code.to_string().eq_ignore_ascii_case(text))
        };
        Self::ALL.into_iter().find(is_meant).ok_or(UnknownFormat)
    }
}

/// What is asked for. What is `None` may be chosen.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// How pixels come.
    pub format: Option<PictureFormat>,
    /// How many of them.
    pub size: Option<Size>,
    /// How often.
    pub rate: Option<FrameRate>,
    /// What the encoder takes as it is; default: nothing.
    pub direct: Direct,
}

/// Formats that an encoder takes as they are: pictures in one of them may reach it without being
/// touched.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Direct {
    /// One bit for each of [`RAW`].
    known: u8,
}

impl Direct {
    /// Whether this is one of them.
    pub fn contains(self, format: PixelFormat) -> bool {
        place(format).is_some_and(|place| self.known >> place & 1 == 1)
    }
}

/// Those that no camera here gives are left out.
impl FromIterator<PixelFormat> for Direct {
    fn from_iter<I: IntoIterator<Item = PixelFormat>>(formats: I) -> Self {
        let places = formats.into_iter().filter_map(place);
        Self { known: places.fold(0, |known, place| known | 1 << place) }
    }
}

fn place(format: PixelFormat) -> Option<usize> {
    RAW.iter().position(|known| *known == format)
}

/// What to set.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The format.
    pub pixel_format: PixelFormat,
    /// The size.
    pub size: Size,
    /// The frame interval; `None` when the driver does not tell any: its own is taken.
    pub interval: Option<Interval>,
}

/// A choice, and for each other format what spoke against it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reasoned {
    /// What to set.
    pub choice: Choice,
    /// The size that was asked for and is not there.
    pub missed_size: Option<Size>,
    /// The rate that was asked for and is not there.
    pub missed_rate: Option<FrameRate>,
    /// The best of each other format that can be used, with what is wrong with it.
    pub others: Vec<(Choice, Drawback)>,
}

/// What speaks against a choice, in the order in which it counts.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drawback {
    /// It has not the size that was asked for.
    OtherSize,
    /// It is slower than what was asked for.
    Slower,
    /// It is a less usual size.
    LessUsualSize,
    /// It is more work: it has to be encoded, converted or decoded.
    MoreWork,
}

/// Why nothing can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoChoice {
    /// The camera has no format that is known here.
    #[error(
        "it gives {}, of which nothing can be used ({} can)",
        list(offered),
        list(&PictureFormat::ALL)
    )]
    NoFormat {
        /// What it has.
        offered: Vec<PixelFormat>,
    },
    /// The camera has not the format that was asked for.
    #[error("it does not give {wanted}, but {}", list(offered))]
    NotThisFormat {
        /// What was asked for.
        wanted: PictureFormat,
        /// What it has.
        offered: Vec<PixelFormat>,
    },
}

/// Chooses from `offers`; `intervals` tells the frame intervals of a size of a format.
///
/// # Errors
///
/// When there is nothing that can be used.
pub fn choose(
    offers: &[Offer],
    wanted: &Wanted,
    mut intervals: impl FnMut(PixelFormat, Size) -> Option<Intervals>,
) -> Result<Reasoned, NoChoice> {
    let offered = || offers.iter().map(|offer| offer.pixel_format).collect::<Vec<_>>();
    let known = offers.iter().filter(|offer| PictureFormat::of(offer.pixel_format).is_some());
    let asked: Vec<&Offer> = match wanted.format {
        Some(format) => {
            known.filter(|offer| format.pixel_formats().contains(&offer.pixel_format)).collect()
        }
        None => known.collect(),
    };
    let mut best: Vec<Candidate> = Vec::new();
    for offer in asked {
        let of_format = sizes(offer, wanted.size).into_iter().map(|size| {
            let interval = interval(intervals(offer.pixel_format, size).as_ref(), wanted.rate);
            Candidate::new(Choice { pixel_format: offer.pixel_format, size, interval }, wanted)
        });
        best.extend(of_format.min_by(Candidate::compare));
    }
    // Stable: of two alike the driver's first.
    best.sort_by(Candidate::compare);
    let mut best = best.into_iter();
    let Some(first) = best.next() else {
        return Err(match wanted.format {
            Some(wanted) => NoChoice::NotThisFormat { wanted, offered: offered() },
            None => NoChoice::NoFormat { offered: offered() },
        });
    };
    let others = best.map(|other| (other.choice, other.drawback_against(&first))).collect();
    let choice = first.choice;
    let missed_size = wanted.size.filter(|size| *size != choice.size);
    let missed_rate = wanted.rate.filter(|rate| {
        let given = choice.interval.map_or(rate.as_f64(), Interval::rate);
        (given - rate.as_f64()).abs() > rate.as_f64() * SAME_RATE
    });
    Ok(Reasoned { choice, missed_size, missed_rate, others })
}

/// A choice with what counts for and against it; less is better.
#[derive(Debug)]
struct Candidate {
    choice: Choice,
    /// How far from the size that was asked for; 0 when none was.
    size_missed: u64,
    /// By how many pictures in a hundred seconds it is too slow.
    too_slow: u64,
    /// How far from the usual size; 0 when one was asked for.
    unusual: u64,
    work: u32,
}

impl Candidate {
    fn new(choice: Choice, wanted: &Wanted) -> Self {
        let rate = wanted.rate.map_or(USUAL_RATE, FrameRate::as_f64);
        let given = choice.interval.map_or(rate, Interval::rate);
        // 29.97 is as good as 30, and 25 nearly.
        let too_slow = if given >= rate * NEARLY { 0.0 } else { (rate - given) * 100.0 };
        let far = |from: Size| distance(choice.size, from);
        Self {
            choice,
            size_missed: wanted.size.map_or(0, far),
            too_slow: too_slow as u64,
            unusual: if wanted.size.is_some() { 0 } else { far(USUAL_SIZE) },
            work: work(choice.pixel_format, wanted.direct).unwrap_or(u32::MAX),
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let key = |c: &Self| (c.size_missed, c.too_slow, c.unusual, c.work);
        key(self).cmp(&key(other))
    }

    fn drawback_against(&self, better: &Self) -> Drawback {
        match () {
            () if self.size_missed > better.size_missed => Drawback::OtherSize,
            () if self.too_slow > better.too_slow => Drawback::Slower,
            () if self.unusual > better.unusual => Drawback::LessUsualSize,
            () => Drawback::MoreWork,
        }
    }
}

/// How much is to be done until it is H.264; `None` when nothing here can do it.
fn work(format: PixelFormat, direct: Direct) -> Option<u32> {
    let named = PictureFormat::of(format)?;
    let place = PictureFormat::ALL.iter().position(|known| *known == named)? as u32;
    let is_touched = named != PictureFormat::H264 && !direct.contains(format);
    Some(if is_touched { place + PictureFormat::ALL.len() as u32 } else { place })
}

/// All sizes that can be looked at: of a range the one nearest to `wanted`.
fn sizes(offer: &Offer, wanted: Option<Size>) -> Vec<Size> {
    let nearest = wanted.unwrap_or(USUAL_SIZE);
    match &offer.sizes {
        None => vec![nearest],
        Some(Sizes::Discrete(sizes)) => sizes.clone(),
        Some(Sizes::Stepwise { width, width_step, height, height_step }) => {
            let step = |value: u32, from: u32, to: u32, step: u32| {
                let value = value.clamp(from, to.max(from));
                from + (value - from) / step.max(1) * step.max(1)
            };
            vec![Size {
                width: step(nearest.width, *width.start(), *width.end(), *width_step),
                height: step(nearest.height, *height.start(), *height.end(), *height_step),
            }]
        }
    }
}

/// The slowest interval that is not slower than `wanted`, else the fastest.
fn interval(offered: Option<&Intervals>, wanted: Option<FrameRate>) -> Option<Interval> {
    let wanted_rate = wanted.map_or(USUAL_RATE, FrameRate::as_f64);
    match offered? {
        Intervals::Discrete(intervals) => {
            let by_rate = |a: &&Interval, b: &&Interval| a.rate().total_cmp(&b.rate());
            let fast_enough = intervals.iter().filter(|i| i.rate() >= wanted_rate * NEARLY);
            fast_enough.min_by(by_rate).or_else(|| intervals.iter().max_by(by_rate)).copied()
        }
        Intervals::Between(first, second) => {
            let (fast, slow) =
                if first.rate() >= second.rate() { (*first, *second) } else { (*second, *first) };
            let exact = match wanted {
                Some(rate) => Interval::new(rate.denominator(), rate.numerator())?,
                None => USUAL_INTERVAL,
            };
            Some(match () {
                () if wanted_rate > fast.rate() => fast,
                () if wanted_rate < slow.rate() => slow,
                () => exact,
            })
        }
    }
}

/// How far `size` is from `from`: first those that fit into it, the larger the nearer; then those
/// that do not, the smaller the nearer.
fn distance(size: Size, from: Size) -> u64 {
    let area = |size: Size| u64::from(size.width) * u64::from(size.height);
    if size.width <= from.width && size.height <= from.height {
        area(from) - area(size)
    } else {
        (1 << 40) + area(size)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pixel_format, self.size)?;
        match self.interval {
            Some(interval) => write!(f, " at {interval}"),
            None => Ok(()),
        }
    }
}

/// One line for the log: `UYVY 1280x720 at 30 fps; YUYV 1280x720 at 10 fps would be slower`.
impl fmt::Display for Reasoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.choice)?;
        match (self.missed_size, self.missed_rate) {
            (Some(size), Some(rate)) => write!(f, " (it has not {size} at {rate} fps)")?,
            (Some(size), None) => write!(f, " (it has not {size})")?,
            (None, Some(rate)) => write!(f, " (it has not {rate} fps)")?,
            (None, None) => {}
        }
        for (choice, drawback) in &self.others {
            write!(f, "; {choice} {drawback}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Drawback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherSize => "would be another size than asked for",
            Self::Slower => "would be slower",
            Self::LessUsualSize => "would be a less usual size",
            Self::MoreWork => "would be more work",
        })
    }
}

fn list(formats: &[impl ToString]) -> String {
    if formats.is_empty() {
        return "no format at all".to_owned();
    }
    formats.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// All that an encoder may take, by the kernel's names.
const RAW: [PixelFormat; 6] = [
    PixelFormat::NV12,
    PixelFormat::NV12M,
    PixelFormat::YUV420,
    PixelFormat::YUV420M,
    PixelFormat::YUYV,
    PixelFormat::UYVY,
];
/// What is taken when nobody says: what one core of a small computer can still encode, and nearly
/// every camera has.
const USUAL_SIZE: Size = Size { width: 1280, height: 720 };
const USUAL_RATE: f64 = 30.0;
const USUAL_INTERVAL: Interval = match Interval::new(1, 30) {
    Some(interval) => interval,
    None => unreachable!(),
};
/// The part of a rate that passes for it.
const NEARLY: f64 = 0.8;
/// How far 29.97 is from 30, and more.
const SAME_RATE: f64 = 0.002;

#[cfg(test)]
mod tests {
    use super::*;

    const VGA: Size = Size { width: 640, height: 480 };
    const HD: Size = Size { width: 1280, height: 720 };
    const FULL: Size = Size { width: 1920, height: 1080 };

    fn fps(rates: &[u32]) -> Option<Intervals> {
        Some(Intervals::Discrete(rates.iter().filter_map(|r| Interval::new(1, *r)).collect()))
    }

    fn offer(pixel_format: PixelFormat, sizes: &[Size]) -> Offer {
        Offer { pixel_format, sizes: Some(Sizes::Discrete(sizes.to_vec())) }
    }

    /// As a usual USB 2 camera, in which the first format is slow where it is large.
    fn webcam() -> [Offer; 2] {
        let sizes = [VGA, HD, FULL];
        [offer(PixelFormat::YUYV, &sizes), offer(PixelFormat::UYVY, &sizes)]
    }

    fn of_webcam(format: PixelFormat, size: Size) -> Option<Intervals> {
        match (format, size) {
            (PixelFormat::YUYV, HD) => fps(&[10, 5]),
            (PixelFormat::YUYV, FULL) => fps(&[5]),
            _ => fps(&[30, 15]),
        }
    }

    fn chosen(offers: &[Offer], wanted: &Wanted) -> String {
        choose(offers, wanted, of_webcam).unwrap().choice.to_string()
    }

    #[test]
    fn a_webcam_is_taken_as_it_is_fluent() {
        let nothing = Wanted::default();
        let reasoned = choose(&webcam(), &nothing, of_webcam).unwrap();
        assert_eq!(
            reasoned.to_string(),
            "UYVY 1280x720 at 30 fps; YUYV 640x480 at 30 fps would be a less usual size"
        );
        let small = Wanted { size: Some(VGA), ..nothing };
        assert_eq!(chosen(&webcam(), &small), "YUYV 640x480 at 30 fps");
        let slow = Wanted { size: Some(HD), rate: FrameRate::new(10, 1), ..nothing };
        assert_eq!(chosen(&webcam(), &slow), "YUYV 1280x720 at 10 fps");
        let raw = Wanted { size: Some(HD), format: Some(PictureFormat::Yuyv), ..nothing };
        assert_eq!(chosen(&webcam(), &raw), "YUYV 1280x720 at 10 fps");
    }

    #[test]
    fn what_the_encoder_takes_is_preferred_unless_it_is_slower() {
        let with = |direct: &[PixelFormat]| Wanted {
            size: Some(VGA),
            direct: direct.iter().copied().collect(),
            ..Wanted::default()
        };
        let yuyv = PixelFormat::YUYV;
        let several = PixelFormat::NV12M;
        let formats = [yuyv, several, PixelFormat::NV12, PixelFormat::MJPEG];
        let mut offers = formats.map(|format| offer(format, &[VGA])).to_vec();
        for (direct, expected) in [
            (&[][..], "NM12"),
            (&[yuyv], "YUYV"),
            (&[PixelFormat::NV12], "NV12"),
            (&[several, yuyv], "NM12"),
            (&[PixelFormat::MJPEG], "NM12"),
            (&[PixelFormat::YUV420], "NM12"),
        ] {
            let chosen = chosen(&offers, &with(direct));
            assert_eq!(chosen, format!("{expected} 640x480 at 30 fps"), "{direct:?}");
        }
        offers.push(offer(PixelFormat::H264, &[VGA]));
        assert_eq!(chosen(&offers, &with(&[yuyv])), "H264 640x480 at 30 fps");
        // Nothing to be copied, ten times a second.
        let fast = Wanted { size: Some(HD), ..with(&[yuyv]) };
        assert_eq!(chosen(&webcam(), &fast), "UYVY 1280x720 at 30 fps");
    }

    #[test]
    fn h264_from_the_camera_needs_no_work() {
        let [slow, fast] = webcam();
        let offers = [slow, fast, offer(PixelFormat::H264, &[HD, FULL])];
        assert_eq!(chosen(&offers, &Wanted::default()), "H264 1280x720 at 30 fps");
        let full = Wanted { size: Some(FULL), ..Wanted::default() };
        assert_eq!(chosen(&offers, &full), "H264 1920x1080 at 30 fps");
        // It has no such size: then it is work.
        let small = Wanted { size: Some(VGA), ..Wanted::default() };
        assert_eq!(chosen(&offers, &small), "YUYV 640x480 at 30 fps");
    }

    #[test]
    fn a_size_that_is_not_there_gives_the_next_smaller_one() {
        let size =
            |width, height| Wanted { size: Some(Size { width, height }), ..Wanted::default() };
        assert_eq!(chosen(&webcam(), &size(1600, 900)), "UYVY 1280x720 at 30 fps");
        assert_eq!(chosen(&webcam(), &size(4096, 2160)), "UYVY 1920x1080 at 30 fps");
        assert_eq!(chosen(&webcam(), &size(320, 240)), "YUYV 640x480 at 30 fps");
    }

    #[test]
    fn what_was_asked_for_and_is_not_there_is_said() {
        let said = |wanted: Wanted| choose(&webcam(), &wanted, of_webcam).unwrap().to_string();
        let size = Some(Size { width: 1600, height: 900 });
        let rate = FrameRate::new(60, 1);
        let format = Some(PictureFormat::Uyvy);
        for (wanted, expected) in [
            (
                Wanted { size, format, ..Wanted::default() },
                "UYVY 1280x720 at 30 fps (it has not 1600x900)",
            ),
            (
                Wanted { rate, format, ..Wanted::default() },
                "UYVY 1280x720 at 30 fps (it has not 60 fps)",
            ),
            (
                Wanted { size, rate, format, ..Wanted::default() },
                "UYVY 1280x720 at 30 fps (it has not 1600x900 at 60 fps)",
            ),
            (
                Wanted {
                    rate: FrameRate::new(30_000, 1001),
                    format,
                    size: Some(HD),
                    ..Wanted::default()
                },
                "UYVY 1280x720 at 30 fps",
            ),
        ] {
            assert_eq!(said(wanted), expected);
        }
    }

    #[test]
    fn formats_by_their_names_and_codes() {
        for (text, format) in [
            ("mjpeg", Some(PictureFormat::Mjpeg)),
            ("MJPG", Some(PictureFormat::Mjpeg)),
            ("NM12", Some(PictureFormat::Nv12)),
            ("yu12", Some(PictureFormat::I420)),
            ("H264", Some(PictureFormat::H264)),
            ("rgb24", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), format, "{text}");
        }
    }

    #[test]
    fn ranges_are_met_on_their_steps() {
        let (width, height) = (64..=2000, 32..=1100);
        let sizes = Sizes::Stepwise { width, width_step: 16, height, height_step: 2 };
        let offers = [Offer { pixel_format: PixelFormat::NV12, sizes: Some(sizes) }];
        let between = |_: PixelFormat, _: Size| {
            Some(Intervals::Between(Interval::new(1, 90)?, Interval::new(1, 5)?))
        };
        for (wanted, expected) in [
            (Wanted::default(), "NV12 1280x720 at 30 fps"),
            (
                Wanted { rate: FrameRate::new(120, 1), ..Wanted::default() },
                "NV12 1280x720 at 90 fps",
            ),
            (
                Wanted { rate: FrameRate::new(30_000, 1001), ..Wanted::default() },
                "NV12 1280x720 at 29.97 fps",
            ),
            (
                Wanted {
                    rate: FrameRate::new(1, 1),
                    size: Some(Size { width: 99, height: 5 }),
                    ..Wanted::default()
                },
                "NV12 96x32 at 5 fps",
            ),
        ] {
            let reasoned = choose(&offers, &wanted, between).unwrap();
            assert_eq!(reasoned.choice.to_string(), expected, "{wanted:?}");
        }
    }

    #[test]
    fn a_driver_that_tells_nothing_is_asked_for_the_usual() {
        let offers = [Offer { pixel_format: PixelFormat::YUYV, sizes: None }];
        let choice = choose(&offers, &Wanted::default(), |_, _| None).unwrap().choice;
        assert_eq!(choice, Choice { pixel_format: PixelFormat::YUYV, size: HD, interval: None });
    }

    #[test]
    fn refusals_say_what_there_is() {
        let grey = [offer(PixelFormat::new(*b"GREY"), &[VGA])];
        let refusal = choose(&grey, &Wanted::default(), of_webcam).unwrap_err();
        assert!(refusal.to_string().starts_with("it gives GREY, of which nothing"), "{refusal}");
        let wanted = Wanted { format: Some(PictureFormat::H264), ..Wanted::default() };
        let refusal = choose(&webcam(), &wanted, of_webcam).unwrap_err();
        assert_eq!(refusal.to_string(), "it does not give h264, but YUYV, UYVY");
        let refusal = choose(&[], &Wanted::default(), of_webcam).unwrap_err();
        assert!(refusal.to_string().starts_with("it gives no format at all"), "{refusal}");
    }
}
