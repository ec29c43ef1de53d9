use super::*;

const USER: Origin = Origin::Flag("--user");
const SOURCE: Origin = Origin::Flag("--source");
const LISTEN: Origin = Origin::Flag("--listen");
const OPEN: Origin = Origin::Flag("--open");

fn layer(say: impl FnOnce(&mut Layer)) -> Layer {
    let mut layer = Layer::default();
    say(&mut layer);
    layer
}

fn file(text: &str) -> Layer {
    Layer::from_toml(Path::new("a.toml"), text)
}

fn environment(user: &str, password: &str) -> Layer {
    Layer::from_environment(Some(OsStr::new(user)), Some(OsStr::new(password)))
}

fn resolved(file: Layer, environment: Layer, flags: Layer) -> Config {
    resolve(file, environment, flags).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(file: Layer, environment: Layer, flags: Layer) -> String {
    resolve(file, environment, flags).map(|config| format!("{config:?}")).unwrap_err().to_string()
}

fn users(config: &Config) -> Vec<(&str, &str)> {
    match &config.access {
        Access::Users(users) => {
            users.iter().map(|user| (user.name.as_str(), user.password.reveal())).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn none() -> Layer {
    Layer::default()
}

#[test]
fn nothing_said_is_the_default() {
    let config = resolved(none(), none(), none());
    assert_eq!(config, Config::default());
    assert_eq!(config.listen, ["[::]:8554".parse().unwrap()]);
    assert_eq!(config.streams, [], "whatever there is, once the server starts");
    assert_eq!(config.access, Access::Stored);
}

#[test]
fn libraries_add_up_by_device() {
    let flags = layer(|layer| {
        layer.v4l2_library("/dev/b=/new.so", Origin::Flag("--v4l2-library"));
        layer.v4l2_library("/dev/c=lib.so.0", Origin::Flag("--v4l2-library"));
    });
    let written = file("v4l2-library = [\"/dev/a=/old.so\", \"/dev/b=/old.so\"]");
    let libraries = resolved(written, none(), flags).libraries;
    let pairs: Vec<_> = libraries
        .iter()
        .map(|library| (library.node.to_str().unwrap(), library.path.to_str().unwrap()))
        .collect();
    assert_eq!(pairs, [("/dev/a", "/old.so"), ("/dev/b", "/new.so"), ("/dev/c", "lib.so.0")]);
    assert_eq!(
        resolved(file("v4l2-library = \"/dev/a=/l.so\""), none(), none()).libraries.len(),
        1
    );
    for text in [
        "[\"/dev/a=x\", \"/dev/a=y\"]",
        "[]",
        "\"dev/a=x\"",
        "\"/dev/a=x/y\"",
        "\"/dev/a\"",
        "\"/dev/a=\"",
    ] {
        let said = errors(file(&format!("v4l2-library = {text}")), none(), none());
        assert!(said.starts_with("a.toml:1: v4l2-library"), "{text}: {said}");
    }
}

#[test]
fn flags_win_over_the_environment_over_the_file() {
    let file = file(
        "listen = [1000, 1001]\nudp-port = 5000\npacket-size = 1000\nstate-dir = \"s\"\n\
         [[user]]\nname = \"a\"\npassword = \"file\"\n\
         [[user]]\nname = \"b\"\npassword = \"file\"\n\
         [[user]]\nname = \"c\"\npassword = \"file\"\n",
    );
    let flags = layer(|layer| {
        layer.listen("2000", LISTEN);
        layer.udp_port("6000", Origin::Flag("--udp-port"));
        layer.user("c:flag", USER);
        layer.user("d:f:l:a:g", USER);
    });
    let config = resolved(file, environment("b", "variable"), flags);
    assert_eq!(config.listen, ["[::]:2000".parse().unwrap()]);
    assert_eq!((config.udp.rtp(), config.packet_size), (6000, 1000));
    assert_eq!(config.state_dir.as_deref(), Some(Path::new("s")));
    assert_eq!(users(&config), [("a", "file"), ("b", "variable"), ("c", "flag"), ("d", "f:l:a:g")]);
}

#[test]
fn a_source_of_the_same_name_keeps_the_users_of_the_stream() {
    let file = file(
        "[[user]]\nname = \"a\"\npassword = \"p\"\n\
         [[stream]]\nname = \"door\"\nsource = \"file:/door.mp4\"\nusers = [\"a\"]\n",
    );
    let flags = layer(|layer| {
        layer.source("door=test:", SOURCE);
        layer.source("hall=test:", SOURCE);
    });
    let config = resolved(file, none(), flags);
    let [door, hall] = &config.streams[..] else { panic!("{:?}", config.streams) };
    assert!(matches!(door.source, Source::Test(_)));
    assert_eq!(door.users.as_deref(), Some(&["a".to_owned()][..]));
    assert_eq!((hall.name.as_str(), &hall.users), ("hall", &None));
}

#[test]
fn who_may_watch() {
    let access = |listen: &str, open: bool| {
        let flags = layer(|layer| {
            layer.listen(listen, LISTEN);
            if open {
                layer.open(OPEN);
            }
        });
        resolved(none(), none(), flags).access
    };
    assert_eq!(access("8554", false), Access::Stored);
    assert_eq!(access("8554", true), Access::Open);
    assert_eq!(access("localhost", false), Access::OpenOnLoopback);
    assert_eq!(access("127.0.0.9", false), Access::OpenOnLoopback);
    assert_eq!(access("localhost", true), Access::Open);
    // A stream kept for some is kept, also on this machine alone.
    let listed = "listen = \"localhost\"\n[[stream]]\nsource = \"test:\"\nusers = [\"lens\"]\n";
    assert_eq!(resolved(file(listed), none(), none()).access, Access::Stored);
    // One address of the network is enough to be reachable.
    let flags = layer(|layer| {
        layer.listen("localhost", LISTEN);
        layer.listen("192.168.1.5", LISTEN);
    });
    assert_eq!(resolved(none(), none(), flags).access, Access::Stored);
}

#[test]
fn open_and_users_contradict_each_other() {
    let flags = layer(|layer| layer.open(OPEN));
    assert_eq!(
        errors(file("[[user]]\nname = \"a\"\npassword = \"p\"\n"), none(), flags.clone()),
        "--open: everyone may watch, and yet there is a user \"a\" (a.toml:2: user[0].name): take \
         one of them away"
    );
    assert_eq!(
        errors(none(), environment("a", "p"), flags.clone()),
        "--open: everyone may watch, and yet there is a user \"a\" (LENSCAST_USER): take one of \
         them away"
    );
    let listed = file("[[stream]]\nsource = \"test:\"\nusers = [\"b\"]\n");
    assert_eq!(
        errors(listed, none(), flags),
        "--open: everyone may watch, and yet there is a user \"b\" (a.toml:3: \
         stream[0].users[0]): take one of them away"
    );
    let opened = layer(|layer| layer.user("a:p", USER));
    assert!(errors(file("open = true"), none(), opened).starts_with("a.toml:1: open: everyone"));
}

#[test]
fn users_of_streams_must_exist() {
    let text = "[[user]]\nname = \"alice\"\npassword = \"p\"\n\
                [[stream]]\nsource = \"test:\"\nusers = [\"alcie\", \"zoe\"]\n";
    assert_eq!(
        errors(file(text), none(), none()),
        "a.toml:6: stream[0].users[0]: there is no user \"alcie\" (did you mean alice?)\n\
         a.toml:6: stream[0].users[1]: there is no user \"zoe\": add them as [[user]]"
    );
    // One whose password is wrong is there all the same.
    let text = text.replace("\"p\"", "\"\"").replace("alcie", "alice").replace("zoe", "alice");
    assert_eq!(
        errors(file(&text), none(), none()),
        "a.toml:3: user[0].password: this password cannot be: it has from 1 to 256 bytes"
    );
}

#[test]
fn names_and_standard_input_are_there_once() {
    let flags = layer(|layer| {
        layer.source("test:", SOURCE);
        layer.source("file:/a.mp4", SOURCE);
    });
    assert_eq!(
        errors(none(), none(), flags),
        "--source: a stream named \"cam\" is there twice: give each its own name, as door=test: \
         or name = \"door\""
    );
    let from_file = file("[[stream]]\nname = \"a\"\nsource = \"stdin:h264\"\n");
    let flags = layer(|layer| layer.source("b=stdin:h264", SOURCE));
    assert_eq!(
        errors(from_file.clone(), none(), flags),
        "--source: standard input is there twice: only one stream can read it"
    );
    // Replaced, it is there once.
    let flags = layer(|layer| layer.source("a=stdin:h264?fps=25", SOURCE));
    assert_eq!(resolved(from_file, none(), flags).streams.len(), 1);
    let flags = layer(|layer| {
        layer.user("a:1", USER);
        layer.user("a:2", USER);
    });
    assert_eq!(errors(none(), none(), flags), "--user: the user \"a\" is there twice");
}

#[test]
fn the_environment_says_both_or_neither() {
    let from = |user: Option<&str>, password: Option<&str>| {
        Layer::from_environment(user.map(OsStr::new), password.map(OsStr::new))
    };
    assert_eq!(resolved(none(), from(None, None), none()).access, Access::Stored);
    assert_eq!(resolved(none(), from(Some(""), Some("")), none()).access, Access::Stored);
    assert_eq!(
        errors(none(), from(Some("a"), None), none()),
        "LENSCAST_USER: it is set, but LENSCAST_PASSWORD is not: set both or neither"
    );
    assert_eq!(
        errors(none(), from(Some(""), Some("p")), none()),
        "LENSCAST_PASSWORD: it is set, but LENSCAST_USER is not: set both or neither"
    );
    assert_eq!(
        errors(none(), from(Some("a:b"), Some("p")), none()),
        "LENSCAST_USER: \"a:b\" cannot be: the name of a user has no : \" \\ or control character"
    );
}

#[test]
fn no_message_shows_what_stands_in_a_user_flag() {
    for text in ["hunter2", "a\"b:hunter2", ":hunter2", "a:hunter2\n"] {
        let flags = layer(|layer| layer.user(text, USER));
        let shown = format!("{flags:?}");
        let message = errors(none(), none(), flags);
        assert!(message.starts_with("--user: "), "{message}");
        assert!(!message.contains("hunter2") && !shown.contains("hunter2"), "{message} {shown}");
    }
}

#[test]
fn everything_that_is_wrong_anywhere_is_said() {
    let flags = layer(|layer| {
        layer.listen("nowhere.example", LISTEN);
        layer.source("tets:", SOURCE);
        layer.packet_size("1", Origin::Flag("--packet-size"));
        layer.state_dir(PathBuf::new(), Origin::Flag("--state-dir"));
    });
    let all = errors(file("udp-port = 1\nlisten = \"*\""), environment("a", "\n"), flags);
    assert_eq!(all.lines().count(), 7, "{all}");
}

/// What stands in a file or on a command line is shown on a terminal.
#[test]
fn messages_are_one_line_each_and_command_no_terminal() {
    let source = |text: &str| layer(|flags| flags.source(text, SOURCE));
    let listen = |text: &str| layer(|flags| flags.listen(text, LISTEN));
    for (what, shown) in [
        (source("test:\u{1b}[2J"), r"column 6: \u{1b}[2J cannot be"),
        (source("a\u{1b}/b:"), r"write file:a\u{1b}/b)"),
        (listen("[::1]:5\u{1b}4"), r"--listen: [::1]:5\u{1b}4 cannot be"),
        (listen("127.0.0.1:8\n5"), r"--listen: 127.0.0.1:8\n5 cannot be"),
        (file("\"\\u001b\" = 1"), r#"there is no key "\u{1b}" here"#),
    ] {
        let errors = errors(what, none(), none());
        assert!(errors.contains(shown), "{errors}");
        assert!(!errors.contains(char::is_control), "{errors:?}");
    }
}
