//! Checks that all exposure seen from outside is what a secure guest may allow.

use crate::guest::report::Report;
pub use postern_ultravisor::frames::Shared;
use postern_ultravisor::trace::{Event, Trace};
use std::fmt;
use std::ops::Range;

/// Sharing is counted in 64 KiB frames.
const FRAME_SHIFT: u32 = 16;

/// A finding against a secure guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A TCE or a device's access reached memory that is not shared according to the ultravisor.
    Reached(Event),
    /// TCEs came from a list in memory: the host cannot read a private list and can change a shared one.
    ListPage(Event),
    /// A TCE was installed for a device that does not translate.
    NeedlessTce(Event),
    /// The guest did not say where its pool is.
    PoolUnknown,
    /// The shared frames, according to the ultravisor, are not exactly the pool.
    NotThePool {
        /// The pool's frames, as the guest stated them.
        pool: Range<u64>,
        /// Frames that are shared now.
        shared: Vec<Range<u64>>,
    },
    /// These other frames were shared at some time.
    SharedBefore(Vec<Range<u64>>),
    /// A ring, or a descriptor in it, lies outside shared memory.
    Ring {
        /// The device.
        device: String,
        /// The queue's number.
        queue: u16,
        /// The address, as the device sees it.
        bus: u64,
        /// Bytes from there on.
        bytes: u64,
    },
    /// A ring without a single descriptor.
    NothingInRing {
        /// The device.
        device: String,
        /// The queue's number.
        queue: u16,
    },
    /// The devices of this kind have no rings.
    NoRings(&'static str),
    /// The observer saw no events, although there must have been some.
    NothingSeen,
    /// The observer could not read its evidence.
    Unread(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached(event) => write!(f, "a device may reach a frame that was not shared: {event:x?}"),
            Self::ListPage(event) => write!(f, "TCEs from a list page in secure mode: {event:x?}"),
            Self::NeedlessTce(event) => write!(f, "a TCE although no device translates: {event:x?}"),
            Self::PoolUnknown => f.write_str("no pool.base and pool.bytes in whole frames"),
            Self::NotThePool { pool, shared } => {
                write!(f, "frames shared {shared:x?}, the pool is {pool:x?}")
            }
            Self::SharedBefore(ranges) => write!(f, "frames outside the pool were shared once: {ranges:x?}"),
            Self::Ring { device, queue, bus, bytes } => {
                write!(f, "{device}, queue {queue}: {bus:#x}+{bytes:#x} does not lie in shared frames")
            }
            Self::NothingInRing { device, queue } => {
                write!(f, "{device}, queue {queue}: no descriptor was ever written")
            }
            Self::NoRings(device) => write!(f, "{device}: no queue is set up"),
            Self::NothingSeen => f.write_str("the trace shows no TCE at all"),
            Self::Unread(line) => write!(f, "trace line not understood: {line}"),
        }
    }
}

/// The pool's frames, as the guest stated them.
fn pool(report: &Report) -> Option<Range<u64>> {
    let base = report.number("pool.base")?;
    let end = base.checked_add(report.number("pool.bytes")?)?;
    let whole = |address: u64| address & ((1 << FRAME_SHIFT) - 1) == 0;
    (whole(base) && whole(end) && base < end).then_some(base >> FRAME_SHIFT..end >> FRAME_SHIFT)
}

/// Compares the ultravisor's account with the pool that the guest reported.
#[must_use]
pub fn shares(held: &Shared, report: &Report) -> Vec<Violation> {
    let Some(pool) = pool(report) else { return vec![Violation::PoolUnknown] };
    let mut violations = Vec::new();
    if held.now != [pool.clone()] {
        violations.push(Violation::NotThePool { pool: pool.clone(), shared: held.now.clone() });
    }
    if held.ever != [pool] {
        violations.push(Violation::SharedBefore(held.ever.clone()));
    }
    violations
}

/// Compares a trace with the ultravisor's account. `translating`: the devices have VIRTIO_F_ACCESS_PLATFORM.
#[must_use]
pub fn reach(held: &Shared, trace: &Trace, translating: bool) -> Vec<Violation> {
    let mut violations: Vec<_> = trace.unread.iter().cloned().map(Violation::Unread).collect();
    let mut seen = false;
    // The kernel has to clear firmware's entries in the window.
    for event in trace.kernel.iter().copied().chain(trace.left_by_firmware()) {
        if let Event::List { .. } = event {
            violations.push(Violation::ListPage(event));
        }
        if let Some((address, bytes)) = event.reach() {
            seen = true;
            if !held.allows(address, bytes) {
                violations.push(Violation::Reached(event));
            } else if !translating {
                violations.push(Violation::NeedlessTce(event));
            }
        }
    }
    if translating && !seen {
        violations.push(Violation::NothingSeen);
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Shared {
        let pool: Vec<_> = std::iter::once(0x200..0x280).collect();
        Shared { now: pool.clone(), ever: pool }
    }

    fn report(base: &str, bytes: &str) -> Report {
        Report::parse(&format!("postern: pool.base={base}\npostern: pool.bytes={bytes}\n"))
    }

    fn trace(lines: &str) -> Trace {
        Trace::parse(lines)
    }

    #[test]
    fn exactly_the_pool_is_shared() {
        assert_eq!(shares(&held(), &report("0x2000000", "8388608")), []);
        for (base, bytes) in [("0x2000000", "0x810000"), ("0x1ff0000", "0x800000"), ("0x2000000", "0x7f0000")]
        {
            assert!(!shares(&held(), &report(base, bytes)).is_empty(), "{base} {bytes}");
        }
        assert_eq!(shares(&held(), &report("0x2000100", "8388608")), [Violation::PoolUnknown]);
        assert_eq!(shares(&held(), &Report::default()), [Violation::PoolUnknown]);
    }

    #[test]
    fn a_frame_that_was_shared_for_a_while_is_found() {
        let held = Shared { ever: vec![0x100..0x101, 0x200..0x280], ..held() };
        let found = shares(&held, &report("0x2000000", "8388608"));
        assert_eq!(found, [Violation::SharedBefore(held.ever)]);
    }

    #[test]
    fn a_tce_or_an_access_outside_the_pool_is_found() {
        let good = "spapr_iommu_pci_put liobn=0x80000000 ioba=0x1000 tce=0x2000003 ret=0\n";
        assert_eq!(reach(&held(), &trace(good), true), []);
        let last = "spapr_iommu_pci_put liobn=0x80000000 ioba=0x2000 tce=0x27ff003 ret=0\n";
        assert_eq!(reach(&held(), &trace(last), true), []);
        for bad in [
            "spapr_iommu_pci_put liobn=0x80000000 ioba=0x2000 tce=0x2800003 ret=0\n",
            "spapr_iommu_pci_put liobn=0x80000000 ioba=0x2000 tce=0x1fff001 ret=0\n",
            "spapr_iommu_xlate liobn=0x80000000 0x1002 -> 0x1e374000 perm=1 mask=0xfff\n",
        ] {
            let found = reach(&held(), &trace(&format!("{good}{bad}")), true);
            assert!(found.iter().all(|v| matches!(v, Violation::Reached(_))) && !found.is_empty(), "{bad}");
        }
    }

    #[test]
    fn entries_that_firmware_left_are_found() {
        let left =
            "spapr_iommu_pci_put liobn=0x80000000 ioba=0x1000 tce=0x1e374003 ret=0\nspapr_update_dt x\n";
        let cleared = "spapr_iommu_pci_put liobn=0x80000000 ioba=0x1000 tce=0x0 ret=0\n";
        assert_eq!(reach(&held(), &trace(left), false).len(), 1);
        assert_eq!(reach(&held(), &trace(&format!("{left}{cleared}")), false), []);
    }

    #[test]
    fn an_empty_or_unreadable_log_is_a_finding() {
        assert_eq!(reach(&held(), &trace(""), true), [Violation::NothingSeen]);
        assert_eq!(reach(&held(), &trace(""), false), []);
        let unread = "spapr_iommu_pci_put what\n";
        assert!(matches!(reach(&held(), &trace(unread), false)[..], [Violation::Unread(_)]));
    }

    #[test]
    fn a_tce_for_a_device_that_does_not_translate_and_a_list_page_are_found() {
        let inside = "spapr_iommu_pci_put liobn=0x80000000 ioba=0x1000 tce=0x2000003 ret=0\n";
        let found = reach(&held(), &trace(inside), false);
        assert!(found.iter().all(|v| matches!(v, Violation::NeedlessTce(_))) && !found.is_empty());
        let list =
            "spapr_iommu_pci_indirect liobn=0x80000000 ioba=0x0 tcelist=0x2000000 iobaN=0x1 tceN=0x3 ret=0\n";
        assert!(reach(&held(), &trace(list), true).iter().any(|v| matches!(v, Violation::ListPage(_))));
    }
}
