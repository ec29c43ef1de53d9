//! Raw pictures in pooled buffers.
//!
//! A [`FramePool`] owns a fixed number of buffers; a [`Frame`] gives its buffer back when dropped.
//! Nothing is allocated per frame after the first few.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, PoisonError},
};

use crate::time::MediaTime;

/// Where the three planes of a planar 4:2:0 picture (I420, "yuv420p") lie in one buffer.
///
/// Y is `width × height` bytes; U and V are each `⌈width/2⌉ × ⌈height/2⌉`. Planes follow each other
/// without padding, rows too: this is the very layout of `-f rawvideo -pix_fmt yuv420p`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct I420Layout {
    width: u32,
    height: u32,
}

impl I420Layout {
    /// The layout of a picture of `width × height` pixels; `None` when a side is zero or over
    /// [`MAX_SIDE`].
    pub const fn new(width: u32, height: u32) -> Option<Self> {
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return None;
        }
        Some(Self { width, height })
    }

    /// Pixels in a row.
    pub const fn width(self) -> u32 {
        self.width
    }

    /// Rows.
    pub const fn height(self) -> u32 {
        self.height
    }

    /// Bytes in a row of Y, of U, and of V.
    pub const fn strides(self) -> [usize; 3] {
        let chroma = self.width.div_ceil(2) as usize;
        [self.width as usize, chroma, chroma]
    }

    /// Rows of Y, of U, and of V.
    pub const fn rows(self) -> [usize; 3] {
        let chroma = self.height.div_ceil(2) as usize;
        [self.height as usize, chroma, chroma]
    }

    /// Bytes of the whole picture.
    pub const fn size(self) -> usize {
        let [y, u, v] = self.plane_sizes();
        y + u + v
    }

    const fn plane_sizes(self) -> [usize; 3] {
        let [stride_y, stride_u, stride_v] = self.strides();
        let [rows_y, rows_u, rows_v] = self.rows();
        [stride_y * rows_y, stride_u * rows_u, stride_v * rows_v]
    }
}

/// The longest side of a picture, in pixels: H.264 level 6.2 reaches no further.
pub const MAX_SIDE: u32 = 16_384;

/// One raw I420 picture and the moment it was taken.
pub struct Frame {
    time: MediaTime,
    layout: I420Layout,
    buffer: Vec<u8>,
    home: Arc<Home>,
}

impl Frame {
    /// When the picture was taken.
    pub fn time(&self) -> MediaTime {
        self.time
    }

    /// Sets when the picture was taken.
    pub fn set_time(&mut self, time: MediaTime) {
        self.time = time;
    }

    /// Size and strides.
    pub fn layout(&self) -> I420Layout {
        self.layout
    }

    /// The whole picture: Y, U, V, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The whole picture, to be drawn.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// The planes Y, U, V.
    pub fn planes(&self) -> [&[u8]; 3] {
        let [y, u, _] = self.layout.plane_sizes();
        let (luma, chroma) = self.buffer.split_at(y);
        let (blue, red) = chroma.split_at(u);
        [luma, blue, red]
    }

    /// The planes Y, U, V, to be drawn.
    pub fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let [y, u, _] = self.layout.plane_sizes();
        let (luma, chroma) = self.buffer.split_at_mut(y);
        let (blue, red) = chroma.split_at_mut(u);
        [luma, blue, red]
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let buffer = mem::take(&mut self.buffer);
        self.home.buffers.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}x{} at {:?})", self.layout.width, self.layout.height, self.time)
    }
}

/// A fixed number of picture buffers that come back when their [`Frame`] is dropped.
pub struct FramePool {
    layout: I420Layout,
    unmade: usize,
    home: Arc<Home>,
}

impl FramePool {
    /// A pool of at most `capacity` pictures; each buffer is allocated when first needed.
    pub fn new(layout: I420Layout, capacity: usize) -> Self {
        let buffers = Mutex::new(Vec::with_capacity(capacity));
        Self { layout, unmade: capacity, home: Arc::new(Home { buffers }) }
    }

    /// Size and strides of every picture of this pool.
    pub fn layout(&self) -> I420Layout {
        self.layout
    }

    /// A picture to draw into, or `None` while all are in use. Its content is that of an earlier
    /// picture; its time is `time`.
    pub fn take(&mut self, time: MediaTime) -> Option<Frame> {
        let returned = self.home.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let buffer = match returned {
            Some(buffer) => buffer,
            None => {
                self.unmade = self.unmade.checked_sub(1)?;
                vec![0; self.layout.size()]
            }
        };
        Some(Frame { time, layout: self.layout, buffer, home: Arc::clone(&self.home) })
    }
}

struct Home {
    buffers: Mutex<Vec<Vec<u8>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_round_chroma_up() {
        let layout = I420Layout::new(5, 3).unwrap();
        assert_eq!(layout.size(), 15 + 3 * 2 + 3 * 2);
        let mut pool = FramePool::new(layout, 1);
        let frame = pool.take(MediaTime::ZERO).unwrap();
        assert_eq!(frame.planes().map(<[u8]>::len), [15, 6, 6]);
        assert_eq!((layout.strides(), layout.rows()), ([5, 3, 3], [3, 2, 2]));
        assert_eq!((layout.width(), layout.height()), (5, 3));
        assert_eq!((pool.layout(), frame.layout()), (layout, layout));
    }

    #[test]
    fn sides_from_one_to_the_longest() {
        assert_eq!(I420Layout::new(1, 1).map(I420Layout::size), Some(3));
        assert_eq!(I420Layout::new(MAX_SIDE, MAX_SIDE).map(I420Layout::size), Some(402_653_184));
        for (width, height) in [(0, 1), (1, 0), (MAX_SIDE + 1, 1), (1, MAX_SIDE + 1)] {
            assert_eq!(I420Layout::new(width, height), None, "{width}x{height}");
        }
    }

    #[test]
    fn planes_are_drawn_one_after_the_other() {
        let mut pool = FramePool::new(I420Layout::new(4, 2).unwrap(), 1);
        let mut frame = pool.take(MediaTime::ZERO).unwrap();
        for (value, plane) in (1..).zip(frame.planes_mut()) {
            plane.fill(value);
        }
        assert_eq!(frame.bytes(), [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3]);
        assert_eq!(frame.planes(), [&[1; 8][..], &[2; 2], &[3; 2]]);
    }

    #[test]
    fn a_frame_has_the_time_it_was_given_last() {
        let (then, now) = (MediaTime::from_nanos(3), MediaTime::from_nanos(1_500_000_000));
        let mut pool = FramePool::new(I420Layout::new(2, 4).unwrap(), 1);
        let mut frame = pool.take(then).unwrap();
        assert_eq!(frame.time(), then);
        frame.set_time(now);
        assert_eq!(frame.time(), now);
        assert_eq!(format!("{frame:?}"), "Frame(2x4 at 1.500000000s)");
        drop(frame);
        assert_eq!(pool.take(then).unwrap().time(), then, "not that of the buffer's last picture");
    }

    #[test]
    fn buffers_come_back() {
        let mut pool = FramePool::new(I420Layout::new(2, 2).unwrap(), 2);
        let mut first = pool.take(MediaTime::ZERO).unwrap();
        first.bytes_mut()[0] = 7;
        let second = pool.take(MediaTime::ZERO).unwrap();
        assert!(pool.take(MediaTime::ZERO).is_none());
        drop(first);
        assert_eq!(pool.take(MediaTime::ZERO).unwrap().bytes()[0], 7);
        drop(second);
    }
}
