#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pipeway_fuzz::mux_connection(data));
