//! Our own depacketizer, and the promises of `PacketBatch`.

use proptest::prelude::*;
use rtp_packetizer::{PacketBatch, RtpTimestamp, h264::Packetizer};
use testkit::depacketizer::{Counts, Depacketizer};

use crate::generate::{self, Taste};

proptest! {
    #[test]
    fn what_comes_out_is_what_went_in(
        config in generate::config(),
        units in prop::collection::vec(generate::unit(Taste::Any), 1..6),
        first_timestamp: u32,
    ) {
        let mut packetizer = Packetizer::new(config).unwrap();
        let mut depacketizer = Depacketizer::new();
        let mut expected = (config.first_sequence, 0u32, 0u32);
        for (index, nals) in units.iter().enumerate() {
            let access_unit = generate::access_unit(nals);
            let timestamp = RtpTimestamp(first_timestamp).after(3000 * index as u32);
            let batch = packetizer.packetize(&access_unit, timestamp).unwrap();
            prop_assert!(packetizer.parameter_sets().is_none());

            prop_assert_eq!(batch.first_sequence(), expected.0);
            prop_assert_eq!(batch.timestamp(), timestamp);
            let keyframe = generate::arriving(nals).iter().any(|nal| nal[0] & 0x1f == 5);
            prop_assert_eq!(batch.is_keyframe(), keyframe);
            let mut arrived = None;
            for (at, packet) in batch.packets().enumerate() {
                prop_assert!(packet.len() <= config.packet_size);
                let middle_of_fragments = packet[12] & 0x1f == 28 && packet[13] & 0x40 == 0;
                prop_assert!(!middle_of_fragments || packet.len() == config.packet_size);
                prop_assert!(arrived.is_none());
                arrived = depacketizer.push(packet).map_err(|defect| {
                    TestCaseError::fail(format!("packet {at}: {defect}"))
                })?;
            }
            let arrived = arrived.unwrap();
            prop_assert_eq!(arrived.timestamp, timestamp);
            prop_assert_eq!(arrived.packets, batch.packet_count());
            prop_assert!(arrived.nals.iter().eq(generate::arriving(nals)));

            let octets: usize = batch.packets().map(|packet| packet.len() - 12).sum();
            prop_assert_eq!(batch.octets(), octets as u32);
            expected = (
                expected.0.after(batch.packet_count()),
                expected.1 + batch.packet_count() as u32,
                expected.2 + batch.octets(),
            );
            prop_assert_eq!(packetizer.next_sequence(), expected.0);
            let totals = packetizer.totals();
            prop_assert_eq!((totals.packets, totals.octets), (expected.1, expected.2));
        }
        let counts = Counts {
            packets: u64::from(expected.1),
            units: units.len() as u64,
            ..Counts::default()
        };
        prop_assert_eq!(depacketizer.counts(), counts);
    }

    #[test]
    fn no_packets_make_the_depacketizer_panic(
        packets in prop::collection::vec(
            (any::<bool>(), 0..3u16, prop::collection::vec(any::<u8>(), 0..40)), 1..20,
        ),
    ) {
        let mut depacketizer = Depacketizer::new();
        let mut sequence = 65_530u16;
        for (marker, step, payload) in packets {
            sequence = sequence.wrapping_add(step);
            let [high, low] = sequence.to_be_bytes();
            let marker = u8::from(marker) << 7;
            let header = [0x80, marker | 96, high, low, 0, 0, 0, 0, 0, 0, 0, 0];
            if let Ok(Some(unit)) = depacketizer.push(&[&header, &payload[..]].concat()) {
                prop_assert!(unit.nals.iter().all(|nal| !nal.is_empty()));
            }
            let _ = depacketizer.push(&payload);
        }
    }

    #[test]
    fn runs_cover_all_packets_within_their_bounds(
        config in generate::config(),
        nals in generate::unit(Taste::Any),
        from in 0..40usize,
        max_segments in prop_oneof![Just(64usize), 0..10usize],
        max_bytes in prop_oneof![Just(65_507usize), 0..5000usize],
    ) {
        let batch = packetized(config, &nals);
        let mut next = from.min(batch.packet_count());
        for run in batch.runs(from, max_segments, max_bytes) {
            prop_assert_eq!(run.packets.start, next);
            prop_assert!(!run.packets.is_empty());
            let lengths: Vec<usize> =
                run.packets.clone().map(|at| batch.packet(at).unwrap().len()).collect();
            let (last, others) = lengths.split_last().unwrap();
            prop_assert!(others.iter().all(|&length| length == run.segment_size));
            prop_assert!(*last <= run.segment_size);
            if !others.is_empty() {
                prop_assert!(lengths.len() <= max_segments);
                prop_assert!(run.bytes.len() <= max_bytes);
            }
            let packets: Vec<u8> = run
                .packets
                .clone()
                .flat_map(|at| batch.packet(at).unwrap().iter().copied())
                .collect();
            prop_assert_eq!(&batch.bytes()[run.bytes.clone()], packets);
            // Maximal: the next packet could not have come along.
            if let Some(following) = batch.packet(run.packets.end) {
                prop_assert!(
                    *last < run.segment_size
                        || following.len() > run.segment_size
                        || lengths.len() >= max_segments
                        || run.bytes.len() + following.len() > max_bytes
                );
            }
            next = run.packets.end;
        }
        prop_assert_eq!(next, batch.packet_count());
    }

    #[test]
    fn the_interleaved_image_parses_back(
        config in generate::config(),
        nals in generate::unit(Taste::Any),
    ) {
        let batch = packetized(config, &nals);
        let mut image = &batch.interleaved()[..];
        for packet in batch.packets() {
            let (header, rest) = image.split_first_chunk::<4>().unwrap();
            prop_assert_eq!(&header[..2], &[0x24, 0]);
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let (framed, rest) = rest.split_at(length);
            prop_assert_eq!(framed, packet);
            image = rest;
        }
        prop_assert!(image.is_empty());
        // Built once, and shared with clones.
        prop_assert_eq!(batch.clone().interleaved().as_ptr(), batch.interleaved().as_ptr());
    }
}

fn packetized(config: rtp_packetizer::h264::Config, nals: &[generate::Nal]) -> PacketBatch {
    let mut packetizer = Packetizer::new(config).unwrap();
    packetizer.packetize(&generate::access_unit(nals), RtpTimestamp(1)).unwrap()
}
