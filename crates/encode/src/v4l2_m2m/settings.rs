//! How an encoder is set up: formats, rate, crop, controls, in the order that suits all drivers.
//!
//! The coded format comes first: it decides what is taken. Some drivers (NVIDIA's) refuse the other
//! order, none this one. Buffers come last.

use media::FrameRate;
use tracing::{debug, warn};
use v4l2::{
    Control, ControlId, ControlKind, Device, Format, Interval, PixelFormat, QueueKind, Size, Value,
    format::PlaneFormat, uapi::control as ctl,
};

use super::{colours::color, find::Candidate, sharing};
use crate::{Config, Error, level::Level};

/// What was set.
pub(super) struct Settings {
    /// The queue of raw pictures.
    pub(super) output: QueueKind,
    /// The queue of coded ones.
    pub(super) capture: QueueKind,
    /// How raw pictures are to lie.
    pub(super) format: Format,
    pub(super) controls: Controls,
}

/// What can be changed while it works.
pub(super) struct Controls {
    /// With the value that asks for it.
    pub(super) force_keyframe: Option<(Control, i64)>,
    pub(super) bitrate: Option<Control>,
}

/// Sets an encoder up for `config`, and for pictures that lie as `theirs` if it takes such.
///
/// # Errors
///
/// When it cannot encode such pictures, or refuses what cannot be done without.
pub(super) fn set_up(
    device: &Device,
    name: &str,
    candidate: &Candidate,
    config: &Config,
    theirs: Option<&Format>,
) -> Result<Settings, Error> {
    let size = Size { width: config.layout.width(), height: config.layout.height() };
    let unsupported = |reason: String| Error::Unsupported {
        encoder: name.to_owned(),
        what: size.to_string(),
        reason,
    };
    let queues = device.capability().memory_to_memory();
    let (output, capture) =
        queues.ok_or_else(|| unsupported("it does not work from memory to memory".to_owned()))?;
    set_coded_format(device, capture, size, config)?;
    let first = candidate.formats.first().copied();
    let first = first.ok_or_else(|| unsupported("it takes no known format".to_owned()))?;
    let own =
        |pixel_format| Format { color: color(config.colours), ..Format::new(size, pixel_format) };
    let mut asked = own(first);
    if let Some(theirs) = theirs.filter(|theirs| candidate.formats.contains(&theirs.pixel_format)) {
        // The rows as they are; how much memory that is, the driver says.
        let plane = |plane: &PlaneFormat| PlaneFormat { stride: plane.stride, size: 0 };
        let planes = theirs.planes.iter().map(plane).collect();
        asked = Format { planes, color: theirs.color, ..own(theirs.pixel_format) };
    }
    let mut format = device.set_format(output, &asked)?;
    if theirs.is_some_and(|theirs| sharing::difference(&format, theirs).is_some()) {
        // Nothing can be shared: as suits pictures that are copied.
        asked = own(first);
        format = device.set_format(output, &asked)?;
    }
    let pixel_format = asked.pixel_format;
    if format.pixel_format != pixel_format {
        return Err(unsupported(format!("asked to take {asked}, it takes {format}")));
    }
    if format.size.width < size.width || format.size.height < size.height {
        return Err(unsupported(format!("its pictures have at most {}", format.size)));
    }
    set_rate(device, output, config.rate);
    let crop = device.set_crop(output, size);
    if format.size != size {
        match crop? {
            Some(crop) if crop == size => {}
            _ => {
                let reason = format!("it makes {} of it, and cannot be told to crop", format.size);
                return Err(unsupported(reason));
            }
        }
    } else if let Err(error) = crop {
        debug!(%error, "no crop, and none is needed");
    }
    let controls = Setter { device }.set_all(config)?;
    Ok(Settings { output, capture, format, controls })
}

/// H.264, with buffers that a keyframe fits into.
fn set_coded_format(
    device: &Device,
    capture: QueueKind,
    size: Size,
    config: &Config,
) -> Result<(), Error> {
    let asked = Format::new(size, PixelFormat::H264);
    let given = device.set_format(capture, &asked)?;
    // A second of the stream is more than any picture has; no encoder makes more than there was.
    let second = config.bitrate / 8;
    let raw = u32::try_from(config.layout.size()).unwrap_or(u32::MAX);
    let wanted = second.clamp(LEAST_CODED, raw.max(LEAST_CODED));
    if given.planes.first().is_none_or(|plane| plane.size < wanted) {
        let planes = vec![PlaneFormat { stride: 0, size: wanted }];
        device.set_format(capture, &Format { planes, ..asked })?;
    }
    Ok(())
}

fn set_rate(device: &Device, output: QueueKind, rate: FrameRate) {
    let Some(interval) = Interval::new(rate.denominator(), rate.numerator()) else { return };
    match device.set_interval(output, interval) {
        Ok(Some(set)) if (set.rate() - interval.rate()).abs() > 0.5 => {
            warn!(asked = %interval, %set, "the encoder reckons with another rate");
        }
        Ok(Some(_)) => {}
        Ok(None) => debug!("the encoder takes no rate"),
        Err(error) => debug!(%error, "the encoder takes no rate"),
    }
}

/// Sets controls that are there; each is asked for first.
struct Setter<'a> {
    device: &'a Device,
}

impl Setter<'_> {
    fn set_all(&self, config: &Config) -> Result<Controls, Error> {
        let is_high = self.set_profile()?;
        self.set_level(config, is_high)?;
        let bitrate = self.find(ctl::V4L2_CID_MPEG_VIDEO_BITRATE)?;
        match &bitrate {
            Some(control) => self.set(control, config.bitrate.into()),
            None => warn!("the encoder takes no bitrate"),
        }
        let gop = i64::from(config.gop);
        for (id, value) in [
            (ctl::V4L2_CID_MPEG_VIDEO_BITRATE_MODE, ctl::V4L2_MPEG_VIDEO_BITRATE_MODE_VBR),
            (ctl::V4L2_CID_MPEG_VIDEO_FRAME_RC_ENABLE, 1),
            (ctl::V4L2_CID_MPEG_VIDEO_B_FRAMES, 0),
            (ctl::V4L2_CID_MPEG_VIDEO_GOP_SIZE, gop),
            (ctl::V4L2_CID_MPEG_VIDEO_H264_I_PERIOD, gop),
            (GOP_CLOSURE, 1),
            (
                ctl::V4L2_CID_MPEG_VIDEO_HEADER_MODE,
                ctl::V4L2_MPEG_VIDEO_HEADER_MODE_JOINED_WITH_1ST_FRAME,
            ),
            // Parameter sets are put in here; a Raspberry Pi's firmware that repeats them stops
            // after some hours (raspberrypi/linux #4520).
            (ctl::V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER, 0),
            (ctl::V4L2_CID_MPEG_VIDEO_PREPEND_SPSPPS_TO_IDR, 0),
        ] {
            if let Some(control) = self.find(id)? {
                self.set(&control, value);
            }
        }
        let mut force_keyframe = None;
        for (id, value) in
            [(ctl::V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, 0), (FORCE_FRAME_TYPE, FORCE_I_FRAME)]
        {
            if force_keyframe.is_none() {
                force_keyframe = self.find(id)?.map(|control| (control, value));
            }
        }
        if force_keyframe.is_none() {
            debug!("the encoder makes no keyframes on demand");
        }
        Ok(Controls { force_keyframe, bitrate })
    }

    /// The best that all players have; whether it is High.
    fn set_profile(&self) -> Result<bool, Error> {
        let Some(control) = self.find(ctl::V4L2_CID_MPEG_VIDEO_H264_PROFILE)? else {
            return Ok(false);
        };
        let ControlKind::Menu { entries, .. } = &control.kind else { return Ok(false) };
        let is_there = |profile: &&i64| entries.iter().any(|entry| entry.value == **profile);
        let Some(&profile) = PROFILES.iter().find(is_there) else { return Ok(false) };
        self.set(&control, profile);
        if let Some(control) = self.find(ENTROPY_MODE)? {
            self.set(&control, i64::from(profile >= PROFILE_MAIN));
        }
        Ok(profile == PROFILE_HIGH)
    }

    fn set_level(&self, config: &Config, is_high: bool) -> Result<(), Error> {
        let Some(control) = self.find(ctl::V4L2_CID_MPEG_VIDEO_H264_LEVEL)? else { return Ok(()) };
        let Config { layout, rate, bitrate, .. } = *config;
        let lowest = Level::lowest(layout, rate, bitrate, is_high);
        let ControlKind::Menu { entries, .. } = &control.kind else { return Ok(()) };
        let levels = || entries.iter().filter_map(|entry| Level::of_menu(entry.value));
        let enough = levels().filter(|level| lowest.is_some_and(|lowest| *level >= lowest)).min();
        let Some(level) = enough.or_else(|| levels().max()) else { return Ok(()) };
        if enough.is_none() {
            warn!(%level, "the encoder has no level for as much: it may not keep up");
        }
        debug!(%level, "level");
        self.set(&control, level.menu_value());
        Ok(())
    }

    fn find(&self, id: u32) -> Result<Option<Control>, Error> {
        let control = self.device.control(ControlId(id))?;
        Ok(control.filter(|control| !control.access.read_only))
    }

    /// What is refused is done without.
    fn set(&self, control: &Control, value: i64) {
        let nearest = nearest(control, value);
        if nearest != value {
            debug!(control = control.name(), value, nearest, "the nearest that the encoder takes");
        }
        match self.device.set_value(control, &Value::Number(nearest)) {
            Ok(()) => debug!(control = control.name(), value = nearest, "set"),
            Err(error) => debug!(%error, "the encoder does without"),
        }
    }
}

/// What V4L2_CID_MIN_BUFFERS_FOR_* says: a driver that has not as many does not begin. 1 where it
/// says nothing, or nonsense.
pub(super) fn least_buffers(device: &Device, id: u32) -> u32 {
    let control = device.control(ControlId(id)).ok().flatten();
    match control.and_then(|control| device.value(&control).ok().flatten()) {
        Some(Value::Number(count)) => u32::try_from(count).unwrap_or(1).clamp(1, MOST_BUFFERS),
        _ => 1,
    }
}

/// The value in a control's range that is nearest to `value`.
pub(super) fn nearest(control: &Control, value: i64) -> i64 {
    let ControlKind::Integer { minimum, maximum, step, .. } = control.kind else { return value };
    let value = value.clamp(minimum, maximum.max(minimum));
    // At most the range, which is that of an i64.
    let steps = value.abs_diff(minimum) / step.max(1);
    minimum.saturating_add_unsigned(steps.saturating_mul(step.max(1)))
}

/// As many as there may be in all are never needed at once.
const MOST_BUFFERS: u32 = 16;
/// Bytes: what a Raspberry Pi's driver has for small pictures.
const LEAST_CODED: u32 = 512 << 10;
/// In order of preference: High, Main, Constrained Baseline, Baseline.
const PROFILES: [i64; 4] = [PROFILE_HIGH, PROFILE_MAIN, 1, 0];
const PROFILE_MAIN: i64 = 2;
const PROFILE_HIGH: i64 = 4;
/// V4L2_CID_MPEG_VIDEO_GOP_CLOSURE: no picture refers to one before the keyframe.
const GOP_CLOSURE: u32 = 0x0099_0900 + 204;
/// V4L2_CID_MPEG_VIDEO_H264_ENTROPY_MODE: 0 is CAVLC, 1 CABAC.
const ENTROPY_MODE: u32 = 0x0099_0900 + 357;
/// V4L2_CID_MPEG_MFC51_VIDEO_FORCE_FRAME_TYPE, which NVIDIA's have, too.
const FORCE_FRAME_TYPE: u32 = 0x0099_1100 + 3;
/// V4L2_MPEG_MFC51_VIDEO_FORCE_FRAME_TYPE_I_FRAME.
const FORCE_I_FRAME: i64 = 1;
