//! Whatever is asked in whatever order: no panic, no complaint, and no bytes of a buffer that the
//! driver has.

use std::{os::fd::AsFd, os::fd::OwnedFd, time::Duration};

use proptest::prelude::*;
use v4l2::{
    Content, Device, Interest, Next, PixelFormat, Queue, QueueKind, Size, Waker,
    fake::{
        Camera, Encoder, Errno, Errors, Kernel, Misbehaviour, Picture, camera,
        encoder::{self, Headers, KeyFlags, Last},
    },
};

use crate::{CAMERA, ENCODER, SMALL, assert_content, format};

/// One thing that is done, to the camera's queue, the encoder's raw or its coded one.
#[derive(Clone, Debug)]
enum Step {
    Format(Which, PixelFormat, Size),
    Interval(Which),
    Crop(Size),
    Allocate(Which, u32),
    Import(Which, u32),
    Drop(Which),
    Start(Which),
    Stop(Which),
    Enqueue(Which),
    /// With memory that another queue exported.
    Share(Which),
    Dequeue(Which),
    Export(Which),
    Wait(Which),
    Command(u32),
    Give(usize, bool),
    Lose(u32),
    Controls(Which),
    Fail(Which, u8),
    Misbehave(Misbehaviour),
    Unplug(Which),
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Which {
    Camera,
    Raw,
    Coded,
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![Just(Which::Camera), Just(Which::Raw), Just(Which::Coded)]
}

fn size() -> impl Strategy<Value = Size> {
    prop_oneof![
        Just(SMALL),
        (1_u32..200, 1_u32..200).prop_map(|(width, height)| Size { width, height })
    ]
}

fn pixel_format() -> impl Strategy<Value = PixelFormat> {
    prop_oneof![
        Just(PixelFormat::NV12),
        Just(PixelFormat::YUYV),
        Just(PixelFormat::H264),
        any::<u32>().prop_map(PixelFormat)
    ]
}

fn misbehaviour() -> impl Strategy<Value = Misbehaviour> {
    let few = || prop::option::of(0_u32..4);
    let flags = prop_oneof![Just(KeyFlags::Never), Just(KeyFlags::Swapped), Just(KeyFlags::Right)];
    let headers = prop_oneof![Just(Headers::AsTold), Just(Headers::PerOpen), Just(Headers::Never)];
    (few(), few(), few(), flags, headers, any::<[bool; 2]>()).prop_map(
        |(stall_after, drop_every, damage_every, key_flags, headers, others)| Misbehaviour {
            stall_after,
            drop_every,
            damage_every,
            key_flags,
            headers,
            begins_anywhere: others[0],
            ignores_force: others[1],
        },
    )
}

/// What is done first in half of the runs: all three queues stream.
fn beginning() -> Vec<Step> {
    let all = [Which::Camera, Which::Raw, Which::Coded];
    let mut steps = vec![Step::Format(Which::Raw, PixelFormat::NV12, SMALL)];
    steps.extend(all.map(|which| Step::Allocate(which, 3)));
    steps.extend([Which::Camera, Which::Coded].map(Step::Enqueue));
    steps.extend(all.map(Step::Start));
    steps
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => (which(), pixel_format(), size()).prop_map(|(w, f, s)| Step::Format(w, f, s)),
        20 => which().prop_map(Step::Interval),
        20 => size().prop_map(Step::Crop),
        80 => (which(), 0_u32..6).prop_map(|(w, count)| Step::Allocate(w, count)),
        40 => (which(), 0_u32..6).prop_map(|(w, count)| Step::Import(w, count)),
        5 => which().prop_map(Step::Drop),
        120 => which().prop_map(Step::Start),
        10 => which().prop_map(Step::Stop),
        240 => which().prop_map(Step::Enqueue),
        120 => which().prop_map(Step::Share),
        240 => which().prop_map(Step::Dequeue),
        40 => which().prop_map(Step::Export),
        80 => which().prop_map(Step::Wait),
        60 => (0_u32..3).prop_map(Step::Command),
        120 => (0_usize..20_000, any::<bool>()).prop_map(|(length, bad)| Step::Give(length, bad)),
        20 => any::<u32>().prop_map(Step::Lose),
        20 => which().prop_map(Step::Controls),
        20 => (which(), any::<u8>()).prop_map(|(w, request)| Step::Fail(w, request)),
        20 => misbehaviour().prop_map(Step::Misbehave),
        1 => which().prop_map(Step::Unplug),
    ]
}

struct World {
    kernel: Kernel,
    camera: Camera,
    encoder: Encoder,
    /// Of camera and encoder.
    devices: [Device; 2],
    queues: [Option<Queue>; 3],
    exported: [Vec<OwnedFd>; 3],
    has_interval: bool,
    has_crop: bool,
    has_raw_format: bool,
    waker: Waker,
}

impl World {
    fn new(is_multi_planar: bool, latency: usize, last: Last) -> Self {
        let kernel = Kernel::new();
        let camera = kernel.add_camera(CAMERA, camera::Config::default());
        let config = encoder::Config { is_multi_planar, latency, last, ..Default::default() };
        let encoder = kernel.add_encoder(ENCODER, config);
        let devices = [CAMERA, ENCODER].map(|path| kernel.open(path).unwrap());
        let waker = Waker::new().unwrap();
        // Used for good: nothing here waits.
        waker.wake();
        Self {
            kernel,
            camera,
            encoder,
            devices,
            queues: [None, None, None],
            exported: [Vec::new(), Vec::new(), Vec::new()],
            has_interval: false,
            has_crop: false,
            has_raw_format: false,
            waker,
        }
    }

    fn device(&self, which: Which) -> &Device {
        &self.devices[usize::from(which != Which::Camera)]
    }

    fn kind(&self, which: Which) -> QueueKind {
        let capability = self.device(which).capability();
        match (which, capability.camera(), capability.memory_to_memory()) {
            (Which::Camera, Some(camera), _) => camera,
            (Which::Raw, _, Some((raw, _))) => raw,
            (Which::Coded, _, Some((_, coded))) => coded,
            _ => unreachable!("as they were made"),
        }
    }

    /// Any answer is right, as long as there is one.
    fn take(&mut self, step: &Step) {
        match *step {
            // Clients set formats before what depends on them: all else is complained of.
            Step::Format(Which::Camera, ..) if self.has_interval => {}
            Step::Format(Which::Raw, ..) if self.has_crop => {}
            Step::Format(which, pixel_format, size) => {
                let asked = format(size, pixel_format);
                let set = self.device(which).set_format(self.kind(which), &asked);
                self.has_raw_format |= which == Which::Raw && set.is_ok();
            }
            Step::Interval(which) => {
                let interval = v4l2::Interval { numerator: 1, denominator: 7 };
                let set = self.device(which).set_interval(self.kind(which), interval);
                self.has_interval |= which == Which::Camera && set.is_ok();
            }
            Step::Crop(size) => {
                let set = self.device(Which::Raw).set_crop(self.kind(Which::Raw), size);
                self.has_crop |= set.is_ok();
            }
            Step::Allocate(which, count) => {
                if self.queues[which as usize].is_none() {
                    self.queues[which as usize] =
                        Queue::allocate(self.device(which), self.kind(which), count).ok();
                }
            }
            Step::Import(which, count) => {
                if self.queues[which as usize].is_none() {
                    self.queues[which as usize] =
                        Queue::import(self.device(which), self.kind(which), count).ok();
                }
            }
            Step::Drop(which) => {
                self.queues[which as usize] = None;
                self.exported[which as usize].clear();
            }
            Step::Command(command) => {
                let streams = [Which::Raw, Which::Coded].map(|which| {
                    let asked = self.kernel.log();
                    let of = if which == Which::Raw { "OUTPUT" } else { "CAPTURE" };
                    let mut asked = asked.iter().rev().filter(|asked| {
                        asked.path.to_str() == Some(ENCODER) && asked.what.starts_with(of)
                    });
                    let last = asked.find(|asked| {
                        asked.answer.is_ok() && asked.name.starts_with("VIDIOC_STREAM")
                    });
                    last.is_some_and(|last| last.name == "VIDIOC_STREAMON")
                });
                if streams == [true, true] {
                    let _ = self.device(Which::Raw).encoder_command(command);
                }
            }
            Step::Give(length, is_damaged) => {
                self.camera.give(Picture { is_damaged, ..Picture::of(vec![1; length]) });
            }
            Step::Lose(count) => self.camera.lose(count),
            Step::Controls(which) => {
                for control in self.device(which).controls().unwrap_or_default() {
                    let value = self.device(which).value(&control).ok().flatten();
                    if let Some(value) = value {
                        let _ = self.device(which).set_value(&control, &value);
                    }
                }
            }
            Step::Fail(which, request) => {
                let name = REQUESTS[usize::from(request) % REQUESTS.len()];
                let errors = Errors { after: 0, times: 1, error: Errno::IO };
                match which {
                    Which::Camera => self.camera.fail(name, errors),
                    Which::Raw | Which::Coded => self.encoder.fail(name, errors),
                }
            }
            Step::Misbehave(misbehaviour) => self.encoder.misbehave(misbehaviour),
            Step::Unplug(Which::Camera) => self.camera.unplug(),
            Step::Unplug(_) => self.encoder.unplug(),
            Step::Start(which)
            | Step::Stop(which)
            | Step::Enqueue(which)
            | Step::Share(which)
            | Step::Dequeue(which)
            | Step::Export(which)
            | Step::Wait(which) => self.take_of_queue(step, which),
        }
    }

    fn take_of_queue(&mut self, step: &Step, which: Which) {
        let Some(queue) = &mut self.queues[which as usize] else { return };
        match step {
            // A format that nobody chose is complained of.
            Step::Start(_) if which != Which::Camera && !self.has_raw_format => {}
            Step::Start(_) => drop(queue.start()),
            Step::Stop(_) => drop(queue.stop()),
            Step::Enqueue(_) => {
                let Some(index) = queue.free() else { return };
                let lengths = (0..queue.planes())
                    .map(|plane| queue.bytes(index, plane).map(|bytes| bytes.len() as u32));
                // Imported or exported: nothing is mapped here.
                let Some(used) = lengths.collect::<Option<Vec<u32>>>() else { return };
                let timestamp = Duration::from_micros(index as u64);
                let done = queue.enqueue(index, Content { used: &used, timestamp, shared: &[] });
                assert_eq!(done.is_ok(), queue.bytes(index, 0).is_none());
            }
            Step::Share(_) => {
                let other = (which as usize + 1) % 3;
                let Some(index) = queue.free() else { return };
                let Some(memory) = self.exported[other].get(index) else { return };
                // The other queue must not have queued the same.
                if self.queues[other].as_ref().is_none_or(|other| other.queued() > 0) {
                    return;
                }
                let Some(queue) = &mut self.queues[which as usize] else { return };
                if queue.bytes(index, 0).is_some() || queue.planes() != 1 {
                    return;
                }
                let length = 6144;
                let shared = [(memory.as_fd(), length)];
                let content = Content { used: &[length], shared: &shared, ..Content::default() };
                let _ = queue.enqueue(index, content);
            }
            Step::Dequeue(_) => {
                let before = queue.queued();
                match queue.dequeue() {
                    Ok(Next::Buffer(buffer)) => {
                        assert_eq!(queue.queued(), before - 1);
                        if let Some(data) = queue.data(&buffer, 0) {
                            assert_eq!(data.len(), buffer.span(0).unwrap().len());
                        }
                    }
                    Ok(Next::NotYet | Next::Drained) | Err(_) => assert_eq!(queue.queued(), before),
                }
            }
            Step::Export(_) => {
                let at = self.exported[which as usize].len();
                if at < queue.len() {
                    self.exported[which as usize].extend(queue.export(at, 0));
                }
            }
            Step::Wait(_) => {
                let interest = Interest { readable: true, writable: true, event: true };
                let wake = Some(self.waker.as_fd());
                let ready = queue.device().wait(interest, wake, Duration::ZERO).unwrap();
                assert!(ready.woken);
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_calls_panics_or_is_complained_of(
        is_multi_planar in any::<bool>(),
        latency in 0_usize..3,
        last in prop_oneof![Just(Last::Picture), Just(Last::Empty)],
        begins in any::<bool>(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(is_multi_planar, latency, last);
        let beginning = if begins { beginning() } else { Vec::new() };
        for step in beginning.iter().chain(&steps) {
            world.take(step);
        }
        let World { kernel, devices, queues, .. } = world;
        drop((queues, devices));
        prop_assert_eq!(kernel.open_files(), 0);
        assert_content(&kernel);
    }
}

const REQUESTS: [&str; 8] = [
    "VIDIOC_QBUF",
    "VIDIOC_DQBUF",
    "VIDIOC_REQBUFS",
    "VIDIOC_STREAMON",
    "VIDIOC_QUERYBUF",
    "VIDIOC_EXPBUF",
    "VIDIOC_S_FMT",
    "VIDIOC_S_EXT_CTRLS",
];
