//! The name a person probably meant.

/// The one of `known` that `found` is a slip of the pen or another word for.
pub(super) fn key(found: &str, known: &'static [&'static str]) -> Option<&'static str> {
    let found = found.to_lowercase().replace('_', "-");
    let other_word = OTHER_WORDS
        .iter()
        .find(|(words, _)| words.contains(&&*found))
        .and_then(|(_, key)| known.iter().find(|known| *known == key));
    other_word.or_else(|| nearest(&found, known.iter())).copied()
}

/// The one of `known` that differs from `found` in a third of its letters at most.
pub(super) fn nearest<T: AsRef<str>>(found: &str, known: impl IntoIterator<Item = T>) -> Option<T> {
    let found: Vec<char> = found.chars().take(MAX_LENGTH + 1).collect();
    if found.len() > MAX_LENGTH {
        return None;
    }
    known
        .into_iter()
        .map(|known| (distance(&found, &known.as_ref().chars().collect::<Vec<_>>()), known))
        .filter(|(distance, known)| {
            *distance <= (known.as_ref().chars().count().max(found.len()) / 3).max(1)
                && *distance < found.len()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Letters to insert, delete, replace or swap with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let shortest = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    shortest.min(rows[i - 2][j - 2] + 1)
                } else {
                    shortest
                }
            };
        }
    }
    rows[a.len()][b.len()]
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
/// Longer than every key: what is longer was not meant to be one.
const MAX_LENGTH: usize = 64;

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

    #[test]
    fn distances() {
        let distance = |a: &str, b: &str| {
            distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
        };
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "acb"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("größe", "grösse"), 2);
    }
}
