//! Requests as FFmpeg 5.1 sends them (RFC 2326).

/// The first of a conversation.
pub const OPTIONS: &str = "OPTIONS rtsp://127.0.0.1:8554/cam RTSP/1.0\r\n\
    CSeq: 1\r\n\
    User-Agent: Lavf59.27.100\r\n\
    \r\n";

/// Without a login.
pub const DESCRIBE: &str = "DESCRIBE rtsp://127.0.0.1:8554/cam RTSP/1.0\r\n\
    Accept: application/sdp\r\n\
    CSeq: 2\r\n\
    User-Agent: Lavf59.27.100\r\n\
    \r\n";

/// With Digest, the longest of all.
pub const SETUP: &str = "SETUP rtsp://127.0.0.1:8554/cam/trackID=0 RTSP/1.0\r\n\
    Transport: RTP/AVP/UDP;unicast;client_port=23762-23763\r\n\
    CSeq: 4\r\n\
    User-Agent: Lavf59.27.100\r\n\
    Authorization: Digest username=\"lens\", realm=\"lenscast\", \
    nonce=\"00000000000c4f1ab5a0d4d2c3f4e5968778695a4b3c2d1e\", \
    uri=\"rtsp://127.0.0.1:8554/cam/trackID=0\", response=\"0123456789abcdef0123456789abcdef\"\r\n\
    \r\n";

/// From the beginning.
pub const PLAY: &str = "PLAY rtsp://127.0.0.1:8554/cam/ RTSP/1.0\r\n\
    Range: npt=0.000-\r\n\
    CSeq: 5\r\n\
    User-Agent: Lavf59.27.100\r\n\
    Session: 3kTqZ8Hn4LwXcV6bM1sD\r\n\
    \r\n";

/// A sign of life.
pub const GET_PARAMETER: &str = "GET_PARAMETER rtsp://127.0.0.1:8554/cam/ RTSP/1.0\r\n\
    CSeq: 6\r\n\
    User-Agent: Lavf59.27.100\r\n\
    Session: 3kTqZ8Hn4LwXcV6bM1sD\r\n\
    \r\n";
