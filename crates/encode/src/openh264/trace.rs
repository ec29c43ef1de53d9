//! Keeps the library from printing to standard error.
//!
//! While it starts up it warns that the bitrate cannot be kept to without skipping pictures, which
//! measurement contradicts. The safe API sets the level of its messages only afterwards, so this
//! one option is set through the raw API: the only unsafe code of this crate.
#![allow(unsafe_code)]

use std::os::raw::c_int;

use openh264::encoder::Encoder;
use openh264_sys2::{ENCODER_OPTION_TRACE_LEVEL, WELS_LOG_QUIET};

/// To be called before the first picture. The library goes on talking if it does not take the
/// option, which harms nobody.
pub(super) fn silence(library: &mut Encoder) {
    let mut level = WELS_LOG_QUIET as c_int;
    // SAFETY: `raw_api` asks that the encoder is not left in a state its wrapper does not expect;
    // the wrapper itself sets this option, at any time. The library reads one `int` through the
    // pointer before it returns (codec_api.h, ENCODER_OPTION_TRACE_LEVEL), and `level` outlives
    // the call.
    unsafe {
        library.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast());
    }
}
