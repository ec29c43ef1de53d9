//! The bit strip: frame number and wall clock, written into the picture for machines.
//!
//! 128 square cells, black for 0 and white for 1, in reading order near the lower edge:
//!
//! ```text
//!  bit 0         12                      68             100      116        128
//!  +-------------+-----------------------+--------------+--------+-----------+
//!  | sync a65    | wall clock, µs (56)   | frame (32)   | CRC-16 | sync 59a  |
//!  +-------------+-----------------------+--------------+--------+-----------+
//! ```
//!
//! All numbers are big-endian. The CRC (CCITT: polynomial 1021, initial value ffff) covers wall
//! clock and frame number. The two sync words are each other's complement: they hold as many white
//! cells as black ones, and their average is the threshold between the two, so the strip reads the
//! same in limited range, in full range, and after heavy quantization.
//!
//! Size and place of the cells follow from the size of the picture alone. A cell is 8 pixels or a
//! multiple of 16, and starts on a multiple of its transform block: no macroblock of H.264 holds
//! a part of a cell, so the sharp edges fall between blocks and cost next to nothing.
//!
//! Pure: it reads and writes bytes given to it.

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
    /// When the picture was taken. The strip carries whole microseconds: each further bit would
    /// flicker in every frame and cost bitrate, for a precision that no two clocks share.
    pub wall: WallTime,
}

/// Why no stamp can be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StripError {
    /// The picture is too small to carry a strip, or has fewer bytes than its size says.
    #[error(
        "a luma plane of {width}x{height} (stride {stride}, {bytes} bytes) carries no strip: it \
         takes {MIN_WIDTH}x{MIN_HEIGHT} pixels and all their bytes"
    )]
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
    /// The sync cells do not show their pattern: this is another picture, or another size of it.
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

/// Writes `stamp` into a luma plane of `width × height`, `stride` bytes from row to row. Black is
/// 16 and white 235. Pixels outside of the cells stay as they are.
///
/// # Errors
///
/// [`StripError::Size`] when the plane cannot carry a strip.
pub fn write(
    luma: &mut [u8],
    stride: usize,
    width: usize,
    height: usize,
    stamp: Stamp,
) -> Result<(), StripError> {
    let bytes = luma.len();
    let area = checked_area(bytes, stride, width, height)?;
    let micros = (stamp.wall.as_unix_nanos() / 1000) & WALL_MASK;
    let payload = u128::from(micros) << 32 | u128::from(stamp.frame);
    let bits = u128::from(SYNC_BEFORE) << 116
        | payload << 28
        | u128::from(crc(payload)) << 12
        | u128::from(SYNC_AFTER);
    for row in 0..area.rows {
        let top = (area.y + row * area.cell) * stride + area.x;
        let line = &mut luma[top..top + area.columns * area.cell];
        for (column, cell) in line.chunks_exact_mut(area.cell).enumerate() {
            cell.fill(if is_set(bits, row * area.columns + column) { WHITE } else { BLACK });
        }
        for below in 1..area.cell {
            luma.copy_within(top..top + area.columns * area.cell, top + below * stride);
        }
    }
    Ok(())
}

/// Reads the stamp from a luma plane of `width × height`, `stride` bytes from row to row, in
/// limited or full range. Only the inner quarter of each cell is looked at.
///
/// # Errors
///
/// When the plane is too small, carries no strip, or a damaged one.
pub fn read(luma: &[u8], stride: usize, width: usize, height: usize) -> Result<Stamp, StripError> {
    let area = checked_area(luma.len(), stride, width, height)?;
    let mut levels = [0; CELLS];
    for (index, level) in levels.iter_mut().enumerate() {
        *level = area.level(luma, stride, index);
    }
    // Half of the sync cells are white, so their average lies midway between black and white.
    let threshold = sync_cells().map(|(index, _)| levels[index]).sum::<u32>() / SYNC_CELLS;
    let wrong = sync_cells().filter(|&(index, white)| (levels[index] > threshold) != white).count();
    if wrong > SYNC_TOLERANCE {
        return Err(StripError::Sync { wrong: wrong as u32, cells: SYNC_CELLS });
    }
    let bits = levels.iter().fold(0u128, |bits, &level| bits << 1 | u128::from(level > threshold));
    let payload = (bits >> 28) & PAYLOAD_MASK;
    let (found, computed) = ((bits >> 12) as u16, crc(payload));
    if found != computed {
        return Err(StripError::Crc { found, computed });
    }
    let micros = (payload >> 32) as u64;
    let wall = WallTime::from_unix_nanos(micros.saturating_mul(1000));
    Ok(Stamp { frame: payload as u32, wall })
}

/// Where the cells lie.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Area {
    /// Left edge in pixels, a multiple of 16.
    pub(super) x: usize,
    /// Upper edge in pixels, a multiple of 16.
    pub(super) y: usize,
    /// Side of a cell in pixels: 8, or a multiple of 16.
    pub(super) cell: usize,
    /// Cells in a row.
    pub(super) columns: usize,
    /// Rows of cells.
    pub(super) rows: usize,
}

impl Area {
    /// The area in a picture of `width × height`; `None` when that is too small.
    pub(super) fn of(width: usize, height: usize) -> Option<Self> {
        if width < MIN_WIDTH as usize || height < MIN_HEIGHT as usize {
            return None;
        }
        // As few rows as the width allows: the strip shall take little of the height.
        let columns = [64, 32].into_iter().find(|columns| columns * 8 <= width).unwrap_or(16);
        let rows = CELLS / columns;
        let cell = match (width / columns).min(height / (rows * 8)) {
            side @ 16.. => side / 16 * 16,
            _ => 8,
        };
        let x = (width - columns * cell) / 2 / 16 * 16;
        let y = (height - rows * cell - MARGIN) / 16 * 16;
        Some(Self { x, y, cell, columns, rows })
    }

    /// The average luma in the middle of the cell, in sixteenths.
    fn level(&self, luma: &[u8], stride: usize, index: usize) -> u32 {
        let half = self.cell / 2;
        let x = self.x + index % self.columns * self.cell + half / 2;
        let y = self.y + index / self.columns * self.cell + half / 2;
        let sum: u32 = (y..y + half)
            .flat_map(|row| &luma[row * stride + x..][..half])
            .map(|&pixel| u32::from(pixel))
            .sum();
        sum * 16 / (half * half) as u32
    }
}

/// The area, when all its bytes are there: whoever has it may index.
fn checked_area(
    bytes: usize,
    stride: usize,
    width: usize,
    height: usize,
) -> Result<Area, StripError> {
    let error = StripError::Size { width, height, stride, bytes };
    let needed = stride.checked_mul(height.saturating_sub(1)).and_then(|n| n.checked_add(width));
    match (needed, Area::of(width, height)) {
        (Some(needed), Some(area)) if stride >= width && bytes >= needed => Ok(area),
        _ => Err(error),
    }
}

/// Every sync cell: its index, and whether it is white.
fn sync_cells() -> impl Iterator<Item = (usize, bool)> {
    let bits = u128::from(SYNC_BEFORE) << 116 | u128::from(SYNC_AFTER);
    (0..12).chain(116..CELLS).map(move |index| (index, is_set(bits, index)))
}

fn is_set(bits: u128, index: usize) -> bool {
    bits << index >> (CELLS - 1) == 1
}

/// CRC-16/CCITT over the 88 bits of wall clock and frame number.
fn crc(payload: u128) -> u16 {
    payload.to_be_bytes()[5..].iter().fold(0xffff, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    })
}

const CELLS: usize = 128;
const SYNC_BEFORE: u16 = 0xa65;
const SYNC_AFTER: u16 = !SYNC_BEFORE & 0xfff;
const SYNC_CELLS: u32 = 24;
/// Wrong sync cells that are forgiven: it is the CRC that decides.
const SYNC_TOLERANCE: usize = 2;
const WALL_MASK: u64 = (1 << 56) - 1;
const PAYLOAD_MASK: u128 = (1 << 88) - 1;
/// Pixels left free below, at least: overscan and the card's own frame.
const MARGIN: usize = 8;
const BLACK: u8 = 16;
const WHITE: u8 = 235;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAMP: Stamp =
        Stamp { frame: 0x89ab_cdef, wall: WallTime::from_unix_nanos(1_795_252_077_962_123_000) };

    fn written(width: usize, height: usize, stride: usize, stamp: Stamp) -> Vec<u8> {
        let mut luma = vec![90; stride * height];
        write(&mut luma, stride, width, height, stamp).unwrap();
        luma
    }

    #[test]
    fn every_size_carries_a_strip() {
        for (width, height) in
            [(128, 96), (176, 144), (255, 97), (320, 240), (352, 288), (511, 512), (640, 360)]
                .into_iter()
                .chain([(640, 480), (854, 480), (1280, 720), (1920, 1080), (1080, 1920)])
                .chain([(2560, 1440), (3840, 2160), (2160, 3840), (3840, 96), (129, 2000)])
        {
            let stride = width + 24;
            let luma = written(width, height, stride, STAMP);
            assert_eq!(read(&luma, stride, width, height), Ok(STAMP), "{width}x{height}");
            let area = Area::of(width, height).unwrap();
            assert!(area.cell == 8 || area.cell.is_multiple_of(16), "{width}x{height}: {area:?}");
            assert_eq!((area.x % 16, area.y % 16), (0, 0), "{width}x{height}: {area:?}");
            assert!(area.x + area.columns * area.cell <= width, "{width}x{height}: {area:?}");
            assert!(area.y + area.rows * area.cell + 8 <= height, "{width}x{height}: {area:?}");
        }
    }

    #[test]
    fn the_cells_grow_with_the_picture() {
        let cell = |width, height| Area::of(width, height).unwrap().cell;
        assert_eq!(cell(640, 360), 8);
        assert_eq!(cell(1280, 720), 16);
        assert_eq!(cell(2560, 1440), 32);
        assert_eq!(cell(3840, 2160), 48);
    }

    #[test]
    fn levels_may_be_stretched_or_squeezed() {
        let luma = written(640, 360, 640, STAMP);
        for map in [
            |pixel: u8| ((f32::from(pixel) - 16.0) * 255.0 / 219.0).clamp(0.0, 255.0) as u8,
            |pixel: u8| (f32::from(pixel) * 219.0 / 255.0 + 16.0) as u8,
            |pixel: u8| pixel / 32 * 32,
            |pixel: u8| 120 + pixel / 16,
        ] {
            let mapped: Vec<u8> = luma.iter().copied().map(map).collect();
            assert_eq!(read(&mapped, 640, 640, 360), Ok(STAMP));
        }
    }

    #[test]
    fn another_picture_is_no_strip() {
        let luma = written(640, 360, 640, STAMP);
        for other in [vec![16; 640 * 360], vec![235; 640 * 360]] {
            let wrong = read(&other, 640, 640, 360);
            assert!(matches!(wrong, Err(StripError::Sync { .. })), "{wrong:?}");
        }
        let inverted: Vec<u8> = luma.iter().map(|pixel| 251 - pixel).collect();
        assert_eq!(
            read(&inverted, 640, 640, 360),
            Err(StripError::Sync { wrong: SYNC_CELLS, cells: SYNC_CELLS })
        );
    }

    #[test]
    fn a_flipped_cell_is_noticed() {
        let luma = written(640, 360, 640, STAMP);
        let area = Area::of(640, 360).unwrap();
        for index in 12..116 {
            let mut damaged = luma.clone();
            let (x, y) = (area.x + index % 64 * 8, area.y + index / 64 * 8);
            for row in y..y + 8 {
                for pixel in &mut damaged[row * 640 + x..][..8] {
                    *pixel = 251 - *pixel;
                }
            }
            let error = read(&damaged, 640, 640, 360);
            assert!(matches!(error, Err(StripError::Crc { .. })), "cell {index}: {error:?}");
        }
    }

    #[test]
    fn too_small_or_too_short_is_refused() {
        let mut luma = vec![0; 640 * 360];
        for (stride, width, height) in [
            (64, 64, 64),
            (127, 127, 96),
            (128, 128, 95),
            (639, 640, 360),
            (640, 640, 361),
            (usize::MAX, 640, 360),
            (0, 0, 0),
        ] {
            let error = StripError::Size { width, height, stride, bytes: luma.len() };
            assert_eq!(read(&luma, stride, width, height), Err(error.clone()));
            assert_eq!(write(&mut luma, stride, width, height, STAMP), Err(error));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(frame: u32, micros in 0u64..1 << 54, noise in 0u8..90) {
            let stamp = Stamp { frame, wall: WallTime::from_unix_nanos(micros * 1000) };
            let mut luma = written(320, 240, 320, stamp);
            for (index, pixel) in luma.iter_mut().enumerate() {
                let push = if index % 3 == 0 { noise } else { 0 };
                *pixel = if *pixel > 128 { *pixel - push } else { *pixel + push };
            }
            prop_assert_eq!(read(&luma, 320, 320, 240), Ok(stamp));
        }
    }
}
