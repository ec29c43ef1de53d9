use proptest::prelude::*;

use super::*;

fn shown<T: std::fmt::Debug>(read: Result<T, Problem>) -> String {
    match read {
        Ok(value) => format!("{value:?}"),
        Err(problem) => problem.to_string(),
    }
}

#[test]
fn bitrates() {
    for (text, meant) in [
        ("2M", "2000000"),
        ("2.5M", "2500000"),
        ("800k", "800000"),
        ("800K", "800000"),
        ("1500000", "1500000"),
        ("10k", "10000"),
        ("200M", "200000000"),
        ("0.0105M", "10500"),
        ("9999", "9999 cannot be: a bitrate is from 10k to 200M bits per second"),
        ("200.1M", "200.1M cannot be: a bitrate is from 10k to 200M bits per second"),
        ("2Q", "\"2Q\" is not a bitrate (write 2M, 800k or 1500000)"),
        ("2m", "\"2m\" is not a bitrate (write 2M, 800k or 1500000)"),
        ("", "\"\" is not a bitrate (write 2M, 800k or 1500000)"),
        ("M", "\"M\" is not a bitrate (write 2M, 800k or 1500000)"),
        ("-2M", "\"-2M\" is not a bitrate (write 2M, 800k or 1500000)"),
        ("2.M", "\"2.M\" is not a bitrate (write 2M, 800k or 1500000)"),
        (".5M", "\".5M\" is not a bitrate (write 2M, 800k or 1500000)"),
        ("10000.5", "\"10000.5\" is not a bitrate (write 2M, 800k or 1500000)"),
        (
            "99999999999999999999M",
            "\"99999999999999999999M\" is not a bitrate (write 2M, 800k or 1500000)",
        ),
    ] {
        assert_eq!(shown(bitrate(text)), meant, "{text}");
    }
}

#[test]
fn distances_of_keyframes() {
    for (text, meant) in [
        ("1s", "Time(1s)"),
        ("0.5s", "Time(500ms)"),
        ("500ms", "Time(500ms)"),
        ("30", "Frames(30)"),
        ("0", "0 cannot be: 1 makes every frame a keyframe"),
        ("1.5", "\"1.5\" is not a distance of keyframes (write 1s, 500ms or 30)"),
        ("s", "\"s\" is not a distance of keyframes (write 1s, 500ms or 30)"),
        ("4294967296", "\"4294967296\" is not a distance of keyframes (write 1s, 500ms or 30)"),
    ] {
        assert_eq!(shown(gop(text)), meant, "{text}");
    }
    let rate = |text| frame_rate(text).unwrap();
    assert_eq!(Gop::Time(Duration::from_secs(1)).frames(rate("30000/1001")), 30);
    assert_eq!(Gop::Time(Duration::from_millis(1)).frames(rate("1")), 1);
    assert_eq!(Gop::Frames(7).frames(rate("25")), 7);
}

#[test]
fn sizes_and_rates() {
    for (text, meant) in [
        ("1280x720", "I420Layout { width: 1280, height: 720 }"),
        ("1280", "\"1280\" is not a size (write 1280x720)"),
        ("1280X720", "\"1280X720\" is not a size (write 1280x720)"),
        ("1280x720x3", "\"1280x720x3\" is not a size (write 1280x720)"),
        ("0x720", "0x720 cannot be: each side has from 1 to 16384 pixels"),
        ("99999999999x720", "99999999999x720 cannot be: each side has from 1 to 16384 pixels"),
    ] {
        assert_eq!(shown(size(text)), meant, "{text}");
    }
    for (text, meant) in [
        ("30", "30 fps"),
        ("29.97", "2997/100 fps"),
        ("30000/1001", "30000/1001 fps"),
        ("30/0", "\"30/0\" is not a frame rate (write 30, 29.97 or 30000/1001)"),
        ("fast", "\"fast\" is not a frame rate (write 30, 29.97 or 30000/1001)"),
        ("4294967.999", "\"4294967.999\" is not a frame rate (write 30, 29.97 or 30000/1001)"),
    ] {
        assert_eq!(shown(frame_rate(text)), meant, "{text}");
    }
}

#[test]
fn ports_and_packets() {
    for (text, meant) in [
        ("8000", "UdpPorts { rtp: 8000 }"),
        ("0", "UdpPorts { rtp: 0 }"),
        ("65534", "UdpPorts { rtp: 65534 }"),
        (
            "8001",
            "8001 cannot be: it is an even port from 2 to 65534 for RTP (RTCP takes the next), or \
             0 for any",
        ),
        ("8000/udp", "\"8000/udp\" is not a UDP port (write 8000)"),
    ] {
        assert_eq!(shown(udp_ports(text)), meant, "{text}");
    }
    assert_eq!(UdpPorts::new(65534).map(UdpPorts::rtcp), Some(65535));
    assert_eq!(UdpPorts::ANY.rtcp(), 0);
    for (text, meant) in [
        ("576", "576"),
        ("65507", "65507"),
        ("575", "575 cannot be: a packet has from 576 to 65507 bytes"),
        ("65508", "65508 cannot be: a packet has from 576 to 65507 bytes"),
        ("1372B", "\"1372B\" is not a packet size (write 1372, without a unit)"),
    ] {
        assert_eq!(shown(packet_size(text)), meant, "{text}");
    }
}

#[test]
fn names_of_streams() {
    for text in ["cam", "a", "hall/small", "Cam_2.front-door", "0", &"a".repeat(64)] {
        assert_eq!(stream_name(text).unwrap().as_str(), text);
    }
    for (text, why) in [
        ("", "\"\" cannot be: a stream needs a name"),
        ("/cam", "\"/cam\" cannot be: in the name of a stream, / stands between two parts"),
        ("cam/", "\"cam/\" cannot be: in the name of a stream, / stands between two parts"),
        ("a//b", "\"a//b\" cannot be: in the name of a stream, / stands between two parts"),
        (
            "a/../b",
            "\"a/../b\" cannot be: players resolve . and .. away: they can be no part of a name",
        ),
        (
            "trackID=0",
            "\"trackID=0\" cannot be: the name of a stream has letters a-z A-Z, digits, . _ - and \
             inner /",
        ),
        (
            "Küche",
            "\"Küche\" cannot be: the name of a stream has letters a-z A-Z, digits, . _ - and \
             inner /",
        ),
    ] {
        assert_eq!(stream_name(text).unwrap_err().to_string(), why);
    }
    let long = stream_name(&"a".repeat(65)).unwrap_err().to_string();
    assert!(long.ends_with("the name of a stream has at most 64 letters"), "{long}");
}

#[test]
fn passwords_are_never_shown() {
    let secret = "hunter2\n";
    let problem = password(secret).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "this password cannot be: it has a control character (a line break, perhaps)"
    );
    assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
    let good = password("s3cret").unwrap();
    assert_eq!((format!("{good:?}").as_str(), good.reveal()), ("Password(…)", "s3cret"));
    assert!(password("").is_err() && password(&"x".repeat(257)).is_err());
}

#[test]
fn default_bitrates_follow_the_formula_of_the_documentation() {
    for (size_text, rate, expected) in [
        ("1280x720", "30", 2_000_000),
        ("1920x1080", "30", 3_670_000),
        ("3840x2160", "30", 10_390_000),
        ("640x480", "30", 880_000),
        ("320x240", "10", 180_000),
        ("1280x720", "60", 2_830_000),
        ("16x16", "1", 10_000),
    ] {
        let layout = size(size_text).unwrap();
        let bitrate = default_bitrate(layout, frame_rate(rate).unwrap());
        assert_eq!(bitrate, expected, "{size_text} at {rate}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[0-9.kKMmsx/:-]{0,24}|\\PC{0,12}") {
        let _ = (size(&text), frame_rate(&text), bitrate(&text), gop(&text));
        let _ = (udp_ports(&text), packet_size(&text), stream_name(&text), user_name(&text));
        let _ = (time(&text, Duration::ZERO..=Duration::MAX), number(&text, 0..=u64::MAX));
        let _ = password(&text);
    }

    #[test]
    fn units_mean_what_they_say(bits in 10_000u32..=200_000_000) {
        prop_assert_eq!(bitrate(&bits.to_string()), Ok(bits));
        let mega = format!("{}.{:06}M", bits / 1_000_000, bits % 1_000_000);
        prop_assert_eq!(bitrate(&mega), Ok(bits));
    }
}
