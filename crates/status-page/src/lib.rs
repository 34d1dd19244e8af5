//! A status page for a guest whose network is hostile: a request comes in as bytes, an answer goes out as bytes.
//!
//! Three pages: `/` as HTML, `/metrics` in Prometheus' text format, `/facts.json`. Anything else is refused with a status
//! of the 400s and a line of text. The crate has no sockets, no clock and no state: whoever has them limits how long a
//! request may take and how many there are.
//!
//! ```
//! use status_page::{MAX_HEAD, Parsed, Refusal, parse, refuse};
//! assert_eq!(parse(b"GET /metr"), Parsed::Incomplete);
//! let Parsed::Asked(asked) = parse(b"GET /metrics HTTP/1.1\r\nHost: 10.0.2.15\r\n\r\n") else { panic!() };
//! assert!(asked.body);
//! let refused = parse(&[b'x'; MAX_HEAD]);
//! assert_eq!(refused, Parsed::Refused { refusal: Refusal::HeadTooLong, body: true });
//! assert!(refuse(Refusal::HeadTooLong, true).starts_with("HTTP/1.1 431 "));
//! ```
#![no_std]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unwrap_used,
        reason = "a test that panics fails, which is what it is for"
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod escape;
mod html;
mod json;
mod metrics;
mod request;
mod response;
mod status;

pub use request::{MAX_HEAD, MAX_HEADERS, Page, Parsed, Refusal, Request, parse};
pub use response::{refuse, respond};
pub use status::{Device, Fact, Group, Kind, Row, Status, Unit};
