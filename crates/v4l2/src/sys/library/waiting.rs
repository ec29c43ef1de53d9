//! Waiting for a device whose library waits itself: NVIDIA's descriptors say nothing to poll(2), and
//! its library has controls instead (`v4l2_nv_extensions.h` of its Multimedia API).
//!
//! The one waits until there is an event and cannot be given a time; the other ends that, and all
//! waiting from then on until it is taken back. So a thread of each device's own waits, and tells of
//! it by an eventfd, which can be waited for together with others and for a time.
//!
//! ```text
//!  Idle ──▶ Asked ──▶ Waiting ──▶ Answered ──▶ Idle        Ended from anywhere
//!    wait()   thread     thread      wait()                  drop
//! ```

use std::{
    ffi::c_ulong,
    io,
    os::fd::{AsFd, BorrowedFd, RawFd},
    ptr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::{event::PollFlags, io::Errno};
use zerocopy::FromZeros;

use super::{Ioctl, last_error};
use crate::{
    calls::{Interest, Readiness},
    sys::wait,
    uapi::{
        self,
        control::{v4l2_ext_control, v4l2_ext_controls},
    },
    waker::Waker,
};

/// The thread that waits for one device. Dropped before the device is closed.
pub(super) struct Waiting {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    controls: Controls,
    state: Mutex<State>,
    /// The state is another.
    changed: Condvar,
    /// Used while there is an answer.
    answered: Waker,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// For these events.
    Asked(u16),
    Waiting(u16),
    /// For these events, which of them there are.
    Answered(u16, Result<u16, Errno>),
    Ended,
}

/// The controls of a device that make its library wait.
#[derive(Copy, Clone, Debug)]
struct Controls {
    ioctl: Ioctl,
    device: RawFd,
}

/// `v4l2_ctrl_video_device_poll`: which of poll(2)'s events are waited for, and which there are.
#[repr(C)]
#[derive(Default)]
struct DevicePoll {
    requested: u16,
    there: u16,
}

impl Waiting {
    /// For a device that is open; `None` where its library has no such controls, and poll(2) will
    /// do.
    pub(super) fn of(ioctl: Ioctl, device: RawFd) -> io::Result<Option<Self>> {
        let controls = Controls { ioctl, device };
        // Harmless where it is known, and known to nobody else.
        if controls.interrupt(false).is_err() {
            return Ok(None);
        }
        let shared = Arc::new(Shared {
            controls,
            state: Mutex::new(State::Idle),
            changed: Condvar::new(),
            answered: Waker::new()?,
        });
        let own = shared.clone();
        let thread =
            thread::Builder::new().name("v4l2-wait".to_owned()).spawn(move || own.run())?;
        Ok(Some(Self { shared, thread: Some(thread) }))
    }

    /// As [`crate::calls::Calls::wait`], for one thread at a time. Without any time to wait it says
    /// what the thread has seen since it was asked for the same, which may have been taken
    /// meanwhile; where it was not, it is asked now, and the next wait tells.
    pub(super) fn wait(
        &self,
        interest: Interest,
        wake: Option<BorrowedFd<'_>>,
        timeout: Duration,
    ) -> io::Result<Readiness> {
        self.shared.ask(events(interest), timeout.is_zero())?;
        let readable = Interest { readable: true, ..Interest::default() };
        let ready = wait(self.shared.answered.as_fd(), readable, wake, timeout)?;
        let woken = Readiness { woken: ready.woken, ..Readiness::default() };
        // Otherwise the thread goes on: whoever waits next takes it up.
        if !ready.readable {
            return Ok(woken);
        }
        let there = PollFlags::from_bits_truncate(self.shared.take()?);
        Ok(Readiness {
            readable: interest.readable && there.contains(PollFlags::IN),
            writable: interest.writable && there.contains(PollFlags::OUT),
            event: interest.event && there.contains(PollFlags::PRI),
            error: there.contains(PollFlags::ERR),
            gone: there.contains(PollFlags::HUP),
            ..woken
        })
    }

    /// Whether the library has told of something, and nobody has asked since.
    #[cfg(test)]
    pub(super) fn has_answer(&self) -> bool {
        matches!(*self.shared.lock(), State::Answered(..))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        *self.shared.lock() = State::Ended;
        self.shared.changed.notify_all();
        // It fails where the device is gone; then waiting has ended, too.
        let _ = self.shared.controls.interrupt(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.lock();
        loop {
            let events = match *state {
                State::Asked(events) => events,
                State::Ended => return,
                State::Idle | State::Waiting(_) | State::Answered(..) => {
                    state = self.wait_for_change(state);
                    continue;
                }
            };
            *state = State::Waiting(events);
            drop(state);
            let answer = self.controls.poll(events);
            state = self.lock();
            if *state == State::Ended {
                return;
            }
            *state = State::Answered(events, answer);
            self.answered.wake();
            self.changed.notify_all();
        }
    }

    /// Has the thread wait for `events`, whatever it was asked before. An answer to the same is as
    /// good where it `may_be_old`.
    fn ask(&self, events: u16, may_be_old: bool) -> io::Result<()> {
        let mut state = self.lock();
        match *state {
            State::Waiting(before) if before == events => return Ok(()),
            State::Answered(before, _) if may_be_old && before == events => return Ok(()),
            State::Waiting(_) => {
                self.controls.interrupt(true)?;
                while matches!(*state, State::Waiting(_)) {
                    state = self.wait_for_change(state);
                }
                self.controls.interrupt(false)?;
            }
            State::Idle | State::Asked(_) | State::Answered(..) | State::Ended => {}
        }
        // What was answered to nobody may have been taken since.
        self.answered.reset();
        *state = State::Asked(events);
        self.changed.notify_all();
        Ok(())
    }

    /// The answer.
    fn take(&self) -> io::Result<u16> {
        let mut state = self.lock();
        self.answered.reset();
        match *state {
            State::Answered(_, answer) => {
                *state = State::Idle;
                Ok(answer?)
            }
            _ => Ok(0),
        }
    }

    fn wait_for_change<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Controls {
    /// Waits for any of `events`; which there are.
    fn poll(self, events: u16) -> Result<u16, Errno> {
        let mut poll = DevicePoll { requested: events, there: 0 };
        let mut control = v4l2_ext_control::new_zeroed();
        control.id = V4L2_CID_MPEG_VIDEO_DEVICE_POLL;
        // No size: so NVIDIA's own programs ask.
        control.set_address(ptr::from_mut(&mut poll).expose_provenance());
        self.set(&mut control)?;
        Ok(poll.there)
    }

    /// Ends waiting from now on, or lets it be again.
    fn interrupt(self, is_on: bool) -> Result<(), Errno> {
        let mut control = v4l2_ext_control::new_zeroed();
        control.id = V4L2_CID_MPEG_SET_POLL_INTERRUPT;
        control.set_value(is_on.into());
        self.set(&mut control)
    }

    fn set(self, control: &mut v4l2_ext_control) -> Result<(), Errno> {
        let mut controls = v4l2_ext_controls::new_zeroed();
        controls.which = V4L2_CTRL_CLASS_MPEG;
        controls.count = 1;
        controls.controls = ptr::from_mut(control).expose_provenance();
        let number = c_ulong::from(uapi::VIDIOC_S_EXT_CTRLS);
        // SAFETY: the structures are as the request has them, and live until this returns, as does
        // what the control points to, which is what the library reads and writes for this one. The
        // device is open: whoever closes it drops `Waiting` first, which joins the thread.
        match unsafe { (self.ioctl)(self.device, number, ptr::from_mut(&mut controls)) } {
            -1 => Err(last_error()),
            _ => Ok(()),
        }
    }
}

fn events(interest: Interest) -> u16 {
    let mut events = PollFlags::ERR;
    events.set(PollFlags::IN, interest.readable);
    events.set(PollFlags::OUT, interest.writable);
    events.set(PollFlags::PRI, interest.event);
    events.bits()
}

const V4L2_CTRL_CLASS_MPEG: u32 = 0x0099_0000;
const V4L2_CID_MPEG_BASE: u32 = V4L2_CTRL_CLASS_MPEG | 0x900;
const V4L2_CID_MPEG_VIDEO_DEVICE_POLL: u32 = V4L2_CID_MPEG_BASE + 550;
const V4L2_CID_MPEG_SET_POLL_INTERRUPT: u32 = V4L2_CID_MPEG_BASE + 551;
