//! A ring whose every byte the device may change between any two looks.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::hostile::ring(data));

postern_cases::fuzzed!("RNG-01", "RNG-02", "RNG-03", "RNG-04", "RNG-05", "RNG-07", "RNG-11", "RNG-13");
