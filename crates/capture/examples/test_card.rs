//! Writes frames of the test card to standard output, as raw I420:
//!
//! ```sh
//! cargo run -p capture --example test_card -- 1280x720 90 |
//!     ffplay -f rawvideo -pixel_format yuv420p -video_size 1280x720 -framerate 30 -
//! ```

use std::{
    error::Error,
    io::{self, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use capture::synthetic::{Config, Picture, strip::Stamp};
use media::{FramePool, FrameRate, I420Layout, MediaTime, WallTime};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let size = arguments.next().unwrap_or_else(|| "1280x720".to_owned());
    let frames: u32 = arguments.next().map_or(Ok(1), |count| count.parse())?;
    let title = arguments.next().unwrap_or_else(|| "test card".to_owned());
    let (width, height) = size.split_once('x').ok_or("give the size as 1280x720")?;
    let layout = I420Layout::new(width.parse()?, height.parse()?).ok_or("no picture size")?;
    let rate = FrameRate::new(30, 1).ok_or("no frame rate")?;

    let picture = Picture::new(&Config { layout, rate, title })?;
    let mut pool = FramePool::new(layout, 1);
    let mut output = io::stdout().lock();
    let start = SystemTime::now().duration_since(UNIX_EPOCH)?;
    for frame in 0..frames {
        let wall = start + rate.offset_of(u64::from(frame));
        let wall = WallTime::from_unix_nanos(u64::try_from(wall.as_nanos())?);
        let mut buffer = pool.take(MediaTime::ZERO).ok_or("no buffer")?;
        picture.draw(Stamp { frame, wall }, &mut buffer)?;
        output.write_all(buffer.bytes())?;
    }
    Ok(())
}
