//! Parameter sets as encoders write them, and as none at hand does.

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
    0x67, 0x64, 0x00, 0x0a, 0xac, 0xd9, 0x44, 0x26, 0xc0, 0x44, 0x00, 0x00, 0x0f, 0xa4, 0x00, 0x03,
    0xa9, 0x80, 0x3c, 0x48, 0x96, 0x58,
];

#[test]
fn an_sps_says_its_frame_rate() {
    let sps = SpsDescription::parse(SPS_WITH_TIMING).unwrap();
    assert_eq!(sps.frame_rate, FrameRate::new(30000, 1001));
    assert!(sps.may_reorder);
}

/// 64x64 interlaced, written by x264.
const SPS_OF_FIELDS: &[u8] = &[
    0x67, 0x64, 0x00, 0x15, 0xac, 0xe4, 0x11, 0x36, 0x02, 0x20, 0x00, 0x00, 0x7d, 0x20, 0x00, 0x1d,
    0x4c, 0x03, 0xe2, 0x85, 0x49,
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
    assert_eq!(ParameterSets::new(sps.clone(), []), Err(ParameterSetsError::NoPps));
    assert_eq!(ParameterSets::new(sps, [Bytes::new()]), Err(ParameterSetsError::NoPps));
}

#[test]
fn pps_identifiers() {
    for (bytes, id) in [
        (&[0x68, 0b1000_0000][..], Some(0)),
        (&[0x68, 0b0100_0000], Some(1)),
        (&[0x68, 0b0110_0000], Some(2)),
        (&[0x68, 0b0000_1111], Some(29)),
        (&[0x68, 0, 0b1000_0000, 0], Some(255)),
        (&[0x68, 0, 0b1000_0000, 0b1000_0000], None),
        (&[0x68, 0, 0, 0x80], None),
        (&[0x68], None),
    ] {
        assert_eq!(pps_id(bytes), id, "{bytes:02x?}");
    }
}

#[test]
fn profiles_have_their_names() {
    for (profile_idc, constraints, name) in [
        (66, 0x00, "Baseline"),
        (66, 0x80, "Baseline"),
        (66, 0x40, "Constrained Baseline"),
        (66, 0xc0, "Constrained Baseline"),
        (77, 0x40, "Main"),
        (88, 0x00, "Extended"),
        (100, 0x00, "High"),
        (110, 0x00, "High 10"),
        (122, 0x00, "High 4:2:2"),
        (244, 0x00, "High 4:4:4 Predictive"),
        (118, 0x00, "unknown"),
    ] {
        assert_eq!(profile_name(profile_idc, constraints), name, "{profile_idc} {constraints:x}");
    }
}

/// Who assumes that a stream does not reorder shows B-frames in the wrong order; who assumes that
/// it does, though it does not, shows each picture late.
#[test]
fn reordering_is_ruled_out_by_one_of_three() {
    let main = Sps { profile_idc: 77, ..Sps::default() };
    for (sps, may_reorder) in [
        (main, true),
        (Sps { profile_idc: 66, ..main }, false),
        (Sps { order_count_type: 2, ..main }, false),
        (Sps { reorder_frames: Some(0), ..main }, false),
        (Sps { reorder_frames: Some(1), ..main }, true),
        (Sps { reorder_frames: Some(3), ..main }, true),
        (Sps { reorder_frames: Some(3), profile_idc: 66, ..main }, false),
    ] {
        let description = SpsDescription::parse(&sps.nal()).unwrap();
        assert_eq!(description.may_reorder, may_reorder, "{sps:?}");
    }
}

#[test]
fn frame_rates_are_fractions_in_lowest_terms_or_nothing() {
    for (units_in_tick, time_scale, expected) in [
        (1, 50, FrameRate::new(25, 1)),
        (1001, 60_000, FrameRate::new(30_000, 1001)),
        (500, 12_000, FrameRate::new(12, 1)),
        (2, 1, FrameRate::new(1, 4)),
        (1, 1, FrameRate::new(1, 2)),
        (0, 50, None),
        (1, 0, None),
        (0, 0, None),
        (u32::MAX / 2, u32::MAX, FrameRate::new(u32::MAX, u32::MAX - 1)),
        (u32::MAX, 50, None),
    ] {
        let timing = Some((units_in_tick, time_scale));
        let description = SpsDescription::parse(&Sps { timing, ..Sps::default() }.nal()).unwrap();
        assert_eq!(description.frame_rate, expected, "{units_in_tick} {time_scale}");
    }
}

#[test]
fn pictures_have_a_size_after_cropping() {
    // In macroblocks of 16 pixels; cropped in units of two.
    let description = |macroblocks, crop| {
        SpsDescription::parse(&Sps { macroblocks, crop: Some(crop), ..Sps::default() }.nal())
    };
    let size = |macroblocks, crop| {
        description(macroblocks, crop).map(|description| (description.width, description.height))
    };
    assert_eq!(size([120, 68], [0, 0, 0, 4]), Ok((1920, 1080)));
    assert_eq!(size([1, 1], [3, 4, 1, 6]), Ok((2, 2)));
    for (macroblocks, crop) in [
        ([1, 1], [4, 4, 0, 0]),
        ([1, 1], [0, 0, 0, 8]),
        ([1, 1], [0, 9, 0, 0]),
        ([1, 1], [0, 0, u32::MAX - 1, 0]),
        ([u32::MAX, 1], [0; 4]),
        ([1, u32::MAX], [0; 4]),
    ] {
        let error = size(macroblocks, crop).unwrap_err();
        assert!(matches!(error, ParameterSetsError::Sps(_)), "{macroblocks:?} {crop:?} {error}");
    }
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
    assert_eq!(sets.description(), &SpsDescription::parse(SPS).unwrap());
}

#[test]
fn sets_that_are_not_all_there_are_none() {
    let in_band = |nals: &[&[u8]]| {
        let stream: Vec<u8> = nals.iter().flat_map(|nal| [&[0, 0, 1], *nal].concat()).collect();
        ParameterSets::in_band(&AccessUnit::from_annexb(stream.into(), MediaTime::ZERO))
    };
    let idr: &[u8] = &[0x65, 0x88];
    assert_eq!(in_band(&[idr]), Ok(None));
    assert_eq!(in_band(&[SPS, idr]), Ok(None));
    assert_eq!(in_band(&[PPS, idr]), Ok(None));
    assert!(in_band(&[&SPS[..6], PPS, idr]).is_err());
    let both = in_band(&[PPS, SPS, &[0x68, 0xef], idr]).unwrap().unwrap();
    assert_eq!(both.pps[..], [PPS, &[0x68, 0xef]], "all of them, in their order");
}

/// Sequence parameter sets for what no encoder at hand writes (H.264 7.3.2.1.1, E.1.1).
#[derive(Copy, Clone, Debug)]
struct Sps {
    profile_idc: u8,
    order_count_type: u32,
    /// Across and down.
    macroblocks: [u32; 2],
    /// Left, right, top, bottom.
    crop: Option<[u32; 4]>,
    /// `num_units_in_tick`, `time_scale`.
    timing: Option<(u32, u32)>,
    /// `max_num_reorder_frames`.
    reorder_frames: Option<u32>,
}

impl Default for Sps {
    fn default() -> Self {
        Self {
            profile_idc: 66,
            order_count_type: 0,
            macroblocks: [4, 4],
            crop: None,
            timing: None,
            reorder_frames: None,
        }
    }
}

impl Sps {
    fn nal(&self) -> Vec<u8> {
        let mut bits = Bits::default();
        // seq_parameter_set_id, log2_max_frame_num_minus4, pic_order_cnt_type
        bits.exp_golomb(&[0, 0, self.order_count_type]);
        if self.order_count_type == 0 {
            bits.exp_golomb(&[0]);
        }
        // max_num_ref_frames, gaps_in_frame_num_value_allowed_flag
        bits.exp_golomb(&[1]);
        bits.flag(false);
        bits.exp_golomb(&self.macroblocks.map(|count| count - 1));
        // frame_mbs_only_flag, direct_8x8_inference_flag
        bits.flag(true);
        bits.flag(true);
        bits.flag(self.crop.is_some());
        bits.exp_golomb(self.crop.as_ref().map_or(&[], |crop| crop));
        let vui = self.timing.is_some() || self.reorder_frames.is_some();
        bits.flag(vui);
        if vui {
            // aspect ratio, overscan, video signal type, chroma location
            bits.fixed(4, 0);
            bits.flag(self.timing.is_some());
            if let Some((units_in_tick, time_scale)) = self.timing {
                bits.fixed(32, units_in_tick);
                bits.fixed(32, time_scale);
                bits.flag(true);
            }
            // NAL and VCL HRD, pic_struct_present_flag
            bits.fixed(3, 0);
            bits.flag(self.reorder_frames.is_some());
            if let Some(frames) = self.reorder_frames {
                bits.flag(true);
                bits.exp_golomb(&[0, 0, 10, 10, frames, 4]);
            }
        }
        // Level 6.2 allows the largest pictures.
        let mut nal = vec![0x67, self.profile_idc, 0, 62];
        for byte in bits.stopped() {
            // H.264 7.3.1: emulation_prevention_three_byte
            if byte <= 3 && nal.ends_with(&[0, 0]) {
                nal.push(3);
            }
            nal.push(byte);
        }
        nal
    }
}

#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn flag(&mut self, flag: bool) {
        self.0.push(flag);
    }

    fn fixed(&mut self, bits: u32, value: u32) {
        self.0.extend((0..bits).rev().map(|bit| value >> bit & 1 == 1));
    }

    /// H.264 9.1, ue(v).
    fn exp_golomb(&mut self, values: &[u32]) {
        for value in values {
            let code = u64::from(*value) + 1;
            let length = code.ilog2();
            self.0.extend(std::iter::repeat_n(false, length as usize));
            self.0.extend((0..=length).rev().map(|bit| code >> bit & 1 == 1));
        }
    }

    /// With rbsp_trailing_bits.
    fn stopped(mut self) -> Vec<u8> {
        self.flag(true);
        let byte = |bits: &[bool]| {
            bits.iter().zip((0..8).rev()).map(|(bit, place)| u8::from(*bit) << place).sum()
        };
        self.0.chunks(8).map(byte).collect()
    }
}
