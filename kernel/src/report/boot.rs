//! The steps of the boot, as the summary shows them.

use super::Report;
use crate::arch::cpus::Online;
use crate::arch::nmi::Handlers;
use crate::memory::layout;
use crate::memory::open::Pool;
use alloc::format;
use alloc::string::String;
use core::fmt::{Display, Write};
use postern_core::entropy::Sources;
use postern_core::facts;
use postern_core::secure::{Decision, Mode, SecureKind};
use pseries_tree::Machine;
use pseries_tree::early::Entry;

/// A number of bytes with the largest unit that divides it.
pub fn size(bytes: u64) -> String {
    match bytes {
        whole if whole >= 1 << 30 && whole.is_multiple_of(1 << 30) => format!("{} GiB", whole >> 30),
        whole if whole >= 1 << 20 && whole.is_multiple_of(1 << 20) => format!("{} MiB", whole >> 20),
        whole if whole >= 1 << 10 && whole.is_multiple_of(1 << 10) => format!("{} KiB", whole >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

impl Report {
    /// Image, firmware, CPU, entry and memory, and the warnings about the tree.
    pub fn machine(&mut self, image: &str, machine: &Machine) {
        for warning in machine.warnings.list() {
            log::warn!("device tree: {warning}");
        }
        if machine.warnings.left_out() > 0 {
            log::warn!("device tree: {} more oddities", machine.warnings.left_out());
        }
        let firmware = match (&machine.firmware, machine.entry) {
            (Some(name), _) => name as &dyn Display,
            (None, Entry::Slof) => &"SLOF",
            (None, Entry::Vof) => &"VOF",
            (None, Entry::Fdt) => &"none, a flattened tree was handed over",
        };
        let build = layout::build_id().iter().fold(String::new(), |mut hex, byte| {
            // A string takes everything.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        self.step("image", format_args!("{image} {}, build {build}", env!("CARGO_PKG_VERSION")));
        self.fact(facts::boot::IMAGE_NAME, image);
        self.fact(facts::boot::IMAGE_BUILD, build);
        let cas = machine.cas.word();
        self.step("firmware", format_args!("{firmware}; entered by {}; negotiation: {cas}", machine.entry));
        self.fact(facts::boot::FIRMWARE_CAS, cas);
        self.fact(facts::boot::ENTRY, machine.entry);
        let cpus = &machine.cpus;
        let version = postern_arch::pvr();
        self.step(
            "cpu",
            format_args!(
                "{} (PVR {version:#010x}), {} thread{}, timebase {} MHz",
                cpus.model,
                cpus.servers.len(),
                if cpus.servers.len() == 1 { "" } else { "s" },
                cpus.timebase_hz / 1_000_000
            ),
        );
        self.fact(facts::boot::CPU_PVR, format_args!("{version:#010x}"));
        self.fact(facts::boot::CPU_THREADS, cpus.servers.len());
        self.fact(facts::boot::MEMORY_BYTES, machine.memory_bytes());
        let image = layout::image();
        self.step(
            "memory",
            format_args!(
                "{} in {} region{}; image at {:#x}",
                size(machine.memory_bytes()),
                machine.memory.len(),
                if machine.memory.len() == 1 { "" } else { "s" },
                image.start.0,
            ),
        );
    }

    /// The sources of random numbers.
    pub fn entropy(&mut self, sources: Sources) {
        self.fact(facts::boot::ENTROPY, sources);
    }

    /// Who handles a system reset or machine check.
    pub fn handlers(&mut self, handlers: Handlers) {
        match handlers {
            Handlers::Registered(area) => {
                self.fact(facts::boot::NMI_HANDLERS, "registered");
                self.fact_now(facts::boot::NMI_AREA, format_args!("{:#x}", area.start.0));
            }
            Handlers::Vectors => self.fact(facts::boot::NMI_HANDLERS, "vectors"),
        }
    }

    /// The mode, and why it was chosen.
    pub fn mode(&mut self, mode: Mode, decision: &Decision, machine: &Machine) {
        self.step("mode", format_args!("{mode}: {decision}"));
        self.fact(facts::boot::MODE, mode);
        if let (Mode::Secure(kind), Some(base)) = (mode, machine.esm_base) {
            let by = match kind {
                SecureKind::Hardware => "the ultravisor",
                SecureKind::Emulated => "an emulated ultravisor",
            };
            self.step(
                "UV_ESM",
                format_args!(
                    "image at {base:#x} measured and entered by {by}; {} ranges reserved",
                    machine.reserved.len()
                ),
            );
            self.fact(facts::boot::ESM_BASE, format_args!("{base:#x}"));
        }
    }

    /// The CPUs that run.
    pub fn cpus(&mut self, cpus: Online) {
        if cpus.online > 1 {
            let Online { online, answered, .. } = cpus;
            self.step("cpus", format_args!("{online} online, {answered} of them woken by a request"));
        }
        self.fact(facts::boot::CPU_ONLINE, cpus.online);
        self.fact(facts::boot::CPU_ANSWERED, cpus.answered);
        self.fact(facts::boot::CPU_VECTORS, cpus.vectors);
    }

    /// The pool, or that there is none.
    pub fn memory(&mut self, pool: Option<&Pool>) {
        match pool {
            Some(pool) => {
                let range = pool.range();
                self.step(
                    "pool",
                    format_args!(
                        "{:#x}, {}: {} frames shared by {} ultracall{}, every byte verified",
                        range.start.0,
                        size(range.len),
                        pool.frames(),
                        pool.ultracalls(),
                        if pool.ultracalls() == 1 { "" } else { "s" },
                    ),
                );
                self.fact(facts::pool::BASE, format_args!("{:#x}", range.start.0));
                self.fact(facts::pool::BYTES, range.len);
                self.fact(facts::pool::FRAMES, pool.frames());
            }
            None => self.step("pool", "none: devices use private memory directly"),
        }
    }
}
