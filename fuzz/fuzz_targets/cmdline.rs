//! Arbitrary bytes as a command line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::hostile::cmdline(data));

postern_cases::fuzzed!("DT-10", "DT-18");
