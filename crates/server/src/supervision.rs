//! Sources run while they are wanted, and are started again when they fail.
//!
//! ```text
//!  viewers, DESCRIBE ──demand──▶ ┌───────────┐ ──start, stop──▶ Pipeline ─┐
//!  a node appears    ──retry──▶  │ Lifecycle │                            ├─ the one Publisher
//!  Pipeline          ──events─▶  └───────────┘ ──show card────▶ Pipeline ─┘
//! ```
//!
//! The [`Lifecycle`] decides and is pure; the [`keeper`], one task per stream, does what it says.
//! The mount outlives all of it: viewers stay, and see a pause.

pub mod keeper;
pub mod lifecycle;
pub mod nodes;

pub use lifecycle::{Lifecycle, Policy};
