//! One camera, streaming.

use std::{path::Path, sync::Arc, time::Duration};

use ::v4l2::{
    Content, Dequeued, Device, Format, Interest, Intervals, Next, PixelFormat, Queue, QueueKind,
    Size, queue::Clock as BufferClock,
};
use bytes::Bytes;
use media::{
    AccessUnit, Clock, Frame, FramePool, FrameRate, I420Layout, MediaTime,
    convert::{self, Packed, TooShort},
};
use tracing::{debug, info, warn};

use super::choice::{Choice, Offer, Wanted, choose};
use crate::{Captured, Description, Error, Source};

/// A camera that streams from when it is opened until it is dropped.
///
/// Pictures bear the driver's time where it is of CLOCK_MONOTONIC, which is the capture clock; else
/// that of their arrival. A gap in the driver's count is told in the log.
pub struct Camera {
    queue: Queue,
    pictures: Pictures,
    description: Description,
    clock: Arc<dyn Clock>,
    sequence: Option<u32>,
    lost: u64,
    damaged: u64,
}

/// How a buffer becomes what the source gives.
enum Pictures {
    H264,
    Raw { pool: FramePool, planes: Planes },
}

/// Where the samples lie in a buffer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Planes {
    Packed {
        order: Packed,
        stride: usize,
    },
    /// In one piece of memory, or in two.
    Nv12 {
        strides: [usize; 2],
        pieces: usize,
    },
    /// In one piece of memory, or in three.
    I420 {
        strides: [usize; 3],
        pieces: usize,
    },
}

impl Camera {
    /// Chooses what to take by `wanted`, sets `controls` by name, and starts the camera.
    ///
    /// # Errors
    ///
    /// When the device is no camera, cannot give what is wanted, has no such control, or fails.
    pub fn open(
        path: &Path,
        wanted: &Wanted,
        controls: &[(String, String)],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        Self::start(Device::open(path)?, wanted, controls, clock)
    }

    /// The same for a device that is open.
    ///
    /// # Errors
    ///
    /// As [`Camera::open`].
    pub fn start(
        device: Device,
        wanted: &Wanted,
        controls: &[(String, String)],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let unusable = |reason: String| Error::Unusable {
            path: device.path().to_owned(),
            reason: reason.into(),
            remedy: None,
        };
        let Some(kind) = device.capability().camera() else {
            return Err(unusable("it is a video device, but gives no pictures".to_owned()));
        };
        let choice = decide(&device, kind, wanted, unusable)?;
        let asked = Format::new(choice.size, choice.pixel_format);
        let format = device.set_format(kind, &asked)?;
        if format.pixel_format != choice.pixel_format {
            return Err(unusable(format!("asked for {asked}, it gives {format}")));
        }
        // After the format, which sets it back.
        let interval = match choice.interval {
            Some(interval) => device.set_interval(kind, interval)?,
            None => None,
        };
        set_controls(&device, controls, unusable)?;
        let rate = interval.and_then(|i| FrameRate::new(i.denominator, i.numerator));
        let (pictures, description) = pictures(&format, rate).map_err(unusable)?;
        let mut queue = Queue::allocate(&device, kind, BUFFERS)?;
        for index in 0..queue.len() {
            queue.enqueue(index, Content::default())?;
        }
        queue.start()?;
        info!(
            device = %device.path().display(),
            card = device.capability().card,
            %format,
            rate = rate.map(FrameRate::as_f64),
            buffers = queue.len(),
            "camera on"
        );
        let (sequence, lost, damaged) = (None, 0, 0);
        Ok(Self { queue, pictures, description, clock, sequence, lost, damaged })
    }

    /// Pictures that the driver counted and nobody got.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn wait(&mut self) -> Result<Dequeued, Error> {
        let device = self.queue.device().clone();
        let readable = Interest { readable: true, ..Interest::default() };
        loop {
            match self.queue.dequeue()? {
                Next::Buffer(buffer) => return Ok(buffer),
                Next::NotYet => {}
                Next::Drained => return Err(broken(&device, "the driver ended the stream")),
            }
            let ready = device.wait(readable, None, STALL)?;
            if ready.readable {
                continue;
            }
            // What the driver says of an error is said by asking for a buffer once more.
            if ready.error || ready.gone {
                if let Next::Buffer(buffer) = self.queue.dequeue()? {
                    return Ok(buffer);
                }
                return Err(broken(&device, "the driver gave the stream up"));
            }
            let seconds = STALL.as_secs();
            return Err(broken(&device, &format!("no picture came for {seconds} seconds")));
        }
    }

    fn count(&mut self, buffer: &Dequeued) {
        if let Some(last) = self.sequence.replace(buffer.sequence) {
            // A driver that starts its count again has lost nothing.
            let missing = buffer.sequence.wrapping_sub(last).wrapping_sub(1);
            if (1..=LARGEST_GAP).contains(&missing) {
                self.lost += u64::from(missing);
                debug!(missing, lost = self.lost, "the camera has lost pictures");
            }
        }
    }

    /// What is in the buffer; `None` when it cannot be used.
    fn take(&mut self, buffer: &Dequeued) -> Option<Captured> {
        if buffer.is_damaged {
            self.complain("the driver says it is damaged");
            return None;
        }
        let time = match buffer.clock {
            BufferClock::Monotonic => {
                MediaTime::from_nanos(buffer.timestamp.as_nanos().try_into().unwrap_or(u64::MAX))
            }
            BufferClock::Copied | BufferClock::Unknown => self.clock.now(),
        };
        let data = |plane| self.queue.data(buffer, plane).unwrap_or_default();
        match &mut self.pictures {
            Pictures::H264 => {
                let unit = AccessUnit::from_annexb(Bytes::copy_from_slice(data(0)), time);
                Some(Captured::Encoded(unit))
            }
            Pictures::Raw { pool, planes } => {
                // All in use: the one before has not been encoded, and this one is too many.
                let mut frame = pool.take(time)?;
                match convert(*planes, [data(0), data(1), data(2)], &mut frame) {
                    Ok(()) => Some(Captured::Raw(frame)),
                    Err(short) => {
                        self.complain(&short.to_string());
                        None
                    }
                }
            }
        }
    }

    fn complain(&mut self, reason: &str) {
        self.damaged += 1;
        // Cables that lose bits lose many.
        if self.damaged.is_power_of_two() {
            warn!(reason, count = self.damaged, "a picture of the camera cannot be used");
        }
    }
}

impl Source for Camera {
    fn description(&self) -> &Description {
        &self.description
    }

    fn next(&mut self) -> Result<Option<Captured>, Error> {
        loop {
            let buffer = self.wait()?;
            self.count(&buffer);
            let captured = self.take(&buffer);
            self.queue.enqueue(buffer.index, Content::default())?;
            if captured.is_some() {
                return Ok(captured);
            }
        }
    }
}

fn decide(
    device: &Device,
    kind: QueueKind,
    wanted: &Wanted,
    unusable: impl Fn(String) -> Error,
) -> Result<Choice, Error> {
    let mut offers = Vec::new();
    for format in device.formats(kind)? {
        let pixel_format = format.pixel_format;
        offers.push(Offer { pixel_format, sizes: device.sizes(pixel_format)? });
    }
    let intervals = |format: PixelFormat, size: Size| -> Option<Intervals> {
        // A driver that fails here fails again when it is set, and is heard then.
        device.intervals(format, size).ok().flatten()
    };
    let reasoned = choose(&offers, wanted, intervals).map_err(|no| unusable(no.to_string()))?;
    info!(device = %device.path().display(), "{reasoned}");
    Ok(reasoned.choice)
}

fn set_controls(
    device: &Device,
    controls: &[(String, String)],
    unusable: impl Fn(String) -> Error,
) -> Result<(), Error> {
    if controls.is_empty() {
        return Ok(());
    }
    let there = device.controls()?;
    for (name, text) in controls {
        let Some(control) = there.iter().find(|control| control.name() == *name) else {
            let names: Vec<String> = there.iter().map(::v4l2::Control::name).collect();
            return Err(unusable(format!("it has no control {name}, but {}", names.join(", "))));
        };
        let value = control.parse(text).map_err(|wrong| unusable(wrong.to_string()))?;
        device.set_value(control, &value)?;
    }
    Ok(())
}

fn pictures(format: &Format, rate: Option<FrameRate>) -> Result<(Pictures, Description), String> {
    let Size { width, height } = format.size;
    let layout = I420Layout::new(width, height)
        .ok_or_else(|| format!("pictures of {} cannot be streamed", format.size))?;
    let stride = |plane: usize| format.planes.get(plane).map_or(0, |p| p.stride as usize);
    let least = layout.strides();
    let halves = |stride: usize| stride.div_ceil(2);
    let pieces = format.planes.len();
    let planes = match format.pixel_format {
        PixelFormat::H264 => {
            return Ok((Pictures::H264, Description::H264 { parameter_sets: None, rate }));
        }
        PixelFormat::YUYV => {
            let stride = stride(0).max(least[1] * 4);
            Planes::Packed { order: Packed::Yuyv, stride }
        }
        PixelFormat::UYVY => {
            let stride = stride(0).max(least[1] * 4);
            Planes::Packed { order: Packed::Uyvy, stride }
        }
        PixelFormat::NV12 | PixelFormat::NV12M => {
            let luma = stride(0).max(least[1] * 2);
            let chroma = if pieces > 1 { stride(1).max(least[1] * 2) } else { luma };
            Planes::Nv12 { strides: [luma, chroma], pieces }
        }
        PixelFormat::YUV420 | PixelFormat::YUV420M => {
            let luma = stride(0).max(least[0]);
            let chroma = |plane| {
                if pieces > 1 { stride(plane).max(least[1]) } else { halves(luma).max(least[1]) }
            };
            Planes::I420 { strides: [luma, chroma(1), chroma(2)], pieces }
        }
        other => return Err(format!("{other} cannot be decoded yet")),
    };
    let rate = rate.unwrap_or(UNKNOWN_RATE);
    let pool = FramePool::new(layout, FRAMES);
    Ok((Pictures::Raw { pool, planes }, Description::Raw { layout, rate }))
}

/// Fills `frame` from the pieces of memory of a buffer.
fn convert(planes: Planes, data: [&[u8]; 3], frame: &mut Frame) -> Result<(), TooShort> {
    let layout = frame.layout();
    let (widths, rows) = (layout.strides(), layout.rows());
    // One piece after the other, where they are in one.
    let split = |from: usize, at: usize| {
        let short = TooShort { needed: at, length: data[from].len() };
        data[from].split_at_checked(at).ok_or(short)
    };
    match planes {
        Planes::Packed { order, stride } => {
            convert::packed(order, data[0], stride, layout, frame.planes_mut())
        }
        Planes::Nv12 { strides: [luma, chroma], pieces } => {
            let (first, second) =
                if pieces > 1 { (data[0], data[1]) } else { split(0, luma * rows[0])? };
            convert::nv12((first, luma), (second, chroma), layout, frame.planes_mut())
        }
        Planes::I420 { strides, pieces } => {
            let pieces = if pieces > 1 {
                data
            } else {
                let (first, rest) = split(0, strides[0] * rows[0])?;
                let at = strides[1] * rows[1];
                let short = TooShort { needed: at, length: rest.len() };
                let (second, third) = rest.split_at_checked(at).ok_or(short)?;
                [first, second, third]
            };
            let to = frame.planes_mut().into_iter();
            for (plane, to) in to.enumerate() {
                let size = (widths[plane], rows[plane]);
                convert::plane(pieces[plane], strides[plane], size, to)?;
            }
            Ok(())
        }
    }
}

fn broken(device: &Device, reason: &str) -> Error {
    Error::Unusable {
        path: device.path().to_owned(),
        reason: reason.to_owned().into(),
        remedy: None,
    }
}

/// Enough that the driver always has one to fill while one is converted.
const BUFFERS: u32 = 4;
/// One being encoded, one waiting, one being filled.
const FRAMES: usize = 3;
/// No camera takes as long for a picture, not even for the first.
const STALL: Duration = Duration::from_secs(5);
/// A larger gap in the driver's count is another count.
const LARGEST_GAP: u32 = 1 << 16;
/// Of cameras that do not say: what encoders plan with.
const UNKNOWN_RATE: FrameRate = match FrameRate::new(30, 1) {
    Some(rate) => rate,
    None => unreachable!(),
};
