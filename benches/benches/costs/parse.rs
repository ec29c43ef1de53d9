//! Requests as clients send them, and what else comes in a connection (RFC 2326).

use std::{hint::black_box, time::Instant};

use benches::requests::{DESCRIBE, GET_PARAMETER, PLAY, SETUP};
use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use rtsp_proto::{Connection, Event, wire::Limits};

pub(crate) fn benches(criterion: &mut Criterion) {
    let pipelined = [DESCRIBE, SETUP, PLAY, GET_PARAMETER].concat().into_bytes();
    let report = [&[b'$', 1, 0, 52][..], &[0x81; 52]].concat();
    let reports = report.repeat(20);
    let inputs: [(&str, &[u8], usize); 5] = [
        ("SETUP with Digest", SETUP.as_bytes(), 1),
        ("GET_PARAMETER", GET_PARAMETER.as_bytes(), 1),
        ("4 requests pipelined", &pipelined, 4),
        ("RTCP in a $ frame", &report, 1),
        ("20 $ frames", &reports, 20),
    ];
    let mut group = criterion.benchmark_group("parse");
    let now = Instant::now();
    for (name, input, messages) in inputs {
        group.throughput(Throughput::Bytes(input.len() as u64));
        let mut connection = Connection::new(Limits::default(), now);
        group.bench_function(BenchmarkId::new("whole", name), |bencher| {
            let fresh = || BytesMut::from(input);
            let take =
                |input: &mut BytesMut| assert_eq!(take(&mut connection, input, now), messages);
            bencher.iter_batched_ref(fresh, take, BatchSize::SmallInput);
        });
    }
    // As from a slow link, or a client that writes line by line.
    let mut connection = Connection::new(Limits::default(), now);
    group.throughput(Throughput::Bytes(SETUP.len() as u64));
    group.bench_function(BenchmarkId::new("in pieces of 16", "SETUP with Digest"), |bencher| {
        let fresh = || BytesMut::with_capacity(SETUP.len());
        let take = |input: &mut BytesMut| {
            let mut messages = 0;
            for piece in SETUP.as_bytes().chunks(16) {
                input.extend_from_slice(piece);
                messages += take(&mut connection, input, now);
            }
            assert_eq!(messages, 1);
        };
        bencher.iter_batched_ref(fresh, take, BatchSize::SmallInput);
    });
    group.finish();
}

/// Takes all there is; how many messages that was.
fn take(connection: &mut Connection, input: &mut BytesMut, now: Instant) -> usize {
    let mut messages = 0;
    while let Some(event) = connection.receive(input, now).expect("a good client") {
        assert!(!matches!(black_box(event), Event::Refused(_)));
        messages += 1;
    }
    messages
}
