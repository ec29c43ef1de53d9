//! The configuration as its users meet it: the command line, the example file, the documentation,
//! and `lenscast check`.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use lenscast::{
    cli::{self, Cli, Environment},
    config::{self, Access, Config, Layer, Source, UdpPorts},
};

#[test]
fn the_example_serves_what_it_says() {
    let path = root().join("lenscast.example.toml");
    let text = fs::read_to_string(&path).unwrap();
    let config = resolve(&path, &text);
    // What the example writes down is what lenscast does anyway, apart from users and streams.
    let default = Config::default();
    assert_eq!(Config { access: Access::Stored, streams: Vec::new(), ..config.clone() }, default);
    let names: Vec<_> = config.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["card", "card/small"]);
    assert_eq!(config.streams[0].source, config::test_card());
    assert_eq!(default.streams, [], "the first camera, once the server starts");
    let Access::Users(users) = &config.access else { panic!("{:?}", config.access) };
    assert_eq!(users.len(), 2);
}

#[test]
fn the_examples_that_are_commented_out_are_good_too() {
    let path = root().join("lenscast.example.toml");
    let text = fs::read_to_string(&path).unwrap();
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(code) if code.starts_with("[[") || code.contains(" = ") => code,
            _ => line,
        })
        // It contradicts the users.
        .filter(|line| !line.starts_with("open = "))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = resolve(&path, &uncommented);
    let names: Vec<_> = config.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["card", "card/small", "door", "pipe", "porch"]);
    let Source::File(file) = &config.streams[2].source else { panic!("{:?}", config.streams) };
    assert_eq!(file.path, root().join("videos/door.mp4"));
}

#[test]
fn every_key_is_documented_and_every_documented_key_is_there() {
    let text = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let documented: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, config::keys().collect());
    for section in text.split("\n### ").skip(1) {
        let section = section.split("\n## ").next().unwrap();
        let key = section.lines().next().unwrap();
        assert!(
            section.contains("Default") || section.contains("needed") || section.contains("Needed"),
            "{key} does not say what holds without it"
        );
    }
}

#[test]
fn every_flag_of_serve_is_documented() {
    let text = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    for flag in serve.get_arguments().filter_map(|argument| argument.get_long()) {
        if !matches!(flag, "help" | "version") {
            assert!(text.contains(&format!("--{flag}")), "--{flag}");
        }
    }
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn serve_is_what_happens_without_a_word() {
    let flags = ["--source", "a=test:", "--source", "b=file:/b.mp4", "--listen", "localhost"];
    let bare = parse(&[&["lenscast"], &flags[..]].concat());
    let worded = parse(&[&["lenscast", "serve"], &flags[..]].concat());
    assert!(bare.command.is_none());
    let Some(cli::Command::Serve(worded)) = worded.command else { panic!("{worded:?}") };
    assert_eq!(bare.serve, worded);
    let config = worded.config(&Environment::default()).unwrap();
    assert_eq!(config.access, Access::OpenOnLoopback);
    assert_eq!(config.streams.len(), 2);

    let nothing = parse(&["lenscast"]);
    assert!(nothing.command.is_none());
    assert_eq!(nothing.serve.config(&Environment::default()).unwrap(), Config::default());
}

#[test]
fn flags_before_a_command_are_refused_rather_than_forgotten() {
    let words = ["lenscast", "--open", "serve"];
    let error = Cli::try_parse_from(words).expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
}

#[test]
fn the_log_level_goes_anywhere() {
    for words in [
        &["lenscast", "--log", "debug"][..],
        &["lenscast", "--log", "debug", "serve"],
        &["lenscast", "serve", "--log", "debug"],
        &["lenscast", "check", "a.toml", "--log", "debug"],
        &["lenscast", "--log", "debug", "--open"],
    ] {
        assert_eq!(parse(words).log.as_deref(), Some("debug"), "{words:?}");
    }
}

#[test]
fn every_flag_does_something() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.toml");
    fs::write(&file, "udp-port = 5000\npacket-size = 1000\n").unwrap();
    let cli = parse(&[
        "lenscast",
        "--config",
        file.to_str().unwrap(),
        "--udp-port",
        "0",
        "--user",
        "a:b:c",
        "--auth-sha256",
        "--auth-basic",
        "--state-dir",
        "/s",
    ]);
    assert!(!format!("{cli:?}").contains("b:c"), "a password is shown");
    let environment = Environment {
        user: Some(OsString::from("env")),
        password: Some(OsString::from("secret")),
        log: None,
    };
    let config = cli.serve.config(&environment).unwrap();
    assert_eq!((config.udp, config.packet_size), (UdpPorts::ANY, 1000));
    assert!(config.auth.sha256 && config.auth.basic);
    assert_eq!(config.state_dir.as_deref(), Some(Path::new("/s")));
    let Access::Users(users) = &config.access else { panic!("{:?}", config.access) };
    let users: Vec<_> =
        users.iter().map(|user| (user.name.as_str(), user.password.reveal())).collect();
    assert_eq!(users, [("env", "secret"), ("a", "b:c")]);
    assert_eq!(
        parse(&["lenscast", "--open", "--packet-size", "600"])
            .serve
            .config(&Environment::default()),
        Ok(Config { access: Access::Open, packet_size: 600, ..Config::default() })
    );
}

#[test]
fn files_that_cannot_be_read_are_errors_with_their_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.toml");
    let error = || {
        let words = ["lenscast", "--config", path.to_str().unwrap()];
        let errors = parse(&words).serve.config(&Environment::default()).unwrap_err().to_string();
        errors.replace(path.to_str().unwrap(), "a.toml")
    };
    assert_eq!(error(), "a.toml: cannot read it: there is no such file");
    fs::write(&path, b"open = true\n# \xff").unwrap();
    assert_eq!(error(), "a.toml:2: it is not UTF-8");
    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(error(), "a.toml: cannot read it: it has more than 1048576 bytes");
}

#[test]
fn urls_of_probe() {
    let good = parse(&["lenscast", "probe", "rtsp://a:b@[::1]:8554/cam", "--seconds", "0.5"]);
    let Some(cli::Command::Probe(probe)) = good.command else { panic!("{good:?}") };
    assert_eq!((probe.url.port(), probe.seconds.as_millis()), (Some(8554), 500));
    for words in [
        &["http://h/cam"][..],
        &["cam"],
        &["rtsp:///cam"],
        &["rtsp://h/cam", "--seconds", "0"],
        &["rtsp://h/cam", "--seconds", "NaN"],
        &["rtsp://h/cam", "--seconds", "1e99"],
        &["rtsp://h/cam", "--transport", "sctp"],
    ] {
        let error = Cli::try_parse_from([&["lenscast", "probe"], words].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{words:?}");
    }
}

#[test]
fn help_shows_the_grammar_and_worked_examples() {
    let help = Cli::command().render_long_help().to_string();
    for word in ["vlc rtsp://", "stdin:yuv420p?size=640x480&fps=30", "LENSCAST_PASSWORD", "%3F"] {
        assert!(help.contains(word), "{word}");
    }
    for line in help.lines().filter(|line| line.contains("--source ")) {
        let source = line.split("--source ").nth(1).unwrap();
        let source = source.trim_matches('\'').split(['\'', ' ']).next().unwrap();
        if source.contains(':') {
            let layer = {
                let mut layer = Layer::default();
                layer.source(source, config::Origin::Flag("--source"));
                layer
            };
            let resolved = config::resolve(Layer::default(), Layer::default(), layer);
            assert!(resolved.is_ok(), "{line}: {}", resolved.unwrap_err());
        }
    }
}

#[test]
fn check_says_what_would_be_served_and_exits_with_0() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("door?.mp4"), "").unwrap();
    let file = directory.path().join("good.toml");
    let text = "listen = \"127.0.0.1\"\npacket-size = 9000\n\
                [[user]]\nname = \"alice\"\npassword = \"long enough\"\n\
                [[stream]]\nname = \"door\"\nsource = \"file:door%3F.mp4?fps=25\"\nusers = [\"alice\"]\n\
                [[stream]]\nsource = \"test:?gop=1\"\n";
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let output = check(directory.path(), "good.toml");
    let expected = "\
good.toml is good. It serves:
  /door: door?.mp4 at 25 fps; only for alice
  /cam: the test card, 1280x720 at 30 fps, 2000 kbit/s, every frame a keyframe
RTSP at 127.0.0.1:8554
UDP ports 8000 (RTP) and 8001 (RTCP), packets of up to 9000 bytes
Users: alice
Note: packets of 9000 bytes travel in fragments over Ethernet, which carries 1472: one lost fragment \
loses the packet
Note: others on this machine can read the passwords (chmod 600 good.toml)
";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));

    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let output = check(directory.path(), "good.toml");
    assert!(!String::from_utf8(output.stdout).unwrap().contains("chmod"));
}

#[test]
fn check_says_what_is_wrong_and_exits_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let text = "udp-port = 8001\n[[stream]]\nname = \"a\"\nsource = \"test:\"\nbitrate = \"2Q\"\n";
    fs::write(directory.path().join("bad.toml"), text).unwrap();
    let output = check(directory.path(), "bad.toml");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "bad.toml:1: udp-port: 8001 cannot be: it is an even port from 2 to 65534 for RTP (RTCP \
         takes the next), or 0 for any\n\
         bad.toml:5: stream[0].bitrate: \"2Q\" is not a bitrate (write 2M, 800k or 1500000)\n"
    );
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]));

    let text = "[[stream]]\nsource = \"file:gone.mp4\"\n";
    fs::write(directory.path().join("gone.toml"), text).unwrap();
    let output = check(directory.path(), "gone.toml");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "gone.toml:2: stream[0].source: cannot read gone.mp4: No such file or directory (os error \
         2)\n"
    );
    assert_eq!(output.status.code(), Some(1));

    let output = check(directory.path(), "missing.toml");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "missing.toml: cannot read it: there is no such file\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn doctor_exits_with_1_when_something_is_broken() {
    let doctor = |flags: &[&str]| {
        let common = ["doctor", "--listen", "127.0.0.1:0", "--udp-port", "0"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_lenscast"));
        command.env_remove("LENSCAST_USER").env_remove("LENSCAST_PASSWORD");
        command.args(common).args(flags).output().expect("the binary starts")
    };
    let text = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();

    let output = doctor(&["--source", "door=file:/nowhere.mp4"]);
    assert_eq!(output.status.code(), Some(1));
    let missing = "broken   configuration  stream door: cannot read /nowhere.mp4: No such file or \
                   directory (os error 2)\n                        try: ls -l /nowhere.mp4\n";
    assert!(text(&output).starts_with(missing), "{}", text(&output));

    let output = doctor(&["--source", "test:", "--source", "tset:", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "broken");
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings[0]["topic"], "configuration");
    assert!(findings.iter().any(|one| one["topic"] == "build"), "{report}");
    for finding in findings {
        let is_mended = !finding["command"].is_null() || !finding["advice"].is_null();
        let is_bad = finding["verdict"] == "broken" || finding["verdict"] == "warning";
        assert!(!is_bad || is_mended, "{finding}");
    }

    // What else is broken on this machine is its own affair.
    let output = doctor(&["--source", "test:"]);
    assert!(text(&output).starts_with("ok       configuration  to be served: cam\n"));
    let is_broken = text(&output).lines().any(|line| line.starts_with("broken"));
    assert_eq!(output.status.code(), Some(i32::from(is_broken)));
}

fn parse(words: &[&str]) -> Cli {
    Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

fn resolve(path: &Path, text: &str) -> Config {
    let layer = Layer::from_toml(path, text);
    config::resolve(layer, Layer::default(), Layer::default())
        .unwrap_or_else(|errors| panic!("{errors}"))
}

fn check(directory: &Path, file: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lenscast"))
        .args(["check", file])
        .current_dir(directory)
        .output()
        .expect("the binary starts")
}

fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).expect("the workspace is two directories up").to_owned()
}
