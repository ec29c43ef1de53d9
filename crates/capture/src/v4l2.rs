//! Cameras of the kernel: Video4Linux2.

pub mod choice;
