//! From one publisher to any number of viewers.

pub mod keyframes;
pub mod log;
pub mod mount;
pub mod stages;

pub use log::Cursor;
pub use mount::{Announcement, Mount, Picture, Publisher, Stage};
pub use stages::{Stages, Stamps};
