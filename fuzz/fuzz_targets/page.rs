//! Arbitrary bytes as a request for the status page: there is an answer, and it does not depend on how the bytes are split.
#![no_main]

use status_page::{MAX_HEAD, Parsed, parse, refuse};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let whole = parse(data);
    let first = (0..=data.len()).map(|len| parse(&data[..len])).find(|at| *at != Parsed::Incomplete);
    assert_eq!(first.unwrap_or(Parsed::Incomplete), whole);
    assert!(data.len() < MAX_HEAD || whole != Parsed::Incomplete);
    if let Parsed::Refused { refusal, body } = whole {
        assert!(refuse(refusal, body).starts_with("HTTP/1.1 4"));
    }
});

postern_cases::fuzzed!("NET-30");
