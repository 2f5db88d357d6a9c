#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fleet_fuzz::phases_and_durations(data));
