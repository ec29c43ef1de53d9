//! Cameras of the kernel: Video4Linux2.

use ::v4l2::{Device, QueueKind};

use self::choice::Offer;

mod camera;
pub mod choice;
mod colours;
pub mod controls;
mod h264;
pub mod mjpeg;
pub mod name;
mod pictures;
pub mod survey;

pub use self::camera::{Camera, Config};

/// All that `queue` of `device` can be set to.
fn offers(device: &Device, queue: QueueKind) -> Result<Vec<Offer>, ::v4l2::Error> {
    let formats = device.formats(queue)?;
    let offer = |pixel_format| Ok(Offer { pixel_format, sizes: device.sizes(pixel_format)? });
    formats.into_iter().map(|format| offer(format.pixel_format)).collect()
}
