//! Hands what libFuzzer makes up to [`fuzz::annexb`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::annexb::run(data));
