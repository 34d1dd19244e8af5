//! A guest of any kind that leaves its kernel for another one, as Linux's kexec does: it gives back all that it shared,
//! copies the new kernel to its place, the first 256 bytes of what it enters to 0, and jumps there. No UV_ESM comes.

use super::leaving::Leaving;
use super::order::Order;
use super::{Server, VECTORS};
use crate::UvError;
use crate::esm::read_tree;
use crate::frames::FRAME_SIZE;
use crate::gdb::{GdbError, Stop};
use crate::guest::Guest;
use crate::symbols::Symbols;
use crate::ultracalls::{NextKernel, is_linear};

/// What a kernel begins with that can be entered in either byte order: `tdi 0,r0,0x48` in its own, `b .+8` in the other.
const EITHER_ORDER: u32 = 0x0800_0048;
/// The code of a kernel lies within this many bytes.
const CODE: u64 = 64 << 20;
/// Places at which the new kernel is waited for, at most.
const PLACES: usize = 256;

impl Server {
    /// UV_UNSHARE_ALL_PAGES was made. The next ultracall may be another kernel's.
    pub(super) fn may_leave(&mut self, call: u64) -> Result<(), UvError> {
        if is_linear(call) && matches!(self.guest, Guest::Any { .. }) {
            self.left_shared.push(self.map.ever_shared_ranges());
            self.map.forget_history();
        }
        if matches!(self.guest, Guest::Any { .. }) && self.machine.is_secure() && self.leaving == Leaving::Not
        {
            for vector in VECTORS {
                self.client.set_breakpoint(vector)?;
            }
            self.client.watch_store(0)?;
            self.leaving = Leaving::Copies;
        }
        Ok(())
    }

    /// The guest stopped for nothing else: it stored to address 0. What could be the new kernel is waited for.
    pub(super) fn find_next(&mut self) -> Result<(), UvError> {
        self.client.forget_store(0)?;
        let marks = [EITHER_ORDER.to_le_bytes(), EITHER_ORDER.to_be_bytes()];
        let mut places = Vec::new();
        for at in (FRAME_SIZE..self.ram.size()).step_by(FRAME_SIZE as usize) {
            let word = self.ram.read(at, 4).map_err(UvError::Ram)?.unwrap_or_default();
            if marks.iter().any(|mark| *mark == *word) && places.len() < PLACES {
                places.push(at);
            }
        }
        for at in &places {
            self.client.set_breakpoint(*at)?;
        }
        self.leaving = Leaving::Enters(places);
        Ok(())
    }

    /// A vCPU is where the new kernel may begin. False when somebody else stopped the guest meanwhile.
    pub(super) fn enter_next(&mut self, order: Order, pc: u64, thread: &str) -> Result<bool, UvError> {
        let [tree, .., third] = [0, 1, 2].map(|index| self.registers.gpr[index]);
        let (tree, firmware) = (self.read(order, tree)?, self.read(order, third)?);
        let Ok(fdt) = read_tree(&self.ram, tree).map_err(UvError::Ram)? else {
            return self.pass(thread);
        };
        if firmware != 0 {
            return self.pass(thread);
        }
        if let Leaving::Enters(places) = std::mem::take(&mut self.leaving) {
            for at in places {
                self.client.clear_breakpoint(at)?;
            }
        }
        for (at, _) in std::mem::take(&mut self.ultracalls) {
            self.client.clear_breakpoint(at)?;
        }
        self.forget_hypercalls()?;
        // What lies behind the code is data that must not be changed.
        let initrd = fdt.node("/chosen").and_then(|chosen| chosen.number("linux,initrd-start"));
        let ends = [Some(tree), initrd, Some(pc.saturating_add(CODE)), Some(self.ram.size())];
        let end = ends.into_iter().flatten().filter(|end| *end > pc).min().unwrap_or(pc);
        let image = self.ram.read(pc, end - pc).map_err(UvError::Ram)?.unwrap_or_default();
        let little = image.starts_with(&EITHER_ORDER.to_le_bytes());
        let same = self.machine.is_image(&image);
        if !same {
            self.symbols = Symbols::default();
        }
        let patch = matches!(self.guest, Guest::Any { patch_msr: true });
        let (secure_bit, patched) = self.adapt(pc, &image, little, patch)?;
        let next = NextKernel { base: pc, tree, same, tests: secure_bit.tests.len(), patched };
        self.log.next_kernel(&next).map_err(UvError::Log)?;
        self.next_kernels.push(next);
        self.forget_translations()?;
        Ok(true)
    }

    fn pass(&mut self, thread: &str) -> Result<bool, UvError> {
        match self.client.step(thread)? {
            Stop::Trap { .. } => Ok(true),
            Stop::Other { .. } => Ok(false),
            Stop::Exited => Err(GdbError::Gone.into()),
        }
    }
}
