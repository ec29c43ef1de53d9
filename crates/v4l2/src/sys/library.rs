//! A library that answers in the kernel's place, with the functions of Debian's libv4l2: `v4l2_open`,
//! `v4l2_close`, `v4l2_ioctl`, `v4l2_mmap`, `v4l2_munmap`.
//!
//! It is taken at its word, as the kernel is: [`crate::library::answer_for`] says what is required
//! of it. It is never unloaded, for threads of its own may run until the end.

use std::{
    collections::HashMap,
    ffi::{CStr, CString, c_char, c_int, c_ulong, c_void},
    io,
    mem::ManuallyDrop,
    os::{
        fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr::{self, NonNull},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::{
    fs::OFlags,
    io::Errno,
    mm::{MapFlags, ProtFlags},
};

use self::waiting::Waiting;
use super::{Answers, Mapping, own, perform, wait};
use crate::{
    calls::{Calls, Interest, Readiness, Request},
    library::Refusal,
};

mod waiting;

/// A library that was loaded.
pub(crate) struct Library {
    /// How each device that was waited for is, by its descriptor.
    waiting: Mutex<HashMap<RawFd, Way>>,
    open: Open,
    close: Close,
    ioctl: Ioctl,
    mmap: Map,
    munmap: Unmap,
}

/// How a device is waited for.
#[derive(Clone)]
enum Way {
    /// By poll(2).
    Descriptor,
    /// By the library.
    Library(Arc<Waiting>),
}

type Open = unsafe extern "C" fn(*const c_char, c_int, ...) -> c_int;
type Close = unsafe extern "C" fn(c_int) -> c_int;
type Ioctl = unsafe extern "C" fn(c_int, c_ulong, ...) -> c_int;
type Map = unsafe extern "C" fn(*mut c_void, usize, c_int, c_int, c_int, i64) -> *mut c_void;
type Unmap = unsafe extern "C" fn(*mut c_void, usize) -> c_int;

impl Library {
    /// Loads it. A name without a slash is looked for where the system has its libraries. What
    /// [`crate::library::answer_for`] requires of its caller is required here.
    ///
    /// # Errors
    ///
    /// When it cannot be loaded, or lacks one of the functions.
    pub(crate) fn load(path: &Path) -> Result<Self, Refusal> {
        let not_loaded = |error: libloading::Error| Refusal::NotLoaded {
            library: path.to_owned(),
            said: error.to_string(),
        };
        // SAFETY: what it does when it is loaded cannot be known here: `answer_for` requires that
        // whoever runs this program named it, and so had its code run.
        let library = unsafe { libloading::Library::new(path) }.map_err(not_loaded)?;
        silence(&library);
        // Never unloaded: the functions below, and threads that it may have, live as long as the
        // process.
        let library = ManuallyDrop::new(library);
        let missing = |name: &CStr| Refusal::NoFunction {
            library: path.to_owned(),
            function: name.to_string_lossy().into_owned(),
        };
        // SAFETY: of all of these: `answer_for` requires that a function of such a name is as it is
        // declared in `libv4l2.h`, which is what the types say.
        unsafe {
            Ok(Self {
                waiting: Mutex::default(),
                open: function(&library, c"v4l2_open", missing)?,
                close: function(&library, c"v4l2_close", missing)?,
                ioctl: function(&library, c"v4l2_ioctl", missing)?,
                mmap: function(&library, c"v4l2_mmap", missing)?,
                munmap: function(&library, c"v4l2_munmap", missing)?,
            })
        }
    }
}

/// Has libv4l2 not write of each error to standard error, EAGAIN among them: they are heard by their
/// numbers. `LIBV4L2_LOG_FILENAME` still says where it shall.
fn silence(library: &libloading::Library) {
    if std::env::var_os("LIBV4L2_LOG_FILENAME").is_some() {
        return;
    }
    // SAFETY: `libv4l2.h` has a `FILE *v4l2_log_file`, null until somebody sets it; no function of the
    // library runs yet that could read it.
    unsafe {
        let Ok(log) = library.get::<*mut *mut libc::FILE>(c"v4l2_log_file") else { return };
        if (**log).is_null() {
            **log = libc::fopen(c"/dev/null".as_ptr(), c"we".as_ptr());
        }
    }
}

/// A function of a library.
///
/// # Safety
///
/// `F` is the type of the function of this name.
unsafe fn function<F: Copy>(
    library: &libloading::Library,
    name: &CStr,
    missing: impl Fn(&CStr) -> Refusal,
) -> Result<F, Refusal> {
    // SAFETY: as the caller promises.
    let found = unsafe { library.get::<F>(name) };
    found.map(|function| *function).map_err(|_| missing(name))
}

impl Answers for Library {
    unsafe fn ioctl(
        &self,
        device: BorrowedFd<'_>,
        number: u32,
        value: *mut c_void,
    ) -> rustix::io::Result<()> {
        // SAFETY: the memory is as the caller promises, and the library uses it as the kernel
        // would: `answer_for` requires that.
        match unsafe { (self.ioctl)(device.as_raw_fd(), c_ulong::from(number), value) } {
            -1 => Err(last_error()),
            _ => Ok(()),
        }
    }
}

impl Calls for Library {
    fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // SAFETY: the path ends with NUL and lives until this returns. No file is made, so there is
        // no third argument.
        match unsafe { (self.open)(path.as_ptr(), flags.bits() as c_int) } {
            -1 => Err(last_error().into()),
            device => own(device),
        }
    }

    fn close(&self, device: OwnedFd) {
        // Nothing is asked of it any more from here on. Its thread is joined without the lock,
        // which the other devices need.
        let way = self.lock().remove(&device.as_raw_fd());
        drop(way);
        // SAFETY: it came from `open`, and nobody has it any more.
        let closed = unsafe { (self.close)(device.into_raw_fd()) };
        if closed != 0 {
            tracing::debug!(error = %last_error(), "a library cannot close a device");
        }
    }

    fn ioctl(&self, device: BorrowedFd<'_>, request: Request<'_>) -> io::Result<()> {
        perform(self, device, request)
    }

    fn map(&self, device: BorrowedFd<'_>, length: usize, offset: u32) -> io::Result<Mapping> {
        let protection = (ProtFlags::READ | ProtFlags::WRITE).bits() as c_int;
        let flags = MapFlags::SHARED.bits() as c_int;
        let (anywhere, device) = (ptr::null_mut(), device.as_raw_fd());
        // SAFETY: a place is chosen where nothing else is.
        let start =
            unsafe { (self.mmap)(anywhere, length, protection, flags, device, i64::from(offset)) };
        if start.addr() == usize::MAX {
            return Err(last_error().into());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, length, unmap: Some(self.munmap) })
    }

    fn wait(
        &self,
        device: BorrowedFd<'_>,
        interest: Interest,
        wake: Option<BorrowedFd<'_>>,
        timeout: Duration,
    ) -> io::Result<Readiness> {
        match self.way(device)? {
            Way::Descriptor => wait(device, interest, wake, timeout),
            Way::Library(waiting) => waiting.wait(interest, wake, timeout),
        }
    }
}

impl Library {
    fn way(&self, device: BorrowedFd<'_>) -> io::Result<Way> {
        let device = device.as_raw_fd();
        let mut ways = self.lock();
        if let Some(way) = ways.get(&device) {
            return Ok(way.clone());
        }
        let way = match Waiting::of(self.ioctl, device)? {
            Some(waiting) => Way::Library(Arc::new(waiting)),
            None => Way::Descriptor,
        };
        ways.insert(device, way.clone());
        Ok(way)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RawFd, Way>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the library has told of a device, and nobody has asked since.
    #[cfg(test)]
    fn has_answer(&self, device: BorrowedFd<'_>) -> bool {
        match self.lock().get(&device.as_raw_fd()) {
            Some(Way::Library(waiting)) => waiting.has_answer(),
            _ => false,
        }
    }
}

/// What the C library says went wrong last on this thread.
fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests;
