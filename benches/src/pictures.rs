//! Pictures as encoders make them, without a picture in them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use lenscast::live::{Picture, stages::Past};
use media::{AccessUnit, MediaTime};
use rtp_packetizer::{
    PacketBatch, RtpTimestamp,
    h264::{Config, Packetizer},
};

/// A keyframe with its parameter sets.
pub fn keyframe(size: usize) -> AccessUnit {
    unit(&[SPS.to_vec(), PPS.to_vec(), slice(0x65, size)])
}

/// A picture in one slice.
pub fn inter(size: usize) -> AccessUnit {
    unit(&[slice(0x41, size)])
}

/// A picture in many slices, all of the same size.
pub fn sliced(count: usize, size: usize) -> AccessUnit {
    unit(&vec![slice(0x41, size); count])
}

/// The packets of a picture.
pub fn batch(unit: &AccessUnit) -> PacketBatch {
    packetizer().packetize(unit, RtpTimestamp(0)).expect("there is something to send")
}

/// A picture of one second's `number`-th thirtieth, the first of which is a keyframe.
pub fn published(number: u64, keyframe: &PacketBatch, inter: &PacketBatch) -> Arc<Picture> {
    let batch = if number.is_multiple_of(30) { keyframe } else { inter };
    let published = MediaTime::from_nanos(0) + INTERVAL * u32::try_from(number).unwrap_or(u32::MAX);
    Arc::new(Picture { batch: batch.clone(), published, past: Past::default() })
}

/// As the server makes it.
pub fn packetizer() -> Packetizer {
    Packetizer::new(Config::default()).expect("the default is good")
}

/// NAL units with start codes.
pub fn annexb(nals: &[Vec<u8>]) -> Bytes {
    nals.iter().flat_map(|nal| [&[0, 0, 0, 1][..], nal].concat()).collect()
}

/// A slice without anything that looks like a start code.
pub fn slice(header: u8, size: usize) -> Vec<u8> {
    [header, 0x9a].into_iter().chain((0..size).map(|at| (at % 251) as u8 | 1)).take(size).collect()
}

fn unit(nals: &[Vec<u8>]) -> AccessUnit {
    AccessUnit::from_annexb(annexb(nals), MediaTime::from_nanos(0))
}

/// Between two pictures.
pub const INTERVAL: Duration = Duration::from_nanos(33_333_333);
/// A keyframe of a stream of 4 Mbit/s.
pub const LARGE: usize = 100_000;
/// A small picture between keyframes.
pub const SMALL: usize = 4_000;
/// A sequence parameter set.
pub const SPS: &[u8] =
    &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
/// A picture parameter set.
pub const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x81];
