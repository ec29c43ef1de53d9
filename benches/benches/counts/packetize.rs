//! From an encoder's bytes to packets.

use std::hint::black_box;

use benches::pictures::{
    LARGE, PPS, SMALL, SPS, annexb, inter, keyframe, packetizer, slice, sliced,
};
use bytes::Bytes;
use gungraun::library_benchmark;
use media::{AccessUnit, MediaTime};
use rtp_packetizer::{PacketBatch, RtpTimestamp, h264::Packetizer};

#[library_benchmark]
#[bench::keyframe_100_kb(annexb(&[SPS.to_vec(), PPS.to_vec(), slice(0x65, LARGE)]))]
#[bench::picture_4_kb(annexb(&[slice(0x41, SMALL)]))]
fn find_nals(stream: Bytes) -> AccessUnit {
    AccessUnit::from_annexb(black_box(stream), MediaTime::from_nanos(0))
}

#[library_benchmark]
#[bench::keyframe_100_kb(warm(keyframe(LARGE)))]
#[bench::picture_4_kb(warm(inter(SMALL)))]
#[bench::slices_68_of_100_b(warm(sliced(68, 100)))]
fn packets((mut packetizer, unit): (Packetizer, AccessUnit)) -> (Packetizer, Option<PacketBatch>) {
    let batch = packetizer.packetize(black_box(&unit), RtpTimestamp(3000));
    (packetizer, batch)
}

/// One that has made packets before.
fn warm(unit: AccessUnit) -> (Packetizer, AccessUnit) {
    let mut packetizer = packetizer();
    packetizer.packetize(&unit, RtpTimestamp(0)).expect("there is something to send");
    (packetizer, unit)
}
