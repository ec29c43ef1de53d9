//! Kinds of NAL units (ITU-T H.264, 7.4.1).

/// The `nal_unit_type` values that are treated differently (H.264 table 7-1).
///
/// ```text
///  +---------------+
///  |0|1|2|3|4|5|6|7|
///  +-+-+-+-+-+-+-+-+
///  |F|NRI|  Type   |
///  +---------------+
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum NalType {
    /// 1: a slice of a picture that is not an IDR.
    Slice,
    /// 2, 3, 4: slice data partitions.
    Partition,
    /// 5: a slice of an IDR picture.
    Idr,
    /// 6: supplemental enhancement information.
    Sei,
    /// 7: sequence parameter set.
    Sps,
    /// 8: picture parameter set.
    Pps,
    /// 9: access unit delimiter.
    Aud,
    /// 10, 11, 12: end of sequence, end of stream, filler data.
    Filler,
    /// Anything else.
    Other(u8),
}

impl NalType {
    /// From the first byte of a NAL unit.
    pub const fn of(header: u8) -> Self {
        match header & 0x1f {
            1 => Self::Slice,
            2..=4 => Self::Partition,
            5 => Self::Idr,
            6 => Self::Sei,
            7 => Self::Sps,
            8 => Self::Pps,
            9 => Self::Aud,
            10..=12 => Self::Filler,
            other => Self::Other(other),
        }
    }

    /// Whether units of this type carry coded picture samples (VCL).
    pub const fn is_vcl(self) -> bool {
        matches!(self, Self::Slice | Self::Partition | Self::Idr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_those_of_table_7_1_whatever_the_bits_above_say() {
        use NalType::*;
        let types = [
            Other(0),
            Slice,
            Partition,
            Partition,
            Partition,
            Idr,
            Sei,
            Sps,
            Pps,
            Aud,
            Filler,
            Filler,
            Filler,
        ];
        for (nal_unit_type, expected) in (0u8..).zip(types) {
            for above in [0x00, 0x20, 0x60, 0x80, 0xe0] {
                assert_eq!(NalType::of(above | nal_unit_type), expected, "{nal_unit_type}");
            }
        }
        for nal_unit_type in 13..=31 {
            assert_eq!(NalType::of(0x60 | nal_unit_type), Other(nal_unit_type));
        }
    }

    #[test]
    fn only_slices_and_partitions_carry_samples() {
        let vcl = (0..=31).filter(|&header| NalType::of(header).is_vcl());
        assert_eq!(vcl.collect::<Vec<u8>>(), [1, 2, 3, 4, 5]);
    }
}
