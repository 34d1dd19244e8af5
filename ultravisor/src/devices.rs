//! Which memory QEMU's devices accessed, by its trace of the I/O memory management unit, and whether the guest had shared
//! it at that time.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use super::call::{Code, Number};
use super::frames::FRAME_SHIFT;
use super::log::CallRecord;

/// The event, with `-msg timestamp=on` before it: `PID@SECONDS.MICROS:`.
pub const EVENT: &str = "spapr_iommu_xlate";

/// A device's access to a page that was not shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Private {
    /// Microseconds since 1970.
    pub at: u64,
    /// The number of the device's I/O memory management unit.
    pub liobn: u64,
    /// The address that the device used.
    pub ioba: u64,
    /// Where that led in guest memory.
    pub address: u64,
}

/// All that the devices did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    /// Accesses before the guest was secure: firmware's.
    pub before: u64,
    /// Accesses to what was shared.
    pub shared: u64,
    /// The others, by frame.
    pub private: BTreeMap<u64, u64>,
    /// The same, by the unit that translated.
    pub by_unit: BTreeMap<u64, u64>,
    /// The first of those.
    pub first: Option<Private>,
    /// Refused by the unit: no permission.
    pub refused: u64,
    /// Lines that name the event and could not be parsed. They count as a finding.
    pub unread: u64,
}

impl Devices {
    /// Accesses to what was not shared.
    #[must_use]
    pub fn private_accesses(&self) -> u64 {
        self.private.values().sum()
    }

    /// Accesses since the guest was secure.
    #[must_use]
    pub fn accesses(&self) -> u64 {
        self.shared + self.private_accesses()
    }

    /// Whether there were accesses, and all of them to what was shared.
    #[must_use]
    pub fn all_shared(&self) -> bool {
        self.private.is_empty() && self.unread == 0
    }
}

/// When each frame was shared and taken back.
#[derive(Debug, Default)]
struct Timeline {
    /// When the guest became secure.
    secure: Option<u64>,
    /// By time: first frame, frames, shared or not.
    changes: Vec<(u64, u64, u64, bool)>,
}

impl Timeline {
    fn of(calls: &[CallRecord]) -> Self {
        let mut timeline = Self::default();
        for record in calls.iter().filter(|record| record.verdict.code == Code::SUCCESS && !record.faulted) {
            let [first, count, ..] = record.call.arguments;
            let at = record.micros();
            match Number::from_opcode(record.call.opcode) {
                Some(Number::Esm) => timeline.secure = Some(at),
                Some(Number::SharePage) => timeline.changes.push((at, first, count, true)),
                Some(Number::UnsharePage) => timeline.changes.push((at, first, count, false)),
                Some(Number::UnshareAllPages) => timeline.changes.push((at, 0, u64::MAX, false)),
                Some(Number::EsmbGetFile) | None => {}
            }
        }
        timeline
    }

    fn is_shared(&self, gfn: u64, at: u64) -> bool {
        let before = self.changes.iter().take_while(|(time, ..)| *time <= at);
        let about = before.filter(|(_, first, count, _)| gfn >= *first && gfn - first < *count);
        about.last().is_some_and(|(.., shared)| *shared)
    }
}

/// Compares the accesses in QEMU's log with the frames that were shared by the guest's calls.
///
/// # Errors
/// The log cannot be read.
pub fn judge(log: impl BufRead, calls: &[CallRecord]) -> io::Result<Devices> {
    let timeline = Timeline::of(calls);
    let mut devices = Devices::default();
    for line in log.split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if !line.contains(EVENT) {
            continue;
        }
        match access(&line) {
            Some(None) => devices.refused += 1,
            Some(Some(access)) if timeline.secure.is_none_or(|secure| access.at < secure) => {
                devices.before += 1
            }
            Some(Some(access)) => {
                let gfn = access.address >> FRAME_SHIFT;
                if timeline.is_shared(gfn, access.at) {
                    devices.shared += 1;
                } else {
                    *devices.private.entry(gfn).or_default() += 1;
                    *devices.by_unit.entry(access.liobn).or_default() += 1;
                    devices.first.get_or_insert(access);
                }
            }
            None => devices.unread += 1,
        }
    }
    Ok(devices)
}

/// `123@1700000000.000005:spapr_iommu_xlate liobn=0x80000000 0x6000 -> 0x1e34e000 perm=3 mask=fff`. Without permission
/// nothing was reached. Pages may be larger than a frame: the address is the page's with the offset in it.
fn access(line: &str) -> Option<Option<Private>> {
    let (clock, event) = line.split_once(EVENT)?;
    let (seconds, micros) = clock.trim_end_matches([':', ' ']).rsplit('@').next()?.split_once('.')?;
    let at = seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros.parse().ok()?)?;
    let field = |name: &str| event.split_whitespace().find_map(|word| word.strip_prefix(name));
    let (before, after) = event.split_once(" -> ")?;
    let ioba = hex(before.split_whitespace().last()?)?;
    let page = hex(after.split_whitespace().next()?)?;
    let (liobn, mask) = (hex(field("liobn=")?)?, hex(field("mask=")?)?);
    if field("perm=")?.parse::<u64>().ok()? & 3 == 0 {
        return Some(None);
    }
    Some(Some(Private { at, liobn, ioba, address: page & !mask | ioba & mask }))
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Call, Resume, Verdict};
    use std::time::{Duration, UNIX_EPOCH};

    fn call(number: Number, arguments: [u64; 2], micros: u64) -> CallRecord {
        let mut all = [0; 9];
        all[..2].copy_from_slice(&arguments);
        CallRecord {
            n: 1,
            call: Call { opcode: number as u64, arguments: all, msr: 0, pidr: 0 },
            verdict: Verdict { code: Code::SUCCESS, resume: Resume::Untouched },
            faulted: false,
            at: UNIX_EPOCH + Duration::from_micros(micros),
            duration: Duration::ZERO,
            thread: "1".to_owned(),
            callers: Vec::new(),
        }
    }

    fn line(micros: u64, ioba: u64, page: u64, mask: u64) -> String {
        format!("7@0.{micros:06}:{EVENT} liobn=0x80000001 0x{ioba:x} -> 0x{page:x} perm=3 mask={mask:x}\n")
    }

    fn judged(log: &str) -> Devices {
        let calls = [
            call(Number::Esm, [0, 0], 10),
            call(Number::SharePage, [0x20, 2], 20),
            call(Number::UnsharePage, [0x21, 1], 30),
        ];
        judge(log.as_bytes(), &calls).expect("log")
    }

    #[test]
    fn an_access_is_judged_by_what_was_shared_at_its_time() {
        let log =
            [line(5, 0, 0x20_0000, 0xfff), line(15, 0, 0x20_0000, 0xfff), line(25, 0, 0x21_0000, 0xfff)];
        let devices = judged(&(log.concat() + &line(35, 0, 0x21_0000, 0xfff)));
        assert_eq!((devices.before, devices.shared), (1, 1));
        assert_eq!(devices.private.into_iter().collect::<Vec<_>>(), [(0x20, 1), (0x21, 1)]);
        assert_eq!(devices.by_unit.into_iter().collect::<Vec<_>>(), [(0x8000_0001, 2)]);
        let first = devices.first.expect("one");
        assert_eq!((first.at, first.liobn, first.address), (15, 0x8000_0001, 0x20_0000));
    }

    /// Shared and private accesses by these calls.
    fn counted(calls: &[CallRecord], log: &str) -> (u64, u64) {
        let devices = judge(log.as_bytes(), calls).expect("log");
        (devices.shared, devices.private_accesses())
    }

    #[test]
    fn a_share_begins_with_its_first_frame_and_ends_with_its_last() {
        let calls = [call(Number::Esm, [0, 0], 10), call(Number::SharePage, [0x20, 2], 20)];
        let at = |gfn: u64| line(25, 0, gfn << 16, 0xfff);
        for (gfn, expected) in [(0x1f, (0, 1)), (0x20, (1, 0)), (0x21, (1, 0)), (0x22, (0, 1))] {
            assert_eq!(counted(&calls, &at(gfn)), expected, "{gfn:#x}");
        }
        // The guest goes on after the call is written down, so an access of that moment is later.
        assert_eq!(counted(&calls, &line(20, 0, 0x20_0000, 0xfff)), (1, 0));
    }

    #[test]
    fn a_failed_share_shares_nothing() {
        let share = call(Number::SharePage, [0x20, 2], 20);
        let refused = Verdict { code: Code::P2, ..share.verdict };
        for share in [
            CallRecord { faulted: true, ..share.clone() },
            CallRecord { verdict: refused, ..share.clone() },
            CallRecord { call: Call { opcode: Number::UnsharePage as u64, ..share.call }, ..share },
        ] {
            let calls = [call(Number::Esm, [0, 0], 10), share];
            assert_eq!(counted(&calls, &line(25, 0, 0x20_0000, 0xfff)), (0, 1));
        }
    }

    #[test]
    fn after_a_call_for_all_pages_nothing_is_shared_until_the_next_share() {
        let calls = [
            call(Number::Esm, [0, 0], 10),
            call(Number::SharePage, [0x20, 2], 20),
            call(Number::UnshareAllPages, [0, 0], 30),
            call(Number::SharePage, [0x21, 1], 40),
        ];
        let log =
            [line(35, 0, 0x20_0000, 0xfff), line(35, 0, 0x21_0000, 0xfff), line(45, 0, 0x20_0000, 0xfff)];
        assert_eq!(counted(&calls, &log.concat()), (0, 3));
        assert_eq!(counted(&calls, &line(45, 0, 0x21_0000, 0xfff)), (1, 0));
    }

    #[test]
    fn in_a_page_of_any_size_the_offset_decides() {
        let calls = [call(Number::Esm, [0, 0], 10), call(Number::SharePage, [0x123, 1], 20)];
        // 4 KiB, 64 KiB, 2 MiB, 16 MiB, 256 MiB: what QEMU's host bridge offers.
        for shift in [12, 16, 21, 24, 28] {
            let mask: u64 = (1 << shift) - 1;
            for (address, expected) in [(0x123_4000_u64, (1, 0)), (0x124_0000, (0, 1)), (0x122_f000, (0, 1))]
            {
                let line = line(25, 0x800_0000_0000_0000 | address & mask, address & !mask, mask);
                assert_eq!(counted(&calls, &line), expected, "pages of 2^{shift}, {address:#x}");
            }
        }
    }

    #[test]
    fn in_a_page_of_16_mib_the_offset_decides() {
        let shared = line(25, 0x800_0000_0020_0000, 0, 0xff_ffff);
        let private = line(25, 0x800_0000_0030_0000, 0, 0xff_ffff);
        let devices = judged(&(shared + &private));
        assert_eq!((devices.shared, devices.private.keys().copied().collect::<Vec<_>>()), (1, vec![0x30]));
    }

    #[test]
    fn a_line_that_cannot_be_parsed_does_not_count_as_shared() {
        let refused = line(25, 0, 0, 0xfff).replace("perm=3", "perm=0");
        let devices = judged(&(refused + EVENT + " nonsense\n"));
        assert_eq!((devices.refused, devices.unread, devices.all_shared()), (1, 1, false));
    }
}
