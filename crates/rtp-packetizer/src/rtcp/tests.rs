use proptest::prelude::*;
use rtcp_types::{Compound, Packet, RtcpPacketWriterExt as _};

use super::*;

const INFO: SenderInfo<'_> = SenderInfo {
    ssrc: Ssrc(0x0102_0304),
    ntp: 0x1112_1314_1516_1718,
    timestamp: RtpTimestamp(0x2122_2324),
    packets: 0x3132_3334,
    octets: 0x4142_4344,
    cname: "cam",
};

#[test]
fn a_sender_report_byte_by_byte() {
    let mut out = BytesMut::from(&b"kept"[..]);
    write_sender_report(&mut out, &INFO);
    #[rustfmt::skip]
    let expected = [
        0x80, 200, 0, 6,
        0x01, 0x02, 0x03, 0x04,
        0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
        0x21, 0x22, 0x23, 0x24,
        0x31, 0x32, 0x33, 0x34,
        0x41, 0x42, 0x43, 0x44,
        0x81, 202, 0, 3,
        0x01, 0x02, 0x03, 0x04,
        1, 3, b'c', b'a', b'm', 0, 0, 0,
    ];
    assert_eq!(&out[..4], b"kept");
    assert_eq!(out[4..], expected);
    assert!(is_rtcp(&out[4..]));
}

#[test]
fn a_bye_byte_by_byte() {
    let (mut report, mut bye) = (BytesMut::new(), BytesMut::new());
    write_sender_report(&mut report, &INFO);
    write_bye(&mut bye, &INFO, "end");
    assert_eq!(bye[..report.len()], report);
    let expected = [0x81, 203, 0, 2, 1, 2, 3, 4, 3, b'e', b'n', b'd'];
    assert_eq!(bye[report.len()..], expected);
    assert!(parse(&bye).unwrap().bye);

    bye.clear();
    write_bye(&mut bye, &INFO, "");
    assert_eq!(bye[report.len()..], [0x81, 203, 0, 1, 1, 2, 3, 4]);
}

#[test]
fn texts_are_cut_between_characters() {
    let long = "é".repeat(200);
    let mut out = BytesMut::new();
    write_bye(&mut out, &SenderInfo { cname: &long, ..INFO }, &long);
    let packets: Vec<Packet<'_>> = Compound::parse(&out).unwrap().map(Result::unwrap).collect();
    let [Packet::Sr(_), Packet::Sdes(sdes), Packet::Bye(bye)] = &packets[..] else {
        panic!("{packets:?}")
    };
    let item = sdes.chunks().next().unwrap().items().next().unwrap();
    assert_eq!(item.value(), "é".repeat(127).as_bytes());
    assert_eq!(bye.reason().unwrap(), "é".repeat(127).as_bytes());
}

/// The reports that FFmpeg and GStreamer send: a receiver report, then what else.
#[test]
fn a_receiver_report_byte_by_byte() {
    #[rustfmt::skip]
    let datagram = [
        0x81, 201, 0, 7,
        0, 0, 0, 9,
        1, 2, 3, 4,
        0x40, 0xff, 0xff, 0xfe,
        0, 1, 0, 5,
        0, 0, 0, 90,
        0x13, 0x14, 0x15, 0x16,
        0, 1, 0, 0,
        0x81, 202, 0, 2, 0, 0, 0, 9, 1, 1, b'x', 0,
    ];
    let report = ReceptionReport {
        reporter: Ssrc(9),
        ssrc: Ssrc(0x0102_0304),
        fraction_lost: 64,
        cumulative_lost: -2,
        highest_sequence: 0x0001_0005,
        jitter: 90,
        lsr: 0x1314_1516,
        dlsr: 65_536,
    };
    let received = parse(&datagram).unwrap();
    assert_eq!(received.reports[..], [report]);
    assert!(!received.bye);
    assert_eq!(received.about(Ssrc(0x0102_0304)).count(), 1);
    assert_eq!(received.about(Ssrc(9)).count(), 0);
}

#[test]
fn what_clients_send_besides() {
    // The empty receiver report with which FFmpeg opens a path through a NAT.
    assert_eq!(parse(&[0x80, 201, 0, 1, 0, 0, 0, 0]), Ok(Received::default()));
    // Reduced size: feedback alone, which must begin with a report in RFC 3550.
    let feedback = [0x81, 206, 0, 2, 0, 0, 0, 9, 1, 2, 3, 4];
    assert_eq!(parse(&feedback), Ok(Received::default()));
    // Whatever follows a first packet of RTCP's is skipped.
    let odd = [0x80, 201, 0, 1, 0, 0, 0, 9, 0x80, 1, 0, 0];
    assert_eq!(parse(&odd), Ok(Received::default()));
    // A type of the future, with padding, before a BYE without sources.
    let unknown = [0xa0, 222, 0, 1, 0, 0, 0, 4, 0x80, 203, 0, 0];
    assert_eq!(parse(&unknown), Ok(Received { bye: true, ..Received::default() }));
}

#[test]
fn what_is_no_rtcp() {
    for (bytes, error) in [
        (&[][..], RtcpError::Truncated { at: 0, expected: 4, actual: 0 }),
        (&[0x80, 201, 0], RtcpError::Truncated { at: 0, expected: 4, actual: 3 }),
        (&[0x80, 201, 0, 1], RtcpError::Truncated { at: 0, expected: 8, actual: 4 }),
        (&[0x40, 201, 0, 0], RtcpError::Version { at: 0, version: 1 }),
        (&[0x80, 96, 0, 0], RtcpError::PacketType(96)),
        (&[0x81, 201, 0, 1, 0, 0, 0, 9], RtcpError::Malformed { at: 0, packet_type: 201 }),
        (&[0x80, 200, 0, 1, 0, 0, 0, 9], RtcpError::Malformed { at: 0, packet_type: 200 }),
        (&[0x81, 203, 0, 0], RtcpError::Malformed { at: 0, packet_type: 203 }),
        (
            &[0x80, 201, 0, 1, 0, 0, 0, 9, 0, 0],
            RtcpError::Truncated { at: 8, expected: 4, actual: 2 },
        ),
    ] {
        assert_eq!(parse(bytes), Err(error), "{bytes:x?}");
    }
}

#[test]
fn told_apart_from_rtp() {
    for (payload, rtcp) in [
        (&[0x80, 200][..], true),
        (&[0x81, 207, 0, 0], true),
        (&[0x80, 199], false),
        (&[0x80, 208], false),
        (&[0x80, 96], false),
        (&[0x80, 0xe0], false),
        (&[0x00, 200], false),
        (&[0x80], false),
        (&[], false),
    ] {
        assert_eq!(is_rtcp(payload), rtcp, "{payload:x?}");
    }
}

/// The example of RFC 3550 section 6.4.1, figure 2: 6.125 seconds.
#[test]
fn the_round_trip_of_the_rfc() {
    let now = 0xb44d_b710_8000_0000;
    let (lsr, dlsr) = (0xb705_2000, 0x0005_4000);
    assert_eq!(rtt(lsr, dlsr, now), Some(Duration::from_millis(6125)));
    assert_eq!(rtt(0, dlsr, now), None);
    assert_eq!(rtt(0xb710_8000, 1, now), Some(Duration::ZERO));
    // Across the wrap of the middle 32 bits.
    assert_eq!(rtt(0xffff_0000, 0x8000, 0x0001_8000_0000), Some(Duration::from_secs(2)));
}

#[test]
fn reports_are_bounded() {
    let mut packet = vec![0x9f, 201, 0, 187, 0, 0, 0, 9];
    packet.resize(188 * 4, 0);
    let datagram = packet.repeat(80);
    assert_eq!(parse(&datagram).unwrap().reports.len(), MAX_REPORTS);
}

proptest! {
    #[test]
    fn what_is_written_another_parser_reads(
        ssrc: u32, ntp: u64, timestamp: u32, packets: u32, octets: u32,
        cname in "\\PC{0,80}", reason in "\\PC{0,80}",
    ) {
        let info = SenderInfo {
            ssrc: Ssrc(ssrc),
            ntp,
            timestamp: RtpTimestamp(timestamp),
            packets,
            octets,
            cname: &cname,
        };
        let mut out = BytesMut::new();
        write_bye(&mut out, &info, &reason);
        prop_assert_eq!(out.len() % 4, 0);
        let read: Vec<Packet<'_>> = Compound::parse(&out).unwrap().map(Result::unwrap).collect();
        let [Packet::Sr(report), Packet::Sdes(sdes), Packet::Bye(bye)] = &read[..] else {
            return Err(TestCaseError::fail(format!("{read:?}")));
        };
        prop_assert_eq!(report.ssrc(), ssrc);
        prop_assert_eq!(report.ntp_timestamp(), ntp);
        prop_assert_eq!(report.rtp_timestamp(), timestamp);
        prop_assert_eq!((report.packet_count(), report.octet_count()), (packets, octets));
        let chunk = sdes.chunks().next().unwrap();
        prop_assert_eq!(chunk.ssrc(), ssrc);
        let item = chunk.items().next().unwrap();
        prop_assert_eq!((item.type_(), item.value()), (SdesItem::CNAME, cname.as_bytes()));
        prop_assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [ssrc]);
        prop_assert_eq!(bye.reason().unwrap_or_default(), reason.as_bytes());
        prop_assert_eq!(parse(&out), Ok(Received { bye: true, ..Received::default() }));
    }

    #[test]
    fn what_another_writer_writes_is_read(
        reporter: u32, ssrc: u32, fraction: u8, lost in -0x80_0000..0x80_0000i32, highest: u32,
        jitter: u32, lsr: u32, dlsr: u32, copies in 1..=31usize, sender: bool,
    ) {
        let block = || ReportBlock::builder(ssrc)
            .fraction_lost(fraction)
            .cumulative_lost(lost.cast_unsigned() & 0xff_ffff)
            .extended_sequence_number(highest)
            .interarrival_jitter(jitter)
            .last_sender_report_timestamp(lsr)
            .delay_since_last_sender_report_timestamp(dlsr);
        let mut out = vec![0; 1024];
        let length = if sender {
            (0..copies).fold(SenderReport::builder(reporter), |report, _| {
                report.add_report_block(block())
            }).write_into(&mut out)
        } else {
            (0..copies).fold(ReceiverReport::builder(reporter), |report, _| {
                report.add_report_block(block())
            }).write_into(&mut out)
        };
        let received = parse(&out[..length.unwrap()]).unwrap();
        let expected = ReceptionReport {
            reporter: Ssrc(reporter),
            ssrc: Ssrc(ssrc),
            fraction_lost: fraction,
            cumulative_lost: lost,
            highest_sequence: highest,
            jitter,
            lsr,
            dlsr,
        };
        prop_assert_eq!(&received.reports[..], vec![expected; copies]);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = is_rtcp(&bytes);
    }

    /// Bytes that look like RTCP get past the first checks.
    #[test]
    fn no_bytes_behind_plausible_headers_panic(
        packets in prop::collection::vec(
            (any::<u8>(), 198..210u8, 0..12u8, prop::collection::vec(any::<u8>(), 0..44)), 1..5,
        ),
    ) {
        let mut datagram = Vec::new();
        for (first, packet_type, words, body) in packets {
            datagram.extend([first & 0x3f | 0x80, packet_type, 0, words]);
            datagram.extend(body);
        }
        if let Ok(received) = parse(&datagram) {
            prop_assert!(received.reports.len() * 24 <= datagram.len());
        }
    }
}

#[test]
fn the_sender_of_a_packet_of_either_kind() {
    let rtp = [0x80, 0x60, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7, 9];
    assert_eq!(sender_of(&rtp), Some(Ssrc(7)));
    let mut report = BytesMut::new();
    let info = SenderInfo {
        ssrc: Ssrc(8),
        ntp: 0,
        timestamp: RtpTimestamp(0),
        packets: 0,
        octets: 0,
        cname: "c",
    };
    write_sender_report(&mut report, &info);
    assert_eq!(sender_of(&report), Some(Ssrc(8)));
    for cut in [&rtp[..11], &report[..7], &[], &[0x80], &[0xce, 0xfa, 0xed, 0xfe, 0, 0, 0, 0]] {
        assert_eq!(sender_of(cut), None);
    }
}
