//! Exception vectors, and the report of an exception that nobody expected.

use crate::arch::{backtrace, nmi};
use crate::devices::masters;
use crate::memory::layout;
use crate::platform::power;
use crate::platform::pseries::Pseries;
use crate::println;
use core::sync::atomic::{AtomicU64, Ordering};
use postern_core::exit::ExitStatus;
use postern_core::hcall::{Hcall, HcallError};
use postern_core::seam::Hypervisor;

core::arch::global_asm!(include_str!("vectors.S"));

/// Where the vectors find what they need; see `vectors.S`.
const LOWCORE: usize = 0x1f00;
unsafe extern "C" {
    static vectors_start: u8;
    static vectors_end: u8;
}

/// The interrupted state, as `vectors.S` lays it out.
#[repr(C)]
#[derive(Debug)]
pub struct ExceptionFrame {
    gpr: [u64; 32],
    srr0: u64,
    srr1: u64,
    lr: u64,
    ctr: u64,
    cr: u64,
    xer: u64,
    dar: u64,
    dsisr: u64,
    /// Its number; bit 0 is set when it came by a handler of [`nmi`].
    vector: u64,
}

/// H_SET_MODE (PAPR+ 14.5.4.3.5): resource 4 is the byte order of interrupts, flag 1 little-endian.
const LITTLE_ENDIAN_INTERRUPTS: [u64; 4] = [1, 4, 0, 0];

/// Copies the vectors to low memory. From here on every exception is reported, and an `sc` that no
/// ultravisor takes answers U_FUNCTION.
///
/// # Errors
/// The hypervisor refuses little-endian interrupts; nothing was installed.
pub fn install() -> Result<(), HcallError> {
    Pseries.hcall(Hcall::SetMode, LITTLE_ENDIAN_INTERRUPTS).ok()?;
    let toc: u64;
    // SAFETY: reads r2, the TOC pointer of this image, into a register; no memory, no side effect.
    unsafe { core::arch::asm!("mr {}, 2", out(reg) toc, options(nomem, nostack, preserves_flags)) };
    postern_arch::set_exception_stack(layout::exception_stack().end().0);
    // SAFETY: the linker script places the vector block between these two symbols, so the source is
    // readable for that length. Guest physical 0..0x2000 is RAM that firmware gave up at its last call and
    // that the placement never hands out, so nothing else lives there; it cannot overlap the image, which
    // is loaded above. LOWCORE and the word after it lie inside the copied block, 8-byte aligned. The
    // addresses are exposed integers (0 among them), so asm does the copy: a Rust pointer may not be null.
    unsafe {
        let source = &raw const vectors_start;
        let length = &raw const vectors_end as usize - source as usize;
        postern_arch::copy_to_real(0x100, source.add(0x100), length - 0x100);
        for (slot, word) in [toc, exception_entry as *const () as u64].into_iter().enumerate() {
            ((LOWCORE + slot * 8) as *mut u64).write_volatile(word);
        }
        postern_arch::sync_instructions(0x100, length - 0x100);
    }
    Ok(())
}

fn name(vector: u64) -> &'static str {
    match vector {
        0x100 => "system reset",
        0x200 => "machine check",
        0x300 => "data storage",
        0x380 => "data segment",
        0x400 => "instruction storage",
        0x480 => "instruction segment",
        0x500 => "external interrupt",
        0x600 => "alignment",
        0x700 => "program",
        0x800 => "floating point unavailable",
        0x900 => "decrementer",
        0xd00 => "trace",
        0xe40 => "emulation assistance",
        0xf20 => "vector unavailable",
        0xf40 => "VSX unavailable",
        0xf60 => "facility unavailable",
        _ => "exception",
    }
}

/// The CPU that reports, by its exception stack; 0 before there is one.
static REPORTING: AtomicU64 = AtomicU64::new(0);

extern "C" fn exception_entry(frame: &ExceptionFrame) -> ! {
    let this = postern_arch::exception_stack();
    match REPORTING.compare_exchange(0, this, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {}
        Err(other) if other == this => power::exit(ExitStatus::UnexpectedException),
        // A system reset comes to every CPU; one tells of it.
        Err(_) => loop {
            postern_arch::relax();
        },
    }
    masters::silence();
    let (vector, registered) = (frame.vector & !1, frame.vector & 1 != 0);
    let saved = if registered { nmi::saved(frame.gpr[3]) } else { None };
    let mut gpr = frame.gpr;
    let way = if registered { ", by the handler that was registered" } else { "" };
    log::error!("EXCEPTION {vector:#x} ({}) at {:#x}{way}", name(vector), frame.srr0);
    if let Some(saved) = saved {
        gpr[3] = saved.r3;
        if let Some(event) = saved.event {
            log::error!("  error log at {:#x}: {event}", frame.gpr[3]);
        }
    }
    log::error!(
        "  SRR0={:016x} SRR1={:016x} LR={:016x} CTR={:016x}",
        frame.srr0,
        frame.srr1,
        frame.lr,
        frame.ctr
    );
    log::error!(
        "  DAR={:016x} DSISR={:08x} CR={:08x} XER={:016x}",
        frame.dar,
        frame.dsisr,
        frame.cr,
        frame.xer
    );
    for (row, values) in gpr.chunks(4).enumerate() {
        if let [a, b, c, d] = values {
            log::error!("  r{:02}: {a:016x} {b:016x} {c:016x} {d:016x}", row * 4);
        }
    }
    backtrace::log_from(frame.srr0, frame.lr, gpr[1]);
    println!("postern: exception={vector:#x}");
    println!("postern: exception.srr0={:#x}", frame.srr0);
    println!("postern: exception.dar={:#x}", frame.dar);
    println!("postern: exception.r3={:#x}", gpr[3]);
    println!("postern: exception.way={}", if registered { "registered" } else { "vector" });
    power::exit(ExitStatus::UnexpectedException)
}
