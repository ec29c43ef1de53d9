//! What is written is read by another's parser, and compared.

use h264_reader::nal::{
    Nal, RefNal,
    sps::{
        BitstreamRestrictions, ColourDescription, SeqParameterSet, VideoFormat, VideoSignalType,
        VuiParameters,
    },
};
use proptest::prelude::*;

use super::*;

fn parsed(nal: &[u8]) -> SeqParameterSet {
    SeqParameterSet::from_bits(RefNal::new(nal, &[], true).rbsp_bits()).unwrap()
}

fn expected(reference_frames: u32) -> BitstreamRestrictions {
    BitstreamRestrictions {
        motion_vectors_over_pic_boundaries_flag: true,
        max_bytes_per_pic_denom: 0,
        max_bits_per_mb_denom: 0,
        log2_max_mv_length_horizontal: 15,
        log2_max_mv_length_vertical: 15,
        max_num_reorder_frames: 0,
        max_dec_frame_buffering: reference_frames,
    }
}

/// 1920x1080, High, level 4.0, one reference frame, without VUI.
const PLAIN: &[u8] = &[0x67, 0x64, 0x00, 0x28, 0xac, 0xb4, 0x03, 0xc0, 0x11, 0x3f, 0x2a];

#[test]
fn an_sps_without_vui_gets_one_that_says_nothing_else() {
    let rewritten = without_reordering(PLAIN).unwrap();
    let mut sps = parsed(PLAIN);
    assert_eq!(sps.vui_parameters, None);
    let bitstream_restrictions = Some(expected(sps.max_num_ref_frames));
    let vui = VuiParameters { bitstream_restrictions, ..VuiParameters::default() };
    sps.vui_parameters = Some(vui);
    assert_eq!(format!("{:?}", parsed(&rewritten)), format!("{sps:?}"));
    assert_eq!(without_reordering(&rewritten), None, "once is enough");
}

/// Written by openh264 and x264.
#[test]
fn an_encoder_that_has_said_it_itself_is_believed() {
    for sps in [
        &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a_u8][..],
        &[
            0x67, 0x64, 0x00, 0x0a, 0xac, 0xd9, 0x44, 0x26, 0xc0, 0x44, 0x00, 0x00, 0x0f, 0xa4,
            0x00, 0x03, 0xa9, 0x80, 0x3c, 0x48, 0x96, 0x58,
        ],
    ] {
        let restrictions = parsed(sps).vui_parameters.and_then(|vui| vui.bitstream_restrictions);
        assert!(restrictions.is_some());
        assert_eq!(without_reordering(sps), None);
    }
}

#[test]
fn colours_are_written_over_what_was_said_of_them() {
    let bt601 = with_colours(PLAIN, Colours::BT601).unwrap();
    let said = |nal: &[u8]| crate::h264::SpsDescription::parse(nal).unwrap().colours;
    assert_eq!((said(PLAIN), said(&bt601)), (None, Some(Colours::BT601)));
    let full = Colours { full_range: true, ..Colours::BT709 };
    let rewritten = with_colours(&bt601, full).unwrap();
    assert_eq!(said(&rewritten), Some(full));
    assert_eq!(with_colours(&rewritten, full), None);
    // Whichever comes first, both are said.
    let first = without_reordering(&with_colours(PLAIN, full).unwrap()).unwrap();
    let second = with_colours(&without_reordering(PLAIN).unwrap(), full).unwrap();
    assert_eq!(first, second);
}

fn signal_type(colours: Colours) -> VideoSignalType {
    VideoSignalType {
        video_format: VideoFormat::Unspecified,
        video_full_range_flag: colours.full_range,
        colour_description: Some(ColourDescription {
            colour_primaries: colours.primaries,
            transfer_characteristics: colours.transfer,
            matrix_coefficients: colours.matrix,
        }),
    }
}

fn colours() -> impl Strategy<Value = Colours> {
    // Zeros, so that start codes would be seen within them.
    let point = || prop_oneof![Just(0_u8), Just(1), 0..20_u8];
    (point(), point(), point(), any::<bool>()).prop_map(
        |(primaries, transfer, matrix, full_range)| Colours {
            primaries,
            transfer,
            matrix,
            full_range,
        },
    )
}

/// What is in an SPS, as far as it is in the way.
#[derive(Clone, Debug)]
struct Content {
    profile_idc: u32,
    /// For each list, the scale of its coefficients, all alike; 0 says "the default".
    scaling: Option<[Option<u8>; 8]>,
    order_count_type: u32,
    cycle: Vec<i32>,
    reference_frames: u32,
    macroblocks: [u32; 2],
    fields: bool,
    crop: Option<[u32; 4]>,
    vui: Option<Vui>,
}

#[derive(Clone, Debug)]
struct Vui {
    aspect_ratio: Option<u32>,
    overscan: Option<bool>,
    colours: Option<bool>,
    chroma: Option<(u32, u32)>,
    timing: Option<(u32, u32)>,
    hrd: [Option<u32>; 2],
    pic_struct: bool,
    restriction: bool,
}

fn vui() -> impl Strategy<Value = Vui> {
    use prop::option::of;
    (
        of(prop_oneof![Just(1_u32), Just(255)]),
        of(any::<bool>()),
        of(any::<bool>()),
        of((0..6_u32, 0..6_u32)),
        of((any::<u32>(), any::<u32>())),
        [of(0..4_u32), of(0..4_u32)],
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(aspect_ratio, overscan, colours, chroma, timing, hrd, pic_struct, restriction)| Vui {
                aspect_ratio,
                overscan,
                colours,
                chroma,
                timing,
                hrd,
                pic_struct,
                restriction,
            },
        )
}

fn content() -> impl Strategy<Value = Content> {
    use prop::option::of;
    (
        prop_oneof![Just(66_u32), Just(77), Just(100)],
        of(prop::array::uniform8(of(0..40_u8))),
        0..3_u32,
        prop::collection::vec(-9..9_i32, 0..5),
        1..5_u32,
        [2..9_u32, 2..9_u32],
        any::<bool>(),
        of(prop::array::uniform4(0..3_u32)),
        of(vui()),
    )
        .prop_map(
            |(
                profile_idc,
                scaling,
                order_count_type,
                cycle,
                reference_frames,
                macroblocks,
                fields,
                crop,
                vui,
            )| Content {
                profile_idc,
                scaling,
                order_count_type,
                cycle,
                reference_frames,
                macroblocks,
                fields,
                crop,
                vui,
            },
        )
}

impl Writer {
    fn signed_golomb(&mut self, value: i32) {
        let code = if value > 0 { value * 2 - 1 } else { value * -2 };
        self.golomb(code as u32);
    }
}

impl Content {
    fn nal(&self) -> Vec<u8> {
        let mut bits = Writer::default();
        bits.number(8, self.profile_idc);
        bits.number(16, 51);
        bits.golomb(0);
        if self.profile_idc == 100 {
            [1, 0, 0].iter().for_each(|value| bits.golomb(*value));
            bits.bit(false);
            bits.bit(self.scaling.is_some());
            for (index, scale) in self.scaling.iter().flatten().enumerate() {
                bits.bit(scale.is_some());
                match *scale {
                    None => {}
                    Some(0) => bits.signed_golomb(-8),
                    Some(scale) => {
                        bits.signed_golomb(i32::from(scale) - 8);
                        let size = if index < 6 { 16 } else { 64 };
                        (1..size).for_each(|_| bits.signed_golomb(0));
                    }
                }
            }
        }
        bits.golomb(4);
        bits.golomb(self.order_count_type);
        match self.order_count_type {
            0 => bits.golomb(2),
            1 => {
                bits.bit(false);
                bits.signed_golomb(-3);
                bits.signed_golomb(4);
                bits.golomb(self.cycle.len() as u32);
                self.cycle.iter().for_each(|offset| bits.signed_golomb(*offset));
            }
            _ => {}
        }
        bits.golomb(self.reference_frames);
        bits.bit(false);
        self.macroblocks.iter().for_each(|count| bits.golomb(count - 1));
        bits.bit(!self.fields);
        if self.fields {
            bits.bit(true);
        }
        bits.bit(true);
        bits.bit(self.crop.is_some());
        self.crop.iter().flatten().for_each(|side| bits.golomb(*side));
        bits.bit(self.vui.is_some());
        if let Some(vui) = &self.vui {
            vui.write(&mut bits);
        }
        bits.bit(true);
        let mut nal = vec![0x67];
        escape(&bits.bytes, &mut nal);
        nal
    }
}

impl Vui {
    fn write(&self, bits: &mut Writer) {
        bits.bit(self.aspect_ratio.is_some());
        if let Some(ratio) = self.aspect_ratio {
            bits.number(8, ratio);
            if ratio == 255 {
                bits.number(32, 0x0004_0003);
            }
        }
        bits.bit(self.overscan.is_some());
        self.overscan.into_iter().for_each(|flag| bits.bit(flag));
        bits.bit(self.colours.is_some());
        if let Some(has_description) = self.colours {
            bits.number(4, 0b1011);
            bits.bit(has_description);
            if has_description {
                bits.number(24, 0x01_01_01);
            }
        }
        bits.bit(self.chroma.is_some());
        if let Some((top, bottom)) = self.chroma {
            bits.golomb(top);
            bits.golomb(bottom);
        }
        bits.bit(self.timing.is_some());
        if let Some((units, scale)) = self.timing {
            bits.number(32, units);
            bits.number(32, scale);
            bits.bit(true);
        }
        for count in self.hrd {
            bits.bit(count.is_some());
            let Some(count) = count else { continue };
            bits.golomb(count);
            bits.number(8, 0x11);
            for index in 0..=count {
                bits.golomb(1000 + index);
                bits.golomb(2000 + index);
                bits.bit(false);
            }
            bits.number(20, 0x97531);
        }
        if self.hrd.iter().any(Option::is_some) {
            bits.bit(false);
        }
        bits.bit(self.pic_struct);
        bits.bit(self.restriction);
        if self.restriction {
            bits.bit(false);
            [1, 2, 3, 4, 0, 4].into_iter().for_each(|value| bits.golomb(value));
        }
    }
}

proptest! {
    #[test]
    fn nothing_but_the_restriction_is_touched(content in content()) {
        let nal = content.nal();
        let mut sps = parsed(&nal);
        let has_own = content.vui.as_ref().is_some_and(|vui| vui.restriction);
        let Some(rewritten) = without_reordering(&nal) else {
            prop_assert!(has_own);
            return Ok(());
        };
        prop_assert!(!has_own);
        let vui = sps.vui_parameters.get_or_insert_default();
        vui.bitstream_restrictions = Some(expected(content.reference_frames));
        prop_assert_eq!(format!("{:?}", parsed(&rewritten)), format!("{sps:?}"));
        // No start code can be seen within it, and it ends as a NAL unit does.
        let emulated = |window: &[u8]| window[..2] == [0, 0] && window[2] < 3;
        prop_assert!(!rewritten.windows(3).any(emulated));
        prop_assert_ne!(rewritten.last(), Some(&0));
    }

    #[test]
    fn nothing_but_the_colours_is_touched(content in content(), colours in colours()) {
        let nal = content.nal();
        let mut sps = parsed(&nal);
        let vui = sps.vui_parameters.get_or_insert_default();
        let expected = signal_type(colours);
        let Some(rewritten) = with_colours(&nal, colours) else {
            // It says the same, of whatever television system.
            let said = vui.video_signal_type.as_ref().unwrap();
            prop_assert_eq!(said.video_full_range_flag, colours.full_range);
            return Ok(());
        };
        vui.video_signal_type = Some(expected);
        prop_assert_eq!(format!("{:?}", parsed(&rewritten)), format!("{sps:?}"));
        let emulated = |window: &[u8]| window[..2] == [0, 0] && window[2] < 3;
        prop_assert!(!rewritten.windows(3).any(emulated));
        prop_assert_eq!(with_colours(&rewritten, colours), None, "once is enough");
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        without_reordering(&bytes);
        with_colours(&bytes, Colours::BT709);
    }

    #[test]
    fn emulation_prevention_goes_in_and_out(bytes in prop::collection::vec(0_u8..5, 0..60)) {
        let mut nal = Vec::new();
        escape(&bytes, &mut nal);
        prop_assert_eq!(unescape(&nal), bytes);
        prop_assert!(!nal.windows(3).any(|window| window[..2] == [0, 0] && window[2] < 3));
    }
}
