//! Proves that memory is the VM's own and private before its first use, and counts the results. In normal mode nothing
//! is proved.
//!
//! The loaded part of the image (text, data) was measured in place. The rest (.bss, tree, stacks) is in use before the
//! first call can be made; it is only read once, see [`look_at_image`].

use crate::memory::layout;
use crate::platform::pseries::Pseries;
use crate::report::Report;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use papr::addr::{FRAME_SIZE, GpaRange};
use papr::clock::{Clock, duration};
use papr::parts::index;
use postern_core::facts;
use svm_dma::accept::{AcceptError, Unproved, accept};
use svm_dma::memory_map::OwnedFrames;

static NEEDED: AtomicBool = AtomicBool::new(false);
static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);
static TICKS: AtomicU64 = AtomicU64::new(0);
/// Runs that were not proved.
static RUNS_REFUSED: AtomicU64 = AtomicU64::new(0);

/// Number of failed runs after which no other is tried.
pub const MOST_REFUSED: u64 = 8;

/// A run of frames that nobody uses yet.
struct Run(OwnedFrames);

impl Run {
    /// The address of 16 bytes of the run.
    fn at(&self, offset: usize) -> *mut u8 {
        let GpaRange { start, len } = self.0.range();
        assert!(offset.checked_add(16).is_some_and(|end| end as u64 <= len), "a word inside the run");
        core::ptr::with_exposed_provenance_mut(index(start.0).wrapping_add(offset))
    }
}

// SAFETY: the value owns its frames, of which there is no reference, and `at` lets no access begin or end outside.
unsafe impl Unproved for Run {
    fn range(&self) -> GpaRange {
        self.0.range()
    }

    fn put(&self, offset: usize, word: [u64; 2]) {
        // SAFETY: the 16 bytes are RAM of this value's own frames, aligned as callers' offsets are, and without references.
        unsafe { postern_arch::copy_16(self.at(offset), word.as_ptr().cast()) };
    }

    fn get(&self, offset: usize) -> [u64; 2] {
        let mut word = [0u64; 2];
        // SAFETY: as in `put`; `word` is 16 bytes of this function.
        unsafe { postern_arch::copy_16(word.as_mut_ptr().cast(), self.at(offset)) };
        word
    }
}

/// From now on memory has to be proved: this is a secure VM.
pub fn require() {
    NEEDED.store(true, Ordering::Relaxed);
}

/// Whether memory has to be proved.
pub fn required() -> bool {
    NEEDED.load(Ordering::Relaxed)
}

/// Proves that `frames` are this VM's and private, if that is required.
///
/// # Errors
/// They were not proved. They are dropped, and never used.
pub fn prove(frames: OwnedFrames) -> Result<OwnedFrames, AcceptError> {
    if !required() {
        return Ok(frames);
    }
    let range = frames.range();
    let start = Pseries.now();
    let run = Run(frames);
    let proved = accept(&Pseries, &Pseries, &run);
    TICKS.fetch_add(Pseries.now().wrapping_sub(start), Ordering::Relaxed);
    match proved {
        Ok(proof) => {
            ACCEPTED.fetch_add(range.len, Ordering::Relaxed);
            CALLS.fetch_add(proof.calls.into(), Ordering::Relaxed);
            Ok(run.0)
        }
        Err(error) => {
            REFUSED.fetch_add(range.len, Ordering::Relaxed);
            RUNS_REFUSED.fetch_add(1, Ordering::Relaxed);
            log::error!("memory: {:#x}+{:#x} is not used: {error}", range.start.0, range.len);
            Err(error)
        }
    }
}

/// Whether [`MOST_REFUSED`] runs have failed, so that no other is tried.
pub fn given_up() -> bool {
    RUNS_REFUSED.load(Ordering::Relaxed) >= MOST_REFUSED
}

/// In a secure VM, reads 16 bytes of each frame of the image that is not in the file: .bss, the tree's buffer, stacks.
/// UV_ESM made them secure if they lie in the VM's memory slots. If one does not, the read stops the CPU, before
/// anything private is in these frames.
pub fn look_at_image() {
    if !required() {
        return;
    }
    let range = layout::unmeasured();
    for offset in (0..index(range.len)).step_by(FRAME_SIZE) {
        let from = core::ptr::with_exposed_provenance(index(range.start.0).wrapping_add(offset));
        let mut word = [0u64; 2];
        // SAFETY: the bytes are this image's, which is RAM for the kernel's life. The instruction reads them whoever has a
        // reference to them, and the value is thrown away. `word` is 16 bytes of this function.
        unsafe { postern_arch::copy_16(word.as_mut_ptr().cast(), from) };
        core::hint::black_box(word);
    }
}

/// States the counts as facts.
pub fn report(report: &mut Report) {
    if !required() {
        return;
    }
    let took = duration(&Pseries, TICKS.load(Ordering::Relaxed));
    report.fact(facts::boot::MEMORY_ACCEPTED, ACCEPTED.load(Ordering::Relaxed));
    report.fact(facts::boot::MEMORY_REFUSED, REFUSED.load(Ordering::Relaxed));
    report.fact(facts::boot::MEMORY_ACCEPT_CALLS, CALLS.load(Ordering::Relaxed));
    report.fact(facts::boot::MEMORY_ACCEPT_US, took.as_micros());
    report.fact(
        facts::boot::MEMORY_ACCEPT_BY,
        if postern_arch::vectors_are_on() { "vectors" } else { "words" },
    );
}
