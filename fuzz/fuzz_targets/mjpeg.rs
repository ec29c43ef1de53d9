//! Hands what libFuzzer makes up to [`fuzz::mjpeg`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::mjpeg::run(data));
