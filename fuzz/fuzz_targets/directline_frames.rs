#![no_main]

// Not in the package's library, whose corpora run as tests of a crate that knows nothing of this.
#[path = "../src/directline_frames.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::directline_frames(data));
