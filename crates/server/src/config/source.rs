//! Sources as text: `[NAME=]KIND:ARG[?key=value&key=value]`.
//!
//! ```text
//!  door=file:/videos/100%25.h264?fps=25&…
//!  └┬─┘ └┬─┘└────────┬─────────┘ └──┬──┘
//!  name kind        argument      setting
//! ```
//!
//! Settings of controls hold several: `controls=brightness=10,contrast=5`, as v4l2-ctl takes them.
//!
//! The name ends at the first `=` if no `:` or `?` comes before it; the argument ends at the first
//! `?`. In the path of a file `%` and two hexadecimal digits stand for a byte, as in a URL: `?` is
//! `%3F` and `%` is `%25`; every other character stands for itself.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use capture::{
    synthetic::strip,
    v4l2::{choice::Wanted, name::Name},
};
use encode::Config as Encoder;
use media::{FrameRate, I420Layout};

use crate::config::{
    Camera, Error, File, Offline, Origin, Pipe, Place, Problem, Source,
    source::text::{Argument, Spots, read_kind},
    value::{self, Gop},
};

mod text;

/// The test card with nothing said about it.
pub(super) fn test_card() -> Source {
    let (layout, rate) = (DEFAULT_SIZE, DEFAULT_RATE);
    let bitrate = value::default_bitrate(layout, rate);
    Source::Test(Encoder::new(layout, rate, bitrate, Gop::default().frames(rate)))
}

/// A source taken apart, its settings not yet read.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// What stands before `=`, if that does.
    pub(super) name: Option<(String, Place)>,
    /// Settings, in the order they were written.
    pub(super) settings: Vec<Setting>,
    /// Where the source is written.
    pub(super) place: Place,
    kind: Kind,
    argument: Argument,
}

/// One `key=value`.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// One of [`KEYS`].
    pub(super) key: &'static str,
    /// Not yet read; of controls one, as `brightness=10`.
    pub(super) value: String,
    /// Where the value is written.
    pub(super) place: Place,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    Test,
    File,
    Yuv420p,
    H264,
    Camera,
}

impl Kind {
    const fn label(self) -> &'static str {
        match self {
            Self::Test => "test:",
            Self::File => "file:",
            Self::Yuv420p => "stdin:yuv420p",
            Self::H264 => "stdin:h264",
            Self::Camera => "v4l2:",
        }
    }

    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Test => &["size", "fps", "bitrate", "gop", "encoder", ON_DEMAND],
            Self::Yuv420p => &["size", "fps", "bitrate", "gop", "encoder"],
            Self::File => &["fps", ON_DEMAND],
            Self::H264 => &["fps"],
            Self::Camera => KEYS,
        }
    }

    /// Why `key` does not go with it.
    fn limits(self, key: &str) -> &'static str {
        match self {
            Self::Yuv420p | Self::H264 if key == ON_DEMAND => {
                "which is read as long as it is there"
            }
            _ if key == OFFLINE => "which is no camera",
            Self::File | Self::H264 => "which is H.264 already and is not encoded again",
            Self::Test | Self::Yuv420p | Self::Camera => "which is no camera",
        }
    }
}

impl Draft {
    /// Takes `text` apart. Keys that do not exist and settings without a value are put in
    /// `errors`; `None` when it cannot even be said what kind of source it is.
    pub(super) fn parse(text: &str, origin: &Origin, errors: &mut Vec<Error>) -> Option<Self> {
        let spots = Spots::new(text, origin);
        let (name, rest) = match text.find(['=', ':', '?']) {
            Some(at) if text[at..].starts_with('=') => (Some(&text[..at]), at + 1),
            _ => (None, 0),
        };
        let name = name.map(|name| (name.to_owned(), spots.at(0, "name")));
        let (head, query) = match text[rest..].split_once('?') {
            Some((head, query)) => (head, Some(query)),
            None => (&text[rest..], None),
        };
        let (kind, argument) = match head.split_once(':') {
            Some((kind, argument)) => (kind, Some(argument)),
            None => (head, None),
        };
        let argument_at = rest + kind.len() + 1;
        let found = read_kind(kind, argument, rest, argument_at);
        let mut settings = Vec::new();
        if let Some(query) = query {
            let query_at = text.len() - query.len();
            let keys = found.as_ref().map_or(KEYS, |(kind, _)| kind.keys());
            spots.settings(query, query_at, keys, &mut settings, errors);
        }
        match found {
            Ok((kind, argument)) => {
                let place = Place::of(origin.clone());
                Some(Self { name, settings, kind, argument, place })
            }
            Err((at, problem)) => {
                errors.push(spots.at(at, "").error(problem));
                None
            }
        }
    }

    /// Puts another path in place of a file's.
    pub(super) fn resolve_path(&mut self, resolve: impl FnOnce(&Path) -> PathBuf) {
        if let Argument::Path(path) = &mut self.argument {
            *path = resolve(path);
        }
    }

    /// Whether this is standard input.
    pub(super) fn is_stdin(&self) -> bool {
        matches!(self.kind, Kind::Yuv420p | Kind::H264)
    }

    /// What is to encode its pictures.
    pub(super) fn encoder(&self, errors: &mut Vec<Error>) -> encode::Choice {
        self.read("encoder", errors, value::encoder).map(|(encoder, _)| encoder).unwrap_or_default()
    }

    /// Whether it runs on demand, where that is said.
    pub(super) fn on_demand(&self, errors: &mut Vec<Error>) -> Option<bool> {
        self.read(ON_DEMAND, errors, value::switch).map(|(on_demand, _)| on_demand)
    }

    /// What is seen while it is away.
    pub(super) fn offline(&self, errors: &mut Vec<Error>) -> Offline {
        self.read(OFFLINE, errors, value::offline).map(|(offline, _)| offline).unwrap_or_default()
    }

    /// Reads the settings. `None` when there was something to put in `errors`.
    pub(super) fn resolve(self, errors: &mut Vec<Error>) -> Option<Source> {
        let before = errors.len();
        let source = match self.kind {
            Kind::Test => self.encoded(Some(DEFAULT_SIZE), errors).map(Source::Test),
            Kind::Yuv420p => {
                let encoder = self.encoded(None, errors);
                encoder.map(|encoder| Source::Stdin(Pipe::Yuv420p(encoder)))
            }
            Kind::H264 => Some(Source::Stdin(Pipe::H264 { rate: self.rate(RATES, errors) })),
            Kind::File => {
                let rate = self.rate(RATES, errors);
                let Argument::Path(path) = &self.argument else { return None };
                Some(Source::File(File { path: path.clone(), rate }))
            }
            Kind::Camera => self.camera(errors).map(Source::Camera),
        };
        self.refuse_unfit(errors);
        source.filter(|_| errors.len() == before)
    }

    fn camera(&self, errors: &mut Vec<Error>) -> Option<Camera> {
        let size = self.read("size", errors, value::size).map(|(size, place)| {
            if let Err(problem) = self.encodable(size) {
                errors.push(place.error(problem));
            }
            ::v4l2::Size { width: size.width(), height: size.height() }
        });
        let rate = self.rate(RATES, errors);
        let format = self.read("format", errors, value::picture_format).map(|(format, _)| format);
        let bitrate = self.read("bitrate", errors, value::bitrate).map(|(bitrate, _)| bitrate);
        // Of a rate that only the camera knows: a time is judged as it is, frames at the fastest.
        let gop = self.gop(rate.unwrap_or(FASTEST_RATE), errors);
        let mut controls: Vec<(String, String)> = Vec::new();
        for setting in self.settings.iter().filter(|setting| setting.key == "controls") {
            match value::control(&setting.value) {
                Ok((name, _)) if controls.iter().any(|(other, _)| *other == name) => {
                    let what = format!("control {name:?}");
                    errors.push(setting.place.error(Problem::Twice { what, hint: "" }));
                }
                Ok(control) => controls.push(control),
                Err(problem) => errors.push(setting.place.error(problem)),
            }
        }
        let name = match &self.argument {
            Argument::Nothing => Name::Any,
            Argument::Path(path) => Name::Path(path.clone()),
            Argument::Name(name) => Name::Stable(name.clone()),
        };
        let wanted = Wanted { format, size, rate, ..Wanted::default() };
        Some(Camera { name, wanted, controls, bitrate, gop })
    }

    fn rate(&self, (least, most): (f64, f64), errors: &mut Vec<Error>) -> Option<FrameRate> {
        let (rate, place) = self.read("fps", errors, value::frame_rate)?;
        within(rate, (least, most), &place, "a frame rate is from 1/10 to 240", errors)
    }

    /// The distance of keyframes; one that is too long at `rate` is among the errors.
    fn gop(&self, rate: FrameRate, errors: &mut Vec<Error>) -> Gop {
        let Some((gop, place)) = self.read("gop", errors, value::gop) else {
            return Gop::default();
        };
        let longest = Gop::Time(LONGEST_GOP).frames(rate);
        if gop.frames(rate) > longest {
            let why = format!(
                "keyframes are at most a minute apart, here {longest} frames: a viewer that lost \
                 a packet sees nothing new until the next"
            );
            let found = match gop {
                Gop::Frames(frames) => format!("{frames} frames"),
                Gop::Time(time) => format!("{time:?}"),
            };
            errors.push(place.error(Problem::impossible(found, why)));
        }
        gop
    }

    fn encoded(&self, default: Option<I420Layout>, errors: &mut Vec<Error>) -> Option<Encoder> {
        let given_size = self.read("size", errors, value::size);
        if let Some((size, place)) = &given_size
            && let Err(problem) = self.encodable(*size)
        {
            errors.push(place.error(problem));
        }
        let is_missing = default.is_none() && !self.settings.iter().any(|s| s.key == "size");
        if is_missing {
            let hint = "raw pictures do not say how large they are; add size=640x480";
            errors.push(self.place.error(Problem::Missing { what: "size", hint }));
        }
        let rate = self
            .read("fps", errors, value::frame_rate)
            .and_then(|(rate, place)| {
                within(rate, ENCODED_RATES, &place, "the encoder takes from 1 to 60", errors)
            })
            .unwrap_or(DEFAULT_RATE);
        let bitrate = self.read("bitrate", errors, value::bitrate).map(|(bitrate, _)| bitrate);
        let frames = self.gop(rate, errors).frames(rate);
        let layout = given_size.map(|(size, _)| size).or(default)?;
        let bitrate = bitrate.unwrap_or_else(|| value::default_bitrate(layout, rate));
        Some(Encoder::new(layout, rate, bitrate, frames))
    }

    /// Whether the encoder, and the card, can be of this size.
    fn encodable(&self, size: I420Layout) -> Result<(), Problem> {
        let (width, height) = (size.width(), size.height());
        let impossible = |why: String| Err(Problem::impossible(format!("{width}x{height}"), why));
        let (least_width, least_height) = match self.kind {
            Kind::Test => (strip::MIN_WIDTH, strip::MIN_HEIGHT),
            _ => (MIN_SIDE, MIN_SIDE),
        };
        if width < least_width || height < least_height {
            return impossible(format!(
                "{} is at least {least_width}x{least_height}",
                match self.kind {
                    Kind::Test => "the test card",
                    _ => "an encoded picture",
                }
            ));
        }
        if width % 2 == 1 || height % 2 == 1 {
            return impossible("both sides of a 4:2:0 picture are even".to_owned());
        }
        if u64::from(width) * u64::from(height) > MAX_PIXELS {
            return impossible(format!(
                "the encoder takes at most {MAX_PIXELS} pixels, as 4096x2304"
            ));
        }
        Ok(())
    }

    /// The value of `key` and its place, if it is given and can be read.
    fn read<T>(
        &self,
        key: &str,
        errors: &mut Vec<Error>,
        read: impl Fn(&str) -> Result<T, Problem>,
    ) -> Option<(T, Place)> {
        if !self.kind.keys().contains(&key) {
            return None;
        }
        let mut given = self.settings.iter().filter(|setting| setting.key == key);
        let first = given.next()?;
        for again in given {
            errors.push(again.place.error(Problem::Twice { what: key.to_owned(), hint: "" }));
        }
        match read(&first.value) {
            Ok(value) => Some((value, first.place.clone())),
            Err(problem) => {
                errors.push(first.place.error(problem));
                None
            }
        }
    }

    fn refuse_unfit(&self, errors: &mut Vec<Error>) {
        let (kind, fits) = (self.kind.label(), self.kind.keys());
        for Setting { key, place, .. } in &self.settings {
            if !fits.contains(key) {
                let why = self.kind.limits(key);
                errors.push(place.error(Problem::Unfit { key, kind, why, fits }));
            }
        }
    }
}

fn within(
    rate: FrameRate,
    (least, most): (f64, f64),
    place: &Place,
    why: &str,
    errors: &mut Vec<Error>,
) -> Option<FrameRate> {
    if (least..=most).contains(&rate.as_f64()) {
        return Some(rate);
    }
    errors.push(place.error(Problem::impossible(rate, why)));
    None
}

/// Every key of a source.
pub(super) const KEYS: &[&str] =
    &["size", "fps", "format", "bitrate", "gop", "encoder", CONTROLS, ON_DEMAND, OFFLINE];
/// The key whose values are several: each is a setting of its own.
pub(super) const CONTROLS: &str = "controls";
/// The key that is true or false.
pub(super) const ON_DEMAND: &str = "on_demand";
const OFFLINE: &str = "offline";
const DEFAULT_SIZE: I420Layout = I420Layout::new(1280, 720).unwrap();
const DEFAULT_RATE: FrameRate = FrameRate::new(30, 1).unwrap();
/// Frames per second that openh264 does not round to its own bounds.
const ENCODED_RATES: (f64, f64) = (1.0, 60.0);
/// Frames per second of what is H.264 already.
const RATES: (f64, f64) = (0.1, 240.0);
/// One macroblock.
const MIN_SIDE: u32 = 16;
/// The largest picture of H.264 level 5.2, and of openh264.
const MAX_PIXELS: u64 = 36_864 * 256;
const FASTEST_RATE: FrameRate = FrameRate::new(240, 1).unwrap();
const LONGEST_GOP: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
