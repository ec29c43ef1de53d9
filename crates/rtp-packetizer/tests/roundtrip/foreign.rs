//! Depacketizers by other authors.

use bytes::Bytes;
use media::h264::ParameterSets;
use proptest::prelude::*;
use rtp::packetizer::Depacketizer as _;
use rtp_packetizer::{
    RtpTimestamp,
    h264::{Packetizer, sdp},
};
use testkit::retina::Retina;

use crate::generate::{self, Taste};

proptest! {
    #[test]
    fn the_rtp_crate_returns_what_went_in(
        config in generate::config(),
        units in prop::collection::vec(generate::unit(Taste::RtpCrate), 1..4),
    ) {
        let mut packetizer = Packetizer::new(config).unwrap();
        let mut depacketizer = rtp::codecs::h264::H264Packet::default();
        depacketizer.is_avc = true;
        for nals in &units {
            let unit = generate::access_unit(nals);
            let batch = packetizer.packetize(&unit, RtpTimestamp(0)).unwrap();
            let mut arrived = Vec::new();
            for (at, packet) in batch.packets().enumerate() {
                let payload = Bytes::copy_from_slice(&packet[12..]);
                let marker = packet[1] & 0x80 != 0;
                let tail = depacketizer.is_partition_tail(marker, &payload);
                prop_assert_eq!(tail, at + 1 == batch.packet_count());
                arrived.extend(depacketizer.depacketize(&payload).unwrap());
            }
            prop_assert_eq!(arrived, length_prefixed(&generate::arriving(nals)));
        }
    }

    #[test]
    fn retina_returns_what_went_in(
        config in generate::config(),
        units in prop::collection::vec(generate::unit(Taste::Retina), 1..4),
    ) {
        let sets = parameter_sets();
        let mut packetizer = Packetizer::new(config).unwrap();
        packetizer.set_parameter_sets(sets.clone());
        let mut receiver = Retina::new(None).unwrap();
        for (index, nals) in units.iter().enumerate() {
            let unit = generate::access_unit(nals);
            let timestamp = RtpTimestamp(3000 * index as u32);
            let batch = packetizer.packetize(&unit, timestamp).unwrap();
            let frame = receiver.frame(&batch).map_err(TestCaseError::fail)?;
            prop_assert_eq!(frame.loss(), 0);
            // It takes parameter sets out of the frames; they were put before each IDR picture.
            prop_assert_eq!(frame.data(), length_prefixed(&generate::arriving(nals)));
            if batch.is_keyframe() {
                prop_assert_eq!(receiver.size(), Some((640, 480)));
            }
        }
    }
}

#[test]
fn retina_reads_the_session_description() {
    let receiver = Retina::new(Some(&sdp::fmtp(&parameter_sets()))).unwrap();
    assert_eq!(receiver.size(), Some((640, 480)));
}

fn length_prefixed(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter().flat_map(|nal| [&(nal.len() as u32).to_be_bytes()[..], nal].concat()).collect()
}

/// 640x480, Constrained Baseline, level 3.0.
fn parameter_sets() -> ParameterSets {
    let sps = &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
    let pps = Bytes::from_static(&[0x68, 0xce, 0x3c, 0x80]);
    ParameterSets::new(Bytes::from_static(sps), [pps]).unwrap()
}
