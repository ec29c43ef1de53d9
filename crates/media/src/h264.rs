//! What the rest of the system needs to know of H.264 (ITU-T H.264, 7.3 and 7.4): parameter sets,
//! and the few fields of an SPS that decide size, profile and reordering.

use bytes::Bytes;
use h264_reader::nal::{
    Nal, RefNal,
    sps::{FrameMbsFlags, PicOrderCntType, SeqParameterSet},
};
use smallvec::SmallVec;

use crate::{access_unit::AccessUnit, colours::Colours, time::FrameRate};

pub use self::vui::{with_colours, without_reordering};
pub use crate::nal::NalType;

mod bits;
mod vui;

/// A sequence parameter set and the picture parameter sets that go with it, as NAL units without
/// start codes: what a decoder must have before the first picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSets {
    /// The SPS NAL unit, header byte included, at least four bytes.
    pub sps: Bytes,
    /// The PPS NAL units, at least one, in the order they came.
    pub pps: SmallVec<[Bytes; 1]>,
    description: SpsDescription,
}

impl ParameterSets {
    /// From NAL units as they stand in a file's header or an access unit.
    ///
    /// # Errors
    ///
    /// When the SPS cannot be parsed, or there is no PPS.
    pub fn new(
        sps: Bytes,
        pps: impl IntoIterator<Item = Bytes>,
    ) -> Result<Self, ParameterSetsError> {
        let description = SpsDescription::parse(&sps)?;
        let pps: SmallVec<[Bytes; 1]> = pps.into_iter().filter(|pps| !pps.is_empty()).collect();
        if pps.is_empty() {
            return Err(ParameterSetsError::NoPps);
        }
        Ok(Self { sps, pps, description })
    }

    /// The sets that stand in `unit` itself; `None` when it has no SPS or no PPS.
    ///
    /// # Errors
    ///
    /// When an SPS is there but cannot be parsed.
    pub fn in_band(unit: &AccessUnit) -> Result<Option<Self>, ParameterSetsError> {
        let of = |kind| unit.nals().filter(move |nal| NalType::of(nal[0]) == kind);
        let Some(sps) = of(NalType::Sps).next() else { return Ok(None) };
        let mut pps = of(NalType::Pps).map(Bytes::copy_from_slice).peekable();
        if pps.peek().is_none() {
            return Ok(None);
        }
        Self::new(Bytes::copy_from_slice(sps), pps).map(Some)
    }

    /// What the SPS says.
    pub fn description(&self) -> &SpsDescription {
        &self.description
    }
}

/// Why parameter sets cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterSetsError {
    /// The SPS is truncated or breaks the syntax of H.264 7.3.2.1.
    #[error("the sequence parameter set cannot be parsed: {0}")]
    Sps(String),
    /// There is an SPS but no PPS.
    #[error("there is no picture parameter set")]
    NoPps,
}

/// The fields of an SPS that decide how a stream is announced and timed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpsDescription {
    /// Displayed width in pixels, after cropping.
    pub width: u32,
    /// Displayed height in pixels, after cropping.
    pub height: u32,
    /// `profile_idc`, the constraint flags and `level_idc`: bytes 1 to 3 of the NAL unit, and the
    /// `profile-level-id` of RFC 6184 section 8.1.
    pub profile_level_id: [u8; 3],
    /// The profile's name, as "Constrained Baseline" or "High".
    pub profile: &'static str,
    /// Whether pictures may be shown in another order than they are decoded in (B-frames). False
    /// only where the SPS rules it out.
    pub may_reorder: bool,
    /// Whether pictures may be single fields (H.264 `frame_mbs_only_flag` is 0).
    pub may_interlace: bool,
    /// Frames per second as the VUI states them (H.264 E.2.1), where it does: a hint that
    /// encoders are known to get wrong.
    pub frame_rate: Option<FrameRate>,
    /// What the samples mean, where the VUI states it (H.264 E.2.1, `video_signal_type`).
    pub colours: Option<Colours>,
}

impl SpsDescription {
    /// Reads an SPS NAL unit (header byte included).
    ///
    /// # Errors
    ///
    /// When it is not an SPS, is truncated, or breaks the syntax.
    pub fn parse(nal: &[u8]) -> Result<Self, ParameterSetsError> {
        let error = |reason: String| ParameterSetsError::Sps(reason);
        let &[header, profile_idc, constraints, level_idc, ..] = nal else {
            return Err(error(format!("{} bytes are too few", nal.len())));
        };
        if NalType::of(header) != NalType::Sps {
            return Err(error(format!("NAL unit type {} is not an SPS", header & 0x1f)));
        }
        let bits = RefNal::new(nal, &[], true).rbsp_bits();
        let sps = SeqParameterSet::from_bits(bits).map_err(|e| error(format!("{e:?}")))?;
        let (width, height) = sps.pixel_dimensions().map_err(|e| error(format!("{e:?}")))?;
        if width == 0 || height == 0 {
            return Err(error(format!("{width}x{height} is no picture size")));
        }
        let profile = profile_name(profile_idc, constraints);
        Ok(Self {
            width,
            height,
            profile_level_id: [profile_idc, constraints, level_idc],
            profile,
            may_reorder: may_reorder(&sps, profile_idc),
            may_interlace: !matches!(sps.frame_mbs_flags, FrameMbsFlags::Frames),
            frame_rate: frame_rate(&sps),
            colours: colours(&sps),
        })
    }
}

/// `pic_parameter_set_id`, the first field of a PPS (H.264 7.3.2.2): an Exp-Golomb code of at most
/// 17 bits, in which no emulation prevention byte can stand. `None` when it is over 255, or when
/// `nal` is no PPS.
///
/// ```text
///  +---------------+- - - - - - - - - - - - - - -
///  |F|NRI| Type=8  |0…0|1|x…x| seq_parameter_set_id …
///  +---------------+- - - - - - - - - - - - - - -
///                    n     n bits: id + 1 = 1x…x
/// ```
pub fn pps_id(nal: &[u8]) -> Option<u32> {
    nal.first().filter(|&&header| NalType::of(header) == NalType::Pps)?;
    let at = |index: usize| u32::from(nal.get(index).copied().unwrap_or(0));
    let bits = at(1) << 24 | at(2) << 16 | at(3) << 8;
    let zeros = bits.leading_zeros();
    let code = bits.checked_shr(31u32.checked_sub(2 * zeros)?)?;
    code.checked_sub(1).filter(|&id| id <= 255)
}

/// Baseline has no B slices (H.264 A.2.1); picture order count type 2 makes output order decoding
/// order (8.2.1.3); otherwise the bitstream restriction decides, and its absence means "may".
fn may_reorder(sps: &SeqParameterSet, profile_idc: u8) -> bool {
    if profile_idc == 66 || matches!(sps.pic_order_cnt, PicOrderCntType::TypeTwo) {
        return false;
    }
    sps.vui_parameters
        .as_ref()
        .and_then(|vui| vui.bitstream_restrictions.as_ref())
        .is_none_or(|restrictions| restrictions.max_num_reorder_frames > 0)
}

/// A frame lasts two ticks, one for each field (H.264 E.2.1, `num_units_in_tick`).
fn frame_rate(sps: &SeqParameterSet) -> Option<FrameRate> {
    let timing = sps.vui_parameters.as_ref()?.timing_info.as_ref()?;
    let ticks = timing.num_units_in_tick.checked_mul(2)?;
    let (mut divisor, mut rest) = (timing.time_scale, ticks);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    FrameRate::new(timing.time_scale / divisor.max(1), ticks / divisor.max(1))
}

fn colours(sps: &SeqParameterSet) -> Option<Colours> {
    let signal = sps.vui_parameters.as_ref()?.video_signal_type.as_ref()?;
    let full_range = signal.video_full_range_flag;
    let description = signal.colour_description.as_ref();
    let [primaries, transfer, matrix] = description.map_or([Colours::UNSPECIFIED; 3], |said| {
        [said.colour_primaries, said.transfer_characteristics, said.matrix_coefficients]
    });
    Some(Colours { primaries, transfer, matrix, full_range })
}

fn profile_name(profile_idc: u8, constraints: u8) -> &'static str {
    let constraint_set1 = constraints & 0x40 != 0;
    match profile_idc {
        66 if constraint_set1 => "Constrained Baseline",
        66 => "Baseline",
        77 => "Main",
        88 => "Extended",
        100 => "High",
        110 => "High 10",
        122 => "High 4:2:2",
        244 => "High 4:4:4 Predictive",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests;
