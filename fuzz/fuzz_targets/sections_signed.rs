#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| savor::fuzzing::run("sections_signed", bytes));
