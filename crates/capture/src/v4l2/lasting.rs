//! A camera that may be pulled out and plugged in again while it is watched.

use std::{sync::Arc, time::Duration};

use ::v4l2::{Waker, loan::Lend};
use media::{Clock, MediaTime};
use tracing::{info, warn};

use super::Camera;
use crate::{Captured, Description, Error, Source};

/// Opens the camera, under whichever number it has by then.
pub type Opener = Box<dyn FnMut() -> Result<Camera, Error> + Send>;

/// A camera that is opened again when it was lost, for as long as it takes.
///
/// What watches it sees a gap. It has to come back as it was: what it gives is announced once. Where
/// it shared memory with an encoder, [`Error::Reopened`] says that it has new memory, and copies
/// until it is told otherwise.
pub struct Lasting {
    open: Opener,
    camera: Option<Camera>,
    /// The one that was lost shared memory.
    was_lending: bool,
    description: Description,
    clock: Arc<dyn Clock>,
    waker: Option<Waker>,
}

impl Lasting {
    /// Opens the camera for the first time. `waker` is that of the camera, and ends the wait for it,
    /// too.
    ///
    /// # Errors
    ///
    /// When it cannot be opened: it is not waited for before it was there.
    pub fn open(
        mut open: Opener,
        waker: Option<Waker>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let camera = open()?;
        let description = camera.description().clone();
        Ok(Self { open, camera: Some(camera), was_lending: false, description, clock, waker })
    }

    /// Waits until the camera can be opened. `None` when it was told to stop.
    fn reopen(&mut self) -> Result<Option<Camera>, Error> {
        let mut delay = SHORTEST_DELAY;
        let mut tries = 0_u32;
        loop {
            let until = self.clock.now() + delay;
            while self.clock.now() < until {
                if self.is_stopped() {
                    return Ok(None);
                }
                self.clock.sleep_until(until.min(self.clock.now() + GLANCE));
            }
            match (self.open)() {
                Ok(camera) if is_same(camera.description(), &self.description) => {
                    info!("the camera is back");
                    return Ok(Some(camera));
                }
                Ok(camera) => {
                    return Err(Error::Unusable {
                        path: camera.path().to_owned(),
                        reason: "it has come back with other pictures than before".into(),
                        remedy: None,
                    });
                }
                Err(error) => {
                    tries += 1;
                    // Once a minute is enough to be read.
                    if tries == 1 || tries.is_multiple_of(30) {
                        info!(%error, "the camera is not back yet");
                    }
                }
            }
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }

    /// Whether the waker was used; it stays so.
    fn is_stopped(&self) -> bool {
        let Some(waker) = &self.waker else { return false };
        let used = waker.reset();
        if used {
            waker.wake();
        }
        used
    }
}

impl Source for Lasting {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self) -> Result<Option<Captured>, Error> {
        loop {
            let camera = match &mut self.camera {
                Some(camera) => camera,
                None => match self.reopen()? {
                    Some(camera) if self.was_lending => {
                        self.was_lending = false;
                        self.camera = Some(camera);
                        return Err(Error::Reopened);
                    }
                    Some(camera) => self.camera.insert(camera),
                    None => return Ok(None),
                },
            };
            match camera.next() {
                Ok(captured) => return Ok(captured),
                Err(error) => {
                    warn!(%error, "the camera is lost; it is waited for");
                    self.was_lending = camera.is_lending();
                    self.camera = None;
                }
            }
        }
    }

    fn arrived(&self) -> Option<MediaTime> {
        self.camera.as_ref()?.arrived()
    }

    fn lender(&mut self) -> Option<&mut dyn Lend> {
        self.camera.as_mut()?.lender()
    }
}

/// Sizes are announced, and encoded; H.264 brings its own.
fn is_same(now: &Description, before: &Description) -> bool {
    match (now, before) {
        (Description::Raw { layout: now, .. }, Description::Raw { layout: before, .. }) => {
            now == before
        }
        (Description::H264 { .. }, Description::H264 { .. }) => true,
        _ => false,
    }
}

/// Before the first try: a bus that was reset needs about as long.
const SHORTEST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// Between looks at whether to stop.
const GLANCE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use ::v4l2::fake::{Kernel, Picture, camera};
    use media::{MediaTime, WallTime};

    use super::*;
    use crate::v4l2::Config;

    /// Moves on when it is slept by, and not otherwise.
    #[derive(Default)]
    struct Sleeper(AtomicU64);

    impl Clock for Sleeper {
        fn now(&self) -> MediaTime {
            MediaTime::from_nanos(self.0.load(Ordering::Relaxed))
        }

        fn wall(&self) -> WallTime {
            WallTime::from_unix_nanos(0)
        }

        fn sleep_until(&self, deadline: MediaTime) {
            self.0.fetch_max(deadline.as_nanos(), Ordering::Relaxed);
        }
    }

    fn plugged(kernel: &Kernel, path: &str, config: camera::Config) -> ::v4l2::fake::Camera {
        let camera = kernel.add_camera(path, config);
        camera.always(|_, format| {
            Picture::of(vec![0; format.size.width as usize * format.size.height as usize * 2])
        });
        camera
    }

    /// Opens whichever of the nodes is there.
    fn opener(kernel: &Kernel, waker: &Waker, clock: &Arc<Sleeper>) -> Opener {
        let (kernel, waker, clock) = (kernel.clone(), waker.clone(), clock.clone());
        Box::new(move || {
            let device = ["/dev/video0", "/dev/video2"].map(|path| kernel.open(path));
            let device = device.into_iter().reduce(Result::or).expect("there are two")?;
            let config = Config { waker: Some(waker.clone()), ..Config::default() };
            Camera::start(device, config, clock.clone())
        })
    }

    #[test]
    fn a_camera_that_is_plugged_in_again_goes_on_under_another_number() {
        let (kernel, waker) = (Kernel::new(), Waker::new().unwrap());
        let clock = Arc::new(Sleeper::default());
        let first = plugged(&kernel, "/dev/video0", camera::Config::default());
        let open = opener(&kernel, &waker, &clock);
        let mut source = Lasting::open(open, Some(waker), clock.clone()).unwrap();
        assert!(matches!(source.next(), Ok(Some(Captured::Raw(_)))));
        first.unplug();
        let _second = plugged(&kernel, "/dev/video2", camera::Config::default());
        // What was in flight may still come.
        for _ in 0..8 {
            assert!(matches!(source.next(), Ok(Some(Captured::Raw(_)))));
        }
        assert!(clock.now() >= MediaTime::ZERO + SHORTEST_DELAY);
        drop(source);
        assert_eq!(kernel.open_files(), 0);
    }

    #[test]
    fn a_camera_that_shared_its_memory_says_that_it_has_other_memory() {
        let (kernel, waker) = (Kernel::new(), Waker::new().unwrap());
        let clock = Arc::new(Sleeper::default());
        let first = plugged(&kernel, "/dev/video0", camera::Config::default());
        let open = opener(&kernel, &waker, &clock);
        let mut source = Lasting::open(open, Some(waker), clock).unwrap();
        let memory = source.lender().unwrap().export().unwrap();
        assert!(matches!(source.next(), Ok(Some(Captured::Lent { .. }))));
        first.unplug();
        let _second = plugged(&kernel, "/dev/video2", camera::Config::default());
        let said = loop {
            match source.next() {
                Ok(captured) => assert!(captured.is_some()),
                Err(error) => break error,
            }
        };
        assert!(matches!(said, Error::Reopened), "{said}");
        drop(memory);
        assert!(matches!(source.next(), Ok(Some(Captured::Raw(_)))));
        assert!(source.lender().unwrap().export().is_ok());
        assert!(matches!(source.next(), Ok(Some(Captured::Lent { .. }))));
    }

    #[test]
    fn a_camera_that_never_was_there_is_not_waited_for() {
        let (kernel, waker) = (Kernel::new(), Waker::new().unwrap());
        let clock = Arc::new(Sleeper::default());
        let open = opener(&kernel, &waker, &clock);
        assert!(Lasting::open(open, Some(waker), clock).is_err());
    }

    #[test]
    fn whoever_waits_for_a_camera_can_be_stopped() {
        let (kernel, waker) = (Kernel::new(), Waker::new().unwrap());
        let clock = Arc::new(Sleeper::default());
        let camera = plugged(&kernel, "/dev/video0", camera::Config::default());
        let open = opener(&kernel, &waker, &clock);
        let mut source = Lasting::open(open, Some(waker.clone()), clock).unwrap();
        camera.unplug();
        waker.wake();
        // Pictures that wait may be given before.
        while let Some(captured) = source.next().unwrap() {
            assert!(matches!(captured, Captured::Raw(_)));
        }
        assert!(source.next().unwrap().is_none(), "and stays stopped");
    }

    #[test]
    fn a_camera_that_comes_back_with_another_size_is_the_end() {
        let (kernel, waker) = (Kernel::new(), Waker::new().unwrap());
        let clock = Arc::new(Sleeper::default());
        let first = plugged(&kernel, "/dev/video0", camera::Config::default());
        let open = opener(&kernel, &waker, &clock);
        let mut source = Lasting::open(open, Some(waker), clock).unwrap();
        first.unplug();
        let mut other = camera::Config::default();
        other.modes[0].sizes =
            ::v4l2::Sizes::Discrete(vec![::v4l2::Size { width: 320, height: 240 }]);
        let _second = plugged(&kernel, "/dev/video2", other);
        let error = loop {
            match source.next() {
                Ok(captured) => assert!(captured.is_some()),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("other pictures"), "{error}");
    }
}
