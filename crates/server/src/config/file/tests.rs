use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::config::{self, Access, Config, Offline, Source, source};
use capture::v4l2::name::Name;

fn parse(text: &str) -> Result<Config, String> {
    let layer = Layer::from_toml(Path::new("conf/lenscast.toml"), text);
    config::resolve(layer, Layer::default(), Layer::default()).map_err(|errors| errors.to_string())
}

fn bad(text: &str) -> Vec<String> {
    let errors = parse(text).expect_err(text);
    errors.lines().map(|line| line.trim_start_matches("conf/lenscast.toml").to_owned()).collect()
}

#[test]
fn every_key_is_read() {
    let config = parse(
        r#"
        listen = ["localhost:9000", 9001]
        udp-port = 7000
        packet-size = 1_200
        state-dir = "state"
        [auth]
        sha256 = true
        basic = true
        [limits]
        connections = 1
        connections-per-address = 2
        unauthenticated = 3
        sessions = 4
        idle-timeout = "5s"
        session-timeout = "1.5m"
        [[user]]
        name = "alice"
        password = "s3cret s3cret"
        [[stream]]
        name = "door"
        source = "test:"
        size = "640x480"
        fps = 12.5
        bitrate = 1_000_000
        gop = 25
        users = ["alice"]
        [[stream]]
        source = "file:videos/a%3F.h264?fps=25"
        "#,
    )
    .unwrap();
    let addresses = ["127.0.0.1:9000", "[::1]:9000", "[::]:9001"];
    assert_eq!(config.listen, addresses.map(|text| text.parse::<SocketAddr>().unwrap()));
    assert_eq!((config.udp.rtp(), config.packet_size), (7000, 1200));
    assert_eq!(config.state_dir.as_deref(), Some(Path::new("conf/state")));
    assert_eq!(config.auth, Auth { sha256: true, basic: true });
    let limits = config.limits;
    assert_eq!(
        (limits.connections, limits.connections_per_address, limits.unauthenticated),
        (1, 2, 3)
    );
    assert_eq!(limits.sessions, 4);
    assert_eq!(
        (limits.idle_timeout, limits.session_timeout),
        (Duration::from_secs(5), Duration::from_secs(90))
    );
    let Access::Users(users) = &config.access else { panic!("{:?}", config.access) };
    assert_eq!((users[0].name.as_str(), users[0].password.reveal()), ("alice", "s3cret s3cret"));
    let [door, cam] = &config.streams[..] else { panic!("{:?}", config.streams) };
    let Source::Test(encoder) = &door.source else { panic!("{:?}", door.source) };
    assert_eq!((encoder.layout.width(), encoder.rate.to_string().as_str()), (640, "25/2"));
    assert_eq!((encoder.bitrate, encoder.gop), (1_000_000, 25));
    assert_eq!(door.users.as_deref(), Some(&["alice".to_owned()][..]));
    let Source::File(file) = &cam.source else { panic!("{:?}", cam.source) };
    assert_eq!((cam.name.as_str(), &*file.path), ("cam", Path::new("conf/videos/a?.h264")));
    assert_eq!(parse("open = true").unwrap().access, Access::Open);
    assert_eq!(parse("open = false").unwrap().access, Access::Stored);
}

#[test]
fn sources_run_on_demand_as_their_kind_does_or_as_is_said() {
    let stream = |text: &str| {
        let stream = parse(&format!("[[stream]]\nsource = {text}")).unwrap().streams.remove(0);
        (stream.on_demand, stream.offline)
    };
    assert_eq!(stream("\"v4l2:\""), (true, Offline::Freeze));
    assert_eq!(stream("\"test:\""), (true, Offline::Freeze));
    assert_eq!(stream("\"file:a.mp4\""), (false, Offline::Freeze));
    assert_eq!(stream("\"stdin:h264\""), (false, Offline::Freeze));
    assert_eq!(stream("\"v4l2:\"\non_demand = false\noffline = \"card\""), (false, Offline::Card));
    assert_eq!(stream("\"v4l2:?on_demand=false&offline=freeze\""), (false, Offline::Freeze));
    assert_eq!(stream("\"file:a.mp4\"\non_demand = true"), (true, Offline::Freeze));
    for (text, expected) in [
        (
            "\"stdin:h264\"\non_demand = true",
            ":3: stream[0].on_demand: on_demand does not go with stdin:h264, which is read as long \
             as it is there; what does: fps",
        ),
        (
            "\"test:\"\noffline = \"card\"",
            ":3: stream[0].offline: offline does not go with test:, which is no camera; what does: \
             size, fps, bitrate, gop, encoder, on_demand",
        ),
        (
            "\"v4l2:\"\noffline = \"cart\"",
            ":3: stream[0].offline: \"cart\" is no picture of a camera that is away (did you mean \
             card?); there is card, freeze",
        ),
        (
            "\"v4l2:\"\non_demand = \"yes\"",
            ":3: stream[0].on_demand: this is a string; wanted is true or false",
        ),
        (
            "\"v4l2:?on_demand=yes\"",
            ":2: stream[0].source: \"v4l2:?on_demand=yes\" column 17: on_demand: \"yes\" is not true or false (write true)",
        ),
    ] {
        assert_eq!(bad(&format!("[[stream]]\nsource = {text}")), [expected], "{text}");
    }
}

#[test]
fn controls_of_a_camera_are_a_table() {
    let camera = |text: &str| match parse(text).unwrap().streams.remove(0).source {
        Source::Camera(camera) => camera,
        other => panic!("{other:?}"),
    };
    let expected = [
        ("Auto Exposure", "Manual Mode"),
        ("brightness", "-10"),
        ("hflip", "true"),
        ("note", "a,b=c"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let inline = "[[stream]]\nsource = \"v4l2:/dev/video0\"\n\
        controls = { brightness = -10, \"Auto Exposure\" = \"Manual Mode\", hflip = true, note = \"a,b=c\" }";
    let mut controls = camera(inline).controls;
    controls.sort();
    assert_eq!(controls, expected);
    let own_table = "[[stream]]\nsource = \"v4l2:usb-1?controls=contrast=5\"\nformat = \"yuyv\"\n\
        [stream.controls]\nbrightness = 7";
    let camera = camera(own_table);
    let given = [("contrast", "5"), ("brightness", "7")];
    assert_eq!(camera.controls, given.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(camera.name, Name::Stable("usb-1".to_owned()));
    for (text, expected) in [
        (
            "[[stream]]\nsource = \"v4l2:\"\ncontrols = { gain = [1] }",
            ":3: stream[0].controls.gain: this is a list; wanted is a string or a number",
        ),
        (
            "[[stream]]\nsource = \"v4l2:\"\ncontrols = \"gain=1\"",
            ":3: stream[0].controls: this is a string; wanted is a table",
        ),
        (
            "[[stream]]\nsource = \"v4l2:?controls=gain=1\"\ncontrols.gain = 2",
            ":3: stream[0].controls.gain: control \"gain\" is there twice",
        ),
        (
            "[[stream]]\nsource = \"test:\"\ncontrols.gain = 2",
            ":3: stream[0].controls.gain: controls does not go with test:, which is no camera; \
             what does: size, fps, bitrate, gop, encoder, on_demand",
        ),
    ] {
        assert_eq!(bad(text), [expected], "{text}");
    }
}

/// Whatever stands in a table of keys is read: a date, which is no key's type, is complained of.
#[test]
fn no_known_key_is_ignored() {
    for key in keys() {
        let (head, last) = key.rsplit_once('.').unwrap_or(("", &key));
        let text = match head {
            "user[]" => format!("[[user]]\n{last} = 1979-05-27"),
            "stream[]" => format!("[[stream]]\n{last} = 1979-05-27"),
            "" => format!("{last} = 1979-05-27"),
            table => format!("[{table}]\n{last} = 1979-05-27"),
        };
        let errors = bad(&text);
        let expected = format!("{}: this is a date", key.replace("[]", "[0]"));
        assert!(errors.iter().any(|error| error.contains(&expected)), "{key}: {errors:?}");
    }
    assert!(source::KEYS.iter().all(|key| STREAM.contains(key)));
}

#[test]
fn lines_and_keys_are_named() {
    for (text, expected) in [
        (
            "\n[[stream]]\nsource = \"test:\"\nbitrate = \"2Q\"",
            ":4: stream[0].bitrate: \"2Q\" is not a bitrate (write 2M, 800k or 1500000)",
        ),
        (
            "[[stream]]\nsource = \"test:\"\nbitrat = 1",
            ":3: stream[0]: there is no key \"bitrat\" here (did you mean bitrate?); there is \
             name, source, size, fps, format, bitrate, gop, encoder, controls, on_demand, offline, users",
        ),
        (
            "[[stream]]\nsource = \"test:?fps=x\"",
            ":2: stream[0].source: \"test:?fps=x\" column 11: fps: \"x\" is not a frame rate \
             (write 30, 29.97 or 30000/1001)",
        ),
        (
            "[[stream]]\nsource = \"test:?fps=30\"\nfps = 25",
            ":3: stream[0].fps: fps is there twice",
        ),
        (
            "# none\n[[stream]]\nname = \"a\"",
            ":2: stream[0]: source is missing: write source = \"test:\"",
        ),
        (
            "[[stream]]\nsource = \"a=test:\"",
            ":2: stream[0].source: \"a=test:\" column 1: name: a= cannot be: in a file the name \
             is a key of its own (write name = \"a\")",
        ),
        (
            "[[stream]]\nsource = \"file:a.mp4\"\nsize = \"640x480\"",
            ":3: stream[0].size: size does not go with file:, which is H.264 already and is not \
             encoded again; what does: fps, on_demand",
        ),
        (
            "[[stream]]\nsource = \"test:\"\nusers = []",
            ":3: stream[0].users: a name is missing: nobody could watch; leave the key out to let \
             every user watch",
        ),
        (
            "[[stream]]\nsource = \"test:\"\n[[stream]]\nsource = \"test:\"\n",
            ":3: stream[1]: a stream named \"cam\" is there twice: give each its own name, as \
             door=test: or name = \"door\"",
        ),
        (
            "[stream]\nsource = \"test:\"",
            ":1: stream: this is a table; wanted is a list of tables (write the header in two \
             brackets)",
        ),
        (
            "udp_port = 8000",
            ":1: there is no key \"udp_port\" here (did you mean udp-port?); there is listen, \
             udp-port, packet-size, open, state-dir, v4l2-library, auth, limits, user, stream",
        ),
        (
            "listen = []",
            ":1: listen: an address is missing: write listen = 8554, or leave the key out",
        ),
        (
            "listen = [8554,\n \"*\"]",
            ":2: listen[1]: \"*\" is not an address to listen on (write 8554, 127.0.0.1:8554, \
             [::1]:8554 or localhost)",
        ),
        ("open = 1", ":1: open: this is an integer; wanted is true or false"),
        ("auth = true", ":1: auth: this is true or false; wanted is a table"),
        ("[limits]\nsessions = 0", ":2: limits.sessions: 0 cannot be: it is from 1 to 1000000"),
        (
            "[limits]\nidle-timeout = 30",
            ":2: limits.idle-timeout: \"30\" is not a time (write 30s or 500ms)",
        ),
        (
            "[limits]\nsession-timeout = \"5s\"",
            ":2: limits.session-timeout: 5s cannot be: it is from 10s to 3600s",
        ),
        (
            "[limits]\nsession-timeout = \"10.5s\"",
            ":2: limits.session-timeout: 10.5s cannot be: RTSP tells it to players in whole \
             seconds",
        ),
        ("[[user]]\nname = \"a\"", ":1: user[0]: password is missing: write password = \"…\""),
        (
            "state-dir = \"\"",
            ":1: state-dir: the directory is missing: write the path of a directory",
        ),
    ] {
        assert_eq!(bad(text), [expected], "{text}");
    }
}

#[test]
fn all_errors_are_said_in_the_order_of_the_file() {
    let text = "[[stream]]\nsource = \"tets:\"\nname = \"..\"\n[[stream]]\nfps = true\n\
                [limits]\nsessions = -1\n[zoo]\n";
    let errors = bad(text);
    let lines: Vec<_> = errors.iter().filter_map(|error| error.split(':').nth(1)).collect();
    assert_eq!(lines, ["2", "3", "4", "5", "7", "8"], "{errors:#?}");
}

#[test]
fn slips_of_syntax_have_a_line() {
    for (text, line) in [
        ("listen = 1\nudp-port = \n", ":2: not TOML: "),
        ("\n\nlisten = \"8554\n", ":3: not TOML: "),
        ("a = 1\nb = 2\na = 3", ":3: not TOML: duplicate key"),
        ("[[stream]\n", ":1: not TOML: "),
    ] {
        let errors = bad(text);
        assert!(errors[0].starts_with(line), "{text}: {errors:?}");
    }
}

#[test]
fn no_password_is_shown() {
    let text =
        "[[user]]\nname = \"a\"\npassword = \"hunter2\\n\"\n[[user]]\npassword = [\"hunter2\"]";
    let layer = Layer::from_toml(Path::new("a"), text);
    let shown = format!("{layer:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_file_panics(
        parts in prop::collection::vec(
            prop_oneof![
                "\\[?\\[(stream|user|auth|limits|x)\\]\\]?\n",
                "(listen|open|name|source|fps|gop|users|sha256|sessions) = ",
                "(1|-1|1.5|true|\"test:\\?\"|\"a=file:%\"|\\[\\]|\\[1, \"8554\"\\]|\\{a = 1\\}|1979-05-27)\n",
            ],
            0..12,
        ),
    ) {
        let _ = parse(&parts.concat());
    }
}
