//! Hands what libFuzzer makes up to [`fuzz::headers`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::headers::run(data));
