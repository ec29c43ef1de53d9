//! Hands what libFuzzer makes up to [`fuzz::parameter_sets`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::parameter_sets::run(data));
