//! Hands what libFuzzer makes up to [`fuzz::authorization`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::authorization::run(data));
