//! From a picture to its packets, once for all viewers; and what each kind of viewer needs of them.
//! `copy` is a plain copy of as many bytes into memory of its own: what there is no way around. What
//! was made is freed within the time, as in the server, so that the allocator has warm memory to give.

use std::hint::black_box;

use benches::pictures::{self, LARGE, SMALL, batch, inter, keyframe, packetizer, sliced};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use media::{AccessUnit, MediaTime};
use rtp_packetizer::RtpTimestamp;

pub(crate) fn benches(criterion: &mut Criterion) {
    let pictures = [
        ("100 KB keyframe", keyframe(LARGE)),
        ("4 KB picture", inter(SMALL)),
        ("68 slices of 100 B", sliced(68, 100)),
    ];

    let mut group = criterion.benchmark_group("packetize");
    for (name, unit) in &pictures {
        group.throughput(Throughput::Bytes(unit.size() as u64));
        let mut packetizer = packetizer();
        group.bench_function(BenchmarkId::new("packets", name), |bencher| {
            bencher.iter(|| packetizer.packetize(black_box(unit), RtpTimestamp(0)));
        });
        let bytes = batch(unit).bytes().clone();
        group.bench_function(BenchmarkId::new("copy", name), |bencher| {
            bencher.iter(|| black_box(&bytes).to_vec());
        });
        group.bench_function(BenchmarkId::new("interleaved image", name), |bencher| {
            let fresh = || batch(unit);
            // The image is made once for each batch. What is returned is dropped untimed.
            let make = |batch: rtp_packetizer::PacketBatch| (batch.interleaved().len(), batch);
            bencher.iter_batched(fresh, make, BatchSize::LargeInput);
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("runs");
    for (name, unit) in &pictures {
        let batch = batch(unit);
        group.throughput(Throughput::Elements(batch.packet_count() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                let runs = black_box(&batch).runs(0, MOST_SEGMENTS, MOST_BYTES);
                runs.map(|run| run.bytes.len()).sum::<usize>()
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("annexb");
    let stream = pictures::annexb(&[
        pictures::SPS.to_vec(),
        pictures::PPS.to_vec(),
        pictures::slice(0x65, LARGE),
    ]);
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("100 KB keyframe", |bencher| {
        bencher
            .iter(|| AccessUnit::from_annexb(black_box(&stream).clone(), MediaTime::from_nanos(0)));
    });
    group.finish();
}

/// What the server asks for: the most that one segmented send can carry.
const MOST_SEGMENTS: usize = 64;
const MOST_BYTES: usize = 65_507;
