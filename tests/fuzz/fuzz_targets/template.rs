#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| keysluice_fuzz_checks::template(bytes));
