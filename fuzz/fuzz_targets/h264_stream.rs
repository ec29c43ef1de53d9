//! Hands what libFuzzer makes up to [`fuzz::h264_stream`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::h264_stream::run(data));
