#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| savor::fuzzing::run("rows", bytes));
