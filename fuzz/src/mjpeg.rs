//! Pictures in JPEG, as a camera sends them: one that is decoded is the same each time, whatever
//! was in the buffers before and whatever stands behind it; one that was cut off is refused.
//!
//! Input: a buffer of the camera.

use capture::v4l2::mjpeg::Decoder;
use media::{FramePool, I420Layout, MediaTime};

/// Runs one input.
pub fn run(data: &[u8]) {
    // Those of the corpus, and what a mutated frame header may fit to.
    for (width, height) in [(44, 28), (64, 160), (16, 16)] {
        let layout = I420Layout::new(width, height).expect("a size");
        let decode = |data: &[u8], before: u8| {
            let mut frame = FramePool::new(layout, 1).take(MediaTime::ZERO).expect("a frame");
            frame.bytes_mut().fill(before);
            let decoded = Decoder::default().decode(data, &mut frame);
            decoded.map(|()| frame.bytes().to_vec())
        };
        let Ok(first) = decode(data, 0) else { continue };
        assert!(first == decode(data, 255).expect("again"), "not all of the picture is written");
        assert!(first.iter().all(|sample| (16..=240).contains(sample)), "not of limited range");
        let padded = [data, &[0; 16]].concat();
        assert!(first == decode(&padded, 7).expect("padded"), "what follows changes the picture");
        assert!(decode(&data[..data.len().min(2)], 0).is_err(), "nothing is a picture");
    }
}
