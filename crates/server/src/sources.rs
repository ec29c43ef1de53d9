//! Each configured source: how it is opened and kept, and where its viewers start.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use ::v4l2::{Trouble, Waker};
use capture::{
    Source, file, pipe, synthetic,
    v4l2::{
        self,
        choice::Wanted,
        name::{Name, Places},
        survey::{Refused, Survey, Usable, survey},
    },
};
use media::{Clock, FrameRate, I420Layout};
use tracing::{info, warn};

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
        config::Source::Camera(_) => LIVE,
        // Nobody minds seeing a file some seconds later than others, but a black window.
        config::Source::File(_) => Start::Cached { span: Duration::from_secs(12), bytes: 16 << 20 },
        config::Source::Stdin(config::Pipe::H264 { .. }) => LIVE,
    }
}

/// How a stream's source is kept.
pub(crate) fn policy(stream: &config::Stream) -> Policy {
    let retries = match &stream.source {
        config::Source::Test(_) | config::Source::Camera(_) => true,
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
    let stream = stream.clone();
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

/// Where nobody said what to serve, serves the first camera that can be used, or the test card.
pub fn settle(config: &mut Config) {
    if config.streams.is_empty() {
        let source = match first(survey(&Places::default(), &Wanted::default())) {
            Some(path) => {
                let name = lasting_name(path);
                config::Source::Camera(config::Camera { name, ..config::Camera::any() })
            }
            None => config::test_card(),
        };
        config.streams.push(config::Stream::of(source));
    }
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

/// The node of the best camera that can be used. Why the others cannot is logged; as a warning where
/// something should be done about it, for who sees a test card wants to know where the camera is.
fn first(Survey { usable, refused }: Survey) -> Option<PathBuf> {
    for Refused { path, reason, trouble } in refused {
        let device = path.display();
        if usable.is_empty() && trouble.is_some() {
            warn!(%device, reason, "it cannot be used");
        } else {
            info!(%device, reason, "not a camera that can be served");
        }
    }
    let mut usable = usable.into_iter();
    let Some(Usable { path, capability, .. }) = usable.next() else {
        warn!(
            "there is no camera that can be used, so the test card is served; `lenscast doctor` says \
             what is missing"
        );
        return None;
    };
    for other in usable {
        info!(device = %other.path.display(), card = other.capability.card, "another camera");
    }
    info!(device = %path.display(), card = capability.card, "the camera served");
    Some(path)
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

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Mutex, PoisonError},
    };

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// What is logged meanwhile.
    fn logged(act: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Log(Arc<Mutex<Vec<u8>>>);

        impl io::Write for Log {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl MakeWriter<'_> for Log {
            type Writer = Self;

            fn make_writer(&self) -> Self {
                self.clone()
            }
        }

        let log = Log::default();
        let subscriber =
            tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
        tracing::subscriber::with_default(subscriber, act);
        let bytes = log.0.lock().unwrap();
        String::from_utf8(bytes.clone()).unwrap()
    }

    fn refused(path: &str, reason: &str, trouble: Option<Trouble>) -> Refused {
        Refused { path: path.into(), reason: reason.to_owned(), trouble }
    }

    #[test]
    fn who_sees_the_test_card_for_want_of_a_camera_is_warned() {
        let survey = Survey {
            usable: Vec::new(),
            refused: vec![
                refused("/dev/video0", "permission denied; try `this`", Some(Trouble::Forbidden)),
                refused("/dev/video1", "it encodes", None),
            ],
        };
        let said = logged(|| assert_eq!(first(survey), None));
        let [denied, encodes, card] = said.lines().collect::<Vec<_>>()[..] else {
            panic!("{said}")
        };
        assert!(denied.contains(" WARN ") && denied.contains("/dev/video0"), "{denied}");
        assert!(denied.contains("try `this`"), "{denied}");
        assert!(encodes.contains(" INFO "), "{encodes}");
        assert!(card.contains(" WARN ") && card.contains("lenscast doctor"), "{card}");
        let said = logged(|| assert_eq!(first(Survey::default()), None));
        assert!(said.contains(" WARN ") && said.contains("there is no camera"), "{said}");
    }

    #[test]
    fn who_sees_a_camera_is_not_warned_of_others() {
        let capability = ::v4l2::Capability {
            driver: "uvcvideo".to_owned(),
            card: "C270".to_owned(),
            bus: "usb-1".to_owned(),
            flags: 0,
        };
        let choice = v4l2::choice::Choice {
            pixel_format: ::v4l2::PixelFormat::YUYV,
            size: ::v4l2::Size { width: 640, height: 480 },
            interval: None,
        };
        let reasoned = v4l2::choice::Reasoned {
            choice,
            missed_size: None,
            missed_rate: None,
            others: Vec::new(),
        };
        let usable = Usable { path: "/dev/video2".into(), capability, reasoned };
        let denied = refused("/dev/video0", "permission denied", Some(Trouble::Forbidden));
        let survey = Survey { usable: vec![usable], refused: vec![denied] };
        let said = logged(|| assert_eq!(first(survey), Some("/dev/video2".into())));
        assert!(!said.contains("WARN") && said.contains("C270"), "{said}");
    }
}
