//! The numbers of an RTP header that wrap or have a meaning of their own (RFC 3550 section 5.1).

use std::fmt;

/// A packet's sequence number: counts packets, wraps from 65535 to 0.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Sequence(pub u16);

impl Sequence {
    /// The number `packets` packets later.
    #[must_use]
    pub const fn after(self, packets: usize) -> Self {
        // The remainder modulo 2^16 is what a 16-bit counter shows.
        Self(self.0.wrapping_add(packets as u16))
    }

    /// How many packets later than `earlier` this is, modulo 2^16.
    pub const fn since(self, earlier: Self) -> u16 {
        self.0.wrapping_sub(earlier.0)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When a packet's picture was taken, in ticks of the stream's RTP clock. Wraps.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct RtpTimestamp(pub u32);

impl RtpTimestamp {
    /// The timestamp `ticks` later.
    #[must_use]
    pub const fn after(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// Ticks from `other` to this one, negative when this one is earlier. Right as long as they are
    /// less than 2^31 ticks apart (6.6 hours at 90 kHz).
    pub const fn since(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0).cast_signed()
    }
}

impl fmt::Display for RtpTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A synchronization source: names the stream within an RTP session. Displayed as the eight
/// hexadecimal digits of RTSP's `ssrc` parameter (RFC 2326 section 12.39).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap() {
        assert_eq!(Sequence(65_535).after(1), Sequence(0));
        assert_eq!(Sequence(7).after(65_536 * 3), Sequence(7));
        assert_eq!(Sequence(1).since(Sequence(65_534)), 3);
    }

    #[test]
    fn timestamps_are_compared_across_the_wrap() {
        assert_eq!(RtpTimestamp(u32::MAX).after(3001), RtpTimestamp(3000));
        assert_eq!(RtpTimestamp(10).since(RtpTimestamp(u32::MAX - 9)), 20);
        assert_eq!(RtpTimestamp(u32::MAX - 9).since(RtpTimestamp(10)), -20);
    }

    /// As they stand in RTP-Info.
    #[test]
    fn sequences_and_timestamps_are_plain_numbers() {
        assert_eq!(Sequence(65_535).to_string(), "65535");
        assert_eq!(RtpTimestamp(u32::MAX).to_string(), "4294967295");
        assert_eq!(format!("{:>5}", Sequence(7)), "    7");
    }

    #[test]
    fn an_ssrc_is_always_eight_digits() {
        assert_eq!(Ssrc(0xbeef).to_string(), "0000BEEF");
    }
}
