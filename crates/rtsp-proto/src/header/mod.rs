//! Typed headers, one file each.

pub mod authorization;
