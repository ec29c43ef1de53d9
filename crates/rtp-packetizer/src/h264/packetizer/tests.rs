use media::MediaTime;

use super::*;

#[test]
fn sizes_out_of_range_are_refused() {
    for packet_size in [0, 13, MIN_PACKET_SIZE - 1, MAX_PACKET_SIZE + 1, usize::MAX] {
        let refused = Packetizer::new(Config { packet_size, ..Config::default() }).unwrap_err();
        assert_eq!(refused, ConfigError::PacketSize(packet_size));
    }
    let refused = Packetizer::new(Config { payload_type: 128, ..Config::default() }).unwrap_err();
    assert_eq!(refused, ConfigError::PayloadType(128));
    for packet_size in [MIN_PACKET_SIZE, MAX_PACKET_SIZE] {
        let config = Config { packet_size, payload_type: 127, ..Config::default() };
        assert!(Packetizer::new(config).is_ok(), "{packet_size}");
    }
}

#[test]
fn a_unit_of_delimiters_makes_nothing() {
    let mut packetizer = Packetizer::new(Config::default()).unwrap();
    let dropped = unit(&[&[9, 0x10], &[12, 0xff, 0x80], &[10], &[11], &[0x65], &[0x65, 0, 0]]);
    assert!(packetizer.packetize(&dropped, RtpTimestamp(0)).is_none());
    assert_eq!(packetizer.next_sequence(), Sequence(0));
    assert_eq!(packetizer.totals(), Totals::default());
}

/// Types 24 to 29 would be taken for aggregates and fragments (RFC 6184 section 5.2).
#[test]
fn types_that_a_receiver_would_misread_are_dropped() {
    for number in 0..=31 {
        let mut packetizer = Packetizer::new(Config::default()).unwrap();
        let nal: &[u8] = &[0x40 | number, 0x9a, 0x02];
        let batch = packetizer.packetize(&unit(&[nal]), RtpTimestamp(0));
        let dropped = matches!(number, 0 | 9..=12 | 24..=31);
        let expected = if dropped { vec![] } else { vec![nal] };
        assert_eq!(batch.as_ref().map(arrived).unwrap_or_default(), expected, "{number}");
    }
}

/// Payloads by hand, at the smallest packet size: 52 bytes of room.
#[test]
fn payload_structures_at_their_edges() {
    let nal = |header: u8, length: usize| {
        let mut nal = vec![header];
        nal.extend((1..length).map(|at| at as u8 | 1));
        nal
    };
    let stap = |header: u8, nals: &[&[u8]]| {
        let mut payload = vec![header];
        for nal in nals {
            payload.extend([0, nal.len() as u8]);
            payload.extend(*nal);
        }
        payload
    };
    let (sps, pps, sei) = (nal(0x67, 14), nal(0x68, 4), nal(0x06, 27));
    let fits = nal(0x41, 52);
    let over = nal(0x41, 53);
    for (nals, expected) in [
        // A slice that just fits, and one that is a byte too long.
        (vec![&fits], vec![fits.clone()]),
        (
            vec![&over],
            vec![[&[0x5c, 0x81], &over[1..51]].concat(), [&[0x5c, 0x41], &over[51..]].concat()],
        ),
        // 1 + (2 + 14) + (2 + 4) + (2 + 27) = 52 bytes: all in one packet, NRI the maximum.
        (vec![&sei, &sps, &pps], vec![stap(0x78, &[&sei, &sps, &pps])]),
        // One byte more than fits: the last goes alone, without aggregation.
        (vec![&sps, &pps, &nal(0x06, 28)], vec![stap(0x78, &[&sps, &pps]), nal(0x06, 28)]),
        // Two halves.
        (
            vec![&sps, &pps, &sei, &sei, &pps],
            vec![stap(0x78, &[&sps, &pps, &sei]), stap(0x78, &[&sei, &pps])],
        ),
        // Slices stay alone, however small; the SEI between them too.
        (vec![&nal(0x41, 3), &sei, &nal(0x41, 3)], vec![nal(0x41, 3), sei.clone(), nal(0x41, 3)]),
        // An SEI that must be fragmented, between two sets.
        (
            vec![&sps, &nal(0x06, 60), &pps],
            vec![
                sps.clone(),
                [&[0x1c, 0x86], &nal(0x06, 60)[1..51]].concat(),
                [&[0x1c, 0x46], &nal(0x06, 60)[51..]].concat(),
                pps.clone(),
            ],
        ),
        // The forbidden bit stays where it was.
        (
            vec![&nal(0xc1, 53)],
            vec![[&[0xdc, 0x81], &over[1..51]].concat(), [&[0xdc, 0x41], &over[51..]].concat()],
        ),
        (vec![&nal(0xe8, 4), &sei], vec![stap(0xf8, &[&nal(0xe8, 4), &sei])]),
        (vec![&nal(0xe8, 4), &nal(0x86, 9)], vec![stap(0xf8, &[&nal(0xe8, 4), &nal(0x86, 9)])]),
    ] {
        let mut packetizer =
            Packetizer::new(Config { packet_size: MIN_PACKET_SIZE, ..Config::default() }).unwrap();
        let nals: Vec<&[u8]> = nals.into_iter().map(Vec::as_slice).collect();
        let batch = packetizer.packetize(&unit(&nals), RtpTimestamp(0)).unwrap();
        let payloads: Vec<&[u8]> = batch.packets().map(|packet| &packet[12..]).collect();
        assert_eq!(payloads, expected, "{nals:02x?}");
    }
}

#[test]
fn only_the_last_packet_has_the_marker_and_numbers_run_on() {
    let config = Config {
        first_sequence: Sequence(65_534),
        ssrc: Ssrc(0x0102_0304),
        packet_size: MIN_PACKET_SIZE,
        ..Config::default()
    };
    let mut packetizer = Packetizer::new(config).unwrap();
    let slice = [&[0x41][..], &[7; 120]].concat();
    let mut headers = Vec::new();
    for timestamp in [u32::MAX, 2999] {
        let batch = packetizer.packetize(&unit(&[&slice]), RtpTimestamp(timestamp)).unwrap();
        headers.extend(batch.packets().map(|packet| packet[..12].to_vec()));
    }
    let header = |second: u8, sequence: u16, timestamp: u32| {
        let mut header = vec![0x80, second];
        header.extend(sequence.to_be_bytes());
        header.extend(timestamp.to_be_bytes());
        header.extend([1, 2, 3, 4]);
        header
    };
    let expected = [
        header(0x60, 65_534, u32::MAX),
        header(0x60, 65_535, u32::MAX),
        header(0xe0, 0, u32::MAX),
        header(0x60, 1, 2999),
        header(0x60, 2, 2999),
        header(0xe0, 3, 2999),
    ];
    assert_eq!(headers, expected);
    assert_eq!(packetizer.totals(), Totals { packets: 6, octets: 2 * (120 + 3 * 2) });
}

#[test]
fn every_idr_picture_has_parameter_sets_before_it_once() {
    let newer = [&SPS[..3], &[0x1f], &SPS[4..]].concat();
    let second_pps: &[u8] = &[0x68, 0x42, 0x01];
    let changed_pps: &[u8] = &[0x68, 0xce, 0x3c, 0x82];
    let mut packetizer = Packetizer::new(Config::default()).unwrap();
    for (what, nals, expected) in [
        ("nothing is known", &[IDR][..], &[IDR][..]),
        ("it brings its own", &[AUD, SPS, PPS, SEI, IDR], &[SPS, PPS, SEI, IDR]),
        ("it brings none", &[AUD, SEI, IDR, IDR], &[SPS, PPS, SEI, IDR, IDR]),
        ("no IDR", &[AUD, SLICE], &[SLICE]),
        ("no PPS", &[SEI, SPS, IDR], &[SEI, SPS, PPS, IDR]),
        ("no SPS", &[PPS, IDR], &[SPS, PPS, IDR]),
        ("a second PPS in passing", &[second_pps, SLICE], &[second_pps, SLICE]),
        ("both are known now", &[IDR], &[SPS, PPS, second_pps, IDR]),
        ("one of two", &[second_pps, IDR], &[SPS, PPS, second_pps, IDR]),
        ("a PPS changes", &[changed_pps, SLICE], &[changed_pps, SLICE]),
        ("it is the changed one", &[IDR], &[SPS, changed_pps, second_pps, IDR]),
        ("a new beginning", &[&newer, PPS, IDR], &[&newer, PPS, IDR]),
        ("the old is forgotten", &[IDR], &[&newer, PPS, IDR]),
        ("a broken SPS is passed on", &[&SPS[..4], PPS, IDR], &[&SPS[..4], PPS, IDR]),
        ("and not kept", &[IDR], &[&newer, PPS, IDR]),
    ] {
        let batch = packetizer.packetize(&unit(nals), RtpTimestamp(0)).unwrap();
        assert_eq!(arrived(&batch), expected, "{what}");
    }
    assert_eq!(packetizer.parameter_sets().unwrap().sps, newer);
}

#[test]
fn sets_known_beforehand_are_used_until_newer_ones_come() {
    let mut packetizer = Packetizer::new(Config::default()).unwrap();
    let sets = ParameterSets::new(Bytes::from_static(SPS), [Bytes::from_static(PPS)]).unwrap();
    packetizer.set_parameter_sets(sets.clone());
    assert_eq!(packetizer.parameter_sets(), Some(&sets));
    let batch = packetizer.packetize(&unit(&[IDR]), RtpTimestamp(0)).unwrap();
    assert_eq!(arrived(&batch), [SPS, PPS, IDR]);
    assert!(batch.is_keyframe());
    let newer = [&SPS[..3], &[0x1f], &SPS[4..]].concat();
    packetizer.packetize(&unit(&[&newer, PPS, IDR]), RtpTimestamp(0)).unwrap();
    assert_eq!(packetizer.parameter_sets().unwrap().sps, newer);
}

/// The NAL units in packets that are not fragments.
fn arrived(batch: &PacketBatch) -> Vec<&[u8]> {
    let mut nals = Vec::new();
    for packet in batch.packets() {
        let mut rest = &packet[12..];
        if rest[0] & 0x1f != 24 {
            nals.push(rest);
            continue;
        }
        rest = &rest[1..];
        while let Some((length, behind)) = rest.split_first_chunk() {
            let (nal, behind) = behind.split_at(usize::from(u16::from_be_bytes(*length)));
            nals.push(nal);
            rest = behind;
        }
    }
    nals
}

fn unit(nals: &[&[u8]]) -> AccessUnit {
    let mut data = Vec::new();
    for nal in nals {
        data.extend((nal.len() as u32).to_be_bytes());
        data.extend(*nal);
    }
    AccessUnit::from_length_prefixed(Bytes::from(data), 4, MediaTime::ZERO).unwrap()
}

/// 640x480, Constrained Baseline, level 3.0.
const SPS: &[u8] =
    &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x81];
const AUD: &[u8] = &[0x09, 0x10];
const SEI: &[u8] = &[0x06, 0x05, 0x01, 0x07, 0x80];
const IDR: &[u8] = &[0x65, 0x88, 0x84];
const SLICE: &[u8] = &[0x41, 0x9a, 0x02];
