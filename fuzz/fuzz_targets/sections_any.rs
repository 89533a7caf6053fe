#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| savor_fuzz::sections::fuzzing::any(bytes));
