//! Software encoding with Cisco's openh264, through the safe API of the crate of that name.
//!
//! Constrained Baseline, one slice per picture, one reference: every decoder can play it, and the
//! SPS rules out reordering. The library's own defaults are made for a video call (120 kbit/s,
//! pictures skipped to keep to it, an IDR only at the start or when the scene changes); here each
//! is set, so that every picture given is encoded and an IDR comes when it was promised.

use std::collections::VecDeque;

use ::openh264::{
    OpenH264API, Timestamp,
    encoder::{
        BitRate, Complexity, EncodedBitStream, Encoder as Library, EncoderConfig, FrameRate,
        IntraFramePeriod, Profile, QpRange, RateControlMode, SpsPpsStrategy, UsageType, VuiConfig,
    },
    formats::YUVSource,
};
use media::{AccessUnit, Colours, Frame, I420Layout};
use v4l2::Waker;

use crate::{Config, Encoder, Error, Picture, Received};

mod raw;

/// Whether openh264 was built with its hand-written code for the processor's SIMD.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Assembly {
    /// It was.
    Present,
    /// It could have been, with nasm: it is two to three times slower.
    Absent,
    /// It has none for this processor.
    Unknown,
}

impl Assembly {
    /// Of this build: by what the build found where openh264's looks for it.
    pub const HERE: Self = if cfg!(openh264_assembly = "present") {
        Self::Present
    } else if cfg!(openh264_assembly = "absent") {
        Self::Absent
    } else {
        Self::Unknown
    };
}

/// How the work on a picture is shared, and into what a picture is cut.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Threads for one picture; 0 lets the library choose by the number of processors. They share
    /// it by slices. Default 1.
    pub threads: u16,
    /// Bytes over which a slice ends and another begins; `None` makes one of each picture. Below
    /// 16 KiB it would cut the runs of packets that one system call sends. Default `None`.
    pub longest_slice: Option<u32>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { threads: 1, longest_slice: None }
    }
}

/// An openh264 encoder. It works within [`Encoder::submit`].
///
/// An IDR comes every [`Config::gop`] pictures, and one more whenever it was asked for: the count
/// then starts anew, so that no two IDRs are further apart than `gop`, and a viewer who just got
/// one does not pay for the next right away.
pub struct Openh264 {
    config: Config,
    tuning: Tuning,
    library: Library,
    /// Whether it was given a picture: before, the library has no settings to be changed.
    has_begun: bool,
    /// What was made and not received yet.
    ready: VecDeque<AccessUnit>,
    /// Whether the next picture is to be an IDR. The library loses a wish that it hears before its
    /// first picture.
    keyframe_wanted: bool,
}

impl Openh264 {
    /// An encoder for pictures as `config` says.
    ///
    /// Sizes are even, from 16x16 to 3840x2160 or 2160x3840. Rates beyond 60 per second, and below
    /// one, are encoded with as many bits as asked for, but announced with the level of 60 or 1.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when openh264 cannot encode such pictures, and what would do.
    pub fn new(config: &Config) -> Result<Self, Error> {
        Self::tuned(config, Tuning::default())
    }

    /// As [`Openh264::new`], and otherwise tuned: to measure what that makes of it.
    ///
    /// # Errors
    ///
    /// As [`Openh264::new`].
    pub fn tuned(config: &Config, tuning: Tuning) -> Result<Self, Error> {
        check(config)?;
        let settings = settings(config, tuning);
        let mut library =
            Library::with_api_config(OpenH264API::from_source(), settings).map_err(failed)?;
        raw::silence(&mut library);
        Ok(Self {
            config: config.clone(),
            tuning,
            library,
            has_begun: false,
            ready: VecDeque::new(),
            keyframe_wanted: false,
        })
    }

    fn encode(&mut self, frame: &Frame) -> Result<Option<AccessUnit>, Error> {
        if frame.layout() != self.config.layout {
            return Err(Error::Failed {
                encoder: NAME.to_owned(),
                reason: format!(
                    "a picture of {} in a stream of {}",
                    size(frame.layout()),
                    size(self.config.layout)
                ),
            });
        }
        if std::mem::take(&mut self.keyframe_wanted) {
            self.library.force_intra_frame();
        }
        self.has_begun = true;
        let time = Timestamp::from_millis(frame.time().as_nanos() / NANOS_PER_MILLI);
        let stream = self.library.encode_at(&Planes(frame), time).map_err(failed)?;
        let annexb = concatenated(&stream);
        Ok((!annexb.is_empty()).then(|| AccessUnit::from_annexb(annexb.into(), frame.time())))
    }
}

impl Encoder for Openh264 {
    fn name(&self) -> &str {
        NAME
    }

    fn has_room(&self) -> bool {
        self.ready.is_empty()
    }

    fn submit(&mut self, picture: Picture) -> Result<(), Error> {
        let Picture::Raw(frame) = picture else {
            let reason = "a picture in the memory of a device".to_owned();
            return Err(Error::Failed { encoder: NAME.to_owned(), reason });
        };
        let unit = self.encode(&frame)?;
        self.ready.extend(unit);
        Ok(())
    }

    fn receive(&mut self, _: Option<&Waker>) -> Result<Received, Error> {
        Ok(self.ready.pop_front().map_or(Received::Idle, Received::Unit))
    }

    fn in_flight(&self) -> usize {
        self.ready.len()
    }

    fn force_keyframe(&mut self) {
        self.keyframe_wanted = true;
    }

    fn set_bitrate(&mut self, bitrate: u32) -> Result<(), Error> {
        let config = Config { bitrate, ..self.config.clone() };
        if !self.has_begun {
            let keyframe_wanted = self.keyframe_wanted;
            *self = Self { keyframe_wanted, ..Self::tuned(&config, self.tuning)? };
            return Ok(());
        }
        check(&config)?;
        let (_, of_library) = rate_and_bitrate(&config);
        let is_raised = bitrate > self.config.bitrate;
        raw::set_bitrate(&mut self.library, of_library, is_raised).map_err(|code| {
            let reason = format!("it does not take {bitrate} bit/s (error {code})");
            Error::Failed { encoder: NAME.to_owned(), reason }
        })?;
        self.config = config;
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// The one copy of the encoded picture: out of the library's buffer, which the next picture
/// overwrites.
fn concatenated(stream: &EncodedBitStream<'_>) -> Vec<u8> {
    let layers = || (0..stream.num_layers()).filter_map(|index| stream.layer(index));
    let size = layers()
        .flat_map(|layer| {
            (0..layer.nal_count()).map(move |index| layer.nal_unit(index).map_or(0, <[u8]>::len))
        })
        .sum();
    let mut annexb = Vec::with_capacity(size);
    stream.write_vec(&mut annexb);
    annexb
}

/// The planes of a frame, lent to the library without a copy.
struct Planes<'a>(&'a Frame);

impl YUVSource for Planes<'_> {
    fn dimensions(&self) -> (usize, usize) {
        (self.0.layout().width() as usize, self.0.layout().height() as usize)
    }

    fn strides(&self) -> (usize, usize, usize) {
        self.0.layout().strides().into()
    }

    fn y(&self) -> &[u8] {
        self.0.planes()[0]
    }

    fn u(&self) -> &[u8] {
        self.0.planes()[1]
    }

    fn v(&self) -> &[u8] {
        self.0.planes()[2]
    }
}

fn check(config: &Config) -> Result<(), Error> {
    let unsupported = |what: String, reason: &str| {
        Err(Error::Unsupported { encoder: NAME.to_owned(), what, reason: reason.to_owned() })
    };
    let layout = config.layout;
    let (short, long) = (layout.width().min(layout.height()), layout.width().max(layout.height()));
    if [layout.width(), layout.height()].iter().any(|side| !side.is_multiple_of(2)) {
        let even = format!(
            "both sides must be even: {}x{} would do",
            layout.width() & !1,
            layout.height() & !1
        );
        return unsupported(size(layout), &even);
    }
    if short < 16 {
        return unsupported(size(layout), "both sides must be at least 16");
    }
    if long > 3840 || short > 2160 {
        return unsupported(size(layout), "the largest size is 3840x2160, or 2160x3840 upright");
    }
    if !(LEAST_BITRATE..=GREATEST_BITRATE).contains(&config.bitrate) {
        let range = format!("it must be from {LEAST_BITRATE} to {GREATEST_BITRATE}");
        return unsupported(format!("{} bit/s", config.bitrate), &range);
    }
    if config.gop == 0 {
        return unsupported("a GOP of 0 pictures".to_owned(), "it must be at least 1");
    }
    Ok(())
}

/// What the library is told. It takes rates of 1 to 60; its rate control only divides the one by the
/// other, so that a bitrate changed in proportion leaves as many bits for each picture.
fn rate_and_bitrate(config: &Config) -> (f64, u32) {
    let rate = config.rate.as_f64().clamp(1.0, 60.0);
    let bitrate = f64::from(config.bitrate) * rate / config.rate.as_f64();
    (rate, bitrate.clamp(f64::from(LEAST_BITRATE), f64::from(GREATEST_BITRATE)) as u32)
}

fn settings(config: &Config, tuning: Tuning) -> EncoderConfig {
    let (rate, bitrate) = rate_and_bitrate(config);
    let settings = EncoderConfig::new()
        .usage_type(UsageType::CameraVideoRealTime)
        .profile(Profile::Baseline)
        .bitrate(BitRate::from_bps(bitrate))
        .max_frame_rate(FrameRate::from_hz(rate as f32))
        // Of the modes that keep to a bitrate, this one comes nearest, with the smallest IDRs after
        // a cut. Skipping pictures would also skip IDRs.
        .rate_control_mode(RateControlMode::Quality)
        .skip_frames(false)
        // The library's own range ends at 42, where a busy picture exceeds a low bitrate.
        .qp(QpRange::new(12, 51))
        .intra_frame_period(IntraFramePeriod::from_num_frames(config.gop))
        .scene_change_detect(false)
        .sps_pps_strategy(SpsPpsStrategy::ConstantId)
        // Medium costs a fifth more time for 0.4 dB.
        .complexity(Complexity::Low)
        .num_threads(tuning.threads)
        .vui(vui(config.colours));
    match tuning.longest_slice {
        Some(bytes) => settings.max_slice_len(bytes),
        None => settings,
    }
}

/// What goes into the SPS. Of the code points the library's wrapper lacks those for the cinema.
fn vui(colours: Colours) -> VuiConfig {
    use ::openh264::encoder::{
        ColorPrimaries as P, MatrixCoefficients as M, TransferCharacteristics as T,
    };
    let Colours { primaries, transfer, matrix, full_range } = colours;
    let known = [P::Bt709, P::Bt470M, P::Bt470BG, P::Smpte170M, P::Smpte240M, P::Film, P::Bt2020];
    let known = known.into_iter().find(|known| known.as_u8() == primaries);
    let vui = VuiConfig::new().color_primaries(known.unwrap_or(P::Unspecified));
    let known = [
        T::Bt709,
        T::Bt470M,
        T::Bt470Bg,
        T::Smpte170M,
        T::Smpte240M,
        T::Linear,
        T::Srgb,
        T::Bt2020_10,
        T::Bt2020_12,
        T::Smpte2084,
        T::Hlg,
    ];
    let known = known.into_iter().find(|known| known.as_u8() == transfer);
    let vui = vui.transfer_characteristics(known.unwrap_or(T::Unspecified));
    let known =
        [M::Bt709, M::Fcc, M::Bt470Bg, M::Smpte170M, M::Smpte240M, M::Bt2020Ncl, M::Bt2020Cl];
    let known = known.into_iter().find(|known| known.as_u8() == matrix);
    vui.matrix_coefficients(known.unwrap_or(M::Unspecified)).full_range(full_range)
}

fn failed(error: ::openh264::Error) -> Error {
    Error::Failed { encoder: NAME.to_owned(), reason: error.to_string() }
}

fn size(layout: I420Layout) -> String {
    format!("{}x{}", layout.width(), layout.height())
}

pub(crate) const NAME: &str = "openh264";
const NANOS_PER_MILLI: u64 = 1_000_000;
/// Bits per second below which the library's rate control refuses to start.
const LEAST_BITRATE: u32 = 1_000;
/// H.264 level 5.2, the library's highest (table A-1: 240,000 kbit/s).
const GREATEST_BITRATE: u32 = 240_000_000;
