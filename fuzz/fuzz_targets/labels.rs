#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pgn_wgpu::fuzzing::labels(bytes));
