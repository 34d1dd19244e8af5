//! Arbitrary bytes as a device tree: guard, machine description, placement.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::hostile::tree(data));

postern_cases::fuzzed!(
    "DT-01", "DT-02", "DT-03", "DT-04", "DT-05", "DT-08", "DT-09", "DT-10", "DT-14", "DT-17", "BAR-05"
);
