//! Config space, capabilities and BARs with arbitrary and changing values.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::hostile::pci(data));

postern_cases::fuzzed!(
    "CAP-01", "CAP-04", "CAP-05", "CAP-07", "CAP-09", "CAP-11", "BAR-03", "BAR-05", "HC-08"
);
