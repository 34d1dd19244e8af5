//! What the test image has beyond the product: its words of the command line, the table of its tests, soak, benchmarks and
//! range requests of a disk, and network services to be measured.
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
