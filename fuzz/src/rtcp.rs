//! RTCP: what receivers send, and what we do.
//!
//! Whatever two parsers by others, of the `rtcp-types` crate and of retina, take for a compound
//! packet says the same to ours; and what we write of any text they read.
//!
//! Input: a byte; when it is even a datagram follows, else what a sender report is to say.

use std::collections::BTreeSet;

use bytes::BytesMut;
use rtcp_types::{Compound, Packet, ReportBlock};
use rtp_packetizer::{
    RtpTimestamp, Ssrc,
    rtcp::{self, MAX_REPORTS, Received, SenderInfo},
};

use crate::input::Input;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    if kind % 2 == 0 { incoming(rest) } else { outgoing(&mut Input::new(rest)) }
}

fn incoming(datagram: &[u8]) {
    let ours = rtcp::parse(datagram);
    let sender = rtcp::sender_of(datagram);
    if let Ok(received) = &ours {
        assert!(received.reports.len() <= MAX_REPORTS);
        let about: BTreeSet<u32> = received.reports.iter().map(|report| report.ssrc.0).collect();
        let found = about.iter().map(|&ssrc| received.about(Ssrc(ssrc)).count()).sum::<usize>();
        assert_eq!(found, received.reports.len());
        assert!(datagram.len().is_multiple_of(4) && datagram.len() >= 4);
        // Whoever reports first is who sent it.
        if matches!(datagram, [_, 200 | 201, ..]) {
            assert!(sender.is_some());
            let first = received.reports.first().filter(|_| datagram[0] & 0x1f > 0);
            assert_eq!(first.map(|report| report.reporter), sender.filter(|_| first.is_some()));
        }
        assert!(!rtcp::is_rtcp(datagram) || matches!(datagram[1], 200..=207));
    }
    if let Some(theirs) = read_by_rtcp_types(datagram) {
        assert_eq!(ours.as_ref(), Ok(&theirs), "rtcp-types reads something else");
    }
    read_by_retina(datagram, ours.is_ok());
}

/// `None` where a packet of it is malformed, or begins what is no compound packet.
fn read_by_rtcp_types(datagram: &[u8]) -> Option<Received> {
    let mut received = Received::default();
    for packet in Compound::parse(datagram).ok()? {
        match packet.ok()? {
            Packet::Sr(report) => add(&mut received, report.ssrc(), report.report_blocks()),
            Packet::Rr(report) => add(&mut received, report.ssrc(), report.report_blocks()),
            Packet::Bye(_) => received.bye = true,
            _ => {}
        }
    }
    let first = *datagram.get(1)?;
    (192..=223).contains(&first).then_some(received)
}

fn add<'a>(received: &mut Received, reporter: u32, blocks: impl Iterator<Item = ReportBlock<'a>>) {
    for block in blocks {
        if received.reports.len() == MAX_REPORTS {
            return;
        }
        // Two's complement in 24 bits.
        let lost = i64::from(block.cumulative_lost());
        let lost = if lost < 1 << 23 { lost } else { lost - (1 << 24) };
        received.reports.push(rtcp::ReceptionReport {
            reporter: Ssrc(reporter),
            ssrc: Ssrc(block.ssrc()),
            fraction_lost: block.fraction_lost(),
            cumulative_lost: i32::try_from(lost).expect("24 bits"),
            highest_sequence: block.extended_sequence_number(),
            jitter: block.interarrival_jitter(),
            lsr: block.last_sender_report_timestamp(),
            dlsr: block.delay_since_last_sender_report_timestamp(),
        });
    }
}

/// A datagram that we take, it takes apart into the same packets: it asks less of each.
fn read_by_retina(datagram: &[u8], we_take_it: bool) {
    let mut rest = datagram;
    while !rest.is_empty() && we_take_it {
        // It wants to see padding only at the very end, and of a length that fits.
        if rest[0] & 0x20 != 0 {
            return;
        }
        let packet = retina::rtcp::PacketRef::parse(rest);
        let (_, after) =
            packet.unwrap_or_else(|error| panic!("we take what retina does not: {error}"));
        rest = after;
    }
}

fn outgoing(input: &mut Input<'_>) {
    let number = |input: &mut Input<'_>| u32::from(input.short()) << 16 | u32::from(input.short());
    let (ssrc, upper, lower) = (number(input), number(input), number(input));
    let (timestamp, packets, octets) = (number(input), number(input), number(input));
    let cname_length = usize::from(input.short());
    let cname = String::from_utf8_lossy(input.bytes(cname_length)).into_owned();
    let reason = String::from_utf8_lossy(input.rest()).into_owned();
    let info = SenderInfo {
        ssrc: Ssrc(ssrc),
        ntp: u64::from(upper) << 32 | u64::from(lower),
        timestamp: RtpTimestamp(timestamp),
        packets,
        octets,
        cname: &cname,
    };
    let mut report = BytesMut::from(&b"before"[..]);
    rtcp::write_sender_report(&mut report, &info);
    let report = report.split_off(6);
    let mut goodbye = BytesMut::new();
    rtcp::write_bye(&mut goodbye, &info, &reason);
    assert_eq!(goodbye[..report.len()], report);
    assert!(rtcp::is_rtcp(&goodbye));
    assert_eq!(rtcp::sender_of(&goodbye), Some(Ssrc(ssrc)));
    assert_eq!(rtcp::parse(&goodbye), Ok(Received { bye: true, ..Received::default() }));
    read_by_retina(&goodbye, true);

    let read: Result<Vec<_>, _> = Compound::parse(&goodbye).expect("a compound packet").collect();
    let read = read.expect("packets");
    let [Packet::Sr(sr), Packet::Sdes(sdes), Packet::Bye(bye)] = &read[..] else {
        panic!("{read:?}");
    };
    assert_eq!((sr.ssrc(), sr.ntp_timestamp(), sr.rtp_timestamp()), (ssrc, info.ntp, timestamp));
    assert_eq!((sr.packet_count(), sr.octet_count()), (packets, octets));
    assert_eq!((sr.padding(), sr.n_reports()), (None, 0));
    let chunk = sdes.chunks().next().expect("one chunk");
    let item = chunk.items().next().expect("one item");
    assert_eq!(item.value(), cut(&cname));
    assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [ssrc]);
    assert_eq!(bye.reason().unwrap_or_default(), cut(&reason));
}

/// As many whole characters as fit into 255 bytes.
fn cut(text: &str) -> &[u8] {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text.as_bytes()[..end]
}
