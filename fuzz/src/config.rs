//! What a person configures: files of TOML, every value of a flag, the environment. Nonsense is
//! refused in words that give no password away; what is accepted keeps the promises of `Config`.
//!
//! Input: a byte that says where it stands (`t` file, `s` source, `l` listen, `u` user, `p` UDP
//! port, `z` packet size, `e` environment), then the text.

use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use lenscast::config::{Access, Config, Errors, Layer, Origin, Pipe, Source, resolve};
use media::{FrameRate, I420Layout};

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    if kind == b'e' {
        return environment(rest);
    }
    let Ok(text) = str::from_utf8(rest) else { return };
    let flag = Origin::Flag("--flag");
    let mut layer = Layer::default();
    match kind {
        b't' => return file(text),
        b's' => layer.source(text, flag),
        b'l' => layer.listen(text, flag),
        b'u' => return user(text),
        b'p' => layer.udp_port(text, flag),
        b'z' => layer.packet_size(text, flag),
        _ => return,
    }
    drop(settled(Layer::default(), Layer::default(), layer));
}

/// The configuration, if it is one, having looked at its promises.
fn settled(file: Layer, environment: Layer, flags: Layer) -> Result<Config, Errors> {
    let again = resolve(file.clone(), environment.clone(), flags.clone());
    let settled = resolve(file, environment, flags);
    assert_eq!(settled, again, "not the same twice");
    match &settled {
        Ok(config) => check(config),
        Err(errors) => {
            assert!(errors.iter().len() > 0);
            for error in errors.iter() {
                let (all, problem) = (error.to_string(), error.problem.to_string());
                assert!(!problem.is_empty() && all.len() > problem.len(), "{all:?}");
                assert!(!all.contains('\u{1b}'), "{all:?}");
            }
        }
    }
    settled
}

fn check(config: &Config) {
    assert!(!config.listen.is_empty());
    let listen: BTreeSet<_> = config.listen.iter().filter(|address| address.port() != 0).collect();
    assert_eq!(listen.len(), config.listen.iter().filter(|address| address.port() != 0).count());
    assert!(config.udp.rtp().is_multiple_of(2) && config.udp.rtcp() != 1);
    assert!((64..=65_507).contains(&config.packet_size));
    let names: BTreeSet<_> = config.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names.len(), config.streams.len(), "streams of one name");
    for stream in &config.streams {
        let name = stream.name.as_str();
        let url = format!("rtsp://h/{name}");
        let target = rtsp_proto::Target::parse(&url).expect("a name that a URL can have");
        assert_eq!((target.stream(), target.track()), (name, None));
        match &stream.source {
            Source::Test(encoder) | Source::Stdin(Pipe::Yuv420p(encoder)) => {
                assert!(format!("{encoder:?}").len() > 2);
            }
            Source::File(file) => assert!(!file.path.as_os_str().is_empty()),
            Source::Camera(camera) => {
                let encoder = camera.encoder(SIZE, RATE);
                assert!(encoder.gop > 0 && encoder.bitrate > 0, "{encoder:?}");
                assert!(camera.controls.iter().all(|(name, _)| !name.is_empty()));
            }
            Source::Stdin(Pipe::H264 { rate }) => {
                assert!(rate.is_none_or(|rate| rate.as_f64() > 0.0));
            }
        }
        assert!(
            stream
                .users
                .as_ref()
                .is_none_or(|users| { !users.is_empty() && !config.access.is_open() })
        );
    }
    let pipes = config.streams.iter().filter(|stream| matches!(stream.source, Source::Stdin(_)));
    assert!(pipes.count() <= 1, "standard input can be read once");
    if let Access::Users(users) = &config.access {
        let names: BTreeSet<_> = users.iter().map(|user| &user.name).collect();
        assert!(!users.is_empty() && names.len() == users.len());
        for user in users {
            assert!((1..=64).contains(&user.name.len()), "{:?}", user.name);
            assert!(!user.name.contains([':', '"', '\\']), "{:?}", user.name);
            assert!(!user.name.contains(char::is_control), "{:?}", user.name);
            assert!(!format!("{config:?}").contains(&format!("\"{SENTINEL}")));
        }
    }
    assert!(config.notes().iter().all(|note| !note.to_string().is_empty()));
}

fn file(text: &str) {
    let path = Path::new("lenscast.toml");
    let layer = Layer::from_toml(path, text);
    let settled = settled(layer, Layer::default(), Layer::default());
    match &settled {
        Ok(_) => assert!(toml::from_str::<toml::Table>(text).is_ok(), "not TOML, and accepted"),
        Err(errors) => {
            for error in errors.iter() {
                if let Origin::File { line, .. } = &error.place.origin {
                    assert!(*line <= text.lines().count() + 1, "no such line: {error}");
                }
            }
        }
    }
}

fn user(text: &str) {
    // A password that no message contains by chance.
    let text = match text.split_once(':') {
        Some((name, password)) => format!("{name}:{SENTINEL}{password}"),
        None => text.to_owned(),
    };
    let mut layer = Layer::default();
    layer.user(&text, Origin::Flag("--user"));
    let name = text.split(':').next().unwrap_or_default();
    if let Err(errors) = settled(Layer::default(), Layer::default(), layer) {
        let said = errors.to_string();
        assert!(name.contains(SENTINEL) || !said.contains(SENTINEL), "{said}");
    }
}

fn environment(text: &[u8]) {
    let (user, password) = match text.iter().position(|&byte| byte == 0) {
        Some(at) => (&text[..at], Some([SENTINEL.as_bytes(), &text[at + 1..]].concat())),
        None => (text, None),
    };
    let password = password.as_deref().map(OsStr::from_bytes);
    let layer = Layer::from_environment(Some(OsStr::from_bytes(user)), password);
    if let Err(errors) = settled(Layer::default(), layer, Layer::default()) {
        let said = errors.to_string();
        let shown = String::from_utf8_lossy(user).contains(SENTINEL);
        assert!(shown || !said.contains(SENTINEL), "{said}");
    }
}

/// Of a camera that nobody has.
const SIZE: I420Layout = I420Layout::new(640, 480).unwrap();
const RATE: FrameRate = FrameRate::new(30, 1).unwrap();
const SENTINEL: &str = "Zq9!Zq9!";
