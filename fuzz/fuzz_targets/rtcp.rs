//! Hands what libFuzzer makes up to [`fuzz::rtcp`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::rtcp::run(data));
