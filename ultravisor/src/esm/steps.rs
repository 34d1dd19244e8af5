//! UV_ESM's steps, in the order of the published source. Each brings in the memory that it reads, and the first that
//! fails aborts the call.

use std::io;

use esm_blob::PrivateKey;

use super::blob::{Contents, Esmb};
use super::paging::Paging;
use super::reserve::{ESMB, RTAS, TSS, place};
use super::tree::{NoCpus, RTAS_TOKENS, max_cpus, number, read_tree, rmo_top};
use super::{EsmReport, Outcome, Requirement, blob, cannot_meet};
use crate::Firmware;
use crate::call::Code;
use crate::fdt::{Fdt, Node, claimed_size};
use crate::frames::{FRAME_SIZE, ShareMap};
use crate::image::{KernelImage, sha512};
use crate::ram::GuestRam;

/// SHA-512 of the only RTAS text that firmware installs: `mr r4,r3; lis r3,0; ori r3,r3,0xf000; sc 1; blr`. svm-tools
/// has it as a constant.
const RTAS_TEXT: [u32; 5] = [0x7c64_1b78, 0x3c60_0000, 0x6063_f000, 0x4400_0022, 0x4e80_0020];

/// The inputs of UV_ESM. With a key in the TPM's place the guest must bring an ESM blob that the key opens. Without a key,
/// an imaginary blob holds the digests of the kernel's file and of the RTAS text, and accepts any command line and initrd.
/// A development build reports what is wrong with the blob, and goes on.
pub(crate) struct Entry<'a> {
    /// Guest memory.
    pub ram: &'a GuestRam,
    /// What each frame is.
    pub map: &'a ShareMap,
    /// The kernel's file.
    pub image: &'a KernelImage,
    /// The private key in the TPM's place.
    pub tpm: Option<&'a PrivateKey>,
    /// What started the guest.
    pub firmware: Firmware,
    /// ESM_BLOB_CHK_WARN_ONLY: errors of the blob's check are only logged, and all memory is kept.
    pub warn_only: bool,
    /// Abort as late as possible in any case.
    pub abort: bool,
}

/// Why UV_ESM did not go on.
enum Stop {
    /// Something is missing.
    Unmet(Vec<Requirement>),
    /// As asked for.
    Asked,
    /// After H_SVM_INIT_DONE.
    Late(Requirement),
    /// An assertion, or the VM killed.
    Dead(&'static str),
    /// Guest RAM.
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Requirement> for Stop {
    fn from(requirement: Requirement) -> Self {
        Self::Unmet(vec![requirement])
    }
}

impl From<NoCpus> for Stop {
    fn from(reason: NoCpus) -> Self {
        match reason {
            NoCpus::Unmet(requirement) => requirement.into(),
            NoCpus::Asserts => Self::Dead("a cell of the tree that does not exist was read"),
        }
    }
}

impl Entry<'_> {
    /// Everything from H_SVM_INIT_START on.
    ///
    /// # Errors
    /// Guest RAM cannot be accessed.
    pub(crate) fn run(&self, kernel_base: u64, fdt: u64) -> io::Result<EsmReport> {
        let mut report = EsmReport {
            kernel_base,
            fdt,
            kernel: self.image.measure(self.ram, kernel_base)?,
            bootargs_sha512: None,
            initrd_sha512: None,
            rtas_sha512: None,
            waived: Vec::new(),
            warned: Vec::new(),
            unmet: Vec::new(),
            blob: false,
            reservations: Vec::new(),
            reserved: Vec::new(),
            kept: Vec::new(),
            needed: Vec::new(),
            forgotten: 0,
            max_cpus: 0,
            outcome: Outcome::Secure,
        };
        let mut paging = Paging::new(self.ram, self.map);
        let stop = match self.steps(&mut report, &mut paging) {
            Ok(()) => return Ok(report),
            Err(stop) => stop,
        };
        let (unmet, outcome) = match stop {
            Stop::Io(error) => return Err(error),
            Stop::Unmet(unmet) => (unmet, Outcome::Aborted(Code::PARAMETER)),
            Stop::Asked => (Vec::new(), Outcome::Aborted(Code::PARAMETER)),
            Stop::Late(requirement) => (vec![requirement], Outcome::Aborted(Code::STATE)),
            Stop::Dead(reason) => (Vec::new(), Outcome::Dead(reason)),
        };
        paging.abort()?;
        (report.unmet, report.outcome) = (unmet, outcome);
        (report.reserved, report.reservations) = (Vec::new(), Vec::new());
        Ok(report)
    }

    fn steps(&self, report: &mut EsmReport, paging: &mut Paging<'_>) -> Result<(), Stop> {
        let (mut fdt, room) = self.fetch_tree(report.fdt, paging)?;
        let top = rmo_top(&fdt).ok_or(Requirement::Memory0)?;
        let reserve = |fdt: &mut Fdt, report: &mut EsmReport, paging: &mut Paging<'_>, size| {
            let short = Requirement::RoomForReservation(size);
            let candidate = place(&fdt.reserved, top, size).ok_or_else(|| short.clone())?;
            // Checked before the alignment, as in the source.
            let unaligned =
                candidate / FRAME_SIZE..(candidate / FRAME_SIZE).saturating_add(size / FRAME_SIZE);
            if !paging.in_slots(&unaligned) {
                return Err(Stop::from(short));
            }
            let address = candidate.next_multiple_of(FRAME_SIZE);
            fdt.reserved.push((address, size));
            if fdt.pack().len() as u64 > room {
                return Err(Requirement::RoomInTree.into());
            }
            report.reservations.push((address, size));
            report.reserved.extend((address..address + size).step_by(FRAME_SIZE as usize));
            let frames = address / FRAME_SIZE..(address + size) / FRAME_SIZE;
            paging.reserve(frames.clone());
            Ok(frames)
        };
        for size in ESMB {
            reserve(&mut fdt, report, paging, size)?;
        }
        report.max_cpus = self.rtas_services(&fdt)?;
        let rtas = reserve(&mut fdt, report, paging, RTAS)?;
        // The last share fails when aligning up has moved the frames out of the VM's memory.
        if !paging.in_slots(&rtas) {
            return Err(Requirement::RoomForReservation(RTAS).into());
        }
        paging.share(rtas)?;
        let tss = reserve(&mut fdt, report, paging, TSS)?;
        let buffer = tss.start..tss.start + 1;
        // The source ignores the result of this share.
        if paging.in_slots(&buffer) {
            paging.share(buffer)?;
        }

        let mut contents = Contents::default();
        let missing = self.check_blob(&fdt, report, paging, &mut contents)?;
        if self.warn_only {
            report.warned = missing;
            report.warned.extend(self.tpm.is_none().then_some(Requirement::Blob));
            paging.page_in_everything();
        } else if !missing.is_empty() {
            return Err(Stop::Unmet(missing));
        }
        if self.abort {
            return Err(Stop::Asked);
        }
        let (id, max) = (fdt.boot_cpu, report.max_cpus);
        if id >= max {
            return Err(Stop::Late(Requirement::BootCpu { id, max }));
        }
        report.forgotten = paging.commit()?;
        report.kept = paging.kept();
        if let Some(esmb) = Esmb::of(report) {
            esmb.keep(self.ram, &contents)?;
        }
        // Even packed, the new tree may end above the old one.
        let packed = fdt.pack();
        report.needed.push(report.fdt..report.fdt.saturating_add(packed.len() as u64));
        if !self.ram.write(report.fdt, &packed)? {
            return Err(Stop::Dead("cannot secure VM: the tree cannot be written back"));
        }
        Ok(())
    }

    /// Reads the tree, and returns the bytes that there is room for.
    fn fetch_tree(&self, address: u64, paging: &mut Paging<'_>) -> Result<(Fdt, u64), Stop> {
        // One frame's worth for the header, whatever the tree's size.
        if !paging.page_in(address, FRAME_SIZE) {
            return Err(Requirement::TreeInRam.into());
        }
        let fdt = read_tree(self.ram, address)?;
        let header = self.ram.read(address, 8)?.unwrap_or_default();
        let size = match claimed_size(&header) {
            Ok(size) => u64::from(size),
            Err(error) => return Err(Requirement::WellFormed(error).into()),
        };
        if size > FRAME_SIZE && !paging.page_in(address.wrapping_add(FRAME_SIZE), size - FRAME_SIZE) {
            return Err(Requirement::TreeInRam.into());
        }
        Ok((fdt?, size.next_multiple_of(FRAME_SIZE)))
    }

    /// Checks for every required token, and returns the number of CPUs.
    fn rtas_services(&self, fdt: &Fdt) -> Result<u32, Stop> {
        let rtas = fdt.node("/rtas");
        let absent = |name: &&str| rtas.is_none_or(|rtas| rtas.property(name).is_none());
        let missing: Vec<_> = RTAS_TOKENS.into_iter().filter(absent).map(Requirement::Rtas).collect();
        if !missing.is_empty() {
            return Err(Stop::Unmet(missing));
        }
        let empty =
            |name: &&str| rtas.and_then(|rtas| rtas.property(name)).is_none_or(|token| token.len() < 4);
        if RTAS_TOKENS.iter().any(empty) {
            return Err(Stop::Dead("a cell of the tree that does not exist was read"));
        }
        Ok(max_cpus(fdt)?)
    }

    /// Finds the measured parts and compares them with the blob. Returns what is missing or wrong; the first missing part
    /// ends the check.
    fn check_blob(
        &self,
        fdt: &Fdt,
        report: &mut EsmReport,
        paging: &mut Paging<'_>,
        contents: &mut Contents,
    ) -> Result<Vec<Requirement>, Stop> {
        let (chosen, rtas) = (fdt.node("/chosen"), fdt.node("/rtas"));
        let property = |node: Option<&Node>, name: &str| {
            let value = node.and_then(|node| node.property(name));
            match value.map(number) {
                None => Ok(None),
                Some(None) => Err(Stop::Dead("a cell of the tree that does not exist was read")),
                Some(number) => Ok(number),
            }
        };
        let names = ["linux,rtas-base", "rtas-size", "slof,rtas-size"];
        let mut missing = Vec::new();
        for name in names {
            if property(rtas, name)?.is_none() {
                let requirement = Requirement::Rtas(name);
                let waived = cannot_meet(self.firmware, &requirement);
                if waived { report.waived.push(requirement) } else { missing.push(requirement) }
            }
        }
        if !missing.is_empty() {
            return Ok(missing);
        }
        let base = property(rtas, "linux,rtas-base")?;
        let text = property(rtas, "slof,rtas-size")?.map(|_| first_cell(rtas, "slof,rtas-size"));
        if let Some(base) = base {
            let size = first_cell(rtas, "rtas-size");
            let area = size.next_multiple_of(FRAME_SIZE);
            if !paging.page_in(base, area) {
                return Ok(vec![Requirement::RtasInRam]);
            }
            let first = base / FRAME_SIZE;
            paging.pseudo_share(first..first + area / FRAME_SIZE);
            report.needed.push(base..base.saturating_add(text.unwrap_or(size)));
        }
        let mut initrd = [0; 2];
        for (value, name) in initrd.iter_mut().zip(["linux,initrd-start", "linux,initrd-end"]) {
            match property(chosen, name)? {
                Some(number) => *value = number,
                None => return Ok(vec![Requirement::Chosen(name)]),
            }
        }
        let length = initrd[1].wrapping_sub(initrd[0]);
        if !paging.page_in(initrd[0], length) {
            return Ok(vec![Requirement::InitrdInRam]);
        }
        report.needed.push(initrd[0]..initrd[1]);
        let found = self.ram.read(initrd[0], length)?.unwrap_or_default();
        report.initrd_sha512 = Some(sha512(&found));
        let Some(bootargs) = chosen.and_then(|chosen| chosen.property("bootargs")) else {
            return Ok(vec![Requirement::Chosen("bootargs")]);
        };
        let bootargs = bootargs.split_last().map_or(&[][..], |(_, text)| text);
        report.bootargs_sha512 = Some(sha512(bootargs));
        let Some(tpm) = self.tpm else { return Ok(self.digests(base, text, report, paging)?) };
        let guest =
            blob::Guest { ram: self.ram, rtas: base.zip(text), bootargs, initrd: &found, at: initrd[0] };
        Ok(guest.check(tpm, report, paging, contents)?)
    }

    /// Compares the digests, all of them.
    fn digests(
        &self,
        rtas: Option<u64>,
        text: Option<u64>,
        report: &mut EsmReport,
        paging: &mut Paging<'_>,
    ) -> io::Result<Vec<Requirement>> {
        let mut wrong = Vec::new();
        if let (Some(base), Some(size)) = (rtas, text) {
            report.rtas_sha512 = self.ram.read(base, size)?.as_deref().map(sha512);
            let expected: Vec<u8> = RTAS_TEXT.iter().flat_map(|word| word.to_be_bytes()).collect();
            if report.rtas_sha512 != Some(sha512(&expected)) {
                wrong.push(Requirement::Digest("RTAS text"));
            }
        }
        if !paging.page_in(report.kernel_base, self.image.span()) {
            return Ok(vec![Requirement::KernelInRam]);
        }
        report.needed.push(report.kernel_base..report.kernel_base + self.image.span());
        // Measured again: the ultravisor's own frames may lie over the kernel by now, and hold zeros.
        report.kernel = self.image.measure(self.ram, report.kernel_base)?;
        if !report.kernel.is_equal() {
            wrong.push(Requirement::Digest("kernel"));
        }
        Ok(wrong)
    }
}

/// A property's first cell, whatever its length.
fn first_cell(node: Option<&Node>, name: &str) -> u64 {
    let value = node.and_then(|node| node.property(name)).and_then(<[u8]>::first_chunk);
    value.map_or(0, |cell| u64::from(u32::from_be_bytes(*cell)))
}
