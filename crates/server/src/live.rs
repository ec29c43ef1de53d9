//! From one publisher to any number of viewers.

pub mod keyframes;
pub mod log;
pub mod mount;
pub mod stages;
pub mod vitals;

pub use mount::{
    Announcement, Condition, Cursor, Demand, Health, Mount, Picture, Publisher, Stage,
};
pub use stages::{Stages, Stamps};
pub use vitals::Vitals;
