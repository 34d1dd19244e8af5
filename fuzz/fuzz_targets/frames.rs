//! Arbitrary network frames, with correct or wrong checksums.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::hostile::frames(data));

postern_cases::fuzzed!("NET-15");
