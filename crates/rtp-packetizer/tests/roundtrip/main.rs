//! What depacketizers return is what went in: our own strict one, that of the `rtp` crate, and
//! retina's, for any NAL units at any packet size.

mod foreign;
mod generate;
mod own;
