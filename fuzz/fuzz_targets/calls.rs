//! Hypervisor, ultravisor and firmware with arbitrary answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::hostile::calls(data));

postern_cases::fuzzed!("HC-03", "HC-06");
