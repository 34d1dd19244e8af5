//! QEMU: its command line, its process, its monitor.

pub mod command;
pub mod machine_shape;
pub mod monitor;
pub mod process;
pub mod whole_vm;
