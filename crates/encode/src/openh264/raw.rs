//! What the safe API of the library does not offer: the only unsafe code of this crate.
#![allow(unsafe_code)]

use std::os::raw::c_int;

use openh264::encoder::Encoder;
use openh264_sys2::{
    ENCODER_OPTION_BITRATE, ENCODER_OPTION_MAX_BITRATE, ENCODER_OPTION_TRACE_LEVEL, SBitrateInfo,
    SPATIAL_LAYER_0, WELS_LOG_QUIET,
};

/// Keeps the library from printing to standard error. To be called before the first picture: while
/// it starts up it warns that the bitrate cannot be kept to without skipping pictures, which
/// measurement contradicts, and the safe API sets the level of its messages only afterwards.
///
/// The library goes on talking if it does not take the option, which harms nobody.
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

/// Changes the target, in bits per second; not before the first picture.
///
/// # Errors
///
/// The library's code, when it refuses.
pub(super) fn set_bitrate(library: &mut Encoder, bitrate: u32, is_raised: bool) -> Result<(), i32> {
    // Of the one layer there is: its target may never exceed its maximum, which the wrapper sets to
    // the same.
    let options = [ENCODER_OPTION_MAX_BITRATE, ENCODER_OPTION_BITRATE];
    let order = if is_raised { [0, 1] } else { [1, 0] };
    for option in order.map(|index| options[index]) {
        let mut info = SBitrateInfo {
            iLayer: SPATIAL_LAYER_0,
            iBitrate: bitrate.try_into().unwrap_or(c_int::MAX),
        };
        // SAFETY: the wrapper keeps no bitrate that this could contradict, but its configuration,
        // which it uses when the size of pictures changes, and then anew as here. The library reads
        // one `SBitrateInfo` through the pointer before it returns (codec_api.h), and `info`
        // outlives the call.
        let code = unsafe { library.raw_api().set_option(option, (&raw mut info).cast()) };
        if code != 0 {
            return Err(code);
        }
    }
    Ok(())
}
