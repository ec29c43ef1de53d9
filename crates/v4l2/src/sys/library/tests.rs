//! A library of the tests' own, `tests/library/waits.c`, whose device waits as NVIDIA's does.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use zerocopy::FromZeros;

use super::*;
use crate::{calls::Interest, uapi, waker::Waker};

#[test]
fn a_picture_ends_the_wait_whenever_it_comes() {
    let device = Opened::new();
    assert_eq!(device.wait(READABLE, None, Duration::ZERO), NOTHING);
    // The thread has been waiting since.
    let other = device.clone();
    let waits = thread::spawn(move || other.wait(READABLE, None, FOREVER));
    device.fill(true);
    assert_eq!(waits.join().unwrap(), PICTURE);
    assert_eq!(device.wait(READABLE, None, FOREVER), PICTURE, "it is still there");
    device.fill(false);
    assert_eq!(device.wait(READABLE, None, SHORT), NOTHING);
}

#[test]
fn who_waits_for_one_thing_is_not_ended_by_another() {
    let device = Opened::new();
    device.fill(true);
    assert_eq!(device.wait(WRITABLE, None, SHORT), NOTHING);
    assert_eq!(device.wait(READABLE, None, FOREVER), PICTURE, "asked anew");
}

#[test]
fn a_waker_ends_the_wait_and_the_thread_goes_on() {
    let device = Opened::new();
    let waker = Waker::new().unwrap();
    waker.wake();
    let woken = Readiness { woken: true, ..NOTHING };
    assert_eq!(device.wait(READABLE, Some(&waker), FOREVER), woken);
    waker.reset();
    device.fill(true);
    assert_eq!(device.wait(READABLE, Some(&waker), FOREVER), PICTURE);
}

#[test]
fn a_picture_that_was_taken_meanwhile_is_not_told_again() {
    let device = Opened::new();
    assert_eq!(device.wait(READABLE, None, Duration::ZERO), NOTHING);
    device.fill(true);
    // Nobody asks for that answer.
    while !device.has_answer() {
        thread::yield_now();
    }
    device.fill(false);
    assert_eq!(device.wait(READABLE, None, SHORT), NOTHING);
}

#[test]
fn without_any_time_it_is_told_what_was_seen() {
    let device = Opened::new();
    assert_eq!(device.wait(READABLE, None, Duration::ZERO), NOTHING);
    device.fill(true);
    while !device.has_answer() {
        thread::yield_now();
    }
    assert_eq!(device.wait(READABLE, None, Duration::ZERO), PICTURE);
    device.fill(false);
    assert_eq!(device.wait(READABLE, None, Duration::ZERO), NOTHING, "it was told");
}

#[test]
fn what_is_no_descriptor_is_refused() {
    let opened = library().open(Path::new("/dev/none"));
    assert_eq!(opened.unwrap_err().raw_os_error(), Some(libc::EIO));
    let device = Opened::new();
    let (mut raw, mut exported) = (uapi::v4l2_exportbuffer::new_zeroed(), None);
    let asked = device.ask(Request::ExportBuffer(&mut raw, &mut exported));
    assert_eq!(asked.unwrap_err().raw_os_error(), Some(libc::EIO));
    assert!(exported.is_none());
}

#[test]
fn closing_a_device_holds_up_no_other() {
    // Of its own: other tests use theirs meanwhile.
    let library = load();
    let (slow, other) = (Opened::of(library.clone()), Opened::of(library.clone()));
    assert_eq!(slow.wait(READABLE, None, Duration::ZERO), NOTHING);
    let output = uapi::V4L2_BUF_TYPE_VIDEO_OUTPUT as i32;
    other.ask(Request::StreamOn(output)).unwrap();
    let closes = thread::spawn(move || drop(slow));
    let mut command = uapi::v4l2_encoder_cmd::new_zeroed();
    while other.ask(Request::EncoderCommand(&mut command)).is_err() {
        thread::yield_now();
    }
    let is_free = library.waiting.try_lock().is_ok();
    other.ask(Request::StreamOff(output)).unwrap();
    closes.join().unwrap();
    assert!(is_free, "whoever waits needs it");
}

#[test]
fn closing_ends_a_wait_for_what_never_comes() {
    let device = Opened::new();
    assert_eq!(device.wait(READABLE, None, Duration::ZERO), NOTHING);
    // The thread is joined.
    drop(device);
}

/// Each has a state of its own.
struct Opened {
    library: Arc<Library>,
    device: Option<OwnedFd>,
}

impl Opened {
    fn new() -> Arc<Self> {
        Self::of(library())
    }

    fn of(library: Arc<Library>) -> Arc<Self> {
        let device = Some(library.open(Path::new("/dev/null")).unwrap());
        Arc::new(Self { library, device })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.device.as_ref().unwrap().as_fd()
    }

    fn wait(&self, interest: Interest, wake: Option<&Waker>, timeout: Duration) -> Readiness {
        self.library.wait(self.fd(), interest, wake.map(AsFd::as_fd), timeout).unwrap()
    }

    /// A picture is there, or has been taken.
    fn fill(&self, is_full: bool) {
        let kind = uapi::V4L2_BUF_TYPE_VIDEO_CAPTURE as i32;
        let request = if is_full { Request::StreamOn(kind) } else { Request::StreamOff(kind) };
        self.ask(request).unwrap();
    }

    fn ask(&self, request: Request<'_>) -> io::Result<()> {
        Calls::ioctl(&*self.library, self.fd(), request)
    }

    fn has_answer(&self) -> bool {
        self.library.has_answer(self.fd())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.library.close(self.device.take().unwrap());
    }
}

fn library() -> Arc<Library> {
    static LOADED: OnceLock<Arc<Library>> = OnceLock::new();
    LOADED.get_or_init(load).clone()
}

fn load() -> Arc<Library> {
    let directory = tempfile::tempdir().unwrap();
    Arc::new(Library::load(&build(directory.path())).unwrap())
}

fn build(directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/library/waits.c");
    let path = directory.join("libwaits.so");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut command = Command::new(&compiler);
    command.args(["-Wall", "-Werror", "-fPIC", "-shared", "-pthread", "-o"]).arg(&path).arg(source);
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {compiler}: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

const READABLE: Interest = Interest { readable: true, writable: false, event: false };
const WRITABLE: Interest = Interest { readable: false, writable: true, event: false };
const NOTHING: Readiness = Readiness {
    readable: false,
    writable: false,
    event: false,
    error: false,
    gone: false,
    woken: false,
};
const PICTURE: Readiness = Readiness { readable: true, ..NOTHING };
/// Passes, where nothing comes.
const SHORT: Duration = Duration::from_millis(20);
/// Never passes.
const FOREVER: Duration = Duration::from_secs(600);
