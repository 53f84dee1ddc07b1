#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pipeway_fuzz::answer_head(data));
