//! A guest that is about to be entered after UV_ESM: its memory and registers, as a host could have left them.

use super::{Order, Server};
use crate::ultravisor::UvError;
use crate::ultravisor::condition::Poison;
use crate::ultravisor::esm::{EsmReport, read_tree};
use crate::ultravisor::{poison, publish};

/// What the call defines is left out: r3, r4 and r5.
const REGISTERS: &[&str] = &[
    "r0", "r1", "r2", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "r16", "r17", "r18",
    "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29", "r30", "r31", "lr", "ctr",
    "xer", "cr", "fpscr", "f0", "f1", "f7", "f31", "vr0", "vr20", "vr31", "vscr", "vrsave", "sprg0", "sprg1",
    "sprg2", "sprg3", "sprg4", "sprg5", "sprg6", "sprg7", "srr0", "srr1", "dar", "dsisr", "dscr", "dscr3",
    "pidr", "tidr", "amr", "iamr", "uamor", "tar", "ebbhr", "ebbrr", "bescr", "wort", "pspb", "ctrl",
    "tfhar", "tfiar", "texasr", "siar", "sdar", "sier",
];

impl Server {
    /// The tree is not measured: whatever the host writes there until UV_ESM is what is read.
    pub(super) fn change_boot_cpu(&mut self, tree: u64) -> Result<(), UvError> {
        const BOOT_CPU: u64 = 28;
        let Some(cpu) = self.faults.conditions.boot_cpu else { return Ok(()) };
        let at = tree.saturating_add(BOOT_CPU);
        self.ram.write(at, &cpu.to_be_bytes()).map_err(UvError::Ram)?;
        Ok(())
    }

    /// What memory and registers are like when the guest is entered, and where that is.
    pub(super) fn prepare_entry(&mut self, order: Order, kernel_base: u64) -> Result<u64, UvError> {
        let conditions = &self.faults.conditions;
        let (poison, pc) = (conditions.poison, conditions.enter_at.unwrap_or(kernel_base));
        if let Some((poison, report)) = poison.zip(self.machine.esm.last().cloned()) {
            self.poison(order, poison, &report)?;
        }
        // UV_ESM forgot the marks of whoever looks there at the end.
        publish::mark(&self.ram, &self.reserve).map_err(UvError::Ram)?;
        self.forget_translations()?;
        Ok(pc)
    }

    /// The ultravisor is no more, and the machine with it.
    pub(super) fn end_machine(&mut self) -> Result<(), UvError> {
        self.client.monitor("quit")?;
        Ok(())
    }

    /// What a host could have left in memory and registers.
    fn poison(&mut self, order: Order, poison: Poison, report: &EsmReport) -> Result<(), UvError> {
        let tree = read_tree(&self.ram, report.fdt).map_err(UvError::Ram)?.ok();
        let token = tree.as_ref().and_then(|tree| tree.node("/rtas")).and_then(|rtas| rtas.cell("power-off"));
        poison::spread(&self.ram, &self.map, poison, report, token.unwrap_or(0)).map_err(UvError::Ram)?;
        let value = match poison {
            Poison::Byte(byte) => u64::from_be_bytes([byte; 8]),
            Poison::HostCode => poison::ENTRY,
        };
        for name in REGISTERS {
            // The list is of more CPUs than this one.
            let Ok(register) = self.client.register(name) else { continue };
            let bytes: Vec<u8> = order.encode(value).into_iter().cycle().take(register.bytes).collect();
            self.client.write_register(register, &bytes)?;
        }
        Ok(())
    }

    /// Memory was changed behind QEMU's back: what it has translated is
    /// thrown away, as it does for a breakpoint.
    fn forget_translations(&mut self) -> Result<(), UvError> {
        const NOWHERE: u64 = 4;
        self.client.set_breakpoint(NOWHERE)?;
        self.client.clear_breakpoint(NOWHERE)?;
        Ok(())
    }
}
