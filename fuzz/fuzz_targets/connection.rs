//! Hands what libFuzzer makes up to [`fuzz::connection`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::connection::run(data));
