//! Hypervisor, ultravisor and firmware that answer anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::hostile::calls(data));

postern_cases::fuzzed!("HC-03", "HC-06");
