//! What threads and slices make of openh264: time, bytes and quality, side by side.
//!
//! ```sh
//! cargo run --release -p encode --example tuning
//! ```
//!
//! Each way of tuning encodes the same pictures in turn, in several rounds; the median of all
//! pictures of all rounds is told. Quality is that of what openh264's own decoder makes of it.

use std::{
    error::Error,
    fs,
    time::{Duration, Instant},
};

use capture::synthetic::{self, Picture, strip::Stamp};
use encode::{
    Config, Encoder, Received,
    openh264::{Openh264, Tuning},
};
use media::{AccessUnit, FramePool, FrameRate, I420Layout, MediaTime, WallTime};
use openh264::{decoder::Decoder, formats::YUVSource};

fn main() -> Result<(), Box<dyn Error>> {
    println!(
        "| picture | threads | longest slice | ms median | ms p99 | CPU ms | KB per picture | \
         largest | slices, most | PSNR dB |\n|---|---|---|--:|--:|--:|--:|--:|--:|--:|"
    );
    for (width, height, bitrate) in [(1280, 720, 4_000_000), (1920, 1080, 8_000_000)] {
        let layout = I420Layout::new(width, height).ok_or("no picture size")?;
        let rate = FrameRate::new(30, 1).ok_or("no frame rate")?;
        let config = Config::new(layout, rate, bitrate, 30);
        for noise in [0, 4] {
            let pictures = pictures(layout, rate, noise)?;
            let mut found: Vec<Found> = TUNINGS.iter().map(|_| Found::default()).collect();
            for _ in 0..ROUNDS {
                for (tuning, found) in TUNINGS.iter().zip(&mut found) {
                    encode(&config, *tuning, &pictures, found)?;
                }
            }
            let what = if noise == 0 { "card" } else { "card and noise" };
            for (tuning, mut found) in TUNINGS.iter().zip(found) {
                println!("| {what}, {width}x{height} {}", found.row(*tuning));
            }
        }
    }
    Ok(())
}

/// What one way of tuning came to.
#[derive(Default)]
struct Found {
    times: Vec<Duration>,
    processor: Duration,
    bytes: usize,
    largest: usize,
    slices: usize,
    psnr: f64,
}

impl Found {
    fn row(&mut self, tuning: Tuning) -> String {
        self.times.sort_unstable();
        let count = self.times.len();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let threads = match tuning.threads {
            0 => "auto".to_owned(),
            threads => threads.to_string(),
        };
        let slice = tuning
            .longest_slice
            .map_or("none".to_owned(), |bytes| (bytes / 1024).to_string() + " KiB");
        format!(
            "| {threads} | {slice} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} | {} | {:.2} |",
            ms(self.times[count / 2]),
            ms(self.times[count * 99 / 100]),
            ms(self.processor) / count as f64,
            self.bytes as f64 / count as f64 / 1e3,
            self.largest as f64 / 1e3,
            self.slices,
            self.psnr / count as f64,
        )
    }
}

fn encode(
    config: &Config,
    tuning: Tuning,
    pictures: &[Vec<u8>],
    found: &mut Found,
) -> Result<(), Box<dyn Error>> {
    let mut encoder = Openh264::tuned(config, tuning)?;
    let mut pool = FramePool::new(config.layout, 2);
    let mut units = Vec::new();
    let before = processor_time()?;
    for (number, picture) in (0..).zip(pictures) {
        let time = MediaTime::ZERO + config.rate.offset_of(number);
        let mut frame = pool.take(time).ok_or("no buffer")?;
        frame.bytes_mut().copy_from_slice(picture);
        let begin = Instant::now();
        encoder.submit(frame.into())?;
        let received = encoder.receive(None)?;
        found.times.push(begin.elapsed());
        let Received::Unit(unit) = received else { return Err("a picture was left out".into()) };
        units.push(unit);
    }
    found.processor += processor_time()? - before;
    let mut decoder = Decoder::new()?;
    for (unit, picture) in units.iter().zip(pictures) {
        found.bytes += unit.size();
        found.largest = found.largest.max(unit.size());
        // Of an IDR and of other pictures (H.264 table 7-1).
        let slices = unit.nals().filter(|nal| matches!(nal[0] & 0x1f, 1 | 5)).count();
        found.slices = found.slices.max(slices);
        found.psnr += psnr(&mut decoder, unit, picture, config.layout)?;
    }
    Ok(())
}

/// The test card, as it is or as a camera in poor light would give it.
fn pictures(
    layout: I420Layout,
    rate: FrameRate,
    noise: u8,
) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let card = Picture::new(&synthetic::Config { layout, rate, title: "tuning".to_owned() })?;
    let mut pool = FramePool::new(layout, 1);
    let mut state = 1_u32;
    let mut pictures = Vec::new();
    for number in 0..PICTURES {
        let elapsed = rate.offset_of(u64::from(number));
        let stamp = Stamp { frame: number, wall: WallTime::from_unix_nanos(EPOCH) + elapsed };
        let mut frame = pool.take(MediaTime::ZERO + elapsed).ok_or("no buffer")?;
        card.draw(stamp, &mut frame)?;
        if noise > 0 {
            for sample in &mut *frame.planes_mut()[0] {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                let offset = (state % (2 * u32::from(noise) + 1)) as u8;
                *sample = sample.saturating_add(offset).saturating_sub(noise);
            }
        }
        pictures.push(frame.bytes().to_vec());
    }
    Ok(pictures)
}

/// Of luma, in decibels; 100 for a picture that is the same.
fn psnr(
    decoder: &mut Decoder,
    unit: &AccessUnit,
    picture: &[u8],
    layout: I420Layout,
) -> Result<f64, Box<dyn Error>> {
    let annexb: Vec<u8> = unit.nals().flat_map(|nal| [&[0, 0, 0, 1], nal].concat()).collect();
    let decoded = decoder.decode(&annexb)?.ok_or("a picture cannot be decoded")?;
    let (width, stride) = (layout.width() as usize, decoded.strides().0);
    let mut squares = 0_u64;
    for (row, shown) in picture.chunks(width).take(layout.rows()[0]).zip(decoded.y().chunks(stride))
    {
        for (sample, shown) in row.iter().zip(shown) {
            squares += u64::from(sample.abs_diff(*shown)).pow(2);
        }
    }
    if squares == 0 {
        return Ok(100.0);
    }
    let mean = squares as f64 / (width * layout.rows()[0]) as f64;
    Ok(10.0 * (255.0 * 255.0 / mean).log10())
}

/// Of all threads of this process, in hundredths of a second (proc(5)).
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // Behind the name in parentheses: the state is field 3, user and system time 14 and 15.
    let fields = stat.rsplit_once(") ").ok_or("no name")?.1;
    let ticks: u64 =
        fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(10 * ticks))
}

const TUNINGS: [Tuning; 6] = [
    Tuning { threads: 1, longest_slice: None },
    Tuning { threads: 2, longest_slice: None },
    Tuning { threads: 1, longest_slice: Some(16 << 10) },
    Tuning { threads: 2, longest_slice: Some(16 << 10) },
    Tuning { threads: 0, longest_slice: Some(16 << 10) },
    Tuning { threads: 2, longest_slice: Some(64 << 10) },
];
const PICTURES: u32 = 60;
const ROUNDS: usize = 3;
/// 2026-11-21 09:07:57.962 UTC.
const EPOCH: u64 = 1_795_252_077_962_000_000;
