//! `ibm,client-architecture-support`: tells firmware what this kernel supports, before the kernel asks firmware for
//! anything else. The hypervisor then gives the guest these facilities and no others. The kernel uses every facility
//! whose bit it sets.
//!
//! Source: PAPR+ B.6.2.3; QEMU `hw/ppc/spapr_hcall.c` and `spapr.c`; Linux `arch/powerpc/kernel/prom_init.c`.

use core::ffi::CStr;
use core::fmt;
use thiserror::Error;

/// Property of `/chosen`: pairs of a byte's number in option vector 5 and what the platform supports of it.
pub const PLATFORM_SUPPORT: &str = "ibm,arch-vec-5-platform-support";

/// Processors that the image runs on, by mask and value of the PVR; then the compatibility modes of newer processors,
/// by logical version. Terminator: `value & !mask != 0` matches no processor.
const PROCESSORS: [(u32, u32); 7] = [
    (0xffff_0000, 0x004e_0000), // POWER9
    (0xffff_0000, 0x0080_0000), // POWER10
    (0xffff_0000, 0x0082_0000), // POWER11
    (0xffff_ffff, 0x0f00_0005), // as a POWER9
    (0xffff_ffff, 0x0f00_0006), // as a POWER10
    (0xffff_ffff, 0x0f00_0007), // as a POWER11
    (0xffff_fffe, 0xffff_ffff),
];
/// Number of option vectors, less 1.
const VECTORS: u8 = 4;
/// Vector 1, after its length less 1: Power ISA 3.0 and 3.1.
const ARCHITECTURES: [u8; 4] = [2, 0, 0, 0xc0];
/// Vectors 2 to 4: length less 1, and the bit by which firmware ignores the vector.
const IGNORED: [u8; 2] = [0, 0x80];
/// Length of vector 5 in bytes.
const PLATFORM: u8 = 26;
/// Byte 2: logical partition, dynamically reconfigurable memory, MSI.
const PARTITION: u8 = 0xa1;
/// Byte 22: firmware describes such memory in runs of blocks (`ibm,dynamic-memory-v2`).
const RUNS: u8 = 0x80;
/// The two highest bits of bytes 23 and 24: 0 selects XICS and hash translation, [`NEW`] selects XIVE and radix
/// translation. In the platform's offer, 0x80 means either.
const CHOICE: u8 = 0xc0;
const NEW: u8 = 0x40;
/// Byte 26: guest translation shootdown (GTSE): the guest invalidates translations itself.
const INVALIDATES: u8 = 0x40;

const LEN: usize = PROCESSORS.len() * 8 + 1 + ARCHITECTURES.len() + 3 * IGNORED.len() + 1 + PLATFORM as usize;

/// Why the kernel does not start the negotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unasked {
    /// The platform does not say what it supports.
    #[error("firmware does not say what can be negotiated")]
    NoOffer,
    /// The platform does not support radix translation, the only kind that this kernel uses. A request for it could end
    /// the machine.
    #[error("the platform does not offer radix translation")]
    NoRadix,
}

/// A processor on which the platform offers no radix translation, and its compatibility mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// The processor version register (PVR).
    pub version: u32,
    /// The logical version of the compatibility mode, if there is one.
    pub compatibility: Option<u32>,
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no radix translation on this CPU (PVR {:#010x}", self.version)?;
        if let Some(mode) = self.compatibility {
            write!(f, ", held to {} (cpu-version {mode:#010x})", generation(mode))?;
        }
        f.write_str("): wanted POWER9 or later, with radix translation")
    }
}

/// Which processor a logical version stands for (QEMU `target/ppc/cpu-models.h`).
const fn generation(logical: u32) -> &'static str {
    match logical {
        0x0f00_0001 | 0x0f00_0002 | 0x0f10_0002 => "POWER6",
        0x0f00_0003 | 0x0f10_0003 => "POWER7",
        0x0f00_0004 => "POWER8",
        0x0f00_0005 => "POWER9",
        0x0f00_0006 => "POWER10",
        0x0f00_0007 => "POWER11",
        _ => "an unknown mode",
    }
}

/// What the kernel requests besides radix translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// XIVE exploitation mode, requested only where the platform offers nothing else. The kernel then polls its
    /// devices. A request for XICS would end the machine (QEMU).
    pub xive: bool,
    /// Whether the guest invalidates translations itself.
    pub invalidates: bool,
}

impl Request {
    /// What to request of a platform, by its property [`PLATFORM_SUPPORT`]: pairs of a byte's number and its value.
    ///
    /// # Errors
    /// The platform offers nothing, or no radix translation.
    pub fn of_offer(support: &[u8]) -> Result<Self, Unasked> {
        let byte = |number: u8| {
            let pairs = support.chunks_exact(2);
            pairs
                .filter_map(|pair| pair.split_first())
                .find(|(first, _)| **first == number)?
                .1
                .first()
                .copied()
        };
        let translation = byte(24).ok_or(Unasked::NoOffer)?;
        if translation & CHOICE == 0 {
            return Err(Unasked::NoRadix);
        }
        Ok(Self {
            xive: byte(23).is_some_and(|interrupts| interrupts & CHOICE == NEW),
            invalidates: byte(26).is_some_and(|radix| radix & INVALIDATES != 0),
        })
    }

    /// The structure whose address firmware's method takes.
    #[must_use]
    pub fn vectors(self) -> Vectors {
        let mut platform = [0; PLATFORM as usize];
        let mut set = |number: usize, value| {
            if let Some(byte) = platform.get_mut(number.wrapping_sub(1)) {
                *byte = value;
            }
        };
        set(2, PARTITION);
        set(22, RUNS);
        set(23, if self.xive { NEW } else { 0 });
        set(24, NEW);
        set(26, if self.invalidates { INVALIDATES } else { 0 });
        let processors = PROCESSORS.iter().flat_map(|(mask, value)| [*mask, *value]);
        let bytes = processors.flat_map(u32::to_be_bytes).chain([VECTORS]).chain(ARCHITECTURES);
        let bytes = bytes.chain([IGNORED; 3].into_iter().flatten());
        let bytes = bytes.chain([PLATFORM.wrapping_sub(1)]).chain(platform);
        let mut all = [0; LEN];
        for (into, byte) in all.iter_mut().zip(bytes) {
            *into = byte;
        }
        Vectors(all)
    }
}

/// The list of processors and the option vectors 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors([u8; LEN]);

impl Vectors {
    /// The bytes of the structure, in the order that firmware reads.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// How the negotiation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Firmware took the vectors; its tree has changed.
    Agreed,
    /// Firmware refused the vectors, or has no such method. Its tree is unchanged.
    Refused,
    /// Firmware was not asked: see [`Unasked`].
    Unasked,
    /// The kernel was entered without firmware.
    NoFirmware,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Agreed, Self::Refused, Self::Unasked, Self::NoFirmware];

    /// The note of the boot stage.
    #[must_use]
    pub const fn note(self) -> &'static CStr {
        match self {
            Self::Agreed => c"agreed",
            Self::Refused => c"refused",
            Self::Unasked => c"unasked",
            Self::NoFirmware => c"none",
        }
    }

    /// The word of the fact `firmware.cas`.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.note().to_str().unwrap_or_default()
    }

    /// The outcome that a word of [`Self::word`] stands for.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    /// QEMU 7.2: TCG; `ic-mode=xive`; KVM on a host that has radix only.
    const TCG: [u8; 8] = [23, 0x80, 24, 0xc0, 25, 0, 26, 0x40];
    const XIVE: [u8; 8] = [23, 0x40, 24, 0xc0, 25, 0, 26, 0x40];
    const RADIX: [u8; 8] = [23, 0x00, 24, 0x40, 25, 0, 26, 0x00];

    /// Option vector `number` of the structure, walked as a hypervisor does (`spapr_ovec_parse_vector`).
    fn vector(vectors: &Vectors, number: usize) -> &[u8] {
        let mut at = vectors.as_bytes();
        while let Some((entry, rest)) = at.split_at_checked(8) {
            at = rest;
            let word = |from: usize| u32::from_be_bytes(entry[from..from + 4].try_into().unwrap());
            if !word(0) & word(4) != 0 {
                break;
            }
        }
        assert!(number <= usize::from(at[0]) + 1);
        at = &at[1..];
        for _ in 1..number {
            at = &at[usize::from(at[0]) + 2..];
        }
        &at[1..usize::from(at[0]) + 2]
    }

    #[test]
    fn radix_and_xics_are_requested_where_there_is_a_choice() {
        let request = Request::of_offer(&TCG).unwrap();
        assert_eq!(request, Request { xive: false, invalidates: true });
        let vectors = request.vectors();
        let platform = vector(&vectors, 5);
        assert_eq!((platform[22], platform[23], platform[24], platform[25]), (0, 0x40, 0, 0x40));
        assert_eq!(platform.len(), 26);
        assert_eq!(vector(&vectors, 1), [0, 0, 0xc0]);
        for ignored in 2..=4 {
            assert_eq!(vector(&vectors, ignored), [0x80]);
        }
    }

    #[test]
    fn only_offered_modes_are_requested() {
        let vectors = Request::of_offer(&RADIX).unwrap().vectors();
        assert_eq!(vector(&vectors, 5)[25], 0);
        assert_eq!(vector(&Request::of_offer(&XIVE).unwrap().vectors(), 5)[22], 0x40);
    }

    #[test]
    fn no_choice_is_ever_left_to_the_host() {
        for interrupts in [0, 0x40, 0x80, 0xc0, 0xff] {
            for translation in [0x40, 0x80, 0xc0, 0xff] {
                let offer = [23, interrupts, 24, translation, 26, 0xff];
                let vectors = Request::of_offer(&offer).unwrap().vectors();
                let platform = vector(&vectors, 5);
                assert_eq!((platform[22] & 0x80, platform[23] & 0x80), (0, 0), "both ends QEMU");
            }
        }
    }

    #[test]
    fn platform_without_radix_or_without_a_word_is_not_asked() {
        assert_eq!(Request::of_offer(&[23, 0x80, 24, 0x00]), Err(Unasked::NoRadix));
        for offer in [&[][..], &[24], &[23, 0x80], &[0x40, 24]] {
            assert_eq!(Request::of_offer(offer), Err(Unasked::NoOffer), "{offer:?}");
        }
    }

    #[test]
    fn every_processor_of_the_list_is_one_that_the_image_runs_on() {
        let fits = |pvr: u32| PROCESSORS.iter().any(|(mask, value)| pvr & mask == value & mask);
        for good in
            [0x004e_1200, 0x004e_1203, 0x0080_0200, 0x0082_1200, 0x0f00_0005, 0x0f00_0006, 0x0f00_0007]
        {
            assert!(fits(good), "{good:#x}");
        }
        for other in [0x004d_0200, 0x0f00_0004, 0x0f00_0008] {
            assert!(!fits(other), "{other:#x}");
        }
    }

    #[test]
    fn a_processor_without_radix_is_named_with_its_mode() {
        let mut processor = Processor { version: 0x004e_1202, compatibility: Some(0x0f00_0004) };
        assert_eq!(
            processor.to_string(),
            "no radix translation on this CPU (PVR 0x004e1202, held to POWER8 (cpu-version 0x0f000004)): wanted \
             POWER9 or later, with radix translation"
        );
        processor.compatibility = None;
        assert_eq!(
            processor.to_string(),
            "no radix translation on this CPU (PVR 0x004e1202): wanted POWER9 or later, with radix translation"
        );
    }

    #[test]
    fn words_are_found_again() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::of_word(outcome.word()), Some(outcome));
        }
        assert_eq!(Outcome::of_word("maybe"), None);
    }
}
