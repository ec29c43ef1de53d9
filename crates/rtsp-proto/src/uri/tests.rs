use super::*;

fn target(text: &str) -> Target {
    Target::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn stream_query_and_track_in_every_dialect() {
    for (text, stream, query, track) in [
        ("rtsp://h/cam", "cam", None, None),
        ("rtsp://h/cam/", "cam", None, None),
        ("rtsp://h/cam/trackID=0", "cam", None, Some(0)),
        ("rtsp://h/cam/trackID=0/", "cam", None, Some(0)),
        ("rtsp://h/cam//trackID=1", "cam", None, Some(1)),
        ("rtsp://h/a/b/trackID=255", "a/b", None, Some(255)),
        // GStreamer, whose query comes last or is lost.
        ("rtsp://h/cam/?q=1", "cam", Some("q=1"), None),
        ("rtsp://h/cam/trackID=0?q=1", "cam", Some("q=1"), Some(0)),
        // FFmpeg and retina, which append text.
        ("rtsp://h/cam?q=1", "cam", Some("q=1"), None),
        ("rtsp://h/cam?q=1/", "cam", Some("q=1"), None),
        ("rtsp://h/cam?q=1/trackID=0", "cam", Some("q=1"), Some(0)),
        ("rtsp://h/cam/?q=1/trackID=0", "cam", Some("q=1"), Some(0)),
        ("rtsp://h/cam/?q=/a/b/trackID=2", "cam", Some("q=/a/b"), Some(2)),
        ("rtsp://h/cam/?/trackID=2", "cam", None, Some(2)),
        // The root.
        ("rtsp://h", "", None, None),
        ("rtsp://h/", "", None, None),
        ("rtsp://h?q", "", Some("q"), None),
        ("rtsp://h/trackID=0", "", None, Some(0)),
        ("rtsp://h:8554#x", "", None, None),
        // Only a path.
        ("/cam", "cam", None, None),
        ("/cam/trackID=3", "cam", None, Some(3)),
        ("/", "", None, None),
        // Percent-encoding; a slash is a slash, a question mark is not a query.
        ("rtsp://h/front%20door", "front door", None, None),
        ("rtsp://h/%2Fcam%3Fx", "cam?x", None, None),
        ("rtsp://h/caf%C3%A9", "café", None, None),
        ("rtsp://h/café", "café", None, None),
        ("rtsp://h/100%", "100%", None, None),
        ("rtsp://h/cam/trackID%3D0", "cam", None, Some(0)),
        ("rtsp://h/cam?q=1/track%49D%3d1", "cam", Some("q=1"), Some(1)),
        // Almost a track.
        ("rtsp://h/cam/trackID=256", "cam/trackID=256", None, None),
        ("rtsp://h/cam/trackID=", "cam/trackID=", None, None),
        ("rtsp://h/cam/trackID=+1", "cam/trackID=+1", None, None),
        ("rtsp://h/cam/trackID=0x", "cam/trackID=0x", None, None),
        ("rtsp://h/camtrackID=0", "camtrackID=0", None, None),
        // `..` only as a whole segment is refused.
        ("rtsp://h/a..b/...", "a..b/...", None, None),
    ] {
        let target = target(text);
        let found = (target.stream(), target.query.as_deref(), target.track());
        assert_eq!(found, (stream, query, track), "{text}");
        assert_eq!(target.as_str(), text);
    }
}

#[test]
fn urls_are_repeated_without_userinfo() {
    for (text, url) in [
        ("rtsp://h/cam", "rtsp://h/cam"),
        ("rtsp://h:8554/cam", "rtsp://h:8554/cam"),
        ("rtsp://user:pass@h:8554/cam", "rtsp://h:8554/cam"),
        ("rtsp://user:p@ss@h/cam", "rtsp://h/cam"),
        ("rtsp://[::1]:554/cam", "rtsp://[::1]:554/cam"),
        ("rtsp://u@[fe80::1%25eth0]:554/cam", "rtsp://[fe80::1%25eth0]:554/cam"),
        ("RTSP://H/cam", "RTSP://H/cam"),
        ("rtsps://h/cam", "rtsps://h/cam"),
        ("rtspu://h", "rtspu://h"),
        ("rtsph://h?q", "rtsph://h?q"),
        ("rtsp:///cam", "rtsp:///cam"),
        ("/cam@h", "/cam@h"),
        // An `@` behind the host is no userinfo's.
        ("rtsp://h/a@b?c@d", "rtsp://h/a@b?c@d"),
    ] {
        assert_eq!(target(text).url(), url, "{text}");
    }
}

#[test]
fn content_base_has_its_slash_before_the_query() {
    for (text, base) in [
        ("rtsp://h/cam", "rtsp://h/cam/"),
        ("rtsp://h/cam/", "rtsp://h/cam/"),
        ("rtsp://h:8554", "rtsp://h:8554/"),
        ("rtsp://h/", "rtsp://h/"),
        ("rtsp://u:p@h:8554/cam?a=b", "rtsp://h:8554/cam/?a=b"),
        ("rtsp://h/cam/?a=b/", "rtsp://h/cam/?a=b"),
        ("rtsp://h/cam/trackID=0?a=b", "rtsp://h/cam/?a=b"),
        ("rtsp://h/front%20door", "rtsp://h/front%20door/"),
        ("RTSP://[::1]:554/cam", "RTSP://[::1]:554/cam/"),
        ("/cam", "/cam/"),
    ] {
        assert_eq!(target(text).content_base(), base, "{text}");
    }
}

/// Each client's way of joining Content-Base and control leads back to stream and track.
#[test]
fn clients_find_their_track_by_content_base() {
    for text in ["rtsp://h/cam", "rtsp://h/cam?a=b", "rtsp://h/a/b/?q", "rtsp://u:p@[::1]:8554/x"] {
        let described = target(text);
        let base = described.content_base();
        // FFmpeg, retina: append, with a slash where there is none.
        let slash = if base.ends_with('/') { "" } else { "/" };
        let appended = format!("{base}{slash}{}", control(3));
        // GStreamer: RFC 3986 section 5.2.3, everything behind the last slash of the path goes.
        let path = base.split('?').next().unwrap();
        let resolved = format!("{}{}", &path[..=path.rfind('/').unwrap()], control(3));
        for url in [appended, resolved] {
            let found = target(&url);
            assert_eq!((found.stream(), found.track()), (described.stream(), Some(3)), "{url}");
            assert_eq!(found.url(), url, "RTP-Info repeats it as it came");
        }
    }
}

#[test]
fn a_url_shows_no_password() {
    let target = target("rtsp://user:secret@h:8554/cam?q#f");
    assert_eq!(target.url(), "rtsp://h:8554/cam?q#f");
    assert_eq!(target.to_string(), target.url());
}

#[test]
fn asterisk_is_the_server() {
    assert_eq!(RequestUri::parse("*"), Ok(RequestUri::Asterisk));
    assert_eq!(RequestUri::Asterisk.as_str(), "*");
}

#[test]
fn what_names_nothing_is_refused() {
    for (text, error) in [
        ("", UriError::Scheme),
        ("cam", UriError::Scheme),
        ("**", UriError::Scheme),
        ("http://h/cam", UriError::Scheme),
        ("rtsp:/cam", UriError::Scheme),
        ("://h/cam", UriError::Scheme),
        ("rtsp://h/my cam", UriError::Character(' ')),
        ("rtsp://h/cam\tx", UriError::Character('\t')),
        ("rtsp://h/cam\0", UriError::Character('\0')),
        ("rtsp://h/cam%00", UriError::NotText),
        ("rtsp://h/cam%0d%0aX:y", UriError::NotText),
        ("rtsp://h/cam%ff", UriError::NotText),
        ("rtsp://h/../etc", UriError::ParentDirectory),
        ("rtsp://h/a/%2e%2e/b", UriError::ParentDirectory),
        ("/a/..", UriError::ParentDirectory),
    ] {
        assert_eq!(RequestUri::parse(text), Err(error), "{text:?}");
    }
}
