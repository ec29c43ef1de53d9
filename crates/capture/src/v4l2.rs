//! Cameras of the kernel: Video4Linux2.

mod camera;
pub mod choice;

pub use self::camera::Camera;
