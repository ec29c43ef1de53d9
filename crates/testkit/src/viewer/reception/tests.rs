use super::*;
use crate::viewer::Transport;

const KEYFRAME: &[u8] = &[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2];
const IDR: &[u8] = &[0x65, 3];
const INTER: &[u8] = &[0x41, 4];

fn packet(sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96 | u8::from(marker) << 7];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend([9, 9, 9, 9]);
    packet.extend(payload);
    packet
}

fn sender_report(ssrc: u8) -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6, ssrc, ssrc, ssrc, ssrc];
    report.resize(28, 0);
    report
}

const GOODBYE: &[u8] = &[0x81, 203, 0, 1, 9, 9, 9, 9];

/// What a viewer reports that was promised packet 10 at 100.
fn report(take: impl FnOnce(&mut Reception, Instant)) -> Report {
    let now = Instant::now();
    let announced = Some((Sequence(10), RtpTimestamp(100)));
    let mut reception = Reception::new(now, now, announced);
    take(&mut reception, now);
    let mut report = Report::new(Transport::Tcp, Instant::now());
    report.watched = Duration::from_secs(2);
    reception.finish(&mut report);
    report
}

fn keyframe(reception: &mut Reception, now: Instant) {
    reception.rtp(&packet(10, 100, false, KEYFRAME), 0, now);
    reception.rtp(&packet(11, 100, true, IDR), 0, now + Duration::from_millis(3));
}

#[test]
fn a_good_stream_has_no_faults() {
    let report = report(|reception, now| {
        reception.rtcp(&sender_report(9), now + Duration::from_millis(1));
        keyframe(reception, now + Duration::from_millis(2));
        reception.rtp(&packet(12, 200, true, INTER), 0, now + Duration::from_millis(45));
        assert!(!reception.said_goodbye());
        reception.rtcp(&[&sender_report(9), GOODBYE].concat(), now);
        assert!(reception.said_goodbye());
    });
    assert_eq!(report.faults(), [""; 0]);
    assert!(report.is_announced);
    assert_eq!(report.first_packet, Some(Duration::from_millis(2)));
    assert_eq!(report.first_keyframe, Some(Duration::from_millis(5)));
    assert_eq!(report.sender_report, Some(Duration::from_millis(1)));
    assert_eq!(report.frame_gaps, [Duration::from_millis(40)]);
    assert_eq!((report.counts.packets, report.counts.units, report.keyframes.len()), (3, 2, 1));
}

#[test]
fn what_the_own_socket_dropped_is_told_apart() {
    let report = report(|reception, now| {
        keyframe(reception, now);
        // Five are missing, of which three at most were dropped here; then two, and none was.
        reception.rtp(&packet(17, 500, true, INTER), 3, now);
        reception.rtp(&packet(20, 600, true, INTER), 0, now);
        reception.rtp(&packet(21, 700, true, INTER), 9, now);
    });
    assert_eq!((report.counts.lost, report.lost_by_drops), (7, 3));
    assert_eq!(report.lost_at_server(), 4);
}

#[test]
fn missing_pictures_are_counted_by_their_timestamps() {
    let report = report(|reception, now| {
        keyframe(reception, now);
        for (sequence, timestamp) in [(12, 3100), (13, 6100), (14, 15_100), (15, 18_101)] {
            reception.rtp(&packet(sequence, timestamp, true, INTER), 0, now);
        }
    });
    assert_eq!(report.frame_interval, Some(Duration::from_secs(1) / 30));
    assert_eq!(report.missing_pictures, 2);
    assert_eq!(report.media_time, Duration::from_secs_f64(18_001.0 / 90_000.0));
}

#[test]
fn each_broken_promise_is_told() {
    type Take = fn(&mut Reception, Instant);
    let cases: [(&str, Take); 9] = [
        ("no RTP packet came", |_, _| {}),
        ("RTP-Info named 10 at 100, but 11 at 100 came first", |reception, now| {
            reception.rtp(&packet(11, 100, true, IDR), 0, now);
        }),
        ("no keyframe with SPS and PPS", |reception, now| {
            reception.rtp(&packet(10, 100, true, IDR), 0, now);
        }),
        ("no keyframe with SPS and PPS", |reception, now| {
            reception.rtp(&packet(10, 100, true, INTER), 0, now);
        }),
        ("1 packets never came", |reception, now| {
            keyframe(reception, now);
            reception.rtp(&packet(13, 200, true, INTER), 0, now);
        }),
        ("the first unit did not come whole", |reception, now| {
            reception.rtp(&packet(10, 100, false, KEYFRAME), 0, now);
            reception.rtp(&packet(12, 100, true, IDR), 0, now);
            reception.rtp(&packet(13, 200, true, INTER), 0, now);
        }),
        ("1 packets repeated or out of order", |reception, now| {
            keyframe(reception, now);
            reception.rtp(&packet(11, 100, true, IDR), 0, now);
        }),
        ("RTCP of another source", |reception, now| {
            keyframe(reception, now);
            reception.rtcp(&sender_report(8), now);
        }),
        ("the first sender report came after", |reception, now| {
            keyframe(reception, now);
            reception.rtcp(&sender_report(9), now + Duration::from_millis(1500));
        }),
    ];
    for (fault, take) in cases {
        let faults = report(take).faults();
        assert!(faults.iter().any(|told| told.contains(fault)), "{fault:?} not in {faults:?}");
        // None of them ended as it should.
        assert!(faults.iter().any(|told| told == "no BYE"), "{faults:?}");
    }
}
