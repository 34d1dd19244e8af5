//! A ring in which the device may change every byte between two reads.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::hostile::ring(data));

postern_cases::fuzzed!("RNG-01", "RNG-02", "RNG-03", "RNG-04", "RNG-05", "RNG-07", "RNG-11", "RNG-13");
