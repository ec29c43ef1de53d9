//! Sources as text: `[NAME=]KIND:ARG[?key=value&key=value]`.

use encode::Config as Encoder;
use media::{FrameRate, I420Layout};

use crate::config::{Source, value};

/// The test card with nothing said about it.
pub(super) fn test_card() -> Source {
    Source::Test(Encoder {
        layout: DEFAULT_SIZE,
        rate: DEFAULT_RATE,
        bitrate: value::default_bitrate(DEFAULT_SIZE, DEFAULT_RATE),
        gop: value::DEFAULT_GOP.frames(DEFAULT_RATE),
    })
}

const DEFAULT_SIZE: I420Layout = I420Layout::new(1280, 720).unwrap();
const DEFAULT_RATE: FrameRate = FrameRate::new(30, 1).unwrap();
