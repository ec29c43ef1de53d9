//! Hands what libFuzzer makes up to [`fuzz::live_log`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::live_log::run(data));
