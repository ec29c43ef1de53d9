//! What decoding a camera's JPEG costs: the time for one picture, of a file.
//!
//! `cargo run -p capture --example jpeg_cost -- PICTURE.jpg 1280x720 100`

use std::{env, error::Error, fs, time::Instant};

use capture::v4l2::mjpeg::Decoder;
use media::{FramePool, I420Layout, MediaTime};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let picture = fs::read(arguments.next().ok_or("which picture?")?)?;
    let size = arguments.next().ok_or("of which size?")?;
    let (width, height) = size.split_once('x').ok_or("a size is written 1280x720")?;
    let layout = I420Layout::new(width.parse()?, height.parse()?).ok_or("that is no size")?;
    let count: u32 = arguments.next().as_deref().unwrap_or("100").parse()?;
    let mut frame = FramePool::new(layout, 1).take(MediaTime::ZERO).ok_or("no frame")?;
    let mut decoder = Decoder::default();
    let begin = Instant::now();
    for _ in 0..count {
        decoder.decode(&picture, &mut frame)?;
    }
    let each = begin.elapsed() / count.max(1);
    println!("{size}, {} bytes: {each:?} for a picture", picture.len());
    Ok(())
}
