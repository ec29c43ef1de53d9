//! A camera that gives the pictures it is told to.

mod state;

use std::{fmt, time::Duration};

use super::{Errors, Kernel, controls::Setting, formats::Alignment, node::Unit};
use crate::{Format, Interval, PixelFormat, Size, Sizes, format::Color};

pub(super) use self::state::State;

/// What a camera is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Default: `fake_camera`.
    pub driver: String,
    /// Default: `Fake Camera`.
    pub card: String,
    /// Default: `platform:fake`.
    pub bus: String,
    /// Which API it has; default: single-planar.
    pub is_multi_planar: bool,
    /// What it gives, the default first. Default: YUYV of 640x480 and 320x240.
    pub modes: Vec<Mode>,
    /// Default: none.
    pub settings: Vec<Setting>,
    /// Default: none.
    pub alignment: Alignment,
    /// Colours of all pictures; default: unknown.
    pub color: Color,
    /// Buffers it needs before it starts; default: 1.
    pub least_buffers: u32,
    /// Whether others' memory can be given to it; default: yes.
    pub imports: bool,
    /// Whether buffers that are still mapped can be given up, as since Linux 4.20; default: yes.
    pub orphans: bool,
}

/// Sizes of a format, and how fast they come.
#[derive(Clone, Debug)]
pub struct Mode {
    /// Which one; it may have several modes.
    pub pixel_format: PixelFormat,
    /// Those there are, the default first.
    pub sizes: Sizes,
    /// Those there are, the default first; none means that the driver does not tell.
    pub intervals: Vec<Interval>,
}

/// A picture for a buffer.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// What is in each plane; what does not fit is cut off.
    pub planes: Vec<Vec<u8>>,
    /// By CLOCK_MONOTONIC; by itself a frame interval after the one before.
    pub timestamp: Option<Duration>,
    /// By itself one more than the one before.
    pub sequence: Option<u32>,
    /// Whether the driver says that it is.
    pub is_damaged: bool,
}

impl Config {
    /// One of `modes`, with everything else by default.
    pub fn of(modes: Vec<Mode>) -> Self {
        Self { modes, ..Self::default() }
    }
}

impl Default for Config {
    fn default() -> Self {
        let sizes = [(640, 480), (320, 240)].map(|(width, height)| Size { width, height });
        let intervals = [30, 15].map(|denominator| Interval { numerator: 1, denominator });
        let yuyv = Mode {
            pixel_format: PixelFormat::YUYV,
            sizes: Sizes::Discrete(sizes.to_vec()),
            intervals: intervals.to_vec(),
        };
        Self {
            driver: "fake_camera".to_owned(),
            card: "Fake Camera".to_owned(),
            bus: "platform:fake".to_owned(),
            is_multi_planar: false,
            modes: vec![yuyv],
            settings: Vec::new(),
            alignment: Alignment::default(),
            color: Color::default(),
            least_buffers: 1,
            imports: true,
            orphans: true,
        }
    }
}

impl Picture {
    /// One in a single plane.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self { planes: vec![bytes], ..Self::default() }
    }
}

/// What a camera does, told by a test. Clones are of the same camera.
#[derive(Clone)]
pub struct Camera {
    kernel: Kernel,
    node: usize,
}

impl Camera {
    pub(super) fn new(kernel: Kernel, node: usize) -> Self {
        Self { kernel, node }
    }

    /// Gives a picture as soon as it streams and has a buffer; after those given before.
    pub fn give(&self, picture: Picture) {
        self.change(|state| state.script.push_back(state::Step::Picture(picture)));
    }

    /// Loses pictures: the count goes on without them.
    pub fn lose(&self, count: u32) {
        self.change(|state| state.script.push_back(state::Step::Lost(count)));
    }

    /// Gives pictures without end, one when the one before was dequeued: `make` is told how many
    /// there were, and the format.
    pub fn always(&self, make: impl FnMut(u32, &Format) -> Picture + Send + 'static) {
        self.change(|state| state.always = Some((0, Box::new(make))));
    }

    /// From now on nothing comes that was not given before, and whoever waits for more is told at
    /// once that the time is over.
    pub fn stall(&self) {
        self.change(|state| {
            state.always = None;
            state.is_stalled = true;
        });
    }

    /// Takes the device away: all who have it open get errors, and nobody can open it again.
    pub fn unplug(&self) {
        self.kernel.unplug(self.node);
    }

    /// Has a request fail; `name` is as `VIDIOC_QBUF`.
    pub fn fail(&self, name: &'static str, errors: Errors) {
        self.kernel.fail(self.node, name, errors);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.kernel.change(self.node, |unit| {
            if let Unit::Camera(state) = unit {
                change(state);
                state.advance();
            }
        });
    }
}

impl fmt::Debug for Camera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Camera").field(&self.node).finish()
    }
}
