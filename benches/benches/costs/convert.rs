//! Pictures as cameras give them, made into I420; and what a plain copy of such a picture takes, out
//! of the same memory into memory that is there: the unit of these costs.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use media::{
    I420Layout,
    convert::{self, Packed, Sampling},
};

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("convert");
    for (width, height) in SIZES {
        let layout = I420Layout::new(width, height).expect("a picture");
        let pixels = width as usize * height as usize;
        let size = format!("{width}x{height}");
        let mut planes = Planes::new(layout);
        // Padded as by hardware that likes round numbers.
        let (row, padded) = (width as usize, (width as usize).next_multiple_of(256));

        for (name, bytes) in [("copy of 4:2:2", pixels * 2), ("copy of 4:2:0", pixels * 3 / 2)] {
            let (from, mut to) = (noise(bytes), vec![0; bytes]);
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(BenchmarkId::new(name, &size), |bencher| {
                bencher.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
            });
        }

        group.throughput(Throughput::Bytes(pixels as u64 * 2));
        let packed = noise(pixels * 2);
        for (name, order) in [("YUYV", Packed::Yuyv), ("UYVY", Packed::Uyvy)] {
            group.bench_function(BenchmarkId::new(name, &size), |bencher| {
                bencher.iter(|| {
                    let picture = black_box(&packed);
                    convert::packed(order, picture, 2 * row, layout, planes.each())
                });
            });
        }
        let (luma, chroma) = (noise(pixels), noise(pixels / 2));
        group.bench_function(BenchmarkId::new("planar 4:2:2", &size), |bencher| {
            let sampling = Sampling::new(2, 1).expect("4:2:2");
            bencher.iter(|| {
                let [to_luma, blue, red] = planes.each();
                let chroma = black_box(&chroma);
                convert::plane(black_box(&luma), row, (row, height as usize), to_luma)?;
                convert::chroma(chroma, row / 2, sampling, layout, blue)?;
                convert::chroma(chroma, row / 2, sampling, layout, red)
            });
        });

        group.throughput(Throughput::Bytes(pixels as u64 * 3 / 2));
        group.bench_function(BenchmarkId::new("NV12", &size), |bencher| {
            bencher.iter(|| {
                let chroma = (black_box(&chroma[..]), row);
                convert::nv12((black_box(&luma), row), chroma, layout, planes.each())
            });
        });
        let wide = noise(padded * height as usize);
        group.bench_function(BenchmarkId::new("I420, padded", &size), |bencher| {
            bencher.iter(|| {
                let [luma, blue, red] = planes.each();
                let wide = black_box(&wide);
                let (half, half_rows) = (row / 2, height as usize / 2);
                convert::plane(wide, padded, (row, height as usize), luma)?;
                convert::plane(wide, padded / 2, (half, half_rows), blue)?;
                convert::plane(wide, padded / 2, (half, half_rows), red)
            });
        });
        group.bench_function(BenchmarkId::new("limit range", &size), |bencher| {
            bencher.iter(|| convert::limit_range(black_box(planes.each())));
        });
    }
    group.finish();
}

/// Planes of I420.
struct Planes([Vec<u8>; 3]);

impl Planes {
    fn new(layout: I420Layout) -> Self {
        let (strides, rows) = (layout.strides(), layout.rows());
        Self([0, 1, 2].map(|plane| noise(strides[plane] * rows[plane])))
    }

    fn each(&mut self) -> [&mut [u8]; 3] {
        self.0.each_mut().map(Vec::as_mut_slice)
    }
}

/// Bytes that differ from place to place.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect()
}

const SIZES: [(u32, u32); 2] = [(1280, 720), (1920, 1080)];
