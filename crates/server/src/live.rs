//! From one publisher to any number of viewers.

pub mod health;
pub mod keyframes;
pub mod log;
pub mod mount;
pub mod publisher;
pub mod stages;
pub mod vitals;

pub use health::{Condition, Health};
pub use mount::{Announcement, Cursor, Demand, Mount, Picture, Stage};
pub use publisher::Publisher;
pub use stages::{Stages, Stamps};
pub use vitals::Vitals;
