//! The effect and the answer of each ultracall, by the published source or by the document.
//!
//! Source: open-power/ultravisor `core/uvcall.c`, `core/svm_host.c` (published), `doc/ultravisor.rst`
//! (documented).

mod sharing;

use std::io;
use std::sync::Arc;

use esm_blob::PrivateKey;

use super::call::{self, Code, Number};
use super::esm::blob::Esmb;
use super::esm::{self, EsmReport, Outcome};
use super::fault::Effect;
use super::files::{Answer, BlobFiles};
use super::frames::{FRAME_SIZE, ShareMap};
use super::image::KernelImage;
use super::ram::GuestRam;
pub use super::violation::Violation;
use crate::Firmware;

/// MSR\[PR\]: the caller runs in problem state.
const MSR_PR: u64 = 1 << 14;

/// Which of the two descriptions of the ultravisor is followed where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// The published source: once a share or unshare has started, r3 keeps the opcode, whatever the result.
    Published,
    /// The document: codes in r3, and every share and unshare zeroes.
    Documented,
}

/// A call as the guest made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// r3.
    pub opcode: u64,
    /// r4 to r12.
    pub arguments: [u64; 9],
    /// The caller's MSR.
    pub msr: u64,
    /// The caller's PIDR; of UV_ESMB_GET_FILE alone.
    pub pidr: u64,
}

/// How the guest goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// After `sc 2`, with this in r3.
    Answer(Code),
    /// The same, and [`Machine::take_data`] has what goes into r4 to r11.
    Data(Code),
    /// After `sc 2`, with r3 as it was.
    Untouched,
    /// At the kernel base, as UV_ESM does.
    Reenter {
        /// PC and r4.
        kernel_base: u64,
        /// r3.
        fdt: u64,
    },
    /// Not at all: the ultravisor ended, or it killed the VM.
    Never,
}

/// The result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The ultravisor's own result, whether or not the guest is told.
    pub code: Code,
    /// How the guest goes on.
    pub resume: Resume,
}

/// The ultravisor's state of one guest.
#[derive(Debug)]
pub struct Machine {
    behaviour: Behaviour,
    firmware: Firmware,
    image: KernelImage,
    map: Arc<ShareMap>,
    secure: bool,
    warn_only: bool,
    /// The guest may leave the place where it was entered, and use it.
    moves: bool,
    tpm: Option<PrivateKey>,
    files: Option<BlobFiles>,
    /// Kept apart from the verdict, which is logged.
    data: Option<[u64; 8]>,
    /// Kernel, with its stack, and tree of a secure guest: address and size.
    in_use: Vec<(u64, u64)>,
    /// Every UV_ESM that got as far as reading the tree.
    pub esm: Vec<EsmReport>,
    /// What the guest did that it must not.
    pub violations: Vec<Violation>,
}

impl Machine {
    /// A guest that is a normal VM.
    #[must_use]
    pub fn new(behaviour: Behaviour, firmware: Firmware, image: KernelImage, map: Arc<ShareMap>) -> Self {
        Self {
            behaviour,
            firmware,
            image,
            map,
            secure: false,
            warn_only: false,
            moves: false,
            tpm: None,
            files: None,
            data: None,
            in_use: Vec::new(),
            esm: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// A development build: a wrong ESM blob is only logged.
    pub fn warn_only(&mut self) {
        self.warn_only = true;
    }

    /// Permits the guest to move, and to reuse and share the place where it was entered.
    pub fn permit_moves(&mut self) {
        self.moves = true;
    }

    /// This key is in the TPM's place: guests need an ESM blob.
    pub fn use_key(&mut self, tpm: PrivateKey) {
        self.tpm = Some(tpm);
    }

    /// The data of the last answer, once.
    pub fn take_data(&mut self) -> Option<[u64; 8]> {
        self.data.take()
    }

    /// Checks the server number of a CPU that RTAS starts.
    ///
    /// # Errors
    /// It is not below the number of CPUs: an assertion of the ultravisor fails, and the run ends.
    pub fn start_cpu(&mut self, server: u64) -> Result<(), Violation> {
        let max = self.esm.iter().rfind(|esm| esm.succeeded()).map(|esm| u64::from(esm.max_cpus));
        if max.is_none_or(|max| server < max) {
            return Ok(());
        }
        let dead = Violation::Dead("a started CPU's server number is not below the number of CPUs");
        self.violations.push(dead.clone());
        Err(dead)
    }

    /// Whether the guest is secure.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether an address lies in the kernel of a secure guest, with its stacks.
    #[must_use]
    pub fn is_kernels(&self, address: u64) -> bool {
        self.in_use.first().is_some_and(|(at, size)| (*at..at + size).contains(&address))
    }

    /// Records a violation, once.
    pub fn accuse(&mut self, violation: Violation) {
        if !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }

    /// Bytes of the kernel's file in memory.
    #[must_use]
    pub fn image_span(&self) -> u64 {
        self.image.span()
    }

    /// Whether memory that begins with these bytes holds the kernel's file.
    #[must_use]
    pub fn is_image(&self, memory: &[u8]) -> bool {
        memory.starts_with(&self.image.flat())
    }

    /// Serves a call, or commits the fault instead.
    ///
    /// # Errors
    /// Guest RAM cannot be accessed.
    pub fn serve(&mut self, ram: &GuestRam, call: &Call, fault: Option<Effect>) -> io::Result<Verdict> {
        match fault {
            Some(Effect::Answer(code)) => Ok(answered(code)),
            Some(Effect::Silent) => Ok(self.finished(Code::SUCCESS)),
            Some(Effect::AbortEsm) => self.dispatch(ram, call, true),
            None => self.dispatch(ram, call, false),
        }
    }

    fn dispatch(&mut self, ram: &GuestRam, call: &Call, abort: bool) -> io::Result<Verdict> {
        let opcode = call.opcode;
        if call::is_hypervisor_only(opcode) {
            self.violations.push(Violation::HypervisorCall(opcode));
            return Ok(answered(Code::PERMISSION));
        }
        let Some(number) = Number::from_opcode(opcode) else {
            self.violations.push(Violation::UnknownCall(opcode));
            return Ok(answered(Code::FUNCTION));
        };
        let is_share = matches!(number, Number::SharePage | Number::UnsharePage | Number::UnshareAllPages);
        // The document says U_INVALID for a VM that is not secure, but gives it no number; the source's code has one.
        if is_share && !self.secure {
            self.violations.push(Violation::NotSecure(opcode));
            return Ok(answered(Code::PERMISSION));
        }
        if number != Number::EsmbGetFile && call.msr & MSR_PR != 0 {
            self.violations.push(Violation::ProblemState(opcode));
            return Ok(answered(Code::PERMISSION));
        }
        let [first, second, ..] = call.arguments;
        match number {
            Number::Esm => self.esm(ram, first, second, abort),
            Number::SharePage => self.share(ram, first, second),
            Number::UnsharePage => self.unshare(ram, first, second),
            Number::UnshareAllPages => self.unshare_all(ram),
            Number::EsmbGetFile => self.get_file(ram, call),
        }
    }

    fn get_file(&mut self, ram: &GuestRam, call: &Call) -> io::Result<Verdict> {
        let Some(files) = self.files.as_mut().filter(|_| self.secure) else {
            return Ok(answered(Code::PARAMETER));
        };
        Ok(match files.read(ram, call.arguments, call.pidr)? {
            Answer::Code(code) => answered(code),
            Answer::Data(data, count) => {
                self.data = Some(data);
                let code = Code(i32::try_from(count).unwrap_or_default());
                Verdict { code, resume: Resume::Data(code) }
            }
            Answer::Dead(reason) => {
                self.violations.push(Violation::Dead(reason));
                Verdict { code: Code::STATE, resume: Resume::Never }
            }
        })
    }

    /// The end of a share call whose body has run.
    fn finished(&self, code: Code) -> Verdict {
        match self.behaviour {
            Behaviour::Published => Verdict { code, resume: Resume::Untouched },
            Behaviour::Documented => answered(code),
        }
    }

    fn esm(&mut self, ram: &GuestRam, kernel_base: u64, fdt: u64, abort: bool) -> io::Result<Verdict> {
        let published = self.behaviour == Behaviour::Published;
        if kernel_base == 0 {
            return Ok(answered(if published { Code::P2 } else { Code::PARAMETER }));
        }
        if fdt == 0 {
            return Ok(answered(if published { Code::P3 } else { Code::P2 }));
        }
        if self.secure {
            self.violations.push(Violation::AlreadySecure);
            return Ok(answered(if published { Code::RETRY } else { Code::SUCCESS }));
        }
        let (image, firmware, warn_only) = (&self.image, self.firmware, self.warn_only);
        let tpm = self.tpm.as_ref();
        let entry = esm::Entry { ram, map: &self.map, image, tpm, firmware, warn_only, abort };
        let report = entry.run(kernel_base, fdt)?;
        if let Some(address) = report.kernel.first_difference {
            self.violations.push(Violation::KernelDiffers(address));
        }
        let outcome = report.outcome;
        if outcome == Outcome::Secure {
            self.become_secure(ram, &report)?;
        }
        self.esm.push(report);
        Ok(match outcome {
            Outcome::Secure => Verdict { code: Code::SUCCESS, resume: Resume::Reenter { kernel_base, fdt } },
            Outcome::Aborted(code) => answered(code),
            Outcome::Dead(reason) => {
                self.violations.push(Violation::Dead(reason));
                Verdict { code: Code::STATE, resume: Resume::Never }
            }
        })
    }

    fn become_secure(&mut self, ram: &GuestRam, report: &EsmReport) -> io::Result<()> {
        let tree = esm::read_tree(ram, report.fdt)?.map_or(0, |tree| tree.pack().len() as u64);
        let file = [(report.kernel_base, self.image.span()), (report.fdt, tree)];
        self.in_use = vec![(report.kernel_base, self.image.memory()), (report.fdt, tree)];
        for address in &report.reserved {
            let hits = |(start, size): &(u64, u64)| {
                *start < address + FRAME_SIZE && start.saturating_add(*size) > *address
            };
            if file.iter().any(hits) {
                self.violations.push(Violation::ReservationHits(*address));
            }
        }
        // Without a blob there is no file.
        self.files = Esmb::of(report).filter(|_| self.tpm.is_some()).map(BlobFiles::new);
        self.secure = true;
        Ok(())
    }
}

/// An answer that is written to r3.
fn answered(code: Code) -> Verdict {
    Verdict { code, resume: Resume::Answer(code) }
}

#[cfg(test)]
#[path = "machine/tests.rs"]
#[expect(clippy::single_range_in_vec_init, reason = "runs of frames are compared with lists of runs")]
mod tests;
