//! An H.264 encoder that works from memory to memory, as "Memory-to-Memory Stateful Video Encoder
//! Interface" of the kernel's documentation has it, and misbehaves when told to.
//!
//! What comes out decodes to the input, bit for bit.

pub(super) mod context;

use std::{fmt, sync::Arc};

use super::{Errors, Kernel, controls::Setting, formats::Alignment, node::Unit};
use crate::{
    PixelFormat, Size,
    uapi::{self, control as ctl},
};

/// What an encoder is. By default it is like a Raspberry Pi's.
#[derive(Clone, Debug)]
pub struct Config {
    /// Default: `fake_encoder`.
    pub driver: String,
    /// Default: `Fake H.264 Encoder`.
    pub card: String,
    /// Default: `platform:fake`.
    pub bus: String,
    /// Which API it has; default: multi-planar.
    pub is_multi_planar: bool,
    /// What it takes; default: YU12, NV12, YUYV, UYVY.
    pub formats: Vec<PixelFormat>,
    /// Default: 32x32.
    pub least: Size,
    /// Default: 1920x1920.
    pub most: Size,
    /// Of raw pictures; default: 32 bytes, 2 rows.
    pub alignment: Alignment,
    /// Default: [`settings`] with [`Period::IPeriod`].
    pub settings: Vec<Setting>,
    /// Whether others' memory can be given to it; default: yes.
    pub imports: bool,
    /// Whether the SPS says that nothing is reordered; default: no.
    pub has_restriction: bool,
    /// Pictures that must follow before one comes out; default: 0.
    pub latency: usize,
    /// What the end of a drained stream is said with; default: the last picture.
    pub last: Last,
    /// Buffers of either queue that it needs before it starts, raw and coded; default: 1. To be told
    /// by [`Config::settings`], too.
    pub least_buffers: [u32; 2],
    /// Bytes of a coded buffer that it asks for; default: by the size of the picture.
    pub coded_size: Option<u32>,
}

/// How GOPs are set.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Period {
    /// By V4L2_CID_MPEG_VIDEO_H264_I_PERIOD.
    IPeriod,
    /// By V4L2_CID_MPEG_VIDEO_GOP_SIZE.
    GopSize,
}

/// What bears the flag LAST.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// The last picture; an empty buffer only when all pictures had come out.
    Picture,
    /// An empty buffer after it.
    Empty,
    /// The last picture, which comes only when the event that tells the end was taken, and a buffer
    /// was asked for in vain: some drivers tell it in between. Without the event as `Picture`.
    AfterEvent,
}

/// What it does wrong; by default nothing.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Misbehaviour {
    /// After so many pictures nothing goes in or comes out any more, and whoever waits is told at
    /// once that the time is over.
    pub stall_after: Option<u32>,
    /// Every picture of this number, from 1 on, comes back with nothing made of it.
    pub drop_every: Option<u32>,
    /// Every coded buffer of this number is flagged as damaged, and half of it is missing.
    pub damage_every: Option<u32>,
    /// Which pictures it says are key pictures.
    pub key_flags: KeyFlags,
    /// When it leaves SPS and PPS out.
    pub headers: Headers,
    /// A stream begins with whatever comes, unless a key picture was asked for.
    pub begins_anywhere: bool,
    /// FORCE_KEY_FRAME does nothing.
    pub ignores_force: bool,
}

/// Which pictures are said to be key pictures.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyFlags {
    /// Those that are.
    #[default]
    Right,
    /// None.
    Never,
    /// All.
    Always,
    /// Those that are not.
    Swapped,
}

/// When SPS and PPS come.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Headers {
    /// As the controls say.
    #[default]
    AsTold,
    /// With the first picture of a stream alone, whatever the controls say.
    PerStart,
    /// With the first picture since it was opened alone.
    PerOpen,
    /// With none.
    Never,
}

/// The controls of a Raspberry Pi's encoder, but for those without meaning here.
pub fn settings(period: Period) -> Vec<Setting> {
    let (period, label) = match period {
        Period::IPeriod => (ctl::V4L2_CID_MPEG_VIDEO_H264_I_PERIOD, "H264 I-Frame Period"),
        Period::GopSize => (ctl::V4L2_CID_MPEG_VIDEO_GOP_SIZE, "Video GOP Size"),
    };
    let button = crate::ControlKind::Button;
    let kbit = |minimum: i64, maximum: i64, default: i64| crate::ControlKind::Integer {
        minimum: minimum * 1000,
        maximum: maximum * 1000,
        step: 25_000,
        default: default * 1000,
        is_wide: false,
    };
    vec![
        Setting::integer(ctl::V4L2_CID_MPEG_VIDEO_B_FRAMES, "Video B Frames", (0, 0), 0),
        Setting::menu(
            ctl::V4L2_CID_MPEG_VIDEO_BITRATE_MODE,
            "Video Bitrate Mode",
            &["Variable Bitrate", "Constant Bitrate"],
            0,
        ),
        Setting::new(ctl::V4L2_CID_MPEG_VIDEO_BITRATE, "Video Bitrate", kbit(25, 25_000, 10_000)),
        Setting::menu(
            ctl::V4L2_CID_MPEG_VIDEO_HEADER_MODE,
            "Sequence Header Mode",
            &["Separate Buffer", "Joined With 1st Frame"],
            1,
        ),
        Setting::boolean(
            ctl::V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER,
            "Repeat Sequence Header",
            false,
        ),
        Setting::new(ctl::V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, "Force Key Frame", button),
        Setting::integer(
            ctl::V4L2_CID_MPEG_VIDEO_H264_MIN_QP,
            "H264 Minimum QP Value",
            (0, 51),
            20,
        ),
        Setting::integer(
            ctl::V4L2_CID_MPEG_VIDEO_H264_MAX_QP,
            "H264 Maximum QP Value",
            (0, 51),
            51,
        ),
        Setting::integer(period, label, (0, i32::MAX.into()), 60),
        Setting::menu(
            ctl::V4L2_CID_MPEG_VIDEO_H264_LEVEL,
            "H264 Level",
            &LEVELS.map(|(name, _)| name),
            11,
        ),
        Setting::menu(
            ctl::V4L2_CID_MPEG_VIDEO_H264_PROFILE,
            "H264 Profile",
            &["Baseline", "Constrained Baseline", "Main", "", "High"],
            4,
        ),
    ]
}

impl Default for Config {
    fn default() -> Self {
        Self {
            driver: "fake_encoder".to_owned(),
            card: "Fake H.264 Encoder".to_owned(),
            bus: "platform:fake".to_owned(),
            is_multi_planar: true,
            formats: vec![
                PixelFormat::YUV420,
                PixelFormat::NV12,
                PixelFormat::YUYV,
                PixelFormat::UYVY,
            ],
            least: Size { width: 32, height: 32 },
            most: Size { width: 1920, height: 1920 },
            alignment: Alignment { stride: 32, height: 2 },
            settings: settings(Period::IPeriod),
            imports: true,
            has_restriction: false,
            latency: 0,
            last: Last::Picture,
            least_buffers: [1, 1],
            coded_size: None,
        }
    }
}

/// What an encoder does, told by a test. Clones are of the same encoder.
#[derive(Clone)]
pub struct Encoder {
    kernel: Kernel,
    node: usize,
}

impl Encoder {
    pub(super) fn new(kernel: Kernel, node: usize) -> Self {
        Self { kernel, node }
    }

    /// Has it misbehave from now on, or behave again.
    pub fn misbehave(&self, misbehaviour: Misbehaviour) {
        self.kernel.change(self.node, |unit| {
            if let Unit::Encoder(shared) = unit {
                shared.misbehaviour = misbehaviour;
            }
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
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encoder").field(&self.node).finish()
    }
}

/// What all who have an encoder open share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) misbehaviour: Misbehaviour,
}

impl Shared {
    pub(super) fn new(config: Config) -> Self {
        Self { config: Arc::new(config), misbehaviour: Misbehaviour::default() }
    }

    /// V4L2_CAP_* of the node.
    pub(super) fn capabilities(&self) -> u32 {
        match self.config.is_multi_planar {
            true => uapi::V4L2_CAP_VIDEO_M2M_MPLANE,
            false => uapi::V4L2_CAP_VIDEO_M2M,
        }
    }
}

/// The menu of levels, with `level_idc`.
pub(super) const LEVELS: [(&str, u8); 16] = [
    ("1", 10),
    ("1b", 9),
    ("1.1", 11),
    ("1.2", 12),
    ("1.3", 13),
    ("2", 20),
    ("2.1", 21),
    ("2.2", 22),
    ("3", 30),
    ("3.1", 31),
    ("3.2", 32),
    ("4", 40),
    ("4.1", 41),
    ("4.2", 42),
    ("5", 50),
    ("5.1", 51),
];
