//! Runs instructions that must raise an interrupt, with a handler that resumes after them.
//!
//! The vectors call one handler, whose address is a word in low memory (`boot/src/vectors.S`). A test replaces it by a
//! handler that records the expected interrupt on its CPU, and passes every other one to the kernel's handler.

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use postern_kernel::arch::exceptions::ExceptionFrame;
use postern_kernel::arch::nmi;

/// Address of the word with the handler's address, by the same name in `boot/src/vectors.S`.
const ENTRY_WORD: u64 = 0x27f8;

/// An interrupt that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its number.
    pub vector: u64,
    /// The address that could not be accessed, where the interrupt has one.
    pub dar: u64,
    /// The interrupted instruction.
    pub srr0: u64,
    /// Why, among other bits.
    pub srr1: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { vector, dar, srr0, srr1 } = self;
        write!(f, "interrupt {vector:#x} at {srr0:#x}, address {dar:#x}, SRR1 {srr1:#x}")
    }
}

/// The CPU that waits for an interrupt, by its exception stack; 0 for none.
static WAITING: AtomicU64 = AtomicU64::new(0);
/// Whether it resumes after the call that it made, whatever the interrupt.
static AFTER_CALL: AtomicBool = AtomicBool::new(false);
/// Registers of the interrupt; the vector is stored last and is 0 before the first interrupt.
static DAR: AtomicU64 = AtomicU64::new(0);
static SRR0: AtomicU64 = AtomicU64::new(0);
static SRR1: AtomicU64 = AtomicU64::new(0);
static VECTOR: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    /// The kernel's handler, which ends the run.
    fn postern_exception(frame: *mut ExceptionFrame) -> !;
}

/// Until [`taken`], records the next interrupt on the current CPU.
pub fn expect() {
    VECTOR.store(0, Ordering::Relaxed);
    install(handler as *const () as u64);
    WAITING.store(postern_arch::exception_stack(), Ordering::Release);
}

/// The interrupt since [`expect`]. Installs the kernel's handler again.
pub fn taken() -> Option<Fault> {
    WAITING.store(0, Ordering::Relaxed);
    install(postern_exception as *const () as u64);
    seen()
}

/// The interrupt that was recorded, on any CPU.
pub fn seen() -> Option<Fault> {
    let vector = VECTOR.load(Ordering::Acquire);
    (vector != 0).then(|| Fault {
        vector,
        dar: DAR.load(Ordering::Relaxed),
        srr0: SRR0.load(Ordering::Relaxed),
        srr1: SRR1.load(Ordering::Relaxed),
    })
}

/// Makes `entry` the handler that the vectors call.
fn install(entry: u64) {
    // SAFETY: low memory is this kernel's, and the word is what it is for. It is not mapped, so the store is made with
    // translation off, which changes no address: everything is mapped to itself. No interrupt comes meanwhile, as MSR[EE]
    // is off; a system reset between the two changes of MSR finds either handler whole, as the store is of a doubleword.
    unsafe {
        asm!(
            "mfmsr {msr}",
            "li {off}, 0x30",
            "andc {off}, {msr}, {off}",
            "mtmsrd {off}",
            "isync",
            "std {entry}, 0({word})",
            "sync",
            "mtmsrd {msr}",
            "isync",
            msr = out(reg) _,
            off = out(reg) _,
            entry = in(reg) entry,
            word = in(reg_nonzero) ENTRY_WORD,
            options(nostack, preserves_flags),
        );
    }
}

/// Called by the vectors during a test: translation off, on this CPU's exception stack, MSR\[RI\] and MSR\[EE\] off.
extern "C" fn handler(frame: *mut ExceptionFrame) -> ! {
    let here = postern_arch::exception_stack();
    if WAITING.compare_exchange(here, 0, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        // SAFETY: the frame is what the vectors made, for this handler as for the kernel's.
        unsafe { postern_exception(frame) }
    }
    // SAFETY: the vectors made the frame on this CPU's exception stack, and nothing else uses it.
    let saved = unsafe { &mut *frame };
    let vector = saved.vector & !1;
    DAR.store(saved.dar, Ordering::Relaxed);
    SRR0.store(saved.srr0, Ordering::Relaxed);
    SRR1.store(saved.srr1, Ordering::Relaxed);
    saved.srr0 = match vector {
        // It came between two instructions, so resume there. The hypervisor may have saved r3 in the RTAS area.
        0x100 => {
            if saved.vector != vector
                && let Some(area) = nmi::saved(saved.gpr[3])
            {
                saved.gpr[3] = area.r3;
            }
            saved.srr0
        }
        // A jump to memory without code, or without the right to execute: return to the caller.
        _ if AFTER_CALL.load(Ordering::Relaxed) => saved.lr,
        _ => saved.srr0.wrapping_add(4),
    };
    VECTOR.store(vector, Ordering::Release);
    // SAFETY: the state is the interrupted one, but for the instruction that is passed over or the jump that is taken
    // back.
    unsafe { resume(frame) }
}

/// Resumes with the state of `frame`.
///
/// # Safety
/// The state is one that this CPU was in. No interrupt can come, as MSR\[RI\] is off.
unsafe fn resume(frame: *const ExceptionFrame) -> ! {
    // SAFETY: as the caller promises. SPRG3 was used up by the vectors and is 0 outside of a wait. r13 is theirs.
    unsafe {
        asm!(
            "li 4, 0",
            "mtsprg 3, 4",
            "ld 4, 256(3)",
            "mtsrr0 4",
            "ld 4, 264(3)",
            "mtsrr1 4",
            "ld 4, 272(3)",
            "mtlr 4",
            "ld 4, 280(3)",
            "mtctr 4",
            "ld 4, 288(3)",
            "mtcr 4",
            "ld 4, 296(3)",
            "mtxer 4",
            "ld 0, 0(3)",
            "ld 1, 8(3)",
            "ld 2, 16(3)",
            "ld 4, 32(3)", "ld 5, 40(3)", "ld 6, 48(3)", "ld 7, 56(3)", "ld 8, 64(3)", "ld 9, 72(3)",
            "ld 10, 80(3)", "ld 11, 88(3)", "ld 12, 96(3)", "ld 14, 112(3)", "ld 15, 120(3)",
            "ld 16, 128(3)", "ld 17, 136(3)", "ld 18, 144(3)", "ld 19, 152(3)", "ld 20, 160(3)",
            "ld 21, 168(3)", "ld 22, 176(3)", "ld 23, 184(3)", "ld 24, 192(3)", "ld 25, 200(3)",
            "ld 26, 208(3)", "ld 27, 216(3)", "ld 28, 224(3)", "ld 29, 232(3)", "ld 30, 240(3)",
            "ld 31, 248(3)",
            "ld 3, 24(3)",
            "rfid",
            in("r3") frame,
            options(noreturn),
        );
    }
}

/// A load of a doubleword at `at`, which has to raise an interrupt.
pub fn load(at: u64) -> Option<Fault> {
    expect();
    // SAFETY: a load changes nothing, and its value is thrown away. An interrupt is taken by `handler`.
    unsafe { asm!("ld {0}, 0({1})", out(reg) _, in(reg_nonzero) at) };
    taken()
}

/// A store of a word at `at`, which has to raise an interrupt.
///
/// # Safety
/// Were the store to be done, it would harm nothing.
pub unsafe fn store(at: u64, word: u32) -> Option<Fault> {
    expect();
    // SAFETY: as the caller promises; an interrupt is taken by `handler`.
    unsafe { asm!("stw {0}, 0({1})", in(reg) word, in(reg_nonzero) at) };
    taken()
}

/// A call of what is at `at`, which has to raise an interrupt.
///
/// # Safety
/// At `at` is a return, or no valid instruction.
pub unsafe fn jump(at: u64) -> Option<Fault> {
    AFTER_CALL.store(true, Ordering::Relaxed);
    expect();
    // SAFETY: as the caller promises; an interrupt is taken by `handler`, which goes on after the call.
    unsafe {
        asm!("mtctr {}", "bctrl", in(reg) at, out("ctr") _, out("lr") _, options(nostack));
    }
    let taken = taken();
    AFTER_CALL.store(false, Ordering::Relaxed);
    taken
}
