//! What the replies promise: the track of the SDP (RFC 4566, RFC 2326 appendix C) and the first
//! packet of `RTP-Info` (RFC 2326 section 12.33).

use std::str;

use rtp_packetizer::{RtpTimestamp, Sequence};

use super::{Error, message::Response};

/// The URLs to go on with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// For SETUP.
    pub(super) track: String,
    /// For PLAY and TEARDOWN.
    pub(super) aggregate: String,
}

impl Offer {
    pub(super) fn parse(described: &Response, url: &str) -> Result<Self, Error> {
        let sdp = str::from_utf8(&described.body).map_err(|_| Error::Malformed("SDP"))?;
        let base = described.header("Content-Base").unwrap_or(url);
        Self::from_sdp(sdp, base).ok_or(Error::Malformed("SDP without an H.264 track"))
    }

    fn from_sdp(sdp: &str, base: &str) -> Option<Self> {
        let mut lines = sdp.lines();
        lines.find(|line| line.starts_with("m=video "))?;
        let track: Vec<_> = lines.take_while(|line| !line.starts_with("m=")).collect();
        track.iter().find(|line| line.starts_with("a=rtpmap:") && line.ends_with(" H264/90000"))?;
        let control = track.iter().find_map(|line| line.strip_prefix("a=control:"))?;
        let track = if control.starts_with("rtsp://") {
            control.to_owned()
        } else if base.ends_with('/') {
            format!("{base}{control}")
        } else {
            format!("{base}/{control}")
        };
        Some(Self { track, aggregate: base.to_owned() })
    }
}

/// The numbers of the first entry; `None` unless both are there.
pub(super) fn first_packet(rtp_info: &str) -> Option<(Sequence, RtpTimestamp)> {
    let entry = rtp_info.split(',').next()?;
    let value = |name| entry.split(';').find_map(|part| part.trim().strip_prefix(name));
    let sequence = value("seq=")?.parse().ok()?;
    let timestamp = value("rtptime=")?.parse().ok()?;
    Some((Sequence(sequence), RtpTimestamp(timestamp)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_video_track_is_found_among_others() {
        let sdp = "v=0\r\na=control:*\r\nm=audio 0 RTP/AVP 97\r\na=control:trackID=1\r\n\
                   m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n\
                   m=audio 0 RTP/AVP 98\r\na=control:trackID=2\r\n";
        let offer = Offer::from_sdp(sdp, "rtsp://h/cam/").unwrap();
        assert_eq!(offer.track, "rtsp://h/cam/trackID=0");
        assert_eq!(offer.aggregate, "rtsp://h/cam/");
        let absolute = sdp.replace("trackID=0", "rtsp://h/x");
        assert_eq!(Offer::from_sdp(&absolute, "rtsp://h/cam/").unwrap().track, "rtsp://h/x");
        assert_eq!(Offer::from_sdp(&sdp.replace("H264", "H265"), "rtsp://h/cam/"), None);
    }

    #[test]
    fn rtp_info_counts_only_with_both_numbers() {
        let whole = "url=rtsp://h/cam/trackID=0;seq=7;rtptime=99, url=rtsp://h/cam/trackID=1";
        assert_eq!(first_packet(whole), Some((Sequence(7), RtpTimestamp(99))));
        assert_eq!(first_packet("url=rtsp://h/cam/trackID=0"), None);
        assert_eq!(first_packet("url=rtsp://h/cam/trackID=0;seq=7"), None);
    }
}
