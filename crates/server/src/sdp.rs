//! The session description a DESCRIBE is answered with (RFC 8866, RFC 2326 appendix C, RFC 6184
//! section 8.2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtp_packetizer::h264;
use rtsp_proto::uri;
use sdp_types::{
    Attribute, Bandwidth, BandwidthType, Connection, Media, MediaType, Origin, Session, Time,
    TransportProto,
};

use crate::live::{Announcement, mount::PAYLOAD_TYPE};

/// Describes a stream to a client that came by the address family of `local`.
///
/// The control URLs are relative: FFmpeg and GStreamer build absolute ones in different ways, and
/// both come out right with a Content-Base that ends in a slash.
pub fn describe(name: &str, session_id: u64, announcement: &Announcement, local: IpAddr) -> String {
    // The wildcard of the right family: clients fail on the wrong one, and players take a concrete
    // address for the place to send to or to expect multicast from.
    let any: IpAddr = match local {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut session =
        Session::new(Origin::with_ip_addr(session_id, announcement.version, any), name);
    session.connection = Some(Connection::from_ip_addr(any));
    session.times = vec![Time::new(0, 0)];
    session.attributes = vec![
        Attribute::with_value("tool", concat!("lenscast ", env!("CARGO_PKG_VERSION"))),
        Attribute::with_value("type", "broadcast"),
        Attribute::with_value("control", "*"),
        Attribute::with_value("range", "npt=now-"),
    ];

    let mut video = Media::new(MediaType::Video, 0, TransportProto::RtpAvp, PAYLOAD_TYPE);
    if let Some(bitrate) = announcement.bitrate {
        video.bandwidths = vec![Bandwidth::new(BandwidthType::As, application_kilobits(bitrate))];
    }
    let sets = &announcement.parameter_sets;
    video.attributes = vec![
        Attribute::with_value("rtpmap", format!("{PAYLOAD_TYPE} H264/90000")),
        Attribute::with_value("fmtp", format!("{PAYLOAD_TYPE} {}", h264::sdp::fmtp(sets))),
    ];
    if let Some(rate) = announcement.rate {
        let rate = (rate.as_f64() * 1000.0).round() / 1000.0;
        video.attributes.push(Attribute::with_value("framerate", rate));
    }
    let description = sets.description();
    video.attributes.extend([
        Attribute::with_value(
            "x-dimensions",
            format!("{},{}", description.width, description.height),
        ),
        Attribute::with_value("control", uri::control(0)),
    ]);
    session.medias = vec![video];
    session.to_string()
}

/// `b=AS` counts kilobits per second with IP and UDP headers (RFC 8866 section 5.8): three percent
/// over the encoder's rate at the default packet size.
fn application_kilobits(bitrate: u32) -> u64 {
    (u64::from(bitrate) * 103).div_ceil(100 * 1000)
}

#[cfg(test)]
mod tests {
    use media::{FrameRate, h264::ParameterSets};

    use super::*;

    const SPS: &[u8] =
        &[0x67, 0x42, 0xc0, 0x1e, 0x8c, 0x8d, 0x40, 0x50, 0x1e, 0xd0, 0x0f, 0x08, 0x84, 0x6a];

    fn announcement() -> Announcement {
        let pps = bytes::Bytes::from_static(&[0x68, 0xce, 0x3c, 0x80]);
        Announcement {
            parameter_sets: ParameterSets::new(SPS.into(), [pps]).unwrap(),
            rate: FrameRate::new(30000, 1001),
            bitrate: Some(2_000_000),
            version: 3,
        }
    }

    #[test]
    fn the_whole_description_of_a_stream() {
        let text = describe("front/door", 42, &announcement(), IpAddr::from([192, 0, 2, 1]));
        let expected = [
            "v=0",
            "o=- 42 3 IN IP4 0.0.0.0",
            "s=front/door",
            "c=IN IP4 0.0.0.0",
            "t=0 0",
            concat!("a=tool:lenscast ", env!("CARGO_PKG_VERSION")),
            "a=type:broadcast",
            "a=control:*",
            "a=range:npt=now-",
            "m=video 0 RTP/AVP 96",
            "b=AS:2060",
            "a=rtpmap:96 H264/90000",
            "a=fmtp:96 packetization-mode=1;profile-level-id=42C01E;\
             sprop-parameter-sets=Z0LAHoyNQFAe0A8IhGo=,aM48gA==",
            "a=framerate:29.97",
            "a=x-dimensions:640,480",
            "a=control:trackID=0",
            "",
        ];
        assert_eq!(text.split("\r\n").collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_family_is_the_clients_and_a_name_cannot_inject_lines() {
        let local = IpAddr::from(Ipv6Addr::LOCALHOST);
        let text = describe("a\r\nc=IN IP4 224.2.1.1", 1, &announcement(), local);
        assert!(text.contains("\r\nc=IN IP6 ::\r\n"), "{text}");
        assert!(!text.contains("\nc=IN IP4"), "{text}");
    }
}
