//! Hands what libFuzzer makes up to [`fuzz::rtsp_request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::rtsp_request::run(data));
