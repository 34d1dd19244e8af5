//! The numbers that QEMU's gdb server gives registers.

use crate::gdb::target::Register;
use crate::gdb::{Client, GdbError};

pub(super) struct RegisterSet {
    /// r3 to r12.
    pub(super) gpr: [Register; 10],
    pub(super) pc: Register,
    pub(super) msr: Register,
    pub(super) srr0: Register,
    pub(super) srr1: Register,
}

impl RegisterSet {
    pub(super) fn find(client: &Client) -> Result<Self, GdbError> {
        const NAMES: [&str; 10] = ["r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12"];
        let mut gpr = [client.register(NAMES[0])?; 10];
        for (register, name) in gpr.iter_mut().zip(NAMES) {
            *register = client.register(name)?;
        }
        Ok(Self {
            gpr,
            pc: client.register("pc")?,
            msr: client.register("msr")?,
            srr0: client.register("srr0")?,
            srr1: client.register("srr1")?,
        })
    }
}
