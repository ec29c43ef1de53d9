//! The calls that reach a device, as a seam: the kernel's own, or another's who answers in its place.
//!
//! The seam is not public: whoever answers must keep the kernel's promises about memory, and safe
//! code outside of this crate cannot be held to that.

use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rustix::io::Errno;

use crate::{
    sys::Mapping,
    uapi::{
        self,
        control::{v4l2_ext_control, v4l2_query_ext_ctrl, v4l2_querymenu},
        v4l2_buffer, v4l2_capability, v4l2_encoder_cmd, v4l2_event, v4l2_event_subscription,
        v4l2_exportbuffer, v4l2_fmtdesc, v4l2_format, v4l2_frmivalenum, v4l2_frmsizeenum,
        v4l2_plane, v4l2_requestbuffers, v4l2_selection, v4l2_streamparm,
    },
};

/// Open, close, ioctl, mmap and poll, of whoever answers for a device.
pub(crate) trait Calls: Send + Sync {
    /// Opens a device for reading and writing, without blocking.
    ///
    /// # Errors
    ///
    /// As open(2).
    fn open(&self, path: &Path) -> io::Result<OwnedFd>;

    /// Closes it.
    fn close(&self, device: OwnedFd) {
        drop(device);
    }

    /// Asks for something; the answer is written into the request.
    ///
    /// # Errors
    ///
    /// As ioctl(2) and the kernel's page on each request; never EINTR.
    fn ioctl(&self, device: BorrowedFd<'_>, request: Request<'_>) -> io::Result<()>;

    /// Maps a buffer that the device named by `offset`.
    ///
    /// # Errors
    ///
    /// As mmap(2).
    fn map(&self, device: BorrowedFd<'_>, length: usize, offset: u32) -> io::Result<Mapping> {
        Mapping::new(device, length, offset)
    }

    /// Waits until something of `interest` is there, at most for `timeout`; `wake`, when it is
    /// readable, ends it too.
    ///
    /// # Errors
    ///
    /// As poll(2); never EINTR.
    fn wait(
        &self,
        device: BorrowedFd<'_>,
        interest: Interest,
        wake: Option<BorrowedFd<'_>>,
        timeout: Duration,
    ) -> io::Result<Readiness>;
}

/// What to wait for.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// A buffer of the capture queue is done.
    pub readable: bool,
    /// A buffer of the output queue is done.
    pub writable: bool,
    /// An event.
    pub event: bool,
}

/// What is there.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A buffer of the capture queue is done.
    pub readable: bool,
    /// A buffer of the output queue is done.
    pub writable: bool,
    /// An event.
    pub event: bool,
    /// The queue is in trouble, is not streaming, or has no buffers queued (POLLERR).
    pub error: bool,
    /// The device is gone (POLLHUP).
    pub gone: bool,
    /// The waker was used.
    pub woken: bool,
}

/// An ioctl with all memory it reads and writes.
///
/// Addresses within that memory are set by whoever makes the call, from the slices beside it: no
/// request made here can make the kernel write elsewhere.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    /// VIDIOC_QUERYCAP.
    QueryCapabilities(&'a mut v4l2_capability),
    /// VIDIOC_ENUM_FMT.
    EnumFormat(&'a mut v4l2_fmtdesc),
    /// VIDIOC_ENUM_FRAMESIZES.
    EnumFrameSize(&'a mut v4l2_frmsizeenum),
    /// VIDIOC_ENUM_FRAMEINTERVALS.
    EnumFrameInterval(&'a mut v4l2_frmivalenum),
    /// VIDIOC_G_FMT.
    GetFormat(&'a mut v4l2_format),
    /// VIDIOC_S_FMT.
    SetFormat(&'a mut v4l2_format),
    /// VIDIOC_TRY_FMT.
    TryFormat(&'a mut v4l2_format),
    /// VIDIOC_G_PARM.
    GetParameters(&'a mut v4l2_streamparm),
    /// VIDIOC_S_PARM.
    SetParameters(&'a mut v4l2_streamparm),
    /// VIDIOC_S_SELECTION.
    SetSelection(&'a mut v4l2_selection),
    /// VIDIOC_QUERY_EXT_CTRL.
    QueryControl(&'a mut v4l2_query_ext_ctrl),
    /// VIDIOC_QUERYMENU.
    QueryMenu(&'a mut v4l2_querymenu),
    /// VIDIOC_G_EXT_CTRLS of one control, whose value is in it or in the payload.
    GetControl(&'a mut v4l2_ext_control, Option<&'a mut [u8]>),
    /// VIDIOC_S_EXT_CTRLS of one control, whose value is in it or in the payload.
    SetControl(&'a mut v4l2_ext_control, Option<&'a mut [u8]>),
    /// VIDIOC_REQBUFS.
    AllocateBuffers(&'a mut v4l2_requestbuffers),
    /// VIDIOC_QUERYBUF. The planes are empty for single-planar types.
    QueryBuffer(&'a mut v4l2_buffer, &'a mut [v4l2_plane]),
    /// VIDIOC_QBUF. The planes are empty for single-planar types.
    QueueBuffer(&'a mut v4l2_buffer, &'a mut [v4l2_plane]),
    /// VIDIOC_DQBUF. The planes are empty for single-planar types.
    DequeueBuffer(&'a mut v4l2_buffer, &'a mut [v4l2_plane]),
    /// VIDIOC_EXPBUF; the file descriptor goes where it belongs to somebody.
    ExportBuffer(&'a mut v4l2_exportbuffer, &'a mut Option<OwnedFd>),
    /// VIDIOC_STREAMON of a V4L2_BUF_TYPE_*.
    StreamOn(i32),
    /// VIDIOC_STREAMOFF of a V4L2_BUF_TYPE_*.
    StreamOff(i32),
    /// VIDIOC_ENCODER_CMD.
    EncoderCommand(&'a mut v4l2_encoder_cmd),
    /// VIDIOC_SUBSCRIBE_EVENT.
    SubscribeEvent(&'a mut v4l2_event_subscription),
    /// VIDIOC_DQEVENT.
    DequeueEvent(&'a mut v4l2_event),
}

impl Request<'_> {
    /// The kernel's name, for errors and logs.
    pub(crate) const fn name(&self) -> &'static str {
        self.id().0
    }

    /// The kernel's number.
    pub(crate) const fn number(&self) -> u32 {
        self.id().1
    }

    const fn id(&self) -> (&'static str, u32) {
        match self {
            Self::QueryCapabilities(_) => ("VIDIOC_QUERYCAP", uapi::VIDIOC_QUERYCAP),
            Self::EnumFormat(_) => ("VIDIOC_ENUM_FMT", uapi::VIDIOC_ENUM_FMT),
            Self::EnumFrameSize(_) => ("VIDIOC_ENUM_FRAMESIZES", uapi::VIDIOC_ENUM_FRAMESIZES),
            Self::EnumFrameInterval(_) => {
                ("VIDIOC_ENUM_FRAMEINTERVALS", uapi::VIDIOC_ENUM_FRAMEINTERVALS)
            }
            Self::GetFormat(_) => ("VIDIOC_G_FMT", uapi::VIDIOC_G_FMT),
            Self::SetFormat(_) => ("VIDIOC_S_FMT", uapi::VIDIOC_S_FMT),
            Self::TryFormat(_) => ("VIDIOC_TRY_FMT", uapi::VIDIOC_TRY_FMT),
            Self::GetParameters(_) => ("VIDIOC_G_PARM", uapi::VIDIOC_G_PARM),
            Self::SetParameters(_) => ("VIDIOC_S_PARM", uapi::VIDIOC_S_PARM),
            Self::SetSelection(_) => ("VIDIOC_S_SELECTION", uapi::VIDIOC_S_SELECTION),
            Self::QueryControl(_) => ("VIDIOC_QUERY_EXT_CTRL", uapi::VIDIOC_QUERY_EXT_CTRL),
            Self::QueryMenu(_) => ("VIDIOC_QUERYMENU", uapi::VIDIOC_QUERYMENU),
            Self::GetControl(..) => ("VIDIOC_G_EXT_CTRLS", uapi::VIDIOC_G_EXT_CTRLS),
            Self::SetControl(..) => ("VIDIOC_S_EXT_CTRLS", uapi::VIDIOC_S_EXT_CTRLS),
            Self::AllocateBuffers(_) => ("VIDIOC_REQBUFS", uapi::VIDIOC_REQBUFS),
            Self::QueryBuffer(..) => ("VIDIOC_QUERYBUF", uapi::VIDIOC_QUERYBUF),
            Self::QueueBuffer(..) => ("VIDIOC_QBUF", uapi::VIDIOC_QBUF),
            Self::DequeueBuffer(..) => ("VIDIOC_DQBUF", uapi::VIDIOC_DQBUF),
            Self::ExportBuffer(..) => ("VIDIOC_EXPBUF", uapi::VIDIOC_EXPBUF),
            Self::StreamOn(_) => ("VIDIOC_STREAMON", uapi::VIDIOC_STREAMON),
            Self::StreamOff(_) => ("VIDIOC_STREAMOFF", uapi::VIDIOC_STREAMOFF),
            Self::EncoderCommand(_) => ("VIDIOC_ENCODER_CMD", uapi::VIDIOC_ENCODER_CMD),
            Self::SubscribeEvent(_) => ("VIDIOC_SUBSCRIBE_EVENT", uapi::VIDIOC_SUBSCRIBE_EVENT),
            Self::DequeueEvent(_) => ("VIDIOC_DQEVENT", uapi::VIDIOC_DQEVENT),
        }
    }
}

/// An open device node, closed when dropped.
pub(crate) struct Node {
    // Taken by `drop` alone.
    fd: Option<OwnedFd>,
    /// A bit for each buffer type that has a queue.
    queues: AtomicU32,
    calls: Arc<dyn Calls>,
}

impl Node {
    pub(crate) fn open(path: &Path, calls: Arc<dyn Calls>) -> io::Result<Self> {
        let fd = calls.open(path)?;
        Ok(Self { fd: Some(fd), queues: AtomicU32::new(0), calls })
    }

    /// Notes that there is a queue of buffers of `kind`, V4L2_BUF_TYPE_*; EBUSY when there is one.
    pub(crate) fn take_queue(&self, kind: u32) -> io::Result<()> {
        let bit = 1 << kind;
        match self.queues.fetch_or(bit, Ordering::Relaxed) & bit {
            0 => Ok(()),
            _ => Err(Errno::BUSY.into()),
        }
    }

    /// Notes that there is none any more.
    pub(crate) fn leave_queue(&self, kind: u32) {
        self.queues.fetch_and(!(1 << kind), Ordering::Relaxed);
    }

    pub(crate) fn ioctl(&self, request: Request<'_>) -> io::Result<()> {
        let name = request.name();
        let result = self.calls.ioctl(self.fd(), request);
        match &result {
            Ok(()) => tracing::trace!(ioctl = name, "done"),
            Err(error) => tracing::trace!(ioctl = name, %error, "refused"),
        }
        result
    }

    pub(crate) fn map(&self, length: usize, offset: u32) -> io::Result<Mapping> {
        self.calls.map(self.fd(), length, offset)
    }

    pub(crate) fn wait(
        &self,
        interest: Interest,
        wake: Option<BorrowedFd<'_>>,
        timeout: Duration,
    ) -> io::Result<Readiness> {
        self.calls.wait(self.fd(), interest, wake, timeout)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("open until dropped").as_fd()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(fd) = self.fd.take() {
            self.calls.close(fd);
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.fd).finish()
    }
}

impl fmt::Debug for v4l2_ext_control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, size, value) = (self.id, self.size, self.value64());
        write!(f, "v4l2_ext_control {{ id: {id:#x}, size: {size}, value64: {value} }}")
    }
}

impl fmt::Debug for v4l2_querymenu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, index) = (self.id, self.index);
        write!(f, "v4l2_querymenu {{ id: {id:#x}, index: {index} }}")
    }
}
