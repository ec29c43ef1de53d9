//! Reports out and in (RFC 3550 section 6.4).

use std::hint::black_box;

use benches::reports::{RECEIVER_REPORT, sender_info};
use bytes::BytesMut;
use criterion::{Criterion, Throughput};
use rtp_packetizer::rtcp;

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rtcp");
    let info = sender_info();
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
