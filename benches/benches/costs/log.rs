//! The live log: a picture comes in, and each viewer takes it.

use std::hint::black_box;

use benches::pictures::{LARGE, SMALL, batch, inter, keyframe, published};
use criterion::{BenchmarkId, Criterion, Throughput};
use lenscast::live::{
    Picture,
    log::{Limits, Log},
};

pub(crate) fn benches(criterion: &mut Criterion) {
    let (large, small) = (batch(&keyframe(LARGE)), batch(&inter(SMALL)));

    let mut group = criterion.benchmark_group("log");
    let mut number = 0;
    let mut next = || {
        number += 1;
        published(number - 1, &large, &small)
    };
    let mut log: Log<Picture> = Log::new(Limits::default());
    // As full as it gets, so that with each picture that comes another goes.
    (0..600).for_each(|_| log.push(next()));
    group.throughput(Throughput::Elements(1));
    group.bench_function("append", |bencher| bencher.iter(|| log.push(next())));

    for viewers in [1, 100, 1000] {
        let (cursor, _) = log.from_newest_keyframe().expect("a keyframe is there");
        let mut cursors = vec![cursor; viewers];
        for cursor in &mut cursors {
            while log.read(cursor).is_some() {}
        }
        group.throughput(Throughput::Elements(viewers as u64));
        group.bench_function(BenchmarkId::new("append and read", viewers), |bencher| {
            bencher.iter(|| {
                log.push(next());
                for cursor in &mut cursors {
                    black_box(log.read(cursor).expect("it was just appended"));
                }
            });
        });
    }
    group.finish();
}
