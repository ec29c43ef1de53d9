//! What the rest of the system needs to know of H.264 (ITU-T H.264, 7.3 and 7.4): parameter sets,
//! and the few fields of an SPS that decide size, profile and reordering.

use bytes::Bytes;
use h264_reader::nal::{
    Nal, RefNal,
    sps::{FrameMbsFlags, PicOrderCntType, SeqParameterSet},
};
use smallvec::SmallVec;

use crate::{access_unit::AccessUnit, time::FrameRate};

pub use crate::nal::NalType;

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
        })
    }
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
mod tests {
    use super::*;
    use crate::time::MediaTime;

    /// 640x480, Constrained Baseline, level 3.0, written by openh264.
    const SPS: &[u8] =
        &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
    const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];

    #[test]
    fn an_sps_says_size_profile_and_reordering() {
        let sps = SpsDescription::parse(SPS).unwrap();
        assert_eq!((sps.width, sps.height), (640, 480));
        assert_eq!(sps.profile_level_id, [0x42, 0xc0, 0x1e]);
        assert_eq!(sps.profile, "Constrained Baseline");
        assert!(!sps.may_reorder);
        assert!(!sps.may_interlace);
        assert_eq!(sps.frame_rate, None);
    }

    /// 64x64, High, B-frames, 30000/1001 frames per second, written by x264.
    const SPS_WITH_TIMING: &[u8] = &[
        0x67, 0x64, 0x00, 0x0a, 0xac, 0xd9, 0x44, 0x26, 0xc0, 0x44, 0x00, 0x00, 0x0f, 0xa4, 0x00,
        0x03, 0xa9, 0x80, 0x3c, 0x48, 0x96, 0x58,
    ];

    #[test]
    fn an_sps_says_its_frame_rate() {
        let sps = SpsDescription::parse(SPS_WITH_TIMING).unwrap();
        assert_eq!(sps.frame_rate, FrameRate::new(30000, 1001));
        assert!(sps.may_reorder);
    }

    /// 64x64 interlaced, written by x264.
    const SPS_OF_FIELDS: &[u8] = &[
        0x67, 0x64, 0x00, 0x15, 0xac, 0xe4, 0x11, 0x36, 0x02, 0x20, 0x00, 0x00, 0x7d, 0x20, 0x00,
        0x1d, 0x4c, 0x03, 0xe2, 0x85, 0x49,
    ];

    #[test]
    fn an_sps_says_whether_it_may_interlace() {
        assert!(SpsDescription::parse(SPS_OF_FIELDS).unwrap().may_interlace);
    }

    #[test]
    fn broken_sets_are_errors() {
        for nal in [&[][..], &[0x67], &SPS[..4], &SPS[..6], PPS] {
            assert!(SpsDescription::parse(nal).is_err(), "{nal:x?}");
        }
        let sps = Bytes::from_static(SPS);
        assert_eq!(ParameterSets::new(sps, []), Err(ParameterSetsError::NoPps));
    }

    #[test]
    fn sets_found_in_band() {
        let mut stream = Vec::new();
        for nal in [SPS, PPS, &[0x65, 0x88]] {
            stream.extend([0, 0, 1]);
            stream.extend(nal);
        }
        let unit = AccessUnit::from_annexb(stream.into(), MediaTime::ZERO);
        let sets = ParameterSets::in_band(&unit).unwrap().unwrap();
        assert_eq!((&sets.sps[..], &sets.pps[0][..]), (SPS, PPS));
    }
}
