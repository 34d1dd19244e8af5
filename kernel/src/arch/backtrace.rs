//! A back-trace by the ELFv2 back chain: each frame's first word points to its caller's frame, whose third
//! word holds the saved LR. Addresses are printed as offsets into the image, to look up in the ELF file.

use crate::memory::layout;

const MAX_FRAMES: usize = 24;

/// Logs the calls that led to `pc`, whose frame is at `r1`.
pub fn log_from(pc: u64, lr: u64, r1: u64) {
    let base = layout::image().start.0;
    log::error!("  back-trace (image at {base:#x}):");
    log::error!("    pc {:#x}", pc.wrapping_sub(base));
    log::error!("    lr {:#x}", lr.wrapping_sub(base));
    let mut frame = r1;
    for _ in 0..MAX_FRAMES {
        let Some(next) = chain_word(frame, 0) else { return };
        let Some(saved_lr) = chain_word(next, 16) else { return };
        log::error!("    #  {:#x}", saved_lr.wrapping_sub(base));
        if next <= frame {
            return;
        }
        frame = next;
    }
}

/// Logs the calls that led here.
pub fn log_here() {
    let (r1, lr): (u64, u64);
    // SAFETY: reads two registers, touches no memory.
    unsafe {
        core::arch::asm!("mr {}, 1", "mflr {}", out(reg) r1, out(reg) lr, options(nomem, nostack, preserves_flags))
    };
    log_from(lr, lr, r1);
}

/// A word of a stack frame; `None` for an address outside the image, where all stacks lie.
fn chain_word(frame: u64, offset: u64) -> Option<u64> {
    let at = frame.checked_add(offset)?;
    if frame == 0 || !at.is_multiple_of(8) || !layout::image().contains(papr::addr::Gpa(at), 8) {
        return None;
    }
    // SAFETY: the word lies inside the image, which is mapped, readable RAM for the kernel's life, and is
    // aligned; it is read volatile because the stack it lies on is in use.
    Some(unsafe { (at as *const u64).read_volatile() })
}
