//! From firmware's jump to `kernel_main`.
#![cfg_attr(target_os = "none", no_std)]

#[cfg(target_os = "none")]
mod entry;
