//! Attacks of a hostile hypervisor on a secure guest's running CPUs: when they happen, and what they do.
//!
//! The published ultravisor enters a secure VM at any 32-byte-aligned address below 0x2000 that the hypervisor
//! names, at any exit, whatever MSR\[EE\] says (`core/uvcall.c`, `uv_return`), and a hypervisor runs a vCPU when it
//! likes, or never again. The moments of an attack are counted, not timed, and come from a seed.

use super::host::Subject;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::random::splitmix64;

/// Addresses below this can be named by the hypervisor, in steps of [`SLOT`].
pub const SLOTS_END: u64 = 0x2000;
/// Bytes between two of them.
pub const SLOT: u64 = 32;
/// Status bits of SRR1, which the host may choose.
pub const STATUS_BITS: u64 = 0x783f_0000;

/// Numbers that a seed leads to.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(splitmix64(seed))
    }

    /// The next number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        splitmix64(self.0)
    }

    /// The next number below `limit`; 0 when that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.word().checked_rem(limit).unwrap_or(0)
    }
}

/// When an attack may begin: at UV_ESM, or when the test says so. Also counts its moments.
#[derive(Clone, Debug, Default)]
pub struct Trigger {
    pulled: Arc<AtomicBool>,
    moments: Arc<AtomicU32>,
}

impl Trigger {
    /// At UV_ESM.
    #[must_use]
    pub fn at_esm() -> Self {
        let trigger = Self::default();
        trigger.pull();
        trigger
    }

    /// When [`Self::pull`] is called.
    #[must_use]
    pub fn later() -> Self {
        Self::default()
    }

    /// From now on.
    pub fn pull(&self) {
        self.pulled.store(true, Ordering::Release);
    }

    /// How many moments there have been.
    #[must_use]
    pub fn moments(&self) -> u32 {
        self.moments.load(Ordering::Acquire)
    }

    pub(super) fn is_pulled(&self) -> bool {
        self.pulled.load(Ordering::Acquire)
    }

    pub(super) fn count(&self) {
        self.moments.fetch_add(1, Ordering::Release);
    }
}

/// An attack on running CPUs.
#[derive(Clone, Debug)]
pub struct Attack {
    /// Seed of all random choices.
    pub seed: u64,
    /// When it begins.
    pub trigger: Trigger,
    /// Longest that the guest runs between two moments.
    pub gap: Duration,
    /// What happens.
    pub act: Act,
}

/// What happens at each moment.
#[derive(Clone, Debug)]
pub enum Act {
    /// An interrupt, and the guest goes on from there.
    Interrupt(Interrupts),
    /// Every slot is entered and followed for a while; then the registers are put back. At so many moments.
    Probe(u32),
    /// Handlers are interrupted themselves, after each number of instructions, and followed until they return or
    /// report; then the registers are put back. At so many moments.
    Nest(u32),
    /// A vCPU stands still.
    Pause(Pauses),
    /// A vCPU that nobody asked for is started where the guest's own are.
    Stray(Stray),
    /// A vCPU gets a system reset while another one works.
    Reset(Reset),
}

impl Act {
    /// For an attack on a vCPU that holds a lock: the vCPU, the lock's name, and the number of the taking, from 1.
    pub(super) const fn lock(&self) -> Option<(usize, &'static str, u32)> {
        match self {
            Self::Pause(Pauses { cpu, place: Place::Lock { name, nth }, .. }) => Some((*cpu, name, *nth)),
            Self::Reset(Reset { cpu, when: When::Lock(name) }) => Some((*cpu, name, 1)),
            _ => None,
        }
    }
}

/// A system reset of one vCPU, by a hypercall that the host makes another vCPU issue. Rules stop the guest at the calls
/// at which the reset may come.
#[derive(Clone, Copy, Debug)]
pub struct Reset {
    /// Which, counted from 0; its server number is the same.
    pub cpu: usize,
    /// When.
    pub when: When,
}

/// What the guest does when a vCPU gets its system reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Another vCPU is about to make the n-th such call, counted from 1 and from the trigger on.
    Before(Subject, u32),
    /// Another vCPU has made such a call, and the victim has run so many instructions since.
    After(Subject, u64),
    /// The victim has just taken the lock of this name.
    Lock(&'static str),
}

/// The argument of a CPU that the host starts unasked: the last CPU, just before the guest starts one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// With the argument of the one that is about to be started.
    Same,
    /// With the argument of one that was started before.
    Earlier,
    /// With any number.
    Random,
    /// With this address.
    Address(u64),
}

/// Interrupts of the hypervisor's choice, on the boot vCPU.
#[derive(Clone, Debug)]
pub struct Interrupts {
    /// Vectors at which the guest may be entered.
    pub slots: Vec<u64>,
    /// How often.
    pub count: u32,
    /// Instructions of the handler after which a second one follows, if one does.
    pub nested: Option<u32>,
    /// Registers hold words of this seed's canary when it comes.
    pub secret: Option<u64>,
}

/// A vCPU that does not run for a while.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    /// Which, counted from 0.
    pub cpu: usize,
    /// How often.
    pub count: u32,
    /// How long; `None` is for ever.
    pub length: Option<Duration>,
    /// Where.
    pub place: Place,
}

/// Where a vCPU is when it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Anywhere.
    Anywhere,
    /// About to make an RTAS call.
    Rtas,
    /// Where it starts, before its first instruction.
    Start,
    /// Having just taken a lock.
    Lock {
        /// Its name.
        name: &'static str,
        /// Number of the taking, from 1.
        nth: u32,
    },
}

/// One moment of an attack.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Where the vCPU was.
    pub pc: u64,
    /// The vector at which it was entered; if none, the instruction that it was about to execute.
    pub slot: u64,
    /// Its r0 to r31.
    pub gpr: Vec<u64>,
}

/// What an attack showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// The guest resumed where it was interrupted, with this register changed.
    Changed {
        /// Where it was entered.
        slot: u64,
        /// Where it was interrupted.
        pc: u64,
        /// The register.
        register: String,
    },
    /// It went to an address with a state that is neither its handlers' nor the interrupted one.
    Astray {
        /// Where it was entered.
        slot: u64,
        /// Where it was interrupted.
        pc: u64,
        /// Where it went.
        to: u64,
        /// Its MSR there.
        msr: u64,
    },
    /// A handler that was interrupted neither went on nor reported.
    Stuck {
        /// Where it was entered first.
        slot: u64,
        /// Instructions of that handler.
        after: u32,
        /// Where it was entered then.
        second: u64,
        /// Where it is.
        at: u64,
    },
    /// The interrupted code's stack is no longer what it was.
    Memory {
        /// Where it was entered.
        slot: u64,
        /// Where it was interrupted.
        pc: u64,
    },
    /// Two CPUs have their stack pointers in the same piece of the guest's memory, here.
    Stack(u64),
    /// A CPU that was counted as missing runs on, here.
    LetIn(u64),
    /// Another CPU changed the request of a paused CPU, at this address.
    Request(u64),
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { slot, pc, register } => {
                write!(f, "an interrupt to {slot:#x} at {pc:#x} changes {register}")
            }
            Self::Astray { slot, pc, to, msr } => {
                write!(f, "an interrupt to {slot:#x} at {pc:#x} leads to {to:#x} with MSR {msr:#x}")
            }
            Self::Stuck { slot, after, second, at } => write!(
                f,
                "an interrupt to {second:#x} after {after} instructions of {slot:#x} ends nowhere, at {at:#x}"
            ),
            Self::Memory { slot, pc } => {
                write!(f, "an interrupt to {slot:#x} at {pc:#x} changes the stack of what it interrupted")
            }
            Self::Stack(at) => write!(f, "two CPUs run on the stack at {at:#x}"),
            Self::LetIn(pc) => write!(f, "a CPU that came too late was let in, and is at {pc:#x}"),
            Self::Request(at) => write!(f, "the request at {at:#x} of a CPU that stood still has changed"),
        }
    }
}

/// The result of an attack.
#[derive(Clone, Debug, Default)]
pub struct Attacked {
    /// Its moments, in order; of probes, those of the first slot.
    pub moments: Vec<Moment>,
    /// Entries of slots that were followed.
    pub entries: u32,
    /// Of those, the ones after which the guest resumed unchanged.
    pub returned: u32,
    /// What it showed.
    pub weaknesses: Vec<Weakness>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_leads_to_the_same_numbers_each_time() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [(); 8].map(|()| random.below(1000))
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert_eq!(Random::new(1).below(0), 0);
    }

    #[test]
    fn an_attack_waits_for_its_trigger() {
        let later = Trigger::later();
        let same = later.clone();
        assert!(Trigger::at_esm().is_pulled() && !later.is_pulled());
        same.pull();
        assert!(later.is_pulled());
    }
}
