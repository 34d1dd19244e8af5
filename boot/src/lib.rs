//! From firmware's jump to `kernel_main`: entry in either byte order, relocation, flattening of Open Firmware's tree,
//! and UV_ESM.
//!
//! Apart from relocation, which is undone, code before UV_ESM changes no byte of the image file: its stack and scratch
//! memory lie in `.bss`, the device tree in `.noinit`.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "a test that overflows fails, which is what it is for"
    )
)]

pub mod client_interface;
pub mod fdt_edit;
pub mod fdt_writer;
pub mod flatten;

#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod esm;
#[cfg(target_os = "none")]
mod firmware_tree;
#[cfg(target_os = "none")]
mod open_firmware;
#[cfg(target_os = "none")]
mod stop;
