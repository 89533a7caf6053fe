#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| savor_fuzz::index::fuzzing::any(bytes));
