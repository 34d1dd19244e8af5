//! Takes over from Open Firmware: negotiates, instantiates RTAS, flattens the tree, ends firmware.

use crate::client_interface::{ClientError, ClientInterface, Name};
use crate::console::say;
use crate::fdt_writer::{WriteError, Writer};
use crate::flatten::{Addition, FlattenError, flatten};
use crate::open_firmware::OpenFirmware;
use arrayvec::ArrayVec;
use papr::addr::{Gpa, GpaRange};
use papr::cas::{Outcome, PLATFORM_SUPPORT, Request};
use pseries_tree::early::{CAS_PROPERTY, ENTRY_PROPERTY, Entry};
use thiserror::Error;

/// Spare bytes in the tree, for our note before UV_ESM and for the ultravisor's reservations.
pub const SPARE: usize = 4096;
/// Bytes for property names; existing trees use about 5 KiB.
const NAMES: usize = 32 * 1024;
/// RTAS starts on a 64 KiB frame of its own.
const RTAS_ALIGN: u32 = 0x1_0000;
/// Start of the property `model` of SLOF's `/openprom`.
const SLOF_MODEL: &[u8] = b"SLOF";

/// What went wrong with firmware.
#[derive(Clone, Copy, Debug, Error)]
pub enum FirmwareError {
    /// Firmware's tree could not be flattened.
    #[error(transparent)]
    Flatten(#[from] FlattenError),
    /// Firmware gave memory for RTAS that something else uses.
    #[error("Open Firmware gave {base:#x}+{size:#x} for RTAS, which is in use")]
    RtasOverlaps {
        /// Address of the first byte.
        base: u32,
        /// Length in bytes.
        size: u32,
    },
}

impl From<ClientError> for FirmwareError {
    fn from(error: ClientError) -> Self {
        Self::Flatten(FlattenError::Client(error))
    }
}

impl From<WriteError> for FirmwareError {
    fn from(error: WriteError) -> Self {
        Self::Flatten(FlattenError::Write(error))
    }
}

/// The memory ranges that are in use when firmware enters the image.
#[derive(Clone, Copy, Debug)]
pub struct Handover {
    /// The initrd, when there is one.
    pub initrd: Option<GpaRange>,
    /// The guest physical addresses of the image.
    pub image: GpaRange,
}

struct Rtas {
    base: u32,
    size: u32,
    entry: u32,
}

impl Rtas {
    fn range(&self) -> GpaRange {
        GpaRange { start: Gpa(u64::from(self.base)), len: u64::from(self.size) }
    }
}

/// Negotiates, instantiates RTAS, flattens the tree into `buffer` and ends firmware. Returns the tree's bytes.
pub fn take(
    mut firmware: OpenFirmware,
    handover: Handover,
    buffer: &mut [u8],
) -> Result<usize, FirmwareError> {
    let mut names = [0; NAMES];
    // First: the negotiation changes the tree that all later code reads.
    let cas = negotiate(&mut firmware)?;
    let rtas = instantiate_rtas(&mut firmware, handover)?;
    let boot_cpu = firmware.boot_cpu()?;
    let entry = if is_slof(&mut firmware)? { Entry::Slof } else { Entry::Vof };

    let initrd = handover.initrd;
    let rtas_range = rtas.as_ref().map(Rtas::range);
    let reserved: ArrayVec<(u64, u64), 3> = [Some(handover.image), initrd, rtas_range]
        .into_iter()
        .flatten()
        .map(|range| (range.start.0, range.len))
        .collect();

    let entry_name: &[u8] = match entry {
        Entry::Slof => b"slof\0",
        Entry::Vof => b"vof\0",
        Entry::Fdt => b"fdt\0",
    };
    let rtas_cells = rtas.as_ref().map(|rtas| (rtas.base.to_be_bytes(), rtas.entry.to_be_bytes()));
    let initrd_cells = initrd.map(|initrd| (initrd.start.0.to_be_bytes(), initrd.end().0.to_be_bytes()));
    let chosen = |name, value| Addition { path: b"/chosen", name, value };
    let in_rtas = |name, value| Addition { path: b"/rtas", name, value };
    let mut additions: ArrayVec<Addition<'_>, 6> = ArrayVec::new();
    additions.push(chosen(ENTRY_PROPERTY.as_bytes(), entry_name));
    additions.push(chosen(CAS_PROPERTY.as_bytes(), cas.note().to_bytes_with_nul()));
    if let Some((base, entry)) = &rtas_cells {
        additions.push(in_rtas(b"linux,rtas-base", base));
        additions.push(in_rtas(b"linux,rtas-entry", entry));
    }
    if let Some((start, end)) = &initrd_cells
        && !has_initrd(&mut firmware)?
    {
        additions.push(chosen(b"linux,initrd-start", start));
        additions.push(chosen(b"linux,initrd-end", end));
    }

    let mut tree = Writer::new(buffer, &mut names, &reserved)?;
    flatten(&mut firmware, &mut tree, &additions)?;
    let size = tree.finish(boot_cpu, SPARE)?;
    firmware.quiesce()?;
    Ok(size)
}

/// Asks firmware for what the kernel uses (`ibm,client-architecture-support`). A refusal is printed, and the boot goes
/// on: a hypervisor that insists refuses the process table later (exit status 12). Firmware may restart the machine to
/// apply the result; the second request is the same and changes nothing more.
fn negotiate(firmware: &mut OpenFirmware) -> Result<Outcome, FirmwareError> {
    let mut support = [0; 64];
    let len = match firmware.find(c"/chosen")? {
        None => None,
        Some(chosen) => {
            let name = Name::new(PLATFORM_SUPPORT.as_bytes())?;
            let len = firmware.property_len(chosen, &name)?.filter(|len| *len <= support.len());
            if let Some(into) = len.and_then(|len| support.get_mut(..len)) {
                firmware.property(chosen, &name, into)?;
            }
            len
        }
    };
    let request = match Request::of_offer(support.get(..len.unwrap_or(0)).unwrap_or_default()) {
        Ok(request) => request,
        Err(why) => {
            say!("boot: no negotiation: {why}");
            return Ok(Outcome::Unasked);
        }
    };
    let vectors = request.vectors();
    Ok(match firmware.negotiate(&vectors) {
        Ok(()) => Outcome::Agreed,
        Err(error) => {
            say!("boot: no negotiation: {error}");
            Outcome::Refused
        }
    })
}

fn instantiate_rtas(firmware: &mut OpenFirmware, handover: Handover) -> Result<Option<Rtas>, FirmwareError> {
    let Some(node) = firmware.find(c"/rtas")? else { return Ok(None) };
    let Some(size) = firmware.cell(node, b"rtas-size")? else { return Ok(None) };
    let base = firmware.claim(size, RTAS_ALIGN)?;
    let range = GpaRange { start: Gpa(u64::from(base)), len: u64::from(size) };
    if range.overlaps(&handover.image) || handover.initrd.is_some_and(|initrd| range.overlaps(&initrd)) {
        return Err(FirmwareError::RtasOverlaps { base, size });
    }
    // SAFETY: firmware gave the memory out as free, and it is neither the image's nor the initrd's. The boot stage uses
    // its image alone, and the kernel's memory map leaves the RTAS area out.
    let entry = unsafe { firmware.instantiate_rtas(base)? };
    // The hypervisor writes error logs there (`ibm,nmi-register`), so it needs the address, too.
    for (name, value) in [(c"linux,rtas-base", base), (c"linux,rtas-entry", entry)] {
        if let Err(error) = firmware.set_cell(node, name, value) {
            say!("boot: firmware is not told where RTAS is: {error}");
        }
    }
    Ok(Some(Rtas { base, size, entry }))
}

fn is_slof(firmware: &mut OpenFirmware) -> Result<bool, FirmwareError> {
    let Some(openprom) = firmware.find(c"/openprom")? else { return Ok(false) };
    let name = Name::new(b"model")?;
    let mut model = [0; 64];
    let Some(len) = firmware.property_len(openprom, &name)? else { return Ok(false) };
    let Some(model) = model.get_mut(..len) else { return Ok(false) };
    firmware.property(openprom, &name, model)?;
    Ok(model.starts_with(SLOF_MODEL))
}

fn has_initrd(firmware: &mut OpenFirmware) -> Result<bool, FirmwareError> {
    let Some(chosen) = firmware.find(c"/chosen")? else { return Ok(false) };
    Ok(firmware.property_len(chosen, &Name::new(b"linux,initrd-start")?)?.is_some())
}
