//! A network card that violates the protocol now and then.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::hostile::net(data));

postern_cases::fuzzed!(
    "RNG-08", "NEG-12", "NET-01", "NET-02", "NET-03", "NET-05", "NET-06", "NET-07", "NET-20"
);
