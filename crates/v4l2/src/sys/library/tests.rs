//! A library of the tests' own, `tests/library/waits.c`, whose device waits as NVIDIA's does.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

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
        let library = library();
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
        Calls::ioctl(&*self.library, self.fd(), request).unwrap();
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
    let load = || {
        let directory = tempfile::tempdir().unwrap();
        Arc::new(Library::load(&build(directory.path())).unwrap())
    };
    LOADED.get_or_init(load).clone()
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
