//! Hands what libFuzzer makes up to [`fuzz::packetizer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::packetizer::run(data));
