//! The report of an exception that nobody expected.

use crate::arch::{backtrace, disclosure, nmi};
use crate::devices::bus_masters;
use crate::memory::layout;
use crate::platform::power;
use crate::println;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use postern_core::exit::ExitStatus;
use postern_core::facts::crash;

/// The interrupted state, as `boot/src/vectors.S` lays it out.
#[repr(C)]
#[derive(Debug)]
pub struct ExceptionFrame {
    /// General purpose registers.
    pub gpr: [u64; 32],
    /// The interrupted instruction.
    pub srr0: u64,
    /// MSR as interrupted; the cause is in bits that MSR does not use.
    pub srr1: u64,
    /// The link register.
    pub lr: u64,
    /// The count register.
    pub ctr: u64,
    /// The condition register.
    pub cr: u64,
    /// The fixed-point exception register.
    pub xer: u64,
    /// The data address register.
    pub dar: u64,
    /// Why a data access was interrupted.
    pub dsisr: u64,
    /// The interrupt's number; bit 0 is set when it came by a handler of `ibm,nmi-register`.
    pub vector: u64,
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

/// Called by the vectors: translation off, on this CPU's exception stack, MSR\[RI\] and MSR\[EE\] off.
#[unsafe(no_mangle)]
extern "C" fn postern_exception(frame: &ExceptionFrame) -> ! {
    let this = postern_arch::exception_stack();
    match REPORTING.compare_exchange(0, this, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => {}
        Err(other) if other == this => power::exit(ExitStatus::UnexpectedException),
        // A system reset reaches every CPU. The first one reports it and ends the run; this one takes over if the first
        // one is stopped.
        Err(_) => {
            power::leave_it_to_another();
            power::exit(ExitStatus::UnexpectedException)
        }
    }
    bus_masters::disable_all();
    let (vector, registered) = (frame.vector & !1, frame.vector & 1 != 0);
    let image = layout::image();
    let place = Place { offset: frame.srr0.wrapping_sub(image.start.0), len: image.len };
    let way = if registered { ", by the handler that was registered" } else { "" };
    log::error!("EXCEPTION {vector:#x} ({}) at {place}{way}", name(vector));
    let full = disclosure::is_full();
    let r3 = if full { registers(frame, registered) } else { 0 };
    println!("{}", crash::EXCEPTION.line(format_args!("{vector:#x}")));
    println!("{}", crash::OFFSET.line(place));
    if full {
        println!("{}", crash::SRR0.line(format_args!("{:#x}", frame.srr0)));
        println!("{}", crash::DAR.line(format_args!("{:#x}", frame.dar)));
        println!("{}", crash::R3.line(format_args!("{r3:#x}")));
    }
    println!("{}", crash::WAY.line(if registered { "registered" } else { "vector" }));
    power::exit(ExitStatus::UnexpectedException)
}

/// An instruction's offset in the image. An address outside is not shown: it could be data.
struct Place {
    offset: u64,
    len: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.offset < self.len { write!(f, "{:#x}", self.offset) } else { f.write_str("outside") }
    }
}

/// Logs the interrupted registers and the back-trace. Returns the interrupted r3.
fn registers(frame: &ExceptionFrame, registered: bool) -> u64 {
    let saved = if registered { nmi::saved(frame.gpr[3]) } else { None };
    let mut gpr = frame.gpr;
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
    for (first, values) in (0..).step_by(4).zip(gpr.chunks(4)) {
        if let [a, b, c, d] = values {
            log::error!("  r{first:02}: {a:016x} {b:016x} {c:016x} {d:016x}");
        }
    }
    backtrace::log_from(frame.srr0, frame.lr, gpr[1]);
    gpr[3]
}
