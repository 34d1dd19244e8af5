#![doc = include_str!("../README.md")]
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
