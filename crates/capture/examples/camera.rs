//! Takes pictures from a camera, and says when each was taken and how bright it is.
//!
//! `cargo run -p capture --example camera -- /dev/video0 30 [WIDTHxHEIGHT [FORMAT]]`

use std::{env, path::Path, process::ExitCode, sync::Arc, time::Instant};

use ::v4l2::Size;
use capture::{
    Captured, Source,
    v4l2::{Camera, Config, choice::Wanted},
};
use media::{Clock, MediaTime, WallTime};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().ok_or("which device?")?;
    let count: u32 = arguments.next().as_deref().unwrap_or("30").parse()?;
    let size = arguments.next().and_then(|text| {
        let (width, height) = text.split_once('x')?;
        Some(Size { width: width.parse().ok()?, height: height.parse().ok()? })
    });
    let format = arguments.next().map(|text| text.parse()).transpose()?;
    let config =
        Config { wanted: Wanted { size, format, ..Wanted::default() }, ..Config::default() };
    let mut camera = Camera::open(Path::new(&path), config, Arc::new(Monotonic))?;
    println!("{:?}", camera.description());
    let begin = Instant::now();
    for number in 0..count {
        match camera.next()? {
            Some(Captured::Raw(frame)) => {
                let [luma, ..] = frame.planes();
                let mean = luma.iter().map(|y| u64::from(*y)).sum::<u64>() / luma.len() as u64;
                println!("{number}: {:?}, mean luma {mean}", frame.time());
            }
            Some(Captured::Encoded(unit)) => {
                println!("{number}: {:?}, keyframe {}", unit.time(), unit.is_keyframe());
            }
            // Nobody has asked it to.
            Some(Captured::Lent { .. }) => {}
            None => break,
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{count} pictures in {seconds:.2} s, {} lost", camera.lost());
    Ok(())
}

/// Says nothing but the time of now: cameras are never slept for.
struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> MediaTime {
        MediaTime::ZERO
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_nanos(0)
    }

    fn sleep_until(&self, _: MediaTime) {}
}
