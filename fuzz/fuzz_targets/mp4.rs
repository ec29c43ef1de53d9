//! Hands what libFuzzer makes up to [`fuzz::mp4`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::mp4::run(data));
