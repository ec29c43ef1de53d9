//! openh264 encodes the test card, and its own decoder gives it back.

use std::time::Duration;

use capture::synthetic::{
    self, Picture,
    strip::{self, Stamp},
};
use encode::{Config, Encoder, Error, Received, openh264::Openh264};
use media::{
    AccessUnit, Colours, Frame, FramePool, FrameRate, I420Layout, MediaTime, WallTime,
    h264::{NalType, ParameterSets, SpsDescription},
};
use openh264::{decoder::Decoder, formats::YUVSource};

fn config(width: u32, height: u32, bitrate: u32, gop: u32) -> Config {
    let layout = I420Layout::new(width, height).unwrap();
    Config::new(layout, FrameRate::new(30, 1).unwrap(), bitrate, gop)
}

/// Draws the frames of a card.
struct Card {
    picture: Picture,
    rate: FrameRate,
    pool: FramePool,
}

impl Card {
    fn new(config: &Config) -> Self {
        let Config { layout, rate, .. } = *config;
        let title = "openh264".to_owned();
        let picture = Picture::new(&synthetic::Config { layout, rate, title }).unwrap();
        Self { picture, rate, pool: FramePool::new(layout, 1) }
    }

    fn stamp(&self, number: u32) -> Stamp {
        let epoch = WallTime::from_unix_nanos(1_795_252_077_962_123_000);
        let elapsed = self.rate.offset_of(u64::from(number)).as_micros() as u64;
        Stamp { frame: number, wall: epoch + Duration::from_micros(elapsed) }
    }

    /// The same frame each time, but for its memory.
    fn frame(&mut self, number: u32) -> Frame {
        let stamp = self.stamp(number);
        let time = MediaTime::ZERO + self.rate.offset_of(u64::from(number));
        let mut frame = self.pool.take(time).unwrap();
        self.picture.draw(stamp, &mut frame).unwrap();
        frame
    }
}

fn encoded(encoder: &mut Openh264, frame: Frame) -> AccessUnit {
    let time = frame.time();
    assert!(encoder.has_room());
    encoder.submit(frame.into()).unwrap();
    assert_eq!(encoder.in_flight(), 1, "no picture is skipped");
    let Received::Unit(unit) = encoder.receive(None).unwrap() else { panic!("no picture") };
    assert_eq!((unit.time(), encoder.in_flight()), (time, 0));
    unit
}

fn annexb(unit: &AccessUnit) -> Vec<u8> {
    unit.nals().flat_map(|nal| [&[0, 0, 0, 1], nal].concat()).collect()
}

/// Which of `count` pictures are IDRs, when one is forced before each of `forced`.
fn keyframes(config: &Config, count: u32, forced: &[u32]) -> Vec<u32> {
    let mut card = Card::new(config);
    let mut encoder = Openh264::new(config).unwrap();
    let mut is_keyframe = |number: &u32| {
        if forced.contains(number) {
            encoder.force_keyframe();
        }
        encoded(&mut encoder, card.frame(*number)).is_keyframe()
    };
    (0..count).filter(&mut is_keyframe).collect()
}

fn luma_psnr(original: &Frame, luma: &[u8], stride: usize) -> f64 {
    let width = original.layout().width() as usize;
    let rows = original.planes()[0].chunks_exact(width).zip(luma.chunks(stride));
    let differences = rows.flat_map(|(one, other)| one.iter().zip(other));
    let sum: f64 = differences.map(|(&a, &b)| f64::from(a.abs_diff(b)).powi(2)).sum();
    let mean = sum / original.planes()[0].len() as f64;
    10.0 * (255.0 * 255.0 / mean).log10()
}

/// Encodes and decodes 60 frames: each must be the right one, by its strip, and look alike.
fn assert_card_survives(config: &Config, least_psnr: f64) {
    let mut card = Card::new(config);
    let mut encoder = Openh264::new(config).unwrap();
    let mut decoder = Decoder::new().unwrap();
    let (width, height) = (config.layout.width() as usize, config.layout.height() as usize);
    for number in 0..60 {
        let unit = encoded(&mut encoder, card.frame(number));
        let frame = card.frame(number);
        let decoded = decoder.decode(&annexb(&unit)).unwrap().expect("one picture in, one out");
        assert_eq!(decoded.dimensions(), (width, height));
        let stride = decoded.strides().0;
        let stamp = strip::read(decoded.y(), stride, width, height);
        assert_eq!(stamp, Ok(card.stamp(number)), "{config:?}");
        let psnr = luma_psnr(&frame, decoded.y(), stride);
        assert!(psnr >= least_psnr, "frame {number}: {psnr:.1} dB, {config:?}");
    }
}

/// Whatever the size is: most cameras say BT.601 of a picture that players take for BT.709.
#[test]
fn colours_are_said_in_the_stream() {
    let webcam = Colours { primaries: 1, transfer: 13, matrix: 6, full_range: false };
    for (width, height) in [(640, 480), (1280, 720)] {
        let config = config(width, height, 1_000_000, 30);
        assert_eq!(config.colours, Colours::assumed(config.layout));
        for colours in [
            config.colours,
            Colours::BT601,
            Colours::BT709,
            Colours { full_range: true, ..Colours::BT601 },
            webcam,
        ] {
            let mut encoder = Openh264::new(&Config { colours, ..config.clone() }).unwrap();
            let unit = encoded(&mut encoder, Card::new(&config).frame(0));
            let sets = ParameterSets::in_band(&unit).unwrap().unwrap();
            assert_eq!(sets.description().colours, Some(colours), "{width}x{height}");
        }
    }
}

#[test]
fn the_card_survives_at_everyday_bitrates() {
    assert_card_survives(&config(640, 360, 1_000_000, 30), 36.0);
    assert_card_survives(&config(1280, 720, 2_000_000, 30), 36.0);
    assert_card_survives(&config(854, 480, 1_000_000, 30), 34.0);
}

/// The picture may fall apart, the strip may not.
#[test]
fn the_strip_survives_at_very_low_bitrates() {
    for (width, height, bitrate) in [
        (128, 96, 30_000),
        (176, 144, 40_000),
        (320, 240, 60_000),
        (640, 360, 100_000),
        (1280, 720, 200_000),
        (360, 640, 100_000),
    ] {
        assert_card_survives(&config(width, height, bitrate, 30), 15.0);
    }
}

#[test]
fn idrs_come_once_in_a_gop() {
    assert_eq!(keyframes(&config(320, 240, 500_000, 7), 30, &[]), [0, 7, 14, 21, 28]);
    assert_eq!(keyframes(&config(320, 240, 500_000, 1), 4, &[]), [0, 1, 2, 3]);
    assert_eq!(keyframes(&config(320, 240, 500_000, 1000), 70, &[]), [0]);
}

#[test]
fn a_forced_idr_starts_the_count_anew() {
    let config = config(320, 240, 500_000, 15);
    assert_eq!(keyframes(&config, 45, &[10]), [0, 10, 25, 40]);
    assert_eq!(keyframes(&config, 31, &[0, 15]), [0, 15, 30]);
    assert_eq!(keyframes(&config, 20, &[4, 5, 6]), [0, 4, 5, 6]);
}

#[test]
fn every_idr_stands_alone_and_every_picture_is_one_slice() {
    let config = config(640, 360, 800_000, 10);
    let mut card = Card::new(&config);
    let mut encoder = Openh264::new(&config).unwrap();
    let mut sets = None;
    for number in 0..25 {
        let unit = encoded(&mut encoder, card.frame(number));
        let types: Vec<NalType> = unit.nals().map(|nal| NalType::of(nal[0])).collect();
        if unit.is_keyframe() {
            assert_eq!(types, [NalType::Sps, NalType::Pps, NalType::Idr]);
            let found = ParameterSets::in_band(&unit).unwrap().unwrap();
            assert_eq!(*sets.get_or_insert_with(|| found.clone()), found);
            // A decoder that sees this picture first can show it.
            let mut decoder = Decoder::new().unwrap();
            let decoded = decoder.decode(&annexb(&unit)).unwrap().unwrap();
            let stamp = strip::read(decoded.y(), decoded.strides().0, 640, 360);
            assert_eq!(stamp, Ok(card.stamp(number)));
        } else {
            assert_eq!(types, [NalType::Slice]);
        }
    }
}

#[test]
fn the_sps_says_what_was_asked_for() {
    for (width, height, level) in [
        (128, 96, 13),
        (640, 360, 30),
        (854, 480, 31),
        (1280, 720, 31),
        (1920, 1080, 40),
        (1080, 1920, 40),
        (3840, 2160, 51),
    ] {
        let config = config(width, height, 600_000, 30);
        let unit = encoded(&mut Openh264::new(&config).unwrap(), Card::new(&config).frame(0));
        let sps = unit.nals().next().map(SpsDescription::parse).unwrap().unwrap();
        assert_eq!((sps.width, sps.height), (width, height));
        assert_eq!(sps.profile, "Constrained Baseline");
        assert!(!sps.may_reorder);
        assert_eq!(sps.profile_level_id[2], level, "{width}x{height}: {sps:?}");
    }
}

/// A picture that is never the same twice: the rate control has to work for its bitrate.
fn make_busy(frame: &mut Frame, seed: &mut u32) {
    let width = frame.layout().width() as usize;
    let [luma, ..] = frame.planes_mut();
    for (index, row) in luma.chunks_exact_mut(width).enumerate() {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        row.rotate_left((*seed >> 28) as usize + index % 3);
        for pixel in row.iter_mut().step_by(2) {
            *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *pixel = pixel.saturating_add((*seed >> 27) as u8);
        }
    }
}

/// From the second GOP on: in the first the library is still looking for its quantizer.
#[test]
fn the_bitrate_is_kept() {
    for (bitrate, numerator, denominator) in
        [(600_000, 30, 1), (300_000, 15, 1), (600_000, 30_000, 1001), (2_400_000, 120, 1)]
    {
        let rate = FrameRate::new(numerator, denominator).unwrap();
        let config = Config { rate, ..config(320, 240, bitrate, 30) };
        let mut card = Card::new(&config);
        let mut encoder = Openh264::new(&config).unwrap();
        let mut seed = 1;
        let mut sizes = Vec::new();
        for number in 0..150 {
            let mut frame = card.frame(number);
            make_busy(&mut frame, &mut seed);
            sizes.push(encoded(&mut encoder, frame).size());
        }
        let size: usize = sizes[30..].iter().sum();
        let actual = size as f64 * 8.0 * rate.as_f64() / 120.0;
        let share = actual / f64::from(bitrate);
        assert!((0.95..1.05).contains(&share), "{actual:.0} of {config:?}");
    }
}

/// Kilobits per second of busy pictures, over the second half of a hundred.
fn actual_kilobits(encoder: &mut Openh264, config: &Config, first: u32) -> f64 {
    let mut card = Card::new(config);
    let mut seed = first + 1;
    let mut size = 0;
    for number in first..first + 100 {
        let mut frame = card.frame(number);
        make_busy(&mut frame, &mut seed);
        let unit = encoded(encoder, frame);
        size += if number >= first + 40 { unit.size() } else { 0 };
    }
    size as f64 * 8.0 * config.rate.as_f64() / 60.0 / 1e3
}

#[test]
fn the_bitrate_can_be_changed_at_any_time() {
    let config = config(320, 240, 600_000, 20);
    let mut encoder = Openh264::new(&config).unwrap();
    for (round, bitrate) in (0..).zip([800_000, 1_600_000, 600_000]) {
        encoder.set_bitrate(bitrate).unwrap();
        let actual = actual_kilobits(&mut encoder, &config, round * 100);
        let share = actual * 1e3 / f64::from(bitrate);
        assert!((0.9..1.1).contains(&share), "{actual:.0} of {bitrate}");
    }
    let refusal = encoder.set_bitrate(0).unwrap_err();
    assert!(matches!(refusal, Error::Unsupported { .. }), "{refusal}");
}

#[test]
fn what_cannot_be_encoded_is_refused_with_a_remedy() {
    for (config, message) in [
        (
            config(641, 360, 1_000_000, 30),
            "openh264 cannot encode 641x360: both sides must be even: 640x360 would do",
        ),
        (
            config(640, 14, 1_000_000, 30),
            "openh264 cannot encode 640x14: both sides must be at least 16",
        ),
        (
            config(3840, 3840, 1_000_000, 30),
            "openh264 cannot encode 3840x3840: the largest size is 3840x2160, or 2160x3840 upright",
        ),
        (
            config(640, 360, 0, 30),
            "openh264 cannot encode 0 bit/s: it must be from 1000 to 240000000",
        ),
        (
            config(640, 360, 1_000_000, 0),
            "openh264 cannot encode a GOP of 0 pictures: it must be at least 1",
        ),
    ] {
        let error = Openh264::new(&config).err().unwrap();
        assert!(matches!(error, Error::Unsupported { .. }));
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn the_edges_of_what_is_promised_work() {
    for (width, height, bitrate, numerator, denominator) in [
        (16, 16, 1_000, 30, 1),
        (16, 2160, 240_000_000, 30, 1),
        (640, 360, 1_000, 240, 1),
        (640, 360, 240_000_000, 1, 10),
        (2160, 3840, 8_000_000, 30, 1),
    ] {
        let rate = FrameRate::new(numerator, denominator).unwrap();
        let config = Config { rate, ..config(width, height, bitrate, 30) };
        let mut encoder = Openh264::new(&config).unwrap();
        let mut pool = FramePool::new(config.layout, 1);
        for _ in 0..3 {
            let mut frame = pool.take(MediaTime::ZERO).unwrap();
            frame.bytes_mut().fill(128);
            let unit = encoder.submit(frame.into()).and_then(|()| encoder.receive(None));
            assert!(matches!(unit, Ok(Received::Unit(_))), "{config:?}: {unit:?}");
        }
    }
}

#[test]
fn a_picture_of_another_size_is_refused_and_harms_nothing() {
    let (right, wrong) = (config(320, 240, 500_000, 30), config(640, 360, 500_000, 30));
    let mut encoder = Openh264::new(&right).unwrap();
    assert!(encoded(&mut encoder, Card::new(&right).frame(0)).is_keyframe());
    let error = encoder.submit(Card::new(&wrong).frame(1).into()).unwrap_err();
    assert_eq!(error.to_string(), "openh264 failed: a picture of 640x360 in a stream of 320x240");
    assert!(!encoded(&mut encoder, Card::new(&right).frame(2)).is_keyframe());
}
