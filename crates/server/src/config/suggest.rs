//! The name a person probably meant.

use capture::spelling::nearest;

/// The one of `known` that `found` is a slip of the pen or another word for.
pub(super) fn key(found: &str, known: &'static [&'static str]) -> Option<&'static str> {
    let found = found.to_lowercase().replace('_', "-");
    let other_word = OTHER_WORDS
        .iter()
        .find(|(words, _)| words.contains(&&*found))
        .and_then(|(_, key)| known.iter().find(|known| *known == key));
    other_word.or_else(|| nearest(&found, known.iter())).copied()
}

/// What other programs call the same.
const OTHER_WORDS: &[(&[&str], &str)] = &[
    (&["resolution", "width", "height", "video-size", "dimensions", "s"], "size"),
    (&["rate", "framerate", "frame-rate", "r"], "fps"),
    (&["bandwidth", "br", "b", "rate-kbps", "kbps"], "bitrate"),
    (&["keyint", "keyframe-interval", "key-interval", "idr", "g"], "gop"),
    (&["port", "address", "bind", "host", "rtsp-port"], "listen"),
    (&["mtu", "max-packet-size", "blocksize"], "packet-size"),
    (&["username", "login", "id", "path", "mount"], "name"),
    (&["pass", "passwd", "secret"], "password"),
    (&["url", "input", "src", "device"], "source"),
    (&["cameras", "camera", "paths", "cam"], "stream"),
    (&["timeout"], "session-timeout"),
    (&["pipe", "-"], "stdin"),
    (&["card", "synthetic", "testsrc"], "test"),
    (&["mp4", "files"], "file"),
    (&["i420", "rawvideo", "raw", "yuv", "bgr24", "rgb24", "gray", "nv12"], "yuv420p"),
    (&["avc", "h.264", "x264", "annexb", "annex-b"], "h264"),
];
#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &[&str] = &["size", "fps", "bitrate", "gop", "udp-port"];

    #[test]
    fn slips_and_other_words_are_understood() {
        for (found, meant) in [
            ("bitrat", Some("bitrate")),
            ("birtate", Some("bitrate")),
            ("Bitrate", Some("bitrate")),
            ("udp_port", Some("udp-port")),
            ("fsp", Some("fps")),
            ("sizes", Some("size")),
            ("resolution", Some("size")),
            ("framerate", Some("fps")),
            ("port", None),
            ("", None),
            ("x", None),
            ("colour", None),
        ] {
            assert_eq!(key(found, KEYS), meant, "{found}");
        }
        assert_eq!(key(&"size".repeat(100_000), KEYS), None);
    }
}
