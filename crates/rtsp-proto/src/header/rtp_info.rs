//! The `RTP-Info` header (RFC 2326 section 12.33): which packet of each track is the first.

use std::fmt;

/// The entry of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpInfo<'a> {
    /// The track's URL, exactly as the client built it: FFmpeg compares it letter by letter.
    pub url: &'a str,
    /// Sequence number of the first packet; left away when not known yet, rather than guessed.
    pub seq: Option<u16>,
    /// RTP timestamp of the first packet; left away when not known yet.
    pub rtptime: Option<u32>,
}

/// The value of the header, one entry for each track.
pub fn write(entries: &[RtpInfo<'_>]) -> String {
    let entries: Vec<_> = entries.iter().map(ToString::to_string).collect();
    entries.join(",")
}

impl fmt::Display for RtpInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "url={}", self.url)?;
        if let Some(seq) = self.seq {
            write!(f, ";seq={seq}")?;
        }
        if let Some(rtptime) = self.rtptime {
            write!(f, ";rtptime={rtptime}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_values_are_left_away() {
        let video = RtpInfo { url: "rtsp://h/cam/trackID=0", seq: Some(7), rtptime: Some(99) };
        let audio = RtpInfo { url: "rtsp://h/cam/trackID=1", seq: None, rtptime: None };
        assert_eq!(
            write(&[video, audio]),
            "url=rtsp://h/cam/trackID=0;seq=7;rtptime=99,url=rtsp://h/cam/trackID=1"
        );
    }
}
