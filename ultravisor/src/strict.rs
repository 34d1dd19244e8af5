//! Strict mode: finds what a guest did after UV_ESM that QEMU permits, but that the published ultravisor does not survive
//! or a real machine does not do.

use crate::FRAME_SIZE;
use crate::frames::Shared;
use crate::hcalls::{self, Hands, Listed};
use crate::requests::{Hcall, Part, Requests};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Addresses of code, without the bits that choose a quadrant.
const ADDRESS: u64 = 0x0fff_ffff_ffff_ffff;
/// RTAS takes 32-bit addresses.
const RTAS_LIMIT: u64 = 1 << 32;
/// Words of arguments, and of results, that the ultravisor's copy of an argument block has room for.
const RTAS_WORDS: u32 = 16;
/// token, nargs, nret, arguments, results: the most that a block may hold.
const RTAS_BLOCK: u64 = 4 * (3 + 2 * RTAS_WORDS as u64);
/// Bytes of a virtual processor area at least (PAPR+ 14.11.3.2).
const VPA_BYTES: u64 = 640;
const INT_SET_QUEUE_CONFIG: u64 = 0x3b8;
/// QEMU's name for an instruction that does not exist, or not for a guest.
const ILLEGAL: &str = "HV_EMU";

/// The state of memory, for the rules.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Bytes of RAM.
    pub bytes: u64,
    /// Frames that are or were shared.
    pub shared: Shared,
    /// Addresses of the frames that the ultravisor took for itself.
    pub reserved: Vec<u64>,
}

impl Memory {
    fn ever_shared(&self, address: u64, bytes: u64) -> bool {
        let ever = Shared { now: self.shared.ever.clone(), ever: Vec::new() };
        ever.allows(address, bytes)
    }

    /// Whether the range is RAM that is private to the guest.
    fn private(&self, address: u64, bytes: u64) -> bool {
        let Some(end) = address.checked_add(bytes).filter(|end| *end <= self.bytes) else { return false };
        let mut frames = (address & !(FRAME_SIZE - 1)..end).step_by(FRAME_SIZE as usize);
        frames.all(|frame| !self.ever_shared(frame, FRAME_SIZE) && !self.reserved.contains(&frame))
    }
}

/// The head of an RTAS argument block, as it was found in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// Where it lies.
    pub address: u64,
    /// Words of arguments.
    pub nargs: u32,
    /// Words of results.
    pub nret: u32,
}

impl Block {
    /// Reads the block at `address` of the guest memory in this file.
    #[must_use]
    pub fn read(memory: &File, address: u64) -> Option<Self> {
        let mut words = [0; 12];
        memory.read_exact_at(&mut words, address).ok()?;
        let word = |at: usize| Some(u32::from_be_bytes(*words.get(at..)?.first_chunk()?));
        Some(Self { address, nargs: word(4)?, nret: word(8)? })
    }
}

/// A rule that the guest broke, which would end a real secure guest, or worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// A call for firmware: panics the ultravisor.
    Firmware(Hcall),
    /// A call outside the ultravisor's table: aborts it, and the machine with it.
    Unlisted(Hcall),
    /// A call with a register beyond its arguments that is not zero: the host would see it.
    Excess(Hcall),
    /// A call that hands the host an address in private memory, which it cannot read.
    PrivateAddress(&'static str, Hcall),
    /// A call that hands over addresses in a way that is not judged here.
    Addresses(&'static str, Hcall),
    /// Device access by hypercall to an address in RAM.
    NotADevice(Hcall),
    /// An RTAS argument block above 4 GiB, outside RAM, or in a frame that is not the guest's own.
    RtasBlock(Hcall),
    /// An RTAS argument block with more words than the ultravisor has room for.
    RtasWords(Block),
    /// An instruction in a shared frame: the ultravisor returns to it for ever.
    ExecutesShared(u64),
    /// An illegal instruction: ends the guest, no 0x700.
    Illegal(u64),
    /// A line that could not be parsed.
    Unread(String),
    /// Nothing was seen after UV_ESM.
    NothingSeen,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Firmware(call) => write!(f, "firmware's call {call} after UV_ESM"),
            Self::Unlisted(call) => write!(f, "{call} is not in the ultravisor's table"),
            Self::Excess(call) => write!(f, "{call} leaves something in a register beyond its arguments"),
            Self::PrivateAddress(name, call) => write!(f, "{name} hands over private memory: {call}"),
            Self::Addresses(name, call) => write!(f, "{name} hands over addresses: {call}"),
            Self::NotADevice(call) => write!(f, "device access to RAM: {call}"),
            Self::RtasBlock(call) => write!(f, "argument block out of bounds: {call}"),
            Self::RtasWords(block) => {
                let Block { address, nargs, nret } = block;
                write!(f, "RTAS block at {address:#x} with {nargs} arguments, {nret} results")
            }
            Self::ExecutesShared(nip) => write!(f, "runs in a shared frame, at {nip:#x}"),
            Self::Illegal(nip) => write!(f, "illegal instruction at {nip:#x}"),
            Self::Unread(line) => write!(f, "log line not understood: {line}"),
            Self::NothingSeen => f.write_str("no hypercall was seen after UV_ESM"),
        }
    }
}

impl fmt::Display for Hcall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.arguments;
        write!(f, "hcall {:#x}({a:#x}, {b:#x}, {c:#x}, {d:#x}) at {:#x}", self.number, self.nip)
    }
}

/// Judges a secure guest's run. `blocks` are the RTAS argument blocks, as they are found in memory.
#[must_use]
pub fn breaches(requests: &Requests, memory: &Memory, blocks: &BTreeSet<Block>) -> Vec<Breach> {
    let mut found: Vec<_> = requests.unread.iter().cloned().map(Breach::Unread).collect();
    match &requests.after {
        Some(part) if part.count > 0 => found.extend(part_breaches(part, memory)),
        _ => found.push(Breach::NothingSeen),
    }
    let too_long = |block: &&Block| block.nargs > RTAS_WORDS || block.nret > RTAS_WORDS;
    found.extend(blocks.iter().filter(too_long).copied().map(Breach::RtasWords));
    found
}

/// Judges one part of a run as if the guest had been secure in it.
#[must_use]
pub fn part_breaches(part: &Part, memory: &Memory) -> Vec<Breach> {
    let mut found: Vec<_> = part.hcalls.keys().filter_map(|call| of_hcall(call, memory)).collect();
    found.extend(part.hcalls.keys().filter(|call| call.excess).copied().map(Breach::Excess));
    let shared = |nip: &u64| memory.ever_shared(nip & ADDRESS, 1);
    let nips: BTreeSet<u64> =
        part.hcalls.keys().map(|call| call.nip).chain(part.taken.iter().map(|taken| taken.nip)).collect();
    found.extend(nips.into_iter().filter(shared).map(Breach::ExecutesShared));
    let illegal = part.taken.iter().filter(|taken| taken.name == ILLEGAL);
    found.extend(illegal.map(|taken| Breach::Illegal(taken.nip)));
    found
}

/// Judges one hypercall by its number and by the memory that it hands the host.
#[must_use]
pub fn of_hcall(call: &Hcall, memory: &Memory) -> Option<Breach> {
    let Some(&Listed { name, hands, .. }) = hcalls::listed(call.number) else {
        let firmwares = hcalls::is_firmwares(call.number);
        return Some(if firmwares { Breach::Firmware(*call) } else { Breach::Unlisted(*call) });
    };
    let buffer = |at: usize, bytes| {
        let address = call.arguments.get(at).copied().unwrap_or_default();
        (!memory.ever_shared(address, bytes)).then_some(Breach::PrivateAddress(name, *call))
    };
    match hands {
        Hands::Values => None,
        Hands::Addresses | Hands::IoAddresses => Some(Breach::Addresses(name, *call)),
        // Address 0 unregisters a queue (PAPR+, H_INT_SET_QUEUE_CONFIG).
        Hands::Buffer { address, .. }
            if call.number == INT_SET_QUEUE_CONFIG && call.arguments.get(address) == Some(&0) =>
        {
            None
        }
        Hands::Buffer { address, bytes } => buffer(address, bytes),
        // Sub-functions 1 to 3 register, 5 to 7 deregister.
        Hands::Vpa(address) if (1..=3).contains(&(call.arguments[0] >> 45 & 7)) => buffer(address, VPA_BYTES),
        Hands::Vpa(_) => None,
        Hands::DeviceAddress(at) => {
            let address = call.arguments.get(at).copied().unwrap_or_default();
            (address < memory.bytes).then_some(Breach::NotADevice(*call))
        }
        Hands::RtasBlock => {
            let [address, ..] = call.arguments;
            let low = address.checked_add(RTAS_BLOCK).is_some_and(|end| end <= RTAS_LIMIT);
            let good = low && address % 4 == 0 && memory.private(address, RTAS_BLOCK);
            (!good).then_some(Breach::RtasBlock(*call))
        }
    }
}

/// The fault of a call of a guest of any kind. Calls with I/O addresses are not checked here; the device's accesses are.
#[must_use]
pub fn of_any_guests_hcall(call: &Hcall, memory: &Memory) -> Option<Breach> {
    let by_device = hcalls::listed(call.number).is_some_and(|listed| listed.hands == Hands::IoAddresses);
    of_hcall(call, memory).filter(|_| !by_device)
}

/// The fault of a call that no later action can mend. Linux shares an event queue's page after it has configured the queue,
/// and nothing is written there before.
#[must_use]
pub fn at_once(call: &Hcall, memory: &Memory) -> Option<Breach> {
    of_any_guests_hcall(call, memory).filter(|_| call.number != INT_SET_QUEUE_CONFIG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_queue_may_be_shared_after_its_call_and_other_memory_may_not() {
        let call = |number| Hcall { number, arguments: [1, 0, 6, 0x60_0000], nip: 0, excess: false };
        assert!(of_any_guests_hcall(&call(INT_SET_QUEUE_CONFIG), &memory()).is_some());
        assert_eq!(at_once(&call(INT_SET_QUEUE_CONFIG), &memory()), None);
        assert!(at_once(&call(0x44), &memory()).is_some());
    }

    fn memory() -> Memory {
        let pool: Vec<_> = std::iter::once(0x70..0xf0).collect();
        Memory {
            bytes: 8 << 30,
            shared: Shared { now: pool.clone(), ever: pool },
            reserved: vec![0x2fff_0000],
        }
    }

    /// One line after UV_ESM.
    fn judge(line: &str) -> Vec<Breach> {
        let log = format!("syscall r0=0 r3=000000000000f110 nip=0\nhypercall r3=e0 nip=400000\n{line}\n");
        breaches(&Requests::parse(&log), &memory(), &BTreeSet::new())
    }

    fn hcall(number: u64, arguments: [u64; 4]) -> Vec<Breach> {
        let [a, b, c, d] = arguments;
        judge(&format!("hypercall r3={number:x} r4={a:x} r5={b:x} r6={c:x} r7={d:x} nip=400010"))
    }

    #[test]
    fn the_kernel_s_own_calls_pass() {
        for (number, arguments) in [
            (0x20, [0x8000_0000, 0x1000, 0x70_0003, 0]),
            (0x3c, [4, 0x2000_8000_0000, 0, 0]),
            (0x58, [0, 16, 0x1234_5678_9abc_def0, 0x70_0000]),
            (0x37c, [0x1d, 0x50_0000, 0, 0]),
            (0xf000, [0x56_0200, 0, 0, 0]),
            (0xdc, [1 << 45, 0, 0x70_0000, 0]),
            (0xdc, [5 << 45, 0, 0, 0]),
            (0x13c, [0x8000_0000, 0, 0x71_0000, 512]),
            (0x3b8, [0, 0, 6, 0x70_0000]),
            (0x3b8, [0, 0, 6, 0]),
        ] {
            assert_eq!(hcall(number, arguments), [], "{number:#x}");
        }
        assert_eq!(judge("Raise exception at 000000000041bdfc => DSI (2) error=00"), []);
    }

    #[test]
    fn a_firmware_call_after_esm_is_found() {
        for number in [0xf001, 0xf002, 0xf003, 0xf005] {
            assert!(matches!(hcall(number, [0; 4])[..], [Breach::Firmware(_)]), "{number:#x}");
        }
    }

    #[test]
    fn a_call_outside_the_table_is_found() {
        for number in [0x44, 0x374, 0x3b0, 0x3e00, 0xef00, 0xf110, 0xf130] {
            assert!(matches!(hcall(number, [0; 4])[..], [Breach::Unlisted(_)]), "{number:#x}");
        }
    }

    #[test]
    fn private_memory_handed_to_the_host_is_found() {
        for (number, arguments) in [
            (0x13c, [0x8000_0000, 0, 0x6f_f000, 512]),
            (0x13c, [0x8000_0000, 0, 0xef_f800, 512]),
            (0xdc, [1 << 45, 0, 0x56_0000, 0]),
            (0xdc, [2 << 45, 0, 0xef_ff00, 0]),
            (0x3b8, [0, 0, 6, 0x56_0000]),
            (0x2c, [0, 0x56_0000, 0, 0]),
            (0x150, [0, 0, 0, 0x56_0000]),
            (0xf080, [0x56_0000, 4096, 0, 0]),
        ] {
            assert!(matches!(hcall(number, arguments)[..], [Breach::PrivateAddress(..)]), "{number:#x}");
        }
        assert!(matches!(hcall(0x114, [0; 4])[..], [Breach::Addresses(..)]));
        assert!(matches!(hcall(0x40, [4, 0x56_0000, 0, 0])[..], [Breach::NotADevice(_)]));
    }

    #[test]
    fn an_rtas_block_out_of_bounds_is_found() {
        // Above 4 GiB, across it, unaligned, in the pool, across its start, in the ultravisor's, outside RAM.
        for address in [0x1_0000_0000, 0xffff_fff0, 0x56_0201, 0x70_0000, 0x6f_fff0, 0x2fff_0100, 1 << 40] {
            assert!(matches!(hcall(0xf000, [address, 0, 0, 0])[..], [Breach::RtasBlock(_)]), "{address:#x}");
        }
        let requests = Requests::parse("syscall r3=f110 nip=0\nhypercall r3=e0 nip=0\n");
        for (nargs, nret, good) in [(16, 16, true), (17, 1, false), (1, 17, false)] {
            let block = Block { address: 0x56_0200, nargs, nret };
            assert_eq!(breaches(&requests, &memory(), &BTreeSet::from([block])).is_empty(), good);
        }
    }

    #[test]
    fn code_in_a_shared_frame_is_found() {
        for nip in ["0000000000700000", "c000000000efffff"] {
            let line = format!("Raise exception at {nip} => ISI (3) error=10000000");
            assert!(matches!(judge(&line)[..], [Breach::ExecutesShared(_)]), "{nip}");
        }
        let line = "hypercall r3=e0 nip=0000000000700100";
        assert!(matches!(judge(line)[..], [Breach::ExecutesShared(0x70_0100)]));
    }

    #[test]
    fn an_illegal_instruction_is_found() {
        let line = "Raise exception at 0000000000400100 => HV_EMU (96) error=21";
        assert_eq!(judge(line), [Breach::Illegal(0x40_0100)]);
    }

    #[test]
    fn an_empty_or_unreadable_log_is_a_finding() {
        assert_eq!(breaches(&Requests::default(), &memory(), &BTreeSet::new()), [Breach::NothingSeen]);
        let only_esm = Requests::parse("syscall r3=f110 nip=0\n");
        assert_eq!(breaches(&only_esm, &memory(), &BTreeSet::new()), [Breach::NothingSeen]);
        assert!(matches!(judge("hypercall what")[..], [Breach::Unread(_)]));
    }
}
