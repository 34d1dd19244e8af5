//! A disk that violates the protocol now and then.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::hostile::blk(data));

postern_cases::fuzzed!(
    "RNG-01", "RNG-02", "RNG-03", "RNG-04", "RNG-05", "RNG-07", "RNG-08", "RNG-11", "RNG-13", "NEG-05",
    "NEG-08", "NEG-12", "BLK-01", "BLK-05", "BLK-12"
);
