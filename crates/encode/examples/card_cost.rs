//! What drawing the test card costs, beside what encoding it costs:
//!
//! ```sh
//! cargo run --release -p encode --example card_cost
//! ```

use std::{
    error::Error,
    time::{Duration, Instant},
};

use capture::synthetic::{self, Picture, strip::Stamp};
use encode::{Config, Encoder, Received, openh264::Openh264};
use media::{FramePool, FrameRate, I420Layout, MediaTime, WallTime};

fn main() -> Result<(), Box<dyn Error>> {
    println!("median of {FRAMES} frames      card ms   encode ms   share   frames/s   kbit/s");
    for (width, height, bitrate) in [
        (320, 240, 500_000),
        (640, 360, 1_000_000),
        (1280, 720, 2_000_000),
        (1920, 1080, 4_000_000),
        (3840, 2160, 12_000_000),
    ] {
        measure(width, height, bitrate)?;
    }
    Ok(())
}

fn measure(width: u32, height: u32, bitrate: u32) -> Result<(), Box<dyn Error>> {
    let layout = I420Layout::new(width, height).ok_or("no picture size")?;
    let rate = FrameRate::new(30, 1).ok_or("no frame rate")?;
    let title = "card cost".to_owned();
    let picture = Picture::new(&synthetic::Config { layout, rate, title })?;
    let mut encoder = Openh264::new(&Config::new(layout, rate, bitrate, 30))?;
    // As many buffers as the source has, so that the caches see what they see there.
    let mut pool = FramePool::new(layout, 4);
    let (mut drawing, mut encoding, mut size) = (Vec::new(), Vec::new(), 0);
    for number in 0..FRAMES {
        let elapsed = rate.offset_of(u64::from(number));
        let stamp = Stamp { frame: number, wall: WallTime::from_unix_nanos(EPOCH) + elapsed };
        let mut frame = pool.take(MediaTime::ZERO + elapsed).ok_or("no buffer")?;
        let start = Instant::now();
        picture.draw(stamp, &mut frame)?;
        let drawn = Instant::now();
        encoder.submit(frame.into())?;
        let received = encoder.receive(None)?;
        encoding.push(drawn.elapsed());
        drawing.push(drawn - start);
        if let Received::Unit(unit) = received {
            size += unit.size();
        }
    }
    let (card, encode) = (median(&mut drawing), median(&mut encoding));
    println!(
        "{:>9}                   {:>8.3}   {:>9.2}   {:>4.1}%   {:>8.0}   {:>6.0}",
        format!("{width}x{height}"),
        card.as_secs_f64() * 1e3,
        encode.as_secs_f64() * 1e3,
        100.0 * card.as_secs_f64() / encode.as_secs_f64(),
        1.0 / (card + encode).as_secs_f64(),
        size as f64 * 8.0 * rate.as_f64() / f64::from(FRAMES) / 1e3,
    );
    Ok(())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

const FRAMES: u32 = 300;
/// 2026-11-21 09:07:57.962 UTC.
const EPOCH: u64 = 1_795_252_077_962_000_000;
