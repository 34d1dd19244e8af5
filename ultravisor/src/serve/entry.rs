//! Prepares the entry of a guest after UV_ESM: memory and registers as a hostile host could have left them.

use super::attacks::HANDLER_MSR;
use super::order::Order;
use super::{Server, msr};
use crate::UvError;
use crate::condition::Poison;
use crate::esm::{EsmReport, read_tree};
use crate::gdb::{GdbError, Stop};
use crate::{poison, publish, sites};

/// All general, floating-point and vector registers but r3, r4 and r5, which UV_ESM defines, and the special purpose
/// registers that a guest can write. Without those of the clock and of the hypervisor. QEMU 7.2's names.
const REGISTERS: &[&str] = &[
    "r0", "r1", "r2", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "r16", "r17", "r18",
    "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29", "r30", "r31", "lr", "ctr",
    "xer", "cr", "fpscr", "vscr", "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11",
    "f12", "f13", "f14", "f15", "f16", "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25", "f26",
    "f27", "f28", "f29", "f30", "f31", "vr0", "vr1", "vr2", "vr3", "vr4", "vr5", "vr6", "vr7", "vr8", "vr9",
    "vr10", "vr11", "vr12", "vr13", "vr14", "vr15", "vr16", "vr17", "vr18", "vr19", "vr20", "vr21", "vr22",
    "vr23", "vr24", "vr25", "vr26", "vr27", "vr28", "vr29", "vr30", "vr31", "vrsave", "sprg0", "sprg1",
    "sprg2", "sprg3", "srr0", "srr1", "dar", "dsisr", "pid", "tidr", "spr_dscr", "amr", "iamr", "uamor",
    "tar", "ebbhr", "ebbrr", "bescr", "pspb", "wort", "spr_ctrl", "sier", "siar", "sdar", "ciabr", "dawr0",
];
/// Registers that only some CPUs have: transactional memory, and ACOP, which no CPU has in QEMU 10.0.
const OF_SOME: &[&str] = &["tfhar", "tfiar", "texasr", "acop"];

impl Server {
    /// Changes the boot CPU in the tree's header. The tree is not measured, so UV_ESM reads what the host wrote last.
    pub(super) fn change_boot_cpu(&mut self, tree: u64) -> Result<(), UvError> {
        const BOOT_CPU: u64 = 28;
        let Some(cpu) = self.faults.conditions.boot_cpu else { return Ok(()) };
        let at = tree.saturating_add(BOOT_CPU);
        self.ram.write(at, &cpu.to_be_bytes()).map_err(UvError::Ram)?;
        Ok(())
    }

    /// Sets memory and registers for the entry of the guest, and returns the address of the entry.
    pub(super) fn prepare_entry(&mut self, order: Order, kernel_base: u64) -> Result<u64, UvError> {
        let conditions = &self.faults.conditions;
        let (poison, pc) = (conditions.poison, conditions.enter_at.unwrap_or(kernel_base));
        if let Some((poison, report)) = poison.zip(self.machine.esm.last().cloned()) {
            self.poison(order, poison, &report)?;
        }
        // UV_ESM cleared the marks that a test checks at the end.
        publish::mark(&self.ram, &self.reserve).map_err(UvError::Ram)?;
        self.forget_translations()?;
        if self.faults.conditions.exit.is_some() {
            let image = self.ram.read(kernel_base, self.machine.image_span()).map_err(UvError::Ram)?;
            let calls = sites::find(kernel_base, &image.unwrap_or_default());
            self.exits = calls.into_iter().map(|site| site.at).collect();
            for at in self.exits.clone() {
                self.client.set_breakpoint(at)?;
            }
        }
        Ok(pc)
    }

    /// Makes the first hypercall, and resumes the guest in a vector: SRR0 and SRR1 hold the interrupted state, MSR is that
    /// of `uv_return`.
    pub(super) fn first_exit(&mut self, order: Order, thread: &str) -> Result<(), UvError> {
        let slot = self.faults.conditions.exit.unwrap_or_default();
        for at in std::mem::take(&mut self.exits) {
            if !self.tap.is_watched(at) {
                self.client.clear_breakpoint(at)?;
            }
        }
        if let Stop::Exited = self.client.step(thread)? {
            return Err(GdbError::Gone.into());
        }
        let (pc, msr) = (self.read(order, self.registers.pc)?, self.read(order, self.registers.msr)?);
        self.write(order, self.registers.srr0, pc)?;
        self.write(order, self.registers.srr1, msr)?;
        self.write(order, self.registers.pc, slot)?;
        Ok(self.write(order, self.registers.msr, HANDLER_MSR | msr & msr::LE)?)
    }

    /// Ends the machine, as an ultravisor that dies does.
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
        let of_some: Vec<_> = OF_SOME.iter().filter_map(|name| self.client.register(name).ok()).collect();
        let named = REGISTERS.iter().map(|name| self.client.register(name));
        let registers = named.chain(of_some.into_iter().map(Ok)).collect::<Result<Vec<_>, _>>()?;
        for register in registers {
            let bytes: Vec<u8> = order.encode(value).into_iter().cycle().take(register.bytes).collect();
            self.client.write_register(register, &bytes)?;
        }
        Ok(())
    }

    /// Makes QEMU discard its translated code, because memory was changed behind its back. Setting a breakpoint does that.
    pub(super) fn forget_translations(&mut self) -> Result<(), UvError> {
        const NOWHERE: u64 = 4;
        self.client.set_breakpoint(NOWHERE)?;
        self.client.clear_breakpoint(NOWHERE)?;
        Ok(())
    }
}
