//! The bits of a parameter set: read, written, and packed into a NAL unit (ITU-T H.264 7.3.1, 9.1).

use std::ops::Range;

/// Reads bits, the most significant first.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Bits that were read.
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    pub(super) fn skip(&mut self, bits: usize) -> Option<()> {
        self.at += bits;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    pub(super) fn number(&mut self, bits: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..bits {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// `ue(v)`: 9.1.
    pub(super) fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = self.number(zeros)?;
        // 2^31 - 1 and as much again at most.
        Some(((1 << zeros) - 1) + rest)
    }

    /// `se(v)`: 9.1.1.
    pub(super) fn signed_golomb(&mut self) -> Option<i32> {
        let code = self.golomb()?;
        let magnitude = i32::try_from(code.div_ceil(2)).ok()?;
        // No field that is read this way goes beyond 2^31 / 256, and a sum of such stays in range.
        let value = if code % 2 == 1 { magnitude } else { -magnitude };
        (-MOST_SIGNED..=MOST_SIGNED).contains(&value).then_some(value)
    }
}

/// Writes bits, the most significant first.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    bits: usize,
}

impl Writer {
    pub(super) fn bit(&mut self, bit: bool) {
        if self.bits.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let (true, Some(byte)) = (bit, self.bytes.last_mut()) {
            *byte |= 0x80 >> (self.bits % 8);
        }
        self.bits += 1;
    }

    /// A value in so many bits.
    pub(super) fn number(&mut self, bits: u32, value: u32) {
        (0..bits).rev().for_each(|at| self.bit(value >> at & 1 == 1));
    }

    /// These bits of `bytes`.
    pub(super) fn copy(&mut self, bytes: &[u8], bits: Range<usize>) {
        let mut reader = Reader { bytes, at: bits.start };
        for _ in bits {
            self.bit(reader.flag().unwrap_or(false));
        }
    }

    /// `ue(v)`: 9.1.
    pub(super) fn golomb(&mut self, value: u32) {
        let code = u64::from(value) + 1;
        let length = u64::BITS - code.leading_zeros();
        (1..length).for_each(|_| self.bit(false));
        (0..length).rev().for_each(|at| self.bit(code >> at & 1 == 1));
    }
}

/// Takes out the bytes of emulation prevention: 7.4.1.
pub(super) fn unescape(nal: &[u8]) -> Vec<u8> {
    let mut rbsp = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == EMULATION_PREVENTION {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        rbsp.push(byte);
    }
    rbsp
}

/// Puts them in: 7.4.1.
pub(super) fn escape(rbsp: &[u8], nal: &mut Vec<u8>) {
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros >= 2 && byte <= EMULATION_PREVENTION {
            nal.push(EMULATION_PREVENTION);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
}

/// Where the payload ends: the position of `rbsp_stop_one_bit`, the last that is set (7.3.2.11).
pub(super) fn stop_bit(rbsp: &[u8]) -> Option<usize> {
    let last = rbsp.iter().rposition(|byte| *byte != 0)?;
    Some(last * 8 + 7 - rbsp[last].trailing_zeros() as usize)
}

const EMULATION_PREVENTION: u8 = 3;
const MOST_SIGNED: i32 = 1 << 20;
