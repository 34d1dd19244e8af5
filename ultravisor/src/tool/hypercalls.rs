//! Checks the hypercalls of a secure guest, from QEMU's interrupt log, by the table of the published ultravisor.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::frames::{FRAME_SIZE, Shared};
use crate::hcalls;
use crate::requests::{Hcall, Requests};
use crate::strict::{Breach, Memory, at_once, of_any_guests_hcall};
use crate::symbols::Symbols;
use crate::{Report, ShareMap};

/// One way in which hypercalls of one number were wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong with the first of them.
    pub breach: Breach,
    /// The first.
    pub call: Hcall,
    /// How many there were.
    pub count: u64,
    /// Where the first was made.
    pub by: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = if self.count == 1 { "once".to_owned() } else { format!("{} times", self.count) };
        write!(f, "{}, {times}, first by {}", self.breach, self.by)
    }
}

/// All that a guest made since UV_ESM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hypercalls {
    /// How many.
    pub made: usize,
    /// What was wrong, in the order in which it came.
    pub wrong: Vec<Wrong>,
    /// Lines that could not be parsed. They count as a finding.
    pub unread: usize,
}

impl Hypercalls {
    /// Judges what QEMU's log said by the ultravisor's report of a guest with so many bytes of memory.
    #[must_use]
    pub fn judge(requests: &Requests, report: &Report, bytes: u64, symbols: &Symbols) -> Self {
        if !report.secure {
            return Self::default();
        }
        let memory = |ever: &Vec<Range<u64>>| Memory {
            bytes,
            shared: Shared { now: report.shared.clone(), ever: ever.clone() },
            reserved: report.esm.iter().flat_map(|esm| esm.reserved.iter().copied()).collect(),
        };
        let shared = report.left_shared.iter().chain([&report.ever_shared]);
        let memories: Vec<_> = shared.map(memory).collect();
        Self::of(requests, &memories, |nip| symbols.name(nip, report.kernel))
    }

    /// Each part of the run by the memory of that time.
    fn of(requests: &Requests, memories: &[Memory], name: impl Fn(u64) -> String) -> Self {
        let mut made = 0;
        let mut wrong: BTreeMap<(&str, u64), (usize, Wrong)> = BTreeMap::new();
        for (part, memory) in requests.left.iter().chain(&requests.after).zip(memories) {
            for (call, times) in &part.hcalls {
                let Some(breach) = of_any_guests_hcall(call, memory) else { continue };
                let place = made + times.first;
                let found = Wrong { breach, call: *call, count: times.count, by: name(call.nip) };
                let (first, so_far) = wrong
                    .entry((kind(&found.breach), call.number))
                    .or_insert_with(|| (place, Wrong { count: 0, ..found.clone() }));
                let count = so_far.count + times.count;
                if place < *first {
                    (*first, *so_far) = (place, found);
                }
                so_far.count = count;
            }
            made += part.count;
        }
        let mut wrong: Vec<_> = wrong.into_values().collect();
        wrong.sort_by_key(|(first, _)| *first);
        let wrong = wrong.into_iter().map(|(_, wrong)| wrong).collect();
        Self { made, wrong, unread: requests.unread.len() }
    }

    /// How many were wrong.
    #[must_use]
    pub fn wrong_calls(&self) -> u64 {
        self.wrong.iter().map(|wrong| wrong.count).sum()
    }

    /// What was wrong, for a program.
    #[must_use]
    pub fn json(&self) -> Vec<Value> {
        let hex = |value: u64| format!("{value:#x}");
        let one = |wrong: &Wrong| {
            json!({
                "number": hex(wrong.call.number),
                "name": hcalls::listed(wrong.call.number).map(|listed| listed.name),
                "what": kind(&wrong.breach),
                "count": wrong.count,
                "arguments": wrong.call.arguments.map(hex),
                "at": hex(wrong.call.nip),
                "by": wrong.by,
            })
        };
        self.wrong.iter().map(one).collect()
    }
}

impl fmt::Display for Hypercalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hypercalls: {} since UV_ESM, ", self.made)?;
        match self.wrong_calls() {
            0 => f.write_str("all in the ultravisor's table, none with private memory"),
            wrong => write!(f, "{wrong} of them wrong"),
        }
    }
}

const fn kind(breach: &Breach) -> &'static str {
    match breach {
        Breach::Firmware(_) | Breach::Unlisted(_) => "not-in-table",
        Breach::PrivateAddress(..) => "private-memory",
        Breach::Addresses(..) => "addresses-not-judged",
        Breach::NotADevice(_) => "device-access-to-ram",
        Breach::RtasBlock(_) | Breach::RtasWords(_) => "rtas-block",
        Breach::Excess(_)
        | Breach::ExecutesShared(_)
        | Breach::Illegal(_)
        | Breach::Unread(_)
        | Breach::NothingSeen => "other",
    }
}

/// Finds the first wrong call while the guest runs, among calls from code outside its kernel's file, at which it is not
/// stopped, such as RTAS's text.
#[derive(Debug)]
pub struct Live {
    map: Arc<ShareMap>,
    bytes: u64,
    /// Parts that are over.
    left: usize,
    /// Calls of the last part that were checked.
    seen: usize,
}

impl Live {
    /// For a guest with so many bytes of memory.
    #[must_use]
    pub const fn new(map: Arc<ShareMap>, bytes: u64) -> Self {
        Self { map, bytes, left: 0, seen: 0 }
    }

    /// The first wrong call of a secure guest since the last check.
    pub fn check(&mut self, requests: &Requests) -> Option<String> {
        // Reserved frames exist from UV_ESM on.
        let reserved = self.map.reserved_ranges();
        let after = requests.after.as_ref().filter(|_| !reserved.is_empty())?;
        let memory = Memory {
            bytes: self.bytes,
            shared: Shared { now: self.map.shared_ranges(), ever: self.map.ever_shared_ranges() },
            reserved: reserved.into_iter().flatten().map(|gfn| gfn * FRAME_SIZE).collect(),
        };
        if std::mem::replace(&mut self.left, requests.left.len()) != requests.left.len() {
            self.seen = 0;
        }
        let mut calls: Vec<_> = after.hcalls.iter().filter(|(_, times)| times.first > self.seen).collect();
        self.seen = after.count;
        calls.sort_by_key(|(_, times)| times.first);
        calls.into_iter().find_map(|(call, _)| at_once(call, &memory)).map(|breach| breach.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::FrameState;

    const ESM: &str = "syscall r0=0 r3=000000000000f110 nip=0\n";

    fn call(number: u64, arguments: [u64; 4], nip: u64) -> String {
        let [a, b, c, d] = arguments;
        format!("hypercall r3={number:x} r4={a:x} r5={b:x} r6={c:x} r7={d:x} nip={nip:x}\n")
    }

    fn memory() -> Memory {
        let pool: Vec<_> = std::iter::once(0x70..0xf0).collect();
        Memory { bytes: 1 << 30, shared: Shared { now: pool.clone(), ever: pool }, reserved: Vec::new() }
    }

    #[test]
    fn wrong_calls_are_counted_by_number_and_named_by_the_first() {
        let log = [
            call(0xf002, [0; 4], 0x10),
            ESM.to_owned(),
            call(0x58, [0; 4], 0x10),
            call(0x13c, [1, 0, 0x60_0000, 1], 0x30),
            call(0x44, [4, 0, 0, 0], 0x20),
            call(0x13c, [1, 0, 0x10_0000, 1], 0x30),
            call(0x13c, [1, 0, 0x70_0000, 1], 0x30),
            call(0x13c, [1, 0, 0x60_0000, 1], 0x30),
        ];
        let found = Hypercalls::of(&Requests::parse(&log.concat()), &[memory()], |nip| format!("f+{nip:#x}"));
        assert_eq!((found.made, found.wrong_calls()), (6, 4));
        let said: Vec<_> = found.wrong.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "H_PUT_TCE_INDIRECT hands over private memory: hcall 0x13c(0x1, 0x0, 0x600000, 0x1) at 0x30, 3 times, \
                 first by f+0x30",
                "hcall 0x44(0x4, 0x0, 0x0, 0x0) at 0x20 is not in the ultravisor's table, once, first by f+0x20",
            ]
        );
        let json = found.json();
        assert_eq!((&json[0]["count"], &json[0]["what"]), (&json!(3), &json!("private-memory")));
        assert_eq!((&json[1]["name"], &json[1]["number"]), (&Value::Null, &json!("0x44")));
    }

    #[test]
    fn io_addresses_are_for_the_trace_to_judge_and_other_addresses_are_named() {
        let log = ESM.to_owned() + &call(0x114, [1, 0x1000, 0, 0], 0) + &call(0xf07c, [0x1000, 0, 0, 0], 4);
        let found = Hypercalls::of(&Requests::parse(&log), &[memory()], |nip| nip.to_string());
        assert_eq!(found.wrong.iter().map(|wrong| wrong.call.number).collect::<Vec<_>>(), [0xf07c]);
    }

    #[test]
    fn a_call_is_judged_by_what_was_shared_in_its_own_time() {
        let leaves = "syscall r0=0 r3=000000000000f140 nip=c000000000001000\n";
        let rtas = call(0xf000, [0x10_0000, 0, 0, 0], 0x30);
        let mut requests = Requests::of_any_guest();
        for line in [ESM, &rtas, leaves, &rtas].concat().lines() {
            let _ = requests.take(line);
        }
        let shared = |range| Memory {
            shared: Shared { now: Vec::new(), ever: std::iter::once(range).collect() },
            ..memory()
        };
        let count = |memories: [_; 2]| Hypercalls::of(&requests, &memories, |_| String::new());
        let (here, elsewhere) = (shared(0x10..0x11), shared(0x80..0x81));
        assert_eq!(count([elsewhere.clone(), elsewhere.clone()]).wrong, []);
        for memories in [[here.clone(), elsewhere.clone()], [elsewhere, here]] {
            let found = count(memories);
            assert_eq!((found.made, found.wrong_calls()), (2, 1));
        }
    }

    #[test]
    fn a_normal_guest_has_no_wrong_call_and_a_cut_line_is_a_finding() {
        let found = Hypercalls::of(&Requests::parse(&call(0x44, [0; 4], 0)), &[memory()], |_| String::new());
        assert_eq!(found, Hypercalls::default());
        let torn = ESM.to_owned() + "hypercall r3=44 r4=\n";
        assert_eq!(Hypercalls::of(&Requests::parse(&torn), &[memory()], |_| String::new()).unread, 1);
    }

    #[test]
    fn a_wrong_call_is_seen_while_the_guest_runs_and_only_of_a_secure_guest() {
        let map = Arc::new(ShareMap::new(1 << 30));
        let mut live = Live::new(Arc::clone(&map), 1 << 30);
        let mut requests = Requests::of_any_guest();
        for line in (call(0xf002, [0; 4], 0) + ESM + &call(0x44, [9, 0, 0, 0], 4)).lines() {
            let _ = requests.take(line);
        }
        assert_eq!(live.check(&requests), None);
        map.secure_all();
        map.set(1, FrameState::Implicit);
        let said = live.check(&requests).expect("a wrong call");
        assert!(said.contains("0x44") && said.contains("at 0x4"), "{said}");
        assert_eq!(live.check(&requests), None, "each is reported once");
    }
}
