//! Reports out and in (RFC 3550 section 6.4).

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput};
use rtp_packetizer::{
    RtpTimestamp, Ssrc,
    rtcp::{self, SenderInfo},
};

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rtcp");
    let info = SenderInfo {
        ssrc: Ssrc(0x1e45_ca57),
        ntp: 0xe95d_1234_5678_9abc,
        timestamp: RtpTimestamp(90_000),
        packets: 123_456,
        octets: 123_456_789,
        cname: "3b1e0f7e2c9d4a58@lenscast",
    };
    let mut out = BytesMut::with_capacity(1024);
    group.throughput(Throughput::Elements(1));
    group.bench_function("sender report", |bencher| {
        bencher.iter(|| {
            out.clear();
            rtcp::write_sender_report(&mut out, black_box(&info));
            out.len()
        });
    });
    group.bench_function("receiver report", |bencher| {
        bencher.iter(|| rtcp::parse(black_box(RECEIVER_REPORT)).expect("it is one"));
    });
    group.finish();
}

/// Receiver report and CNAME, as FFmpeg sends them.
const RECEIVER_REPORT: &[u8] = &[
    0x81, 0xc9, 0x00, 0x07, 0x1e, 0x45, 0xca, 0x58, 0x1e, 0x45, 0xca, 0x57, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x01, 0x12, 0x34, 0x00, 0x00, 0x00, 0x2a, 0x12, 0x34, 0x56, 0x78, 0x00, 0x01, 0x00, 0x00,
    0x81, 0xca, 0x00, 0x04, 0x1e, 0x45, 0xca, 0x58, 0x01, 0x08, b'u', b's', b'e', b'r', b'@', b'h',
    b'o', b's', 0x00, 0x00,
];
