//! The machine's own instructions, shared by boot and kernel.
#![cfg_attr(target_os = "none", no_std)]
