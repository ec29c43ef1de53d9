//! The bit strip: frame number and wall clock, written into the picture for machines.

use media::WallTime;

/// The narrowest picture that carries a strip, in pixels.
pub const MIN_WIDTH: u32 = 128;
/// The lowest picture that carries a strip, in pixels.
pub const MIN_HEIGHT: u32 = 96;

/// What a strip says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The number of the frame; wraps after 2³².
    pub frame: u32,
    /// When the picture was taken, in whole microseconds.
    pub wall: WallTime,
}

/// Why no stamp could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StripError {
    /// The picture is too small to carry a strip, or has fewer bytes than its size says.
    #[error("a luma plane of {width}x{height} (stride {stride}, {bytes} bytes) carries no strip")]
    Size {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes from row to row.
        stride: usize,
        /// Bytes given.
        bytes: usize,
    },
    /// Black and white of the sync cells cannot be told apart, or they are not where they belong.
    #[error("no strip in the picture: {wrong} of {cells} sync cells are wrong")]
    Sync {
        /// Cells that read other than they should.
        wrong: u32,
        /// Sync cells looked at.
        cells: u32,
    },
    /// The strip is there, but damaged.
    #[error("the strip is damaged: its CRC is {found:#06x}, its content says {computed:#06x}")]
    Crc {
        /// As read.
        found: u16,
        /// Over the content read.
        computed: u16,
    },
}

/// Writes `stamp` into a luma plane of `width × height`, `stride` bytes from row to row.
///
/// # Errors
///
/// When the plane cannot carry a strip.
pub fn write(
    luma: &mut [u8],
    stride: usize,
    width: usize,
    height: usize,
    stamp: Stamp,
) -> Result<(), StripError> {
    let _ = stamp;
    Err(StripError::Size { width, height, stride, bytes: luma.len() })
}

/// Reads the stamp from a luma plane of `width × height`, `stride` bytes from row to row.
///
/// # Errors
///
/// When the picture carries no strip, or a damaged one.
pub fn read(luma: &[u8], stride: usize, width: usize, height: usize) -> Result<Stamp, StripError> {
    Err(StripError::Size { width, height, stride, bytes: luma.len() })
}
