//! QEMU's interrupt log (`-d int`): each hypercall with its registers, and where each exception was taken.
//!
//! Lines of `target/ppc/excp_helper.c`, the same from QEMU 7.2 to 10.0:
//! ```text
//! Raise exception at 0000000000417450 => SYSCALL (8) error=01
//! hypercall r3=000000000000f000 r4=0000000000560200 ... nip=0000000000417450
//! syscall r0=... r3=000000000000f110 ... nip=0000000000400290      (any other `sc`, `sc 2` among them)
//! ```

use crate::call::Number;
use crate::counts::{Counts, counts};
use crate::hcalls::{self, Hands};
use crate::ultracalls::is_linear;
use std::collections::{BTreeMap, BTreeSet};

/// A hypercall, without the values that differ from call to call and are not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hcall {
    /// r3.
    pub number: u64,
    /// r4 to r7; zeros if the call is listed and takes only values.
    pub arguments: [u64; 4],
    /// The instruction.
    pub nip: u64,
    /// Whether a register beyond its arguments, up to r12, is not zero.
    pub excess: bool,
}

/// How often a hypercall was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How often.
    pub count: u64,
    /// Position of the first one among all hypercalls of its part, from 1.
    pub first: usize,
}

/// An exception.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// The interrupted instruction.
    pub nip: u64,
    /// QEMU's name for the cause.
    pub name: String,
}

/// The hypercalls and exceptions in one part of a run, each different one once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Hypercalls.
    pub hcalls: BTreeMap<Hcall, Times>,
    /// Exceptions.
    pub taken: BTreeSet<Taken>,
    /// Number of all hypercalls.
    pub count: usize,
}

/// A run's interrupts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Before the last UV_ESM: firmware, and the boot stage.
    pub before: Part,
    /// From there on, or from the last UV_UNSHARE_ALL_PAGES of a guest of any kind; nothing when there was no UV_ESM.
    pub after: Option<Part>,
    /// What came before each UV_UNSHARE_ALL_PAGES of such a guest: it had other frames shared then.
    pub left: Vec<Part>,
    /// Whether programs make system calls.
    programs: bool,
    /// The arguments of the first UV_ESM.
    entry: Option<[u64; 2]>,
    /// The last exception's line: one hypercall after the other raises the same.
    last: String,
    /// Lines that could not be parsed. They count as a finding.
    pub unread: Vec<String>,
}

impl Requests {
    /// Reads QEMU's log.
    #[must_use]
    pub fn parse(log: &str) -> Self {
        let mut requests = Self::default();
        for line in log.lines() {
            let _ = requests.take(line);
        }
        requests
    }

    /// For a guest whose programs make system calls, which can look like UV_ESM. No program runs before the first UV_ESM,
    /// and a repeated UV_ESM has the same arguments.
    #[must_use]
    pub fn of_any_guest() -> Self {
        Self { programs: true, ..Self::default() }
    }

    /// Reads one line. Returns the address of the argument block if it is a secure guest's RTAS call.
    pub fn take(&mut self, line: &str) -> Option<u64> {
        let secure = self.after.is_some();
        let part = self.after.as_mut().unwrap_or(&mut self.before);
        if let Some(rest) = line.strip_prefix("hypercall ") {
            match hcall(rest) {
                Some(call) => {
                    part.add(call);
                    let rtas = hcalls::listed(call.number).is_some_and(|c| c.hands == Hands::RtasBlock);
                    return (secure && rtas).then_some(call.arguments[0]);
                }
                None => self.unread.push(line.to_owned()),
            }
        } else if let Some(rest) = line.strip_prefix("syscall ") {
            match register(rest, "r3") {
                // The last UV_ESM is the boundary. What followed an earlier, failed one counts as before.
                Some(opcode) if opcode == Number::Esm as u64 => {
                    let arguments = ["r4", "r5"].map(|name| register(rest, name).unwrap_or_default());
                    if self.programs && *self.entry.get_or_insert(arguments) != arguments {
                        return None;
                    }
                    if let Some(part) = self.after.replace(Part::default()) {
                        self.before.absorb(part);
                    }
                    self.last.clear();
                }
                Some(opcode) if opcode == Number::UnshareAllPages as u64 && self.programs => {
                    if register(rest, "nip").is_some_and(is_linear)
                        && let Some(part) = self.after.replace(Part::default())
                    {
                        self.left.push(part);
                    }
                }
                Some(_) => {}
                None => self.unread.push(line.to_owned()),
            }
        } else if let Some(rest) = line.strip_prefix("Raise exception at ") {
            if line == self.last {
                return None;
            }
            line.clone_into(&mut self.last);
            match taken(rest) {
                Some(taken) => drop(part.taken.insert(taken)),
                None => self.unread.push(line.to_owned()),
            }
        }
        None
    }
}

impl Part {
    fn add(&mut self, call: Hcall) {
        self.count += 1;
        let times = self.hcalls.entry(call).or_insert(Times { count: 0, first: self.count });
        times.count += 1;
    }

    fn absorb(&mut self, other: Self) {
        for (call, times) in other.hcalls {
            let first = self.count + times.first;
            self.hcalls.entry(call).or_insert(Times { count: 0, first }).count += times.count;
        }
        self.taken.extend(other.taken);
        self.count += other.count;
    }
}

/// Parses a hypercall. Most lines are calls that take only values, of which no more is parsed than needed.
fn hcall(text: &str) -> Option<Hcall> {
    let number = text.strip_prefix("r3=")?.split(' ').next()?;
    let number = u64::from_str_radix(number, 16).ok()?;
    let (_, nip) = text.rsplit_once(" nip=")?;
    let nip = u64::from_str_radix(nip, 16).ok()?;
    let mut arguments = [0; 4];
    if hcalls::listed(number).is_none_or(|call| call.hands != Hands::Values) {
        for (argument, name) in arguments.iter_mut().zip(["r4", "r5", "r6", "r7"]) {
            *argument = register(text, name)?;
        }
    }
    Some(Hcall { number, arguments, nip, excess: excess(number, text) })
}

/// Registers are logged in order, r3 to r12.
fn excess(number: u64, text: &str) -> bool {
    let Some(Counts { passed, .. }) = counts(number) else { return false };
    let registers = text.rsplit(' ').filter_map(|word| word.strip_prefix('r')?.split_once('='));
    let beyond = registers.take_while(|(name, _)| name.parse().is_ok_and(|n: usize| n >= 3 + passed));
    beyond.into_iter().any(|(_, value)| value.bytes().any(|digit| digit != b'0'))
}

/// Whether a line is of the interrupt log.
#[must_use]
pub fn is_interrupt(line: &str) -> bool {
    ["hypercall ", "Raise exception ", "syscall "].iter().any(|start| line.starts_with(start))
}

fn taken(text: &str) -> Option<Taken> {
    let (nip, rest) = text.split_once(" => ")?;
    let name = rest.split_whitespace().next()?.to_owned();
    Some(Taken { nip: u64::from_str_radix(nip, 16).ok()?, name })
}

fn register(text: &str, name: &str) -> Option<u64> {
    let value = text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
    u64::from_str_radix(value, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
Raise exception at 0000000000400100 => SYSCALL (8) error=01
hypercall r3=000000000000f005 r4=0000000000009000 r5=0 r6=0 r7=0 r8=0 nip=0000000000400100
syscall r0=0000000000000000 r3=000000000000f110 r4=0000000000400000 r5=0 nip=0000000000400290
spapr_iommu_pci_put liobn=0x80000000 ioba=0x1000 tce=0x2000003 ret=0
hypercall r3=0000000000000058 r4=1 r5=2 r6=3 r7=4 nip=0000000000400200
hypercall r3=0000000000000058 r4=1 r5=2 r6=5 r7=4 nip=0000000000400200
hypercall r3=000000000000f000 r4=0000000000560200 r5=0 r6=0 r7=0 nip=0000000000400210
Raise exception at 0000000000499cd8 => ISI (3) error=10000000
";

    #[test]
    fn calls_before_an_unshare_of_all_are_kept_apart_and_a_program_cannot_unshare() {
        let take_back = |nip: &str| format!("syscall r0=0 r3=000000000000f140 r4=0 r5=0 nip={nip}\n");
        let call = LOG.lines().nth(1).expect("a hypercall");
        let (kernel, program) = (take_back("c000000000012340"), take_back("0000000010001000"));
        let mut requests = Requests::of_any_guest();
        for line in [LOG, call, "\n", &program, call, "\n", &kernel, call].concat().lines() {
            let _ = requests.take(line);
        }
        let alone = Requests::parse(LOG).after.expect("part").count;
        let counts: Vec<_> = requests.left.iter().map(|part| part.count).collect();
        assert_eq!((counts, requests.after.expect("part").count), (vec![alone + 2], 1));
    }

    #[test]
    fn calls_before_and_after_esm_are_told_apart() {
        let requests = Requests::parse(LOG);
        let before: Vec<_> = requests.before.hcalls.keys().map(|call| call.number).collect();
        assert_eq!(before, [0xf005]);
        let after = requests.after.unwrap();
        let calls: Vec<_> = after.hcalls.keys().map(|c| (c.number, c.arguments[0], c.nip)).collect();
        assert_eq!(calls, [(0x58, 0, 0x40_0200), (0xf000, 0x56_0200, 0x40_0210)]);
        assert_eq!(after.count, 3);
        assert_eq!(after.taken.first(), Some(&Taken { nip: 0x49_9cd8, name: "ISI".to_owned() }));
        assert_eq!(requests.unread, [""; 0]);
    }

    #[test]
    fn only_the_last_esm_is_the_boundary() {
        let requests = Requests::parse(&[LOG, LOG].concat());
        assert_eq!(requests.before.count, 5);
        assert_eq!(requests.after.unwrap().count, 3);
    }

    #[test]
    fn a_program_cannot_move_the_boundary() {
        let program = "syscall r0=4 r3=000000000000f110 r4=7 r5=0 nip=10000000\n";
        let mut requests = Requests::of_any_guest();
        for line in [LOG, program, LOG, program].concat().lines() {
            let _ = requests.take(line);
        }
        assert_eq!((requests.before.count, requests.after.map(|part| part.count)), (5, Some(3)));
        assert_eq!(Requests::parse(&[LOG, program].concat()).after.expect("part").count, 0);
    }

    #[test]
    fn calls_are_counted_and_keep_the_place_of_the_first() {
        let after = Requests::parse(LOG).after.expect("part");
        let times: Vec<_> = after.hcalls.values().map(|times| (times.count, times.first)).collect();
        assert_eq!(times, [(2, 1), (1, 3)]);
    }

    #[test]
    fn a_run_without_esm_is_all_before_it() {
        let requests = Requests::parse("hypercall r3=0 r4=0 r5=0 r6=0 r7=0 nip=0\n");
        assert_eq!((requests.before.count, requests.after), (1, None));
    }

    #[test]
    fn lines_that_cannot_be_read_are_kept() {
        for line in ["hypercall r3=", "hypercall r3=58", "syscall r0=0", "Raise exception at x => ISI"] {
            assert_eq!(Requests::parse(line).unread, [line]);
        }
    }
}
