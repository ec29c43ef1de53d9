//! The only module that is unsafe: ioctl, mmap, what was mapped as bytes, and libraries.

#![allow(unsafe_code, reason = "the kernel's calls are; each block argues why it may be called")]

use std::{
    ffi::{c_int, c_void},
    fmt, io,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
    path::Path,
    ptr::{self, NonNull},
    slice,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags, open},
    io::Errno,
    ioctl::{Ioctl, IoctlOutput, Opcode, ioctl},
    mm::{MapFlags, ProtFlags, mmap, munmap},
};
use zerocopy::FromZeros;

use crate::{
    calls::{Calls, Interest, Readiness, Request},
    uapi::{
        control::{V4L2_CTRL_WHICH_CUR_VAL, v4l2_ext_control, v4l2_ext_controls},
        v4l2_buffer, v4l2_memory_place, v4l2_plane,
    },
};

// A static program cannot load any: it would bring a C library of its own.
#[cfg(not(target_feature = "crt-static"))]
pub(crate) mod library;

/// The kernel itself.
#[derive(Debug)]
pub(crate) struct Kernel;

/// Who answers an ioctl.
trait Answers {
    /// As ioctl(2).
    ///
    /// # Safety
    ///
    /// `value` is memory of the type that `number` was made of, whose addresses, where it has any,
    /// are of memory as long as it says.
    unsafe fn ioctl(
        &self,
        device: BorrowedFd<'_>,
        number: u32,
        value: *mut c_void,
    ) -> rustix::io::Result<()>;
}

impl Answers for Kernel {
    unsafe fn ioctl(
        &self,
        device: BorrowedFd<'_>,
        number: u32,
        value: *mut c_void,
    ) -> rustix::io::Result<()> {
        // SAFETY: as the caller promises.
        unsafe { ioctl(device, Pointed { number, value }) }
    }
}

impl Calls for Kernel {
    fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(open(path, flags, Mode::empty())?)
    }

    fn ioctl(&self, device: BorrowedFd<'_>, request: Request<'_>) -> io::Result<()> {
        perform(self, device, request)
    }

    fn wait(
        &self,
        device: BorrowedFd<'_>,
        interest: Interest,
        wake: Option<BorrowedFd<'_>>,
        timeout: Duration,
    ) -> io::Result<Readiness> {
        wait(device, interest, wake, timeout)
    }
}

/// Has `who` answer a request.
fn perform(who: &impl Answers, device: BorrowedFd<'_>, request: Request<'_>) -> io::Result<()> {
    let number = request.number();
    match request {
        Request::QueryCapabilities(value) => call(who, device, number, value),
        Request::EnumFormat(value) => call(who, device, number, value),
        Request::EnumFrameSize(value) => call(who, device, number, value),
        Request::EnumFrameInterval(value) => call(who, device, number, value),
        Request::GetFormat(value) | Request::SetFormat(value) | Request::TryFormat(value) => {
            call(who, device, number, value)
        }
        Request::GetParameters(value) | Request::SetParameters(value) => {
            call(who, device, number, value)
        }
        Request::SetSelection(value) => call(who, device, number, value),
        Request::QueryControl(value) => call(who, device, number, value),
        Request::QueryMenu(value) => call(who, device, number, value),
        Request::GetControl(control, payload) | Request::SetControl(control, payload) => {
            control_call(who, device, number, control, payload)
        }
        Request::AllocateBuffers(value) => call(who, device, number, value),
        Request::QueryBuffer(buffer, planes)
        | Request::QueueBuffer(buffer, planes)
        | Request::DequeueBuffer(buffer, planes) => {
            buffer_call(who, device, number, buffer, planes)
        }
        Request::ExportBuffer(value, exported) => {
            value.flags = (OFlags::RDWR | OFlags::CLOEXEC).bits();
            // Zero is a descriptor: it would be taken for the answer of a library that gives none.
            value.fd = -1;
            call(who, device, number, value)?;
            *exported = Some(own(value.fd)?);
            Ok(())
        }
        Request::StreamOn(mut kind) | Request::StreamOff(mut kind) => {
            call(who, device, number, &mut kind)
        }
        Request::EncoderCommand(value) => call(who, device, number, value),
        Request::SubscribeEvent(value) => call(who, device, number, value),
        Request::DequeueEvent(value) => call(who, device, number, value),
    }
}

/// Waits by poll(2).
fn wait(
    device: BorrowedFd<'_>,
    interest: Interest,
    wake: Option<BorrowedFd<'_>>,
    timeout: Duration,
) -> io::Result<Readiness> {
    let mut events = PollFlags::empty();
    events.set(PollFlags::IN, interest.readable);
    events.set(PollFlags::OUT, interest.writable);
    events.set(PollFlags::PRI, interest.event);
    let waker = wake.unwrap_or(device);
    let waker_events = if wake.is_some() { PollFlags::IN } else { PollFlags::empty() };
    let mut fds =
        [PollFd::from_borrowed_fd(device, events), PollFd::from_borrowed_fd(waker, waker_events)];
    let watched = if wake.is_some() { &mut fds[..] } else { &mut fds[..1] };
    let begin = Instant::now();
    loop {
        let left = timeout.saturating_sub(begin.elapsed());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(watched, Some(&left)) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => break,
        }
    }
    let [of_device, of_waker] = fds.map(|fd| fd.revents());
    Ok(Readiness {
        readable: of_device.contains(PollFlags::IN),
        writable: of_device.contains(PollFlags::OUT),
        event: of_device.contains(PollFlags::PRI),
        error: of_device.contains(PollFlags::ERR),
        gone: of_device.contains(PollFlags::HUP),
        woken: wake.is_some() && !of_waker.is_empty(),
    })
}

/// An ioctl on one structure that holds no address.
fn call<T>(
    who: &impl Answers,
    device: BorrowedFd<'_>,
    number: u32,
    value: &mut T,
) -> io::Result<()> {
    debug_assert_eq!(number >> 16 & 0x3fff, size_of::<T>() as u32, "the number tells the size");
    loop {
        let value = ptr::from_mut(value).cast();
        // SAFETY: the number was made of the type that `value` points to, which is as the kernel
        // lays it out (tests/layout): the kernel reads and writes within `value`, and all bits
        // that it may write are valid for it. Where the structure has an address in it, the caller
        // set it to memory that lives until this returns.
        match unsafe { who.ioctl(device, number, value) } {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(()),
        }
    }
}

/// An ioctl on a buffer, whose planes are beside it.
fn buffer_call(
    who: &impl Answers,
    device: BorrowedFd<'_>,
    number: u32,
    buffer: &mut v4l2_buffer,
    planes: &mut [v4l2_plane],
) -> io::Result<()> {
    if planes.is_empty() {
        return call(who, device, number, buffer);
    }
    // The kernel reads and writes at most `length` planes at that address.
    buffer.m = v4l2_memory_place::of_address(planes.as_mut_ptr().expose_provenance());
    buffer.length = planes.len() as u32;
    let result = call(who, device, number, buffer);
    buffer.m = v4l2_memory_place::of_offset(0);
    result
}

/// An ioctl on one control, whose value may be beside it.
fn control_call(
    who: &impl Answers,
    device: BorrowedFd<'_>,
    number: u32,
    control: &mut v4l2_ext_control,
    payload: Option<&mut [u8]>,
) -> io::Result<()> {
    let has_payload = payload.is_some();
    match payload {
        // The kernel reads and writes at most `size` bytes at that address.
        Some(payload) => {
            control.size = payload.len() as u32;
            control.set_address(payload.as_mut_ptr().expose_provenance());
        }
        // Then it takes the union for the value, unless the control has a payload: that it refuses
        // with ENOSPC for want of room.
        None => control.size = 0,
    }
    let mut controls = v4l2_ext_controls::new_zeroed();
    controls.which = V4L2_CTRL_WHICH_CUR_VAL;
    controls.count = 1;
    controls.controls = ptr::from_mut(control).expose_provenance();
    let result = call(who, device, number, &mut controls);
    if has_payload {
        control.set_value64(0);
    }
    result
}

/// A file descriptor that a request which succeeded, or a library's `v4l2_open`, has just given.
///
/// # Errors
///
/// EIO, when it is none, which a library may give all the same.
fn own(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(Errno::IO.into());
    }
    // SAFETY: it is not negative, and whoever gave it opened it for this caller alone: the kernel,
    // or a library of which `library::answer_for` requires that.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An ioctl as rustix wants it, with a number known only when it runs.
struct Pointed {
    number: u32,
    value: *mut c_void,
}

// SAFETY: `as_ptr` is the memory that `call` vouches for, and nothing is made of the output.
unsafe impl Ioctl for Pointed {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.number
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.value
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// A buffer of a device in this process's memory; unmapped when dropped.
///
/// Devices write into it whenever the buffer is queued. Whoever owns it gives out its bytes only
/// while it is not.
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
    /// What unmaps it, where it is not the kernel: it is never unloaded.
    unmap: Option<unsafe extern "C" fn(*mut c_void, usize) -> c_int>,
}

// SAFETY: it is memory that belongs to nobody's thread.
unsafe impl Send for Mapping {}
// SAFETY: sharing it shares `&[u8]` alone.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` bytes of `file`, shared, for reading and writing.
    ///
    /// # Errors
    ///
    /// As mmap(2).
    pub(crate) fn new(file: BorrowedFd<'_>, length: usize, offset: u32) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses a place where nothing else is.
        let start = unsafe {
            let anywhere = ptr::null_mut();
            mmap(anywhere, length, protection, MapFlags::SHARED, file.as_fd(), u64::from(offset))?
        };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, length, unmap: None })
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `start` is mapped for `length` bytes until `self` is dropped, all bit patterns
        // are bytes, and the queue that owns it gives them out only while the device does not
        // write there.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    /// Its bytes, to write.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let start = self.start.as_ptr().cast();
        let is_unmapped = match self.unmap {
            // SAFETY: it was mapped by `new`, and nobody can have its bytes any more.
            None => unsafe { munmap(start, self.length) }.is_ok(),
            // SAFETY: it was mapped by the library that this is of; and as above.
            Some(unmap) => unsafe { unmap(start, self.length) == 0 },
        };
        debug_assert!(is_unmapped, "{}", io::Error::last_os_error());
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("length", &self.length).finish_non_exhaustive()
    }
}
