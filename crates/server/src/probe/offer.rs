//! What the server's SDP offers (RFC 8866; RFC 6184 section 8.2.1): the H.264 track and what is
//! promised about it.

use bytes::Bytes;
use retina::{
    client::Stream,
    codec::{ParametersRef, VideoParametersCodec},
};

/// The H.264 track that is going to be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// Its index among retina's streams.
    pub(super) index: usize,
    /// Ticks of its RTP clock in a second.
    pub(super) clock_rate: u32,
    /// SPS and PPS from `sprop-parameter-sets`; none when missing or unreadable.
    pub(super) parameter_sets: Vec<Bytes>,
    pub(super) profile_level_id: Option<[u8; 3]>,
    pub(super) packetization_mode_1: bool,
}

impl Offer {
    /// The first H.264 video of `streams`.
    ///
    /// # Errors
    ///
    /// When there is none: what there is instead, as `audio/pcmu, video/h265`.
    pub(super) fn choose(streams: &[Stream], sdp: &[u8]) -> Result<Self, String> {
        let h264 = |stream: &Stream| stream.media() == "video" && stream.encoding_name() == "h264";
        let Some(index) = streams.iter().position(h264) else {
            let offered =
                |stream: &Stream| format!("{}/{}", stream.media(), stream.encoding_name());
            return Err(streams.iter().map(offered).collect::<Vec<_>>().join(", "));
        };
        let stream = &streams[index];
        let parameter_sets = match stream.parameters() {
            Some(ParametersRef::Video(video)) => match video.codec_params() {
                VideoParametersCodec::H264 { sps, pps } => vec![sps.clone(), pps.clone()],
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        let format = format_parameters(sdp, stream.rtp_payload_type()).unwrap_or_default();
        Ok(Self {
            index,
            clock_rate: stream.clock_rate_hz(),
            parameter_sets,
            profile_level_id: parameter(&format, "profile-level-id").and_then(profile_level_id),
            packetization_mode_1: parameter(&format, "packetization-mode") == Some("1"),
        })
    }
}

/// The `a=fmtp` of `payload_type` under an `m=video`, without the payload type.
fn format_parameters(sdp: &[u8], payload_type: u8) -> Option<String> {
    let session = sdp_types::Session::parse(sdp).ok()?;
    let attributes = session
        .medias
        .iter()
        .filter(|media| media.media == "video")
        .flat_map(|media| &media.attributes)
        .filter(|attribute| attribute.attribute == "fmtp");
    attributes
        .filter_map(|attribute| attribute.value.as_deref()?.split_once(' '))
        .find(|(number, _)| number.parse() == Ok(payload_type))
        .map(|(_, parameters)| parameters.to_owned())
}

fn parameter<'a>(format: &'a str, name: &str) -> Option<&'a str> {
    let pairs = format.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

fn profile_level_id(hex: &str) -> Option<[u8; 3]> {
    let digits = hex.len() == 6 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let [_, bytes @ ..] = u32::from_str_radix(hex, 16).ok().filter(|_| digits)?.to_be_bytes();
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_parameters_as_cameras_write_them() {
        let sdp = b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\n\
            m=audio 0 RTP/AVP 96\r\na=fmtp:96 mode=1\r\n\
            m=video 0 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n\
            a=fmtp:97 Profile-Level-Id=42C01F; packetization-mode=1 ;sprop-parameter-sets=Z0=,aM4=\r\n";
        assert_eq!(format_parameters(sdp, 96), None);
        let format = format_parameters(sdp, 97).unwrap();
        assert_eq!(parameter(&format, "packetization-mode"), Some("1"));
        assert_eq!(parameter(&format, "sprop-parameter-sets"), Some("Z0=,aM4="));
        let profile = parameter(&format, "profile-level-id").and_then(profile_level_id);
        assert_eq!(profile, Some([0x42, 0xc0, 0x1f]));
        assert_eq!(parameter(&format, "mode"), None);
    }

    #[test]
    fn profiles_that_are_none() {
        for hex in ["", "42c0", "42c01f00", "+2c01f", "42c01g"] {
            assert_eq!(profile_level_id(hex), None, "{hex}");
        }
    }
}
