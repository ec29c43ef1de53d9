//! What depacketizers return is what went in: our own strict one, that of the `rtp` crate, and
//! retina's, for any NAL units at any packet size.

mod foreign;
mod generate;
mod own;

// `testkit` depends on this crate; its depacketizer is taken from its place in the source tree, so
// that the test of the one needs no build of the other.
#[allow(dead_code, unreachable_pub)]
#[path = "../../../testkit/src/depacketizer.rs"]
mod depacketizer;
