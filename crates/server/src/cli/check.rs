//! `lenscast check CONFIG`: everything that is wrong with a file, or what it would serve.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use capture::v4l2::name::Name;
use encode::Config as Encoder;

use crate::{
    cli::{CheckArgs, serve},
    config::{self, Access, Camera, Config, Gop, Layer, Offline, Pipe, Source, Stream, StreamName},
};

/// Whether a file can be served.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can: exit with 0.
    Good,
    /// It cannot: exit with 1.
    Bad,
}

/// Writes what is wrong to `err`, or what would be served to `out`. The environment is not looked
/// at: a file is right or wrong for itself.
///
/// # Errors
///
/// When nothing can be written to `out` or `err`.
pub fn run(args: &CheckArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<Verdict> {
    let layer = serve::read_file(&args.config);
    let missing: Vec<String> = layer
        .files()
        .filter_map(|(path, place)| {
            let error = fs::File::open(path).err()?;
            Some(format!("{place}: cannot read {}: {error}", path.display()))
        })
        .collect();
    let resolved = config::resolve(layer, Layer::default(), Layer::default());
    if let Err(errors) = &resolved {
        writeln!(err, "{errors}")?;
    }
    for line in &missing {
        writeln!(err, "{line}")?;
    }
    match resolved {
        Ok(config) if missing.is_empty() => {
            out.write_all(summary(&args.config, &config).as_bytes())?;
            Ok(Verdict::Good)
        }
        _ => Ok(Verdict::Bad),
    }
}

fn summary(path: &Path, config: &Config) -> String {
    let mut text = format!("{} is good. It serves:\n", path.display());
    let mut line = |line: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    };
    for stream in &config.streams {
        line(format!("  /{}: {}", stream.name, describe(stream)));
    }
    if config.streams.is_empty() {
        let name = StreamName::default();
        line(format!("  /{name}: {FIRST_CAMERA}, or the test card where there is none"));
    }
    let listen: Vec<_> = config.listen.iter().map(ToString::to_string).collect();
    line(format!("RTSP at {}", listen.join(", ")));
    let udp = match config.udp.rtp() {
        0 => "any free pair".to_owned(),
        rtp => format!("{rtp} (RTP) and {} (RTCP)", config.udp.rtcp()),
    };
    line(format!("UDP ports {udp}, packets of up to {} bytes", config.packet_size));
    for config::Library { node, path } in &config.libraries {
        line(format!("{} through {}", node.display(), path.display()));
    }
    line(match &config.access {
        Access::Open => "Everyone may watch".to_owned(),
        Access::OpenOnLoopback => {
            "Everyone on this machine may watch, and nobody else can connect".to_owned()
        }
        Access::Users(users) => {
            let names: Vec<_> = users.iter().map(|user| user.name.as_str()).collect();
            format!("Users: {}", names.join(", "))
        }
        Access::Stored => {
            "No user: those of the state directory, or one that lenscast makes".to_owned()
        }
    });
    for note in config.notes() {
        line(format!("Note: {note}"));
    }
    if matches!(config.access, Access::Users(_)) && is_readable_by_others(path) {
        line(format!(
            "Note: others on this machine can read the passwords (chmod 600 {})",
            path.display()
        ));
    }
    text
}

fn describe(stream: &Stream) -> String {
    let rate = |rate: Option<media::FrameRate>| {
        rate.map(|rate| format!(" at {rate} fps")).unwrap_or_default()
    };
    let source = match &stream.source {
        Source::Camera(camera) => describe_camera(camera),
        Source::Test(encoder) => format!("the test card, {}", describe_encoder(encoder)),
        Source::File(file) => format!("{}{}", file.path.display(), rate(file.rate)),
        Source::Stdin(Pipe::Yuv420p(encoder)) => {
            format!("raw pictures from standard input, {}", describe_encoder(encoder))
        }
        Source::Stdin(Pipe::H264 { rate: given }) => {
            format!("H.264 from standard input{}", rate(*given))
        }
    };
    let source = match &stream.encoder {
        encode::Choice::Auto => source,
        chosen => format!("{source}, encoded by {chosen}"),
    };
    let source = match (stream.on_demand, &stream.source) {
        (false, Source::Camera(_) | Source::Test(_)) => format!("{source}; always on"),
        (true, Source::File(_)) => format!("{source}; from its beginning when somebody watches"),
        _ => source,
    };
    let source = match stream.offline {
        Offline::Card => format!("{source}; a card while it is away"),
        Offline::Freeze => source,
    };
    match &stream.users {
        Some(users) => format!("{source}; only for {}", users.join(", ")),
        None => source,
    }
}

fn describe_camera(camera: &Camera) -> String {
    let Camera { name, wanted, controls, bitrate, gop } = camera;
    let mut text = match name {
        Name::Any => FIRST_CAMERA.to_owned(),
        Name::Path(path) => format!("the camera {}", path.display()),
        Name::Stable(name) => format!("the camera {name}"),
    };
    let mut add = |part: String| {
        text.push_str(", ");
        text.push_str(&part);
    };
    if let Some(size) = wanted.size {
        add(size.to_string());
    }
    if let Some(rate) = wanted.rate {
        add(format!("{rate} fps"));
    }
    if let Some(format) = wanted.format {
        add(format.to_string());
    }
    if let Some(bitrate) = bitrate {
        add(format!("{} kbit/s", bitrate / 1_000));
    }
    match gop {
        Gop::Frames(frames) => add(format!("a keyframe every {frames} frames")),
        Gop::Time(time) => add(format!("a keyframe every {time:?}")),
    }
    for (name, value) in controls {
        add(format!("{name} = {value}"));
    }
    text
}

fn describe_encoder(encoder: &Encoder) -> String {
    let (width, height) = (encoder.layout.width(), encoder.layout.height());
    let every = match encoder.gop {
        1 => "every frame a keyframe".to_owned(),
        gop => format!("a keyframe every {gop} frames"),
    };
    format!("{width}x{height} at {} fps, {} kbit/s, {every}", encoder.rate, encoder.bitrate / 1_000)
}

fn is_readable_by_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

const FIRST_CAMERA: &str = "the first camera that can be used";
