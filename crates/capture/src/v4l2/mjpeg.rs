//! Pictures in JPEG (ITU-T T.81), as cameras send them, to I420.
//!
//! What comes out is of limited range, as H.264 encoders and their players take for granted; JPEG's
//! own is full (ITU-T T.871). Hardware encoders cannot say otherwise in their streams, and players
//! that do not look would show it too contrasty.
//!
//! Cameras leave Huffman tables out, meaning those of T.81 annex K; put APP0 with "AVI1" in place
//! of JFIF's; fill buffers up behind the end of a picture. And uvcvideo gives pictures whose rest
//! was lost on the bus as if they were whole: those are refused, not shown half grey. The decoder
//! itself would make grey of what is missing, so it is asked row by row how far it has read; and the
//! end and the count of restart markers are looked at before.

use std::{cell::Cell, mem};

use media::{
    Frame,
    convert::{self, Sampling, TooShort},
};
use zune_jpeg::{
    JpegDecoder, RawImcuRowStatus,
    errors::DecodeErrors,
    zune_core::{
        bytestream::{ZByteIoError, ZByteReaderTrait, ZCursor, ZSeekFrom},
        options::DecoderOptions,
    },
};

/// Decodes one picture after the other.
#[derive(Default)]
pub struct Decoder {
    /// The planes of the last picture, as they were sampled.
    planes: [Vec<u8>; 3],
}

/// Why a picture cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// It does not begin as a JPEG picture does.
    #[error("it is no JPEG picture")]
    NoPicture,
    /// The end is missing.
    #[error("the rest of it is missing after {0} bytes")]
    CutOff(usize),
    /// Data are missing in its middle.
    #[error("a part of it is missing: it has {restarts} restart markers of {due}")]
    Hole {
        /// Restart markers that came.
        restarts: usize,
        /// Restart markers there should be.
        due: usize,
    },
    /// Its data contradict themselves.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Chroma in a way that cannot be made into 4:2:0.
    #[error("its chroma is sampled {0:?}, in sizes that nobody uses")]
    Sampling(Vec<(usize, usize)>),
    /// It has not the size that the camera said.
    #[error("it is of {0}x{1} pixels")]
    Size(usize, usize),
    /// Its planes are too short.
    #[error(transparent)]
    TooShort(#[from] TooShort),
}

impl Decoder {
    /// Decodes the picture at the beginning of `data` into `frame`.
    ///
    /// # Errors
    ///
    /// When it is damaged, or of another size than the frame; what the frame holds then is not to
    /// be shown.
    pub fn decode(&mut self, data: &[u8], frame: &mut Frame) -> Result<(), Broken> {
        let layout = frame.layout();
        let picture = whole(data)?;
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(layout.width() as usize + MOST_PADDING)
            .set_max_height(layout.height() as usize + MOST_PADDING);
        let with_tables;
        let picture = match picture.tables {
            true => picture.bytes,
            false => {
                with_tables = [SOI, STANDARD_TABLES, &picture.bytes[SOI.len()..]].concat();
                &with_tables
            }
        };
        let read = Cell::new(0);
        let reader = Tracked { bytes: ZCursor::new(picture), read: &read };
        let mut decoder = JpegDecoder::new_with_options(reader, options);
        decoder.decode_headers().map_err(damaged)?;
        let (width, height) = decoder
            .info()
            .map_or((0, 0), |info| (usize::from(info.width), usize::from(info.height)));
        // Some fill up to whole blocks; what is too much is on the right and below.
        let is_padded = |side: usize, wanted: u32| {
            (wanted as usize..=wanted as usize + MOST_PADDING).contains(&side)
        };
        if !is_padded(width, layout.width()) || !is_padded(height, layout.height()) {
            return Err(Broken::Size(width, height));
        }
        let mut raw = decoder.raw_output();
        let count = raw.num_components().unwrap_or(0);
        let Some(infos) = raw.layout() else { return Err(Broken::NoPicture) };
        let factors = || {
            let factor = |info: &zune_jpeg::PlaneInfo| {
                (info.horizontal_sampling_factor, info.vertical_sampling_factor)
            };
            infos.iter().take(count).map(factor).collect::<Vec<_>>()
        };
        let sampling = match factors()[..] {
            [_] => None,
            [(columns, rows), blue, red]
                if blue == red && columns % blue.0.max(1) == 0 && rows % blue.1.max(1) == 0 =>
            {
                let sampling = Sampling::new(columns / blue.0.max(1), rows / blue.1.max(1));
                Some(sampling.ok_or_else(|| Broken::Sampling(factors()))?)
            }
            _ => return Err(Broken::Sampling(factors())),
        };
        let mut strides = [0; 3];
        for ((plane, stride), info) in self.planes.iter_mut().zip(&mut strides).zip(&infos) {
            *stride = info.width;
            plane.resize(info.width * info.height, 0);
        }
        for row in 0.. {
            let mut rows = self.planes.each_mut().map(Vec::as_mut_slice);
            for ((plane, info), stride) in rows.iter_mut().zip(&infos).zip(strides) {
                let size = info.vertical_sampling_factor * BLOCK * stride;
                let from = (row * size).min(plane.len());
                *plane = &mut mem::take(plane)[from..];
            }
            let status = raw.decode_next_imcu_row(&mut rows[..count], &strides[..count]);
            let below = (row + 1) * infos[0].vertical_sampling_factor * BLOCK;
            match status.map_err(damaged)? {
                // The decoder would make the rest grey.
                RawImcuRowStatus::RowReady { .. } if below >= infos[0].height => break,
                RawImcuRowStatus::RowReady { .. } if read.get() < picture.len() => {}
                _ => return Err(Broken::Damaged(format!("its data end at row {below}"))),
            }
        }
        let left = picture.len().saturating_sub(read.get());
        if left > MOST_LEFT {
            return Err(Broken::Damaged(format!("{left} bytes are too many")));
        }
        let [luma, blue, red] = &self.planes;
        let [to_luma, to_blue, to_red] = frame.planes_mut();
        let ([width, ..], [height, ..]) = (layout.strides(), layout.rows());
        convert::plane(luma, strides[0], (width, height), to_luma)?;
        match sampling {
            Some(sampling) => {
                convert::chroma(blue, strides[1], sampling, layout, to_blue)?;
                convert::chroma(red, strides[2], sampling, layout, to_red)?;
            }
            None => {
                to_blue.fill(NO_COLOUR);
                to_red.fill(NO_COLOUR);
            }
        }
        convert::limit_range(frame.planes_mut());
        Ok(())
    }
}

/// Bytes to decode, and outside of the decoder how many of them it has taken.
struct Tracked<'a> {
    bytes: ZCursor<&'a [u8]>,
    read: &'a Cell<usize>,
}

impl Tracked<'_> {
    fn note<T>(&mut self, result: T) -> T {
        // Of bytes in memory it is always known.
        let at = self.bytes.z_position().unwrap_or(u64::MAX);
        self.read.set(usize::try_from(at).unwrap_or(usize::MAX));
        result
    }
}

impl ZByteReaderTrait for Tracked<'_> {
    fn read_byte_no_error(&mut self) -> u8 {
        let byte = self.bytes.read_byte_no_error();
        self.note(byte)
    }

    fn read_exact_bytes(&mut self, buffer: &mut [u8]) -> Result<(), ZByteIoError> {
        let read = self.bytes.read_exact_bytes(buffer);
        self.note(read)
    }

    fn read_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        let read = self.bytes.read_bytes(buffer);
        self.note(read)
    }

    fn peek_bytes(&mut self, buffer: &mut [u8]) -> Result<usize, ZByteIoError> {
        self.bytes.peek_bytes(buffer)
    }

    fn peek_exact_bytes(&mut self, buffer: &mut [u8]) -> Result<(), ZByteIoError> {
        self.bytes.peek_exact_bytes(buffer)
    }

    fn z_seek(&mut self, from: ZSeekFrom) -> Result<u64, ZByteIoError> {
        let sought = self.bytes.z_seek(from);
        self.note(sought)
    }

    fn is_eof(&mut self) -> Result<bool, ZByteIoError> {
        self.bytes.is_eof()
    }

    fn z_position(&mut self) -> Result<u64, ZByteIoError> {
        self.bytes.z_position()
    }

    fn read_remaining(&mut self, sink: &mut Vec<u8>) -> Result<usize, ZByteIoError> {
        let read = self.bytes.read_remaining(sink);
        self.note(read)
    }
}

/// A picture from its first byte to its last.
struct Picture<'a> {
    bytes: &'a [u8],
    /// It has Huffman tables of its own.
    tables: bool,
}

/// Finds the end of the picture that `data` begins with.
///
/// ```text
///  SOI │ FF marker length … │ … │ SOS length … entropy-coded data, FF 00 for FF, RSTn between │ EOI
/// ```
fn whole(data: &[u8]) -> Result<Picture<'_>, Broken> {
    if !data.starts_with(SOI) {
        return Err(Broken::NoPicture);
    }
    let cut_off = || Broken::CutOff(data.len());
    let mut at = SOI.len();
    let mut tables = false;
    let (mut interval, mut units) = (0, None);
    loop {
        // Any number of FF may stand before a marker (T.81 B.1.1.2).
        let marker = loop {
            match data.get(at).copied().ok_or_else(cut_off)? {
                0xff => at += 1,
                marker if at > SOI.len() && data[at - 1] == 0xff => break marker,
                _ => return Err(Broken::Damaged(format!("no marker at byte {at}"))),
            }
        };
        at += 1;
        if marker == EOI {
            return Ok(Picture { bytes: &data[..at], tables });
        }
        let segment = &data[at..];
        let number = |at: usize| {
            let bytes = segment.get(at..at + 2).ok_or_else(cut_off)?;
            Ok::<_, Broken>(usize::from(bytes[0]) << 8 | usize::from(bytes[1]))
        };
        at += number(0)?;
        match marker {
            DHT => tables = true,
            DRI => interval = number(2)?,
            SOF_BASELINE | SOF_EXTENDED => units = units_of(segment),
            SOS => {
                let restarts;
                (at, restarts) = entropy_coded(data, at).ok_or_else(cut_off)?;
                // One between any two intervals (T.81 E.1.4).
                let due = units.filter(|_| interval > 0).map(|units| units.div_ceil(interval) - 1);
                if due.is_some_and(|due| due != restarts) {
                    return Err(Broken::Hole { restarts, due: due.unwrap_or(0) });
                }
            }
            _ => {}
        }
    }
}

/// From the first byte of entropy-coded data to the next marker that is neither a stuffed FF nor a
/// restart; and the number of restarts between. `None` when the data end before.
fn entropy_coded(data: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut restarts = 0;
    loop {
        at += data.get(at..)?.iter().position(|byte| *byte == 0xff)?;
        match data.get(at + 1)? {
            0x00 => at += 2,
            0xff => at += 1,
            0xd0..=0xd7 => {
                restarts += 1;
                at += 2;
            }
            _ => return Some((at, restarts)),
        }
    }
}

/// How many units (MCU) a picture has that begins with the frame header `segment`: length,
/// precision, rows, columns, number of components, and three bytes of each (T.81 B.2.2). `None` when
/// they do not come by turns, or it cannot be told.
fn units_of(segment: &[u8]) -> Option<usize> {
    let [_, _, _, a, b, c, d, count, components @ ..] = segment else { return None };
    let (height, width) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
    let components = components.get(..usize::from(*count) * 3)?.chunks_exact(3);
    // Of a single component a unit is one block, whatever its factors are (T.81 A.2.2).
    let (across, down) = match count {
        1 => (1, 1),
        _ => components.fold((1, 1), |(across, down), component| {
            (across.max(component[1] >> 4), down.max(component[1] & 0xf))
        }),
    };
    let units = |side: u16, factor: u8| usize::from(side).div_ceil(8 * usize::from(factor));
    Some(units(width, across) * units(height, down)).filter(|units| *units > 0)
}

fn damaged(error: DecodeErrors) -> Broken {
    Broken::Damaged(error.to_string().lines().next().unwrap_or_default().to_owned())
}

const SOI: &[u8] = &[0xff, 0xd8];
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DHT: u8 = 0xc4;
const DRI: u8 = 0xdd;
const SOF_BASELINE: u8 = 0xc0;
const SOF_EXTENDED: u8 = 0xc1;
/// Samples in a row of a block, and rows.
const BLOCK: usize = 8;
/// Bytes that may be left behind the last row: the end's marker, and what the decoder has not looked
/// at.
const MOST_LEFT: usize = 8;
/// Chroma of grey.
const NO_COLOUR: u8 = 128;
/// Columns or rows beyond the picture's own: the largest block of chroma and luma together.
const MOST_PADDING: usize = 32;

/// DHT with the tables of T.81 K.3: what is meant where a camera sends none.
const STANDARD_TABLES: &[u8] = &STANDARD;
const STANDARD: [u8; 432] = [
    0xff, 0xc4, 0x00, 0x1f, 0x00, 0x00, 0x01, 0x05, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
    0x0b, 0xff, 0xc4, 0x00, 0xb5, 0x10, 0x00, 0x02, 0x01, 0x03, 0x03, 0x02, 0x04, 0x03, 0x05, 0x05,
    0x04, 0x04, 0x00, 0x00, 0x01, 0x7d, 0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31,
    0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42,
    0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18,
    0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43,
    0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63,
    0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83,
    0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a,
    0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8,
    0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6,
    0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2,
    0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xff, 0xc4, 0x00, 0x1f, 0x01, 0x00, 0x03, 0x01,
    0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02,
    0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0xff, 0xc4, 0x00, 0xb5, 0x11, 0x00, 0x02,
    0x01, 0x02, 0x04, 0x04, 0x03, 0x04, 0x07, 0x05, 0x04, 0x04, 0x00, 0x01, 0x02, 0x77, 0x00, 0x01,
    0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22,
    0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62,
    0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28,
    0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a,
    0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a,
    0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
    0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
    0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5,
    0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3,
    0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];

#[cfg(test)]
mod tests;
