//! The boot order, from the first Rust code to `kernel_main`.

use crate::console::say;
use crate::esm;
use crate::fdt_edit::{self, EditError};
use crate::firmware_tree::{self, FirmwareError, Handover, SPARE};
use crate::open_firmware::OpenFirmware;
use crate::stop::stop;
use core::sync::atomic::{AtomicBool, Ordering};
use papr::addr::{Gpa, GpaRange};
use papr::cas::{Processor, Request, Unasked};
use papr::hcall::calls::LITTLE_ENDIAN_INTERRUPTS;
use papr::hcall::{Hcall, HcallError, HcallReturn};
use postern_arch as arch;
use postern_core::cmdline::{self, Fault};
use postern_core::exit::ExitStatus;
use postern_core::facts;
use postern_core::secure::{Contradiction, Evidence, Plan, decide};
use pseries_tree::early::{self, BootCpuError, ESM_PROPERTY};
use pseries_tree::{FdtError, Tree, guard};
use thiserror::Error;

// One block: its first instruction is the image's first, and relative branches reach all its parts.
core::arch::global_asm!(
    include_str!("entry.S"),
    include_str!("processor.S"),
    include_str!("low_memory.S"),
    include_str!("client_call.S"),
    include_str!("esm.S"),
    include_str!("vectors.S"),
    boot_main = sym boot_main,
    platform_refused = const ExitStatus::PlatformRefused.code(),
);

unsafe extern "C" {
    /// The kernel. `fdt` is the address of the flattened device tree; `ordinary` is 1 in an ordinary guest.
    fn kernel_main(fdt: usize, ordinary: usize) -> !;
    /// Defined in `low_memory.S`.
    fn postern_own_low_memory(base: usize);
    static __image_start: u8;
    static __image_end: u8;
    static mut __fdt_buffer: [u8; FDT_BUFFER];
}

/// Bytes for the device tree: the limit of QEMU (`FDT_MAX_SIZE`) and of the kernel.
const FDT_BUFFER: usize = guard::MAX_SIZE;
/// Most bytes of a tree for UV_ESM: the published ultravisor edits it in a buffer of 2 MiB that must hold it twice
/// (`svm/svm-fdt.c`).
const ESM_TREE: usize = 1 << 20;
/// End of the memory that the exception vectors use.
const VECTORS_END: usize = 0x1_0000;
/// Alignment of the image in the linker script.
const IMAGE_ALIGN: usize = 0x1_0000;
/// MSR\[S\]: the CPU runs in a secure VM.
const MSR_S: u64 = 1 << 22;

/// Why the boot does not reach the kernel.
#[derive(Debug, Error)]
enum BootError {
    #[error("image loaded at {0:#x}, over the exception vectors")]
    OverVectors(usize),
    #[error("image loaded at {0:#x}, not on a 64 KiB boundary")]
    Misaligned(usize),
    #[error("image loaded at {0:#x}, not below 4 GiB, where RTAS can reach it")]
    AboveFirstGiBs(usize),
    #[error("entered by Open Firmware in a secure VM")]
    FirmwareInSecureVm,
    #[error("H_SET_MODE: no little-endian interrupts: {0}")]
    InterruptOrder(HcallError),
    #[error("{0}")]
    Firmware(FirmwareError),
    #[error("entered without a device tree")]
    NoTree,
    #[error("device tree at {0:#x}, over the image or its stacks")]
    TreeOverImage(usize),
    #[error("{0}")]
    Tree(FdtError),
    #[error("{0}")]
    NoRadix(Processor),
    #[error("{0}")]
    BootCpu(BootCpuError),
    #[error("UV_ESM not issued: {0}")]
    Edit(EditError),
    #[error("UV_ESM not issued: device tree of {0} bytes, an ultravisor takes at most {ESM_TREE}")]
    EsmTree(usize),
    #[error("{0}")]
    Contradiction(Contradiction),
    #[error("{0}")]
    Esm(esm::EsmError),
}

impl BootError {
    const fn status(&self) -> ExitStatus {
        match self {
            Self::OverVectors(_) | Self::Misaligned(_) | Self::AboveFirstGiBs(_) => {
                ExitStatus::UnexpectedException
            }
            Self::Firmware(_)
            | Self::NoTree
            | Self::TreeOverImage(_)
            | Self::Tree(_)
            | Self::BootCpu(BootCpuError::Unknown(_)) => ExitStatus::BadDeviceTree,
            Self::InterruptOrder(_) | Self::NoRadix(_) => ExitStatus::PlatformRefused,
            Self::BootCpu(BootCpuError::NoRoom { .. })
            | Self::FirmwareInSecureVm
            | Self::Edit(_)
            | Self::EsmTree(_)
            | Self::Contradiction(_)
            | Self::Esm(_) => ExitStatus::SecureModeFailed,
        }
    }
}

/// Called by `entry.S` with the registers as they were at the image's first instruction.
extern "C" fn boot_main(r3: usize, r4: usize, r5: usize, base: usize, msr: u64) -> ! {
    let mut os_term = None;
    let error = match boot(r3, r4, r5, base, msr, &mut os_term) {
        // SAFETY: the entry code has set up stack, TOC, .bss and relocations; firmware is gone.
        Ok((fdt, ordinary)) => unsafe { kernel_main(fdt, usize::from(ordinary)) },
        Err(error) => error,
    };
    stop(error.status(), &error, os_term)
}

/// Prepares the machine. Returns the address of the flattened tree, and whether this is an ordinary guest. If UV_ESM is
/// due, issues it: on success the image is entered again and this call never returns.
fn boot(
    r3: usize,
    r4: usize,
    r5: usize,
    base: usize,
    msr: u64,
    os_term: &mut Option<u32>,
) -> Result<(usize, bool), BootError> {
    let secure = arch::msr() & MSR_S != 0;
    // While firmware is there, the vectors are firmware's. In a secure VM they are ours already.
    if r5 == 0 || secure {
        little_endian_interrupts()?;
    }
    if secure && r5 != 0 {
        return Err(BootError::FirmwareInSecureVm);
    }
    if base < VECTORS_END {
        return Err(BootError::OverVectors(base));
    }
    if !base.is_multiple_of(IMAGE_ALIGN) {
        return Err(BootError::Misaligned(base));
    }
    let image_end = &raw const __image_end as usize;
    if u32::try_from(image_end).is_err() {
        return Err(BootError::AboveFirstGiBs(base));
    }
    // One reference for the whole boot stage.
    let buffer = own_buffer().ok_or(BootError::NoTree)?;
    let own = buffer.as_ptr().expose_provenance();

    let fdt = if r5 == 0 {
        r3
    } else {
        let start = &raw const __image_start as usize;
        let len = image_end.saturating_sub(start);
        let image = GpaRange { start: Gpa(start as u64), len: len as u64 };
        let initrd =
            GpaRange::new(Gpa(r3 as u64), r4 as u64).filter(|range| range.start.0 != 0 && range.len != 0);
        let firmware = |error| BootError::Firmware(FirmwareError::from(error));
        // SAFETY: firmware entered here a moment ago with these values, and only its calls ran since.
        let client = unsafe { OpenFirmware::new(r5, msr) }.map_err(firmware)?;
        firmware_tree::take(client, Handover { initrd, image }, &mut *buffer).map_err(BootError::Firmware)?;
        // SAFETY: the image is at `base`, above the vectors; firmware, whose low memory was, made its last call.
        unsafe { postern_own_low_memory(base) };
        little_endian_interrupts()?;
        own
    };

    let outside = if fdt == own {
        None
    } else {
        // SAFETY: translation is off, and the boot stage writes to its image alone.
        Some(unsafe { tree_outside(fdt) }?)
    };
    let bytes = outside.map_or_else(|| tree_in(buffer), Ok)?;
    say!("{}", facts::boot::FDT_ADDR.line(format_args!("{fdt:#x}")));
    say!("{}", facts::boot::FDT_BYTES.line(bytes.len()));
    let tree = Tree::check(bytes).map_err(BootError::Tree)?;
    *os_term = early::rtas_token(&tree, "ibm,os-term");
    // entry.S has refused older CPUs. This refuses a newer one in a compatibility mode, or with hash translation only.
    if Request::of_offer(early::offer(&tree)) == Err(Unasked::NoRadix) {
        let compatibility = early::compatibility(&tree);
        return Err(BootError::NoRadix(Processor { version: arch::pvr(), compatibility }));
    }
    early::check_boot_cpu(&tree).map_err(BootError::BootCpu)?;
    let parsed = cmdline::parse(early::bootargs(&tree));
    // Only the kernel knows which words the test image adds.
    let mut errors =
        parsed.errors.iter().filter(|error| !matches!(error.fault, Fault::TestImage(_))).peekable();
    if errors.peek().is_some() || parsed.errors_left_out > 0 {
        for error in errors {
            say!("boot: command line: {error}");
        }
        stop(ExitStatus::BadCommandLine, &"the command line cannot be followed", *os_term);
    }

    let decision = decide(Evidence {
        msr_s: secure,
        marker: early::marker(&tree),
        svm: parsed.options.svm,
        esm_done: early::esm_base(&tree) == Some(base as u64),
    });
    // `parsed` borrows the tree, which is edited below.
    drop(parsed);
    match decision.plan {
        Plan::Normal => return Ok((fdt, true)),
        Plan::Secure(_) => return Ok((fdt, false)),
        Plan::Halt(why) => return Err(BootError::Contradiction(why)),
        Plan::EnterEsm => {}
    }

    say!("boot: {decision}");
    early::check_boot_cpu_for_esm(&tree).map_err(BootError::BootCpu)?;
    let size = match outside {
        Some(bytes) => fdt_edit::copy(bytes, buffer, SPARE).map_err(BootError::Edit)?,
        None => bytes.len(),
    };
    if size > ESM_TREE {
        return Err(BootError::EsmTree(size));
    }
    let tree = buffer.get_mut(..size).ok_or(BootError::NoTree)?;
    prepare_for_esm(tree, base).map_err(BootError::Edit)?;
    say!("boot: UV_ESM for the image at {base:#x}, device tree at {own:#x}");
    // SAFETY: the image is at `base`; what ran so far wrote to `.bss` and `.noinit` only; firmware has
    // quiesced or was never there.
    Err(BootError::Esm(unsafe { esm::enter(base, own) }))
}

/// Asks for little-endian interrupts, which the vectors expect (H_SET_MODE). The first hypercall of all: until it is
/// answered, interrupts arrive big-endian and end the run.
fn little_endian_interrupts() -> Result<(), BootError> {
    // SAFETY: the call changes the byte order of interrupts, no memory. The vectors work in both.
    let (status, out) = unsafe { arch::hcall(Hcall::SetMode as u64, LITTLE_ENDIAN_INTERRUPTS) };
    HcallReturn { status, out }.ok().map(|_| ()).map_err(BootError::InterruptOrder)
}

/// Writes into `/chosen` what UV_ESM requires, and the note that tells the next entry that UV_ESM succeeded.
fn prepare_for_esm(tree: &mut [u8], base: usize) -> Result<(), EditError> {
    fdt_edit::insert_property(tree, b"chosen", ESM_PROPERTY.as_bytes(), &(base as u64).to_be_bytes())?;
    // The ultravisor measures `bootargs` and requires the property even when it is empty.
    if !fdt_edit::has_property(tree, b"chosen", b"bootargs")? {
        fdt_edit::insert_property(tree, b"chosen", b"bootargs", b"\0")?;
    }
    Ok(())
}

/// The buffer for our copy of the tree. `None` after the first call.
fn own_buffer() -> Option<&'static mut [u8; FDT_BUFFER]> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return None;
    }
    let buffer = &raw mut __fdt_buffer;
    // SAFETY: the buffer is a static of this size in `.noinit`, any bytes are a value of its type, and this is the only
    // reference to it: `TAKEN` lets one caller come here.
    Some(unsafe { &mut *buffer })
}

/// The tree at the start of the buffer, as many bytes as its header claims.
fn tree_in(buffer: &[u8]) -> Result<&[u8], BootError> {
    let size = guard::claimed_size(buffer).map_err(BootError::Tree)?;
    buffer.get(..size).ok_or(BootError::Tree(FdtError::Truncated { have: buffer.len(), need: size }))
}

/// The bytes of a tree outside the image, as many as its header claims. An address without memory reads as bytes that
/// are no tree.
///
/// The host may change the bytes at any moment, as it may change the whole image before UV_ESM. No later code relies on
/// them: the kernel reads its own copy, and a secure VM's tree is in the buffer.
///
/// # Safety
/// Translation is off, so that no load faults, and this program writes to its image alone while it uses the bytes.
unsafe fn tree_outside(at: usize) -> Result<&'static [u8], BootError> {
    if at == 0 {
        return Err(BootError::NoTree);
    }
    is_outside_image(at, guard::HEADER_LEN)?;
    let start = core::ptr::with_exposed_provenance::<u8>(at);
    // SAFETY: the bytes do not wrap and are none of the image, where all that this program writes is. Bytes have no
    // alignment and no invalid value, and no load faults, as the caller promises.
    let header = unsafe { core::slice::from_raw_parts(start, guard::HEADER_LEN) };
    let size = guard::claimed_size(header).map_err(BootError::Tree)?;
    is_outside_image(at, size)?;
    // SAFETY: as above, for `size` bytes, at most `guard::MAX_SIZE`.
    Ok(unsafe { core::slice::from_raw_parts(start, size) })
}

/// Refuses a tree that overlaps the image: the stacks there change while it is read.
fn is_outside_image(at: usize, len: usize) -> Result<(), BootError> {
    let range = |at: usize, len: usize| GpaRange::new(Gpa(at as u64), len as u64);
    let image = &raw const __image_start as usize;
    let image = range(image, (&raw const __image_end as usize).saturating_sub(image));
    match (range(at, len), image) {
        (Some(tree), Some(image)) if !tree.overlaps(&image) => Ok(()),
        _ => Err(BootError::TreeOverImage(at)),
    }
}
