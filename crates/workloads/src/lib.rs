//! What the test image adds to the product: its command-line words, the table of its tests, soak, benchmarks and range
//! requests for a disk, and network services for measurements.
#![no_std]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "a test that overflows fails, which is what it is for"
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bench;
pub mod one_way;
pub mod ranges;
pub mod registry;
pub mod soak;
pub mod words;
pub mod work;
