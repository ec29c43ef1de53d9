//! Each configured source: how it is opened and kept, and where its viewers start.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use ::v4l2::{Trouble, Waker};
use capture::{
    Source, file, pipe, synthetic,
    v4l2::{
        self,
        choice::Wanted,
        name::{Name, Places},
        survey::{Survey, Usable, survey},
    },
};
use media::{Clock, FrameRate, I420Layout};
use tracing::info;

use crate::{
    config::{self, Config},
    live::mount::Start,
    pipeline,
    supervision::{Policy, keeper::Recipe},
};

/// Opens each file once and closes it again: what cannot be played is said before anything else is
/// done, and by name.
///
/// # Errors
///
/// The first file that cannot be played.
pub fn check_files(config: &Config, clock: &Arc<dyn Clock>) -> Result<(), capture::Error> {
    for stream in &config.streams {
        if let config::Source::File(config::File { path, rate }) = &stream.source {
            file::open(path, clock.clone(), file::Config { rate: *rate })?;
        }
    }
    Ok(())
}

/// Where the viewers of a source start.
pub(crate) fn start(source: &config::Source) -> Start {
    match source {
        config::Source::Test(_) | config::Source::Stdin(config::Pipe::Yuv420p(_)) => {
            Start::OnDemand
        }
        // Until it says that its pictures are encoded here.
        config::Source::Camera(_) | config::Source::Unsaid => LIVE,
        // Nobody minds seeing a file some seconds later than others, but a black window.
        config::Source::File(_) => Start::Cached { span: Duration::from_secs(12), bytes: 16 << 20 },
        config::Source::Stdin(config::Pipe::H264 { .. }) => LIVE,
    }
}

/// How a stream's source is kept.
pub(crate) fn policy(stream: &config::Stream) -> Policy {
    let retries = match &stream.source {
        config::Source::Unsaid | config::Source::Test(_) | config::Source::Camera(_) => true,
        // What cannot be played cannot be played the next time; what was read from a pipe is gone.
        config::Source::File(_) | config::Source::Stdin(_) => false,
    };
    let card_after = match stream.offline {
        config::Offline::Card => Some(CARD_AFTER),
        config::Offline::Freeze => None,
    };
    Policy { on_demand: stream.on_demand, linger: LINGER, retries, card_after }
}

/// How a stream's source is started.
pub(crate) fn recipe(stream: &config::Stream, clock: &Arc<dyn Clock>) -> Recipe {
    let stream = settled(stream);
    let (title, clock) = (stream.name.as_str().to_owned(), Arc::clone(clock));
    let layout = match &stream.source {
        config::Source::Camera(config::Camera {
            wanted: Wanted { size: Some(size), .. }, ..
        }) => I420Layout::new(size.width, size.height),
        _ => None,
    };
    let card = {
        let (title, clock) = (format!("{title} · no signal"), Arc::clone(&clock));
        move |layout| card_run(title.clone(), layout, clock.clone())
    };
    Recipe {
        source: Box::new(move || run(&stream, clock.clone())),
        card: Some(Box::new(card)),
        layout,
    }
}

/// One run of a stream's source.
fn run(stream: &config::Stream, clock: Arc<dyn Clock>) -> pipeline::Config {
    let mut wake: Option<pipeline::Wake> = None;
    let (open, encoding): (pipeline::Open, Option<pipeline::Encoding>) = match stream.source.clone()
    {
        config::Source::Unsaid => return run(&settled(stream), clock),
        config::Source::Camera(camera) => {
            // Without one it is stopped at its next picture.
            let waker = Waker::new().ok();
            wake = waker.clone().map(|waker| Box::new(move || waker.wake()) as pipeline::Wake);
            let encoding = camera.clone();
            let encoder = stream.encoder.clone();
            (
                Box::new(move || open_camera(camera, &encoder, waker, clock)),
                Some(Box::new(move |layout, rate| encoding.encoder(layout, rate))),
            )
        }
        config::Source::Test(encoder) => {
            let title = stream.name.as_str().to_owned();
            let card = synthetic::Config { layout: encoder.layout, rate: encoder.rate, title };
            (Box::new(move || open_card(card, clock)), Some(as_configured(encoder)))
        }
        config::Source::File(config::File { path, rate }) => {
            (Box::new(move || file::open(&path, clock, file::Config { rate })), None)
        }
        config::Source::Stdin(config::Pipe::Yuv420p(encoder)) => {
            let format = pipe::Format::Yuv420p { layout: encoder.layout, rate: encoder.rate };
            (
                Box::new(move || pipe::open(Box::new(io::stdin()), format, clock)),
                Some(as_configured(encoder)),
            )
        }
        config::Source::Stdin(config::Pipe::H264 { rate }) => {
            let format = pipe::Format::H264 { rate };
            (Box::new(move || pipe::open(Box::new(io::stdin()), format, clock)), None)
        }
    };
    pipeline::Config { open, encoding, encoder: stream.encoder.clone(), wake }
}

/// A run of the card that is shown while there are no pictures. Hardware may be what has failed.
fn card_run(title: String, layout: I420Layout, clock: Arc<dyn Clock>) -> pipeline::Config {
    let encoder = encode::Config::new(layout, CARD_RATE, CARD_BITRATE, CARD_GOP);
    let card = synthetic::Config { layout, rate: CARD_RATE, title };
    pipeline::Config {
        open: Box::new(move || open_card(card, clock)),
        encoding: Some(as_configured(encoder)),
        encoder: encode::Choice::Openh264,
        wake: None,
    }
}

fn open_card(
    card: synthetic::Config,
    clock: Arc<dyn Clock>,
) -> Result<Box<dyn Source>, capture::Error> {
    let card = synthetic::TestCard::new(card, clock).map_err(|error| capture::Error::Unusable {
        path: "test:".into(),
        reason: error.to_string().into(),
        remedy: None,
    })?;
    Ok(Box::new(card))
}

fn open_camera(
    camera: config::Camera,
    encoder: &encode::Choice,
    waker: Option<Waker>,
    clock: Arc<dyn Clock>,
) -> Result<Box<dyn Source>, capture::Error> {
    let config::Camera { name, wanted, controls, .. } = camera;
    // Another node each time, where it was plugged in again. First: while it is away nobody else's
    // devices need to be asked what they can do.
    let path = find(&name, &wanted)?;
    let wanted = Wanted { direct: encode::takes(encoder).into_iter().collect(), ..wanted };
    Ok(Box::new(v4l2::Camera::open(&path, v4l2::Config { wanted, controls, waker }, clock)?))
}

/// The node that has the name just now.
fn find(name: &Name, wanted: &Wanted) -> Result<PathBuf, capture::Error> {
    match name {
        Name::Path(path) => Ok(path.clone()),
        Name::Stable(name) => Places::default().find(name),
        Name::Any => {
            let none = || capture::Error::Unavailable {
                path: "v4l2:".into(),
                trouble: Trouble::Gone,
                reason: "no camera can be used".into(),
                remedy: Some("lenscast devices   # lists what there is".to_owned()),
            };
            let first = survey(&Places::default(), wanted).usable.into_iter().next();
            first.map(|usable| usable.path).ok_or_else(none)
        }
    }
}

/// Replaces what nobody said by the first camera that can be used, or by the test card.
pub fn settle(config: &mut Config) {
    for stream in &mut config.streams {
        *stream = settled(stream);
    }
}

fn settled(stream: &config::Stream) -> config::Stream {
    let mut stream = stream.clone();
    if stream.source == config::Source::Unsaid {
        stream.source = match first_camera() {
            Some(usable) => {
                let name = lasting_name(usable.path);
                config::Source::Camera(config::Camera { name, ..config::Camera::any() })
            }
            None => config::test_card(),
        };
    }
    stream
}

/// A name under which a camera is found when it was plugged in again.
fn lasting_name(path: PathBuf) -> Name {
    let nodes = Places::default().nodes().unwrap_or_default();
    let node = nodes.into_iter().find(|node| node.path == path);
    match node.and_then(|node| node.names.into_iter().next()) {
        Some(name) => Name::Stable(name),
        None => Name::Path(path),
    }
}

/// The best of the cameras that can be used; why the others cannot is logged.
fn first_camera() -> Option<Usable> {
    let Survey { usable, refused } = survey(&Places::default(), &Wanted::default());
    for (path, reason) in refused {
        info!(device = %path.display(), reason, "not a camera that can be served");
    }
    let mut usable = usable.into_iter();
    let first = usable.next()?;
    for other in usable {
        info!(device = %other.path.display(), card = other.capability.card, "another camera");
    }
    info!(device = %first.path.display(), card = first.capability.card, "the camera served");
    Some(first)
}

/// For sources whose size and rate are configured.
fn as_configured(encoder: encode::Config) -> pipeline::Encoding {
    Box::new(move |_, _| encoder)
}

/// A stream whose keyframes come when they come: nobody minds a moment's delay, but a black window.
const LIVE: Start = Start::Cached { span: Duration::from_secs(2), bytes: 2 << 20 };
/// For who changes a player's settings, or walks from one page of a surveillance program to the
/// next.
const LINGER: Duration = Duration::from_secs(10);
/// A card that flashes up for a loose plug would be worse than a still.
const CARD_AFTER: Duration = Duration::from_secs(1);
/// Enough for its clock to be seen running.
const CARD_RATE: FrameRate = FrameRate::new(10, 1).unwrap();
const CARD_BITRATE: u32 = 500_000;
/// Two seconds.
const CARD_GOP: u32 = 20;
